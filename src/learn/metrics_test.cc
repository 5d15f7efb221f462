#include "learn/metrics.h"

#include <gmock/gmock.h>

#include <cmath>

#include "base/random.h"

namespace nidus::learn {
namespace {

// Counted by hand: rows are the truth.
//   5 1 0
//   2 3 1
//   0 0 4
Confusion three_classes() {
  Confusion confusion(3);
  const int counts[3][3] = {{5, 1, 0}, {2, 3, 1}, {0, 0, 4}};
  for (std::size_t truth = 0; truth < 3; ++truth) {
    for (std::size_t said = 0; said < 3; ++said) {
      for (int i = 0; i < counts[truth][said]; ++i) confusion.add(truth, said);
    }
  }
  return confusion;
}

TEST(Confusion, AgreesWithCountingByHand) {
  const Confusion confusion = three_classes();
  EXPECT_EQ(confusion.total(), 16u);
  EXPECT_DOUBLE_EQ(*confusion.accuracy(), 12.0 / 16);
  EXPECT_DOUBLE_EQ(*confusion.recall(1), 3.0 / 6);
  EXPECT_DOUBLE_EQ(*confusion.precision(1), 3.0 / 4);
  EXPECT_DOUBLE_EQ(*confusion.f1(1), 2 * 3.0 / (6 + 4));
  EXPECT_DOUBLE_EQ(*confusion.balanced_accuracy(), (5.0 / 6 + 3.0 / 6 + 1) / 3);
  EXPECT_DOUBLE_EQ(*confusion.macro_f1(), (10.0 / 13 + 6.0 / 10 + 8.0 / 9) / 3);
  // c = 12, s = 16, t = (6, 6, 4), p = (7, 4, 5): (12*16 - 86) / sqrt((256 - 88)(256 - 90))
  EXPECT_DOUBLE_EQ(*confusion.mcc(), 106.0 / std::sqrt(168.0 * 166.0));
}

TEST(Confusion, RatesOverNothingHaveNoValue) {
  Confusion confusion(3);
  EXPECT_FALSE(confusion.accuracy());
  EXPECT_FALSE(confusion.mcc());
  confusion.add(0, 0);
  EXPECT_FALSE(confusion.recall(1));
  EXPECT_FALSE(confusion.precision(2));
  EXPECT_EQ(confusion.balanced_accuracy(), 1);
  EXPECT_EQ(confusion.mcc(), 0);
}

TEST(RocAuc, TiesCountHalf) {
  const std::vector<double> scores = {0.9, 0.5, 0.5, 0.1};
  const std::vector<std::uint8_t> positive = {1, 1, 0, 0};
  // Pairs: 0.9 beats both, 0.5 ties one and beats one: (1 + 1 + 0.5 + 1) / 4.
  EXPECT_DOUBLE_EQ(*roc_auc(scores, positive), 3.5 / 4);
  EXPECT_DOUBLE_EQ(*roc_auc(std::vector<double>(4, 0.5), positive), 0.5);
  EXPECT_FALSE(roc_auc(scores, std::vector<std::uint8_t>(4, 1)));
}

TEST(RocAuc, EqualsCountingAllPairs) {
  Random random(3);
  std::vector<double> scores;
  std::vector<std::uint8_t> positive;
  for (int i = 0; i < 200; ++i) {
    positive.push_back(random.below(3) == 0);
    scores.push_back(static_cast<double>(random.below(20) + 3 * positive.back()));
  }
  double won = 0, pairs = 0;
  for (std::size_t a = 0; a < 200; ++a) {
    for (std::size_t b = 0; b < 200; ++b) {
      if (positive[a] == 0 || positive[b] != 0) continue;
      ++pairs;
      won += scores[a] > scores[b] ? 1 : scores[a] == scores[b] ? 0.5 : 0;
    }
  }
  EXPECT_NEAR(*roc_auc(scores, positive), won / pairs, 1e-12);
}

TEST(AveragePrecision, AgreesWithCountingByHand) {
  // In order of score: hit, miss, hit: (1/1 + 2/3) / 2.
  EXPECT_DOUBLE_EQ(*average_precision(std::vector<double>{3, 2, 1}, std::vector<std::uint8_t>{1, 0, 1}),
                   (1 + 2.0 / 3) / 2);
  // All tied: precision is the share of attacks.
  EXPECT_DOUBLE_EQ(*average_precision(std::vector<double>(4, 1), std::vector<std::uint8_t>{1, 0, 0, 0}),
                   0.25);
}

TEST(RecallAt, TakesTheLowestThresholdThatKeepsTheRate) {
  std::vector<double> scores;
  std::vector<std::uint8_t> positive;
  for (int i = 0; i < 100; ++i) {  // benign 0..99
    scores.push_back(i);
    positive.push_back(0);
  }
  for (const double score : {200.0, 98.5, 97.5, 1.0}) {
    scores.push_back(score);
    positive.push_back(1);
  }
  const auto one_percent = recall_at(0.01, scores, positive);
  ASSERT_TRUE(one_percent);
  EXPECT_EQ(one_percent->threshold, 98.5);
  EXPECT_EQ(one_percent->recall, 0.5);
  EXPECT_EQ(one_percent->realised_rate, 0.01);
  EXPECT_FALSE(one_percent->resolvable);  // one false alarm is too few to speak of a rate
  EXPECT_TRUE(recall_at(0.1, scores, positive)->resolvable);
  EXPECT_EQ(recall_at(0, std::vector<double>{1, 1}, std::vector<std::uint8_t>{0, 1})->recall, 0);
}

TEST(Brier, IsTheMeanSquaredGap) {
  EXPECT_DOUBLE_EQ(*brier(std::vector<double>{0.8, 0.3}, std::vector<std::uint8_t>{1, 0}), (0.04 + 0.09) / 2);
}

TEST(Scores, NotANumberIsAnErrorAndNeverAFigure) {
  const std::vector<double> scores = {0.1, std::nan(""), 0.7};
  const std::vector<std::uint8_t> positive = {0, 1, 1};
  const auto checked = check_scores(scores, positive);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, Errc::invalid);
  EXPECT_THAT(checked.error().message, testing::HasSubstr("row 1"));
  EXPECT_FALSE(roc_auc(scores, positive));
  EXPECT_FALSE(average_precision(scores, positive));
  EXPECT_FALSE(recall_at(0.1, scores, positive));
  EXPECT_FALSE(brier(scores, positive));
  EXPECT_FALSE(calibration(scores, positive));
  EXPECT_TRUE(curve(scores, positive).empty());
}

TEST(Scores, WeightsMustBeWeights) {
  const std::vector<double> scores = {0.1, 0.5, 0.7};
  const std::vector<std::uint8_t> positive = {0, 1, 1};
  for (const double bad : {-1.0, std::nan(""), HUGE_VAL}) {
    EXPECT_FALSE(check_scores(scores, positive, std::vector<double>{1, bad, 1}));
    EXPECT_FALSE(roc_auc(scores, positive, std::vector<double>{1, bad, 1}));
  }
  EXPECT_FALSE(check_scores(scores, positive, std::vector<double>{1}));
  EXPECT_FALSE(check_scores(scores, std::vector<std::uint8_t>{1}));
  EXPECT_TRUE(check_scores(scores, positive, std::vector<double>{0, 0, 0}));
}

TEST(Calibration, ScoresOutsideZeroToOneAreNoProbabilities) {
  const std::vector<std::uint8_t> positive = {0, 1};
  EXPECT_FALSE(calibration(std::vector<double>{0.5, 1.01}, positive));
  EXPECT_FALSE(calibration(std::vector<double>{-0.01, 0.5}, positive));
  const auto found = calibration(std::vector<double>{0.0, 1.0}, positive);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->expected_error, 0);
  EXPECT_EQ(found->bins.front().weight, 1);
  EXPECT_EQ(found->bins.back().weight, 1);
}

TEST(Wilson, AgreesWithThePublishedFormula) {
  // 8 of 10 at z = 1.96: (0.9921 ± 0.2265...) / 1.38416
  const Interval interval = wilson(8, 10);
  EXPECT_NEAR(interval.low, 0.4902, 1e-4);
  EXPECT_NEAR(interval.high, 0.9433, 1e-4);
  EXPECT_EQ(wilson(0, 50).low, 0);
  EXPECT_EQ(wilson(50, 50).high, 1);
  EXPECT_EQ(wilson(0, 0).high, 1);
}

}  // namespace
}  // namespace nidus::learn
