#include "serve/row_reader.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"

namespace nidus::serve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

model::Column numeric(std::string name) { return {std::move(name), model::Column::Kind::numeric, {}, ""}; }

class RowReaderTest : public testing::Test {
 protected:
  bool read(const std::string& text) {
    JsonReader json(text);
    row = std::vector<double>(reader.names().size(), -1);
    fault = {};
    return reader.read(json, row.data(), fault) && json.finish();
  }

  std::shared_ptr<const FeatureNames> names = std::make_shared<const FeatureNames>(
      model::Schema{numeric("Flow Duration"),
                    numeric("a"),
                    {"proto", model::Column::Kind::categorical, {"tcp", "udp", "6"}, ""}});
  RowReader reader{names};
  std::vector<double> row;
  RowFault fault;
};

TEST_F(RowReaderTest, NamesMayStandInAnyOrderCaseAndScheme) {
  ASSERT_TRUE(read(R"({"a":1.5,"proto":"udp","Flow Duration":3})")) << fault.detail;
  EXPECT_THAT(row, ElementsAre(3, 1.5, 1));
  ASSERT_TRUE(read(R"({" FLOW duration ":4,"A":2,"proto":"tcp"})")) << fault.detail;
  EXPECT_THAT(row, ElementsAre(4, 2, 0));
  ASSERT_TRUE(read(R"({"flow_duration":5,"a":2,"proto":6})")) << fault.detail;
  EXPECT_THAT(row, ElementsAre(5, 2, 2));
}

TEST_F(RowReaderTest, ListsAreInTheOrderOfTheSchema) {
  ASSERT_TRUE(read(R"([7, "8", "tcp"])")) << fault.detail;
  EXPECT_THAT(row, ElementsAre(7, 8, 0));
  EXPECT_FALSE(read("[7, 8]"));
  EXPECT_EQ(fault.detail, "Expected 3 features, got 2");
  EXPECT_FALSE(read("[7, 8, 1, {}, [1]]"));
  EXPECT_EQ(fault.detail, "Expected 3 features, got 5");
}

TEST_F(RowReaderTest, TextsAndTruthValuesBecomeNumbers) {
  ASSERT_TRUE(read(R"({"Flow Duration":" 1e3 ","a":true,"proto":"nonsense"})")) << fault.detail;
  EXPECT_EQ(row[0], 1000);
  EXPECT_EQ(row[1], 1);
  EXPECT_TRUE(std::isnan(row[2]));  // a category that the model never saw is missing to it
}

TEST_F(RowReaderTest, OtherNamesArePassedOver) {
  ASSERT_TRUE(read(R"({"x":{"deep":[1]},"Flow Duration":1,"y":null,"a":2,"proto":"tcp","z":"1"})"))
      << fault.detail;
  EXPECT_THAT(row, ElementsAre(1, 2, 0));
}

TEST_F(RowReaderTest, MissingNamesAreListed) {
  EXPECT_FALSE(read(R"({"a":1})"));
  EXPECT_THAT(fault.missing, ElementsAre("Flow Duration", "proto"));
  EXPECT_THAT(fault.detail, HasSubstr("2 of 3"));
  EXPECT_FALSE(read("{}"));
  EXPECT_EQ(fault.missing.size(), 3u);
}

TEST_F(RowReaderTest, NotMoreThanTenMissingNamesAreListed) {
  model::Schema schema;
  for (int i = 0; i < 30; ++i) schema.push_back(numeric(fmt::format("x{}", i)));
  RowReader wide(std::make_shared<const FeatureNames>(schema));
  JsonReader json("{}");
  std::vector<double> out(30);
  EXPECT_FALSE(wide.read(json, out.data(), fault));
  EXPECT_EQ(fault.missing.size(), 10u);
  EXPECT_THAT(fault.detail, HasSubstr("30 of 30"));
}

TEST_F(RowReaderTest, SaysWhichFeatureOfWhichRowIsNoNumber) {
  const auto detail = [&](const std::string& value) {
    reader.number_rows(3);
    EXPECT_FALSE(read("{\"a\":" + value + ",\"Flow Duration\":1,\"proto\":\"tcp\"}")) << value;
    return fault.detail;
  };
  EXPECT_EQ(detail("null"), "row 3: feature 'a' is null, expected a number");
  EXPECT_EQ(detail("NaN"), "row 3: feature 'a' is not finite (NaN or Infinity), expected a number");
  EXPECT_EQ(detail("-Infinity"), "row 3: feature 'a' is not finite (NaN or Infinity), expected a number");
  EXPECT_EQ(detail("\"nan\""), "row 3: feature 'a' is 'nan', not finite, expected a number");
  EXPECT_EQ(detail("\"-inf\""), "row 3: feature 'a' is '-inf', not finite, expected a number");
  EXPECT_EQ(detail("\"1e999\""), "row 3: feature 'a' is '1e999', larger than a float");
  EXPECT_EQ(detail("\"-1e39\""), "row 3: feature 'a' is '-1e39', larger than a float");
  EXPECT_EQ(detail("\"many\""), "row 3: feature 'a' is 'many', expected a number");
  EXPECT_EQ(detail("\"\""), "row 3: feature 'a' is '', expected a number");
  EXPECT_EQ(detail("1e39"), "row 3: feature 'a' is larger than a float");
  EXPECT_EQ(detail("-1e400"), "row 3: feature 'a' is larger than a float");
  EXPECT_EQ(detail("{}"), "row 3: feature 'a' is an object, expected a number");
  EXPECT_EQ(detail("[1]"), "row 3: feature 'a' is a list, expected a number");
  EXPECT_THAT(detail("1 2"), HasSubstr("row 3: malformed JSON: byte"));
  EXPECT_THAT(detail("tru"), HasSubstr("malformed JSON"));
}

TEST_F(RowReaderTest, TheSameNameTwiceIsRefused) {
  EXPECT_FALSE(read(R"({"a":1,"a":1,"Flow Duration":1,"proto":"tcp"})"));
  EXPECT_EQ(fault.detail, "feature 'a' is there twice");
  EXPECT_FALSE(read(R"({"A":1,"a":1,"Flow Duration":1,"proto":"tcp"})"));
}

TEST_F(RowReaderTest, TwoNamesOfAFeatureMustAgreeAndItsOwnWins) {
  RowReader canonical(std::make_shared<const FeatureNames>(model::Schema{numeric("fwd_hdr_bytes")}));
  const auto value = [&](const std::string& text) {
    JsonReader json(text);
    double out = -1;
    fault = {};
    return canonical.read(json, &out, fault) ? out : -1;
  };
  // CIC-IDS2017 has the column twice.
  EXPECT_EQ(value(R"({"Fwd Header Length":20,"Fwd Header Length.1":20})"), 20);
  EXPECT_EQ(value(R"({"Fwd Header Length":20,"Fwd Header Length.1":40})"), -1);
  EXPECT_THAT(fault.detail, HasSubstr("two names with two values"));
  EXPECT_EQ(value(R"({"Fwd Header Length":20,"fwd_hdr_bytes":30})"), 30);
  EXPECT_EQ(value(R"({"fwd_hdr_bytes":30,"Fwd Header Length":20})"), 30);
}

TEST_F(RowReaderTest, RowsThatAreTooWideOrNoRowsAreRefused) {
  std::string wide = "{";
  for (std::size_t i = 0; i <= RowReader::kMembersMax; ++i) wide += fmt::format("\"k{}\":1,", i);
  wide += "\"a\":1}";
  EXPECT_FALSE(read(wide));
  EXPECT_THAT(fault.detail, HasSubstr("more than 4096"));
  for (const char* text : {"1", "null", "\"a\"", "true", "NaN", "", "?"}) EXPECT_FALSE(read(text)) << text;
}

// Whatever the order of names in the rows before, a row is read as if it were the first.
TEST_F(RowReaderTest, WhatItRemembersOfOneRowDoesNotChangeAnother) {
  Random random(99);
  for (int round = 0; round < 5000; ++round) {
    std::vector<std::string> parts = {fmt::format("\"Flow Duration\":{}", round),
                                      fmt::format("\"a\" : {}", -round), "\"proto\":\"udp\""};
    for (auto n = random.below(3); n-- > 0;)
      parts.push_back(fmt::format("\"extra{}\":null", random.below(4)));
    for (std::size_t i = parts.size(); i > 1; --i) std::swap(parts[i - 1], parts[random.below(i)]);
    if (random.below(20) == 0) parts.pop_back();
    const std::string text = fmt::format("{{{}}}", fmt::join(parts, random.below(2) == 0 ? "," : " , "));
    RowReader fresh(names);
    JsonReader json(text);
    std::vector<double> expected(3, -1);
    RowFault first;
    const bool good = fresh.read(json, expected.data(), first);
    ASSERT_EQ(read(text), good) << text;
    EXPECT_EQ(fault.detail, first.detail) << text;
    if (good) {
      EXPECT_EQ(row, expected) << text;
    }
  }
}

}  // namespace
}  // namespace nidus::serve
