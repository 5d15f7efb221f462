#include "model/preprocess.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "model/internal/model_stream.h"

namespace nidus::model {

float signed_log(float x) {
  const double wide = static_cast<double>(x);
  return static_cast<float>(std::copysign(std::log1p(std::abs(wide)), wide));
}

Result<Preprocessor> Preprocessor::make(std::vector<Step> steps) {
  if (steps.empty()) return Error{Errc::corrupt, "preprocessing of no columns"};
  std::size_t outputs = 0;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const Step& step = steps[i];
    const bool finite = std::isfinite(step.low) && std::isfinite(step.high) && std::isfinite(step.fill) &&
                        std::isfinite(step.shift) && std::isfinite(step.scale);
    if (!finite || step.low > step.high) {
      return Error{Errc::corrupt,
                   "preprocessing of column " + std::to_string(i) + ": numbers that make no sense"};
    }
    outputs += step.encode == Step::Encode::one_hot ? step.categories : 1;
    if (outputs > kOutputsMax) return Error{Errc::unsupported, "preprocessing yields too many columns"};
  }
  if (outputs == 0) return Error{Errc::corrupt, "preprocessing yields no columns"};
  return Preprocessor(std::move(steps), outputs);
}

void Preprocessor::apply(std::span<const float> rows, std::size_t count, std::span<float> out) const {
  CHECK(rows.size() >= count * inputs() && out.size() >= count * outputs_);
  const float* from = rows.data();
  float* to = out.data();
  for (std::size_t row = 0; row < count; ++row) {
    for (const Step& step : steps_) {
      float value = *from++;
      if (step.clip) {
        if (value < step.low) value = step.low;
        if (value > step.high) value = step.high;
      }
      if (step.fill_missing && value != value) value = step.fill;
      switch (step.encode) {
        case Step::Encode::scale:
          *to++ = (value - step.shift) * step.scale;
          break;
        case Step::Encode::log_scale:
          *to++ = (signed_log(value) - step.shift) * step.scale;
          break;
        case Step::Encode::one_hot:
          std::fill_n(to, step.categories, 0.0f);
          if (value >= 0 && value < static_cast<float>(step.categories))
            to[static_cast<std::size_t>(value)] = 1;
          to += step.categories;
          break;
      }
    }
  }
}

Result<Pipeline> Pipeline::make(Preprocessor before, std::shared_ptr<const Model> model) {
  CHECK(model != nullptr);
  if (model->inputs() != before.outputs()) {
    return Error{Errc::invalid, "preprocessing yields " + std::to_string(before.outputs()) +
                                    " columns, the model behind it takes " + std::to_string(model->inputs())};
  }
  return Pipeline(std::move(before), std::move(model));
}

Result<Pipeline> Pipeline::load(internal::FileReader& in, int nesting) {
  std::vector<Step> steps(in.count(26));
  for (auto& step : steps) {
    const auto flags = in.u8();
    const auto encode = in.u8();
    if (flags > 3 || encode > 2) return in.fail("a preprocessing step of an unknown kind");
    step.clip = (flags & 1) != 0;
    step.fill_missing = (flags & 2) != 0;
    step.encode = static_cast<Step::Encode>(encode);
    for (float* number : {&step.low, &step.high, &step.fill, &step.shift, &step.scale}) *number = in.f32();
    step.categories = in.u32();
  }
  if (!in.ok()) return in.error();
  auto before = Preprocessor::make(std::move(steps));
  if (!before) return in.fail(before.error().message);
  auto model = in.model(nesting + 1);
  if (!model) return std::move(model).error();
  return make(std::move(*before), std::move(*model));
}

void Pipeline::save(internal::FileWriter& out) const {
  out.tag(internal::ModelTag::pipeline);
  out.u32(static_cast<std::uint32_t>(before_.inputs()));
  for (const Step& step : before_.steps()) {
    out.u8(static_cast<std::uint8_t>((step.clip ? 1 : 0) | (step.fill_missing ? 2 : 0)));
    out.u8(static_cast<std::uint8_t>(step.encode));
    for (const float number : {step.low, step.high, step.fill, step.shift, step.scale}) out.f32(number);
    out.u32(step.categories);
  }
  model_->save(out);
}

void Pipeline::score(std::span<const float> rows, std::size_t count, std::span<double> scores) const {
  CHECK(rows.size() >= count * inputs() && scores.size() >= count * outputs());
  constexpr std::size_t kBlock = 64;
  std::vector<float> block(std::min(kBlock, count) * before_.outputs());
  for (std::size_t first = 0; first < count; first += kBlock) {
    const std::size_t some = std::min(kBlock, count - first);
    before_.apply(rows.subspan(first * inputs(), some * inputs()), some, block);
    model_->score(block, some, scores.subspan(first * outputs(), some * outputs()));
  }
}

std::string Pipeline::describe() const {
  std::size_t one_hot = 0;
  for (const Step& step : before_.steps()) one_hot += step.encode == Step::Encode::one_hot ? 1 : 0;
  return "preprocessing of " + std::to_string(inputs()) + " columns (" + std::to_string(one_hot) +
         " one-hot) before " + model_->describe();
}

}  // namespace nidus::model
