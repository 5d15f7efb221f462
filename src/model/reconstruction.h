#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "model/model.h"
#include "model/shares.h"

namespace nidus::model {

// How badly a model that was trained to say its input again does so: the score of an autoencoder. Over the
// columns, the mean of the squared or absolute differences between what goes in and what comes out, computed
// in double and added up in the order of the columns. The input is the row as the inner model gets it, so a
// scaler stands in front of this model, in a TransformedModel.
class Reconstruction final : public Model, public ColumnShares {
 public:
  enum class Measure : std::uint8_t { squared, absolute };

  // Errc::invalid unless the model says as many numbers as it is told, and at most 65,536.
  static Result<Reconstruction> make(std::shared_ptr<const Model> inner, Measure measure);
  static Result<Reconstruction> load(internal::FileReader& in, int nesting);

  std::size_t inputs() const override { return inner_->inputs(); }
  std::size_t outputs() const override { return 1; }
  Scale scale() const override { return Scale::error; }
  void score(std::span<const float> rows, std::size_t count, std::span<double> scores) const override;
  bool is_wide() const override { return inner_->is_wide(); }
  void score_wide(std::span<const double> rows, std::size_t count, std::span<double> scores) const override;
  std::string describe() const override;
  void save(internal::FileWriter& out) const override;

  // None below 0.
  void shares(std::span<const float> rows, std::size_t count, std::span<double> out) const override;
  void shares(std::span<const double> rows, std::size_t count, std::span<double> out) const override;

  const Model& inner() const { return *inner_; }
  Measure measure() const { return measure_; }

 private:
  Reconstruction(std::shared_ptr<const Model> inner, Measure measure)
      : inner_(std::move(inner)), measure_(measure) {}
  std::shared_ptr<const Model> inner_;
  Measure measure_;
};

}  // namespace nidus::model
