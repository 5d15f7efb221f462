#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "model/array.h"
#include "model/model.h"
#include "model/shares.h"

// How far a row lies from the benign rows that were learnt from. What scales columns and fills in what is
// missing stands in front, in a Pipeline; a row with a NaN has no score.
namespace nidus::model {

// The squared Mahalanobis distance d' P d, where d is the row minus the mean, each column held within its
// reach, so that no value alone swamps the others, and P the inverse of the covariance. Computed in double;
// what rounding leaves below 0 is 0.
class Mahalanobis final : public Model, public ColumnShares {
 public:
  static constexpr std::size_t kInputsMax = 2048;
  struct Parts {
    std::vector<double> mean, reach;
    Array<double> precision;  // P, row-major, of which the lower triangle with the diagonal is looked at
  };

  // Errc::corrupt for lengths that do not fit, a reach below 0, or numbers beyond 1e100.
  static Result<Mahalanobis> make(Parts parts);
  static Result<Mahalanobis> load(internal::FileReader& in);

  std::size_t inputs() const override { return parts_.mean.size(); }
  std::size_t outputs() const override { return 1; }
  Scale scale() const override { return Scale::error; }
  void score(std::span<const float> rows, std::size_t count, std::span<double> scores) const override;
  std::string describe() const override;
  void save(internal::FileWriter& out) const override;

  // Of column i: d[i] × (P d)[i]. Below zero where a value makes others less odd.
  void shares(std::span<const float> rows, std::size_t count, std::span<double> out) const override;
  void shares(std::span<const double> rows, std::size_t count, std::span<double> out) const override;

 private:
  explicit Mahalanobis(Parts parts) : parts_(std::move(parts)) {}
  Parts parts_;
};

// The Euclidean distance to the k-th nearest of a sample of rows, which is looked through from one end to the
// other. Computed in float, squares added up in the order of the columns.
class Neighbours final : public Model, public ColumnShares {
 public:
  struct Parts {
    std::size_t inputs = 0;
    std::uint32_t nearest = 5;  // k, at least 1 and at most the sample
    Array<float> sample;        // row-major
  };

  // Errc::corrupt for lengths that do not fit, a k that is none, or numbers beyond 1e15.
  static Result<Neighbours> make(Parts parts);
  static Result<Neighbours> load(internal::FileReader& in);

  std::size_t inputs() const override { return parts_.inputs; }
  std::size_t outputs() const override { return 1; }
  Scale scale() const override { return Scale::error; }
  void score(std::span<const float> rows, std::size_t count, std::span<double> scores) const override;
  std::string describe() const override;
  void save(internal::FileWriter& out) const override;

  // Of column i: its part of the squared distance to that neighbour, divided by the distance.
  void shares(std::span<const float> rows, std::size_t count, std::span<double> out) const override;
  void shares(std::span<const double> rows, std::size_t count, std::span<double> out) const override;

  const Parts& parts() const { return parts_; }

 private:
  explicit Neighbours(Parts parts) : parts_(std::move(parts)) {}
  struct Found;
  void find(std::span<const float> rows, std::size_t count, std::span<Found> found) const;
  Parts parts_;
};

}  // namespace nidus::model
