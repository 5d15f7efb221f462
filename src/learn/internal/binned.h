#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/parallel.h"
#include "learn/dataset.h"

namespace nidus::learn::internal {

// The values of a data set, a byte each: each feature cut into at most 255 bins that hold about as many rows
// each, or one bin for each value where there are few, and bin 0 for what is missing.
class Binned {
 public:
  // Who reads it.
  enum class Use : std::uint8_t {
    // Feature by feature. Minus infinity is in bin 0 as well, since the trees send what is missing left at
    // every split, and so cannot tell the two apart. Where a feature has more values than bins, neighbouring
    // values whose rows are all of one class are taken as one first: no best split parts them, in these rows
    // or in a part of them (Fayyad and Irani 1992), so bins are kept for where classes meet.
    forest,
    // The same without a look at classes, as these trees draw their cuts.
    extra_trees,
    // Eight features of a row side by side, row by row, then the next eight; the last tile is filled up with
    // features that are always 0. Without a look at classes, as what is fitted are derivatives.
    boosting,
  };
  static constexpr std::size_t kTile = 8;

  // bins: 2 to 255, beside bin 0.
  Binned(const Dataset& dataset, std::size_t bins, Use use, Workers& workers);

  std::size_t rows() const { return rows_; }
  std::size_t features() const { return lowest_.size(); }
  // Bins of the feature, bin 0 counted.
  std::size_t bins(std::size_t feature) const { return lowest_[feature].size(); }
  // Unless it is for boosting: rows() bins.
  const std::uint8_t* column(std::size_t feature) const { return values_.data() + feature * rows_; }
  // For boosting: rows() × kTile bins, of the features kTile × tile and on.
  const std::uint8_t* tile(std::size_t tile) const { return values_.data() + tile * kTile * rows_; }

  // A threshold between two bins that both have rows, `below` < `above`: the middle of the gap between the
  // highest value of the one and the lowest of the other, so that it does not depend on empty bins between.
  float threshold(std::size_t feature, std::size_t below, std::size_t above) const;
  // The lowest value of a bin that is not 0, and the highest of the feature.
  float lowest(std::size_t feature, std::size_t bin) const { return lowest_[feature][bin]; }
  float highest(std::size_t feature) const { return highest_[feature].back(); }

 private:
  std::size_t rows_;
  std::vector<std::uint8_t> values_;
  std::vector<std::vector<float>> lowest_, highest_;  // value of each bin
};

}  // namespace nidus::learn::internal
