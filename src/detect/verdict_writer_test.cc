#include "detect/verdict_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/table_reader.h"
#include "detect/testing_detector.h"

namespace nidus::detect {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string written(VerdictFormat format, const Subject& subject, const Verdict& verdict) {
  const Detector judged_by = scan_detector();
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

TEST(VerdictWriterTest, TheThresholdIsTheOneThatWasUsed) {
  const Detector judged_by = scan_detector();
  const Subject subject = flow("10.0.0.1", "10.0.0.2", 22);
  for (const VerdictFormat format : {VerdictFormat::ndjson, VerdictFormat::eve}) {
    VerdictWriter writer({format, false, false}, judged_by);
    std::string out;
    writer.verdict(subject, kScan, out);
    writer.set_threshold(0.625);
    writer.verdict(subject, kScan, out);
    EXPECT_THAT(out.substr(0, out.find('\n')), HasSubstr(R"("threshold":0.5)"));
    EXPECT_THAT(out.substr(out.find('\n')), HasSubstr(R"("threshold":0.625)"));
  }
  VerdictWriter csv({VerdictFormat::csv, false, false}, judged_by);
  csv.set_threshold(0.625);
  std::string line;
  csv.verdict(subject, kScan, line);
  EXPECT_THAT(line, HasSubstr(",0.625,small,"));
}

TEST(VerdictWriterTest, WhatIsBenignIsNoAlert) {
  EXPECT_EQ(written(VerdictFormat::eve, flow("10.0.0.1", "10.0.0.2", 22), kBenign), "");
  EXPECT_EQ(written(VerdictFormat::table, flow("10.0.0.1", "10.0.0.2", 22), kBenign), "");
}

TEST(VerdictWriterTest, CsvIsReadBackAsItWasMeant) {
  const Detector judged_by = scan_detector();
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
  const auto table = data::parse_table(text);
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

// A row of a table without such columns, as those of NSL-KDD.
TEST(VerdictWriterTest, NothingIsInventedOfARow) {
  const auto table = data::parse_table("duration,hot\n1,0\n");
  ASSERT_TRUE(table);
  const Subject subject = TableSubjects(*table, "rows.csv").at(0);
  const auto row = nlohmann::json::parse(written(VerdictFormat::ndjson, subject, kScan));
  for (const char* const key : {"start", "last", "src_port", "dst_port", "protocol", "fwd_pkts", "bwd_pkts",
                                "fwd_bytes", "bwd_bytes"}) {
    EXPECT_FALSE(row.contains(key)) << key;
  }
  EXPECT_THAT(written(VerdictFormat::csv, subject, kScan), testing::StartsWith("rows.csv,1,,,,,,,,,,,scan,"));
  const auto event = nlohmann::json::parse(written(VerdictFormat::eve, subject, kScan));
  EXPECT_FALSE(event.contains("timestamp"));
  EXPECT_FALSE(event.contains("proto"));
  EXPECT_TRUE(event["flow"].empty());
  EXPECT_EQ(event["alert"]["signature"], "nidus small: scan");
  EXPECT_THAT(written(VerdictFormat::table, subject, kScan),
              testing::ContainsRegex("row 1 .* - +- +-  scan"));
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

}  // namespace
}  // namespace nidus::detect
