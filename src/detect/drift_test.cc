#include "detect/drift.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "base/random.h"
#include "detect/baseline.h"
#include "detect/testing_detector.h"

namespace nidus::detect {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Optional;

constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

// Two columns: a number, and one of two texts.
Manifest two_columns() {
  Manifest manifest = binary_manifest();
  manifest.schema = {{"size", model::Column::Kind::numeric, {}, ""},
                     {"service", model::Column::Kind::categorical, {"dns", "http"}, ""}};
  return manifest;
}

struct Rows {
  std::vector<float> values;
  std::vector<double> scores;

  Observed observed() const { return {values, scores, 0, {}}; }
  std::vector<std::size_t> all() const {
    std::vector<std::size_t> out(scores.size());
    std::iota(out.begin(), out.end(), 0);
    return out;
  }
};

// `moved` is added to each size; of the services `http` are the share given.
Rows drawn(std::size_t count, std::uint64_t seed, double moved = 0, double http = 0.5, double missing = 0) {
  Random random(seed);
  Rows out;
  for (std::size_t i = 0; i < count; ++i) {
    // Nearly normal: the sum of twelve.
    double size = moved - 6;
    for (int k = 0; k < 12; ++k) size += random.unit();
    out.values.push_back(random.unit() < missing ? kNone : static_cast<float>(size));
    out.values.push_back(random.unit() < http ? 1 : 0);
    out.scores.push_back(random.unit());
  }
  return out;
}

Manifest described(const Rows& rows) {
  Manifest manifest = two_columns();
  describe_rows(rows.values, rows.all(), "rows of a test", manifest);
  describe_scores(rows.scores, "scores of a test", manifest);
  return manifest;
}

TEST(Baseline, HasTheSharesThatTheRowsHave) {
  Rows rows;
  for (int i = 1; i <= 20; ++i)
    rows.values.insert(rows.values.end(), {i <= 10 ? 7.0f : static_cast<float>(i), i % 4 == 0 ? 0.0f : 1.0f});
  rows.values.insert(rows.values.end(), {kNone, kNone, kNone, 1.0f});
  rows.scores.assign(22, 0.5);
  const Manifest manifest = described(rows);
  const auto& size = manifest.baseline.columns[0];
  // Ten sevens are one edge; then one value for each twentieth up to 19.
  EXPECT_THAT(size.edges, ElementsAre(7, 11, 12, 13, 14, 15, 16, 17, 18, 19));
  EXPECT_DOUBLE_EQ(size.shares.front(), 10.0 / 22);
  EXPECT_DOUBLE_EQ(size.shares.back(), 1.0 / 22);
  EXPECT_DOUBLE_EQ(size.missing, 2.0 / 22);
  EXPECT_NEAR(std::accumulate(size.shares.begin(), size.shares.end(), size.missing), 1, 1e-12);
  EXPECT_THAT(manifest.baseline.columns[1].shares, ElementsAre(5.0 / 22, 16.0 / 22));
  EXPECT_DOUBLE_EQ(manifest.baseline.columns[1].missing, 1.0 / 22);
  EXPECT_EQ(manifest.baseline.rows, 22u);
  EXPECT_TRUE(manifest.reference[1].empty());
  // All scores equal: everything is at or below the one edge.
  EXPECT_THAT(manifest.baseline.score.edges, ElementsAre(0.5));
  EXPECT_THAT(manifest.baseline.score.shares, ElementsAre(1, 0));
}

TEST(Baseline, OfNoRowsThereIsNone) {
  Manifest manifest = two_columns();
  describe_rows({}, {}, "nothing", manifest);
  describe_scores({}, "nothing", manifest);
  EXPECT_EQ(manifest.baseline.rows, 0u);
  EXPECT_EQ(manifest.baseline.scores, 0u);
  const Rows rows = drawn(200, 1);
  EXPECT_TRUE(measure_drift(manifest, rows.observed()));
  manifest.reference.clear();
  const auto report = measure_drift(manifest, rows.observed());
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error().message, HasSubstr("nidus calibrate"));
}

TEST(Drift, FiguresAreThoseWorkedOutByHand) {
  // Four values before, 100 rows each; now twice as many of the first as of the others.
  Manifest manifest = two_columns();
  auto& baseline = manifest.baseline;
  baseline.of = "a test";
  baseline.rows = 1000;
  baseline.columns = {{{0.0}, {0.5, 0.5}, 0}, {{}, {0.25, 0.75}, 0}};
  Rows rows;
  for (int i = 0; i < 1000; ++i) {
    rows.values.push_back(i < 800 ? -1.0f : 1.0f);
    rows.values.push_back(i < 500 ? 0.0f : i < 900 ? 1.0f : kNone);
    rows.scores.push_back(0);
  }
  const auto report = measure_drift(manifest, rows.observed());
  ASSERT_TRUE(report);
  const ColumnDrift& size = report->columns[0];
  // (0.8 - 0.5) ln(0.8/0.5) + (0.2 - 0.5) ln(0.2/0.5), but for the half rows.
  EXPECT_THAT(size.psi, Optional(DoubleNear(0.3 * std::log(1.6) - 0.3 * std::log(0.4), 2e-3)));
  // scipy.spatial.distance.jensenshannon([.5, .5], [.8, .2], base=2)
  EXPECT_THAT(size.jensen_shannon, Optional(DoubleNear(0.27037752852596664, 1e-12)));
  EXPECT_EQ(size.verdict, Drift::drifted);
  const ColumnDrift& service = report->columns[1];
  EXPECT_DOUBLE_EQ(service.missing, 0.1);
  EXPECT_FALSE(service.wasserstein);
  EXPECT_EQ(service.verdict, Drift::drifted);
}

TEST(Drift, TheSameRowsAreStable) {
  const Manifest manifest = described(drawn(20'000, 1));
  int stable = 0;
  for (std::uint64_t seed = 2; seed < 42; ++seed) {
    const Rows rows = drawn(400, seed);
    const auto report = measure_drift(manifest, rows.observed());
    ASSERT_TRUE(report);
    stable += report->verdict == Drift::stable ? 1 : 0;
    EXPECT_LT(*report->columns[0].wasserstein, 0.3);
  }
  EXPECT_EQ(stable, 40);
}

TEST(Drift, MovedByTheirOwnSpreadIsAWassersteinOfOne) {
  // Of a normal distribution the middle 98 % lie 2 (phi(0) - phi(2.326)) = 0.745 from the median on average,
  // so that all of them moved by 0.745 / 0.98 is one.
  const Manifest manifest = described(drawn(50'000, 1));
  const Rows moved = drawn(50'000, 2, 0.76);
  const auto report = measure_drift(manifest, moved.observed());
  ASSERT_TRUE(report);
  EXPECT_THAT(report->columns[0].wasserstein, Optional(DoubleNear(1, 0.05)));
  EXPECT_THAT(report->columns[0].median, Optional(DoubleNear(0.76, 0.03)));
  EXPECT_EQ(report->columns[0].verdict, Drift::drifted);
  EXPECT_EQ(report->columns[1].verdict, Drift::stable);
  EXPECT_EQ(report->score.verdict, Drift::stable);
  EXPECT_EQ(report->verdict, Drift::drifted);  // one of two columns is more than a third
  EXPECT_THAT(report->to_text(10), HasSubstr("1 of 2 columns drifted, 0 moved, 1 stable"));
}

TEST(Drift, MissingValuesAndUnknownTextsCount) {
  const Manifest manifest = described(drawn(20'000, 1));
  const Rows missing = drawn(20'000, 2, 0, 0.5, 0.3);
  const auto report = measure_drift(manifest, missing.observed());
  ASSERT_TRUE(report);
  EXPECT_EQ(report->columns[0].verdict, Drift::drifted);
  EXPECT_NEAR(report->columns[0].missing, 0.3, 0.02);
  const Rows same = drawn(20'000, 3);
  Observed told = same.observed();
  const std::vector<double> unknown = {0, 0.02};
  told.unknown = unknown;
  const auto with_unknown = measure_drift(manifest, told);
  ASSERT_TRUE(with_unknown);
  EXPECT_EQ(with_unknown->columns[1].verdict, Drift::moved);
}

TEST(Drift, FewRowsSayNothing) {
  const Manifest manifest = described(drawn(20'000, 1));
  const Rows few = drawn(99, 2, 5);
  const auto report = measure_drift(manifest, few.observed());
  ASSERT_TRUE(report);
  EXPECT_EQ(report->verdict, Drift::few);
  EXPECT_FALSE(report->columns[0].psi);
  const auto none = measure_drift(manifest, {});
  ASSERT_TRUE(none);
  EXPECT_EQ(none->verdict, Drift::few);
}

TEST(Drift, ADetectorOfQuantilesAloneIsComparedMoreCoarsely) {
  Manifest manifest = described(drawn(20'000, 1));
  manifest.baseline = {};
  const Rows same = drawn(20'000, 2), moved = drawn(20'000, 3, 2);
  const auto stable = measure_drift(manifest, same.observed());
  const auto drifted = measure_drift(manifest, moved.observed());
  ASSERT_TRUE(stable && drifted);
  EXPECT_EQ(stable->columns[0].verdict, Drift::stable);
  EXPECT_EQ(stable->columns[1].verdict, Drift::none);
  EXPECT_EQ(drifted->columns[0].verdict, Drift::drifted);
  EXPECT_EQ(drifted->score.verdict, Drift::none);
}

TEST(Drift, TextsThatAreNewAreToldByADetectorOfQuantilesAloneToo) {
  Manifest manifest = described(drawn(20'000, 1));
  manifest.baseline = {};
  const Rows rows = drawn(20'000, 2), few = drawn(50, 2);
  const auto verdict = [&](const Rows& of, double unknown) {
    const std::vector<double> shares = {0, unknown};
    const auto report = measure_drift(manifest, {of.values, of.scores, 0, shares});
    return report ? report->columns[1].verdict : Drift::drifted;
  };
  EXPECT_EQ(verdict(rows, 1), Drift::moved);
  EXPECT_EQ(verdict(rows, 0.011), Drift::moved);
  EXPECT_EQ(verdict(rows, 0.009), Drift::none);
  EXPECT_EQ(verdict(few, 1), Drift::none);
}

TEST(Drift, HowManyAlarmsThereAreBesideWhatTheThresholdWasDrawnFor) {
  Manifest manifest = described(drawn(20'000, 1));
  manifest.threshold.value = 0.9;
  manifest.threshold.wanted_rate = 0.01;
  const Rows rows = drawn(20'000, 2);
  const auto report = measure_drift(manifest, rows.observed());
  ASSERT_TRUE(report);
  EXPECT_THAT(report->alarm_share, Optional(DoubleNear(0.1, 0.01)));
  EXPECT_THAT(report->to_text(5), HasSubstr("it was drawn for 1 % of benign ones"));
  EXPECT_FALSE(report->expected);
}

// Scores that are probabilities: each row is an attack with the chance that its score says, and what is
// expected without labels is what the labels say.
TEST(Drift, CalibratedScoresSayHowGoodTheVerdictsAre) {
  Manifest manifest = described(drawn(2000, 1));
  manifest.calibration.method = "isotonic";
  manifest.threshold.value = 0.6;
  const Rows rows = drawn(50'000, 2);
  Random random(9);
  double right = 0, found = 0, attacks = 0, alarms = 0;
  for (const double score : rows.scores) {
    const bool attack = random.unit() < score, alarm = score >= 0.6;
    right += attack == alarm ? 1 : 0;
    attacks += attack ? 1 : 0;
    alarms += alarm ? 1 : 0;
    found += attack && alarm ? 1 : 0;
  }
  const auto report = measure_drift(manifest, rows.observed());
  ASSERT_TRUE(report && report->expected);
  EXPECT_NEAR(report->expected->accuracy, right / 50'000, 0.01);
  EXPECT_NEAR(report->expected->attack_share, attacks / 50'000, 0.01);
  EXPECT_THAT(report->expected->recall, Optional(DoubleNear(found / attacks, 0.01)));
  EXPECT_THAT(report->expected->precision, Optional(DoubleNear(found / alarms, 0.01)));
  EXPECT_THAT(report->to_text(5), HasSubstr("no label was seen"));
}

TEST(Drift, IsWrittenAsOneObject) {
  const Manifest manifest = described(drawn(2000, 1));
  const Rows rows = drawn(2000, 2);
  const auto report = measure_drift(manifest, rows.observed());
  ASSERT_TRUE(report);
  std::string text;
  JsonWriter json(text);
  report->to_json(json);
  EXPECT_THAT(text, HasSubstr("\"verdict\":\"stable\""));
  EXPECT_THAT(text, HasSubstr("\"name\":\"service\""));
  EXPECT_THAT(text, Not(HasSubstr("nan")));
}

TEST(Drift, RefusesWhatDoesNotFit) {
  const Manifest manifest = described(drawn(2000, 1));
  Rows rows = drawn(2000, 2);
  rows.values.pop_back();
  EXPECT_FALSE(measure_drift(manifest, rows.observed()));
}

TEST(RowSample, DrawsEveryRowWithTheSameChance) {
  std::vector<int> taken(50);
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    RowSample sample(1, 10, seed);
    for (int i = 0; i < 50; ++i) {
      const auto value = static_cast<float>(i);
      sample.add({&value, 1}, i);
    }
    ASSERT_EQ(sample.rows(), 10u);
    EXPECT_EQ(sample.seen(), 50u);
    for (std::size_t k = 0; k < 10; ++k) {
      EXPECT_EQ(static_cast<double>(sample.values()[k]), sample.scores()[k]);
      ++taken[static_cast<std::size_t>(sample.scores()[k])];
    }
  }
  // Each is expected 400 times, with a deviation of 18.
  EXPECT_GT(*std::min_element(taken.begin(), taken.end()), 320);
  EXPECT_LT(*std::max_element(taken.begin(), taken.end()), 480);
}

}  // namespace
}  // namespace nidus::detect
