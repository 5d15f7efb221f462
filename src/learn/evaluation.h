#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "learn/metrics.h"

namespace nidus {
class JsonWriter;
}

// docs/evaluation.md says what each figure means and where its formula comes from.
namespace nidus::learn {

// The figures of a whole set of rows; the classes have their own below.
enum class Figure : std::uint8_t {
  accuracy,
  balanced_accuracy,
  macro_f1,
  mcc,
  attack_recall,  // attack or not, whichever attack
  false_positive_rate,
  attack_precision,
  roc_auc,
  average_precision,
  recall_at_1e2,
  recall_at_1e3,
  recall_at_1e4,
  brier,
  calibration_error,
};
inline constexpr std::size_t kFigures = 14;

// The false-positive rates at which recall is stated.
inline constexpr std::array<double, 3> kRates = {1e-2, 1e-3, 1e-4};

std::string_view key(Figure figure);    // "roc_auc", as in JSON
std::string_view title(Figure figure);  // "ROC AUC", as people read it

// What one class looks like in an evaluation.
struct ClassFigures {
  std::string name;
  std::uint64_t support = 0;
  std::optional<double> recall;
  Interval recall_interval;  // 95 %: Wilson; with groups the wider of Wilson and bootstrap at either end
  std::optional<double> precision;
  std::optional<double> f1;
  std::optional<Interval> precision_interval;  // as recall_interval; with a bootstrap only
  std::optional<Interval> f1_interval;         // bootstrap, if there was one
  std::optional<double> roc_auc;  // of this class's score against all other rows; with more than two classes
};

// How often scores fall where: bins of equal width over [0, 1].
inline constexpr std::size_t kHistogramBins = 50;
struct ScoreHistogram {
  std::array<std::uint64_t, kHistogramBins> benign{}, attacks{};
};

// How intervals were made.
struct Resampled {
  std::size_t replicates = 0;  // 0: there is no bootstrap interval
  std::size_t units = 0;       // what was drawn from: groups, or rows
  bool by_group = false;
  std::uint64_t seed = 0;

  std::string to_text() const;              // "1,000 replicates of 300 groups, seed 1"
  void add_fields(JsonWriter& json) const;  // to the object that is open
};

// A threshold that could be drawn, and what it would cost.
struct OperatingPoint {
  std::string name;  // "detector", or the rate that it keeps here
  double threshold = 0;
  double recall = 0, false_positive_rate = 0, precision = 0;  // precision among these rows
};

// All figures of one detector on one set of rows.
struct Evaluation {
  std::uint64_t rows = 0;
  std::uint64_t attacks = 0;
  std::optional<double> threshold;  // of the verdicts, when they were drawn by one
  std::vector<std::string> classes;
  Confusion confusion{0};
  std::optional<double> accuracy, balanced_accuracy, macro_f1, mcc;
  std::vector<ClassFigures> by_class;

  // Attack or not.
  std::optional<double> roc_auc, average_precision, brier, calibration_error;
  std::optional<double> attack_recall, false_positive_rate, attack_precision;
  Interval attack_recall_interval, false_positive_rate_interval;  // as ClassFigures::recall_interval
  std::vector<RecallAtRate> recall_at;                            // at kRates

  // 95 % intervals, by Figure, if there was a bootstrap: of recall, false-positive rate and precision as
  // recall_interval, which also has something to say about 0 of 20; of all others the bootstrap's.
  std::array<std::optional<Interval>, kFigures> intervals{};
  Resampled resampled;
  std::optional<double> value(Figure figure) const;
  const std::optional<Interval>& interval(Figure figure) const {
    return intervals[static_cast<std::size_t>(figure)];
  }

  // In use, where `flows_a_day` flows pass and attacks are as rare as each base rate; the bounds of precision
  // are those of the worst and best recall and false-positive rate within their intervals. Empty without both
  // classes.
  struct InUse {
    AtBaseRate at;
    double precision_low = 0, precision_high = 1;
  };
  double flows_a_day = 0;
  std::vector<InUse> in_use;

  // Recall of attack-or-not within each original label, when such were given: which attacks are found.
  std::vector<ClassFigures> families;

  // What pictures are drawn from. Empty or none without both classes, or with scores outside [0, 1].
  std::vector<CurvePoint> curve;
  std::optional<Calibration> calibration;
  std::optional<ScoreHistogram> histogram;
  std::vector<OperatingPoint> operating_points;

  // Aligned tables for people.
  std::string to_text() const;
  // One object. The pictures' numbers are many, and only wanted by who draws them.
  enum class Pictures : bool { no, yes };
  void to_json(JsonWriter& json, Pictures pictures = Pictures::no) const;
  std::string to_json() const;
};

// What to evaluate. The spans have one entry for each row, except `scores`, which has `width` of them.
struct Scored {
  std::vector<std::string> classes;      // class 0 is the negative one
  std::span<const std::uint32_t> truth;  // index into classes
  std::span<const double> scores;        // as model::Model gives them
  std::size_t width = 1;                 // 1 with two classes, else classes.size()
  double threshold = 0.5;                // of the attack score
  // With more than two classes: the most likely class overall, or, two-stage, benign unless the attack score
  // reaches the threshold and then the most likely attack.
  bool two_stage = false;
  std::vector<std::string> family_names;
  std::span<const std::uint32_t> families;  // index into family_names, or data::kUnlabelled; may be empty

  // Which capture, day or session a row comes from: any numbers, data::kMissing for a row by itself; may be
  // empty. Intervals are made by drawing groups where there are some.
  std::span<const std::uint32_t> groups;
  std::size_t bootstrap_replicates = 0;  // 0: no bootstrap; see affordable_replicates()
  std::uint64_t seed = 1;
  std::size_t threads = 1;  // 0: as many as there are processors

  double flows_a_day = 1e6;
  std::vector<double> base_rates = {1e-2, 1e-3, 1e-4};
};

// 1,000, or fewer for so many rows that this would take more than some seconds, but never below 100.
std::size_t affordable_replicates(std::size_t rows);

// Errc::invalid when the sizes do not fit each other, a label is out of range, a score is NaN, a base rate
// lies outside [0, 1] or flows_a_day is negative.
Result<Evaluation> evaluate(const Scored& scored);

}  // namespace nidus::learn
