#include "detect/site_threshold.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/random.h"

namespace nidus::detect {
namespace {

using testing::HasSubstr;

std::vector<double> uniform(std::size_t count, Random& random, double from = 0, double to = 1) {
  std::vector<double> out;
  for (std::size_t i = 0; i < count; ++i) out.push_back(from + (to - from) * random.unit());
  return out;
}

double share_at_or_above(const std::vector<double>& scores, double line) {
  const auto above = std::count_if(scores.begin(), scores.end(), [&](double score) { return score >= line; });
  return static_cast<double>(above) / static_cast<double>(scores.size());
}

TEST(SiteThreshold, LiesBetweenTheTwoScoresThatTheFormulaNames) {
  // 99 scores 1 … 99: floor(0.05 × 100) - 1 = 4 may be alarms, 96 … 99, so the line is between 95 and 96.
  std::vector<double> scores;
  for (int i = 99; i >= 1; --i) scores.push_back(i);
  const auto line = site_threshold(scores, {.rate = 0.05, .trim = 0});
  ASSERT_TRUE(line);
  EXPECT_DOUBLE_EQ(line->value, 95.5);
  EXPECT_EQ(line->allowed, 4u);
  EXPECT_EQ(line->rows, 99u);
  EXPECT_EQ(line->trimmed, 0u);
  EXPECT_FALSE(line->resolvable);
}

TEST(SiteThreshold, WhatIsTrimmedIsNotAmongTheRowsThatItIsDrawnBy) {
  std::vector<double> scores;
  for (int i = 1; i <= 1000; ++i) scores.push_back(i);
  // Half the rate is trimmed, 5 of 1000: of 995 rows floor(0.01 × 996) - 1 = 8, so 13 lie above.
  const auto line = site_threshold(scores, {.rate = 0.01, .trim = 0.4});
  ASSERT_TRUE(line);
  EXPECT_EQ(line->trimmed, 5u);
  EXPECT_EQ(line->allowed, 8u);
  EXPECT_DOUBLE_EQ(line->value, 1000 - 13 + 0.5);
}

// The promise: over many sites drawn from the same traffic the mean rate of what comes next is at most the
// nominal one, and not far below.
TEST(SiteThreshold, KeepsItsRateOnWhatComesNext) {
  Random random(7);
  double sum = 0;
  constexpr int kSites = 400;
  for (int site = 0; site < kSites; ++site) {
    const auto line = site_threshold(uniform(500, random), {.rate = 0.05, .trim = 0});
    ASSERT_TRUE(line);
    sum += 1 - line->value;  // of uniform scores the rate is known exactly
  }
  EXPECT_LE(sum / kSites, 0.05);
  EXPECT_GE(sum / kSites, 0.045);
}

TEST(SiteThreshold, AFewAttacksDoNotLiftIt) {
  Random random(3);
  std::vector<double> scores = uniform(20'000, random, 0, 0.5);
  const auto clean = site_threshold(scores, {.rate = 0.01});
  const auto attacks = uniform(90, random, 0.9, 1);  // 0.45 %
  scores.insert(scores.end(), attacks.begin(), attacks.end());
  const auto with = site_threshold(scores, {.rate = 0.01});
  ASSERT_TRUE(clean && with);
  EXPECT_LT(with->value, 0.5);
  EXPECT_NEAR(with->value, clean->value, 0.005);
  // Nearly half of the rate would have been spent on the attacks.
  const auto untrimmed = site_threshold(scores, {.rate = 0.01, .trim = 0});
  ASSERT_TRUE(untrimmed);
  EXPECT_GT(untrimmed->value, with->value);
}

TEST(SiteThreshold, EqualScoresAreOnOneSide) {
  std::vector<double> scores(1000, 0.25);
  const auto all_equal = site_threshold(scores, {.rate = 0.1, .trim = 0});
  ASSERT_TRUE(all_equal);
  EXPECT_GT(all_equal->value, 0.25);
  EXPECT_EQ(all_equal->allowed, 0u);
  std::fill_n(scores.begin(), 50, 0.75);
  const auto two = site_threshold(scores, {.rate = 0.1, .trim = 0});
  ASSERT_TRUE(two);
  EXPECT_DOUBLE_EQ(two->value, 0.5);
  EXPECT_EQ(two->allowed, 50u);
}

TEST(SiteThreshold, SaysWhenThereAreTooFewRows) {
  const std::vector<double> scores(98, 0.5);
  const auto few = site_threshold(scores, {.rate = 0.01, .trim = 0});
  ASSERT_FALSE(few);
  EXPECT_EQ(few.error().code, Errc::invalid);
  EXPECT_THAT(few.error().message, HasSubstr("98 rows are too few"));
  EXPECT_THAT(few.error().message, HasSubstr("it takes 100"));
  EXPECT_TRUE(site_threshold(std::vector<double>(99, 0.5), {.rate = 0.01, .trim = 0}));
  EXPECT_FALSE(site_threshold({}, {}));
}

TEST(SiteThreshold, ScoresThatAreNoNumbersDoNotCount) {
  std::vector<double> scores(2000, std::numeric_limits<double>::quiet_NaN());
  for (int i = 1; i <= 99; ++i) scores.push_back(i);
  const auto line = site_threshold(scores, {.rate = 0.05, .trim = 0});
  ASSERT_TRUE(line);
  EXPECT_DOUBLE_EQ(line->value, 95.5);
}

TEST(SiteThreshold, RefusesRatesThatAreNone) {
  const std::vector<double> scores(1000, 0.5);
  for (const double rate : {0.0, -0.1, 0.6, std::nan("")}) {
    EXPECT_FALSE(site_threshold(scores, {.rate = rate})) << rate;
    EXPECT_FALSE(RollingThreshold::make(0.5, {.site = {.rate = rate}})) << rate;
  }
  EXPECT_FALSE(site_threshold(scores, {.rate = 0.01, .trim = -1}));
}

TEST(RollingThreshold, BeginsWithTheLineItWasGivenAndThenFollowsTheTraffic) {
  auto rolling =
      RollingThreshold::make(0.9, {.site = {.rate = 0.02, .trim = 0}, .blocks = 8, .block_rows = 1000});
  ASSERT_TRUE(rolling);
  Random random(1);
  for (int i = 0; i < 2999; ++i) EXPECT_FALSE(rolling->add(random.unit() / 2));
  EXPECT_EQ(rolling->value(), 0.9);
  EXPECT_TRUE(rolling->add(0.1));
  EXPECT_NEAR(rolling->value(), 0.49, 0.01);
  for (int i = 0; i < 5000; ++i) rolling->add(random.unit() / 2);
  // The traffic changes for good. After four of eight blocks the line lies between both, after five at the
  // new.
  for (int i = 0; i < 5000; ++i) rolling->add(random.unit());
  EXPECT_NEAR(rolling->value(), 0.98, 0.015);
  const auto alarms_before = rolling->alarms();
  for (int i = 0; i < 50'000; ++i) rolling->add(random.unit());
  EXPECT_NEAR(static_cast<double>(rolling->alarms() - alarms_before) / 50'000, 0.02, 0.005);
  EXPECT_EQ(rolling->rows(), 63'000u);
}

TEST(RollingThreshold, AFloodDoesNotMoveIt) {
  const RollingThreshold::Options options{.site = {.rate = 0.01}, .blocks = 24};
  auto rolling = RollingThreshold::make(0.5, options);
  ASSERT_TRUE(rolling);
  Random random(5);
  const auto quiet = uniform(2000 * 24, random, 0, 0.6);
  for (const double score : quiet) rolling->add(score);
  const double before = rolling->value();
  // Ten blocks of nothing but attack.
  for (std::size_t i = 0; i < 10 * rolling->block_rows(); ++i) rolling->add(0.95);
  EXPECT_NEAR(rolling->value(), before, 0.005);
  EXPECT_LT(share_at_or_above(uniform(100'000, random, 0, 0.6), rolling->value()), 0.02);
}

TEST(RollingThreshold, AFloodAtTheBeginningDoesNotMoveIt) {
  auto rolling = RollingThreshold::make(0.5, {.site = {.rate = 0.01}});
  ASSERT_TRUE(rolling);
  ASSERT_EQ(rolling->block_rows(), 2000u);
  Random random(6);
  const auto block = [&](std::size_t flooded) {
    for (const double score : uniform(2000 - flooded, random, 0, 0.6)) rolling->add(score);
    for (std::size_t i = 0; i < flooded; ++i) rolling->add(0.99999);
  };
  block(1500);
  EXPECT_EQ(rolling->value(), 0.5);
  block(0);
  EXPECT_EQ(rolling->value(), 0.5);
  block(0);
  EXPECT_LT(rolling->value(), 0.6);
  // Nor one of four.
  block(0);
  EXPECT_LT(rolling->value(), 0.6);
  // Whoever keeps one block has its line at once.
  auto one = RollingThreshold::make(0.5, {.site = {.rate = 0.01}, .blocks = 1});
  ASSERT_TRUE(one);
  for (const double score : uniform(2000, random, 0, 0.2)) one->add(score);
  EXPECT_LT(one->value(), 0.2);
}

// Attacks in every block, more than are trimmed, whose scores lie where probabilities end.
TEST(RollingThreshold, NeverGoesWhereNothingIsAnAlarm) {
  const auto attacked = [](double end) {
    auto rolling = RollingThreshold::make(0.5, {.site = {.rate = 0.01}, .end = end});
    EXPECT_TRUE(rolling);
    Random random(7);
    for (int block = 0; block < 12; ++block) {
      for (const double score : uniform(1900, random, 0, 0.6)) rolling->add(score);
      const double top = block < 8 ? 1 : 0.6;
      for (const double score : uniform(100, random, top - 1e-5, top)) rolling->add(score);
    }
    return *rolling;
  };
  const RollingThreshold lifted = attacked(std::numeric_limits<double>::infinity());
  EXPECT_GT(lifted.value(), 0.99);
  EXPECT_EQ(lifted.blocks_left_out(), 0u);
  const RollingThreshold kept = attacked(1);
  EXPECT_NEAR(kept.value(), 0.6, 0.01);
  EXPECT_EQ(kept.blocks_left_out(), 8u);
  EXPECT_EQ(kept.blocks_drawn(), 4u);
  // A line below the one it began with leaves more room, wherever that was.
  EXPECT_FALSE(leaves_no_room(0.9999, 0.99995, 1));
  EXPECT_TRUE(leaves_no_room(0.9999, 0.5, 1));
  EXPECT_FALSE(leaves_no_room(0.999, 0.5, 1));
}

TEST(RollingThreshold, HoldsNoMoreThanItSays) {
  auto rolling = RollingThreshold::make(0.5, {.site = {.rate = 0.01}, .blocks = 3});
  ASSERT_TRUE(rolling);
  EXPECT_EQ(rolling->block_rows(), 2000u);
  for (int i = 0; i < 100'000; ++i) rolling->add(0.25);
  EXPECT_EQ(rolling->blocks_drawn(), 3u);
  EXPECT_FALSE(rolling->add(std::nan("")));
  EXPECT_EQ(rolling->rows(), 100'000u);
  EXPECT_FALSE(RollingThreshold::make(0.5, {.site = {.rate = 1e-6}, .rows_max = 1000}));
  EXPECT_FALSE(RollingThreshold::make(0.5, {.site = {}, .blocks = 0}));
  EXPECT_FALSE(RollingThreshold::make(0.5, {.site = {.rate = 0.01}, .block_rows = 50}));
}

}  // namespace
}  // namespace nidus::detect
