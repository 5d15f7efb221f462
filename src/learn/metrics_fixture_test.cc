// Our figures beside those of scikit-learn, SciPy and statsmodels: tests/evaluation/metrics.json, made by
// make_fixture.py there.
#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "learn/comparison.h"
#include "learn/evaluation.h"
#include "learn/metrics.h"

namespace nidus::learn {
namespace {

using nlohmann::json;

const json& fixture() {
  static const json read = [] {
    const auto text = read_file(NIDUS_SOURCE_DIR "/tests/evaluation/metrics.json");
    return text ? json::parse(*text) : json();
  }();
  return read;
}

template <class T>
std::vector<T> list(const json& from) {
  return from.get<std::vector<T>>();
}

void expect_same(const std::optional<double>& ours, const json& theirs, const std::string& what) {
  if (theirs.is_null()) {
    EXPECT_FALSE(ours) << what << ": " << ours.value_or(0);
  } else {
    ASSERT_TRUE(ours) << what;
    EXPECT_NEAR(*ours, theirs.get<double>(), 1e-12) << what;
  }
}

TEST(MetricsFixture, FiguresOfScoresAreThoseOfOthers) {
  ASSERT_EQ(fixture().at("binary").size(), 13u);
  for (const auto& each : fixture().at("binary")) {
    const auto name = each.at("name").get<std::string>();
    const auto scores = list<double>(each.at("scores")), weights = list<double>(each.at("weights"));
    const auto positive = list<std::uint8_t>(each.at("positive"));
    ASSERT_TRUE(check_scores(scores, positive, weights)) << name;
    expect_same(roc_auc(scores, positive, weights), each.at("roc_auc"), name + ", ROC AUC");
    expect_same(average_precision(scores, positive, weights), each.at("average_precision"),
                name + ", PR AUC");
    expect_same(brier(scores, positive, weights), each.at("brier"), name + ", Brier");
    const auto reliability = calibration(scores, positive, weights);
    expect_same(reliability ? std::optional(reliability->expected_error) : std::nullopt,
                each.at("expected_error"), name + ", ECE");
    expect_same(reliability ? std::optional(reliability->maximum_error) : std::nullopt,
                each.at("maximum_error"), name + ", MCE");
    const double rates[] = {1e-1, 1e-2, 1e-3};
    for (std::size_t i = 0; i < 3; ++i) {
      const auto point = recall_at(rates[i], scores, positive, weights);
      expect_same(point ? std::optional(point->recall) : std::nullopt, each.at("recall_at").at(i),
                  name + ", recall at a rate");
    }
  }
}

TEST(MetricsFixture, AnEvaluationHasTheSameFigures) {
  for (const auto& each : fixture().at("binary")) {
    if (!each.at("weights").empty()) continue;
    const auto scores = list<double>(each.at("scores"));
    const auto truth = list<std::uint32_t>(each.at("positive"));
    Scored scored;
    scored.classes = {"benign", "attack"};
    scored.truth = truth;
    scored.scores = scores;
    const auto evaluation = evaluate(scored);
    ASSERT_TRUE(evaluation);
    const auto name = each.at("name").get<std::string>();
    expect_same(evaluation->roc_auc, each.at("roc_auc"), name);
    expect_same(evaluation->average_precision, each.at("average_precision"), name);
    expect_same(evaluation->brier, each.at("brier"), name);
    expect_same(evaluation->calibration_error, each.at("expected_error"), name);
  }
}

TEST(MetricsFixture, FiguresOfVerdictsAreThoseOfOthers) {
  ASSERT_EQ(fixture().at("classes").size(), 5u);
  for (const auto& each : fixture().at("classes")) {
    const auto name = each.at("name").get<std::string>();
    const auto truth = list<std::size_t>(each.at("truth")), said = list<std::size_t>(each.at("said"));
    Confusion confusion(each.at("classes").get<std::size_t>());
    for (std::size_t i = 0; i < truth.size(); ++i) confusion.add(truth[i], said[i]);
    expect_same(confusion.accuracy(), each.at("accuracy"), name + ", accuracy");
    expect_same(confusion.balanced_accuracy(), each.at("balanced_accuracy"), name + ", balanced accuracy");
    expect_same(confusion.macro_f1(), each.at("macro_f1"), name + ", macro F1");
    expect_same(confusion.mcc(), each.at("mcc"), name + ", MCC");
    for (std::size_t cls = 0; cls < confusion.classes(); ++cls) {
      expect_same(confusion.precision(cls), each.at("precision").at(cls), name + ", precision");
      expect_same(confusion.recall(cls), each.at("recall").at(cls), name + ", recall");
      expect_same(confusion.f1(cls), each.at("f1").at(cls), name + ", F1");
    }
  }
}

TEST(MetricsFixture, DeLongIsWhatCountingAllPairsGives) {
  ASSERT_EQ(fixture().at("delong").size(), 2u);
  for (const auto& each : fixture().at("delong")) {
    const auto result = delong(list<double>(each.at("a")), list<double>(each.at("b")),
                               list<std::uint8_t>(each.at("positive")));
    ASSERT_TRUE(result);
    EXPECT_NEAR(result->a, each.at("auc_a").get<double>(), 1e-12);
    EXPECT_NEAR(result->b, each.at("auc_b").get<double>(), 1e-12);
    EXPECT_NEAR(result->standard_error, each.at("standard_error").get<double>(), 1e-12);
    EXPECT_NEAR(result->z, each.at("z").get<double>(), 1e-9);
    EXPECT_NEAR(result->p, each.at("p").get<double>(), 1e-9);
  }
}

TEST(MetricsFixture, McNemarIsTheBinomialTest) {
  ASSERT_GE(fixture().at("mcnemar").size(), 9u);
  for (const auto& each : fixture().at("mcnemar")) {
    const auto only_a = each.at("only_a").get<std::uint64_t>(),
               only_b = each.at("only_b").get<std::uint64_t>();
    const McNemar result = mcnemar(only_a, only_b);
    const auto exact = each.at("exact").get<double>(), mid = each.at("mid").get<double>();
    EXPECT_NEAR(result.p_exact, exact, 1e-8 * exact + 1e-12) << only_a << ' ' << only_b;
    EXPECT_NEAR(result.p_mid, mid, 1e-8 * mid + 1e-12) << only_a << ' ' << only_b;
  }
}

TEST(MetricsFixture, WilsonIsThatOfOthers) {
  ASSERT_EQ(fixture().at("wilson").size(), 5u);
  for (const auto& each : fixture().at("wilson")) {
    const Interval interval = wilson(each.at("k").get<std::uint64_t>(), each.at("n").get<std::uint64_t>());
    EXPECT_NEAR(interval.low, each.at("low").get<double>(), 1e-12);
    EXPECT_NEAR(interval.high, each.at("high").get<double>(), 1e-12);
  }
}

}  // namespace
}  // namespace nidus::learn
