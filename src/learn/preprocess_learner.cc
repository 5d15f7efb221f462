#include "learn/preprocess_learner.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace nidus::learn {
namespace {

using model::Step;

// Clips so that what is scaled lies within ±reach.
void limit(Step& step, double reach) {
  const auto back = [&](double scaled) {
    const double x = scaled / static_cast<double>(step.scale) + static_cast<double>(step.shift);
    return step.encode == Step::Encode::log_scale ? std::copysign(std::expm1(std::abs(x)), x) : x;
  };
  const double low = back(-reach), high = back(reach);
  if (low > static_cast<double>(step.low)) step.low = std::min(static_cast<float>(low), step.high);
  if (high < static_cast<double>(step.high)) step.high = std::max(static_cast<float>(high), step.low);
}

// What so large a share of the numbers lies below.
double quantile(const std::vector<float>& sorted, double share) {
  return static_cast<double>(
      sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))]);
}

// The step of a numeric column from its finite values in the rows.
Step numeric_step(const Dataset& training, std::size_t input, const PreprocessOptions& options) {
  std::vector<float> finite;
  for (std::size_t row = 0; row < training.rows(); ++row) {
    if (std::isfinite(training.at(row, input))) finite.push_back(training.at(row, input));
  }
  Step step;
  if (finite.empty()) {
    // Nothing to learn from: everything becomes zero.
    step.clip = step.fill_missing = true;
    return step;
  }
  const auto [low_at, high_at] = std::minmax_element(finite.begin(), finite.end());
  const float low = *low_at, high = *high_at;
  step.clip = true;
  step.low = options.clip_to_range ? low : std::numeric_limits<float>::lowest();
  step.high = options.clip_to_range ? high : std::numeric_limits<float>::max();
  // An infinity stands for "more than anything seen", not for the largest float, which would swamp a scaler.
  if (options.scaling != PreprocessOptions::Scaling::none && !options.clip_to_range) {
    const float reach = std::max(std::abs(low), std::abs(high));
    step.low = std::max(step.low, -10 * std::max(reach, 1.0f));
    step.high = std::min(step.high, 10 * std::max(reach, 1.0f));
    if (!std::isfinite(step.low)) step.low = std::numeric_limits<float>::lowest();
    if (!std::isfinite(step.high)) step.high = std::numeric_limits<float>::max();
  }
  if (options.fill_missing) {
    auto sorted = finite;
    const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
    std::nth_element(sorted.begin(), middle, sorted.end());
    step.fill_missing = true;
    step.fill = *middle;
  }
  float lowest = low, highest = high;  // of what is scaled
  if (options.log) {
    step.encode = Step::Encode::log_scale;
    for (auto& value : finite) value = model::signed_log(value);
    lowest = model::signed_log(lowest);
    highest = model::signed_log(highest);
  }
  switch (options.scaling) {
    case PreprocessOptions::Scaling::none:
      break;
    case PreprocessOptions::Scaling::standard: {
      double sum = 0, squares = 0;
      for (const auto value : finite) sum += static_cast<double>(value);
      const double mean = sum / static_cast<double>(finite.size());
      for (const auto value : finite)
        squares += (static_cast<double>(value) - mean) * (static_cast<double>(value) - mean);
      const double deviation = std::sqrt(squares / static_cast<double>(finite.size()));
      step.shift = static_cast<float>(mean);
      step.scale = deviation > 0 ? static_cast<float>(1 / deviation) : 1.0f;
      break;
    }
    case PreprocessOptions::Scaling::robust: {
      std::sort(finite.begin(), finite.end());
      double width = quantile(finite, 0.75) - quantile(finite, 0.25);
      if (!(width > 0)) width = quantile(finite, 0.95) - quantile(finite, 0.05);
      if (!(width > 0)) width = static_cast<double>(highest) - static_cast<double>(lowest);
      step.shift = static_cast<float>(quantile(finite, 0.5));
      step.scale = width > 0 ? static_cast<float>(1 / width) : 1.0f;
      break;
    }
    case PreprocessOptions::Scaling::min_max:
      step.shift = lowest;
      step.scale = highest > lowest
                       ? static_cast<float>(1 / (static_cast<double>(highest) - static_cast<double>(lowest)))
                       : 1.0f;
      break;
  }
  if (!std::isfinite(step.scale)) step.scale = 1;
  if (options.reach > 0) limit(step, options.reach);
  return step;
}

}  // namespace

Result<model::Preprocessor> learn_preprocessor(const Dataset& training, const PreprocessOptions& options) {
  if (training.rows() == 0) return Error{Errc::invalid, "no rows to learn from"};
  std::vector<Step> steps;
  for (std::size_t input = 0; input < training.inputs(); ++input) {
    const model::Column& column = training.schema[input];
    if (column.kind == model::Column::Kind::numeric) {
      steps.push_back(numeric_step(training, input, options));
      continue;
    }
    Step step;
    if (options.one_hot) {
      step.encode = Step::Encode::one_hot;
      step.categories = static_cast<std::uint32_t>(column.vocabulary.size());
    }
    steps.push_back(step);
  }
  return model::Preprocessor::make(std::move(steps));
}

Dataset preprocess(const model::Preprocessor& before, const Dataset& dataset) {
  Dataset out;
  out.classes = dataset.classes;
  out.labels = dataset.labels;
  out.weights = dataset.weights;
  for (std::size_t input = 0; input < dataset.inputs(); ++input) {
    const model::Column& column = dataset.schema[input];
    if (before.steps()[input].encode != Step::Encode::one_hot) {
      out.schema.push_back(column);
      continue;
    }
    for (const auto& text : column.vocabulary) {
      model::Column indicator;
      indicator.name = column.name + "=" + text;
      out.schema.push_back(std::move(indicator));
    }
  }
  out.values.resize(dataset.rows() * before.outputs());
  before.apply(dataset.values, dataset.rows(), out.values);
  return out;
}

}  // namespace nidus::learn
