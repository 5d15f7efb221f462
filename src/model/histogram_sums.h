#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "model/model.h"
#include "model/shares.h"

namespace nidus::model {

// How rare the values of a row are, column by column, added up: the histogram-based outlier score of
// Goldstein and Dengel (2012), in which a column adds minus the logarithm of the share of benign rows in the
// bin of its value. Columns are taken as independent. Rows are raw: a category is its index, what is missing
// has a bin of its own, and so has what lies beyond the range that was seen.
class HistogramSums final : public Model, public ColumnShares {
 public:
  static constexpr std::size_t kBinsMax = 65536;  // of a column
  struct Histogram {
    // A value lies in the bin i of values when edges[i - 1] <= value < edges[i]; ascending.
    std::vector<double> edges;
    std::vector<double> values;  // what each bin adds, one more than edges
    double missing = 0;
  };

  // Errc::corrupt for no columns, lengths that do not fit, edges that do not ascend, values below 0 or beyond
  // 1e100.
  static Result<HistogramSums> make(std::vector<Histogram> columns);
  static Result<HistogramSums> load(internal::FileReader& in);

  std::size_t inputs() const override { return columns_.size(); }
  std::size_t outputs() const override { return 1; }
  Scale scale() const override { return Scale::error; }
  void score(std::span<const float> rows, std::size_t count, std::span<double> scores) const override;
  std::string describe() const override;
  void save(internal::FileWriter& out) const override;

  void shares(std::span<const float> rows, std::size_t count, std::span<double> out) const override;
  void shares(std::span<const double> rows, std::size_t count, std::span<double> out) const override;

 private:
  explicit HistogramSums(std::vector<Histogram> columns) : columns_(std::move(columns)) {}
  std::vector<Histogram> columns_;
};

}  // namespace nidus::model
