#include "detect/baseline.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"

namespace nidus::detect {
namespace {

constexpr int kPlaces = 20;

template <class Number>
double at_level(std::span<const Number> sorted, double level) {
  CHECK(!sorted.empty());
  return static_cast<double>(
      sorted[static_cast<std::size_t>(level * static_cast<double>(sorted.size() - 1))]);
}

// Of values in order, none of them NaN, among `rows` rows.
template <class Number>
Manifest::Histogram histogram_of(std::span<const Number> sorted, std::size_t rows) {
  Manifest::Histogram out;
  for (int i = 1; i < kPlaces && !sorted.empty(); ++i) {
    const double edge = at_level(sorted, static_cast<double>(i) / kPlaces);
    if (out.edges.empty() || edge > out.edges.back()) out.edges.push_back(edge);
  }
  const double all = static_cast<double>(rows);
  auto from = sorted.begin();
  for (const double edge : out.edges) {
    const auto to = std::upper_bound(from, sorted.end(), edge,
                                     [](double a, Number b) { return a < static_cast<double>(b); });
    out.shares.push_back(static_cast<double>(to - from) / all);
    from = to;
  }
  out.shares.push_back(static_cast<double>(sorted.end() - from) / all);
  out.missing = static_cast<double>(rows - sorted.size()) / all;
  return out;
}

template <class Number>
std::vector<double> quantiles_of(std::span<const Number> sorted, std::span<const double> levels) {
  std::vector<double> out;
  for (const double level : levels) {
    if (!sorted.empty()) out.push_back(at_level(sorted, level));
  }
  return out;
}

Manifest::Histogram categories_of(std::span<const float> codes, std::size_t texts) {
  Manifest::Histogram out;
  std::vector<std::size_t> counts(texts + 1);
  for (const float code : codes) {
    const bool known = code >= 0 && code < static_cast<float>(texts);
    ++counts[known ? static_cast<std::size_t>(code) : texts];
  }
  const double all = static_cast<double>(codes.size());
  for (std::size_t i = 0; i < texts; ++i) out.shares.push_back(static_cast<double>(counts[i]) / all);
  out.missing = static_cast<double>(counts[texts]) / all;
  return out;
}

}  // namespace

void RowSample::add(std::span<const float> row, double score) {
  CHECK(row.size() == inputs_);
  ++seen_;
  if (scores_.size() < rows_max_) {
    values_.insert(values_.end(), row.begin(), row.end());
    scores_.push_back(score);
    return;
  }
  const std::uint64_t place = random_.below(seen_);
  if (place >= rows_max_) return;
  std::copy(row.begin(), row.end(), values_.begin() + static_cast<std::ptrdiff_t>(place * inputs_));
  scores_[place] = score;
}

double quantile_of(std::span<const float> sorted, double level) { return at_level(sorted, level); }
double quantile_of(std::span<const double> sorted, double level) { return at_level(sorted, level); }

std::size_t place_of(const Manifest::Histogram& histogram, double value) {
  if (histogram.edges.empty() && histogram.shares.size() != 1) {
    const auto texts = static_cast<double>(histogram.shares.size());
    return value >= 0 && value < texts ? static_cast<std::size_t>(value) : histogram.shares.size();
  }
  return static_cast<std::size_t>(std::lower_bound(histogram.edges.begin(), histogram.edges.end(), value) -
                                  histogram.edges.begin());
}

void describe_rows(std::span<const float> from, std::span<const std::size_t> which, std::string of,
                   Manifest& manifest) {
  const std::size_t inputs = manifest.schema.size(), count = which.size();
  CHECK(inputs != 0);
  manifest.reference_levels = {0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1};
  manifest.reference.assign(inputs, {});
  manifest.baseline = {};
  if (count == 0) return;
  manifest.baseline.of = std::move(of);
  manifest.baseline.rows = count;
  std::vector<float> values;
  for (std::size_t input = 0; input < inputs; ++input) {
    values.clear();
    const model::Column& column = manifest.schema[input];
    const bool category = column.kind == model::Column::Kind::categorical;
    for (const std::size_t row : which) {
      const float value = from[row * inputs + input];
      if (category || !std::isnan(value)) values.push_back(value);
    }
    if (category) {
      manifest.baseline.columns.push_back(categories_of(values, column.vocabulary.size()));
      continue;
    }
    std::sort(values.begin(), values.end());
    manifest.reference[input] = quantiles_of(std::span<const float>(values), manifest.reference_levels);
    manifest.baseline.columns.push_back(histogram_of(std::span<const float>(values), count));
  }
}

std::vector<double> missing_shares(const Manifest& manifest) {
  std::vector<double> out;
  for (const auto& column : manifest.baseline.columns) out.push_back(column.missing);
  return out;
}

void describe_scores(std::span<const double> scores, std::string of, Manifest& manifest) {
  std::vector<double> sorted;
  std::copy_if(scores.begin(), scores.end(), std::back_inserter(sorted), [](double x) { return x == x; });
  if (sorted.empty()) return;
  std::sort(sorted.begin(), sorted.end());
  auto& baseline = manifest.baseline;
  baseline.scores_of = std::move(of);
  baseline.scores = scores.size();
  baseline.score = histogram_of(std::span<const double>(sorted), scores.size());
  baseline.score_quantiles = quantiles_of(std::span<const double>(sorted), manifest.reference_levels);
}

}  // namespace nidus::detect
