#include "model/fusion.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/random.h"
#include "model/distances.h"
#include "model/explain.h"
#include "model/forest.h"
#include "model/histogram_sums.h"
#include "model/model_file.h"
#include "model/preprocess.h"
#include "model/testing.h"

namespace nidus::model {
namespace {

using ::testing::HasSubstr;
using Rule = Fusion::Rule;
using ModelPointer = std::shared_ptr<const Model>;

ModelPointer forest(std::uint64_t seed, std::size_t width) {
  auto parts = testing::draw_trees(seed, 9, 2, 31, width, false).parts;
  // Shares that add up to 1.
  if (width > 1) {
    std::vector<float> leaves(parts.leaves.begin(), parts.leaves.end());
    for (std::size_t i = 0; i < leaves.size(); i += width) {
      float sum = 0;
      for (std::size_t k = 0; k < width; ++k) sum += leaves[i + k];
      for (std::size_t k = 0; k < width; ++k) leaves[i + k] /= sum;
    }
    parts.leaves = std::move(leaves);
  }
  const auto weights = testing::draw_weights(seed, parts);
  parts.covers = TreeSet::pack_covers(parts.nodes.span(), parts.roots.span(), weights);
  return std::make_shared<const Forest>(*Forest::make(*TreeSet::make(std::move(parts))));
}

ModelPointer distance() {
  return std::make_shared<const Mahalanobis>(
      *Mahalanobis::make({{1, -1}, {100, 3}, std::vector<double>{2, 0.5, 0.5, 1}}));
}

ModelPointer neighbours() {
  Neighbours::Parts parts;
  parts.inputs = 2;
  parts.nearest = 2;
  parts.sample = std::vector<float>{0, 0, 1, 1, 2, 3};
  return std::make_shared<const Neighbours>(*Neighbours::make(std::move(parts)));
}

ModelPointer histogram() {
  HistogramSums::Histogram column{{0, 1, 2}, {5, 0.5, 1, 4}, 3};
  return std::make_shared<const HistogramSums>(*HistogramSums::make({column, column}));
}

Calibration::Curve points(std::vector<double> x, std::vector<double> y) {
  Calibration::Curve curve;
  curve.kind = Calibration::Curve::Kind::steps;
  curve.x = std::move(x);
  curve.y = std::move(y);
  return curve;
}

std::vector<float> rows_of(std::size_t count) {
  Random random(8);
  std::vector<float> out;
  for (std::size_t i = 0; i < count * 2; ++i) out.push_back(static_cast<float>(6 * random.unit() - 3));
  return out;
}

Fusion::Parts three(Rule rule, std::uint32_t quorum = 1) {
  Fusion::Parts parts;
  parts.members = {{forest(1, 1), {}, 2},
                   {distance(), points({0, 5, 50}, {0, 0.5, 1}), 1},
                   {histogram(), points({1, 10}, {0.1, 0.9}), 0.5}};
  parts.rule = rule;
  parts.quorum = quorum;
  parts.bias = -1;
  return parts;
}

std::vector<double> attack_of(const Model& member, const Calibration::Curve& curve,
                              std::span<const float> rows) {
  auto out = attack_scores(member, rows, rows.size() / 2);
  for (double& score : out) score = curve.at(score);
  return out;
}

TEST(Fusion, EveryRuleIsWhatItSays) {
  const auto rows = rows_of(600);
  const auto parts = three(Rule::mean);
  std::vector<std::vector<double>> each;
  for (const auto& member : parts.members) each.push_back(attack_of(*member.model, member.curve, rows));
  const auto mean = all_scores(*Fusion::make(three(Rule::mean)), rows, 600);
  const auto highest = all_scores(*Fusion::make(three(Rule::quorum, 1)), rows, 600);
  const auto vote = all_scores(*Fusion::make(three(Rule::quorum, 2)), rows, 600);
  const auto all = all_scores(*Fusion::make(three(Rule::quorum, 3)), rows, 600);
  const auto stack = all_scores(*Fusion::make(three(Rule::logistic)), rows, 600);
  for (std::size_t i = 0; i < 600; ++i) {
    std::vector<double> own = {each[0][i], each[1][i], each[2][i]};
    EXPECT_NEAR(mean[i], (2 * own[0] + own[1] + 0.5 * own[2]) / 3.5, 1e-12);
    EXPECT_NEAR(stack[i], 1 / (1 + std::exp(1 - 2 * own[0] - own[1] - 0.5 * own[2])), 1e-12);
    std::sort(own.begin(), own.end());
    EXPECT_EQ(highest[i], own[2]);
    EXPECT_EQ(vote[i], own[1]);
    EXPECT_EQ(all[i], own[0]);
  }
}

TEST(Fusion, ClassesShareTheScoreAndAnomaliesGetTheRest) {
  const auto rows = rows_of(500);
  const auto classes = forest(3, 4);
  const auto curve = points({0, 20}, {0, 1});
  Fusion::Parts parts;
  parts.members = {{classes, {}, 1}, {distance(), curve, 1}};
  parts.rule = Rule::quorum;
  const auto without = Fusion::make(parts);
  ASSERT_TRUE(without) << without.error().message;
  EXPECT_EQ(without->outputs(), 4u);
  // A line that half of the rows reach by the classes.
  auto fires_at = attack_scores(*classes, rows, 500);
  std::nth_element(fires_at.begin(), fires_at.begin() + 250, fires_at.end());
  const double line = fires_at[250];
  parts.line = line;
  const auto with = Fusion::make(parts);
  ASSERT_TRUE(with);
  EXPECT_EQ(with->outputs(), 5u);
  const auto plain = all_scores(*without, rows, 500), named = all_scores(*with, rows, 500);
  const auto own = all_scores(*classes, rows, 500), far = attack_of(*distance(), curve, rows);
  std::size_t anomalies = 0;
  for (std::size_t i = 0; i < 500; ++i) {
    const double attack = std::max(1 - own[i * 4], far[i]);
    EXPECT_NEAR(1 - plain[i * 4], attack, 1e-12);
    double sum = 0;
    for (std::size_t k = 0; k < 4; ++k) sum += plain[i * 4 + k];
    EXPECT_NEAR(sum, 1, 1e-12);
    for (std::size_t k = 1; k < 4; ++k)
      EXPECT_NEAR(plain[i * 4 + k], attack * own[i * 4 + k] / (1 - own[i * 4]), 1e-6);  // shares are floats
    const bool fires = 1 - own[i * 4] >= line;
    anomalies += fires ? 0 : 1;
    EXPECT_EQ(named[i * 5 + 4], fires ? 0 : 1 - named[i * 5]);
    for (std::size_t k = 0; k < 4; ++k) {
      EXPECT_EQ(named[i * 5 + k], k == 0 || fires ? plain[i * 4 + k] : 0);
    }
  }
  EXPECT_GT(anomalies, 50u);
  EXPECT_LT(anomalies, 450u);
}

TEST(Fusion, ARowHasTheSameScoreWhateverStandsBesideIt) {
  const auto rows = rows_of(300);
  for (const ModelPointer& model :
       {distance(), neighbours(), histogram(),
        ModelPointer(std::make_shared<const Fusion>(*Fusion::make(three(Rule::mean))))}) {
    const auto together = all_scores(*model, rows, 300);
    for (std::size_t i = 0; i < 300; ++i) {
      const auto alone = all_scores(*model, std::span(rows).subspan(2 * i, 2), 1);
      EXPECT_EQ(std::memcmp(&alone[0], &together[i], sizeof(double)), 0) << i;
    }
    const std::vector<double> wide(rows.begin(), rows.end());
    EXPECT_EQ(all_scores(*model, std::span<const double>(wide), 300), together);
  }
}

TEST(Mahalanobis, ByHand) {
  // d = (2, 1): 2 × 4 + 2 × 0.5 × 2 + 1; then d = (2, 3), as -1 + 9 is held within 3.
  const std::vector<float> rows = {3, 0, 3, 8};
  const auto scores = all_scores(*distance(), rows, 2);
  EXPECT_DOUBLE_EQ(scores[0], 11);
  EXPECT_DOUBLE_EQ(scores[1], 8 + 6 + 9);
}

TEST(Fusion, WhatIsMissingLeavesNoScoreUnlessAHistogramKnowsIt) {
  const std::vector<float> row = {std::nanf(""), 1};
  EXPECT_TRUE(std::isnan(all_scores(*distance(), row, 1)[0]));
  EXPECT_TRUE(std::isnan(all_scores(*neighbours(), row, 1)[0]));
  EXPECT_EQ(all_scores(*histogram(), row, 1)[0], 3 + 1);
  for (const Rule rule : {Rule::mean, Rule::quorum, Rule::logistic})
    EXPECT_TRUE(std::isnan(all_scores(*Fusion::make(three(rule)), row, 1)[0]));
}

TEST(Fusion, ReasonsAddUp) {
  const auto rows = rows_of(60);
  std::vector<ModelPointer> models = {distance(), neighbours(), histogram()};
  for (const Rule rule : {Rule::mean, Rule::quorum, Rule::logistic})
    models.push_back(std::make_shared<const Fusion>(*Fusion::make(three(rule, 2))));
  Fusion::Parts parts;
  parts.members = {{forest(3, 4), {}, 1}, {distance(), points({0, 20}, {0, 1}), 1}};
  parts.rule = Rule::quorum;
  parts.line = 0.6;
  models.push_back(std::make_shared<const Fusion>(*Fusion::make(parts)));
  for (const auto& model : models) {
    const auto explainer = Explainer::make(model, Explainer::Unit::score);
    ASSERT_TRUE(explainer) << explainer.error().message;
    std::vector<double> contributions(60 * 3);
    explain_attack_score(*explainer, rows, 60, contributions);
    const auto scores = attack_scores(*model, rows, 60);
    for (std::size_t i = 0; i < 60; ++i)
      EXPECT_NEAR(contributions[3 * i] + contributions[3 * i + 1] + contributions[3 * i + 2], scores[i],
                  1e-7 * (1 + scores[i]))
          << model->describe();
    // Any weighted sum of the outputs.
    std::vector<double> weights(model->outputs());
    for (std::size_t k = 0; k < weights.size(); ++k) weights[k] = 0.25 * static_cast<double>(k) - 0.3;
    explainer->explain(rows, 60, weights, contributions);
    const auto all = all_scores(*model, rows, 60);
    for (std::size_t i = 0; i < 60; ++i) {
      double expected = 0;
      for (std::size_t k = 0; k < weights.size(); ++k) expected += weights[k] * all[i * weights.size() + k];
      EXPECT_NEAR(contributions[3 * i] + contributions[3 * i + 1] + contributions[3 * i + 2], expected,
                  1e-7 * (1 + std::abs(expected)))
          << model->describe();
    }
  }
}

ModelFile file_of(ModelPointer model) {
  ModelFile file;
  file.schema.resize(2);
  file.schema[0].name = "a";
  file.schema[1].name = "b";
  for (std::size_t i = 0; i < std::max<std::size_t>(2, model->outputs()); ++i)
    file.classes.push_back(std::string(1, static_cast<char>('k' + i)));
  file.model = std::move(model);
  return file;
}

std::vector<ModelPointer> every_kind() {
  Step log;
  log.encode = Step::Encode::log_scale;
  log.scale = 0.5;
  Fusion::Parts parts;
  parts.members = {
      {forest(3, 4), {}, 1},
      {std::make_shared<const Pipeline>(*Pipeline::make(*Preprocessor::make({log, log}), distance())),
       points({0, 20}, {0, 1}), 1},
      {neighbours(), points({0, 3}, {0, 0.75}), 1}};
  parts.rule = Rule::quorum;
  parts.quorum = 2;
  parts.line = 0.6;
  return {distance(), neighbours(), histogram(),
          std::make_shared<const Fusion>(*Fusion::make(three(Rule::logistic))),
          std::make_shared<const Fusion>(*Fusion::make(parts))};
}

TEST(Fusion, WhatWasSavedScoresTheSame) {
  const auto rows = rows_of(100);
  for (const auto& model : every_kind()) {
    const auto bytes = serialise(file_of(model));
    ASSERT_TRUE(bytes) << bytes.error().message;
    const auto again = parse_model(std::as_bytes(std::span(*bytes)));
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->model->describe(), model->describe());
    EXPECT_EQ(again->model->scale(), model->scale());
    EXPECT_EQ(all_scores(*again->model, rows, 100), all_scores(*model, rows, 100));
    EXPECT_EQ(*serialise(*again), *bytes);
    for (std::size_t size = 0; size < bytes->size(); size += 7)
      ASSERT_FALSE(parse_model(std::as_bytes(std::span(*bytes).first(size)))) << size;
  }
}

TEST(Fusion, PartsThatDoNotFitAreRefused) {
  auto parts = three(Rule::mean);
  parts.members[1].curve = {};
  EXPECT_THAT(Fusion::make(parts).error().message, HasSubstr("without bounds"));
  parts = three(Rule::mean);
  parts.members[1].curve.y = {0.5, 0.2, 1};
  EXPECT_EQ(Fusion::make(parts).error().code, Errc::corrupt);
  parts.members[1].curve.y = {0, 0.2, 1.5};
  EXPECT_EQ(Fusion::make(parts).error().code, Errc::corrupt);
  EXPECT_FALSE(Fusion::make(three(Rule::quorum, 0)));
  EXPECT_FALSE(Fusion::make(three(Rule::quorum, 4)));
  parts = three(Rule::mean);
  parts.line = 0.5;
  EXPECT_THAT(Fusion::make(parts).error().message, HasSubstr("beside no classes"));
  parts = three(Rule::mean);
  for (auto& member : parts.members) member.weight = 0;
  EXPECT_FALSE(Fusion::make(parts));
  parts.members = {{forest(1, 3), {}, 1}, {forest(1, 4), {}, 1}};
  EXPECT_THAT(Fusion::make(parts).error().message, HasSubstr("inputs or classes"));
  EXPECT_FALSE(Fusion::make({}));

  EXPECT_FALSE(Mahalanobis::make({{1, 2}, {1, 1}, std::vector<double>{1, 2, 3}}));
  EXPECT_FALSE(
      Mahalanobis::make({std::vector<double>{1}, std::vector<double>{1}, std::vector<double>{INFINITY}}));
  Neighbours::Parts few{2, 3, std::vector<float>{0, 0, 1, 1}};
  EXPECT_FALSE(Neighbours::make(few));
  EXPECT_FALSE(HistogramSums::make({HistogramSums::Histogram{{1, 1}, {1, 2, 3}, 0}}));
  EXPECT_FALSE(HistogramSums::make({HistogramSums::Histogram{{1, 2}, {1, 2}, 0}}));
  EXPECT_FALSE(HistogramSums::make({HistogramSums::Histogram{{1, 2}, {1, -2, 3}, 0}}));
  EXPECT_FALSE(HistogramSums::make({}));
}

}  // namespace
}  // namespace nidus::model
