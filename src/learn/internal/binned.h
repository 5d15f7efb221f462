#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/parallel.h"
#include "learn/dataset.h"

namespace nidus::learn::internal {

// The values of a data set, each feature cut into at most 256 bins that hold about as many rows each, or one
// bin for each value where there are few. Bin 0 is kept for what is missing and for minus infinity, which
// trees cannot tell apart; it is the lowest, as it goes left at every split.
class Binned {
 public:
  // bins: 2 to 255, beside bin 0.
  Binned(const Dataset& dataset, std::size_t bins, Workers& workers);

  std::size_t rows() const { return rows_; }
  std::size_t features() const { return lowest_.size(); }
  // Bins of the feature, bin 0 counted.
  std::size_t bins(std::size_t feature) const { return lowest_[feature].size(); }
  const std::uint8_t* column(std::size_t feature) const { return values_.data() + feature * rows_; }

  // A threshold between two bins that both have rows, `below` < `above`: the middle of the gap between the
  // highest value of the one and the lowest of the other, so that it does not depend on empty bins between.
  float threshold(std::size_t feature, std::size_t below, std::size_t above) const;

 private:
  std::size_t rows_;
  std::vector<std::uint8_t> values_;                  // feature-major
  std::vector<std::vector<float>> lowest_, highest_;  // value of each bin
};

}  // namespace nidus::learn::internal
