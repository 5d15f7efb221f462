#include <algorithm>
#include <cmath>
#include <limits>

#include "learn/internal/binned.h"

namespace nidus::learn::internal {
namespace {

// How many values quantiles are taken from. With more rows an even selection stands for them: the place of a
// cut then errs by a few tenths of a bin, which no split is sensitive to.
constexpr std::size_t kSelectionMax = 200'000;

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

}  // namespace

Binned::Binned(const Dataset& dataset, std::size_t bins, Workers& workers)
    : rows_(dataset.rows()),
      values_(dataset.rows() * dataset.inputs()),
      lowest_(dataset.inputs()),
      highest_(dataset.inputs()) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  workers.run(dataset.inputs(), [&](std::size_t feature) {
    const std::size_t stride = rows_ / kSelectionMax + 1;
    std::vector<float> selection;
    selection.reserve(rows_ / stride + 1);
    for (std::size_t row = 0; row < rows_; row += stride) {
      const float value = dataset.at(row, feature);
      if (value > -kInfinity) selection.push_back(value);  // neither NaN nor -infinity
    }
    std::sort(selection.begin(), selection.end());
    const std::vector<float> cuts = find_cuts(selection, bins);

    std::vector<float>& low = lowest_[feature];
    std::vector<float>& high = highest_[feature];
    low.assign(cuts.size() + 2, kInfinity);
    high.assign(cuts.size() + 2, -kInfinity);
    std::uint8_t* out = values_.data() + feature * rows_;
    for (std::size_t row = 0; row < rows_; ++row) {
      const float value = dataset.at(row, feature);
      std::size_t bin = 0;
      if (value > -kInfinity) {
        bin = 1 + static_cast<std::size_t>(std::lower_bound(cuts.begin(), cuts.end(), value) - cuts.begin());
        low[bin] = std::min(low[bin], value);
        high[bin] = std::max(high[bin], value);
      }
      out[row] = static_cast<std::uint8_t>(bin);
    }
  });
}

float Binned::threshold(std::size_t feature, std::size_t below, std::size_t above) const {
  if (below == 0) return -std::numeric_limits<float>::infinity();
  const float low = highest_[feature][below], high = lowest_[feature][above];
  const double middle = (static_cast<double>(low) + static_cast<double>(high)) / 2;
  if (!std::isfinite(middle)) return std::max(low, std::numeric_limits<float>::max());
  const auto rounded = static_cast<float>(middle);
  return rounded >= low && rounded < high ? rounded : low;
}

}  // namespace nidus::learn::internal
