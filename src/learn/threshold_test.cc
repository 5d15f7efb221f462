#include "learn/threshold.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <vector>

namespace nidus::learn {
namespace {

TEST(Threshold, LiesBetweenTheScoresThatMayAndMayNotBeAttacks) {
  std::vector<double> scores;
  for (int i = 0; i < 1000; ++i) scores.push_back(i / 1000.0);
  const auto threshold = threshold_at_rate(scores, 0.01);
  ASSERT_TRUE(threshold);
  EXPECT_DOUBLE_EQ(threshold->value, (0.989 + 0.990) / 2);
  EXPECT_EQ(threshold->allowed, 10u);
  EXPECT_DOUBLE_EQ(threshold->realised_rate, 0.01);
  EXPECT_TRUE(threshold->resolvable);
}

TEST(Threshold, TiesNeverRaiseTheRate) {
  const std::vector<double> scores = {0.9, 0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1};
  const auto threshold = threshold_at_rate(scores, 0.3);
  EXPECT_DOUBLE_EQ(threshold->value, 0.7);
  EXPECT_DOUBLE_EQ(threshold->realised_rate, 0.1);
  EXPECT_FALSE(threshold->resolvable);
  const std::vector<double> same(5, 1.0);
  EXPECT_EQ(threshold_at_rate(same, 0.5)->realised_rate, 0);
  EXPECT_GT(threshold_at_rate(same, 0.5)->value, 1.0);
  EXPECT_EQ(threshold_at_rate(same, 1)->realised_rate, 1);
}

TEST(Threshold, RefusesWhatHasNoAnswer) {
  EXPECT_FALSE(threshold_at_rate({}, 0.01));
  const std::vector<double> scores = {0.1, std::nan("")};
  EXPECT_FALSE(threshold_at_rate(scores, 0.01));
  EXPECT_FALSE(threshold_at_rate(std::vector<double>{0.1}, 1.5));
}

}  // namespace
}  // namespace nidus::learn
