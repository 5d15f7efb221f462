#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "base/check.h"

namespace nidus::model::internal {

// Rows of floats for a model that computes in double: some of them at a time are widened and given to
// score(rows, count, scores), so that the doubles of all rows never stand in memory together.
template <class Score>
void score_widened(std::span<const float> rows, std::size_t count, std::size_t inputs, std::size_t outputs,
                   std::span<double> scores, const Score& score) {
  CHECK(rows.size() >= count * inputs && scores.size() >= count * outputs);
  constexpr std::size_t kBlock = 256;
  std::vector<double> wide(std::min(count, kBlock) * inputs);
  for (std::size_t first = 0; first < count; first += kBlock) {
    const std::size_t some = std::min(kBlock, count - first);
    std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(first * inputs), some * inputs, wide.begin());
    score(std::span<const double>(wide).first(some * inputs), some,
          scores.subspan(first * outputs, some * outputs));
  }
}

}  // namespace nidus::model::internal
