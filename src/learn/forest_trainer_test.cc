#include "learn/forest_trainer.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/random.h"
#include "learn/metrics.h"
#include "model/model_file.h"

namespace nidus::learn {
namespace {

using ::testing::HasSubstr;

Dataset empty_dataset(std::size_t inputs, std::size_t classes) {
  Dataset out;
  out.schema.resize(inputs);
  for (std::size_t i = 0; i < inputs; ++i) out.schema[i].name = fmt::format("x{}", i);
  for (std::size_t i = 0; i < classes; ++i) out.classes.push_back(fmt::format("c{}", i));
  return out;
}

// Class 1 where x0 + x1 > 1, with noise columns beside; the same for a seed.
Dataset drawn(std::size_t rows, std::uint64_t seed, std::size_t inputs = 6, bool shuffled_labels = false) {
  Random random(seed);
  Dataset out = empty_dataset(inputs, 2);
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t i = 0; i < inputs; ++i) out.values.push_back(static_cast<float>(random.unit()));
    const float* x = &out.values[row * inputs];
    out.labels.push_back(shuffled_labels   ? static_cast<std::uint32_t>(random.below(2))
                         : x[0] + x[1] > 1 ? 1
                                           : 0);
  }
  return out;
}

double auc(const model::Model& model, const Dataset& dataset) {
  const auto scores = model::attack_scores(model, dataset.values, dataset.rows());
  std::vector<std::uint8_t> positive;
  for (const auto label : dataset.labels) positive.push_back(label != 0);
  return roc_auc(scores, positive).value_or(-1);
}

std::string bytes_of(const model::Forest& forest, const Dataset& dataset) {
  model::ModelFile file;
  file.schema = dataset.schema;
  file.classes = dataset.classes;
  file.model = std::make_shared<const model::Forest>(forest);
  return *model::serialise(file);
}

// One tree on all rows and features, so that its first split is known.
ForestOptions one_tree(std::size_t features) {
  ForestOptions options;
  options.trees = 1;
  options.bootstrap = false;
  options.features_per_split = features;
  options.threads = 1;
  return options;
}

TEST(Forest, MakesTheBestSplitInTheMiddleOfTheGap) {
  Dataset data = empty_dataset(2, 2);
  //             x0 says nothing, x1 separates between 3 and 7
  data.values = {1, 1, 2, 3, 1, 2, 2, 7, 1, 9, 2, 8};
  data.labels = {0, 0, 0, 1, 1, 1};
  const auto fitted = fit_forest(data, one_tree(2));
  ASSERT_TRUE(fitted) << fitted.error().message;
  const auto tree = fitted->forest.trees().tree(0);
  ASSERT_EQ(tree.size(), 3u);
  EXPECT_EQ(tree[0].feature(), 1u);
  EXPECT_EQ(tree[0].threshold(), 5.0f);
  EXPECT_EQ(model::all_scores(fitted->forest, data.values, 6), (std::vector<double>{0, 0, 0, 1, 1, 1}));
}

TEST(Forest, GiniPrefersThePurerOfTwoCuts) {
  // x: 1 2 3 4 5 6, labels 0 0 1 0 1 1. Cutting at 2.5 leaves 2|4 rows with 1.5 weighted impurity (0 +
  // 4*2*(3/4)(1/4)), at 4.5 the same by symmetry, at 3.5 3|3 rows with 2*3*2*(2/3)(1/3) = 2.67: 2.5 comes
  // first.
  Dataset data = empty_dataset(1, 2);
  data.values = {1, 2, 3, 4, 5, 6};
  data.labels = {0, 0, 1, 0, 1, 1};
  ForestOptions options = one_tree(1);
  options.max_depth = 1;
  const auto fitted = fit_forest(data, options);
  ASSERT_TRUE(fitted);
  EXPECT_EQ(fitted->forest.trees().tree(0)[0].threshold(), 2.5f);
  EXPECT_EQ(model::all_scores(fitted->forest, std::vector<float>{2, 3}, 2), (std::vector<double>{0, 0.75}));
}

// The weighted Gini impurity that a cut of one column leaves, by counting.
double impurity_left(const Dataset& data, std::size_t feature, float threshold) {
  double result = 0;
  for (const bool side : {true, false}) {
    std::vector<double> by_class(data.classes.size());
    double sum = 0, squares = 0;
    for (std::size_t row = 0; row < data.rows(); ++row) {
      const float x = data.at(row, feature);
      if ((!(x > threshold)) != side) continue;
      const double weight = data.weights.empty() ? 1.0 : static_cast<double>(data.weights[row]);
      by_class[data.labels[row]] += weight;
      sum += weight;
    }
    if (sum == 0) return std::numeric_limits<double>::infinity();
    for (const double weight : by_class) squares += weight * weight;
    result += sum - squares / sum;
  }
  return result;
}

// Few rows are sorted, some are counted in the bins they fill, many in all; two classes are counted in whole
// numbers, more of them or rows with weights in fractions. All must find what trying every cut finds.
TEST(Forest, TheFirstSplitIsTheBestOfAllCuts) {
  Random random(17);
  for (int round = 0; round < 120; ++round) {
    const std::size_t rows = std::array{8u, 14u, 15u, 90u, 400u, 401u, 700u}[random.below(7)];
    const std::size_t classes = 2 + random.below(3), inputs = 1 + random.below(4),
                      values = 2 + random.below(120);
    Dataset data = empty_dataset(inputs, classes);
    for (std::size_t row = 0; row < rows; ++row) {
      std::size_t sum = 0;
      for (std::size_t i = 0; i < inputs; ++i) {
        const std::size_t value = random.below(values);
        sum += value;
        data.values.push_back(random.below(10) == 0 ? std::nanf("") : static_cast<float>(value) / 8);
      }
      data.labels.push_back(static_cast<std::uint32_t>((sum / (1 + values / 4) + random.below(2)) % classes));
      if (round % 3 == 0) data.weights.push_back(static_cast<float>(random.below(5)) / 2);
    }
    data.labels[0] = 0;
    data.labels[1] = 1;
    if (!data.weights.empty()) data.weights[0] = data.weights[1] = 1;
    double best = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < inputs; ++i) {
      best = std::min(best, impurity_left(data, i, -std::numeric_limits<float>::infinity()));
      for (std::size_t value = 0; value < values; ++value) {
        best = std::min(best, impurity_left(data, i, static_cast<float>(value) / 8 + 0.01f));
      }
    }
    ForestOptions options = one_tree(inputs);
    options.max_depth = 1;
    const auto fitted = fit_forest(data, options);
    ASSERT_TRUE(fitted) << fitted.error().message;
    const auto tree = fitted->forest.trees().tree(0);
    if (tree.size() == 1) {
      EXPECT_TRUE(std::isinf(best)) << round;
      continue;
    }
    EXPECT_NEAR(impurity_left(data, tree[0].feature(), tree[0].threshold()), best, 1e-9) << round;
  }
}

// Deep down, rows are copied together into small tables, and those again. A tree that may grow until its
// leaves are pure knows every row it has seen, if no two of them are equal.
TEST(Forest, AFullTreeKnowsItsRowsHoweverDeep) {
  for (const std::size_t classes : {2u, 3u}) {
    Random random(3);
    Dataset data = empty_dataset(5, classes);
    for (std::size_t row = 0; row < 70'000; ++row) {
      // The first four digits, so that rows differ in their bins too; the fifth column says nothing.
      for (std::size_t i = 0, rest = row; i < 4; ++i, rest /= 17)
        data.values.push_back(static_cast<float>(rest % 17));
      data.values.push_back(static_cast<float>(random.unit()));
      data.labels.push_back(static_cast<std::uint32_t>(random.below(classes)));
    }
    if (classes == 3) data.weights.assign(data.rows(), 0.5f);
    for (const bool extra : {false, true}) {
      ForestOptions options = one_tree(2);
      options.extra_trees = extra;
      const auto fitted = fit_forest(data, options);
      ASSERT_TRUE(fitted);
      const auto scores = model::all_scores(fitted->forest, data.values, data.rows());
      const std::size_t width = fitted->forest.outputs();
      std::size_t wrong = 0;
      for (std::size_t row = 0; row < data.rows(); ++row) {
        const double score = width == 1 ? scores[row] : scores[row * width + data.labels[row]];
        wrong += score != (width == 1 ? data.labels[row] : 1.0) ? 1 : 0;
      }
      EXPECT_EQ(wrong, 0u);
    }
  }
}

// Twenty thousand values, and classes that meet in 180 places, some of them rare: bins of as many rows each
// would miss them.
TEST(Forest, BinsAreKeptForWhereClassesMeet) {
  Dataset data = empty_dataset(1, 3);
  Random random(2);
  std::uint32_t cls = 0;
  std::size_t left = 0;
  for (std::size_t row = 0; row < 20'000; ++row) {
    if (left-- == 0) {
      cls = (cls + 1 + static_cast<std::uint32_t>(random.below(2))) % 3;
      left = random.below(220);
    }
    data.values.push_back(static_cast<float>(row) + static_cast<float>(random.unit()) / 2);
    data.labels.push_back(cls);
  }
  const auto fitted = fit_forest(data, one_tree(1));
  ASSERT_TRUE(fitted) << fitted.error().message;
  const auto scores = model::all_scores(fitted->forest, data.values, data.rows());
  for (std::size_t row = 0; row < data.rows(); ++row)
    ASSERT_EQ(scores[row * 3 + data.labels[row]], 1.0) << row;
}

TEST(Forest, GrowsThroughExclusiveOr) {
  Dataset data = empty_dataset(2, 2);
  data.values = {0, 0, 0, 1, 1, 0, 1, 1};
  data.labels = {0, 1, 1, 0};
  const auto fitted = fit_forest(data, one_tree(2));
  ASSERT_TRUE(fitted);
  EXPECT_EQ(model::all_scores(fitted->forest, data.values, 4), (std::vector<double>{0, 1, 1, 0}));
}

TEST(Forest, MissingAndInfiniteValuesHavePlaces) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  Dataset data = empty_dataset(1, 2);
  data.values = {nan, nan, 1, 2, inf, inf};
  data.labels = {1, 1, 0, 0, 1, 1};
  const auto fitted = fit_forest(data, one_tree(1));
  ASSERT_TRUE(fitted);
  EXPECT_EQ(model::all_scores(fitted->forest, data.values, 6), (std::vector<double>{1, 1, 0, 0, 1, 1}));
}

TEST(Forest, TheSameSeedGivesTheSameBytesWhateverTheThreads) {
  const Dataset data = drawn(1500, 11);
  for (const std::size_t nodes_max : {0u, 2000u, 1u}) {
    std::vector<std::string> bytes;
    for (const std::size_t threads : {1u, 2u, 5u}) {
      ForestOptions options;
      options.extra_trees = nodes_max == 1;
      options.trees = 13;
      options.threads = threads;
      options.seed = 42;
      options.nodes_max = nodes_max == 1 ? 0 : nodes_max;
      options.out_of_bag = true;
      const auto fitted = fit_forest(data, options);
      ASSERT_TRUE(fitted);
      bytes.push_back(bytes_of(fitted->forest, data) + std::to_string(*fitted->out_of_bag_accuracy));
    }
    EXPECT_EQ(bytes[0], bytes[1]);
    EXPECT_EQ(bytes[0], bytes[2]);
  }
  ForestOptions other;
  other.trees = 13;
  other.seed = 43;
  EXPECT_NE(bytes_of(fit_forest(data, other)->forest, data), "");
}

TEST(Forest, LearnsWhatCanBeLearntAndNothingElse) {
  ForestOptions options;
  options.trees = 40;
  options.out_of_bag = true;
  const Dataset unseen = drawn(3000, 99);
  const auto fitted = fit_forest(drawn(3000, 1), options);
  ASSERT_TRUE(fitted);
  EXPECT_GT(auc(fitted->forest, unseen), 0.99);
  EXPECT_GT(*fitted->out_of_bag_accuracy, 0.93);
  options.extra_trees = true;
  const auto extra = fit_forest(drawn(3000, 1), options);
  ASSERT_TRUE(extra);
  EXPECT_GT(auc(extra->forest, unseen), 0.99);
  options.extra_trees = false;
  const auto nonsense = fit_forest(drawn(3000, 1, 6, true), options);
  ASSERT_TRUE(nonsense);
  EXPECT_NEAR(auc(nonsense->forest, unseen), 0.5, 0.06);
  EXPECT_NEAR(*nonsense->out_of_bag_accuracy, 0.5, 0.04);
}

TEST(Forest, TellsManyClassesApart) {
  Random random(5);
  Dataset data = empty_dataset(3, 4);
  for (std::size_t row = 0; row < 2000; ++row) {
    for (int i = 0; i < 3; ++i) data.values.push_back(static_cast<float>(random.unit()));
    const float* x = &data.values[row * 3];
    data.labels.push_back((x[0] > 0.5f ? 2u : 0u) + (x[2] > 0.3f ? 1u : 0u));
  }
  ForestOptions options;
  options.trees = 20;
  const auto fitted = fit_forest(data, options);
  ASSERT_TRUE(fitted);
  EXPECT_EQ(fitted->forest.outputs(), 4u);
  const auto scores = model::all_scores(fitted->forest, data.values, data.rows());
  std::size_t right = 0;
  for (std::size_t row = 0; row < data.rows(); ++row) {
    const auto* s = &scores[row * 4];
    right += static_cast<std::size_t>(std::max_element(s, s + 4) - s) == data.labels[row] ? 1 : 0;
    ASSERT_NEAR(s[0] + s[1] + s[2] + s[3], 1, 1e-6);
  }
  EXPECT_GT(right, 1990u);
}

TEST(Forest, KeepsItsLimits) {
  const Dataset data = drawn(2000, 3, 6, true);
  ForestOptions options;
  options.trees = 5;
  options.max_depth = 4;
  EXPECT_LE(fit_forest(data, options)->forest.trees().depth_max(), 4u);
  options = {};
  options.trees = 5;
  options.nodes_max = 500;
  const auto small = fit_forest(data, options);
  EXPECT_LE(small->forest.trees().nodes(), 500u);
  EXPECT_GT(small->forest.trees().nodes(), 400u);
  options = {};
  options.trees = 3;
  options.bootstrap = false;
  options.min_leaf = 100;
  const auto coarse = fit_forest(data, options);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_LE(coarse->forest.trees().tree(i).size(), 2 * 20 + 1u);
}

TEST(Forest, WeightsCount) {
  // Ten rows with equal features: the leaf holds the weighted share.
  Dataset data = empty_dataset(1, 2);
  data.values.assign(10, 1.0f);
  data.labels = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1};
  ForestOptions options = one_tree(1);
  EXPECT_FLOAT_EQ(static_cast<float>(model::all_scores(fit_forest(data, options)->forest, data.values, 1)[0]),
                  0.2f);
  options.balanced = true;
  EXPECT_FLOAT_EQ(static_cast<float>(model::all_scores(fit_forest(data, options)->forest, data.values, 1)[0]),
                  0.5f);
  options.balanced = false;
  data.weights.assign(10, 1.0f);
  data.weights[9] = 7;
  EXPECT_FLOAT_EQ(static_cast<float>(model::all_scores(fit_forest(data, options)->forest, data.values, 1)[0]),
                  0.5f);
}

TEST(Forest, RefusesWhatCannotBeLearnt) {
  EXPECT_THAT(fit_forest(empty_dataset(2, 2)).error().message, HasSubstr("no rows"));
  Dataset data = drawn(20, 1);
  std::fill(data.labels.begin(), data.labels.end(), 1u);
  EXPECT_THAT(fit_forest(data).error().message, HasSubstr("all of one class"));
  data = drawn(20, 1);
  data.weights.assign(20, std::nanf(""));
  EXPECT_FALSE(fit_forest(data));
  EXPECT_FALSE(fit_forest(empty_dataset(2000, 2)));
}

TEST(Forest, ConstantAndAllMissingColumnsAreHarmless) {
  Dataset data = drawn(200, 1, 4);
  for (std::size_t row = 0; row < 200; ++row) {
    data.values[row * 4 + 2] = 7;
    data.values[row * 4 + 3] = std::numeric_limits<float>::quiet_NaN();
  }
  ForestOptions options;
  options.trees = 10;
  const auto fitted = fit_forest(data, options);
  ASSERT_TRUE(fitted);
  EXPECT_GT(auc(fitted->forest, data), 0.99);
}

TEST(Forest, StopsWhenToldSo) {
  ForestOptions options;
  options.trees = 50;
  options.threads = 2;
  options.progress = [](double fraction) { return fraction < 0.1; };
  const auto fitted = fit_forest(drawn(100, 1), options);
  ASSERT_FALSE(fitted);
  EXPECT_EQ(fitted.error().code, Errc::exhausted);
}

}  // namespace
}  // namespace nidus::learn
