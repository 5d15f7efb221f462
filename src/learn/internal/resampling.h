#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "learn/metrics.h"

namespace nidus::learn::internal {

// What a bootstrap draws from: groups whole, where rows have one, else single rows. Flows of one attack or of
// one capture resemble each other, so a new sample of them is not a new sample of the world; a new capture
// is. Immutable.
class Resampling {
 public:
  // One entry a row, data::kMissing for a row by itself; empty without any groups. With a single group, which
  // could only be drawn or not, rows are drawn.
  Resampling(std::size_t rows, std::span<const std::uint32_t> groups);

  std::size_t rows() const { return rows_; }
  std::size_t units() const { return units_; }
  bool by_group() const { return !unit_of_.empty(); }

  // Draws units() units with replacement and says how often each row is in the sample. `drawn` is room to
  // work in. The same for the same seed and replicate.
  void draw(std::uint64_t seed, std::size_t replicate, std::vector<std::uint32_t>& drawn,
            std::span<std::uint32_t> counts) const;

 private:
  std::size_t rows_, units_;
  std::vector<std::uint32_t> unit_of_;  // of each row; empty when each row is its own
};

// Writes `width` figures of rows of which each counts as often as `counts` says; NaN for one without a value.
using Statistic = std::function<void(std::span<const std::uint32_t> counts, std::span<double> out)>;

// Percentile intervals, 95 % (Efron 1979), one for each figure; none for a figure that more than one
// replicate in twenty did not have. The same for any number of threads.
std::vector<std::optional<Interval>> bootstrap(const Resampling& resampling, std::size_t width,
                                               std::size_t replicates, std::uint64_t seed,
                                               std::size_t threads, const Statistic& statistic);

}  // namespace nidus::learn::internal
