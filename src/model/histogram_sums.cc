#include "model/histogram_sums.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/text.h"
#include "model/internal/model_stream.h"

namespace nidus::model {
namespace {

constexpr std::size_t kHistogramsMax = 65536;
constexpr double kShareMax = 1e100;

double share_of(const HistogramSums::Histogram& column, double value) {
  if (std::isnan(value)) return column.missing;
  const auto bin = std::upper_bound(column.edges.begin(), column.edges.end(), value) - column.edges.begin();
  return column.values[static_cast<std::size_t>(bin)];
}

template <class Number>
void histogram_shares(const std::vector<HistogramSums::Histogram>& columns, std::span<const Number> rows,
                      std::size_t count, std::span<double> out) {
  const std::size_t inputs = columns.size();
  CHECK(rows.size() >= count * inputs && out.size() >= count * inputs);
  for (std::size_t i = 0; i < count * inputs; ++i)
    out[i] = share_of(columns[i % inputs], static_cast<double>(rows[i]));
}

}  // namespace

Result<HistogramSums> HistogramSums::make(std::vector<Histogram> columns) {
  if (columns.empty() || columns.size() > kHistogramsMax)
    return Error{Errc::corrupt, "histograms of " + std::to_string(columns.size()) + " columns"};
  const auto fine = [](double value) { return value >= 0 && value <= kShareMax; };
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const Histogram& column = columns[i];
    const bool ascend = std::adjacent_find(column.edges.begin(), column.edges.end(),
                                           std::greater_equal<>()) == column.edges.end();
    if (column.values.size() != column.edges.size() + 1 || column.values.size() > kBinsMax || !ascend ||
        !internal::all_finite(column.edges) || !fine(column.missing) ||
        !std::all_of(column.values.begin(), column.values.end(), fine))
      return Error{Errc::corrupt, "the histogram of column " + std::to_string(i) + " is none"};
  }
  return HistogramSums(std::move(columns));
}

Result<HistogramSums> HistogramSums::load(internal::FileReader& in) {
  std::vector<Histogram> columns(in.count(16));
  for (Histogram& column : columns) {
    column.missing = in.f64();
    column.edges = in.reals();
    column.values = in.reals();
  }
  if (!in.ok()) return in.error();
  auto made = make(std::move(columns));
  if (!made) return in.fail(made.error().message);
  return made;
}

void HistogramSums::save(internal::FileWriter& out) const {
  out.tag(internal::ModelTag::histogram_sums);
  out.u32(static_cast<std::uint32_t>(columns_.size()));
  for (const Histogram& column : columns_) {
    out.f64(column.missing);
    out.reals(column.edges);
    out.reals(column.values);
  }
}

void HistogramSums::score(std::span<const float> rows, std::size_t count, std::span<double> scores) const {
  const std::size_t inputs = columns_.size();
  CHECK(rows.size() >= count * inputs && scores.size() >= count);
  for (std::size_t row = 0; row < count; ++row) {
    const float* const values = rows.data() + row * inputs;
    double sum = 0;
    for (std::size_t i = 0; i < inputs; ++i) sum += share_of(columns_[i], static_cast<double>(values[i]));
    scores[row] = sum;
  }
}

void HistogramSums::shares(std::span<const float> rows, std::size_t count, std::span<double> out) const {
  histogram_shares(columns_, rows, count, out);
}
void HistogramSums::shares(std::span<const double> rows, std::size_t count, std::span<double> out) const {
  // As floats, which is what score() sees.
  std::vector<float> rounded(rows.size());
  std::transform(rows.begin(), rows.end(), rounded.begin(), [](double x) { return static_cast<float>(x); });
  histogram_shares(columns_, std::span<const float>(rounded), count, out);
}

std::string HistogramSums::describe() const {
  std::size_t bins = 0;
  for (const Histogram& column : columns_) bins += column.values.size();
  return "sums of histograms: " + with_thousands(bins) + " bins, " + std::to_string(inputs()) + " inputs";
}

}  // namespace nidus::model
