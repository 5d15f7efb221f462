#include "model/readout.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "model/internal/model_stream.h"

namespace nidus::model {

Result<Readout> Readout::make(std::shared_ptr<const Model> model, std::vector<std::uint32_t> order) {
  CHECK(model != nullptr);
  const std::size_t outputs = model->outputs(), classes = outputs == 1 ? 2 : outputs;
  auto sorted = order;
  std::sort(sorted.begin(), sorted.end());
  bool each_once = sorted.size() == classes;
  for (std::size_t i = 0; each_once && i < classes; ++i) each_once = sorted[i] == i;
  if (!each_once) return Error{Errc::invalid, "an order of classes in which not each is there once"};
  const Scale scale = model->scale();
  if (order[0] != 0 && scale != Scale::probability && scale != Scale::margin)
    return Error{Errc::invalid, "how unusual a row is cannot be turned round"};
  return Readout(std::move(model), std::move(order));
}

Result<Readout> Readout::load(internal::FileReader& in, int nesting) {
  std::vector<std::uint32_t> order(in.count(4));
  for (auto& cls : order) cls = in.u32();
  auto model = in.model(nesting + 1);
  if (!model) return std::move(model).error();
  auto made = make(std::move(*model), std::move(order));
  if (!made) return in.fail(made.error().message);
  return made;
}

void Readout::save(internal::FileWriter& out) const {
  out.tag(internal::ModelTag::readout);
  out.u32(static_cast<std::uint32_t>(order_.size()));
  for (const auto cls : order_) out.u32(cls);
  model_->save(out);
}

Scale Readout::scale() const {
  return model_->scale() == Scale::margin ? Scale::probability : model_->scale();
}

void Readout::read(std::size_t count, std::span<double> scores) const {
  const std::size_t width = outputs();
  const bool margins = model_->scale() == Scale::margin;
  if (width == 1) {
    for (double& score : scores.first(count)) {
      if (margins) score = 1 / (1 + std::exp(-score));
      if (order_[0] == 1) score = 1 - score;
    }
    return;
  }
  std::vector<double> row(width);
  for (std::size_t i = 0; i < count; ++i) {
    const auto at = scores.subspan(i * width, width);
    std::copy(at.begin(), at.end(), row.begin());
    if (margins) {
      const double highest = *std::max_element(row.begin(), row.end());
      double sum = 0;
      for (double& score : row) sum += score = std::exp(score - highest);
      for (double& score : row) score /= sum;
    }
    for (std::size_t k = 0; k < width; ++k) at[k] = row[order_[k]];
  }
}

void Readout::score(std::span<const float> rows, std::size_t count, std::span<double> scores) const {
  model_->score(rows, count, scores);
  read(count, scores);
}

void Readout::score_wide(std::span<const double> rows, std::size_t count, std::span<double> scores) const {
  model_->score_wide(rows, count, scores);
  read(count, scores);
}

}  // namespace nidus::model
