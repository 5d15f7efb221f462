#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "learn/evaluation.h"

namespace nidus::learn::internal {

// Rows in order of score, packed so that all figures of rows drawn with any multiplicities take one pass and
// no sorting: a bootstrap does this a thousand times. Immutable.
class ScoredRows {
 public:
  // `scores` is the attack score; `truth` and `said` are classes, 0 the benign one. No score is NaN.
  ScoredRows(std::span<const double> scores, std::span<const std::uint32_t> truth,
             std::span<const std::uint32_t> said, std::size_t classes);

  // The figures of Figure, and behind them for each class its recall, precision and F1.
  std::size_t width() const { return kFigures + 3 * classes_; }
  static std::size_t recall_of(std::size_t cls) { return kFigures + 3 * cls; }
  static std::size_t precision_of(std::size_t cls) { return kFigures + 3 * cls + 1; }
  static std::size_t f1_of(std::size_t cls) { return kFigures + 3 * cls + 2; }

  // `counts` has one entry a row, in the order of the constructor. Writes width() figures; NaN for none.
  void figures(std::span<const std::uint32_t> counts, std::span<double> out) const;

 private:
  struct Row {
    std::uint32_t row;
    std::uint32_t cell;  // of the confusion: truth × classes + said
  };
  struct Step {  // rows of one score
    std::size_t end;
    double score;
    std::size_t bin;
  };

  std::size_t classes_;
  bool probabilities_ = true;  // all scores in [0, 1]
  std::vector<Row> rows_;
  std::vector<Step> steps_;
};

}  // namespace nidus::learn::internal
