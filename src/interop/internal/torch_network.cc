#include "interop/internal/torch_network.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/number.h"
#include "base/text.h"

namespace nidus::interop::internal {
namespace {

using model::Activation;
using Kind = model::Activation::Kind;
namespace layer = model::layer;

// The words of an architecture: how many sizes may and must stand behind each, and which options.
struct Word {
  std::string_view name;
  std::size_t least, most;
  std::string_view options;  // separated by blanks; those that take no number end in '!'
  bool has_weights;
};
constexpr Word kWords[] = {
    {"input", 1, 2, "", false},
    {"linear", 0, 2, "", true},
    {"batchnorm", 0, 1, "epsilon", true},
    {"layernorm", 0, 1, "epsilon", true},
    {"conv1d", 0, 3, "stride padding dilation groups", true},
    {"lstm", 0, 2, "layers bidirectional!", true},
    {"gru", 0, 2, "layers bidirectional!", true},
    {"rnn", 0, 2, "layers bidirectional! relu!", true},
    {"prelu", 0, 1, "", true},
    {"maxpool", 1, 1, "stride padding", false},
    {"avgpool", 1, 1, "stride padding uncounted!", false},
    {"globalmaxpool", 0, 0, "", false},
    {"globalavgpool", 0, 0, "", false},
    {"flatten", 0, 0, "", false},
    {"last", 0, 0, "", false},
    {"dropout", 0, 1, "", false},
    {"identity", 0, 0, "", false},
    {"relu", 0, 0, "", false},
    {"relu6", 0, 0, "", false},
    {"leaky_relu", 0, 1, "", false},
    {"elu", 0, 1, "", false},
    {"selu", 0, 0, "", false},
    {"gelu", 0, 0, "tanh_form!", false},
    {"silu", 0, 0, "", false},
    {"mish", 0, 0, "", false},
    {"softplus", 0, 0, "", false},
    {"softsign", 0, 0, "", false},
    {"tanh", 0, 0, "", false},
    {"sigmoid", 0, 0, "", false},
    {"hardsigmoid", 0, 0, "", false},
    {"hardtanh", 0, 2, "", false},
    {"softmax", 0, 0, "", false},
};

const Word* word_of(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(kWords), std::end(kWords), [&](const Word& word) { return word.name == name; });
  return found == std::end(kWords) ? nullptr : found;
}

// 1 for an option that takes a number, 0 for one that takes none, -1 for no option.
int takes_number(const Word& word, std::string_view name) {
  for (const auto option : split(word.options, ' ')) {
    if (option == name) return 1;
    if (!option.empty() && option.back() == '!' && option.substr(0, option.size() - 1) == name) return 0;
  }
  return -1;
}

std::optional<Activation> activation_of(const TorchLayer& l) {
  const auto size = [&](std::size_t i, double otherwise) {
    return i < l.sizes.size() ? l.sizes[i] : otherwise;
  };
  if (l.kind == "relu") return Activation::relu();
  if (l.kind == "relu6") return Activation::relu(0, 6);
  if (l.kind == "leaky_relu") return Activation::relu(size(0, 0.01));
  if (l.kind == "elu") return Activation::elu(size(0, 1));
  if (l.kind == "gelu") return Activation::of(l.option("tanh_form", 0) != 0 ? Kind::gelu_tanh : Kind::gelu);
  if (l.kind == "hardsigmoid") return Activation::hard_sigmoid(1.0 / 6, 0.5);
  if (l.kind == "hardtanh") return Activation::clip(size(0, -1), size(1, 1));
  static constexpr std::pair<std::string_view, Kind> kPlain[] = {
      {"selu", Kind::selu},         {"silu", Kind::silu},         {"mish", Kind::mish},
      {"softplus", Kind::softplus}, {"softsign", Kind::softsign}, {"tanh", Kind::tanh},
      {"sigmoid", Kind::sigmoid},   {"softmax", Kind::softmax}};
  for (const auto& [name, kind] : kPlain) {
    if (l.kind == name) return Activation::of(kind);
  }
  return {};
}

// Builds layers. PyTorch's convolutions want (channels, steps) and its recurrences (steps, channels); ours
// always steps of channels, so what flows is turned where the next layer needs it.
class TorchBuilder {
 public:
  model::Network::Parts parts;

  Result<void> add(const TorchLayer& l) {
    if (l.kind == "input") return input(l);
    if (shape_.channels == 0) {
      if (l.kind != "linear" || !weight(l, "weight"))
        return torch_unsupported(
            "how long a row is does not follow from the weights; begin the architecture with "
            "'input STEPS NUMBERS', or 'input CHANNELS LENGTH' for a convolution");
      start({1, weight(l, "weight")->shape.back()});
    }
    if (const auto function = activation_of(l)) {
      if (function->kind == Kind::softmax && is_turned_)
        return refuse(l, "along the channels of a convolution");
      return push(l, layer::Activate{*function});
    }
    if (l.kind == "dropout" || l.kind == "identity") return {};
    if (l.kind == "linear") return linear(l);
    if (l.kind == "batchnorm") return batch_norm(l);
    if (l.kind == "layernorm") return layer_norm(l);
    if (l.kind == "conv1d") return conv1d(l);
    if (l.kind == "lstm" || l.kind == "gru" || l.kind == "rnn") return recurrence(l);
    if (l.kind == "prelu") return prelu(l);
    if (l.kind == "maxpool" || l.kind == "avgpool") return pool(l);
    if (l.kind == "globalmaxpool" || l.kind == "globalavgpool") {
      if (auto good = turn(l, true); !good) return good;
      if (auto good = push(l, layer::GlobalPool{l.kind == "globalmaxpool" ? layer::Pool::Kind::max
                                                                          : layer::Pool::Kind::average});
          !good)
        return good;
      is_turned_ = false;  // (channels, 1), which is the same either way
      return push(l, layer::Reshape{{shape_.channels, 1}});
    }
    if (l.kind == "flatten") {
      if (auto good = turn(l, false); !good) return good;
      return push(l, layer::Reshape{{1, shape_.size()}});
    }
    if (l.kind == "last") {
      if (auto good = turn(l, false); !good) return good;
      return push(l, layer::Slice{shape_.steps - 1, 1, 0, shape_.channels});
    }
    return torch_unsupported("the layer '" + l.kind + "'");
  }

 private:
  Error refuse(const TorchLayer& l, const std::string& what) const {
    return torch_unsupported((l.path.empty() ? l.kind : l.path + " (" + l.kind + ")") + ": " + what);
  }
  Error wrong(const TorchLayer& l, const std::string& what) const {
    return torch_corrupt((l.path.empty() ? l.kind : l.path + " (" + l.kind + ")") + ": " + what);
  }
  static const TorchTensor* weight(const TorchLayer& l, std::string_view name) {
    const auto found = l.weights.find(name);
    return found == l.weights.end() ? nullptr : &found->second;
  }
  // A vector of so many numbers; empty where it is left out and may be.
  Result<std::vector<double>> vector(const TorchLayer& l, const std::string& name, std::size_t size,
                                     bool needed) const {
    const TorchTensor* found = weight(l, name);
    if (found == nullptr && !needed) return std::vector<double>();
    if (found == nullptr) return wrong(l, "no " + name);
    if (found->shape.size() != 1 || found->shape[0] != size)
      return wrong(l, name + " is no vector of " + std::to_string(size));
    return found->values;
  }
  // A matrix of rows × columns, transposed and its rows moved: row `from` becomes column to(from).
  template <class To>
  static std::vector<double> transposed(const TorchTensor& matrix, const To& to) {
    const std::size_t rows = matrix.shape[0], columns = matrix.shape[1];
    std::vector<double> out(rows * columns);
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < columns; ++c) out[c * rows + to(r)] = matrix.values[r * columns + c];
    return out;
  }

  void start(model::Shape shape) { parts.input = shape_ = shape; }
  Result<void> input(const TorchLayer& l) {
    for (const double size : l.sizes) {
      if (!(size >= 1 && size <= static_cast<double>(model::Network::kShapeMax)))
        return Error{Errc::invalid, "torch: an input of impossible size"};
    }
    const auto size = [&](std::size_t i) { return static_cast<std::size_t>(l.sizes[i]); };
    start(l.sizes.size() == 1 ? model::Shape{1, size(0)} : model::Shape{size(0), size(1)});
    return {};
  }
  Result<void> push(const TorchLayer& l, model::Layer made) {
    const auto after = model::shape_after(made, shape_);
    if (!after) return wrong(l, after.error().message);
    shape_ = *after;
    parts.layers.push_back(std::move(made));
    return {};
  }
  // To (steps, channels) of a convolution, or back to the order of PyTorch.
  Result<void> turn(const TorchLayer& l, bool turned) {
    if (is_turned_ == turned) return {};
    is_turned_ = turned;
    if (shape_.steps == 1 || shape_.channels == 1)
      return push(l, layer::Reshape{{shape_.channels, shape_.steps}});
    return push(l, layer::Transpose{});
  }

  Result<void> linear(const TorchLayer& l) {
    if (auto good = turn(l, false); !good) return good;
    const TorchTensor* matrix = weight(l, "weight");
    if (matrix == nullptr || matrix->shape.size() != 2) return wrong(l, "no matrix of weights");
    // What a global pooling leaves behind is (channels, 1), which people squeeze before it goes on.
    if (shape_.channels == 1 && shape_.steps == matrix->shape[1]) {
      if (auto good = push(l, layer::Reshape{{1, shape_.steps}}); !good) return good;
    }
    auto bias = vector(l, "bias", matrix->shape[0], false);
    if (!bias) return std::move(bias).error();
    return push(l, layer::Dense{matrix->shape[1], matrix->shape[0],
                                transposed(*matrix, [](std::size_t r) { return r; }), std::move(*bias)});
  }

  Result<void> batch_norm(const TorchLayer& l) {
    if (!is_turned_ && shape_.steps > 1) return refuse(l, "along the steps of a sequence");
    const std::size_t n = shape_.channels;
    auto mean = vector(l, "running_mean", n, true), variance = vector(l, "running_var", n, true);
    auto gamma = vector(l, "weight", n, false), beta = vector(l, "bias", n, false);
    for (auto* part : {&mean, &variance, &gamma, &beta}) {
      if (!*part) return std::move(*part).error();
    }
    return push(l, model::batch_norm(*gamma, *beta, *mean, *variance, l.option("epsilon", 1e-5)));
  }

  Result<void> layer_norm(const TorchLayer& l) {
    if (auto good = turn(l, false); !good) return good;
    auto gamma = vector(l, "weight", shape_.channels, false),
         beta = vector(l, "bias", shape_.channels, false);
    if (!gamma) return std::move(gamma).error();
    if (!beta) return std::move(beta).error();
    return push(l, layer::LayerNorm{l.option("epsilon", 1e-5), std::move(*gamma), std::move(*beta)});
  }

  Result<std::size_t> whole(const TorchLayer& l, const char* name, double otherwise) const {
    const double value = l.option(name, otherwise);
    if (!(value >= 0 && value <= static_cast<double>(model::Network::kShapeMax)) ||
        value != std::floor(value))
      return wrong(l, std::string(name) + " is no possible number");
    return static_cast<std::size_t>(value);
  }

  Result<void> conv1d(const TorchLayer& l) {
    if (auto good = turn(l, true); !good) return good;
    const TorchTensor* kernel = weight(l, "weight");
    if (kernel == nullptr || kernel->shape.size() != 3) return wrong(l, "no weights of three axes");
    const auto stride = whole(l, "stride", 1), padding = whole(l, "padding", 0),
               dilation = whole(l, "dilation", 1), groups = whole(l, "groups", 1),
               before = whole(l, "padding_before", static_cast<double>(*padding));
    for (const auto* option : {&stride, &padding, &dilation, &groups, &before}) {
      if (!*option) return option->error();
    }
    const std::size_t filters = kernel->shape[0], within = kernel->shape[1], size = kernel->shape[2];
    layer::Conv1d out;
    out.inputs = shape_.channels;
    out.filters = filters;
    out.size = size;
    out.stride = *stride;
    out.dilation = *dilation;
    out.groups = *groups;
    out.pad_before = *before;
    out.pad_after = *padding;
    out.kernel.resize(kernel->values.size());
    for (std::size_t f = 0; f < filters; ++f)
      for (std::size_t c = 0; c < within; ++c)
        for (std::size_t t = 0; t < size; ++t)
          out.kernel[(t * within + c) * filters + f] = kernel->values[(f * within + c) * size + t];
    auto bias = vector(l, "bias", filters, false);
    if (!bias) return std::move(bias).error();
    out.bias = std::move(*bias);
    return push(l, std::move(out));
  }

  Result<void> prelu(const TorchLayer& l) {
    const TorchTensor* slopes = weight(l, "weight");
    if (slopes == nullptr || slopes->shape.size() != 1) return wrong(l, "no slopes");
    if (slopes->values.size() > 1 && !is_turned_ && shape_.steps > 1)
      return refuse(l, "along the steps of a sequence");
    return push(l, layer::Prelu{slopes->values});
  }

  Result<void> pool(const TorchLayer& l) {
    if (auto good = turn(l, true); !good) return good;
    const double size = l.sizes.empty() ? 0 : l.sizes[0];
    if (!(size >= 1 && size <= static_cast<double>(model::Network::kShapeMax)))
      return wrong(l, "an impossible size");
    const auto stride = whole(l, "stride", size), padding = whole(l, "padding", 0);
    if (!stride) return stride.error();
    if (!padding) return padding.error();
    layer::Pool out;
    out.kind = l.kind == "maxpool" ? layer::Pool::Kind::max : layer::Pool::Kind::average;
    out.size = static_cast<std::size_t>(size);
    out.stride = *stride;
    out.pad_before = out.pad_after = *padding;
    out.average_counts_padding = l.option("uncounted", 0) == 0;
    return push(l, out);
  }

  Result<layer::Cell> cell(const TorchLayer& l, const std::string& suffix) const {
    layer::Cell out;
    out.kind = l.kind == "lstm"  ? layer::Cell::Kind::lstm
               : l.kind == "gru" ? layer::Cell::Kind::gru_reset_after
                                 : layer::Cell::Kind::simple;
    if (l.kind == "rnn" && l.option("relu", 0) != 0) out.activation = Activation::relu();
    const TorchTensor *in = weight(l, "weight_ih" + suffix), *recurrent = weight(l, "weight_hh" + suffix);
    if (in == nullptr || recurrent == nullptr || in->shape.size() != 2 || recurrent->shape.size() != 2)
      return wrong(l, "no weights" + suffix);
    out.units = recurrent->shape[1];
    out.inputs = in->shape[1];
    const std::size_t wide = out.gates() * out.units;
    if (in->shape[0] != wide || recurrent->shape[0] != wide || out.units == 0)
      return wrong(l, "weights" + suffix + " of another size than its gates");
    // The gates of a GRU are r, z, n there and z, r, n here.
    const std::size_t u = out.units;
    const bool is_gru = l.kind == "gru";
    const auto to = [u, is_gru](std::size_t r) { return !is_gru || r >= 2 * u ? r : r < u ? r + u : r - u; };
    out.kernel = transposed(*in, to);
    out.recurrent = transposed(*recurrent, to);
    for (const auto& [name, place] :
         {std::pair(std::string("bias_ih"), &out.bias), {"bias_hh", &out.recurrent_bias}}) {
      auto bias = vector(l, name + suffix, wide, false);
      if (!bias) return std::move(bias).error();
      place->resize(bias->size());
      for (std::size_t r = 0; r < bias->size(); ++r) (*place)[to(r)] = (*bias)[r];
    }
    return out;
  }

  Result<void> recurrence(const TorchLayer& l) {
    if (auto good = turn(l, false); !good) return good;
    for (int k = 0; weight(l, "weight_ih_l" + std::to_string(k)) != nullptr; ++k) {
      const std::string suffix = "_l" + std::to_string(k);
      layer::Recurrence out;
      out.sequences = true;
      auto forward = cell(l, suffix);
      if (!forward) return std::move(forward).error();
      out.forward = std::move(*forward);
      if (weight(l, "weight_ih" + suffix + "_reverse") != nullptr) {
        auto backward = cell(l, suffix + "_reverse");
        if (!backward) return std::move(backward).error();
        out.backward = std::move(*backward);
      }
      if (auto good = push(l, std::move(out)); !good) return good;
    }
    return {};
  }

  model::Shape shape_;
  bool is_turned_ = false;
};

}  // namespace

bool has_torch_weights(std::string_view kind) {
  const Word* word = word_of(kind);
  return word != nullptr && word->has_weights;
}

Result<std::vector<TorchLayer>> parse_torch_architecture(std::string_view text) {
  const auto wrong = [](const std::string& what) { return Error{Errc::invalid, "architecture: " + what}; };
  std::vector<std::string_view> tokens;
  for (const auto token : split(text, ' ')) {
    if (!trim(token).empty()) tokens.push_back(trim(token));
  }
  std::vector<TorchLayer> out;
  for (std::size_t i = 0; i < tokens.size();) {
    const std::string name = to_lower(tokens[i]);
    const Word* word = word_of(name);
    if (word == nullptr) {
      std::vector<std::string> known;
      for (const Word& one : kWords) known.emplace_back(one.name);
      return wrong("'" + std::string(tokens[i]) + "' is no layer" + did_you_mean(name, known));
    }
    TorchLayer l;
    l.kind = name;
    for (++i; i < tokens.size() && l.sizes.size() < word->most; ++i) {
      const auto size = parse_number(tokens[i]);
      if (!size) break;
      l.sizes.push_back(*size);
    }
    if (l.sizes.size() < word->least) return wrong("'" + name + "' needs a size");
    while (i < tokens.size()) {
      const std::string option = to_lower(tokens[i]);
      const int numbers = takes_number(*word, option);
      if (numbers < 0) break;
      double value = 1;
      if (numbers == 1) {
        const auto given = i + 1 < tokens.size() ? parse_number(tokens[i + 1]) : std::nullopt;
        if (!given) return wrong("'" + option + "' needs a number");
        value = *given;
        ++i;
      }
      l.options[option] = value;
      ++i;
    }
    if (name == "input" && !out.empty()) return wrong("'input' stands first or not at all");
    out.push_back(std::move(l));
    if (out.size() > model::Network::kLayersMax)
      return Error{Errc::exhausted, "architecture: too many layers"};
  }
  return out;
}

std::string torch_architecture(const std::vector<TorchLayer>& layers) {
  std::string out;
  for (const TorchLayer& l : layers) {
    out += (out.empty() ? "" : " ") + l.kind;
    for (const double size : l.sizes) {
      out += ' ';
      append_number(out, size);
    }
    for (const auto& [name, value] : l.options) {
      const Word* word = word_of(l.kind);
      const int numbers = word == nullptr ? -1 : takes_number(*word, name);
      if (numbers < 0 || (numbers == 0 && value == 0)) continue;
      out += " " + name;
      if (numbers == 1) {
        out += ' ';
        append_number(out, value);
      }
    }
  }
  return out;
}

Result<TorchLayer> recognise_torch_layer(std::string path,
                                         std::map<std::string, TorchTensor, std::less<>> weights) {
  TorchLayer l;
  l.path = std::move(path);
  const auto rank = [&](std::string_view name) {
    const auto found = weights.find(name);
    return found == weights.end() ? std::size_t{0} : found->second.shape.size();
  };
  const auto size = [&](std::string_view name, std::size_t axis) {
    return static_cast<double>(weights.find(name)->second.shape[axis]);
  };
  if (rank("running_mean") == 1 && rank("running_var") == 1) {
    l.kind = "batchnorm";
    l.sizes = {size("running_mean", 0)};
  } else if (rank("weight_ih_l0") == 2 && rank("weight_hh_l0") == 2) {
    const double gates = size("weight_hh_l0", 0) / std::max(1.0, size("weight_hh_l0", 1));
    l.kind = gates == 4 ? "lstm" : gates == 3 ? "gru" : gates == 1 ? "rnn" : "";
    l.sizes = {size("weight_ih_l0", 1), size("weight_hh_l0", 1)};
    double layers = 0;
    while (rank("weight_ih_l" + std::to_string(static_cast<int>(layers))) == 2) ++layers;
    if (layers > 1) l.options["layers"] = layers;
    if (rank("weight_ih_l0_reverse") == 2) l.options["bidirectional"] = 1;
    if (rank("weight_hr_l0") != 0) l.kind.clear();  // projections
  } else if (rank("weight") == 2) {
    l.kind = "linear";
    l.sizes = {size("weight", 1), size("weight", 0)};
  } else if (rank("weight") == 3) {
    l.kind = "conv1d";
    l.sizes = {size("weight", 1), size("weight", 0), size("weight", 2)};
  } else if (rank("weight") == 1) {
    l.kind = rank("bias") == 1 ? "layernorm" : "prelu";
    l.sizes = {size("weight", 0)};
  }
  if (l.kind.empty()) {
    std::string names;
    for (const auto& [name, tensor] : weights) names += (names.empty() ? "" : ", ") + name;
    return torch_unsupported(l.path + ": weights that are none of a layer that is done (" + names + ")");
  }
  l.weights = std::move(weights);
  return l;
}

Result<model::Network::Parts> torch_network(const std::vector<TorchLayer>& layers) {
  TorchBuilder builder;
  for (const TorchLayer& l : layers) {
    if (auto good = builder.add(l); !good) return std::move(good).error();
  }
  if (builder.parts.layers.empty()) return torch_unsupported("no layers");
  return std::move(builder.parts);
}

}  // namespace nidus::interop::internal
