#include "flow/record_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "base/number.h"
#include "base/text.h"
#include "flow/testing.h"

namespace nidus::flow {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

// 2017-07-03 14:57:41.826651 UTC
constexpr std::int64_t kStart = 1'499'093'861'826'651;

RecordWriterOptions of(Profile profile, RecordFormat format = RecordFormat::csv) {
  RecordWriterOptions options;
  options.profile = profile;
  options.format = format;
  return options;
}

std::string header(const RecordWriterOptions& options) {
  std::string out;
  RecordWriter(options).header(out);
  return out;
}

// A question and its answer over TCP, 192.168.0.5:40000 to 10.0.0.2:80.
FlowRecord web(Profile profile) {
  const Host client{v4(192, 168, 0, 5), 40000}, server = host(2, 80);
  MeterOptions options;
  options.profile = profile;
  const auto records = meter_all(options, {tcp(kStart, client, server, "S", 0, 40, 64240),
                                           tcp(kStart + 1000, server, client, "SA", 0, 40, 65160),
                                           tcp(kStart + 2000, client, server, "A", 0, 32, 502),
                                           tcp(kStart + 3500, client, server, "PA", 100, 32, 502)});
  EXPECT_EQ(records.size(), 1u);
  return records.at(0);
}

FlowRecord ping() {
  net::Packet echo = packet(kStart, host(1, 0), host(2, 0), net::protocol::icmp, 56, 8);
  echo.icmp_type = 11;
  return meter_all({}, {echo}).at(0);
}

std::vector<std::string> cells(std::string_view line) {
  std::vector<std::string> out;
  if (line.ends_with('\n')) line.remove_suffix(1);
  for (const auto cell : split(line, ',')) out.emplace_back(cell);
  return out;
}

std::string row_of(const RecordWriterOptions& options, const FlowRecord& record,
                   std::string_view label = {}) {
  RecordWriter writer(options);
  std::string out;
  writer.row(record, out, label);
  return out;
}

// The cell under this column.
std::string cell(const RecordWriterOptions& options, const FlowRecord& record, std::string_view column) {
  const auto names = RecordWriter(options).columns();
  const auto row = cells(row_of(options, record));
  EXPECT_EQ(names.size(), row.size());
  const auto at = std::find(names.begin(), names.end(), column);
  if (at == names.end()) return "no such column";
  return row[static_cast<std::size_t>(at - names.begin())];
}

TEST(RecordWriterTest, EachProfileHasTheColumnsOfItsFiles) {
  const auto count = [](RecordWriterOptions options) { return RecordWriter(options).columns().size(); };
  EXPECT_EQ(count(of(Profile::cic2017)), 85u);
  EXPECT_EQ(count(of(Profile::cic2018)), 84u);
  EXPECT_EQ(count(of(Profile::cns2022)), 91u);
  EXPECT_EQ(count(of(Profile::cic_fixed)), 94u);
  auto machine_learning = of(Profile::cic2017);
  machine_learning.short_form = true;
  EXPECT_EQ(count(machine_learning), 79u);
  auto usual = of(Profile::cic2018);
  usual.short_form = true;
  EXPECT_EQ(count(usual), 80u);
  EXPECT_EQ(count(of(Profile::native)), 4 + kFeatures + 5);
}

// The header of the re-release of CIC-IDS2017 by Liu et al., as published.
TEST(RecordWriterTest, Cns2022HasTheHeaderOfTheReRelease) {
  EXPECT_EQ(header(of(Profile::cns2022)),
            "id,Flow ID,Src IP,Src Port,Dst IP,Dst Port,Protocol,Timestamp,Flow Duration,Total Fwd Packet,"
            "Total Bwd packets,Total Length of Fwd Packet,Total Length of Bwd Packet,Fwd Packet Length Max,"
            "Fwd Packet Length Min,Fwd Packet Length Mean,Fwd Packet Length Std,Bwd Packet Length Max,"
            "Bwd Packet Length Min,Bwd Packet Length Mean,Bwd Packet Length Std,Flow Bytes/s,Flow Packets/s,"
            "Flow IAT Mean,Flow IAT Std,Flow IAT Max,Flow IAT Min,Fwd IAT Total,Fwd IAT Mean,Fwd IAT Std,"
            "Fwd IAT Max,Fwd IAT Min,Bwd IAT Total,Bwd IAT Mean,Bwd IAT Std,Bwd IAT Max,Bwd IAT Min,"
            "Fwd PSH Flags,Bwd PSH Flags,Fwd URG Flags,Bwd URG Flags,Fwd RST Flags,Bwd RST Flags,"
            "Fwd Header Length,Bwd Header Length,Fwd Packets/s,Bwd Packets/s,Packet Length Min,"
            "Packet Length Max,Packet Length Mean,Packet Length Std,Packet Length Variance,FIN Flag Count,"
            "SYN Flag Count,RST Flag Count,PSH Flag Count,ACK Flag Count,URG Flag Count,CWR Flag Count,"
            "ECE Flag Count,Down/Up Ratio,Average Packet Size,Fwd Segment Size Avg,Bwd Segment Size Avg,"
            "Fwd Bytes/Bulk Avg,Fwd Packet/Bulk Avg,Fwd Bulk Rate Avg,Bwd Bytes/Bulk Avg,"
            "Bwd Packet/Bulk Avg,Bwd Bulk Rate Avg,Subflow Fwd Packets,Subflow Fwd Bytes,"
            "Subflow Bwd Packets,Subflow Bwd Bytes,FWD Init Win Bytes,Bwd Init Win Bytes,Fwd Act Data Pkts,"
            "Fwd Seg Size Min,Active Mean,Active Std,Active Max,Active Min,Idle Mean,Idle Std,Idle Max,"
            "Idle Min,ICMP Code,ICMP Type,Total TCP Flow Time,Label,Attempted Category"
            "\n");
}

TEST(RecordWriterTest, Cic2017RepeatsFwdHeaderLengthAndNamesTheFlagsAsPublished) {
  const auto names = RecordWriter(of(Profile::cic2017)).columns();
  EXPECT_EQ(std::count(names.begin(), names.end(), "Fwd Header Length"), 2);
  EXPECT_EQ(names[61], "Fwd Header Length");
  EXPECT_EQ(names[55], "CWE Flag Count");
  EXPECT_EQ(names[72], "Init_Win_bytes_forward");
  EXPECT_EQ(
      std::vector(names.begin(), names.begin() + 9),
      (std::vector<std::string>{"Flow ID", "Source IP", "Source Port", "Destination IP", "Destination Port",
                                "Protocol", "Timestamp", "Flow Duration", "Total Fwd Packets"}));
  EXPECT_EQ(names.back(), "Label");
}

TEST(RecordWriterTest, Cic2018BeginsAsItsUsualFilesDo) {
  auto options = of(Profile::cic2018);
  options.short_form = true;
  EXPECT_THAT(header(options),
              StartsWith("Dst Port,Protocol,Timestamp,Flow Duration,Tot Fwd Pkts,Tot Bwd Pkts,"));
  EXPECT_THAT(header(of(Profile::cic2018)),
              StartsWith("Flow ID,Src IP,Src Port,Dst IP,Dst Port,Protocol,Timestamp,"));
}

TEST(RecordWriterTest, NamesMayBeThoseOfAnotherScheme) {
  auto options = of(Profile::native);
  options.naming = Naming::python;
  EXPECT_THAT(header(options), HasSubstr(",tot_fwd_pkts,"));
  options.naming = Naming::cic2020;
  EXPECT_THAT(header(options), HasSubstr(",Total Fwd Packet,"));
  EXPECT_THAT(header(options), HasSubstr(",zero_duration,"));  // has no name there
}

TEST(RecordWriterTest, EveryRowHasOneCellForEachColumn) {
  for (const Profile profile : kProfiles) {
    MeterOptions meter;
    meter.profile = profile;
    auto options = of(profile);
    options.community_id = true;
    RecordWriter writer(options);
    for (const FlowRecord& record : meter_all(meter, random_traffic(5, 3000))) {
      std::string out;
      writer.row(record, out);
      ASSERT_EQ(cells(out).size(), writer.columns().size()) << out;
      ASSERT_LE(out.size(), writer.row_bytes_max());
    }
  }
}

// What is read back is what was computed: the shortest text of a number is exact.
TEST(RecordWriterTest, NumbersReadBackExactly) {
  RecordWriter writer(of(Profile::native));
  const auto names = writer.columns();
  for (const FlowRecord& record : meter_all({}, random_traffic(6, 2000))) {
    FeatureRow features;
    compute_features(Profile::native, record, features);
    std::string out;
    writer.row(record, out);
    const auto row = cells(out);
    for (std::size_t i = 0; i < kFeatures; ++i) {
      ASSERT_EQ(parse_number(row[4 + i]), features[i]) << names[4 + i];
    }
  }
}

TEST(RecordWriterTest, NativeSaysWhoWhenAndHowItEnded) {
  auto options = of(Profile::native);
  options.community_id = true;
  options.description = "native active=60s";
  const FlowRecord record = web(Profile::native);
  EXPECT_EQ(cell(options, record, "flow_id"), "192.168.0.5-10.0.0.2-40000-80-6");
  EXPECT_EQ(cell(options, record, "src_ip"), "192.168.0.5");
  EXPECT_EQ(cell(options, record, "timestamp"), "2017-07-03T14:57:41.826651Z");
  EXPECT_EQ(cell(options, record, "fwd_pkts"), "3");
  EXPECT_EQ(cell(options, record, "end_reason"), "end_of_input");
  EXPECT_EQ(cell(options, record, "conn_state"), "S1");
  EXPECT_EQ(cell(options, record, "history"), "ShAD");
  EXPECT_THAT(cell(options, record, "community_id"), StartsWith("1:"));
  EXPECT_EQ(cell(options, record, "partial"), "0");
  EXPECT_EQ(cell(options, record, "profile"), "native active=60s");
}

// Bytes are signed in Java, so 192 comes before 10.
TEST(RecordWriterTest, ThePublishedFlowIdPutsTheLowerSignedAddressFirst) {
  EXPECT_EQ(cell(of(Profile::cic2018), web(Profile::cic2018), "Flow ID"), "192.168.0.5-10.0.0.2-40000-80-6");
  FlowRecord turned = web(Profile::cic2018);
  std::swap(turned.tuple.source, turned.tuple.destination);
  std::swap(turned.tuple.source_port, turned.tuple.destination_port);
  EXPECT_EQ(cell(of(Profile::cic2018), turned, "Flow ID"), "192.168.0.5-10.0.0.2-40000-80-6");
  EXPECT_EQ(cell(of(Profile::cic2018), turned, "Src IP"), "10.0.0.2");
  EXPECT_EQ(cell(of(Profile::cic_fixed), turned, "Flow ID"), "10.0.0.2-192.168.0.5-80-40000-6");
}

TEST(RecordWriterTest, TimesAreWrittenAsTheFilesHaveThem) {
  EXPECT_EQ(cell(of(Profile::cic2018), web(Profile::cic2018), "Timestamp"), "03/07/2017 02:57:41");
  EXPECT_EQ(cell(of(Profile::cns2022), web(Profile::cns2022), "Timestamp"), "2017-07-03 14:57:41.826651");
}

TEST(RecordWriterTest, NoonAndMidnightAreTwelve) {
  FlowRecord record = web(Profile::cic2018);
  record.start_us = 0;
  EXPECT_EQ(cell(of(Profile::cic2018), record, "Timestamp"), "01/01/1970 12:00:00");
  record.start_us = 12 * 3'600'000'000LL;
  EXPECT_EQ(cell(of(Profile::cic2018), record, "Timestamp"), "01/01/1970 12:00:00");
}

TEST(RecordWriterTest, NonFiniteNumbersAreWrittenAsJavaDoes) {
  FlowRecord record = web(Profile::cns2022);
  record.last_us = record.start_us;
  EXPECT_EQ(cell(of(Profile::cns2022), record, "Flow Bytes/s"), "Infinity");
  EXPECT_THAT(row_of(of(Profile::cns2022, RecordFormat::ndjson), record),
              HasSubstr("\"Flow Bytes/s\":null,"));
}

TEST(RecordWriterTest, TheToolsTablesCountTheirRowsAndAskForLabels) {
  RecordWriter writer(of(Profile::cns2022));
  const FlowRecord record = web(Profile::cns2022);
  std::string out;
  writer.row(record, out);
  EXPECT_THAT(out, StartsWith("1,192.168.0.5-"));
  EXPECT_TRUE(out.ends_with(",NeedManualLabel,-1\n")) << out;
  out.clear();
  writer.row(record, out, "DoS, slow");
  EXPECT_THAT(out, StartsWith("2,"));
  EXPECT_TRUE(out.ends_with(",\"DoS, slow\",-1\n")) << out;
}

TEST(RecordWriterTest, OneWayIcmpShowsTypeAndCode) {
  EXPECT_EQ(cell(of(Profile::native), ping(), "src_port"), "11");
  EXPECT_EQ(cell(of(Profile::native), ping(), "dst_port"), "0");
  EXPECT_EQ(cell(of(Profile::native), ping(), "flow_id"), "10.0.0.1-10.0.0.2-11-0-1");
}

TEST(RecordWriterTest, NdjsonIsOneObjectALine) {
  auto options = of(Profile::native, RecordFormat::ndjson);
  options.label = true;
  options.description = "native \"x\"";
  const std::string line = row_of(options, web(Profile::native), "a\tb");
  EXPECT_THAT(line,
              StartsWith("{\"flow_id\":\"192.168.0.5-10.0.0.2-40000-80-6\",\"src_ip\":\"192.168.0.5\","));
  EXPECT_THAT(line, HasSubstr(",\"fwd_pkts\":3,"));
  EXPECT_THAT(line, HasSubstr("\"profile\":\"native \\\"x\\\"\",\"label\":\"a\\tb\"}\n"));
  EXPECT_EQ(header(options), "");
}

TEST(RecordWriterTest, ZeekWritesAConnLog) {
  auto options = of(Profile::native, RecordFormat::zeek);
  options.community_id = true;
  EXPECT_EQ(
      header(options),
      "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n"
      "#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\torig_bytes\t"
      "resp_bytes\tconn_state\tlocal_orig\tlocal_resp\tmissed_bytes\thistory\torig_pkts\torig_ip_bytes\t"
      "resp_pkts\tresp_ip_bytes\ttunnel_parents\tcommunity_id\n"
      "#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\tinterval\tcount\tcount\tstring\tbool\tbool"
      "\t"
      "count\tstring\tcount\tcount\tcount\tcount\tset[string]\tstring\n");
  const std::string line = row_of(options, web(Profile::native));
  EXPECT_THAT(line, StartsWith("1499093861.826651\tC"));
  EXPECT_THAT(line,
              HasSubstr("\t192.168.0.5\t40000\t10.0.0.2\t80\ttcp\t-\t0.003500\t100\t0\tS1\t-\t-\t0\tShAD\t3\t"
                        "264\t1\t60\t-\t1:"));
}

TEST(RecordWriterTest, AUidIsTheSameInEveryRunAndAnotherForEveryFlow) {
  const auto options = of(Profile::native, RecordFormat::zeek);
  const auto uid = [&](const FlowRecord& record) { return row_of(options, record).substr(18, 18); };
  FlowRecord record = web(Profile::native);
  const std::string first = uid(record);
  EXPECT_EQ(first.size(), 18u);
  EXPECT_EQ(uid(record), first);
  record.start_us += 1;
  EXPECT_NE(uid(record), first);
}

TEST(RecordWriterTest, Ipv6AddressesAreWrittenInFull) {
  FlowRecord record = web(Profile::native);
  record.tuple.version = net::IpVersion::v6;
  record.tuple.source.bytes = {0x20, 0x01, 0x0d, 0xb8};
  record.tuple.destination.bytes.fill(0xff);
  const std::string longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
  EXPECT_EQ(cell(of(Profile::native), record, "src_ip"), "2001:db8::");
  EXPECT_EQ(cell(of(Profile::native), record, "dst_ip"), longest);
}

}  // namespace
}  // namespace nidus::flow
