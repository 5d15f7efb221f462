#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "learn/metrics.h"

namespace nidus {
class JsonWriter;
}

namespace nidus::learn {

// What one class looks like in an evaluation.
struct ClassFigures {
  std::string name;
  std::uint64_t support = 0;
  std::optional<double> recall;
  Interval recall_interval;  // Wilson, 95 %
  std::optional<double> precision;
  std::optional<double> f1;
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
  std::optional<double> roc_auc, average_precision, brier;
  std::optional<double> attack_recall, false_positive_rate;
  std::vector<RecallAtRate> recall_at;  // at 1e-2 and 1e-3

  // Recall of attack-or-not within each original label, when such were given: which attacks are found.
  std::vector<ClassFigures> families;

  // An aligned table for people.
  std::string to_text() const;
  // One object.
  void to_json(JsonWriter& json) const;
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
};

// Errc::invalid when the sizes do not fit each other, a label is out of range or a score is NaN.
Result<Evaluation> evaluate(const Scored& scored);

}  // namespace nidus::learn
