#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/model.h"

namespace nidus::model {

// The scores of a model read in our terms, for models of other programs: to them benign is any class, to us
// the first; and what lies on which side of a line, and how far, becomes a number in [0, 1] (the logistic
// function of the margin, or the softmax of several), which is not calibrated but keeps the order of rows and
// the class of each.
class Readout final : public Model {
 public:
  // Class i of the whole is class order[i] of the model. With two classes and one score a row, the order {1,
  // 0} makes one minus the score. Errc::invalid unless each class is there once, and for turning round scores
  // that are neither probabilities nor margins.
  static Result<Readout> make(std::shared_ptr<const Model> model, std::vector<std::uint32_t> order);
  static Result<Readout> load(internal::FileReader& in, int nesting);

  std::size_t inputs() const override { return model_->inputs(); }
  std::size_t outputs() const override { return model_->outputs(); }
  Scale scale() const override;
  void score(std::span<const float> rows, std::size_t count, std::span<double> scores) const override;
  bool is_wide() const override { return model_->is_wide(); }
  void score_wide(std::span<const double> rows, std::size_t count, std::span<double> scores) const override;
  std::string describe() const override { return model_->describe(); }
  void save(internal::FileWriter& out) const override;

  const Model& model() const { return *model_; }
  std::span<const std::uint32_t> order() const { return order_; }

 private:
  Readout(std::shared_ptr<const Model> model, std::vector<std::uint32_t> order)
      : model_(std::move(model)), order_(std::move(order)) {}
  void read(std::size_t count, std::span<double> scores) const;

  std::shared_ptr<const Model> model_;
  std::vector<std::uint32_t> order_;
};

}  // namespace nidus::model
