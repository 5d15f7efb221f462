#include "learn/probability.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/random.h"
#include "learn/metrics.h"
#include "model/model.h"

namespace nidus::learn {
namespace {

// Says the number that it is given.
class FirstColumn final : public model::Model {
 public:
  std::size_t inputs() const override { return 1; }
  std::size_t outputs() const override { return 1; }
  void score(std::span<const float> rows, std::size_t count, std::span<double> scores) const override {
    for (std::size_t i = 0; i < count; ++i) scores[i] = static_cast<double>(rows[i]);
  }
  bool is_wide() const override { return true; }
  void score_wide(std::span<const double> rows, std::size_t count, std::span<double> scores) const override {
    std::copy_n(rows.begin(), count, scores.begin());
  }
  std::string describe() const override { return "the first column"; }
  void save(model::internal::FileWriter&) const override {}
};

struct Rows {
  std::vector<double> scores, weights;
  std::vector<std::uint8_t> positive;
};

// The rows of the fixture below.
Rows rows_of_fixture() {
  Rows out;
  for (int i = 0; i < 200; ++i) {
    const double score = i * 37 % 101 / 100.0;
    out.scores.push_back(score);
    out.positive.push_back((i * i * 7 + 3 * i) % 100 < 100 * score * score ? 1 : 0);
    out.weights.push_back(1 + i % 3);
  }
  return out;
}

// What a curve makes of a score, through the model that uses it.
double at(const model::Calibration::Curve& curve, double score) {
  const auto calibration =
      model::Calibration::make(std::make_shared<FirstColumn>(), {curve}, model::Calibration::Ending::none);
  EXPECT_TRUE(calibration) << calibration.error().message;
  double out = 0;
  const double row[] = {score};
  calibration->score_wide(row, 1, std::span(&out, 1));
  return out;
}

constexpr double kAt[] = {0, 0.1, 0.25, 0.33, 0.5, 0.66, 0.75, 0.9, 1, 1.5, -1};

// Made by scikit-learn 1.9.1: IsotonicRegression(out_of_bounds="clip") and calibration._SigmoidCalibration.
TEST(Probability, CurvesAreThoseOfScikitLearn) {
  const Rows rows = rows_of_fixture();
  constexpr double kIsotonic[] = {
      0.0, 0.05, 0.0784313725490196, 0.0784313725490196, 0.375, 0.46153846153846156, 0.5, 0.9, 1.0, 1.0, 0.0};
  constexpr double kWeighted[] = {0.0,
                                  0.07058823529411765,
                                  0.07142857142857142,
                                  0.07142857142857142,
                                  0.17647058823529413,
                                  0.5,
                                  0.5454545454545454,
                                  0.926829268292683,
                                  1.0,
                                  1.0,
                                  0.0};
  constexpr double kPlatt[] = {0.02625171860513238, 0.044625411514926466,  0.09627050971013992,
                               0.14189112173683735, 0.296230148355012,     0.5035197985203764,
                               0.6245107326356983,  0.7913646100715003,    0.8679314877995721,
                               0.9903480705402744,  0.00011058287710967777};
  const auto isotonic = fit_isotonic(rows.scores, rows.positive);
  const auto weighted = fit_isotonic(rows.scores, rows.positive, rows.weights);
  const auto platt = fit_platt(rows.scores, rows.positive);
  ASSERT_TRUE(isotonic && weighted && platt);
  for (std::size_t i = 0; i < std::size(kAt); ++i) {
    EXPECT_NEAR(at(*isotonic, kAt[i]), kIsotonic[i], 1e-12) << kAt[i];
    EXPECT_NEAR(at(*weighted, kAt[i]), kWeighted[i], 1e-12) << kAt[i];
    EXPECT_NEAR(at(*platt, kAt[i]), kPlatt[i], 1e-5) << kAt[i];
  }
}

TEST(Probability, OverconfidentScoresBecomeProbabilities) {
  Random random(4);
  const auto draw = [&](std::size_t count) {
    Rows rows;
    for (std::size_t i = 0; i < count; ++i) {
      const double truth = random.unit();
      rows.positive.push_back(random.unit() < truth ? 1 : 0);
      rows.scores.push_back(truth * truth * truth / (truth * truth * truth + std::pow(1 - truth, 3)));
    }
    return rows;
  };
  const Rows fit = draw(20'000), later = draw(20'000);
  ASSERT_GT(calibration(later.scores, later.positive)->expected_error, 0.1);
  for (const auto& curve : {fit_isotonic(fit.scores, fit.positive), fit_platt(fit.scores, fit.positive)}) {
    ASSERT_TRUE(curve);
    std::vector<double> probabilities;
    for (const double score : later.scores) probabilities.push_back(at(*curve, score));
    EXPECT_LT(calibration(probabilities, later.positive)->expected_error, 0.065);
    EXPECT_LT(*brier(probabilities, later.positive), *brier(later.scores, later.positive));
  }
}

TEST(Probability, SeparableRowsGiveFiniteCurves) {
  const std::vector<double> scores = {0, 0, 0, 1, 1, 1};
  const std::vector<std::uint8_t> positive = {0, 0, 0, 1, 1, 1};
  const auto platt = fit_platt(scores, positive);
  ASSERT_TRUE(platt);
  // Platt's targets: (3 + 1) / (3 + 2) and 1 / (3 + 2).
  EXPECT_NEAR(at(*platt, 1), 0.8, 1e-6);
  EXPECT_NEAR(at(*platt, 0), 0.2, 1e-6);
  const auto isotonic = fit_isotonic(scores, positive);
  ASSERT_TRUE(isotonic);
  EXPECT_EQ(at(*isotonic, 0.5), 0.5);
}

TEST(Probability, RefusesRowsOfOneSideAndScoresThatAreNone) {
  const std::vector<double> scores = {0.1, 0.2};
  const std::vector<std::uint8_t> same = {1, 1}, both = {0, 1};
  EXPECT_FALSE(fit_isotonic(scores, same));
  EXPECT_FALSE(fit_platt(scores, same));
  EXPECT_FALSE(fit_platt({}, {}));
  for (const double none : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    const std::vector<double> bad = {0.1, none};
    EXPECT_FALSE(fit_isotonic(bad, both));
    EXPECT_FALSE(fit_platt(bad, both));
  }
  EXPECT_FALSE(fit_isotonic(scores, std::vector<std::uint8_t>{0}));
}

TEST(Probability, ACalibratedModelKeepsTheOrderOfRows) {
  Dataset rows;
  rows.schema = {{"score", model::Column::Kind::numeric, {}, ""}};
  rows.classes = {"benign", "attack"};
  Random random(6);
  for (int i = 0; i < 500; ++i) {
    const double score = 0.1 + 0.5 * random.unit();
    rows.values.push_back(static_cast<float>(score));
    rows.labels.push_back(random.unit() < score ? 1 : 0);
  }
  const auto model = calibrated(std::make_shared<FirstColumn>(), rows, ProbabilityMethod::isotonic);
  ASSERT_TRUE(model) << model.error().message;
  std::vector<float> ladder;
  for (int i = 0; i <= 100; ++i) ladder.push_back(static_cast<float>(i) / 100);
  const auto scores = model::all_scores(**model, std::span<const float>(ladder), ladder.size());
  for (std::size_t i = 1; i < scores.size(); ++i) EXPECT_GT(scores[i], scores[i - 1]) << i;
  EXPECT_GE(scores.front(), 0);
  EXPECT_LE(scores.back(), 1);
  rows.labels.assign(500, 0);
  EXPECT_FALSE(calibrated(std::make_shared<FirstColumn>(), rows, ProbabilityMethod::platt));
}

TEST(Probability, AnotherShareOfAttacksMovesIt) {
  // Half of the rows were attacks, of which the score 0.8 has four times the odds; now one in a hundred is.
  EXPECT_NEAR(at_prior(0.8, 0.5, 0.01), 4.0 / 99 / (1 + 4.0 / 99), 1e-12);
  EXPECT_NEAR(at_prior(at_prior(0.3, 0.5, 0.01), 0.01, 0.5), 0.3, 1e-12);
  const Rows rows = rows_of_fixture();
  const double share = 73.0 / 200;
  for (const auto& curve :
       {fit_platt(rows.scores, rows.positive), fit_isotonic(rows.scores, rows.positive)}) {
    ASSERT_TRUE(curve);
    for (const double score : {0.0, 0.25, 0.9})
      EXPECT_NEAR(at(at_prior(*curve, share, 0.02), score), at_prior(at(*curve, score), share, 0.02), 0.02)
          << score;
  }
  EXPECT_EQ(at_prior(0, 0.5, 0.1), 0);
  EXPECT_EQ(at_prior(1, 0.5, 0.1), 1);
}

}  // namespace
}  // namespace nidus::learn
