#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>

#include "base/parallel.h"
#include "base/random.h"
#include "data/labels.h"
#include "learn/internal/resampling.h"

namespace nidus::learn::internal {
namespace {

// Between the two nearest of the sorted values, as most statistics programs do (Hyndman and Fan 1996, type
// 7).
double quantile(std::span<const double> sorted, double level) {
  const double at = level * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  if (below + 1 >= sorted.size()) return sorted.back();
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[below + 1] - sorted[below]);
}

}  // namespace

Resampling::Resampling(std::size_t rows, std::span<const std::uint32_t> groups) : rows_(rows), units_(rows) {
  if (groups.empty()) return;
  std::unordered_map<std::uint32_t, std::uint32_t> unit_of_group;
  std::uint32_t next = 0;
  unit_of_.reserve(rows);
  for (const auto group : groups) {
    if (group == data::kUnlabelled) {
      unit_of_.push_back(next++);
      continue;
    }
    const auto [found, is_new] = unit_of_group.try_emplace(group, next);
    next += is_new ? 1 : 0;
    unit_of_.push_back(found->second);
  }
  if (unit_of_group.empty() || next < 2) {
    unit_of_.clear();
    return;
  }
  units_ = next;
}

void Resampling::draw(std::uint64_t seed, std::size_t replicate, std::vector<std::uint32_t>& drawn,
                      std::span<std::uint32_t> counts) const {
  Random random(Random::mix(seed) + replicate);
  if (unit_of_.empty()) {
    std::fill(counts.begin(), counts.end(), 0u);
    for (std::size_t i = 0; i < units_; ++i) ++counts[random.below(units_)];
    return;
  }
  drawn.assign(units_, 0);
  for (std::size_t i = 0; i < units_; ++i) ++drawn[random.below(units_)];
  for (std::size_t row = 0; row < rows_; ++row) counts[row] = drawn[unit_of_[row]];
}

std::vector<std::optional<Interval>> bootstrap(const Resampling& resampling, std::size_t width,
                                               std::size_t replicates, std::uint64_t seed,
                                               std::size_t threads, const Statistic& statistic) {
  std::vector<std::optional<Interval>> out(width);
  if (replicates == 0 || resampling.rows() == 0) return out;
  std::vector<double> figures(replicates * width);
  Workers workers(threads);
  // One run of replicates a thread, each with its own room.
  const std::size_t runs = std::min(replicates, workers.threads());
  workers.run(runs, [&](std::size_t run) {
    std::vector<std::uint32_t> counts(resampling.rows()), drawn;
    for (std::size_t i = run; i < replicates; i += runs) {
      resampling.draw(seed, i, drawn, counts);
      statistic(counts, std::span(figures).subspan(i * width, width));
    }
  });
  std::vector<double> values;
  for (std::size_t figure = 0; figure < width; ++figure) {
    values.clear();
    for (std::size_t i = 0; i < replicates; ++i) {
      const double value = figures[i * width + figure];
      if (!std::isnan(value)) values.push_back(value);
    }
    if (values.empty() || values.size() * 20 < replicates * 19) continue;
    std::sort(values.begin(), values.end());
    out[figure] = Interval{quantile(values, 0.025), quantile(values, 0.975)};
  }
  return out;
}

}  // namespace nidus::learn::internal
