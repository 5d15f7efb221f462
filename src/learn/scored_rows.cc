#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "learn/internal/curve_sums.h"
#include "learn/internal/scored_rows.h"
#include "learn/metrics.h"

namespace nidus::learn::internal {

ScoredRows::ScoredRows(std::span<const double> scores, std::span<const std::uint32_t> truth,
                       std::span<const std::uint32_t> said, std::size_t classes)
    : classes_(classes) {
  CHECK(scores.size() == truth.size() && scores.size() == said.size());
  CHECK(scores.size() <= std::numeric_limits<std::uint32_t>::max());
  std::vector<std::uint32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return scores[a] > scores[b]; });
  rows_.reserve(order.size());
  for (const auto row : order) {
    if (steps_.empty() || steps_.back().score != scores[row]) {
      const double score = scores[row];
      probabilities_ = probabilities_ && score >= 0 && score <= 1;
      steps_.push_back({0, score, probabilities_ ? calibration_bin(score, kCalibrationBins) : 0});
    }
    rows_.push_back({row, truth[row] * static_cast<std::uint32_t>(classes) + said[row]});
    steps_.back().end = rows_.size();
  }
}

void ScoredRows::figures(std::span<const std::uint32_t> counts, std::span<double> out) const {
  CHECK(counts.size() == rows_.size() && out.size() == width());
  const std::size_t benign_end = classes_;  // cells of benign rows come first
  std::vector<std::uint64_t> cells(classes_ * classes_);
  for (const auto& row : rows_) cells[row.cell] += counts[row.row];
  Confusion confusion(classes_);
  for (std::size_t i = 0; i < cells.size(); ++i) confusion.add(i / classes_, i % classes_, cells[i]);
  const std::uint64_t benign = confusion.support(0), all = confusion.total(), attacks = all - benign;

  RocSum roc;
  PrecisionSum precision;
  std::array<RateSum, kRates.size()> rates = {RateSum(kRates[0], static_cast<double>(benign)),
                                              RateSum(kRates[1], static_cast<double>(benign)),
                                              RateSum(kRates[2], static_cast<double>(benign))};
  struct Bin {
    double weight = 0, scores = 0, attacks = 0;
  };
  std::array<Bin, kCalibrationBins> bins{};
  double gaps = 0;
  std::size_t at = 0;
  for (const auto& step : steps_) {
    std::uint64_t hits = 0, alarms = 0;
    for (; at < step.end; ++at) {
      const std::uint64_t count = counts[rows_[at].row];
      (rows_[at].cell < benign_end ? alarms : hits) += count;
    }
    if (hits + alarms == 0) continue;
    const auto positives = static_cast<double>(hits), negatives = static_cast<double>(alarms);
    roc.add(positives, negatives);
    precision.add(positives, negatives);
    for (auto& rate : rates) rate.add(positives, negatives, at);
    gaps += positives * (1 - step.score) * (1 - step.score) + negatives * step.score * step.score;
    Bin& bin = bins[step.bin];
    bin.weight += positives + negatives;
    bin.scores += (positives + negatives) * step.score;
    bin.attacks += positives;
  }

  const auto put = [&](Figure figure, std::optional<double> value) {
    out[static_cast<std::size_t>(figure)] = value.value_or(std::numeric_limits<double>::quiet_NaN());
  };
  const auto ratio = [](std::uint64_t part, std::uint64_t whole) {
    return whole == 0 ? std::nullopt : std::optional(static_cast<double>(part) / static_cast<double>(whole));
  };
  std::uint64_t false_alarms = 0, missed = 0;
  for (std::size_t cls = 1; cls < classes_; ++cls) {
    false_alarms += confusion.count(0, cls);
    missed += confusion.count(cls, 0);
  }
  const std::uint64_t found = attacks - missed;
  put(Figure::accuracy, confusion.accuracy());
  put(Figure::balanced_accuracy, confusion.balanced_accuracy());
  put(Figure::macro_f1, confusion.macro_f1());
  put(Figure::mcc, confusion.mcc());
  put(Figure::attack_recall, ratio(found, attacks));
  put(Figure::false_positive_rate, ratio(false_alarms, benign));
  put(Figure::attack_precision, ratio(found, found + false_alarms));
  put(Figure::roc_auc, roc.value());
  put(Figure::average_precision, precision.value());
  for (std::size_t i = 0; i < kRates.size(); ++i) {
    const auto figure = static_cast<Figure>(static_cast<std::size_t>(Figure::recall_at_1e2) + i);
    put(figure, attacks == 0 || benign == 0 ? std::nullopt
                                            : std::optional(rates[i].hits() / static_cast<double>(attacks)));
  }
  const bool any = all > 0;
  put(Figure::brier, any ? std::optional(gaps / static_cast<double>(all)) : std::nullopt);
  double error = 0;
  for (const auto& bin : bins) error += std::abs(bin.attacks - bin.scores);
  put(Figure::calibration_error,
      any && probabilities_ ? std::optional(error / static_cast<double>(all)) : std::nullopt);

  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  for (std::size_t cls = 0; cls < classes_; ++cls) {
    out[recall_of(cls)] = confusion.recall(cls).value_or(kNone);
    out[precision_of(cls)] = confusion.precision(cls).value_or(kNone);
    out[f1_of(cls)] = confusion.f1(cls).value_or(kNone);
  }
}

}  // namespace nidus::learn::internal
