#include "learn/threshold.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "learn/metrics.h"

namespace nidus::learn {

Result<Threshold> threshold_at_rate(std::span<const double> benign_scores, double rate) {
  if (benign_scores.empty()) return Error{Errc::invalid, "no benign rows to choose the threshold by"};
  if (!(rate >= 0 && rate <= 1)) return Error{Errc::invalid, "a false-positive rate lies between 0 and 1"};
  std::vector<double> scores(benign_scores.begin(), benign_scores.end());
  if (std::any_of(scores.begin(), scores.end(), [](double score) { return std::isnan(score); })) {
    return Error{Errc::invalid, "a score that is not a number"};
  }
  std::sort(scores.begin(), scores.end(), std::greater<>());
  Threshold out;
  out.wanted_rate = rate;
  out.benign = scores.size();
  const auto allowed = static_cast<std::size_t>(rate * static_cast<double>(scores.size()) * (1 + 1e-12));
  out.resolvable = static_cast<double>(allowed) >= kFalsePositivesLeast;
  if (allowed >= scores.size()) {
    out.value = scores.back();
  } else {
    // scores[allowed] is the highest that must stay below; all its equals too.
    const double below = scores[allowed];
    const auto last_above = std::lower_bound(scores.begin(), scores.end(), below, std::greater<>());
    if (last_above == scores.begin()) {
      out.value = std::nextafter(below, std::numeric_limits<double>::infinity());
    } else {
      const double above = *(last_above - 1);
      const double middle = below + (above - below) / 2;
      out.value = middle > below ? middle : above;
    }
  }
  out.allowed = static_cast<std::uint64_t>(
      std::count_if(scores.begin(), scores.end(), [&](double score) { return score >= out.value; }));
  out.realised_rate = static_cast<double>(out.allowed) / static_cast<double>(scores.size());
  return out;
}

}  // namespace nidus::learn
