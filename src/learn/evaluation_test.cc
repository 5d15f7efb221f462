#include "learn/evaluation.h"

#include <gmock/gmock.h>

#include <cmath>

#include "base/random.h"

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

TEST(Evaluation, OfManyClassesTheMistakesAreListed) {
  constexpr std::size_t kClasses = 14;
  Scored scored;
  scored.width = kClasses;
  std::vector<std::uint32_t> truth;
  std::vector<double> scores;
  for (std::uint32_t i = 0; i < kClasses; ++i)
    scored.classes.push_back(i == 0 ? "benign" : "kind" + std::to_string(i));
  const auto add = [&](std::uint32_t is, std::uint32_t said, int rows) {
    for (int row = 0; row < rows; ++row) {
      truth.push_back(is);
      scores.resize(scores.size() + kClasses);
      scores[scores.size() - kClasses + said] = 1;
    }
  };
  add(0, 0, 5);
  add(3, 7, 1);
  add(13, 0, 3);
  add(13, 13, 1);
  scored.truth = truth;
  scored.scores = scores;
  const std::string text = evaluate(scored)->to_text();
  EXPECT_THAT(text,
              testing::ContainsRegex(
                  "truth +taken for +rows +share\nkind13 +benign +3 +75.0 %\nkind3 +kind7 +1 +100.0 %\n"));
  EXPECT_THAT(text, testing::Not(HasSubstr("more such pairs")));
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

// A thousand rows of two classes; scores are those of a detector that is right three times in four.
struct Drawn {
  std::vector<std::uint32_t> truth;
  std::vector<double> scores;
};

Drawn draw(std::size_t rows, std::uint64_t seed = 1) {
  Drawn out;
  Random random(seed);
  for (std::size_t i = 0; i < rows; ++i) {
    out.truth.push_back(random.below(4) == 0);
    const bool right = random.below(4) != 0;
    out.scores.push_back(((out.truth.back() != 0) == right ? 0.5 : 0.0) + 0.5 * random.unit());
  }
  return out;
}

Scored scored_of(const Drawn& rows, std::size_t replicates) {
  Scored scored;
  scored.classes = {"benign", "attack"};
  scored.truth = rows.truth;
  scored.scores = rows.scores;
  scored.bootstrap_replicates = replicates;
  return scored;
}

TEST(Evaluation, BootstrapIntervalsAgreeWithTheTextbook) {
  const Drawn rows = draw(4000);
  const auto evaluation = evaluate(scored_of(rows, 2000));
  ASSERT_TRUE(evaluation);
  const auto& accuracy = evaluation->interval(Figure::accuracy);
  ASSERT_TRUE(accuracy);
  // A proportion of 4,000 rows: p ± 1.96 sqrt(p (1 - p) / n). The ends of 2,000 replicates err by some
  // percent.
  const double p = *evaluation->accuracy, reach = 1.96 * std::sqrt(p * (1 - p) / 4000);
  EXPECT_NEAR(accuracy->low, p - reach, 0.12 * reach);
  EXPECT_NEAR(accuracy->high, p + reach, 0.12 * reach);
  EXPECT_EQ(evaluation->resampled.units, 4000u);
  EXPECT_FALSE(evaluation->resampled.by_group);
  EXPECT_FALSE(evaluation->interval(Figure::recall_at_1e4));  // needs 100,000 benign rows
  EXPECT_TRUE(evaluation->interval(Figure::recall_at_1e2));
  for (const Figure figure : {Figure::roc_auc, Figure::mcc, Figure::brier, Figure::macro_f1}) {
    ASSERT_TRUE(evaluation->interval(figure)) << title(figure);
    EXPECT_LT(evaluation->interval(figure)->low, *evaluation->value(figure)) << title(figure);
    EXPECT_GT(evaluation->interval(figure)->high, *evaluation->value(figure)) << title(figure);
  }
}

TEST(Evaluation, ARateOfNothingStillHasAnInterval) {
  // No false alarm among 50 benign rows and none missed of 50 attacks: no replicate ever has another rate.
  std::vector<std::uint32_t> truth;
  std::vector<double> scores;
  for (int i = 0; i < 100; ++i) {
    truth.push_back(i % 2 == 0);
    scores.push_back(i % 2 == 0 ? 0.9 : 0.1);
  }
  const Drawn rows{truth, scores};
  const auto evaluation = evaluate(scored_of(rows, 50));
  EXPECT_EQ(evaluation->interval(Figure::false_positive_rate)->low, 0);
  EXPECT_DOUBLE_EQ(evaluation->interval(Figure::false_positive_rate)->high, wilson(0, 50).high);
  EXPECT_DOUBLE_EQ(evaluation->interval(Figure::attack_recall)->low, wilson(50, 50).low);
  EXPECT_DOUBLE_EQ(evaluation->interval(Figure::attack_precision)->low, wilson(50, 50).low);
  EXPECT_DOUBLE_EQ(evaluation->by_class[1].precision_interval->low, wilson(50, 50).low);
}

// Of 60 samples of a world whose AUC is known by construction, the intervals of about 57 hold it.
TEST(Evaluation, IntervalsCoverTheTruth) {
  // Attacks score high with 3/4, else low; benign the other way round; within a half uniform:
  // AUC = 9/16 + (3/16 + 3/16) / 2.
  constexpr double kAuc = 9.0 / 16 + 3.0 / 16;
  int held = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    const auto evaluation = evaluate(scored_of(draw(400, seed), 300));
    const auto& interval = evaluation->interval(Figure::roc_auc);
    held += interval->low <= kAuc && kAuc <= interval->high;
  }
  EXPECT_GE(held, 51);  // binomial(60, 0.95): fewer than 51 comes up once in two thousand
}

TEST(Evaluation, IntervalsDependOnTheSeedAlone) {
  const Drawn rows = draw(500);
  Scored scored = scored_of(rows, 100);
  const std::string one = evaluate(scored)->to_json();
  scored.threads = 3;
  EXPECT_EQ(evaluate(scored)->to_json(), one);
  scored.seed = 2;
  EXPECT_NE(evaluate(scored)->to_json(), one);
}

TEST(Evaluation, RowsOfAGroupAreDrawnTogether) {
  const Drawn once = draw(300);
  Drawn copied;
  std::vector<std::uint32_t> groups;
  for (std::size_t i = 0; i < 300; ++i) {
    for (int copy = 0; copy < 5; ++copy) {
      copied.truth.push_back(once.truth[i]);
      copied.scores.push_back(once.scores[i]);
      groups.push_back(static_cast<std::uint32_t>(1000 - i));
    }
  }
  const auto plain = evaluate(scored_of(once, 200));
  Scored scored = scored_of(copied, 200);
  scored.groups = groups;
  const auto grouped = evaluate(scored);
  ASSERT_TRUE(plain && grouped);
  EXPECT_TRUE(grouped->resampled.by_group);
  EXPECT_EQ(grouped->resampled.units, 300u);
  for (const Figure figure : {Figure::accuracy, Figure::roc_auc, Figure::average_precision, Figure::brier}) {
    EXPECT_NEAR(grouped->interval(figure)->low, plain->interval(figure)->low, 1e-12) << title(figure);
    EXPECT_NEAR(grouped->interval(figure)->high, plain->interval(figure)->high, 1e-12) << title(figure);
  }
  // Wilson alone would take 1,500 copies for 1,500 rows.
  const auto attacks = grouped->attacks;
  const auto found =
      static_cast<std::uint64_t>(std::llround(*grouped->attack_recall * static_cast<double>(attacks)));
  EXPECT_LT(grouped->attack_recall_interval.low, wilson(found, attacks).low);
  EXPECT_GT(grouped->attack_recall_interval.high, wilson(found, attacks).high);
  scored.groups = std::span(groups).first(7);
  EXPECT_FALSE(evaluate(scored));
}

TEST(Evaluation, SaysWhatFiguresMeanInUse) {
  // Recall 0.9 and a false-positive rate of 0.01, in a table of the literature: precision 0.48 at 1e-2, 0.083
  // at 1e-3; 10,000 false alarms of a million benign flows.
  EXPECT_NEAR(at_base_rate(1e-2, 0.9, 1e-2, 1e6).precision, 0.4762, 1e-4);
  EXPECT_NEAR(at_base_rate(1e-3, 0.9, 1e-2, 1e6).precision, 0.0827, 1e-4);
  EXPECT_NEAR(at_base_rate(0, 0.9, 1e-2, 1e6).false_alerts_a_day, 10000, 1e-6);
  EXPECT_NEAR(at_base_rate(1e-3, 0.9, 1e-4, 1e6).alerts_a_day, 900 + 99.9, 1e-6);
  EXPECT_TRUE(std::isnan(at_base_rate(0.5, 0, 0, 1e6).precision));

  const Drawn rows = draw(2000);
  Scored scored = scored_of(rows, 0);
  scored.base_rates = {1e-3};
  scored.flows_a_day = 5000;
  const auto evaluation = evaluate(scored);
  ASSERT_EQ(evaluation->in_use.size(), 1u);
  const auto& use = evaluation->in_use[0];
  const double found = 1e-3 * *evaluation->attack_recall,
               alarms = (1 - 1e-3) * *evaluation->false_positive_rate;
  EXPECT_DOUBLE_EQ(use.at.precision, found / (found + alarms));
  EXPECT_DOUBLE_EQ(use.at.alerts_a_day, 5000 * (found + alarms));
  EXPECT_LT(use.precision_low, use.at.precision);
  EXPECT_GT(use.precision_high, use.at.precision);
  scored.base_rates = {1.5};
  EXPECT_FALSE(evaluate(scored));
}

TEST(Evaluation, SaysHowManyRowsARateNeeds) {
  const Drawn rows = draw(2000);
  const auto evaluation = evaluate(scored_of(rows, 0));
  ASSERT_EQ(evaluation->recall_at.size(), 3u);
  EXPECT_TRUE(evaluation->recall_at[0].resolvable);
  EXPECT_FALSE(evaluation->recall_at[1].resolvable);
  EXPECT_EQ(evaluation->recall_at[0].negatives_needed, 1000u);
  EXPECT_EQ(evaluation->recall_at[1].negatives_needed, 10000u);
  EXPECT_EQ(evaluation->recall_at[2].negatives_needed, 100000u);
  EXPECT_THAT(evaluation->to_text(), HasSubstr("needs 100,000 benign rows"));
}

TEST(Evaluation, PicturesAreDrawnFromAllRows) {
  const Drawn rows = draw(3000);
  const auto evaluation = evaluate(scored_of(rows, 0));
  ASSERT_TRUE(evaluation && evaluation->histogram && evaluation->calibration);
  std::uint64_t benign = 0, attacks = 0;
  for (const auto count : evaluation->histogram->benign) benign += count;
  for (const auto count : evaluation->histogram->attacks) attacks += count;
  EXPECT_EQ(attacks, evaluation->attacks);
  EXPECT_EQ(benign + attacks, 3000u);
  ASSERT_GT(evaluation->curve.size(), 100u);
  EXPECT_LT(evaluation->curve.size(), 3000u);
  EXPECT_EQ(evaluation->curve.front().hits, 0u);
  EXPECT_EQ(evaluation->curve.back().hits, attacks);
  EXPECT_EQ(evaluation->curve.back().false_alarms, benign);
  // What was left out may not be seen: trapezoids over what is there give the area.
  double area = 0;
  for (std::size_t i = 1; i < evaluation->curve.size(); ++i) {
    const auto& a = evaluation->curve[i - 1];
    const auto& b = evaluation->curve[i];
    area += static_cast<double>(b.false_alarms - a.false_alarms) * static_cast<double>(a.hits + b.hits) / 2;
  }
  EXPECT_NEAR(area / (static_cast<double>(benign) * static_cast<double>(attacks)), *evaluation->roc_auc,
              2e-3);
  ASSERT_FALSE(evaluation->operating_points.empty());
  EXPECT_EQ(evaluation->operating_points[0].name, "detector");
  EXPECT_DOUBLE_EQ(evaluation->operating_points[0].precision, *evaluation->attack_precision);
}

}  // namespace
}  // namespace nidus::learn
