#include "data/table.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

namespace nidus::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const double kNan = std::numeric_limits<double>::quiet_NaN();

Table two_columns() {
  Table table;
  table.add(Column::numeric("bytes", {10, kNan, 30}));
  table.add(Column::text("service", std::vector<std::string>{"http", "", "dns"}));
  return table;
}

TEST(Table, FindsColumnsWithoutRegardToCaseAndBlanks) {
  const Table table = two_columns();
  EXPECT_EQ(table.find(" Service "), 1u);
  EXPECT_EQ(table.find("bytes"), 0u);
  EXPECT_FALSE(table.find("byte"));
}

TEST(Table, AnExactNameWinsOverOneThatDiffersInCase) {
  Table table;
  table.add(Column::numeric("LABEL", {1}));
  table.add(Column::numeric("label", {2}));
  EXPECT_EQ(table.find("label"), 1u);
  EXPECT_EQ(table.find("Label"), 0u);
}

TEST(Table, OffersTheClosestName) {
  const Table table = two_columns();
  const auto missing = table.require("servce");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Errc::not_found);
  EXPECT_THAT(missing.error().message, HasSubstr("did you mean 'service'?"));
}

TEST(Table, ATakenNameIsNumberedLikePandasDoes) {
  Table table;
  for (int i = 0; i < 3; ++i) table.add(Column::numeric(" a ", {1}));
  EXPECT_EQ(table.column(0).name, "a");
  EXPECT_EQ(table.column(1).name, "a.1");
  EXPECT_EQ(table.column(2).name, "a.2");
}

TEST(Table, AppendedRowsAreMatchedByNameAndText) {
  Table table = two_columns();
  Table more;
  more.add(Column::text("service", std::vector<std::string>{"dns", "ssh"}));
  more.add(Column::numeric("Bytes", {40, 50}));
  ASSERT_TRUE(table.append(more));
  EXPECT_EQ(table.rows(), 5u);
  EXPECT_EQ(table.column(1).text_at(2), "dns");
  EXPECT_EQ(table.column(1).text_at(3), "dns");
  EXPECT_EQ(table.column(1).codes[2], table.column(1).codes[3]);
  EXPECT_EQ(table.column(1).text_at(4), "ssh");
  EXPECT_EQ(table.column(0).numbers[4], 50);
  EXPECT_TRUE(table.column(1).missing(1));
}

TEST(Table, AppendRefusesOtherColumnsAndChangesNothing) {
  Table table = two_columns();
  Table more;
  more.add(Column::text("service", std::vector<std::string>{"dns"}));
  EXPECT_THAT(table.append(more).error().message, HasSubstr("no column 'bytes'"));
  more.add(Column::text("bytes", std::vector<std::string>{"many"}));
  EXPECT_THAT(table.append(more).error().message, HasSubstr("holds numbers, in the added rows text"));
  EXPECT_EQ(table.rows(), 3u);
}

TEST(Table, TakesRowsAndSelectsColumns) {
  const Table table = two_columns();
  const std::vector<std::size_t> rows = {2, 0, 2};
  const Table taken = table.take(rows);
  EXPECT_THAT(taken.column(0).numbers, ElementsAre(30, 10, 30));
  EXPECT_EQ(taken.column(1).text_at(0), "dns");
  const std::vector<std::size_t> columns = {1};
  EXPECT_EQ(table.select(columns).columns(), 1u);
  EXPECT_EQ(table.select(columns).column(0).name, "service");
}

TEST(Table, CellsAreSpelledAsTheyWouldBeWritten) {
  const Table table = two_columns();
  EXPECT_EQ(table.column(0).cell(0), "10");
  EXPECT_EQ(table.column(0).cell(1), "");
  EXPECT_EQ(table.column(1).cell(2), "dns");
}

TEST(Dictionary, GivesEachTextOneCodeWhileItGrows) {
  Dictionary dictionary;
  std::vector<std::string> vocabulary;
  for (int round = 0; round < 2; ++round) {
    for (std::uint32_t i = 0; i < 1000; ++i)
      EXPECT_EQ(dictionary.code("t" + std::to_string(i), vocabulary), i);
  }
  EXPECT_EQ(vocabulary.size(), 1000u);
  EXPECT_EQ(dictionary.code("", vocabulary), kMissing);
}

}  // namespace
}  // namespace nidus::data
