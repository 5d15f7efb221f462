#include "detect/summary.h"

#include <gmock/gmock.h>

#include <gtest/gtest.h>
#include <cmath>

#include <nlohmann/json.hpp>

#include "detect/testing_detector.h"

namespace nidus::detect {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(SummaryTest, WhatCouldNotBeJudgedIsSaid) {
  const Detector judged_by = scan_detector();
  VerdictSummary summary(judged_by);
  summary.add(flow("10.0.0.1", "10.0.0.2", 80), kBenign);
  summary.add(flow("10.0.0.1", "10.0.0.2", 80), {0, std::nan(""), std::nan("")});
  EXPECT_EQ(summary.attacks(), 0u);
  EXPECT_EQ(summary.unjudged(), 1u);
  EXPECT_THAT(summary.to_text({}), HasSubstr("1 flows could not be judged"));
  EXPECT_THAT(summary.to_json(5), HasSubstr(R"("unjudged":1)"));
}

TEST(SummaryTest, RowsWithoutOneValueAreSaid) {
  const Detector judged_by = scan_detector();
  VerdictSummary summary(judged_by);
  summary.add(flow("10.0.0.1", "10.0.0.2", 80), kBenign);
  EXPECT_THAT(summary.to_json(5), Not(HasSubstr("without_values")));
  EXPECT_THAT(summary.to_text({}), Not(HasSubstr("one value")));
  summary.add_empty(1);
  EXPECT_THAT(summary.to_text({}), HasSubstr("1 flows have not one value"));
  EXPECT_THAT(summary.to_json(5), HasSubstr(R"("without_values":1)"));
}

TEST(SummaryTest, CountsByLabelAndRanksSources) {
  const Detector judged_by = scan_detector();
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
  const Detector judged_by = scan_detector();
  SummaryOptions options;
  options.sources_max = 10;
  VerdictSummary summary(judged_by, options);
  for (int i = 0; i < 200; ++i) summary.add(flow("10.0.0." + std::to_string(i), "10.1.0.1", 80), kScan);
  EXPECT_EQ(nlohmann::json::parse(summary.to_json(99))["labels"][0]["flows_of_uncounted_sources"], 190);
  EXPECT_THAT(summary.to_text({}), HasSubstr("over 5 more"));
}

TEST(SummaryTest, PacketsThatNoRowTellsAreNotZero) {
  const Detector judged_by = scan_detector();
  Subject row = flow("10.0.0.9", "10.0.0.2", 80);
  row.has_packets[0] = row.has_packets[1] = row.has_bytes[0] = row.has_bytes[1] = false;
  VerdictSummary summary(judged_by);
  summary.add(row, kScan);
  EXPECT_THAT(summary.to_text({}), testing::ContainsRegex("scan +1 +100.0 % +- +- "));
  const auto json = nlohmann::json::parse(summary.to_json(1));
  EXPECT_FALSE(json["labels"][0].contains("packets"));
  EXPECT_FALSE(json["labels"][0].contains("payload_bytes"));
  EXPECT_FALSE(json["labels"][0]["top_sources"][0].contains("packets"));
  summary.add(flow("10.0.0.9", "10.0.0.2", 80), kScan);
  EXPECT_TRUE(nlohmann::json::parse(summary.to_json(1))["labels"][0].contains("packets"));
}

TEST(SummaryTest, NothingAtAll) {
  const Detector judged_by = scan_detector();
  EXPECT_THAT(VerdictSummary(judged_by).to_text({}), HasSubstr("None of 0 flows"));
}

}  // namespace
}  // namespace nidus::detect
