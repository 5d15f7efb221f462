#include "learn/dataset.h"

#include <gmock/gmock.h>

#include <limits>

#include "learn/preprocess_learner.h"

namespace nidus::learn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsNan;

data::Table flows() {
  data::Table table;
  table.add(data::Column::numeric("bytes", {1, 2, 3, std::numeric_limits<double>::infinity()}));
  table.add(data::Column::text("service", std::vector<std::string>{"http", "dns", "ssh", "http"}));
  table.add(data::Column::text("label", std::vector<std::string>{"normal", "scan", "", "scan"}));
  return table;
}

TEST(Dataset, CategoriesComeFromTheRowsLearntFrom) {
  const data::Table table = flows();
  const std::vector<std::string> columns = {"bytes", "service"};
  const std::vector<std::size_t> rows = {0, 1};
  const auto schema = learn_schema(table, columns, rows);
  ASSERT_TRUE(schema);
  EXPECT_THAT((*schema)[1].vocabulary, ElementsAre("dns", "http"));

  const auto labels = data::read_labels(table, "label");
  const auto dataset = make_dataset(*schema, labels->classes, table, *labels);
  ASSERT_TRUE(dataset);
  EXPECT_EQ(dataset->rows(), 3u);  // one row has no label
  EXPECT_THAT(dataset->labels, ElementsAre(0, 1, 1));
  EXPECT_THAT(dataset->values, ElementsAre(1, 1, 2, 0, std::numeric_limits<float>::infinity(), 1));
  EXPECT_THAT(make_dataset(*schema, {"benign", "flood"}, table, *labels).error().message,
              HasSubstr("label 'scan' is none of the classes"));
}

TEST(Dataset, AnAddressIsNoFeature) {
  data::Table table;
  std::vector<std::string> addresses;
  for (int i = 0; i < 50; ++i) addresses.push_back("10.0.0." + std::to_string(i));
  table.add(data::Column::text("src", addresses));
  const std::vector<std::string> columns = {"src"};
  std::vector<std::size_t> rows;
  for (std::size_t i = 0; i < 50; ++i) rows.push_back(i);
  EXPECT_THAT(learn_schema(table, columns, rows, {}, 20).error().message,
              HasSubstr("'src' has more than 20"));
}

TEST(Preprocessing, IsLearntFromFiniteValues) {
  Dataset data;
  data.schema.resize(2);
  data.schema[0].name = "n";
  data.schema[1].name = "c";
  data.schema[1].kind = model::Column::Kind::categorical;
  data.schema[1].vocabulary = {"a", "b"};
  data.classes = {"benign", "attack"};
  const float nan = std::numeric_limits<float>::quiet_NaN();
  data.values = {0, 0, 10, 1, nan, nan, 5, 1};
  data.labels = {0, 1, 0, 1};
  PreprocessOptions options;
  options.scaling = PreprocessOptions::Scaling::min_max;
  options.one_hot = true;
  options.fill_missing = true;
  const auto before = learn_preprocessor(data, options);
  ASSERT_TRUE(before);
  const Dataset after = preprocess(*before, data);
  EXPECT_THAT(after.values, ElementsAre(0, 1, 0, 1, 0, 1, 0.5, 0, 0, 0.5, 0, 1));
  EXPECT_EQ(after.schema[2].name, "c=b");
  options.scaling = PreprocessOptions::Scaling::standard;
  const Dataset standard = preprocess(*learn_preprocessor(data, options), data);
  EXPECT_NEAR(standard.values[0], -1.2247, 1e-4);
  EXPECT_NEAR(standard.values[9], 0, 1e-6);
}

}  // namespace
}  // namespace nidus::learn
