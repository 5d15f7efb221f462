#include "learn/evaluation.h"

#include <gmock/gmock.h>

#include <cmath>

namespace nidus::learn {
namespace {

using ::testing::HasSubstr;

TEST(Evaluation, BinaryVerdictsAreDrawnByTheThreshold) {
  const std::vector<std::uint32_t> truth = {0, 0, 1, 1}, families = {0, 0, 1, 2};
  const std::vector<double> scores = {0.1, 0.6, 0.5, 0.9};
  Scored scored;
  scored.classes = {"benign", "attack"};
  scored.truth = truth;
  scored.scores = scores;
  scored.threshold = 0.55;
  scored.family_names = {"benign", "scan", "flood"};
  scored.families = families;
  const auto evaluation = evaluate(scored);
  ASSERT_TRUE(evaluation);
  EXPECT_EQ(evaluation->confusion.count(0, 1), 1u);
  EXPECT_EQ(evaluation->confusion.count(1, 1), 1u);
  EXPECT_DOUBLE_EQ(*evaluation->accuracy, 0.5);
  EXPECT_DOUBLE_EQ(*evaluation->attack_recall, 0.5);
  EXPECT_DOUBLE_EQ(*evaluation->false_positive_rate, 0.5);
  EXPECT_DOUBLE_EQ(*evaluation->roc_auc, 0.75);
  ASSERT_EQ(evaluation->families.size(), 3u);
  EXPECT_EQ(*evaluation->families[1].recall, 0);
  EXPECT_EQ(*evaluation->families[2].recall, 1);
  EXPECT_THAT(evaluation->to_text(), HasSubstr("not resolvable"));
  EXPECT_THAT(evaluation->to_text(), HasSubstr("flood"));
  EXPECT_THAT(evaluation->to_json(), HasSubstr("\"confusion\":[[1,1],[1,1]]"));
}

TEST(Evaluation, TwoStagesAskForAttackFirst) {
  const std::vector<std::uint32_t> truth = {0, 2};
  const std::vector<double> scores = {0.8, 0.1, 0.1, 0.5, 0.2, 0.3};
  Scored scored;
  scored.classes = {"benign", "dos", "scan"};
  scored.truth = truth;
  scored.scores = scores;
  scored.width = 3;
  EXPECT_EQ(evaluate(scored)->confusion.count(2, 0), 1u);
  scored.two_stage = true;
  scored.threshold = 0.4;
  const auto evaluation = evaluate(scored);
  EXPECT_EQ(evaluation->confusion.count(2, 2), 1u);
  EXPECT_EQ(evaluation->confusion.count(0, 0), 1u);
  EXPECT_EQ(evaluation->threshold, 0.4);
}

TEST(Evaluation, RefusesWhatDoesNotFit) {
  const std::vector<std::uint32_t> truth = {0, 1};
  std::vector<double> scores = {0.1};
  Scored scored;
  scored.classes = {"benign", "attack"};
  scored.truth = truth;
  scored.scores = scores;
  EXPECT_FALSE(evaluate(scored));
  scores = {0.1, std::nan("")};
  scored.scores = scores;
  EXPECT_FALSE(evaluate(scored));
  scores = {0.1, 0.2};
  const std::vector<std::uint32_t> wrong = {0, 2};
  scored.truth = wrong;
  EXPECT_FALSE(evaluate(scored));
}

TEST(Evaluation, OfOneClassHasFiguresWithoutValue) {
  const std::vector<std::uint32_t> truth = {0, 0};
  const std::vector<double> scores = {0.1, 0.2};
  Scored scored;
  scored.classes = {"benign", "attack"};
  scored.truth = truth;
  scored.scores = scores;
  const auto evaluation = evaluate(scored);
  ASSERT_TRUE(evaluation);
  EXPECT_FALSE(evaluation->roc_auc);
  EXPECT_FALSE(evaluation->attack_recall);
  EXPECT_THAT(evaluation->to_json(), HasSubstr("\"roc_auc\":null"));
}

}  // namespace
}  // namespace nidus::learn
