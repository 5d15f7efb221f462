#include "detect/drift.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/text.h"
#include "detect/baseline.h"

namespace nidus::detect {
namespace {

constexpr double kMoved = 0.1, kDrifted = 0.25;
constexpr std::uint64_t kRowsLeast = 100;
constexpr double kUnknownMoved = 0.01;

// The 99th percentile of chi-squared (Wilson and Hilferty 1931).
double chi_squared_99(double freedom) {
  const double part = 2 / (9 * freedom);
  const double root = 1 - part + 2.3263478740408408 * std::sqrt(part);
  return freedom * root * root * root;
}

// The shares of a histogram, that of the missing last.
std::vector<double> shares_of(const Manifest::Histogram& histogram) {
  std::vector<double> out = histogram.shares;
  out.push_back(histogram.missing);
  return out;
}

double psi(std::span<const double> then, double rows_then, std::span<const double> now, double rows) {
  const double places = static_cast<double>(then.size());
  double sum = 0;
  for (std::size_t i = 0; i < then.size(); ++i) {
    const double p = (then[i] * rows_then + 0.5) / (rows_then + 0.5 * places);
    const double q = (now[i] * rows + 0.5) / (rows + 0.5 * places);
    sum += (q - p) * std::log(q / p);
  }
  return sum;
}

double jensen_shannon(std::span<const double> then, std::span<const double> now) {
  double bits = 0;
  for (std::size_t i = 0; i < then.size(); ++i) {
    const double middle = (then[i] + now[i]) / 2;
    if (then[i] > 0) bits += then[i] / 2 * std::log2(then[i] / middle);
    if (now[i] > 0) bits += now[i] / 2 * std::log2(now[i] / middle);
  }
  return std::sqrt(std::clamp(bits, 0.0, 1.0));
}

// The area between two functions of the level over the middle 98 %, by trapezoids.
template <class Height>
double area(std::span<const double> levels, const Height& height) {
  constexpr double kLow = 0.01, kHigh = 0.99, kSlack = 1e-9;
  double sum = 0;
  for (std::size_t i = 1; i < levels.size(); ++i) {
    if (levels[i - 1] < kLow - kSlack || levels[i] > kHigh + kSlack) continue;
    sum += (levels[i] - levels[i - 1]) * (height(i - 1) + height(i)) / 2;
  }
  return sum;
}

std::optional<double> wasserstein(std::span<const double> levels, std::span<const double> then,
                                  std::span<const double> now) {
  if (then.size() != levels.size() || now.size() != levels.size()) return std::nullopt;
  const auto half = std::find_if(levels.begin(), levels.end(), [](double level) { return level >= 0.5; });
  if (half == levels.end()) return std::nullopt;
  const double median = then[static_cast<std::size_t>(half - levels.begin())];
  const double spread = area(levels, [&](std::size_t i) { return std::abs(then[i] - median); });
  const double moved = area(levels, [&](std::size_t i) { return std::abs(then[i] - now[i]); });
  if (!(spread > 0) || !std::isfinite(spread) || !std::isfinite(moved)) return std::nullopt;
  return moved / spread;
}

// Of a detector that has quantiles only: as if the values lay as the levels do.
Manifest::Histogram histogram_of_quantiles(std::span<const double> levels,
                                           std::span<const double> quantiles) {
  Manifest::Histogram out;
  double before = 0;
  for (std::size_t i = 0; i < quantiles.size(); ++i) {
    if (levels[i] <= 0 || levels[i] >= 1 || !(quantiles[i] == quantiles[i])) continue;
    if (!out.edges.empty() && quantiles[i] <= out.edges.back()) {
      out.shares.back() += levels[i] - std::exchange(before, levels[i]);
      continue;
    }
    out.edges.push_back(quantiles[i]);
    out.shares.push_back(levels[i] - std::exchange(before, levels[i]));
  }
  out.shares.push_back(1 - before);
  return out;
}

// What is known of one column, or of the score, from before.
struct Then {
  const Manifest::Histogram* histogram;
  std::span<const double> levels, quantiles;
  std::uint64_t rows;
};

// Fills in everything but name and unknown. `values` are sorted here; NaN are missing.
template <class Number>
void compare(const Then& then, bool category, std::vector<Number>& values, ColumnDrift& out) {
  const double rows = static_cast<double>(values.size());
  const Manifest::Histogram& was = *then.histogram;
  Manifest::Histogram is;
  std::vector<std::size_t> counts(was.shares.size() + 1);
  std::vector<Number> sorted;
  for (const Number value : values) {
    if (value != value) {
      ++counts.back();
      continue;
    }
    ++counts[place_of(was, static_cast<double>(value))];
    if (!category) sorted.push_back(value);
  }
  std::vector<double> now;
  for (const std::size_t count : counts) now.push_back(static_cast<double>(count) / rows);
  const std::vector<double> before = shares_of(was);
  out.missing_then = was.missing;
  out.missing = now.back();
  if (values.size() < kRowsLeast) {
    out.verdict = Drift::few;
  } else {
    const double rows_then = static_cast<double>(then.rows);
    const auto places = static_cast<double>(before.size());
    out.psi = psi(before, rows_then, now, rows);
    out.psi_by_chance = chi_squared_99(std::max(1.0, places - 1)) * (1 / rows + 1 / rows_then);
    out.jensen_shannon = jensen_shannon(before, now);
    const bool chance = *out.psi <= out.psi_by_chance;
    out.verdict = chance || *out.psi < kMoved ? Drift::stable
                  : *out.psi < kDrifted       ? Drift::moved
                                              : Drift::drifted;
  }
  if (category || sorted.empty() || then.quantiles.empty()) return;
  std::sort(sorted.begin(), sorted.end());
  std::vector<double> quantiles;
  for (const double level : then.levels)
    quantiles.push_back(quantile_of(std::span<const Number>(sorted), level));
  if (out.psi) out.wasserstein = wasserstein(then.levels, then.quantiles, quantiles);
  const auto half = std::find_if(then.levels.begin(), then.levels.end(), [](double l) { return l >= 0.5; });
  if (half != then.levels.end() && then.quantiles.size() == then.levels.size()) {
    const auto at = static_cast<std::size_t>(half - then.levels.begin());
    out.median_then = then.quantiles[at];
    out.median = quantiles[at];
  }
  if (then.levels.front() <= 0 && then.levels.back() >= 1) {
    const auto least = then.quantiles.front(), greatest = then.quantiles.back();
    const auto beyond = std::count_if(sorted.begin(), sorted.end(), [&](Number value) {
      return static_cast<double>(value) < least || static_cast<double>(value) > greatest;
    });
    out.outside = static_cast<double>(beyond) / rows;
  }
}

Drift of_all(const DriftReport& report) {
  if (report.rows < kRowsLeast) return Drift::few;
  std::size_t compared = 0, drifted = 0, moved = 0;
  for (const auto& column : report.columns) {
    if (column.verdict == Drift::none) continue;
    ++compared;
    if (column.verdict == Drift::drifted) ++drifted;
    if (column.verdict >= Drift::moved) ++moved;
  }
  const Drift score = report.score.verdict;
  if (compared == 0 && score == Drift::none) return Drift::none;
  if (score == Drift::drifted || (drifted > 0 && drifted * 3 >= compared)) return Drift::drifted;
  if (score == Drift::moved || (moved > 0 && moved * 10 >= compared)) return Drift::moved;
  return Drift::stable;
}

void judge_alarms(const Manifest& manifest, std::span<const double> scores, DriftReport& report) {
  if (manifest.threshold.rule != Manifest::Threshold::Rule::line || scores.empty()) return;
  const auto alarms = std::count_if(scores.begin(), scores.end(),
                                    [&](double score) { return score >= manifest.threshold.value; });
  report.alarm_share = static_cast<double>(alarms) / static_cast<double>(scores.size());
  report.wanted_rate = manifest.threshold.wanted_rate;
}

// Each score is the chance that its row is an attack, if it is a probability.
void expect_figures(const Manifest& manifest, std::span<const double> scores, DriftReport& report) {
  if (manifest.calibration.method.empty() || !report.alarm_share) return;
  double attacks = 0, found = 0, right = 0, judged = 0, alarms = 0;
  for (const double score : scores) {
    if (score != score) continue;
    const double chance = std::clamp(score, 0.0, 1.0);
    const bool alarm = score >= manifest.threshold.value;
    judged += 1;
    attacks += chance;
    right += alarm ? chance : 1 - chance;
    if (alarm) found += chance;
    if (alarm) alarms += 1;
  }
  if (judged == 0) return;
  report.expected = ExpectedFigures{attacks / judged, right / judged, std::nullopt, std::nullopt};
  if (alarms > 0) report.expected->precision = found / alarms;
  if (attacks > 0) report.expected->recall = found / attacks;
}

}  // namespace

std::string_view name(Drift drift) {
  switch (drift) {
    case Drift::none:
      return "nothing to compare";
    case Drift::few:
      return "too few rows";
    case Drift::stable:
      return "stable";
    case Drift::moved:
      return "moved";
    case Drift::drifted:
      return "drifted";
  }
  return "";
}

std::size_t DriftReport::count(Drift drift) const {
  return static_cast<std::size_t>(std::count_if(columns.begin(), columns.end(),
                                                [&](const auto& column) { return column.verdict == drift; }));
}

Result<DriftReport> measure_drift(const Manifest& manifest, const Observed& observed) {
  const std::size_t inputs = manifest.schema.size(), rows = observed.scores.size();
  const Manifest::Baseline& baseline = manifest.baseline;
  if (observed.values.size() != rows * inputs ||
      (!observed.unknown.empty() && observed.unknown.size() != inputs))
    return Error{Errc::invalid, "values, scores and columns do not fit each other"};
  const bool has_quantiles = manifest.reference.size() == inputs && manifest.reference_levels.size() >= 2;
  if (baseline.rows == 0 && !has_quantiles) {
    return Error{Errc::unsupported, fmt::format("detector {} does not say what ordinary rows look like; "
                                                "'nidus calibrate' makes one that does, of rows of yours",
                                                manifest.name)};
  }
  DriftReport out;
  out.rows = rows;
  out.seen = observed.seen != 0 ? observed.seen : rows;
  out.then = baseline.rows != 0 ? baseline.of : "benign rows learnt from";
  out.rows_then = baseline.rows;
  if (out.rows_then == 0) {
    const auto learnt = manifest.trained_on.rows.find(manifest.labels.front());
    out.rows_then = learnt == manifest.trained_on.rows.end() ? 0 : learnt->second;
    if (out.rows_then == 0) out.rows_then = 1000;  // not told; only the part of chance depends on it
  }
  std::vector<float> values(rows);
  for (std::size_t input = 0; input < inputs; ++input) {
    ColumnDrift& column = out.columns.emplace_back();
    column.name = manifest.schema[input].name;
    if (!observed.unknown.empty()) column.unknown = observed.unknown[input];
    for (std::size_t row = 0; row < rows; ++row) values[row] = observed.values[row * inputs + input];
    const bool category = manifest.schema[input].kind == model::Column::Kind::categorical;
    Then then{nullptr, manifest.reference_levels, {}, out.rows_then};
    if (has_quantiles && manifest.reference[input].size() == then.levels.size())
      then.quantiles = manifest.reference[input];
    Manifest::Histogram coarse;
    if (baseline.rows != 0) {
      then.histogram = &baseline.columns[input];
    } else if (!then.quantiles.empty()) {
      coarse = histogram_of_quantiles(then.levels, then.quantiles);
      then.histogram = &coarse;
    }
    if (rows != 0 && then.histogram != nullptr && !then.histogram->shares.empty())
      compare(then, category, values, column);
    // Texts that are new can be told without knowing how often each was there.
    if (rows >= kRowsLeast && column.unknown >= kUnknownMoved && column.verdict < Drift::moved)
      column.verdict = Drift::moved;
  }
  out.score.name = "score";
  if (baseline.scores != 0 && rows != 0) {
    std::vector<double> scores(observed.scores.begin(), observed.scores.end());
    compare({&baseline.score, manifest.reference_levels, baseline.score_quantiles, baseline.scores}, false,
            scores, out.score);
  }
  judge_alarms(manifest, observed.scores, out);
  expect_figures(manifest, observed.scores, out);
  out.verdict = of_all(out);
  return out;
}

}  // namespace nidus::detect
