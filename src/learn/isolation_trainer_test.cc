#include "learn/isolation_trainer.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/random.h"
#include "learn/anomaly_fixture.h"
#include "model/model_file.h"

namespace nidus::learn {
namespace {

using ::testing::HasSubstr;

Dataset even_rows(std::size_t rows, std::size_t inputs, std::uint64_t seed) {
  Random random(seed);
  testing::Block block{rows, inputs, {}};
  for (std::size_t i = 0; i < rows * inputs; ++i) block.values.push_back(random.unit());
  return block.dataset();
}

std::string bytes_of(const model::AdditiveTrees& forest, const Dataset& dataset) {
  return *model::serialise(
      {dataset.schema, dataset.classes, std::make_shared<const model::AdditiveTrees>(forest), ""});
}

// By the book: each row down each tree, one at a time.
double plain_score(const model::AdditiveTrees& forest, const float* row, double samples) {
  double sum = 0;
  for (std::size_t t = 0; t < forest.trees().trees(); ++t) {
    const auto nodes = forest.trees().tree(t);
    std::size_t at = 0, depth = 0;
    for (; !nodes[at].is_leaf(); ++depth) {
      const auto value = row[nodes[at].feature()];
      at = nodes[at].left() + (value > nodes[at].threshold() ? 1 : 0);
    }
    const double path = forest.trees().value(nodes[at].leaf_number(), 0);
    EXPECT_GE(path, static_cast<double>(depth));
    // Above the last level a leaf holds one row, as all are different.
    if (depth < 8) {
      EXPECT_EQ(path, static_cast<double>(depth));
    }
    sum += path;
  }
  const double mean = sum / static_cast<double>(forest.trees().trees());
  return std::exp2(-mean / model::mean_search_path(samples));
}

TEST(IsolationForest, ScoresAreThoseOfScikitLearnInTheLimitOfManyTrees) {
  auto fixture = testing::anomaly_fixture();
  ASSERT_EQ(fixture["isolation"].values.size(), 40u);
  IsolationOptions options;
  options.trees = 4000;
  const auto forest = fit_isolation_forest(fixture["table"].dataset(), options);
  ASSERT_TRUE(forest) << forest.error().message;
  const auto scores = model::all_scores(*forest, fixture["odd"].dataset().values, 40);
  for (std::size_t i = 0; i < scores.size(); ++i)
    EXPECT_NEAR(scores[i], fixture["isolation"].values[i], 0.008) << i;
}

TEST(IsolationForest, IsWhatItsTreesSay) {
  const Dataset rows = even_rows(1000, 5, 3);
  IsolationOptions options;
  options.trees = 50;
  const auto forest = fit_isolation_forest(rows, options);
  ASSERT_TRUE(forest);
  EXPECT_EQ(forest->scale(), model::Scale::anomaly);
  EXPECT_EQ(forest->trees().trees(), 50u);
  EXPECT_LE(forest->trees().depth_max(), 8u);
  const auto scores = model::all_scores(*forest, rows.values, 100);
  for (std::size_t i = 0; i < 100; ++i)
    EXPECT_NEAR(scores[i], plain_score(*forest, &rows.values[i * 5], 256), 1e-12);
}

TEST(IsolationForest, LeavesCountTheRowsTheyHold) {
  // Rows that are all equal but one: a tree is that one beside the others, or those alone.
  Dataset rows = even_rows(100, 1, 1);
  std::fill(rows.values.begin(), rows.values.end(), 3.0f);
  rows.values[7] = 9;
  IsolationOptions options;
  options.trees = 3;
  const auto forest = fit_isolation_forest(rows, options);
  ASSERT_TRUE(forest) << forest.error().message;
  for (std::size_t t = 0; t < 3; ++t) EXPECT_EQ(forest->trees().tree(t).size(), 3u);
  const std::vector<float> ask = {3, 9};
  const auto scores = model::all_scores(*forest, ask, 2);
  const double whole = model::mean_search_path(100);
  EXPECT_NEAR(scores[0], std::exp2(-(1 + model::mean_search_path(99)) / whole), 1e-12);
  EXPECT_NEAR(scores[1], std::exp2(-1 / whole), 1e-12);
}

TEST(IsolationForest, TheSameForAnyNumberOfThreadsAndAnotherForAnotherSeed) {
  const Dataset rows = even_rows(3000, 7, 4);
  IsolationOptions options;
  options.trees = 60;
  options.threads = 1;
  const auto one = fit_isolation_forest(rows, options);
  options.threads = 3;
  const auto three = fit_isolation_forest(rows, options);
  options.seed = 2;
  const auto other = fit_isolation_forest(rows, options);
  ASSERT_TRUE(one && three && other);
  EXPECT_EQ(bytes_of(*one, rows), bytes_of(*three, rows));
  EXPECT_NE(bytes_of(*one, rows), bytes_of(*other, rows));
}

TEST(IsolationForest, MissingAndInfiniteValuesAreIsolatedLikeOthers) {
  Dataset rows = even_rows(500, 2, 5);
  rows.values[2] = std::numeric_limits<float>::infinity();
  rows.values[4] = -std::numeric_limits<float>::infinity();
  for (std::size_t i = 1; i < rows.values.size(); i += 2) rows.values[i] = 1;
  IsolationOptions options;
  options.samples = 500;
  const auto forest = fit_isolation_forest(rows, options);
  ASSERT_TRUE(forest) << forest.error().message;
  const auto scores = model::all_scores(*forest, rows.values, 500);
  for (const double score : scores) EXPECT_TRUE(score > 0 && score <= 1);
  const double usual = scores[100];
  EXPECT_GT(scores[1], usual + 0.1);
  EXPECT_GT(scores[2], usual + 0.1);

  // Where all else is equal, what is missing can be told.
  for (std::size_t i = 0; i < rows.values.size(); i += 2) rows.values[i] = i < 10 ? std::nanf("") : 2.0f;
  const auto of_missing = fit_isolation_forest(rows, options);
  ASSERT_TRUE(of_missing);
  const auto told = model::all_scores(*of_missing, rows.values, 500);
  EXPECT_GT(told[0], told[100] + 0.2);
}

TEST(IsolationForest, OddInputIsRefusedOrSensible) {
  IsolationOptions options;
  options.trees = 10;
  EXPECT_THAT(fit_isolation_forest(even_rows(1, 3, 1), options).error().message, HasSubstr("two rows"));
  EXPECT_EQ(fit_isolation_forest(even_rows(10, 1025, 1), options).error().code, Errc::unsupported);
  EXPECT_TRUE(fit_isolation_forest(even_rows(10, 3, 1), options));
  Dataset constant = even_rows(50, 3, 1);
  std::fill(constant.values.begin(), constant.values.end(), 1.0f);
  const auto forest = fit_isolation_forest(constant, options);
  ASSERT_TRUE(forest) << forest.error().message;
  // One leaf of all rows: the score of a row that nothing tells from others.
  EXPECT_NEAR(model::all_scores(*forest, std::span<const float>(constant.values), 1)[0], 0.5, 1e-12);
  Dataset nothing = constant;
  std::fill(nothing.values.begin(), nothing.values.end(), std::nanf(""));
  EXPECT_TRUE(fit_isolation_forest(nothing, options));
  options.samples = 1;
  EXPECT_EQ(fit_isolation_forest(constant, options).error().code, Errc::invalid);
  options.samples = 256;
  options.progress = [](double) { return false; };
  options.trees = 100;
  EXPECT_EQ(fit_isolation_forest(constant, options).error().code, Errc::exhausted);
}

TEST(IsolationForest, ContaminationDrawsTheLineOfScikitLearn) {
  auto fixture = testing::anomaly_fixture();
  const auto& scores = fixture["scores"].values;
  const auto& offsets = fixture["offsets"].values;
  ASSERT_EQ(offsets.size(), 5u);
  const double shares[] = {0.01, 0.07, 0.1, 0.333, 0.5};
  for (std::size_t i = 0; i < 5; ++i) {
    const auto line = contamination_threshold(scores, shares[i]);
    ASSERT_TRUE(line);
    EXPECT_NEAR(*line, -offsets[i], 1e-12);
    // scikit-learn calls those anomalies that lie below the offset.
    const auto ours = std::count_if(scores.begin(), scores.end(), [&](double s) { return s >= *line; });
    const auto theirs =
        std::count_if(scores.begin(), scores.end(), [&](double s) { return -s < offsets[i]; });
    EXPECT_EQ(ours, theirs) << shares[i];
  }
  EXPECT_FALSE(contamination_threshold({}, 0.1));
  EXPECT_FALSE(contamination_threshold(scores, 0));
  EXPECT_FALSE(contamination_threshold(scores, 0.6));
}

}  // namespace
}  // namespace nidus::learn
