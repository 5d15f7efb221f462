#include <gmock/gmock.h>

#include <bit>
#include <cmath>
#include <limits>

#include "model/boost.h"
#include "model/ensemble.h"
#include "model/forest.h"
#include "model/preprocess.h"
#include "model/testing.h"

namespace nidus::model {
namespace {

using testing::draw_rows;
using testing::draw_trees;
using testing::plain_walk;

TEST(Forest, ScoresAreTheMeanOverTheTreesToTheLastBit) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    const std::size_t width = seed % 3 == 0 ? 4 : 1, inputs = 5, count = seed % 2 == 0 ? 131 : seed;
    auto drawn = draw_trees(seed, 83, inputs, 301, width, false);
    const auto rows = draw_rows(seed, drawn.thresholds, count, inputs, true);
    auto forest = Forest::make(*TreeSet::make(std::move(drawn.parts)));
    ASSERT_TRUE(forest);
    const auto scores = all_scores(*forest, rows, count);
    for (std::size_t row = 0; row < count; ++row) {
      for (std::size_t i = 0; i < width; ++i) {
        double sum = 0;
        for (std::size_t tree = 0; tree < 83; ++tree) {
          sum += forest->trees().value(plain_walk(forest->trees(), tree, &rows[row * inputs]), i);
        }
        ASSERT_EQ(std::bit_cast<std::uint64_t>(scores[row * width + i]),
                  std::bit_cast<std::uint64_t>(sum / 83));
      }
    }
    // Alone a row takes another way through the trees.
    std::vector<double> alone(width);
    for (std::size_t row = 0; row < count; ++row) {
      forest->score(std::span(rows).subspan(row * inputs, inputs), 1, alone);
      for (std::size_t i = 0; i < width; ++i) ASSERT_EQ(alone[i], scores[row * width + i]);
    }
  }
}

TEST(Forest, RefusesSharesThatAreNone) {
  auto drawn = draw_trees(1, 3, 2, 15, 1, false);
  drawn.parts.leaves = std::vector<float>(37, 1.5f);
  EXPECT_FALSE(Forest::make(*TreeSet::make(std::move(drawn.parts))));
}

TEST(Boost, MarginsAddUpInFloatInTheOrderOfTheTrees) {
  for (const std::size_t groups : {1u, 3u}) {
    const std::size_t inputs = 4, count = 77, trees = 30;
    auto drawn = draw_trees(groups, trees, inputs, 61, 1, true);
    const auto rows = draw_rows(5, drawn.thresholds, count, inputs, true);
    std::vector<std::uint32_t> group_of;
    for (std::uint32_t i = 0; i < trees; ++i) group_of.push_back(static_cast<std::uint32_t>(i % groups));
    std::vector<float> base(groups, 0.5f);
    const auto boost = Boost::make(*TreeSet::make(std::move(drawn.parts)), group_of, base);
    ASSERT_TRUE(boost);
    std::vector<float> margins(count * groups);
    boost->margins(rows, count, margins);
    const auto scores = all_scores(*boost, rows, count);
    for (std::size_t row = 0; row < count; ++row) {
      std::vector<float> sums = base;
      for (std::size_t tree = 0; tree < trees; ++tree) {
        const auto leaf = plain_walk(boost->trees(), tree, &rows[row * inputs]);
        sums[group_of[tree]] += static_cast<float>(boost->trees().value(leaf, 0));
      }
      double total = 0;
      for (std::size_t i = 0; i < groups; ++i) {
        ASSERT_EQ(margins[row * groups + i], sums[i]);
        total += scores[row * groups + i];
      }
      if (groups > 1) {
        EXPECT_NEAR(total, 1, 1e-12);
      } else {
        EXPECT_DOUBLE_EQ(scores[row], 1 / (1 + std::exp(-static_cast<double>(sums[0]))));
      }
    }
  }
}

TEST(AttackScores, AreOneMinusBenignWithManyClasses) {
  auto drawn = draw_trees(3, 5, 2, 15, 3, false);
  const auto forest = Forest::make(*TreeSet::make(std::move(drawn.parts)));
  const std::vector<float> rows = {0, 1, 2, 3};
  const auto all = all_scores(*forest, rows, 2);
  EXPECT_THAT(attack_scores(*forest, rows, 2), ::testing::ElementsAre(1 - all[0], 1 - all[3]));
}

TEST(Preprocessor, ClipsFillsAndEncodes) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  Step scaled;
  scaled.clip = true;
  scaled.low = -10;
  scaled.high = 10;
  scaled.fill_missing = true;
  scaled.fill = 4;
  scaled.shift = 2;
  scaled.scale = 0.5f;
  Step hot;
  hot.encode = Step::Encode::one_hot;
  hot.categories = 3;
  const auto before = Preprocessor::make({scaled, hot, Step{}});
  ASSERT_TRUE(before);
  EXPECT_EQ(before->outputs(), 5u);
  const std::vector<float> rows = {inf, 2, 7, nan, nan, nan, -inf, 3, -inf};
  std::vector<float> out(15);
  before->apply(rows, 3, out);
  EXPECT_THAT(out, ::testing::ElementsAre(4, 0, 0, 1, 7, 1, 0, 0, 0, ::testing::IsNan(), -6, 0, 0, 0, -inf));
}

TEST(Preprocessor, RefusesNumbersThatMakeNoSense) {
  Step step;
  step.scale = std::numeric_limits<float>::infinity();
  EXPECT_FALSE(Preprocessor::make({step}));
  step = {};
  step.low = 1;
  EXPECT_FALSE(Preprocessor::make({step}));
  step = {};
  step.encode = Step::Encode::one_hot;
  EXPECT_FALSE(Preprocessor::make({step}));
  EXPECT_FALSE(Preprocessor::make({}));
}

std::shared_ptr<const Model> forest_of(std::uint64_t seed, std::size_t inputs) {
  auto drawn = draw_trees(seed, 9, inputs, 31, 1, false);
  return std::make_shared<const Forest>(*Forest::make(*TreeSet::make(std::move(drawn.parts))));
}

TEST(Pipeline, ScoresWhatThePreprocessorGives) {
  Step hot;
  hot.encode = Step::Encode::one_hot;
  hot.categories = 3;
  const auto before = Preprocessor::make({Step{}, hot});
  const auto pipeline = Pipeline::make(*before, forest_of(1, 4));
  ASSERT_TRUE(pipeline);
  std::vector<float> rows;
  for (int i = 0; i < 300; ++i) {
    rows.push_back(static_cast<float>(i % 13) - 6);
    rows.push_back(static_cast<float>(i % 4));
  }
  std::vector<float> inner(300 * 4);
  before->apply(rows, 300, inner);
  EXPECT_EQ(all_scores(*pipeline, rows, 300), all_scores(*forest_of(1, 4), inner, 300));
  EXPECT_FALSE(Pipeline::make(*before, forest_of(1, 5)));
}

TEST(Ensemble, IsTheWeightedMean) {
  const auto a = forest_of(1, 3), b = forest_of(2, 3);
  const auto both = Ensemble::make({{a, 1}, {b, 3}});
  ASSERT_TRUE(both);
  const std::vector<float> row = {0.1f, -0.2f, 3};
  const double sa = all_scores(*a, row, 1)[0], sb = all_scores(*b, row, 1)[0];
  EXPECT_DOUBLE_EQ(all_scores(*both, row, 1)[0], (sa + 3 * sb) / 4);
  EXPECT_FALSE(Ensemble::make({}));
  EXPECT_FALSE(Ensemble::make({{a, 1}, {forest_of(1, 4), 1}}));
  EXPECT_FALSE(Ensemble::make({{a, 0}}));
  EXPECT_FALSE(Ensemble::make({{a, -1}, {b, 2}}));
}

}  // namespace
}  // namespace nidus::model
