#include "learn/comparison.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "base/json_writer.h"
#include "base/random.h"

namespace nidus::learn {
namespace {

using ::testing::HasSubstr;

struct Rows {
  std::vector<std::uint8_t> positive;
  std::vector<double> good, poor;
};

// Two hundred rows, two detectors: one sees well, the other badly.
Rows two_detectors(std::uint64_t seed = 5) {
  Rows out;
  Random random(seed);
  for (int i = 0; i < 200; ++i) {
    const bool attack = i % 2 == 0;
    out.positive.push_back(attack);
    const double noise = random.unit();
    out.good.push_back(0.5 * noise + (attack ? 0.4 : 0.1));
    out.poor.push_back(0.5 * noise + 0.4 * random.unit() + (attack ? 0.1 : 0));
  }
  return out;
}

Paired paired_of(const Rows& rows) {
  Paired paired;
  paired.positive = rows.positive;
  paired.scores_a = rows.good;
  paired.scores_b = rows.poor;
  paired.bootstrap_replicates = 400;
  return paired;
}

const Comparison::Difference& of(const Comparison& comparison, Figure figure) {
  for (const auto& each : comparison.differences) {
    if (each.figure == figure) return each;
  }
  ADD_FAILURE() << "no such figure";
  return comparison.differences.front();
}

TEST(Comparison, FindsTheBetterOne) {
  const Rows rows = two_detectors();
  const auto comparison = compare(paired_of(rows));
  ASSERT_TRUE(comparison);
  EXPECT_EQ(comparison->rows, 200u);
  EXPECT_EQ(comparison->attacks, 100u);
  const auto& auc = of(*comparison, Figure::roc_auc);
  EXPECT_DOUBLE_EQ(*auc.a, *roc_auc(rows.good, rows.positive));
  EXPECT_DOUBLE_EQ(*auc.b, *roc_auc(rows.poor, rows.positive));
  ASSERT_TRUE(auc.interval);
  EXPECT_GT(auc.interval->low, 0);
  EXPECT_LT(comparison->all.p_exact, 1e-3);
  EXPECT_LT(comparison->auc->p, 1e-3);
  // The bootstrap and DeLong estimate the same spread in quite different ways.
  EXPECT_NEAR(auc.interval->low, comparison->auc->interval.low, 0.02);
  EXPECT_NEAR(auc.interval->high, comparison->auc->interval.high, 0.02);
  EXPECT_EQ(comparison->all.only_a, comparison->on_attacks.only_a + comparison->on_benign.only_a);
  EXPECT_THAT(comparison->to_text("one", "other"), HasSubstr("A  one"));
}

TEST(Comparison, OfADetectorWithItselfFindsNothing) {
  const Rows rows = two_detectors();
  Paired paired = paired_of(rows);
  paired.scores_b = rows.good;
  const auto comparison = compare(paired);
  ASSERT_TRUE(comparison);
  EXPECT_EQ(comparison->all.only_a + comparison->all.only_b, 0u);
  EXPECT_EQ(comparison->all.p_exact, 1);
  EXPECT_EQ(comparison->auc->p, 1);
  EXPECT_EQ(of(*comparison, Figure::roc_auc).interval->low, 0);
  EXPECT_EQ(of(*comparison, Figure::roc_auc).interval->high, 0);
}

// If neither is better, a p below 0.05 comes up in one of twenty: in few enough of 200 tries for the test,
// and not in none of them. 5 % of 200 is 10; the chance of more than 20 is 1e-3, and of fewer than 2 is 5e-4.
TEST(Comparison, ErrsAsOftenAsItSays) {
  int delong_says = 0, mcnemar_says = 0;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Random random(seed);
    std::vector<double> a, b;
    std::vector<std::uint8_t> positive;
    for (int i = 0; i < 300; ++i) {
      positive.push_back(i % 3 == 0);
      const double shared = random.unit() + 0.3 * positive.back();
      a.push_back(shared + random.unit());
      b.push_back(shared + random.unit());
    }
    delong_says += delong(a, b, positive)->p < 0.05;
    std::uint64_t only_a = 0, only_b = 0;
    for (int i = 0; i < 300; ++i) ++(random.below(2) == 0 ? only_a : only_b);
    mcnemar_says += mcnemar(only_a, only_b).p_mid < 0.05;
  }
  EXPECT_LE(delong_says, 20);
  EXPECT_GE(delong_says, 2);
  EXPECT_LE(mcnemar_says, 20);
  EXPECT_GE(mcnemar_says, 2);
}

TEST(Comparison, GroupsThatAgreeInsideMakeWiderIntervals) {
  // Each row eight times, told apart only by the groups: eight times the rows, and not one fact more.
  const Rows once = two_detectors();
  Rows copied;
  std::vector<std::uint32_t> groups;
  for (std::size_t i = 0; i < once.positive.size(); ++i) {
    for (int copy = 0; copy < 8; ++copy) {
      copied.positive.push_back(once.positive[i]);
      copied.good.push_back(once.good[i]);
      copied.poor.push_back(once.poor[i]);
      groups.push_back(static_cast<std::uint32_t>(i));
    }
  }
  const auto plain = compare(paired_of(once));
  Paired paired = paired_of(copied);
  const auto ignorant = compare(paired);
  paired.groups = groups;
  const auto grouped = compare(paired);
  ASSERT_TRUE(plain && ignorant && grouped);
  EXPECT_TRUE(grouped->resampled.by_group);
  EXPECT_EQ(grouped->resampled.units, 200u);
  const auto width = [](const Comparison& comparison) {
    const auto& interval = of(comparison, Figure::roc_auc).interval;
    return interval->high - interval->low;
  };
  EXPECT_DOUBLE_EQ(width(*grouped), width(*plain));  // the same draws of the same things
  EXPECT_LT(width(*ignorant), 0.6 * width(*plain));
}

TEST(Comparison, IsTheSameForAnyNumberOfThreads) {
  const Rows rows = two_detectors();
  Paired paired = paired_of(rows);
  std::string one, three;
  JsonWriter first(one), second(three);
  compare(paired)->to_json(first);
  paired.threads = 3;
  compare(paired)->to_json(second);
  EXPECT_EQ(one, three);
}

TEST(Comparison, RefusesWhatDoesNotFit) {
  const Rows rows = two_detectors();
  Paired paired = paired_of(rows);
  paired.scores_b = std::span(rows.poor).first(10);
  EXPECT_FALSE(compare(paired));
  Rows broken = rows;
  broken.poor[3] = std::numeric_limits<double>::quiet_NaN();
  const auto answer = compare(paired_of(broken));
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().message, HasSubstr("row 3"));
  const std::vector<std::uint32_t> groups(3);
  paired = paired_of(rows);
  paired.groups = groups;
  EXPECT_FALSE(compare(paired));
  EXPECT_FALSE(delong(rows.good, rows.poor, std::vector<std::uint8_t>(200, 1)));
}

}  // namespace
}  // namespace nidus::learn
