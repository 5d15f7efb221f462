#include <gmock/gmock.h>

#include <limits>

#include "data/csv_writer.h"
#include "data/table_reader.h"

namespace nidus::data {
namespace {

TEST(CsvWriter, QuotesWhatNeedsIt) {
  CsvWriter csv;
  csv.text("plain");
  csv.text("a,b");
  csv.text("say \"no\"");
  csv.text("two\nlines");
  csv.text("");
  csv.number(0.1);
  csv.number(std::numeric_limits<double>::quiet_NaN());
  csv.end_row();
  EXPECT_EQ(csv.buffer(), "plain,\"a,b\",\"say \"\"no\"\"\",\"two\nlines\",,0.1,\n");
}

TEST(CsvWriter, ARowThatIsOneEmptyCellDoesNotVanish) {
  CsvWriter csv;
  csv.text("");
  csv.end_row();
  EXPECT_EQ(csv.buffer(), "\"\"\n");
}

TEST(CsvWriter, WhatWasWrittenReadsBackTheSame) {
  Table table;
  const double inf = std::numeric_limits<double>::infinity();
  table.add(Column::numeric("n", {0.1, -1e300, inf, 3, std::numeric_limits<double>::denorm_min()}));
  table.add(Column::text("t", std::vector<std::string>{"a,b", "\"", " blank ", "x\r\ny", "z"}));
  CsvWriter csv;
  write_csv(table, csv);
  const auto again = parse_table(csv.buffer());
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, table);
}

TEST(CsvWriter, AFullDiskIsNoticed) {
  std::FILE* full = std::fopen("/dev/full", "w");
  if (full == nullptr) GTEST_SKIP() << "no /dev/full here";
  CsvWriter csv(full);
  csv.text(std::string(100000, 'x'));
  csv.end_row();
  EXPECT_FALSE(csv.finish());
  std::fclose(full);
}

}  // namespace
}  // namespace nidus::data
