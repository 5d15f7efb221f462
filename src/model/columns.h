#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "model/transform.h"

// Transforms that choose, fill, encode and mix columns, as scikit-learn's do. All are doubles.
namespace nidus::model {

// One output column out of one input column: numbers that are in `from` become what stands at the same place
// of `to`, missing ones become `missing`, all others stay or become `other`.
struct Recoding {
  std::uint32_t input = 0;
  std::vector<double> from, to;  // ascending, no NaN; of one length
  bool keep_missing = true, keep_other = true;
  double missing = 0, other = 0;

  static Recoding copy(std::uint32_t input) { return {input, {}, {}, true, true, 0, 0}; }
};
// Errc::corrupt for an input that is not there or numbers in the wrong order.
Result<std::shared_ptr<const Transform>> make_recodings(std::size_t inputs, std::vector<Recoding> columns);

// The outputs of all, one behind the other, of the same row. Errc::invalid unless they take the same.
Result<std::shared_ptr<const Transform>> side_by_side(std::vector<std::shared_ptr<const Transform>> parts);

// Output i is the sum over j of (x[j] - mean[j]) × matrix[i][j], then divided by scale[i] unless that is
// empty: principal components.
struct Linear {
  std::vector<double> mean, matrix, scale;  // the matrix row-major, outputs × inputs
};
Result<std::shared_ptr<const Transform>> make_linear(Linear linear);

// Every row divided by its norm: the sum of absolutes, the root of the sum of squares, the largest absolute.
// Rows whose norm is 0 or below `least` stay.
enum class RowNorm : std::uint8_t { l1, l2, max };
Result<std::shared_ptr<const Transform>> make_unit_rows(std::size_t columns, RowNorm norm, double least = 0);

// Yeo and Johnson (2000), or Box and Cox (1964), whose numbers must be positive and else become NaN.
struct Power {
  bool box_cox = false;
  std::vector<double> lambdas;
};
Result<std::shared_ptr<const Transform>> make_power(Power power);

// The place of a number among the quantiles of its column, from 0 to 1, between two of them by straight
// lines; or the number of which the normal distribution has so much below it, held within the 1e-7 at either
// end.
struct Quantiles {
  std::size_t columns = 0;
  std::vector<double> shares;     // of the quantiles, ascending from 0 to 1
  std::vector<double> quantiles;  // column × shares.size(), each column ascending
  bool normal = false;
};
Result<std::shared_ptr<const Transform>> make_quantiles(Quantiles quantiles);

}  // namespace nidus::model
