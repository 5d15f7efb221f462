#include "model/transform.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "base/random.h"
#include "model/additive_trees.h"
#include "model/testing.h"

namespace nidus::model {
namespace {

using ::testing::DoubleEq;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

CutColumn cuts_of(std::size_t input, std::vector<double> cuts) {
  CutColumn column;
  column.input = input;
  column.cuts = std::move(cuts);
  return column;
}

std::vector<double> through(const Transform& transform, std::vector<double> rows) {
  const std::size_t count = rows.size() / transform.inputs();
  std::vector<double> out(count * transform.outputs());
  transform.apply(rows, count, out);
  return out;
}

TEST(Affine, DividesOrMultipliesAsItsProgramDid) {
  const auto divided = *make_affine({Affine::Form::shift_then_divide, {0.1}, {0.3}, {}, {}});
  EXPECT_EQ(through(*divided, {0.7})[0], (0.7 - 0.1) / 0.3);
  const auto multiplied = *make_affine({Affine::Form::multiply_then_shift, {0.1}, {0.3}, {-1}, {1}});
  const auto out = through(*multiplied, {0.7, 100, -kInfinity, kNaN});
  EXPECT_EQ(out[0], 0.7 * 0.3 + 0.1);
  EXPECT_EQ(out[1], 1);
  EXPECT_EQ(out[2], -1);
  EXPECT_TRUE(std::isnan(out[3]));
}

TEST(Affine, RefusesWhatMakesNoSense) {
  EXPECT_FALSE(make_affine({}));
  EXPECT_FALSE(make_affine({Affine::Form::shift_then_divide, {1, 2}, {1}, {}, {}}));
  EXPECT_FALSE(make_affine({Affine::Form::shift_then_divide, {kNaN}, {1}, {}, {}}));
  EXPECT_FALSE(make_affine({Affine::Form::shift_then_divide, {0}, {1}, {2}, {1}}));
}

// The whole point: asking a rank is asking the number, for each threshold, its neighbours and the extremes.
TEST(Ranks, CompareAsTheNumbersDo) {
  Random random(7);
  std::vector<double> cuts = {-kInfinity, kInfinity, 0, 1e-35, -1e-300, 5e-324};
  for (int i = 0; i < 200; ++i)
    cuts.push_back(std::ldexp(random.unit() - 0.5, static_cast<int>(random.below(80)) - 40));
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  CutColumn column;
  column.cuts = cuts;
  const auto ranks = *make_ranks(1, {column});
  std::vector<double> rows = {kInfinity, -kInfinity, 0.0, -0.0, 1e300, -1e300};
  for (const double cut : cuts) {
    rows.push_back(cut);
    rows.push_back(std::nextafter(cut, kInfinity));
    rows.push_back(std::nextafter(cut, -kInfinity));
  }
  const auto out = through(*ranks, rows);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    for (std::size_t i = 0; i < cuts.size(); ++i)
      ASSERT_EQ(out[row] <= static_cast<double>(i), rows[row] <= cuts[i]) << rows[row] << " and " << cuts[i];
  }
  EXPECT_TRUE(std::isnan(through(*ranks, {kNaN})[0]));
}

TEST(Ranks, MissingIsWhatTheColumnSays) {
  CutColumn zero = cuts_of(0, {-1, 0, 1});
  zero.missing_is_zero = true;
  CutColumn none = cuts_of(0, {-1, 0, 1});
  none.zero_is_missing = 1e-35;
  const auto ranks = *make_ranks(1, {zero, none});
  EXPECT_EQ(through(*ranks, {kNaN})[0], 1);
  EXPECT_TRUE(std::isnan(through(*ranks, {kNaN})[1]));
  EXPECT_TRUE(std::isnan(through(*ranks, {1e-36})[1]));
  EXPECT_THAT(through(*ranks, {1e-34}), ElementsAre(2, 2));
}

TEST(Ranks, SetsHoldTruncatedNumbers) {
  CutColumn set;
  set.is_among = true;
  set.among = {0, 3, 4294967295u};
  set.among_missing = kNaN;
  const auto ranks = *make_ranks(1, {set});
  EXPECT_THAT(through(*ranks, {0, 3.9, 2, 4294967295.0, 4294967296.0, kInfinity, -0.5}),
              ElementsAre(1, 1, 0, 1, 0, 0, 1));
  for (const double x : {kNaN, -1.0, -kInfinity}) EXPECT_TRUE(std::isnan(through(*ranks, {x})[0])) << x;
}

TEST(Ranks, RefuseWhatBreaksTheirRules) {
  EXPECT_FALSE(make_ranks(0, {CutColumn{}}));
  EXPECT_FALSE(make_ranks(1, {}));
  EXPECT_FALSE(make_ranks(1, {cuts_of(1, {})}));
  EXPECT_FALSE(make_ranks(1, {cuts_of(0, {1, 1})}));
  EXPECT_FALSE(make_ranks(1, {cuts_of(0, {kNaN})}));
}

TEST(Chain, PassesRowsOnAndKnowsWhereColumnsCameFrom) {
  const auto scale = *make_affine({Affine::Form::multiply_then_shift, {1, 2}, {10, 10}, {}, {}});
  const auto ranks = *make_ranks(2, {cuts_of(1, {5, 15}), cuts_of(0, {5}), cuts_of(1, {0})});
  const auto both = *chain({scale, ranks});
  EXPECT_THAT(both->sources(), ElementsAre(1, 0, 1));
  std::vector<double> rows;
  for (int i = 0; i < 1000; ++i) rows.insert(rows.end(), {i / 1000.0, 1 - i / 500.0});
  const auto out = through(*both, rows);
  const auto scaled = through(*scale, rows);
  EXPECT_EQ(out, through(*ranks, scaled));
  EXPECT_THAT(chain({ranks, scale}).error().message, HasSubstr("takes 2 numbers"));
  EXPECT_FALSE(chain({}));
}

TEST(AdditiveTrees, SumInDoubleAndLink) {
  using Link = AdditiveTrees::Link;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const std::size_t outputs = seed % 3 == 0 ? 3 : 1, count = 70;
    auto drawn = testing::draw_trees(seed, 30, 4, 61, 1, true);
    if (seed % 2 == 0) testing::widen_leaves(drawn.parts);
    const auto rows = testing::draw_rows(seed, drawn.thresholds, count, 4, true);
    AdditiveTrees::Parts parts;
    std::vector<std::uint32_t> groups;
    for (std::uint32_t i = 0; i < 30; ++i) groups.push_back(i % static_cast<std::uint32_t>(outputs));
    parts.groups = groups;
    parts.base.assign(outputs, 0.125);
    parts.link = outputs == 3 ? Link::softmax : seed % 2 == 0 ? Link::logistic : Link::isolation;
    parts.factor = 0.5;
    const auto model = AdditiveTrees::make(*TreeSet::make(std::move(drawn.parts)), parts);
    ASSERT_TRUE(model) << model.error().message;
    const auto scores = all_scores(*model, std::span<const float>(rows), count);
    for (std::size_t row = 0; row < count; ++row) {
      std::vector<double> sums(outputs, 0.125);
      for (std::size_t tree = 0; tree < 30; ++tree)
        sums[groups[tree]] +=
            model->trees().value(testing::plain_walk(model->trees(), tree, &rows[row * 4]), 0);
      if (outputs == 1) {
        const double wanted =
            parts.link == Link::logistic ? 1 / (1 + std::exp(-0.5 * sums[0])) : std::exp2(-0.5 * sums[0]);
        ASSERT_EQ(scores[row], wanted);
        continue;
      }
      double all = 0;
      for (const double sum : sums) all += std::exp(0.5 * sum);
      for (std::size_t k = 0; k < outputs; ++k)
        ASSERT_NEAR(scores[row * outputs + k], std::exp(0.5 * sums[k]) / all, 1e-15);
    }
  }
}

TEST(AdditiveTrees, RefusePartsThatDoNotFit) {
  const auto trees = *TreeSet::make(testing::draw_trees(1, 5, 3, 31, 1, false).parts);
  AdditiveTrees::Parts parts;
  EXPECT_FALSE(AdditiveTrees::make(trees, parts));
  parts.base = {0, 0};
  EXPECT_FALSE(AdditiveTrees::make(trees, parts));
  parts.groups = std::vector<std::uint32_t>{0, 1, 2, 0, 1};
  EXPECT_FALSE(AdditiveTrees::make(trees, parts));
  parts.groups = std::vector<std::uint32_t>{0, 1, 1, 0, 1};
  EXPECT_TRUE(AdditiveTrees::make(trees, parts));
  parts.base = {0, kNaN};
  EXPECT_FALSE(AdditiveTrees::make(trees, parts));
}

}  // namespace
}  // namespace nidus::model
