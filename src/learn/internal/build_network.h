#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "learn/internal/trained_network.h"
#include "learn/internal/trained_sequences.h"
#include "learn/network_trainer.h"

// From what is asked for to what learns.
namespace nidus::learn::internal {

// Fills in what the layers leave open: inputs, and weights drawn by the seed. Errc::unsupported or corrupt
// names the layer that cannot be trained.
Result<void> complete(std::vector<LearningLayer>& layers, model::Shape input, std::uint64_t seed);

// How an activation learns, if it does.
bool learns(const model::Activation& given, TrainedActivation& kind);

// The layers were completed.
template <class T>
std::vector<std::unique_ptr<TrainedLayer<T>>> make_layers(const std::vector<LearningLayer>& layers,
                                                          model::Shape shape) {
  std::vector<std::unique_ptr<TrainedLayer<T>>> out;
  bool rectified = false;  // the last layer is a ReLU, which dropout behind it leaves as it was
  const auto add = [&](std::unique_ptr<TrainedLayer<T>> layer, model::Shape after, bool is_dropout = false) {
    if (layer->in_place() && !out.empty() && out.back()->needs_output() && !(rectified && is_dropout)) {
      auto copy = std::make_unique<TrainedCopy<T>>();
      copy->in = copy->out = shape;
      out.push_back(std::move(copy));
    }
    layer->in = shape;
    layer->out = after;
    out.push_back(std::move(layer));
    shape = after;
  };
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const LearningLayer& given = layers[i];
    const bool bias_learns = i + 1 == layers.size() || !std::holds_alternative<BatchNorm>(layers[i + 1]);
    if (const auto* const norm = std::get_if<BatchNorm>(&given)) {
      add(std::make_unique<TrainedBatchNorm<T>>(shape.channels, norm->epsilon, norm->momentum,
                                                TrainedNetwork<T>::kSlices),
          shape);
    } else if (const auto* const dropout = std::get_if<Dropout>(&given)) {
      add(std::make_unique<TrainedDropout<T>>(dropout->rate, out.size()), shape, true);
    } else {
      const model::Layer& layer = std::get<model::Layer>(given);
      const model::Shape after = *model::shape_after(layer, shape);
      if (const auto* const dense = std::get_if<model::layer::Dense>(&layer)) {
        add(std::make_unique<TrainedDense<T>>(*dense, bias_learns), after);
      } else if (const auto* const conv = std::get_if<model::layer::Conv1d>(&layer)) {
        add(std::make_unique<TrainedConv1d<T>>(*conv, bias_learns), after);
      } else if (const auto* const activate = std::get_if<model::layer::Activate>(&layer)) {
        TrainedActivation kind{};
        learns(activate->function, kind);
        add(std::make_unique<TrainedActivate<T>>(activate->function, kind), after);
        rectified = activate->function == model::Activation::relu();
        continue;
      } else if (const auto* const pool = std::get_if<model::layer::Pool>(&layer)) {
        add(std::make_unique<TrainedPool<T>>(*pool, layer), after);
      } else if (const auto* const global = std::get_if<model::layer::GlobalPool>(&layer)) {
        model::layer::Pool whole;
        whole.kind = global->kind;
        whole.size = whole.stride = shape.steps;
        add(std::make_unique<TrainedPool<T>>(whole, layer), after);
      } else if (std::holds_alternative<model::layer::Reshape>(layer)) {
        add(std::make_unique<TrainedFlatten<T>>(), after);
      } else if (const auto* const recurrence = std::get_if<model::layer::Recurrence>(&layer)) {
        add(std::make_unique<TrainedLstm<T>>(*recurrence->forward, recurrence->sequences), after);
      }
    }
    rectified = rectified && std::holds_alternative<Dropout>(given);
  }
  return out;
}

// What a row's loss is and its gradient, divided by the weights of the whole batch.
struct LossOf {
  NetworkOptions::Goal goal = NetworkOptions::Goal::label;
  std::size_t outputs = 1;
  double weight_of_batch = 1;

  // The loss of one row, which weighs `weight`; `dy` is set unless it is null.
  template <class T>
  double operator()(const T* y, const T* target, std::uint32_t label, double weight, T* dy) const {
    const double part = weight / weight_of_batch;
    if (goal == NetworkOptions::Goal::reconstruction) {
      double sum = 0;
      const double n = static_cast<double>(outputs);
      const T slope = static_cast<T>(2 * part / n);
      for (std::size_t i = 0; i < outputs; ++i) {
        const T off = y[i] - target[i];
        sum += static_cast<double>(off) * static_cast<double>(off);
        if (dy != nullptr) dy[i] = slope * off;
      }
      return weight * sum / n;
    }
    if (outputs == 1) {  // z = log p / (1 - p)
      const double z = static_cast<double>(y[0]), truth = label == 0 ? 0 : 1;
      if (dy != nullptr) dy[0] = static_cast<T>(part * (1 / (1 + std::exp(-z)) - truth));
      return weight * (std::max(z, 0.0) - z * truth + std::log1p(std::exp(-std::abs(z))));
    }
    double most = static_cast<double>(y[0]), sum = 0;
    for (std::size_t i = 1; i < outputs; ++i) most = std::max(most, static_cast<double>(y[i]));
    for (std::size_t i = 0; i < outputs; ++i) sum += std::exp(static_cast<double>(y[i]) - most);
    for (std::size_t i = 0; dy != nullptr && i < outputs; ++i)
      dy[i] =
          static_cast<T>(part * (std::exp(static_cast<double>(y[i]) - most) / sum - (i == label ? 1 : 0)));
    return weight * (most + std::log(sum) - static_cast<double>(y[label]));
  }
};

}  // namespace nidus::learn::internal
