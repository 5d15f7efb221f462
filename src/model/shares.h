#pragma once

#include <cstddef>
#include <span>

namespace nidus::model {

// What a model with one score also is when that score is a sum over the columns of its row: which columns are
// to blame is then no question of games, as it is for trees.
class ColumnShares {
 public:
  virtual ~ColumnShares() = default;

  // What each column adds to the score of its row: count × inputs() numbers, row-major, which add up to the
  // score within rounding. The reasons for a verdict.
  virtual void shares(std::span<const float> rows, std::size_t count, std::span<double> out) const = 0;
  virtual void shares(std::span<const double> rows, std::size_t count, std::span<double> out) const = 0;
};

}  // namespace nidus::model
