#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>
#include <variant>

#include "interop/internal/onnx_emitter.h"

namespace nidus::interop::internal::onnx {
namespace {

using model::Activation;
using model::Shape;
namespace layer = model::layer;
using Kind = Activation::Kind;
using Ints = std::vector<std::int64_t>;

Error refused(const std::string& what) { return {Errc::unsupported, "ONNX has no word here for: " + what}; }

std::int64_t whole(std::size_t number) { return static_cast<std::int64_t>(number); }
float single(double number) { return static_cast<float>(number); }

// Rows of steps × channels: [rows, channels] where there is one step, else [rows, steps, channels].
class NetworkWriter {
 public:
  NetworkWriter(Emitter& out, std::string x, Shape shape) : out_(out), x_(std::move(x)), shape_(shape) {
    if (shape_.steps != 1) deep();
  }

  Result<void> add(const model::Layer& each) {
    return std::visit([this](const auto& one) { return layer_of(one); }, each);
  }

  std::string finish() {
    flat();
    return x_;
  }

 private:
  void reshape(Ints dims) { x_ = out_.node("Reshape", {x_, out_.integers(dims)}); }
  // Both ways of seeing a shape; `is_deep_` says which x_ has.
  void deep() {
    if (!is_deep_) reshape({-1, whole(shape_.steps), whole(shape_.channels)});
    is_deep_ = true;
  }
  void flat() {
    if (is_deep_) reshape({-1, whole(shape_.size())});
    is_deep_ = false;
  }
  void turn() {
    const Ints order = {0, 2, 1};
    x_ = out_.node("Transpose", {x_}, {Attr::integers("perm", order)});
  }
  std::string row(const std::vector<double>& values) {
    const Ints dims = {whole(values.size())};
    return out_.floats(std::span<const double>(values), dims);
  }
  void now(Shape shape) {
    shape_ = shape;
    if (shape_.steps == 1 && is_deep_) flat();
  }

  Result<void> layer_of(const layer::Dense& dense) {
    const Ints dims = {whole(dense.inputs), whole(dense.units)};
    x_ = out_.node("MatMul", {x_, out_.floats(std::span<const double>(dense.kernel), dims)});
    if (!dense.bias.empty()) x_ = out_.binary("Add", x_, row(dense.bias));
    shape_.channels = dense.units;
    return {};
  }

  Result<void> layer_of(const layer::Normalise& n) {
    x_ = out_.binary("Sub", x_, row(n.mean));
    x_ = out_.binary("Mul", x_, row(n.scale));
    x_ = out_.binary("Add", x_, row(n.shift));
    return {};
  }

  Result<void> layer_of(const layer::LayerNorm& n) {
    const Ints last = {-1};
    const auto mean = [&](const std::string& x) {
      return out_.node("ReduceMean", {x}, {Attr::integers("axes", last), Attr::integer("keepdims", 1)});
    };
    const auto centred = out_.binary("Sub", x_, mean(x_));
    const auto spread = mean(out_.binary("Mul", centred, centred));
    x_ = out_.binary("Div", centred,
                     out_.unary("Sqrt", out_.binary("Add", spread, out_.number(single(n.epsilon)))));
    if (!n.gamma.empty()) x_ = out_.binary("Mul", x_, row(n.gamma));
    if (!n.beta.empty()) x_ = out_.binary("Add", x_, row(n.beta));
    return {};
  }

  Result<void> layer_of(const layer::Activate& activate) {
    const Activation& f = activate.function;
    const auto number = [&](double value) { return out_.number(single(value)); };
    const auto times_gate = [&](const std::string& gate) { x_ = out_.binary("Mul", x_, gate); };
    switch (f.kind) {
      case Kind::linear:
        return {};
      case Kind::relu:
        relu(f);
        return {};
      case Kind::elu:
        x_ = out_.node("Elu", {x_}, {Attr::number("alpha", single(f.a))});
        return {};
      case Kind::selu:
        x_ = out_.unary("Selu", x_);
        return {};
      case Kind::gelu: {
        const auto half = out_.binary("Mul", x_, number(0.5));
        const auto erf = out_.unary("Erf", out_.binary("Mul", x_, number(std::sqrt(0.5))));
        x_ = out_.binary("Mul", half, out_.binary("Add", erf, number(1)));
        return {};
      }
      case Kind::gelu_tanh: {
        const auto cube = out_.binary("Mul", x_, out_.binary("Mul", x_, x_));
        auto inner = out_.binary("Add", x_, out_.binary("Mul", cube, number(0.044715)));
        inner = out_.unary("Tanh", out_.binary("Mul", inner, number(std::sqrt(2 / M_PI))));
        x_ = out_.binary("Mul", out_.binary("Mul", x_, number(0.5)), out_.binary("Add", inner, number(1)));
        return {};
      }
      case Kind::silu:
        times_gate(out_.unary("Sigmoid", x_));
        return {};
      case Kind::mish:
        times_gate(out_.unary("Tanh", out_.unary("Softplus", x_)));
        return {};
      case Kind::softplus:
        x_ = out_.unary("Softplus", x_);
        return {};
      case Kind::softsign:
        x_ = out_.unary("Softsign", x_);
        return {};
      case Kind::tanh:
        x_ = out_.unary("Tanh", x_);
        return {};
      case Kind::sigmoid:
        x_ = out_.unary("Sigmoid", x_);
        return {};
      case Kind::exponential:
        x_ = out_.unary("Exp", x_);
        return {};
      case Kind::hard_sigmoid:
        x_ = out_.node("HardSigmoid", {x_},
                       {Attr::number("alpha", single(f.a)), Attr::number("beta", single(f.b))});
        return {};
      case Kind::softmax:
        x_ = out_.node("Softmax", {x_}, {Attr::integer("axis", -1)});
        return {};
      case Kind::clip:
        x_ = out_.node("Clip", {x_, number(f.a), number(f.b)});
        return {};
    }
    return refused("an activation");
  }

  // x >= b: b; x >= c: x; else a (x - c).
  void relu(const Activation& f) {
    const auto number = [&](double value) { return out_.number(single(value)); };
    if (f.a == 0 && f.c == 0) {
      x_ = out_.unary("Relu", x_);
    } else if (f.c == 0) {
      x_ = out_.node("LeakyRelu", {x_}, {Attr::number("alpha", single(f.a))});
    } else {
      const auto below = out_.binary("Mul", out_.binary("Sub", x_, number(f.c)), number(f.a));
      x_ = out_.where(out_.binary("Less", x_, number(f.c)), below, x_);
    }
    if (std::isfinite(f.b)) x_ = out_.where(out_.binary("Greater", x_, number(f.b)), number(f.b), x_);
  }

  Result<void> layer_of(const layer::Prelu& prelu) {
    Ints dims = {whole(prelu.slopes.size())};
    if (prelu.slopes.size() == shape_.size() && shape_.steps > 1)
      dims = {whole(shape_.steps), whole(shape_.channels)};
    x_ = out_.node("PRelu", {x_, out_.floats(std::span<const double>(prelu.slopes), dims)});
    return {};
  }

  Result<void> layer_of(const layer::Conv1d& conv) {
    const std::size_t each = conv.inputs / conv.groups;
    std::vector<double> kernel(conv.kernel.size());
    for (std::size_t tap = 0; tap < conv.size; ++tap) {
      for (std::size_t c = 0; c < each; ++c) {
        for (std::size_t f = 0; f < conv.filters; ++f)
          kernel[(f * each + c) * conv.size + tap] = conv.kernel[(tap * each + c) * conv.filters + f];
      }
    }
    deep();
    turn();
    const Ints dims = {whole(conv.filters), whole(each), whole(conv.size)}, strides = {whole(conv.stride)},
               dilations = {whole(conv.dilation)}, pads = {whole(conv.pad_before), whole(conv.pad_after)},
               size = {whole(conv.size)};
    std::vector<std::string> inputs = {x_, out_.floats(std::span<const double>(kernel), dims)};
    if (!conv.bias.empty()) inputs.push_back(row(conv.bias));
    x_ = out_.node("Conv", inputs,
                   {Attr::integers("kernel_shape", size), Attr::integers("strides", strides),
                    Attr::integers("dilations", dilations), Attr::integers("pads", pads),
                    Attr::integer("group", whole(conv.groups))});
    turn();
    const std::size_t reach = (conv.size - 1) * conv.dilation + 1;
    now({(shape_.steps + conv.pad_before + conv.pad_after - reach) / conv.stride + 1, conv.filters});
    return {};
  }

  Result<void> layer_of(const layer::Pool& pool) {
    deep();
    turn();
    const Ints size = {whole(pool.size)}, strides = {whole(pool.stride)},
               pads = {whole(pool.pad_before), whole(pool.pad_after)};
    std::vector<Attr> attributes = {Attr::integers("kernel_shape", size), Attr::integers("strides", strides),
                                    Attr::integers("pads", pads)};
    const bool average = pool.kind == layer::Pool::Kind::average;
    if (average)
      attributes.push_back(Attr::integer("count_include_pad", pool.average_counts_padding ? 1 : 0));
    x_ = out_.node(average ? "AveragePool" : "MaxPool", {x_}, attributes);
    turn();
    now({(shape_.steps + pool.pad_before + pool.pad_after - pool.size) / pool.stride + 1, shape_.channels});
    return {};
  }

  Result<void> layer_of(const layer::GlobalPool& pool) {
    if (shape_.steps == 1) return {};
    const Ints axis = {1};
    x_ = out_.node(pool.kind == layer::Pool::Kind::average ? "ReduceMean" : "ReduceMax", {x_},
                   {Attr::integers("axes", axis), Attr::integer("keepdims", 1)});
    now({1, shape_.channels});
    return {};
  }

  Result<void> layer_of(const layer::Reshape& to) {
    flat();
    shape_ = to.to;
    if (shape_.steps != 1) deep();
    return {};
  }

  Result<void> layer_of(const layer::Transpose&) {
    deep();
    turn();
    now({shape_.channels, shape_.steps});
    return {};
  }

  Result<void> layer_of(const layer::Repeat& repeat) {
    deep();
    if (repeat.each) {  // each step a matrix of its own, whose rows are repeated
      const Ints apart = {-1, whole(shape_.steps), 1, whole(shape_.channels)},
                 times = {1, 1, whole(repeat.times), 1},
                 together = {-1, whole(shape_.steps * repeat.times), whole(shape_.channels)};
      reshape(apart);
      x_ = out_.node("Tile", {x_, out_.integers(times)});
      reshape(together);
    } else {
      const Ints times = {1, whole(repeat.times), 1};
      x_ = out_.node("Tile", {x_, out_.integers(times)});
    }
    now({shape_.steps * repeat.times, shape_.channels});
    return {};
  }

  Result<void> layer_of(const layer::Slice& slice) {
    deep();
    const Ints from = {whole(slice.first_step), whole(slice.first_channel)},
               to = {whole(slice.first_step + slice.steps), whole(slice.first_channel + slice.channels)},
               axes = {1, 2};
    x_ = out_.node("Slice", {x_, out_.integers(from), out_.integers(to), out_.integers(axes)});
    now({slice.steps, slice.channels});
    return {};
  }

  // The name and parameters of an activation inside a cell.
  static bool cell_function(const Activation& f, std::string_view& name, float& alpha, float& beta) {
    alpha = beta = 0;
    switch (f.kind) {
      case Kind::sigmoid:
        name = "Sigmoid";
        return true;
      case Kind::tanh:
        name = "Tanh";
        return true;
      case Kind::relu:
        name = "Relu";
        return f == Activation::relu();
      case Kind::hard_sigmoid:
        name = "HardSigmoid";
        alpha = single(f.a);
        beta = single(f.b);
        return true;
      default:
        return false;
    }
  }

  // Columns of gates × units become rows, gate by gate in the order of ONNX.
  static std::vector<double> gates(const std::vector<double>& matrix, std::size_t rows,
                                   const layer::Cell& cell) {
    static constexpr std::array<std::size_t, 4> kLstm = {0, 3, 1, 2};  // i, o, f, c of i, f, g, o
    const std::size_t all = cell.gates() * cell.units;
    std::vector<double> out(rows * all, 0);
    if (matrix.empty()) return out;
    for (std::size_t g = 0; g < cell.gates(); ++g) {
      const std::size_t from = cell.kind == layer::Cell::Kind::lstm ? kLstm[g] : g;
      for (std::size_t u = 0; u < cell.units; ++u) {
        for (std::size_t r = 0; r < rows; ++r)
          out[(g * cell.units + u) * rows + r] = matrix[r * all + from * cell.units + u];
      }
    }
    return out;
  }

  // [steps, rows, channels] through one cell: what it says at each step, [rows, steps, units], or at the end,
  // [rows, units].
  Result<std::string> cell_of(const std::string& x, const layer::Cell& cell, bool backward, bool sequences) {
    std::string_view gate, function;
    float alpha[2], beta[2];
    if (!cell_function(cell.gate, gate, alpha[0], beta[0]) ||
        !cell_function(cell.activation, function, alpha[1], beta[1]))
      return refused("an activation inside a recurrent layer");
    const bool lstm = cell.kind == layer::Cell::Kind::lstm, simple = cell.kind == layer::Cell::Kind::simple;
    const std::size_t all = cell.gates() * cell.units;
    std::vector<double> bias = gates(cell.bias, 1, cell), second = gates(cell.recurrent_bias, 1, cell);
    bias.insert(bias.end(), second.begin(), second.end());
    const Ints w = {1, whole(all), whole(cell.inputs)}, r = {1, whole(all), whole(cell.units)},
               b = {1, whole(2 * all)};
    std::vector<std::string_view> functions;
    std::vector<float> alphas, betas;
    const auto with = [&](std::string_view name, int which) {
      functions.push_back(name);
      alphas.push_back(alpha[which]);
      betas.push_back(beta[which]);
    };
    if (!simple) with(gate, 0);
    with(function, 1);
    if (lstm) with(function, 1);
    std::vector<Attr> attributes = {Attr::integer("hidden_size", whole(cell.units)),
                                    Attr::text("direction", backward ? "reverse" : "forward"),
                                    Attr::texts("activations", functions)};
    if (std::any_of(alphas.begin(), alphas.end(), [](float value) { return value != 0; })) {
      attributes.push_back(Attr::numbers("activation_alpha", alphas));
      attributes.push_back(Attr::numbers("activation_beta", betas));
    }
    if (cell.kind == layer::Cell::Kind::gru_reset_after)
      attributes.push_back(Attr::integer("linear_before_reset", 1));
    const auto kernel = gates(cell.kernel, cell.inputs, cell),
               recurrent = gates(cell.recurrent, cell.units, cell);
    const auto outputs = out_.nodes(
        lstm     ? "LSTM"
        : simple ? "RNN"
                 : "GRU",
        {x, out_.floats(std::span<const double>(kernel), w),
         out_.floats(std::span<const double>(recurrent), r), out_.floats(std::span<const double>(bias), b)},
        sequences ? std::vector<std::string>{""} : std::vector<std::string>{"-", ""}, attributes);
    if (!sequences) {
      const Ints dims = {-1, whole(cell.units)};
      return out_.node("Reshape", {outputs[1], out_.integers(dims)});
    }
    // [steps, 1, rows, units].
    const Ints order = {2, 0, 1, 3}, dims = {-1, whole(shape_.steps), whole(cell.units)};
    const auto turned = out_.node("Transpose", {outputs[0]}, {Attr::integers("perm", order)});
    return out_.node("Reshape", {turned, out_.integers(dims)});
  }

  Result<void> layer_of(const layer::Recurrence& recurrence) {
    deep();
    const Ints order = {1, 0, 2};
    const auto x = out_.node("Transpose", {x_}, {Attr::integers("perm", order)});
    std::vector<std::string> parts;
    std::size_t units = 0;
    for (const bool backward : {false, true}) {
      const auto& cell = backward ? recurrence.backward : recurrence.forward;
      if (!cell) continue;
      auto said = cell_of(x, *cell, backward, recurrence.sequences);
      if (!said) return std::move(said).error();
      parts.push_back(std::move(*said));
      units += cell->units;
    }
    x_ = out_.concat(parts, -1);
    is_deep_ = recurrence.sequences;
    shape_ = {recurrence.sequences ? shape_.steps : 1, units};
    now(shape_);
    return {};
  }

  Result<void> layer_of(const layer::Branches& given) {
    using Join = layer::Branches::Join;
    std::vector<std::string> parts;
    std::size_t channels = 0;
    Shape shape = shape_;
    for (const layer::Branch& branch : given.branches) {
      NetworkWriter writer(*this);
      for (const model::Layer& one : branch.layers) {
        if (auto added = writer.add(one); !added) return added;
      }
      shape = writer.shape_;
      if (shape.steps == 1) writer.flat();
      parts.push_back(writer.x_);
      channels += shape.channels;
    }
    if (given.join == Join::concatenate) {
      x_ = out_.concat(parts, -1);
      shape.channels = channels;
    } else {
      x_ = parts[0];
      for (std::size_t i = 1; i < parts.size(); ++i) {
        x_ = out_.node(given.join == Join::multiply  ? "Mul"
                       : given.join == Join::maximum ? "Max"
                       : given.join == Join::minimum ? "Min"
                                                     : "Add",
                       {x_, parts[i]});
      }
      if (given.join == Join::average)
        x_ = out_.binary("Div", x_, out_.number(static_cast<float>(parts.size())));
    }
    shape_ = shape;
    is_deep_ = shape.steps != 1;
    return {};
  }

  Emitter& out_;
  std::string x_;
  Shape shape_;
  bool is_deep_ = false;
};

}  // namespace

Result<std::string> emit_network(Emitter& out, const model::Network& network, std::string x) {
  const auto parts = network.parts();
  NetworkWriter writer(out, std::move(x), parts.input);
  for (std::size_t i = 0; i < parts.layers.size(); ++i) {
    if (auto added = writer.add(parts.layers[i]); !added)
      return std::move(added).error().within("layer " + std::to_string(i));
  }
  return writer.finish();
}

}  // namespace nidus::interop::internal::onnx
