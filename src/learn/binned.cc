#include "learn/internal/binned.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <mutex>

namespace nidus::learn::internal {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// How many values quantiles are taken from. With more rows an even selection stands for them: the place of a
// cut then errs by less than half a bin, which no split is sensitive to.
constexpr std::size_t kSelectionMax = 100'000;

// Rows that are binned together, by all features: a block of 80 columns stays in the second-level cache.
constexpr std::size_t kBlock = 1024;

// The upper ends of the bins: the highest value of each but the last.
std::vector<float> find_cuts(std::vector<float>& sorted, std::size_t bins) {
  std::vector<float> cuts;
  std::size_t different = sorted.empty() ? 0 : 1;
  for (std::size_t i = 1; i < sorted.size() && different <= bins; ++i)
    different += sorted[i] != sorted[i - 1] ? 1 : 0;
  if (different <= bins) {
    for (std::size_t i = 1; i < sorted.size(); ++i) {
      if (sorted[i] != sorted[i - 1]) cuts.push_back(sorted[i - 1]);
    }
    return cuts;
  }
  // Greedy by remaining share, so that a value that alone fills several bins does not use them up.
  std::size_t left = bins;
  for (std::size_t begin = 0; begin < sorted.size() && left > 1; --left) {
    const std::size_t want = std::max<std::size_t>(1, (sorted.size() - begin) / left);
    std::size_t end = std::min(begin + want, sorted.size());
    while (end < sorted.size() && sorted[end] == sorted[end - 1]) ++end;
    if (end == sorted.size()) break;
    cuts.push_back(sorted[end - 1]);
    begin = end;
  }
  return cuts;
}

// How many of 255 ascending cuts, of which the unused ones are infinite, lie below the value: eight steps
// without a branch, so that the steps of several rows overlap.
unsigned cuts_below(const float* cuts, float value) {
  unsigned at = 0;
  for (unsigned step = 128; step > 0; step /= 2)
    at += static_cast<unsigned>(cuts[at + step - 1] < value) * step;
  return at;
}

}  // namespace

Binned::Binned(const Dataset& dataset, std::size_t bins, Workers& workers)
    : rows_(dataset.rows()),
      values_(dataset.rows() * dataset.inputs()),
      lowest_(dataset.inputs()),
      highest_(dataset.inputs()) {
  const std::size_t features = dataset.inputs();
  using Cuts = std::array<float, 255>;
  std::vector<Cuts> cuts(features);
  workers.run(features, [&](std::size_t feature) {
    const std::size_t stride = rows_ / kSelectionMax + 1;
    std::vector<float> selection;
    selection.reserve(rows_ / stride + 1);
    for (std::size_t row = 0; row < rows_; row += stride) {
      const float value = dataset.at(row, feature);
      if (value > -kInfinity) selection.push_back(value);  // neither NaN nor -infinity
    }
    std::sort(selection.begin(), selection.end());
    const std::vector<float> found = find_cuts(selection, bins);
    cuts[feature].fill(kInfinity);
    std::copy(found.begin(), found.end(), cuts[feature].begin());
    lowest_[feature].assign(found.size() + 2, kInfinity);
    highest_[feature].assign(found.size() + 2, -kInfinity);
  });

  struct Range {
    float low = kInfinity, high = -kInfinity;
  };
  std::mutex mutex;  // guards lowest_ and highest_
  constexpr std::size_t kChunk = 64 * kBlock;
  workers.run((rows_ + kChunk - 1) / kChunk, [&](std::size_t chunk) {
    std::vector<Range> ranges(features * 257);
    const std::size_t end = std::min(rows_, (chunk + 1) * kChunk);
    for (std::size_t first = chunk * kChunk; first < end; first += kBlock) {
      const std::size_t last = std::min(end, first + kBlock);
      for (std::size_t feature = 0; feature < features; ++feature) {
        const float* const cut = cuts[feature].data();
        Range* const range = ranges.data() + feature * 257;
        std::uint8_t* const out = values_.data() + feature * rows_;
        const float* value = dataset.values.data() + first * features + feature;
        std::array<float, kBlock> column;
        for (std::size_t i = 0; i < last - first; ++i, value += features) column[i] = *value;
        for (std::size_t row = first; row < last; ++row) {
          const float x = column[row - first];
          // NaN is above nothing, so without the first condition it would get the lowest bin of numbers.
          const unsigned bin = static_cast<unsigned>(x > -kInfinity) * (1 + cuts_below(cut, x));
          range[bin].low = std::min(range[bin].low, x);
          range[bin].high = std::max(range[bin].high, x);
          out[row] = static_cast<std::uint8_t>(bin);
        }
      }
    }
    const std::lock_guard lock(mutex);
    for (std::size_t feature = 0; feature < features; ++feature) {
      for (std::size_t bin = 1; bin < this->bins(feature); ++bin) {
        const Range& range = ranges[feature * 257 + bin];
        lowest_[feature][bin] = std::min(lowest_[feature][bin], range.low);
        highest_[feature][bin] = std::max(highest_[feature][bin], range.high);
      }
    }
  });
}

float Binned::threshold(std::size_t feature, std::size_t below, std::size_t above) const {
  if (below == 0) return -kInfinity;
  const float low = highest_[feature][below], high = lowest_[feature][above];
  const double middle = (static_cast<double>(low) + static_cast<double>(high)) / 2;
  if (!std::isfinite(middle)) return std::max(low, std::numeric_limits<float>::max());
  const auto rounded = static_cast<float>(middle);
  return rounded >= low && rounded < high ? rounded : low;
}

}  // namespace nidus::learn::internal
