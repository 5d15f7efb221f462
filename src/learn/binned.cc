#include "learn/internal/binned.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <span>
#include <utility>

namespace nidus::learn::internal {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// How many values quantiles are taken from. With more rows an even selection stands for them: the place of a
// cut then errs by less than half a bin, which no split is sensitive to.
constexpr std::size_t kSelectionMax = 100'000;

// Rows that are binned together, by all features: a block of 80 columns stays in the second-level cache.
constexpr std::size_t kBlock = 1024;

// A value of the selection and the class of its row: the value in the upper half, its bits turned so that
// they are ordered as floats are.
using Key = std::uint64_t;

Key key_of(float value, std::uint32_t cls) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return Key{bits ^ ((bits >> 31) != 0 ? 0xffffffffu : 0x80000000u)} << 32 | cls;
}
float value_of(Key key) {
  const auto bits = static_cast<std::uint32_t>(key >> 32);
  return std::bit_cast<float>(bits ^ ((bits >> 31) != 0 ? 0x80000000u : 0xffffffffu));
}

// By value, eleven bits at a time.
void sort_keys(std::vector<Key>& keys, std::vector<Key>& other) {
  constexpr std::size_t kDigits = 2048;
  other.resize(keys.size());
  std::array<std::array<std::uint32_t, kDigits>, 3> places{};
  for (const Key key : keys) {
    for (unsigned digit = 0; digit < 3; ++digit) ++places[digit][key >> (32 + 11 * digit) & (kDigits - 1)];
  }
  for (unsigned digit = 0; digit < 3; ++digit) {
    std::uint32_t place = 0;
    for (auto& count : places[digit]) place += std::exchange(count, place);
    for (const Key key : keys) other[places[digit][key >> (32 + 11 * digit) & (kDigits - 1)]++] = key;
    keys.swap(other);
  }
}

// Rows of one value, or of neighbouring values.
struct Run {
  std::size_t end = 0;  // behind its last key
  std::uint32_t cls = 0;
  bool pure = true;
};

std::vector<Run> runs_of(std::span<const Key> sorted) {
  std::vector<Run> runs;
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const auto cls = static_cast<std::uint32_t>(sorted[i]);
    if (i == 0 || value_of(sorted[i]) != value_of(sorted[i - 1])) runs.push_back({i, cls, true});
    runs.back().end = i + 1;
    runs.back().pure = runs.back().pure && runs.back().cls == cls;
  }
  return runs;
}

// Neighbours of one and the same class alone become one.
void join_runs(std::vector<Run>& runs) {
  std::size_t kept = 0;
  for (const Run& run : runs) {
    Run* const before = kept > 0 ? &runs[kept - 1] : nullptr;
    if (before != nullptr && before->pure && run.pure && before->cls == run.cls) {
      before->end = run.end;
    } else {
      runs[kept++] = run;
    }
  }
  runs.resize(kept);
}

// The upper ends of the bins: the highest value of each but the last.
std::vector<float> find_cuts(std::span<const Key> sorted, std::size_t bins, bool by_class) {
  std::vector<Run> runs = runs_of(sorted);
  if (runs.size() > bins && by_class) join_runs(runs);
  std::vector<float> cuts;
  const bool all = runs.size() <= bins;
  // Greedy by remaining share, so that a run that alone fills several bins does not use them up.
  std::size_t left = bins, begin = 0;
  for (std::size_t i = 0; i + 1 < runs.size() && left > 1; ++i) {
    const std::size_t want = all ? 1 : std::max<std::size_t>(1, (sorted.size() - begin) / left);
    if (runs[i].end - begin < want) continue;
    cuts.push_back(value_of(sorted[runs[i].end - 1]));
    begin = runs[i].end;
    --left;
  }
  return cuts;
}

// How many of 16 ascending cuts lie below the value.
unsigned below16(const float* cuts, float value) {
  using Four [[gnu::vector_size(16)]] = float;
  using Counts [[gnu::vector_size(16)]] = std::int32_t;
  Four four;
  Counts counts{};
  for (int i = 0; i < 16; i += 4) {
    std::memcpy(&four, cuts + i, sizeof four);
    counts -= four < value;  // a comparison that holds is -1
  }
  return static_cast<unsigned>(counts[0] + counts[1] + counts[2] + counts[3]);
}

// 255 cuts and one more, the unused ones infinite, in blocks of 16, and the last of each block.
struct Cuts {
  alignas(64) std::array<float, 256> all;
  alignas(64) std::array<float, 16> last;

  void set(const std::vector<float>& found) {
    all.fill(kInfinity);
    std::copy(found.begin(), found.end(), all.begin());
    for (std::size_t i = 0; i < last.size(); ++i) last[i] = all[i * 16 + 15];
  }
  // How many lie below the value: in two steps without a branch.
  unsigned below(float value) const {
    const unsigned block = std::min(below16(last.data(), value), 15u);
    return block * 16 + below16(all.data() + std::size_t{block} * 16, value);
  }
};

}  // namespace

Binned::Binned(const Dataset& dataset, std::size_t bins, Use use, Workers& workers)
    : rows_(dataset.rows()),
      values_(dataset.rows() *
              (use == Use::boosting ? (dataset.inputs() + kTile - 1) / kTile * kTile : dataset.inputs())),
      lowest_(dataset.inputs()),
      highest_(dataset.inputs()) {
  const std::size_t features = dataset.inputs();
  const bool tiled = use == Use::boosting;
  const std::size_t stride = tiled ? kTile : 1;
  std::vector<Cuts> cuts(features);
  // Sixteen features at a time, which is a cache line of a row.
  constexpr std::size_t kTogether = 16;
  workers.run((features + kTogether - 1) / kTogether, [&](std::size_t part) {
    const std::size_t begin = part * kTogether, count = std::min(kTogether, features - begin);
    const std::size_t step = rows_ / kSelectionMax + 1;
    std::array<std::vector<Key>, kTogether> selections;
    for (auto& selection : selections) selection.reserve(rows_ / step + 1);
    for (std::size_t row = 0; row < rows_; row += step) {
      for (std::size_t i = 0; i < count; ++i) {
        const float value = dataset.at(row, begin + i);
        if (value > -kInfinity)  // neither NaN nor -infinity
          selections[i].push_back(key_of(value, dataset.labels[row]));
      }
    }
    std::vector<Key> other;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t feature = begin + i;
      sort_keys(selections[i], other);
      const std::vector<float> found = find_cuts(selections[i], bins, use == Use::forest);
      cuts[feature].set(found);
      lowest_[feature].assign(found.size() + 2, kInfinity);
      // A cut is a value of the bin below it, so it is the highest there.
      highest_[feature].assign(found.size() + 2, -kInfinity);
      std::copy(found.begin(), found.end(), highest_[feature].begin() + 1);
    }
  });

  std::mutex mutex;  // guards lowest_ and highest_
  constexpr std::size_t kChunk = 64 * kBlock;
  workers.run((rows_ + kChunk - 1) / kChunk, [&](std::size_t chunk) {
    std::vector<float> lows(features * 256, kInfinity), highs(features, -kInfinity);
    const std::size_t end = std::min(rows_, (chunk + 1) * kChunk);
    for (std::size_t first = chunk * kChunk; first < end; first += kBlock) {
      const std::size_t count = std::min(end - first, kBlock);
      for (std::size_t feature = 0; feature < features; ++feature) {
        const Cuts& cut = cuts[feature];
        float* const low = lows.data() + feature * 256;
        std::uint8_t* const out =
            values_.data() + first * stride +
            (tiled ? feature / kTile * kTile * rows_ + feature % kTile : feature * rows_);
        const float* value = dataset.values.data() + first * features + feature;
        std::array<float, kBlock> column;
        for (std::size_t i = 0; i < count; ++i, value += features) column[i] = *value;
        float high = highs[feature];
        for (std::size_t i = 0; i < count; ++i) {
          const float x = column[i];
          // NaN is above nothing, so without the condition it would get the lowest bin of numbers.
          const bool there = tiled ? x == x : x > -kInfinity;
          const unsigned bin = static_cast<unsigned>(there) * (1 + cut.below(x));
          low[bin] = std::min(low[bin], x);
          high = x > high ? x : high;
          out[i * stride] = static_cast<std::uint8_t>(bin);
        }
        highs[feature] = high;
      }
    }
    const std::lock_guard lock(mutex);
    for (std::size_t feature = 0; feature < features; ++feature) {
      for (std::size_t bin = 1; bin < this->bins(feature); ++bin)
        lowest_[feature][bin] = std::min(lowest_[feature][bin], lows[feature * 256 + bin]);
      highest_[feature].back() = std::max(highest_[feature].back(), highs[feature]);
    }
  });
}

float Binned::threshold(std::size_t feature, std::size_t below, std::size_t above) const {
  if (below == 0) return -kInfinity;
  const float low = highest_[feature][below], high = lowest_[feature][above];
  if (low == -kInfinity) return low;
  const double middle = (static_cast<double>(low) + static_cast<double>(high)) / 2;
  if (!std::isfinite(middle)) return std::max(low, std::numeric_limits<float>::max());
  const auto rounded = static_cast<float>(middle);
  return rounded >= low && rounded < high ? rounded : low;
}

}  // namespace nidus::learn::internal
