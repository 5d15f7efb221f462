#include "learn/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"

namespace nidus::learn {
namespace {

std::optional<double> ratio(std::uint64_t part, std::uint64_t whole) {
  if (whole == 0) return std::nullopt;
  return static_cast<double>(part) / static_cast<double>(whole);
}

// Calls at(score, positives, negatives) for each different score from the highest down.
template <class At>
void for_each_threshold(std::span<const double> scores, std::span<const std::uint8_t> positive, At&& at) {
  CHECK(scores.size() == positive.size());
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return scores[a] > scores[b]; });
  for (std::size_t i = 0; i < order.size();) {
    const double score = scores[order[i]];
    std::uint64_t positives = 0, negatives = 0;
    for (; i < order.size() && scores[order[i]] == score; ++i)
      ++(positive[order[i]] != 0 ? positives : negatives);
    at(score, positives, negatives);
  }
}

struct Sides {
  std::uint64_t positives = 0;
  std::uint64_t negatives = 0;
};

Sides count_sides(std::span<const std::uint8_t> positive) {
  Sides sides;
  for (const auto p : positive) ++(p != 0 ? sides.positives : sides.negatives);
  return sides;
}

}  // namespace

std::uint64_t Confusion::support(std::size_t cls) const {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < classes_; ++i) sum += count(cls, i);
  return sum;
}

std::uint64_t Confusion::predicted(std::size_t cls) const {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < classes_; ++i) sum += count(i, cls);
  return sum;
}

std::uint64_t Confusion::total() const {
  return std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0});
}

std::optional<double> Confusion::accuracy() const {
  std::uint64_t right = 0;
  for (std::size_t i = 0; i < classes_; ++i) right += count(i, i);
  return ratio(right, total());
}

std::optional<double> Confusion::recall(std::size_t cls) const {
  return ratio(count(cls, cls), support(cls));
}

std::optional<double> Confusion::precision(std::size_t cls) const {
  return ratio(count(cls, cls), predicted(cls));
}

std::optional<double> Confusion::f1(std::size_t cls) const {
  return ratio(2 * count(cls, cls), support(cls) + predicted(cls));
}

std::optional<double> Confusion::balanced_accuracy() const {
  double sum = 0;
  std::size_t present = 0;
  for (std::size_t i = 0; i < classes_; ++i) {
    if (const auto value = recall(i)) {
      sum += *value;
      ++present;
    }
  }
  if (present == 0) return std::nullopt;
  return sum / static_cast<double>(present);
}

std::optional<double> Confusion::macro_f1() const {
  double sum = 0;
  std::size_t present = 0;
  for (std::size_t i = 0; i < classes_; ++i) {
    if (const auto value = f1(i)) {
      sum += *value;
      ++present;
    }
  }
  if (present == 0) return std::nullopt;
  return sum / static_cast<double>(present);
}

std::optional<double> Confusion::mcc() const {
  const auto all = static_cast<double>(total());
  if (all == 0) return std::nullopt;
  double right = 0, truth_squared = 0, said_squared = 0, product = 0;
  for (std::size_t i = 0; i < classes_; ++i) {
    const auto truth = static_cast<double>(support(i)), said = static_cast<double>(predicted(i));
    right += static_cast<double>(count(i, i));
    truth_squared += truth * truth;
    said_squared += said * said;
    product += truth * said;
  }
  const double spread = (all * all - truth_squared) * (all * all - said_squared);
  if (spread <= 0) return 0.0;
  return (right * all - product) / std::sqrt(spread);
}

std::optional<double> roc_auc(std::span<const double> scores, std::span<const std::uint8_t> positive) {
  const Sides sides = count_sides(positive);
  if (sides.positives == 0 || sides.negatives == 0) return std::nullopt;
  double area = 0, above = 0;  // pairs won; attacks met so far, which score higher
  for_each_threshold(scores, positive, [&](double, std::uint64_t positives, std::uint64_t negatives) {
    area += static_cast<double>(negatives) * (above + 0.5 * static_cast<double>(positives));
    above += static_cast<double>(positives);
  });
  return area / (static_cast<double>(sides.positives) * static_cast<double>(sides.negatives));
}

std::optional<double> average_precision(std::span<const double> scores,
                                        std::span<const std::uint8_t> positive) {
  const Sides sides = count_sides(positive);
  if (sides.positives == 0) return std::nullopt;
  double sum = 0, hits = 0, said = 0;
  for_each_threshold(scores, positive, [&](double, std::uint64_t positives, std::uint64_t negatives) {
    hits += static_cast<double>(positives);
    said += static_cast<double>(positives + negatives);
    sum += static_cast<double>(positives) * hits / said;
  });
  return sum / static_cast<double>(sides.positives);
}

std::optional<RecallAtRate> recall_at(double rate, std::span<const double> scores,
                                      std::span<const std::uint8_t> positive) {
  const Sides sides = count_sides(positive);
  if (sides.positives == 0 || sides.negatives == 0) return std::nullopt;
  RecallAtRate best;
  best.rate = rate;
  best.threshold = std::numeric_limits<double>::infinity();
  const double allowed = rate * static_cast<double>(sides.negatives) * (1 + 1e-12);
  best.resolvable = allowed >= 10;
  std::uint64_t hits = 0, alarms = 0;
  for_each_threshold(scores, positive, [&](double score, std::uint64_t positives, std::uint64_t negatives) {
    hits += positives;
    alarms += negatives;
    if (static_cast<double>(alarms) > allowed) return;
    best.threshold = score;
    best.recall = static_cast<double>(hits) / static_cast<double>(sides.positives);
    best.realised_rate = static_cast<double>(alarms) / static_cast<double>(sides.negatives);
  });
  return best;
}

std::optional<double> brier(std::span<const double> scores, std::span<const std::uint8_t> positive) {
  CHECK(scores.size() == positive.size());
  if (scores.empty()) return std::nullopt;
  double sum = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const double gap = scores[i] - (positive[i] != 0 ? 1 : 0);
    sum += gap * gap;
  }
  return sum / static_cast<double>(scores.size());
}

Interval wilson(std::uint64_t successes, std::uint64_t trials, double z) {
  if (trials == 0) return {};
  const auto n = static_cast<double>(trials);
  const double p = static_cast<double>(successes) / n;
  const double middle = p + z * z / (2 * n);
  const double reach = z * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n));
  const double scale = 1 + z * z / n;
  // At the ends the bounds are 0 and 1 exactly, which rounding would miss.
  return {successes == 0 ? 0.0 : (middle - reach) / scale,
          successes == trials ? 1.0 : (middle + reach) / scale};
}

}  // namespace nidus::learn
