#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "detect/manifest.h"

// What is known of ordinary rows, for the manifest: quantiles and histograms by column, and of the score.
namespace nidus::detect {

// Rows drawn evenly out of a stream of any length, and their scores: reservoir sampling (Vitter 1985,
// algorithm R). The same for the same stream and seed.
class RowSample {
 public:
  RowSample(std::size_t inputs, std::size_t rows_max, std::uint64_t seed)
      : inputs_(inputs), rows_max_(rows_max), random_(seed) {}

  void add(std::span<const float> row, double score);

  std::uint64_t seen() const { return seen_; }
  std::size_t rows() const { return scores_.size(); }
  std::span<const float> values() const { return values_; }  // row-major
  std::span<const double> scores() const { return scores_; }

 private:
  std::size_t inputs_, rows_max_;
  Random random_;
  std::uint64_t seen_ = 0;
  std::vector<float> values_;
  std::vector<double> scores_;
};

// The value below which a share of `level` of the values lies: that at floor(level (n - 1)) of them in order.
// `sorted` must ascend and not be empty.
double quantile_of(std::span<const float> sorted, double level);
double quantile_of(std::span<const double> sorted, double level);

// Into which place of a histogram a value falls that is no NaN. Categories are numbered from 0; shares.size()
// for a number that is none of them.
std::size_t place_of(const Manifest::Histogram& histogram, double value);

// Writes the reference and the baseline of the columns of `manifest`, whose schema must be there, in place of
// those it has: of the rows `which` of `values`, row-major; of none, there is none afterwards. `of` says
// which rows they are. Edges lie at the twentieths of the values, equal ones once.
void describe_rows(std::span<const float> values, std::span<const std::size_t> which, std::string of,
                   Manifest& manifest);

// The same of attack scores; those that are no numbers count as missing. After describe_rows().
void describe_scores(std::span<const double> scores, std::string of, Manifest& manifest);

// Which share of the rows of describe_rows() had no value, column by column; empty where that is not known.
std::vector<double> missing_shares(const Manifest& manifest);

}  // namespace nidus::detect
