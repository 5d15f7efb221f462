#include "interop/internal/onnx_network.h"

#include <algorithm>
#include <utility>

namespace nidus::interop::internal::onnx {
namespace {

using model::Activation;
namespace layer = model::layer;

// One node behind the layers that are there already.
class LayerAppender {
 public:
  LayerAppender(const Model& model, LayerChain& chain) : model_(model), chain_(chain) {}

  // False if it is none of those that are known here, or does something more.
  bool append(const Node& node) {
    if (node.domain == "ai.onnx.ml" && node.op == "Scaler") return scale(node);
    if (!node.domain.empty() || node.outputs.empty()) return false;
    if (node.op == "Gemm") return gemm(node);
    if (node.op == "MatMul") return product(node, 1, false, 1);
    if (node.op == "Add") return add(node);
    if (node.op == "BatchNormalization") return batch_norm(node);
    if (node.op == "LayerNormalization") return layer_norm(node);
    if (node.op == "Identity" || node.op == "Dropout") return true;
    if (node.op == "Cast") return node.integer("to", 0) == static_cast<std::int64_t>(Element::f32);
    if (node.op == "Flatten") return node.integer("axis", 1) == 1;
    if (node.op == "Reshape") return reshape(node);
    return function(node);
  }

 private:
  const Tensor* known(const Node& node, std::size_t input) const {
    if (input >= node.inputs.size()) return nullptr;
    const auto found = model_.initializers.find(node.inputs[input]);
    const bool good = found != model_.initializers.end() && found->second.element == Element::f32;
    return good ? &found->second : nullptr;
  }

  // A number for each channel, given as one for all or one for each.
  std::optional<std::vector<double>> by_channel(const Tensor* tensor, double factor) const {
    if (tensor == nullptr || tensor->dims.size() > 2) return {};
    if (tensor->dims.size() == 2 && tensor->dims[0] != 1) return {};
    std::vector<double> out = tensor->values;
    if (out.size() == 1) out.resize(chain_.outputs, out[0]);
    if (out.size() != chain_.outputs) return {};
    for (double& value : out) value *= factor;
    return out;
  }

  bool product(const Node& node, std::size_t weights, bool turned, double factor) {
    const Tensor* const w = known(node, weights);
    if (w == nullptr || w->dims.size() != 2 || w->dims[turned ? 1 : 0] < 0) return false;
    const auto inputs = static_cast<std::size_t>(w->dims[turned ? 1 : 0]),
               units = static_cast<std::size_t>(w->dims[turned ? 0 : 1]);
    if (inputs != chain_.outputs || units == 0 || w->values.size() != inputs * units) return false;
    layer::Dense dense;
    dense.inputs = inputs;
    dense.units = units;
    dense.kernel.resize(inputs * units);
    for (std::size_t i = 0; i < inputs; ++i) {
      for (std::size_t k = 0; k < units; ++k)
        dense.kernel[i * units + k] = w->values[turned ? k * inputs + i : i * units + k] * factor;
    }
    chain_.layers.emplace_back(std::move(dense));
    chain_.outputs = units;
    return true;
  }

  bool gemm(const Node& node) {
    const auto alpha = static_cast<double>(node.number("alpha", 1)),
               beta = static_cast<double>(node.number("beta", 1));
    if (node.integer("transA", 0) != 0 || !product(node, 1, node.integer("transB", 0) != 0, alpha))
      return false;
    if (node.inputs.size() < 3 || node.inputs[2].empty()) return true;
    auto bias = by_channel(known(node, 2), beta);
    if (!bias) return false;
    std::get<layer::Dense>(chain_.layers.back()).bias = std::move(*bias);
    return true;
  }

  bool add(const Node& node) {
    if (node.inputs.size() != 2) return false;
    const Tensor* const first = known(node, 0);
    auto by = by_channel(first != nullptr ? first : known(node, 1), 1);
    if (!by) return false;
    if (!chain_.layers.empty()) {
      auto* const dense = std::get_if<layer::Dense>(&chain_.layers.back());
      if (dense != nullptr && dense->bias.empty()) {
        dense->bias = std::move(*by);
        return true;
      }
    }
    layer::Normalise shift;
    shift.mean.assign(chain_.outputs, 0.0);
    shift.scale.assign(chain_.outputs, 1.0);
    shift.shift = std::move(*by);
    chain_.layers.emplace_back(std::move(shift));
    return true;
  }

  bool batch_norm(const Node& node) {
    if (node.integer("training_mode", 0) != 0 || node.integer("spatial", 1) != 1) return false;
    std::vector<std::vector<double>> of(4);
    for (std::size_t i = 0; i < of.size(); ++i) {
      auto some = by_channel(known(node, i + 1), 1);
      if (!some) return false;
      of[i] = std::move(*some);
    }
    chain_.layers.emplace_back(model::layer::Normalise(
        model::batch_norm(of[0], of[1], of[2], of[3], static_cast<double>(node.number("epsilon", 1e-5f)))));
    return true;
  }

  bool layer_norm(const Node& node) {
    const auto axis = node.integer("axis", -1);
    auto gamma = by_channel(known(node, 1), 1);
    if ((axis != -1 && axis != 1) || !gamma) return false;
    layer::LayerNorm norm;
    norm.epsilon = static_cast<double>(node.number("epsilon", 1e-5f));
    norm.gamma = std::move(*gamma);
    norm.beta.assign(chain_.outputs, 0.0);
    if (node.inputs.size() > 2 && !node.inputs[2].empty()) {
      auto beta = by_channel(known(node, 2), 1);
      if (!beta) return false;
      norm.beta = std::move(*beta);
    }
    chain_.layers.emplace_back(std::move(norm));
    return true;
  }

  bool scale(const Node& node) {
    layer::Normalise out;
    out.mean = node.numbers("offset");
    out.scale = node.numbers("scale");
    for (auto* const numbers : {&out.mean, &out.scale}) {
      if (numbers->size() == 1) numbers->resize(chain_.outputs, numbers->front());
      if (numbers->size() != chain_.outputs) return false;
    }
    out.shift.assign(chain_.outputs, 0.0);
    chain_.layers.emplace_back(std::move(out));
    return true;
  }

  // Rows as they are: [-1, columns] or [0, columns].
  bool reshape(const Node& node) const {
    if (node.inputs.size() != 2 || node.integer("allowzero", 0) != 0) return false;
    const auto found = model_.initializers.find(node.inputs[1]);
    if (found == model_.initializers.end() || found->second.values.size() != 2) return false;
    const auto& to = found->second.values;
    return (to[0] == -1 || to[0] == 0) && to[1] == static_cast<double>(chain_.outputs);
  }

  bool function(const Node& node) {
    using Kind = Activation::Kind;
    std::optional<Activation> out;
    const auto number = [&](std::string_view name, float otherwise) {
      return static_cast<double>(node.number(name, otherwise));
    };
    if (node.op == "Relu") out = Activation::relu();
    if (node.op == "LeakyRelu") out = Activation::relu(number("alpha", 0.01f));
    if (node.op == "Elu") out = Activation::elu(number("alpha", 1));
    if (node.op == "Selu" && node.attributes.empty()) out = Activation::of(Kind::selu);
    if (node.op == "Sigmoid") out = Activation::of(Kind::sigmoid);
    if (node.op == "Tanh") out = Activation::of(Kind::tanh);
    if (node.op == "Softplus") out = Activation::of(Kind::softplus);
    if (node.op == "Softsign") out = Activation::of(Kind::softsign);
    if (node.op == "HardSigmoid") out = Activation::hard_sigmoid(number("alpha", 0.2f), number("beta", 0.5f));
    if (node.op == "Softmax") {
      const auto axis = node.integer("axis", -1);
      if (axis != -1 && axis != 1) return false;
      out = Activation::of(Kind::softmax);
    }
    if (!out) return false;
    chain_.layers.emplace_back(layer::Activate{*out});
    return true;
  }

  const Model& model_;
  LayerChain& chain_;
};

}  // namespace

std::optional<LayerChain> find_layers(const Model& model, std::string_view value) {
  constexpr std::size_t kLongest = 1000;
  if (model.inputs.size() != 1 || model.inputs[0].element != Element::f32 || model.inputs[0].dims.size() != 2)
    return {};
  std::vector<const Node*> nodes;
  while (value != model.inputs[0].name) {
    const auto maker = std::find_if(model.nodes.begin(), model.nodes.end(), [&](const Node& node) {
      return !node.outputs.empty() && node.outputs[0] == value;
    });
    if (maker == model.nodes.end() || maker->inputs.empty() || nodes.size() > kLongest) return {};
    nodes.push_back(&*maker);
    const bool from_second = maker->op == "Add" && model.initializers.contains(maker->inputs[0]);
    if (from_second && maker->inputs.size() < 2) return {};
    value = maker->inputs[from_second ? 1 : 0];
  }
  std::reverse(nodes.begin(), nodes.end());
  // As many columns as the first product takes.
  LayerChain chain;
  for (const Node* node : nodes) {
    if (node->op != "Gemm" && node->op != "MatMul") continue;
    const auto weights =
        node->inputs.size() < 2 ? model.initializers.end() : model.initializers.find(node->inputs[1]);
    if (weights == model.initializers.end() || weights->second.dims.size() != 2) return {};
    const auto inputs = weights->second.dims[node->op == "Gemm" && node->integer("transB", 0) != 0 ? 1 : 0];
    chain.inputs = chain.outputs = inputs < 0 ? 0 : static_cast<std::size_t>(inputs);
    break;
  }
  if (chain.inputs == 0) return {};
  LayerAppender appender(model, chain);
  for (const Node* node : nodes) {
    if (!appender.append(*node)) return {};
  }
  return chain;
}

}  // namespace nidus::interop::internal::onnx
