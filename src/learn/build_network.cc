#include "learn/internal/build_network.h"

#include <cmath>

#include "base/random.h"

namespace nidus::learn::internal {
namespace {

using model::Activation;
using model::Shape;
namespace layer = model::layer;

constexpr std::size_t kWeightsMax = std::size_t{1} << 26;  // of one matrix

std::vector<double> drawn(Random& random, std::size_t count, double reach) {
  std::vector<double> out(count);
  for (double& value : out) value = (random.unit() * 2 - 1) * reach;
  return out;
}

// What stands behind a layer, normalisation and dropout left out.
const Activation* activation_behind(const std::vector<LearningLayer>& layers, std::size_t at) {
  for (std::size_t i = at + 1; i < layers.size(); ++i) {
    if (!std::holds_alternative<model::Layer>(layers[i])) continue;
    const auto* const found = std::get_if<layer::Activate>(&std::get<model::Layer>(layers[i]));
    return found != nullptr ? &found->function : nullptr;
  }
  return nullptr;
}

// Half the width of the even distribution that weights are drawn from.
double reach_of(const Activation* behind, double inputs, double outputs) {
  const bool rectifies =
      behind != nullptr && (behind->kind == Activation::Kind::relu || behind->kind == Activation::Kind::elu);
  return rectifies ? std::sqrt(6 / inputs) : std::sqrt(6 / (inputs + outputs));
}

struct Completer {
  const std::vector<LearningLayer>& all;
  std::size_t at;
  Shape in;
  Random& random;
  std::string fault;  // what cannot be trained

  bool fits(std::size_t rows, std::size_t columns) {
    if (columns > 0 && rows <= kWeightsMax / columns) return true;
    fault = columns == 0 ? "a layer without outputs" : "a matrix of more than 67,108,864 weights";
    return false;
  }

  void operator()(layer::Dense& l) {
    if (l.inputs == 0) l.inputs = in.channels;
    if (!l.kernel.empty() || !fits(l.inputs, l.units)) return;
    const auto inputs = static_cast<double>(l.inputs), outputs = static_cast<double>(l.units);
    l.kernel = drawn(random, l.inputs * l.units, reach_of(activation_behind(all, at), inputs, outputs));
  }
  void operator()(layer::Conv1d& l) {
    if (l.groups != 1) fault = "a convolution in groups";
    if (l.inputs == 0) l.inputs = in.channels;
    if (!l.kernel.empty() || l.size > kWeightsMax || !fits(l.inputs * l.size, l.filters)) return;
    const auto inputs = static_cast<double>(l.inputs * l.size),
               outputs = static_cast<double>(l.filters * l.size);
    l.kernel =
        drawn(random, l.size * l.inputs * l.filters, reach_of(activation_behind(all, at), inputs, outputs));
  }
  void operator()(layer::Activate& l) {
    TrainedActivation kind{};
    if (!learns(l.function, kind)) fault = "an activation other than ReLU, ELU, tanh and the sigmoid";
  }
  void operator()(layer::Pool&) {}
  void operator()(layer::GlobalPool&) {}
  void operator()(layer::Reshape& l) {
    if (l.to.steps == 0 || l.to.channels == 0) l.to = {1, in.size()};
    if (l.to.steps != 1) fault = "a shape of several steps";
  }
  void operator()(layer::Recurrence& l) {
    if (!l.forward || l.backward || l.forward->kind != layer::Cell::Kind::lstm ||
        l.forward->activation != Activation::of(Activation::Kind::tanh) ||
        l.forward->gate != Activation::of(Activation::Kind::sigmoid) || !l.forward->recurrent_bias.empty()) {
      fault = "a recurrence other than an LSTM forward";
      return;
    }
    layer::Cell& cell = *l.forward;
    if (cell.inputs == 0) cell.inputs = in.channels;
    if (!cell.kernel.empty() || cell.units > kWeightsMax || !fits(cell.inputs + cell.units, 4 * cell.units))
      return;
    const auto inputs = static_cast<double>(cell.inputs), units = static_cast<double>(cell.units);
    cell.kernel = drawn(random, cell.inputs * 4 * cell.units, std::sqrt(6 / (inputs + units)));
    cell.recurrent = drawn(random, cell.units * 4 * cell.units, 1 / std::sqrt(units));
    // It begins by remembering (Jozefowicz et al., 2015).
    cell.bias.assign(4 * cell.units, 0.0);
    for (std::size_t i = 0; i < cell.units; ++i) cell.bias[cell.units + i] = 1;
  }
  template <class Other>
  void operator()(Other&) {
    fault = "a layer of its kind";
  }
};

}  // namespace

bool learns(const Activation& given, TrainedActivation& kind) {
  switch (given.kind) {
    case Activation::Kind::relu:
      kind = TrainedActivation::relu;
      return given == Activation::relu(given.a) && given.a >= 0;
    case Activation::Kind::elu:
      kind = TrainedActivation::elu;
      return given.a > 0;
    case Activation::Kind::tanh:
      kind = TrainedActivation::tanh;
      return true;
    case Activation::Kind::sigmoid:
      kind = TrainedActivation::sigmoid;
      return true;
    case Activation::Kind::linear:
    case Activation::Kind::selu:
    case Activation::Kind::gelu:
    case Activation::Kind::gelu_tanh:
    case Activation::Kind::silu:
    case Activation::Kind::softplus:
    case Activation::Kind::softsign:
    case Activation::Kind::hard_sigmoid:
    case Activation::Kind::softmax:
    case Activation::Kind::clip:
    case Activation::Kind::exponential:
    case Activation::Kind::mish:
      return false;
  }
  return false;
}

Result<void> complete(std::vector<LearningLayer>& layers, Shape input, std::uint64_t seed) {
  if (layers.empty()) return Error{Errc::invalid, "a network without layers"};
  // What may lie between two layers, by which the memory of a batch is bounded.
  constexpr std::size_t kNumbersMax = 65536;
  if (input.size() == 0 || input.size() > kNumbersMax)
    return Error{Errc::unsupported, "a network learns from rows of 1 to 65,536 numbers"};
  Shape shape = input;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const auto noun = "layer " + std::to_string(i) + ": ";
    if (const auto* const dropout = std::get_if<Dropout>(&layers[i])) {
      if (!(dropout->rate >= 0 && dropout->rate < 1))
        return Error{Errc::invalid, noun + "the rate of dropout lies between 0 and 1"};
      continue;
    }
    if (const auto* const norm = std::get_if<BatchNorm>(&layers[i])) {
      if (!(norm->epsilon > 0 && norm->momentum > 0 && norm->momentum <= 1))
        return Error{Errc::invalid,
                     noun + "batch normalisation with an epsilon or momentum that makes no sense"};
      continue;
    }
    auto& given = std::get<model::Layer>(layers[i]);
    Random random(Random::mix(seed) + Random::mix(i + 1));
    Completer completer{layers, i, shape, random, {}};
    std::visit(completer, given);
    if (!completer.fault.empty())
      return Error{Errc::unsupported, noun + completer.fault + " cannot be trained"};
    const auto after = model::shape_after(given, shape);
    if (!after) return Error{after.error().code, noun + after.error().message};
    if (after->size() > kNumbersMax)
      return Error{Errc::unsupported, noun + "more than 65,536 numbers come out"};
    shape = *after;
  }
  return {};
}

}  // namespace nidus::learn::internal
