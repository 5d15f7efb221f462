#include "detect/verdict_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/csv.h"
#include "detect/summary.h"
#include "detect/testing_detector.h"
#include "net/address.h"

namespace nidus::detect {
namespace {

using testing::HasSubstr;
using testing::Not;

Detector detector() { return *Detector::make(classes_manifest(0.5), {classes_model({1, 0, 0}, {0, 0, 1})}); }

Subject flow(std::string_view from, std::string_view to, std::uint16_t to_port,
             std::int64_t start_us = 1'700'000'000'123'456) {
  Subject subject;
  subject.input = "day.pcap";
  subject.number = 7;
  subject.has_addresses = true;
  const auto source = net::parse_address(from), destination = net::parse_address(to);
  subject.tuple = {source->address,    destination->address, 4000, to_port,
                   net::protocol::tcp, source->version,      0};
  subject.start_us = start_us;
  subject.last_us = start_us + 1'000'000;
  subject.packets[0] = 3;
  subject.bytes[0] = 100;
  return subject;
}

const Verdict kScan{2, 0.75, 0.875}, kBenign{0, 0.9, 0.125};

std::string written(VerdictFormat format, const Subject& subject, const Verdict& verdict) {
  const Detector judged_by = detector();
  VerdictWriter writer({format, false, false}, judged_by);
  std::string out;
  writer.verdict(subject, verdict, out);
  return out;
}

TEST(VerdictWriterTest, EveIsASuricataAlert) {
  const auto event =
      nlohmann::json::parse(written(VerdictFormat::eve, flow("10.0.0.1", "10.0.0.2", 22), kScan));
  EXPECT_EQ(event["event_type"], "alert");
  EXPECT_EQ(event["timestamp"], "2023-11-14T22:13:21.123456+0000");
  EXPECT_EQ(event["src_ip"], "10.0.0.1");
  EXPECT_EQ(event["src_port"], 4000);
  EXPECT_EQ(event["dest_ip"], "10.0.0.2");
  EXPECT_EQ(event["dest_port"], 22);
  EXPECT_EQ(event["proto"], "TCP");
  EXPECT_EQ(event["alert"]["signature"], "nidus small: scan");
  EXPECT_EQ(event["alert"]["category"], "Detection of a Network Scan");
  EXPECT_EQ(event["alert"]["severity"], 2);
  EXPECT_EQ(event["flow"]["pkts_toserver"], 3);
  EXPECT_EQ(event["nidus"]["label"], "scan");
  EXPECT_EQ(event["nidus"]["score"], 0.875);
  EXPECT_THAT(event["community_id"].get<std::string>(), HasSubstr("1:"));
  EXPECT_LT(event["flow_id"].get<std::uint64_t>(), std::uint64_t{1} << 53);
}

TEST(VerdictWriterTest, WhatIsBenignIsNoAlert) {
  EXPECT_EQ(written(VerdictFormat::eve, flow("10.0.0.1", "10.0.0.2", 22), kBenign), "");
  EXPECT_EQ(written(VerdictFormat::table, flow("10.0.0.1", "10.0.0.2", 22), kBenign), "");
}

TEST(VerdictWriterTest, CsvIsReadBackAsItWasMeant) {
  const Detector judged_by = detector();
  VerdictWriter writer({VerdictFormat::csv, false, false}, judged_by);
  std::string text;
  writer.header(text);
  Subject odd = flow("2001:db8::1", "2001:db8::2", 80);
  odd.input = "a \"day\", packed.pcap";
  writer.verdict(odd, kBenign, text);
  Subject unknown;
  unknown.input = "rows.csv";
  unknown.number = 2;
  writer.verdict(unknown, kScan, text);
  const auto table = data::parse_csv(text);
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_EQ(table->get("input")->text_at(0), odd.input);
  EXPECT_EQ(table->get("src_ip")->text_at(0), "2001:db8::1");
  EXPECT_EQ(table->get("label")->text_at(0), "benign");
  EXPECT_TRUE(table->get("src_ip")->missing(1));
  EXPECT_EQ(table->get("score")->numbers[1], 0.875);
}

TEST(VerdictWriterTest, NdjsonSaysWhatIsKnown) {
  const auto line =
      nlohmann::json::parse(written(VerdictFormat::ndjson, flow("10.0.0.1", "10.0.0.2", 22), kBenign));
  EXPECT_EQ(line["label"], "benign");
  EXPECT_EQ(line["dst_port"], 22);
  Subject unknown;
  unknown.input = "rows.csv";
  const auto row = nlohmann::json::parse(written(VerdictFormat::ndjson, unknown, kScan));
  EXPECT_FALSE(row.contains("src_ip"));
}

TEST(VerdictWriterTest, ATableRowIsForPeople) {
  const std::string line = written(VerdictFormat::table, flow("10.0.0.1", "10.0.0.2", 22), kScan);
  EXPECT_THAT(line, HasSubstr("2023-11-14 22:13:20.123456 10.0.0.1:4000"));
  EXPECT_THAT(line, HasSubstr("scan"));
  EXPECT_THAT(line, Not(HasSubstr("\x1b")));
}

TEST(VerdictWriterTest, TheSameFlowHasTheSameNumber) {
  EXPECT_EQ(flow_number(flow("10.0.0.1", "10.0.0.2", 22)), flow_number(flow("10.0.0.1", "10.0.0.2", 22)));
  EXPECT_NE(flow_number(flow("10.0.0.1", "10.0.0.2", 22)), flow_number(flow("10.0.0.1", "10.0.0.2", 23)));
}

TEST(SubjectTest, RowsOfFlowTablesKnowTheirFlow) {
  const auto table = data::parse_csv(
      "src_ip,src_port,dst_ip,dst_port,protocol,timestamp,flow_duration,fwd_pkts,bwd_pkts\n"
      "10.0.0.1,4000,10.0.0.2,22,6,2023-11-14T22:13:20.123456Z,1000000,3,2\n"
      "nobody,4000,10.0.0.2,22,6,yesterday,0,1,0\n");
  ASSERT_TRUE(table);
  const TableSubjects subjects(*table, "rows.csv");
  const Subject first = subjects.at(0);
  EXPECT_EQ(source_text(first), "10.0.0.1:4000");
  EXPECT_EQ(destination_text(first), "10.0.0.2:22");
  EXPECT_EQ(first.start_us, 1'700'000'000'123'456);
  EXPECT_EQ(first.last_us, 1'700'000'001'123'456);
  EXPECT_EQ(first.packets_both(), 5u);
  EXPECT_FALSE(subjects.at(1).has_addresses);
  EXPECT_FALSE(subjects.at(1).start_us);
}

TEST(SummaryTest, CountsByLabelAndRanksSources) {
  const Detector judged_by = detector();
  VerdictSummary summary(judged_by);
  for (std::uint16_t port = 1; port <= 30; ++port) summary.add(flow("10.0.0.9", "10.0.0.2", port), kScan);
  summary.add(flow("10.0.0.8", "10.0.0.2", 80), kScan);
  for (int i = 0; i < 69; ++i) summary.add(flow("10.0.0.1", "10.0.0.2", 443), kBenign);
  EXPECT_EQ(summary.flows(), 100u);
  EXPECT_EQ(summary.attacks(), 31u);
  const std::string text = summary.to_text({});
  EXPECT_THAT(text, HasSubstr("31 of 100 flows look like attacks"));
  EXPECT_THAT(text, HasSubstr("31.0 %"));
  EXPECT_THAT(text, HasSubstr("10.0.0.9  -> 10.0.0.2, 30 ports"));
  EXPECT_THAT(text, HasSubstr("10.0.0.8  -> 10.0.0.2:80"));
  EXPECT_LT(text.find("10.0.0.9"), text.find("10.0.0.8"));
  EXPECT_THAT(text, Not(HasSubstr("dos")));
  const auto json = nlohmann::json::parse(summary.to_json(1));
  EXPECT_EQ(json["attacks"], 31);
  EXPECT_EQ(json["labels"][0]["label"], "scan");
  EXPECT_EQ(json["labels"][0]["sources"], 2);
  EXPECT_EQ(json["labels"][0]["top_sources"].size(), 1u);
}

TEST(SummaryTest, AFloodOfSourcesStaysInItsBounds) {
  const Detector judged_by = detector();
  SummaryOptions options;
  options.sources_max = 10;
  VerdictSummary summary(judged_by, options);
  for (int i = 0; i < 200; ++i) summary.add(flow("10.0.0." + std::to_string(i), "10.1.0.1", 80), kScan);
  EXPECT_EQ(nlohmann::json::parse(summary.to_json(99))["labels"][0]["flows_of_uncounted_sources"], 190);
  EXPECT_THAT(summary.to_text({}), HasSubstr("over 5 more"));
}

TEST(SummaryTest, NothingAtAll) {
  const Detector judged_by = detector();
  EXPECT_THAT(VerdictSummary(judged_by).to_text({}), HasSubstr("None of 0 flows"));
}

}  // namespace
}  // namespace nidus::detect
