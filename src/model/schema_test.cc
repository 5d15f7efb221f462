#include "model/schema.h"

#include <gmock/gmock.h>

namespace nidus::model {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsNan;

Schema flow_schema() {
  Schema schema(2);
  schema[0].name = "bytes";
  schema[1].name = "service";
  schema[1].kind = Column::Kind::categorical;
  schema[1].vocabulary = {"http", "dns"};
  return schema;
}

TEST(TableRows, ColumnsAreBoundByNameInAnyOrder) {
  data::Table table;
  table.add(data::Column::text("Service", std::vector<std::string>{"dns", "ssh", "", "http"}));
  table.add(data::Column::numeric("extra", {9, 9, 9, 9}));
  table.add(data::Column::numeric("bytes", {1, 2, 3, 4}));
  const auto rows = TableRows::bind(flow_schema(), table);
  ASSERT_TRUE(rows);
  EXPECT_THAT(rows->all(), ElementsAre(1, 1, 2, IsNan(), 3, IsNan(), 4, 0));
}

TEST(TableRows, TheFirstMissingColumnIsNamed) {
  data::Table table;
  table.add(data::Column::numeric("byte", {1}));
  const auto rows = TableRows::bind(flow_schema(), table);
  ASSERT_FALSE(rows);
  EXPECT_THAT(rows.error().message, HasSubstr("no column 'bytes', did you mean 'byte'?"));
}

TEST(TableRows, TextWhereNumbersAreWantedIsRefused) {
  data::Table table;
  table.add(data::Column::text("bytes", std::vector<std::string>{"", "12", "many"}));
  table.add(data::Column::text("service", std::vector<std::string>{"dns", "dns", "dns"}));
  EXPECT_THAT(TableRows::bind(flow_schema(), table).error().message, HasSubstr("such as 'many' in row 3"));
}

TEST(TableRows, NumbersCanBeCategories) {
  Schema schema(1);
  schema[0].name = "protocol";
  schema[0].kind = Column::Kind::categorical;
  schema[0].vocabulary = {"17", "6"};
  data::Table table;
  table.add(data::Column::numeric("protocol", {6, 17, 1}));
  EXPECT_THAT(TableRows::bind(schema, table)->all(), ElementsAre(1, 0, IsNan()));
}

TEST(Schema, FindsColumnsInAnyCase) {
  EXPECT_EQ(find_column(flow_schema(), " SERVICE "), 1u);
  EXPECT_FALSE(find_column(flow_schema(), "port"));
}

}  // namespace
}  // namespace nidus::model
