#include "learn/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "learn/internal/curve_sums.h"

namespace nidus::learn {
namespace {

std::optional<double> ratio(std::uint64_t part, std::uint64_t whole) {
  if (whole == 0) return std::nullopt;
  return static_cast<double>(part) / static_cast<double>(whole);
}

// The rows in order of score, from the highest down. Several figures walk down them.
class Descent {
 public:
  Descent(std::span<const double> scores, std::span<const std::uint8_t> positive,
          std::span<const double> weights)
      : scores_(scores), positive_(positive), weights_(weights), order_(scores.size()) {
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::sort(order_.begin(), order_.end(), [&](auto a, auto b) { return scores[a] > scores[b]; });
  }

  // Calls at(score, positives, negatives) for each different score that weighs anything.
  template <class At>
  void walk(At&& at) const {
    for (std::size_t i = 0; i < order_.size();) {
      const double score = scores_[order_[i]];
      double positives = 0, negatives = 0;
      for (; i < order_.size() && scores_[order_[i]] == score; ++i) {
        const double weight = weights_.empty() ? 1 : weights_[order_[i]];
        (positive_[order_[i]] != 0 ? positives : negatives) += weight;
      }
      if (positives + negatives > 0) at(score, positives, negatives);
    }
  }

 private:
  std::span<const double> scores_;
  std::span<const std::uint8_t> positive_;
  std::span<const double> weights_;
  std::vector<std::size_t> order_;
};

struct Sides {
  double positives = 0;
  double negatives = 0;
};

Sides sum_sides(std::span<const std::uint8_t> positive, std::span<const double> weights) {
  Sides sides;
  for (std::size_t i = 0; i < positive.size(); ++i) {
    (positive[i] != 0 ? sides.positives : sides.negatives) += weights.empty() ? 1 : weights[i];
  }
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

Result<void> check_scores(std::span<const double> scores, std::span<const std::uint8_t> positive,
                          std::span<const double> weights) {
  if (scores.size() != positive.size() || (!weights.empty() && weights.size() != scores.size())) {
    return Error{Errc::invalid, fmt::format("{} scores, {} rows and {} weights", scores.size(),
                                            positive.size(), weights.size())};
  }
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (std::isnan(scores[i]))
      return Error{Errc::invalid, fmt::format("row {}: its score is not a number", i)};
  }
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (!std::isfinite(weights[i]) || weights[i] < 0) {
      return Error{Errc::invalid, fmt::format("row {}: a weight of {}", i, weights[i])};
    }
  }
  return {};
}

std::optional<double> roc_auc(std::span<const double> scores, std::span<const std::uint8_t> positive,
                              std::span<const double> weights) {
  if (!check_scores(scores, positive, weights)) return std::nullopt;
  internal::RocSum sum;
  Descent(scores, positive, weights).walk([&](double, double positives, double negatives) {
    sum.add(positives, negatives);
  });
  return sum.value();
}

std::optional<double> average_precision(std::span<const double> scores,
                                        std::span<const std::uint8_t> positive,
                                        std::span<const double> weights) {
  if (!check_scores(scores, positive, weights)) return std::nullopt;
  internal::PrecisionSum sum;
  Descent(scores, positive, weights).walk([&](double, double positives, double negatives) {
    sum.add(positives, negatives);
  });
  return sum.value();
}

std::optional<RecallAtRate> recall_at(double rate, std::span<const double> scores,
                                      std::span<const std::uint8_t> positive,
                                      std::span<const double> weights) {
  if (!check_scores(scores, positive, weights)) return std::nullopt;
  const Sides sides = sum_sides(positive, weights);
  if (!(sides.positives > 0 && sides.negatives > 0)) return std::nullopt;
  internal::RateSum sum(rate, sides.negatives);
  RecallAtRate best;
  best.threshold = std::numeric_limits<double>::infinity();
  std::size_t step = 0;
  Descent(scores, positive, weights).walk([&](double score, double positives, double negatives) {
    sum.add(positives, negatives, step);
    if (sum.at() == step++) best.threshold = score;
  });
  best.rate = rate;
  best.recall = sum.hits() / sides.positives;
  best.realised_rate = sum.alarms() / sides.negatives;
  best.resolvable = rate * sides.negatives * (1 + 1e-12) >= kFalsePositivesLeast;
  best.negatives_needed =
      rate > 0 ? static_cast<std::uint64_t>(std::ceil(kFalsePositivesLeast / rate * (1 - 1e-12))) : 0;
  return best;
}

std::vector<CurvePoint> curve(std::span<const double> scores, std::span<const std::uint8_t> positive) {
  if (!roc_auc(scores, positive)) return {};
  const Sides sides = sum_sides(positive, {});
  std::vector<CurvePoint> out = {{std::numeric_limits<double>::infinity(), 0, 0}};
  // Steps finer than this are finer than a pixel of any picture of the curve.
  constexpr double kStep = 1.0 / 500, kLogStep = 1.0 / 150;
  CurvePoint last = out.back();
  const auto apart = [&](const CurvePoint& a, const CurvePoint& b) {
    const auto low = static_cast<double>(a.false_alarms), high = static_cast<double>(b.false_alarms);
    return static_cast<double>(b.hits - a.hits) > kStep * sides.positives ||
           high - low > kStep * sides.negatives || (low == 0 ? high > 0 : std::log10(high / low) > kLogStep);
  };
  double hits = 0, alarms = 0;
  Descent(scores, positive, {}).walk([&](double score, double positives, double negatives) {
    hits += positives;
    alarms += negatives;
    const CurvePoint point{score, static_cast<std::uint64_t>(hits), static_cast<std::uint64_t>(alarms)};
    // The point before the jump is kept as well, so that a step stays a step and does not become a slope.
    if (apart(out.back(), point)) {
      if (last.hits != out.back().hits || last.false_alarms != out.back().false_alarms) out.push_back(last);
      out.push_back(point);
    }
    last = point;
  });
  if (last.hits != out.back().hits || last.false_alarms != out.back().false_alarms) out.push_back(last);
  return out;
}

std::optional<double> brier(std::span<const double> scores, std::span<const std::uint8_t> positive,
                            std::span<const double> weights) {
  if (!check_scores(scores, positive, weights)) return std::nullopt;
  double sum = 0, all = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const double gap = scores[i] - (positive[i] != 0 ? 1 : 0);
    const double weight = weights.empty() ? 1 : weights[i];
    sum += weight * gap * gap;
    all += weight;
  }
  if (!(all > 0)) return std::nullopt;
  return sum / all;
}

std::optional<Calibration> calibration(std::span<const double> scores, std::span<const std::uint8_t> positive,
                                       std::span<const double> weights, std::size_t bins) {
  CHECK(bins > 0);
  if (!check_scores(scores, positive, weights)) return std::nullopt;
  Calibration out;
  out.bins.resize(bins);
  double all = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (!(scores[i] >= 0 && scores[i] <= 1)) return std::nullopt;
    const double weight = weights.empty() ? 1 : weights[i];
    auto& bin = out.bins[internal::calibration_bin(scores[i], bins)];
    bin.weight += weight;
    bin.mean_score += weight * scores[i];
    bin.attack_share += positive[i] != 0 ? weight : 0;
    all += weight;
  }
  if (!(all > 0)) return std::nullopt;
  for (auto& bin : out.bins) {
    if (!(bin.weight > 0)) continue;
    bin.mean_score /= bin.weight;
    bin.attack_share /= bin.weight;
    const double gap = std::abs(bin.attack_share - bin.mean_score);
    out.expected_error += gap * bin.weight / all;
    out.maximum_error = std::max(out.maximum_error, gap);
  }
  return out;
}

AtBaseRate at_base_rate(double base_rate, double recall, double false_positive_rate, double flows_a_day) {
  const double found = base_rate * recall, false_alarms = (1 - base_rate) * false_positive_rate;
  return {base_rate, found / (found + false_alarms), flows_a_day * (found + false_alarms),
          flows_a_day * false_alarms};
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
