#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "learn/progress.h"
#include "model/explain.h"
#include "model/model.h"

namespace nidus::learn {

// What a detector goes by, column by column.
struct Importance {
  // The mean magnitude of the column's contribution to the attack score (exact TreeSHAP), in its units.
  std::vector<double> contribution;
  // Its share of the impurity that the splits took away in training; adds up to 1.
  std::vector<double> gain;
  // By how much the area under the ROC curve drops when the column is permuted among the rows (Breiman 2001).
  // Empty without labels and when the rows are all of one side.
  std::vector<double> permutation;

  // The columns, the largest contribution first.
  std::vector<std::size_t> order() const;
};

struct ImportanceOptions {
  std::uint64_t seed = 1;   // of the permutations
  std::size_t threads = 0;  // 0: all processors
  Progress progress;        // may be empty; called by the thread that called
};

// `rows` as for Model::score; `is_attack` has one for each row, or is empty. The explainer is that of the
// model, in units of the score. The same for any number of threads. Errc::invalid without rows,
// Errc::exhausted when progress said stop; else as model::gain_importance.
Result<Importance> measure_importance(const model::Model& model, const model::Explainer& explainer,
                                      std::span<const float> rows, std::span<const std::uint8_t> is_attack,
                                      const ImportanceOptions& options);

// `most` of `count` rows, drawn by the seed, in their order; all of them if there are no more or `most` is 0.
std::vector<std::size_t> choose_rows(std::size_t count, std::size_t most, std::uint64_t seed);

// What is measured by attack or not, by the labels of the rows.
struct Judgements {
  std::span<const float> rows;              // row-major
  std::span<const double> scores;           // the attack score of each row
  std::span<const std::uint8_t> is_attack;  // the truth
  std::span<const std::uint32_t> labels;    // any codes, for telling kinds of rows apart
  double threshold = 0.5;                   // attack from this score on
};

// Rows that a detector is wrong about. Rows that equal each other in every column are one mistake.
struct Mistake {
  std::size_t row = 0;      // the first of them
  std::uint64_t alike = 0;  // how many more there are
};

// The mistakes among the rows of one label.
struct LabelMistakes {
  std::uint32_t label = 0;
  bool is_attack = false;             // false: its mistakes are false alarms, else misses
  std::uint64_t rows = 0, wrong = 0;  // all rows of the label, and the mistakes among them
  std::vector<Mistake> worst;         // the farthest from the threshold first
};

// At most `each` mistakes of every label that has any: benign rows with the highest scores, attacks with the
// lowest. Benign labels come first, then the one with the most mistakes. A label whose rows are of both sides
// stands there twice.
std::vector<LabelMistakes> worst_mistakes(const Judgements& judged, std::size_t each);

}  // namespace nidus::learn
