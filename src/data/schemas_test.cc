#include "data/schemas.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "data/table_reader.h"

namespace nidus::data {
namespace {

std::string key_of(std::string_view header) {
  std::vector<std::string> columns;
  for (const auto name : split(header, ',')) columns.emplace_back(name);
  const auto* const schema = recognise(columns);
  return schema == nullptr ? "" : std::string(schema->key);
}

TEST(Schemas, AreToldByTheirColumns) {
  EXPECT_EQ(key_of("id,dur,proto,service,state,sttl,ct_state_ttl,ct_dst_src_ltm,attack_cat,label"),
            "unsw-nb15");
  EXPECT_EQ(key_of(" Destination Port, Flow Duration,Flow Bytes/s,Init_Win_bytes_forward, act_data_pkt_fwd, "
                   "min_seg_size_forward, Label"),
            "cic-ids2017");
  EXPECT_EQ(key_of("Dst Port,Protocol,Timestamp,Tot Fwd Pkts,TotLen Fwd Pkts,Flow Byts/s,Label"),
            "cse-cic-ids2018");
  EXPECT_EQ(key_of("id,Flow ID,Flow Duration,Total Fwd Packet,FWD Init Win Bytes,Flow Bytes/s,Total TCP Flow "
                   "Time,Label,Attempted Category"),
            "cns2022");
  EXPECT_EQ(key_of("Flow ID,Flow Duration,Total Fwd Packet,FWD Init Win Bytes,Flow Bytes/s,Label"),
            "cicflowmeter");
  EXPECT_EQ(
      key_of("IPV4_SRC_ADDR,L7_PROTO,IN_BYTES,OUT_PKTS,FLOW_DURATION_MILLISECONDS,TCP_WIN_MAX_IN,Label"),
      "nf-v2");
  EXPECT_EQ(key_of("ts,uid,id.orig_h,id.resp_h,conn_state,orig_pkts,orig_ip_bytes,label,detailed-label"),
            "iot-23");
  EXPECT_EQ(key_of("ts,uid,id.orig_h,id.resp_h,conn_state,orig_pkts"), "zeek-conn");
  EXPECT_EQ(key_of("a,b,label"), "");
}

TEST(Schemas, NslKddWithAHeaderAndWithout) {
  const auto& names = nsl_kdd_names();
  EXPECT_EQ(recognise(names)->key, "nsl-kdd");
  EXPECT_EQ(recognise(std::span(names).first(42))->key, "kdd99");
  std::vector<std::string> row(43, "0");
  row[1] = "udp";
  row[2] = "http";
  row[3] = "SF";
  row[41] = "normal";
  EXPECT_EQ(names_of_headerless(row), names);
  row[41] = "1";
  EXPECT_TRUE(names_of_headerless(row).empty());
}

TEST(Schemas, RawUnswFilesHaveNoHeader) {
  std::string row =
      "59.166.0.0,1390,149.171.126.6,53,udp,CON,0.001055,132,164,31,29,0,0,dns,500473.9375,"
      "621800.9375,2,2,0,0,0,0,66,82,0,0,0,0,1421927414,1421927414,0.017,0.013,0,0,0,0,0,0,0,0,"
      "3,7,1,3,1,1,1,,0\n";
  TableReport report;
  const auto table = parse_table(row + row, "test", {}, &report);
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_TRUE(report.headerless);
  EXPECT_EQ(table->rows(), 2u);
  EXPECT_EQ((*table->require("Stime"))->numbers[0], 1421927414);
}

TEST(Roles, WhoAndWhenAndWhatIsOnlyKnownAfterwards) {
  EXPECT_EQ(role_of(" Source IP"), Role::address);
  EXPECT_EQ(role_of("id.orig_p"), Role::port);
  EXPECT_EQ(role_of("Timestamp"), Role::time);
  EXPECT_EQ(role_of("Flow ID"), Role::id);
  EXPECT_EQ(role_of("attack_cat"), Role::label);
  EXPECT_EQ(role_of("difficulty"), Role::outcome);
  EXPECT_EQ(role_of("Attempted Category"), Role::outcome);
  EXPECT_EQ(role_of("Destination Port"), Role::feature);
  EXPECT_EQ(role_of("id.resp_p"), Role::feature);
  EXPECT_EQ(role_of("sttl"), Role::feature);
}

}  // namespace
}  // namespace nidus::data
