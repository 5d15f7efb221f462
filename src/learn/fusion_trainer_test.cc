#include "learn/fusion_trainer.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/random.h"

namespace nidus::learn {
namespace {

std::vector<double> exponential(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<double> out;
  for (std::size_t i = 0; i < count; ++i) out.push_back(-std::log(1 - random.unit()));
  return out;
}

TEST(RarityCurve, SaysHowManyInTenToThePower) {
  // Of an exponential the share above x is e^-x: x / ln 10 decades, of eight.
  const auto curve = rarity_curve(exponential(20'000, 1));
  ASSERT_TRUE(curve) << curve.error().message;
  EXPECT_TRUE(curve->is_sound());
  for (const double x : {0.5, 1.0, 2.0, 4.0, 6.0})
    EXPECT_NEAR(curve->at(x) * 8 * std::log(10.0), x, 0.12) << x;
  // Beyond all that was seen, by the tail.
  for (const double x : {12.0, 15.0}) EXPECT_NEAR(curve->at(x) * 8 * std::log(10.0), x, 0.1 * x) << x;
  EXPECT_EQ(curve->at(100), 1);
  EXPECT_GE(curve->at(-5), 0);
  EXPECT_LT(curve->y.size(), 100u);
  // Never falls.
  for (double x = -1; x < 30; x += 0.01) EXPECT_LE(curve->at(x), curve->at(x + 0.01));
}

TEST(RarityCurve, AnyScaleGivesTheSameOnFreshRows) {
  // One in a hundred of fresh rows reaches a quarter, two decades of eight, whatever the scores looked like.
  for (const auto& bend : {+[](double x) { return x; }, +[](double x) { return x * x * 1e6; },
                           +[](double x) { return 1 - std::exp(-x); }}) {
    auto seen = exponential(50'000, 2), fresh = exponential(50'000, 3);
    std::transform(seen.begin(), seen.end(), seen.begin(), bend);
    std::transform(fresh.begin(), fresh.end(), fresh.begin(), bend);
    const auto curve = rarity_curve(seen);
    ASSERT_TRUE(curve);
    const auto rare =
        std::count_if(fresh.begin(), fresh.end(), [&](double x) { return curve->at(x) >= 0.25; });
    EXPECT_NEAR(static_cast<double>(rare) / 50'000, 0.01, 0.0015);
  }
}

TEST(RarityCurve, TiesAndFewRows) {
  for (const std::vector<double>& scores : {std::vector<double>{0.5}, std::vector<double>(1000, 0.0),
                                            std::vector<double>{0, 0, 0, 1, 1, 1, 1, 2}}) {
    const auto curve = rarity_curve(scores);
    ASSERT_TRUE(curve);
    EXPECT_TRUE(curve->is_sound());
    EXPECT_TRUE(std::is_sorted(curve->y.begin(), curve->y.end()));
    const double highest = *std::max_element(scores.begin(), scores.end());
    EXPECT_LT(curve->at(highest), 1);
    EXPECT_EQ(curve->at(highest + 100), 1);
  }
  EXPECT_FALSE(rarity_curve({}));
  EXPECT_FALSE(rarity_curve(std::vector<double>{1, std::numeric_limits<double>::quiet_NaN()}));
}

TEST(StackWeights, TheMemberThatTellsCountsAndTheOneThatMisleadsDoesNot) {
  Random random(4);
  std::vector<double> scores;
  std::vector<std::uint8_t> is_attack;
  for (std::size_t row = 0; row < 4000; ++row) {
    const bool attack = random.below(10) == 0;
    is_attack.push_back(attack);
    const double noise = random.unit();
    scores.push_back(0.4 * random.unit() + (attack ? 0.3 : 0));  // tells
    scores.push_back(noise);                                     // knows nothing
    scores.push_back(0.5 * random.unit() + (attack ? 0 : 0.3));  // says the opposite
  }
  const auto found = learn_weights(scores, 3, is_attack);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_GT(found->weights[0], 10);
  EXPECT_LT(found->weights[1], 0.05 * found->weights[0]);
  EXPECT_EQ(found->weights[2], 0);
  // A minimum: the slope along what is not held is nil.
  double slope_bias = 0, slope = found->weights[0];
  const double attacks = static_cast<double>(std::count(is_attack.begin(), is_attack.end(), 1));
  for (std::size_t row = 0; row < 4000; ++row) {
    double margin = found->bias;
    for (std::size_t m = 0; m < 3; ++m) margin += found->weights[m] * scores[row * 3 + m];
    const double weight = 2000 / (is_attack[row] != 0 ? attacks : 4000 - attacks);
    const double off = weight * (1 / (1 + std::exp(-margin)) - is_attack[row]);
    slope_bias += off;
    slope += off * scores[row * 3];
  }
  EXPECT_NEAR(slope_bias, 0, 0.01);
  EXPECT_NEAR(slope, 0, 0.01);
}

TEST(StackWeights, WantBothSides) {
  const std::vector<double> scores = {0.1, 0.2, 0.3};
  EXPECT_FALSE(learn_weights(scores, 1, std::vector<std::uint8_t>{0, 0, 0}));
  EXPECT_FALSE(learn_weights(scores, 2, std::vector<std::uint8_t>{0, 1, 0}));
  // Parted without a rest: the weights stay finite.
  const auto parted = learn_weights(scores, 1, std::vector<std::uint8_t>{0, 0, 1});
  ASSERT_TRUE(parted);
  EXPECT_TRUE(std::isfinite(parted->weights[0]) && std::isfinite(parted->bias));
}

}  // namespace
}  // namespace nidus::learn
