#include "learn/boost_trainer.h"

#include <gmock/gmock.h>
#include <xgboost/c_api.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>

#include "base/random.h"
#include "learn/internal/xgboost_json.h"
#include "model/explain.h"

namespace nidus::learn {
namespace {

using ::testing::HasSubstr;

Dataset drawn(std::size_t rows, std::uint64_t seed, std::uint32_t classes, bool missing) {
  Random random(seed);
  Dataset out;
  out.schema.resize(5);
  for (std::size_t i = 0; i < 5; ++i) out.schema[i].name = "x" + std::to_string(i);
  for (std::uint32_t i = 0; i < classes; ++i) out.classes.push_back("c" + std::to_string(i));
  for (std::size_t row = 0; row < rows; ++row) {
    double sum = 0;
    for (int i = 0; i < 5; ++i) {
      const double value = static_cast<double>(random.below(50)) / 7;
      sum += i < 2 ? value : 0;
      const bool hole = missing && random.below(6) == 0;
      out.values.push_back(hole ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(value));
    }
    out.labels.push_back(std::min(classes - 1, static_cast<std::uint32_t>(sum * classes / 14)));
  }
  return out;
}

// Trains with libxgboost directly and lets both score: the margins must be the same floats, and the
// contributions to them as near as sums of floats are.
void expect_same_margins(std::uint32_t classes, bool missing) {
  const Dataset data = drawn(1200, classes + (missing ? 10 : 0), classes, missing);
  const Dataset unseen = drawn(700, 77, classes, true);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  DMatrixHandle train = nullptr, test = nullptr;
  ASSERT_EQ(XGDMatrixCreateFromMat(data.values.data(), data.rows(), 5, nan, &train), 0);
  ASSERT_EQ(XGDMatrixCreateFromMat(unseen.values.data(), unseen.rows(), 5, nan, &test), 0);
  const std::vector<float> labels(data.labels.begin(), data.labels.end());
  ASSERT_EQ(XGDMatrixSetFloatInfo(train, "label", labels.data(), labels.size()), 0);
  BoosterHandle booster = nullptr;
  ASSERT_EQ(XGBoosterCreate(&train, 1, &booster), 0);
  XGBoosterSetParam(booster, "objective", classes == 2 ? "binary:logistic" : "multi:softprob");
  if (classes > 2) XGBoosterSetParam(booster, "num_class", std::to_string(classes).c_str());
  XGBoosterSetParam(booster, "tree_method", "hist");
  XGBoosterSetParam(booster, "base_score", "0.3");
  XGBoosterSetParam(booster, "nthread", "1");
  XGBoosterSetParam(booster, "verbosity", "0");
  for (int round = 0; round < 25; ++round) ASSERT_EQ(XGBoosterUpdateOneIter(booster, round, train), 0);
  bst_ulong length = 0;
  const char* json = nullptr;
  ASSERT_EQ(XGBoosterSaveModelToBuffer(booster, R"({"format": "json"})", &length, &json), 0);
  const auto boost = internal::from_xgboost_json(std::string_view(json, length), 5);
  ASSERT_TRUE(boost) << boost.error().message;

  const float* theirs = nullptr;
  ASSERT_EQ(XGBoosterPredict(booster, test, 1, 0, 0, &length, &theirs), 0);
  std::vector<float> ours(unseen.rows() * boost->outputs());
  ASSERT_EQ(length, ours.size());
  boost->margins(unseen.values, unseen.rows(), ours);
  for (std::size_t i = 0; i < ours.size(); ++i) {
    ASSERT_EQ(std::memcmp(&ours[i], &theirs[i], sizeof(float)), 0) << i << " " << ours[i] << " " << theirs[i];
  }

  // And the same reasons: option 4 asks for contributions, float as the margins are.
  ASSERT_EQ(XGBoosterPredict(booster, test, 4, 0, 0, &length, &theirs), 0);
  const auto explainer =
      model::Explainer::make(std::make_shared<model::Boost>(*boost), model::Explainer::Unit::margin);
  ASSERT_TRUE(explainer) << explainer.error().message;
  const std::size_t groups = boost->outputs(), width = 6;
  ASSERT_EQ(length, unseen.rows() * groups * width);
  std::vector<double> reasons(unseen.rows() * width);
  for (std::size_t group = 0; group < groups; ++group) {
    std::vector<double> one(groups);
    one[group] = 1;
    explainer->explain(unseen.values, unseen.rows(), one, reasons);
    for (std::size_t i = 0; i < reasons.size(); ++i) {
      const auto expected = static_cast<double>(theirs[(i / width * groups + group) * width + i % width]);
      ASSERT_NEAR(reasons[i], expected, 1e-5) << group << " " << i;
    }
  }
  XGBoosterFree(booster);
  XGDMatrixFree(train);
  XGDMatrixFree(test);
}

TEST(Boost, BinaryMarginsAreThoseOfLibxgboost) {
  expect_same_margins(2, false);
  expect_same_margins(2, true);
}

TEST(Boost, MultiClassMarginsAreThoseOfLibxgboost) {
  expect_same_margins(4, false);
  expect_same_margins(4, true);
}

TEST(Boost, LearnsAndKeepsTheBestRound) {
  const Dataset training = drawn(2000, 1, 2, false), validation = drawn(500, 2, 2, false);
  BoostOptions options;
  options.rounds = 60;
  options.early_stopping = 5;
  options.threads = 1;
  const auto fitted = fit_boost(training, &validation, options);
  ASSERT_TRUE(fitted) << fitted.error().message;
  EXPECT_EQ(fitted->model.trees().trees(), fitted->rounds);
  ASSERT_GE(fitted->validation_loss.size(), fitted->rounds);
  EXPECT_LT(fitted->validation_loss[fitted->rounds - 1], 0.1);
  for (const double loss : fitted->validation_loss)
    EXPECT_GE(loss, fitted->validation_loss[fitted->rounds - 1]);
}

TEST(Boost, TheSameSeedGivesTheSameScores) {
  const Dataset training = drawn(800, 1, 3, true);
  BoostOptions options;
  options.rounds = 10;
  options.subsample = 0.7;
  options.threads = 1;
  const auto a = fit_boost(training, nullptr, options), b = fit_boost(training, nullptr, options);
  ASSERT_TRUE(a);
  ASSERT_TRUE(b);
  EXPECT_EQ(model::all_scores(a->model, training.values, 800),
            model::all_scores(b->model, training.values, 800));
  EXPECT_EQ(a->model.outputs(), 3u);
}

// The rounds are boosters of their own that begin where the others ended: together they must be what
// libxgboost makes of the same rows in one go, when that begins at the same odds.
TEST(Boost, RoundsOnTheirOwnAreThoseOfOneBooster) {
  Dataset data = drawn(1500, 3, 2, true);
  for (std::size_t row = 0; row < data.rows(); row += 3) data.labels[row] = 0;
  BoostOptions options;
  options.rounds = 15;
  options.threads = 1;
  options.scale_positive = 2;
  const auto ours = fit_boost(data, nullptr, options);
  ASSERT_TRUE(ours) << ours.error().message;
  double attacks = 0;
  for (const auto label : data.labels) attacks += 2 * label;
  const double share = attacks / (attacks / 2 + static_cast<double>(data.rows()));

  DMatrixHandle matrix = nullptr;
  ASSERT_EQ(XGDMatrixCreateFromMat(data.values.data(), data.rows(), 5, std::nanf(""), &matrix), 0);
  const std::vector<float> labels(data.labels.begin(), data.labels.end());
  ASSERT_EQ(XGDMatrixSetFloatInfo(matrix, "label", labels.data(), labels.size()), 0);
  BoosterHandle booster = nullptr;
  ASSERT_EQ(XGBoosterCreate(&matrix, 1, &booster), 0);
  const std::string begin = std::to_string(share);
  for (const auto& [name, value] :
       std::initializer_list<std::pair<const char*, const char*>>{{"objective", "binary:logistic"},
                                                                  {"tree_method", "hist"},
                                                                  {"base_score", begin.c_str()},
                                                                  {"scale_pos_weight", "2"},
                                                                  {"nthread", "1"},
                                                                  {"verbosity", "0"}}) {
    XGBoosterSetParam(booster, name, value);
  }
  for (int round = 0; round < 15; ++round) ASSERT_EQ(XGBoosterUpdateOneIter(booster, round, matrix), 0);
  bst_ulong length = 0;
  const float* theirs = nullptr;
  ASSERT_EQ(XGBoosterPredict(booster, matrix, 1, 0, 0, &length, &theirs), 0);
  std::vector<float> margins(data.rows());
  ours->model.margins(data.values, data.rows(), margins);
  for (std::size_t row = 0; row < data.rows(); ++row) ASSERT_NEAR(margins[row], theirs[row], 1e-3) << row;
  XGBoosterFree(booster);
  XGDMatrixFree(matrix);
}

TEST(Boost, InfinitiesAreTaken) {
  Dataset training = drawn(300, 1, 2, false);
  training.values[0] = std::numeric_limits<float>::infinity();
  training.values[6] = -std::numeric_limits<float>::infinity();
  BoostOptions options;
  options.rounds = 3;
  options.threads = 1;
  EXPECT_TRUE(fit_boost(training, nullptr, options));
}

TEST(Boost, RefusesWhatCannotBeLearnt) {
  Dataset data = drawn(50, 1, 2, false);
  std::fill(data.labels.begin(), data.labels.end(), 0u);
  EXPECT_THAT(fit_boost(data, nullptr).error().message, HasSubstr("all of one class"));
  data = drawn(50, 1, 2, false);
  Dataset other = drawn(50, 1, 2, false);
  other.schema[0].name = "else";
  EXPECT_THAT(fit_boost(data, &other).error().message, HasSubstr("other columns"));
  BoostOptions options;
  options.gamma = -1;
  EXPECT_THAT(fit_boost(data, nullptr, options).error().message, HasSubstr("libxgboost"));
}

TEST(Boost, ForeignJsonIsRefusedWithAWord) {
  EXPECT_FALSE(internal::from_xgboost_json("{", 5));
  EXPECT_FALSE(internal::from_xgboost_json("{}", 5));
  EXPECT_FALSE(internal::from_xgboost_json(R"({"learner":{"objective":{"name":"reg:squarederror"}}})", 5));
}

}  // namespace
}  // namespace nidus::learn
