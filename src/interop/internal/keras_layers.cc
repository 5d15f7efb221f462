#include "interop/internal/keras_layers.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

namespace nidus::interop::internal {
namespace {

using model::Activation;
using Kind = model::Activation::Kind;
namespace layer = model::layer;

Error unsupported(const std::string& what) { return {Errc::unsupported, "keras: " + what}; }
Error corrupt(const std::string& what) { return {Errc::corrupt, "keras: " + what}; }

std::string spoken(const std::vector<std::size_t>& shape) {
  std::string out;
  for (const std::size_t size : shape) out += (out.empty() ? "" : " × ") + std::to_string(size);
  return "(" + out + ")";
}

// A whole number from 1 on that may stand alone or in a list of one.
Result<std::size_t> size_of(const Json& config, const char* name, std::size_t otherwise) {
  const Json* value = member(config, name);
  if (value != nullptr && value->is_array() && value->size() == 1) value = &value->front();
  if (value == nullptr || value->is_null()) return otherwise;
  if (!value->is_number_unsigned() || value->get<std::uint64_t>() == 0 ||
      value->get<std::uint64_t>() > model::Network::kShapeMax)
    return corrupt(std::string(name) + " is no possible size");
  return value->get<std::size_t>();
}

Result<std::size_t> units_of(const Json& config, const char* name) {
  auto units = size_of(config, name, 0);
  if (units && *units == 0) return corrupt(std::string(name) + " is missing");
  return units;
}

// A function by name, or by an object that says how it was made.
Result<Activation> activation(const Json& config, const char* name, const char* otherwise, int major) {
  static const std::pair<const char*, Kind> kNames[] = {{"linear", Kind::linear},
                                                        {"selu", Kind::selu},
                                                        {"gelu", Kind::gelu},
                                                        {"swish", Kind::silu},
                                                        {"silu", Kind::silu},
                                                        {"softplus", Kind::softplus},
                                                        {"softsign", Kind::softsign},
                                                        {"tanh", Kind::tanh},
                                                        {"sigmoid", Kind::sigmoid},
                                                        {"softmax", Kind::softmax},
                                                        {"exponential", Kind::exponential},
                                                        {"mish", Kind::mish}};
  const Json* value = member(config, name);
  std::string spelled = otherwise;
  if (value != nullptr && value->is_object()) {
    // {"class_name": "function", "config": "relu"}, or a layer with settings of its own.
    const Json* inner = member(*value, "config");
    if (inner == nullptr || !inner->is_string())
      return unsupported("an activation that is an object of class " + text_of(*value, "class_name"));
    spelled = inner->get<std::string>();
  } else if (value != nullptr && value->is_string()) {
    spelled = value->get<std::string>();
  } else if (value != nullptr && !value->is_null()) {
    return corrupt("an activation that is no name");
  }
  for (const auto& [known, kind] : kNames) {
    if (spelled == known) return Activation::of(kind);
  }
  if (spelled == "relu") return Activation::relu();
  if (spelled == "relu6") return Activation::relu(0, 6);
  if (spelled == "elu") return Activation::elu();
  if (spelled == "leaky_relu") return Activation::relu(0.2);
  if (spelled == "hard_sigmoid")
    return major >= 3 ? Activation::hard_sigmoid(1.0 / 6, 0.5) : Activation::hard_sigmoid(0.2, 0.5);
  return unsupported("the activation '" + spelled + "'");
}

// Everything that adding a layer needs.
struct KerasBuilder {
  const std::string& kind;
  const Json& config;
  KerasWeights& weights;
  KerasStack& stack;
  bool is_frozen = false;

  Result<std::vector<double>> take(const std::vector<std::size_t>& shape) {
    return weights.take(shape, is_frozen);
  }
  Result<std::vector<double>> take_if(const char* option, bool otherwise,
                                      const std::vector<std::size_t>& shape) {
    if (!flag_of(config, option, otherwise)) return std::vector<double>();
    return take(shape);
  }
  Result<void> activate(const char* otherwise = "linear") {
    const auto function = activation(config, "activation", otherwise, stack.major);
    if (!function) return function.error();
    if (function->kind == Kind::linear) return {};
    return stack.add(layer::Activate{*function});
  }
  Result<void> refuse(const std::string& what) { return unsupported(kind + " with " + what); }

  // Whether an axis option names the last axis.
  bool is_last_axis(const char* name) const {
    const Json* axis = member(config, name);
    if (axis != nullptr && axis->is_array() && axis->size() == 1) axis = &axis->front();
    if (axis == nullptr || axis->is_null()) return true;
    return axis->is_number_integer() && (*axis == -1 || *axis == (stack.is_sequence ? 2 : 1));
  }
  bool is_channels_last() const {
    const std::string format = text_of(config, "data_format");
    return format.empty() || format == "channels_last";
  }

  Result<void> dense() {
    const auto units = units_of(config, "units");
    if (!units) return units.error();
    const std::size_t inputs = stack.shape.channels;
    auto kernel = take({inputs, *units});
    if (!kernel) return std::move(kernel).error();
    auto bias = take_if("use_bias", true, {*units});
    if (!bias) return std::move(bias).error();
    if (auto good = stack.add(layer::Dense{inputs, *units, std::move(*kernel), std::move(*bias)}); !good)
      return good;
    return activate();
  }

  Result<void> batch_normalization() {
    if (!is_last_axis("axis")) return refuse("an axis that is not the last");
    const std::vector<std::size_t> shape = {stack.shape.channels};
    auto gamma = take_if("scale", true, shape), beta = take_if("center", true, shape);
    auto mean = weights.take(shape, true), variance = weights.take(shape, true);
    for (auto* part : {&gamma, &beta, &mean, &variance}) {
      if (!*part) return std::move(*part).error();
    }
    return stack.add(
        model::batch_norm(*gamma, *beta, *mean, *variance, number_of(config, "epsilon").value_or(1e-3)));
  }

  Result<void> layer_normalization() {
    if (!is_last_axis("axis")) return refuse("an axis that is not the last");
    if (flag_of(config, "rms_scaling", false)) return refuse("rms_scaling");
    const std::vector<std::size_t> shape = {stack.shape.channels};
    auto gamma = take_if("scale", true, shape);
    if (!gamma) return std::move(gamma).error();
    auto beta = take_if("center", true, shape);
    if (!beta) return std::move(beta).error();
    return stack.add(
        layer::LayerNorm{number_of(config, "epsilon").value_or(1e-3), std::move(*gamma), std::move(*beta)});
  }

  // Of a preprocessing layer: the divisor is never below Keras' own epsilon.
  Result<void> normalization() {
    if (!is_last_axis("axis")) return refuse("an axis that is not the last");
    if (flag_of(config, "invert", false)) return refuse("invert");
    const std::vector<std::size_t> shape = {stack.shape.channels};
    auto mean = weights.take(shape, true), variance = weights.take(shape, true);
    auto count = weights.take({}, true);
    for (auto* part : {&mean, &variance, &count}) {
      if (!*part) return std::move(*part).error();
    }
    layer::Normalise out;
    out.mean = std::move(*mean);
    out.shift.resize(out.mean.size());
    for (const double v : *variance) out.scale.push_back(1 / std::max(std::sqrt(v), 1e-7));
    return stack.add(std::move(out));
  }

  Result<void> rescaling() {
    const auto scale = number_of(config, "scale"), offset = number_of(config, "offset");
    if (!scale) return refuse("scales that are no number");
    layer::Normalise out;
    out.mean.resize(stack.shape.channels);
    out.scale.assign(stack.shape.channels, *scale);
    out.shift.assign(stack.shape.channels, offset.value_or(0));
    return stack.add(std::move(out));
  }

  // Steps before and behind, by Keras' rules: 'same' gives steps / stride of them, rounded up.
  Result<std::pair<std::size_t, std::size_t>> padding(std::size_t size, std::size_t stride,
                                                      std::size_t dilation) {
    const std::string how = text_of(config, "padding");
    const std::size_t reach = (size - 1) * dilation, steps = stack.shape.steps;
    if (how == "valid" || how.empty()) return std::pair<std::size_t, std::size_t>(0, 0);
    if (how == "causal") return std::pair<std::size_t, std::size_t>(reach, 0);
    if (how != "same") return unsupported(kind + " with the padding '" + how + "'");
    const std::size_t wanted = ((steps + stride - 1) / stride - 1) * stride + reach + 1;
    const std::size_t all = wanted > steps ? wanted - steps : 0;
    return std::pair(all / 2, all - all / 2);
  }

  Result<void> conv1d() {
    if (!is_channels_last()) return refuse("channels first");
    layer::Conv1d out;
    out.inputs = stack.shape.channels;
    for (const auto& [name, to, needed] : {std::tuple("filters", &out.filters, true),
                                           {"kernel_size", &out.size, true},
                                           {"strides", &out.stride, false},
                                           {"dilation_rate", &out.dilation, false},
                                           {"groups", &out.groups, false}}) {
      auto value = needed ? units_of(config, name) : size_of(config, name, 1);
      if (!value) return std::move(value).error();
      *to = *value;
    }
    const auto pad = padding(out.size, out.stride, out.dilation);
    if (!pad) return pad.error();
    out.pad_before = pad->first;
    out.pad_after = pad->second;
    auto kernel = take({out.size, out.inputs / out.groups, out.filters});
    if (!kernel) return std::move(kernel).error();
    auto bias = take_if("use_bias", true, {out.filters});
    if (!bias) return std::move(bias).error();
    out.kernel = std::move(*kernel);
    out.bias = std::move(*bias);
    if (auto good = stack.add(std::move(out)); !good) return good;
    return activate();
  }

  Result<void> pool(layer::Pool::Kind how) {
    if (!is_channels_last()) return refuse("channels first");
    layer::Pool out;
    out.kind = how;
    auto size = size_of(config, "pool_size", 2);
    if (!size) return std::move(size).error();
    auto stride = size_of(config, "strides", *size);
    if (!stride) return std::move(stride).error();
    out.size = *size;
    out.stride = *stride;
    const auto pad = padding(out.size, out.stride, 1);
    if (!pad) return pad.error();
    out.pad_before = pad->first;
    out.pad_after = pad->second;
    return stack.add(out);
  }

  Result<void> global_pool(layer::Pool::Kind how) {
    if (!is_channels_last()) return refuse("channels first");
    stack.is_sequence = flag_of(config, "keepdims", false);
    return stack.add(layer::GlobalPool{how});
  }

  Result<void> reshape() {
    const Json* target = member(config, "target_shape");
    if (target == nullptr || !target->is_array() || target->empty()) return corrupt("Reshape to nowhere");
    if (target->size() > 2) return refuse("more than two axes");
    std::vector<std::size_t> sizes;
    std::size_t known = 1, open = 0;
    for (const Json& size : *target) {
      if (size.is_number_integer() && size == -1) {
        ++open;
        sizes.push_back(0);
      } else if (size.is_number_unsigned() && size.get<std::uint64_t>() > 0 &&
                 size.get<std::uint64_t>() <= model::Network::kShapeMax) {
        sizes.push_back(size.get<std::size_t>());
        known *= sizes.back();
      } else {
        return corrupt("Reshape to an impossible size");
      }
    }
    if (open > 1 || (open == 1 && stack.shape.size() % known != 0))
      return corrupt("Reshape to sizes that do not fit");
    for (auto& size : sizes) {
      if (size == 0) size = stack.shape.size() / known;
    }
    stack.is_sequence = sizes.size() == 2;
    return stack.add(
        layer::Reshape{sizes.size() == 2 ? model::Shape{sizes[0], sizes[1]} : model::Shape{1, sizes[0]}});
  }

  Result<layer::Cell> cell(const std::string& what, const Json& options, bool frozen) {
    layer::Cell out;
    for (const char* option : {"return_state", "time_major", "stateful"}) {
      if (flag_of(options, option, false)) return unsupported(what + " with " + option);
    }
    const auto units = units_of(options, "units");
    if (!units) return units.error();
    out.units = *units;
    out.inputs = stack.shape.channels;
    const bool is_gru = what == "GRU";
    const bool after = is_gru && flag_of(options, "reset_after", false);
    out.kind = what == "LSTM" ? layer::Cell::Kind::lstm
               : !is_gru      ? layer::Cell::Kind::simple
               : after        ? layer::Cell::Kind::gru_reset_after
                              : layer::Cell::Kind::gru_reset_before;
    const auto state = activation(options, "activation", "tanh", stack.major);
    if (!state) return state.error();
    const auto gate = activation(options, "recurrent_activation", "hard_sigmoid", stack.major);
    if (!gate) return gate.error();
    out.activation = *state;
    out.gate = *gate;
    const std::size_t wide = out.gates() * out.units;
    auto kernel = weights.take({out.inputs, wide}, frozen);
    if (!kernel) return std::move(kernel).error();
    auto recurrent = weights.take({out.units, wide}, frozen);
    if (!recurrent) return std::move(recurrent).error();
    out.kernel = std::move(*kernel);
    out.recurrent = std::move(*recurrent);
    if (!flag_of(options, "use_bias", true)) return out;
    auto bias = after ? weights.take({2, wide}, frozen) : weights.take({wide}, frozen);
    if (!bias) return std::move(bias).error();
    if (after) out.recurrent_bias.assign(bias->begin() + static_cast<std::ptrdiff_t>(wide), bias->end());
    bias->resize(wide);
    out.bias = std::move(*bias);
    return out;
  }

  Result<void> recurrent() {
    const bool sequences = flag_of(config, "return_sequences", false),
               backwards = flag_of(config, "go_backwards", false);
    if (sequences && backwards) return refuse("go_backwards and return_sequences");
    auto made = cell(kind, config, is_frozen);
    if (!made) return std::move(made).error();
    layer::Recurrence out;
    out.sequences = sequences;
    (backwards ? out.backward : out.forward) = std::move(*made);
    stack.is_sequence = sequences;
    return stack.add(std::move(out));
  }

  Result<void> bidirectional() {
    const Json* inner = member(config, "layer");
    if (inner == nullptr) return corrupt("Bidirectional of nothing");
    if (const std::string mode = text_of(config, "merge_mode"); mode != "concat")
      return refuse("the merge_mode '" + mode + "'");
    const Json* backward = member(config, "backward_layer");
    if (backward == nullptr || !backward->is_object()) backward = inner;
    layer::Recurrence out;
    for (const Json* given : {inner, backward}) {
      const std::string what = text_of(*given, "class_name");
      const Json* options = member(*given, "config");
      if (options == nullptr || (what != "LSTM" && what != "GRU" && what != "SimpleRNN"))
        return refuse("a layer of class " + what);
      if (given == inner && flag_of(*options, "go_backwards", false)) return refuse("go_backwards");
      const bool sequences = flag_of(*options, "return_sequences", false);
      if (out.forward && sequences != out.sequences) return corrupt("Bidirectional of two kinds");
      out.sequences = sequences;
      auto made = cell(what, *options, is_frozen);
      if (!made) return std::move(made).error();
      (out.forward ? out.backward : out.forward) = std::move(*made);
    }
    stack.is_sequence = out.sequences;
    return stack.add(std::move(out));
  }

  Result<void> time_distributed() {
    const Json* inner = member(config, "layer");
    const Json* options = inner == nullptr ? nullptr : member(*inner, "config");
    if (options == nullptr) return corrupt("TimeDistributed of nothing");
    const std::string what = text_of(*inner, "class_name");
    for (const char* known : {"Dense", "Activation", "ReLU", "LeakyReLU", "ELU", "Dropout"}) {
      if (what == known) return add_keras_layer(what, *options, weights, stack);
    }
    return refuse("a layer of class " + what);
  }

  Result<void> prelu() {
    const auto shape = weights.next_shape(is_frozen);
    auto slopes = take(shape);
    if (!slopes) return std::move(slopes).error();
    if (shape.empty() || (shape.back() != stack.shape.channels && slopes->size() != 1))
      return refuse("slopes of the shape " + spoken(shape));
    return stack.add(layer::Prelu{std::move(*slopes)});
  }

  Result<void> cropping() {
    const Json* by = member(config, "cropping");
    if (by == nullptr || !by->is_array() || by->size() != 2 || !(*by)[0].is_number_unsigned() ||
        !(*by)[1].is_number_unsigned())
      return corrupt("Cropping1D by no two numbers");
    const auto before = (*by)[0].get<std::uint64_t>(), after = (*by)[1].get<std::uint64_t>();
    const std::uint64_t steps = stack.shape.steps;
    if (before >= steps || after >= steps - before) return corrupt("Cropping1D leaves nothing");
    return stack.add(layer::Slice{before, steps - before - after, 0, stack.shape.channels});
  }

  Result<void> function(const Activation& f) { return stack.add(layer::Activate{f}); }
};

bool only_trains(const std::string& kind) {
  static const char* const kNames[] = {"Dropout",         "SpatialDropout1D", "GaussianNoise",
                                       "GaussianDropout", "AlphaDropout",     "ActivityRegularization"};
  return std::find(std::begin(kNames), std::end(kNames), kind) != std::end(kNames);
}

}  // namespace

const Json* member(const Json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}
std::string text_of(const Json& object, const char* name) {
  const Json* value = member(object, name);
  return value != nullptr && value->is_string() ? value->get<std::string>() : "";
}
std::optional<double> number_of(const Json& object, const char* name) {
  const Json* value = member(object, name);
  if (value == nullptr || !value->is_number()) return {};
  return value->get<double>();
}
bool flag_of(const Json& object, const char* name, bool otherwise) {
  const Json* value = member(object, name);
  return value != nullptr && value->is_boolean() ? value->get<bool>() : otherwise;
}

std::vector<std::size_t> KerasWeights::next_shape(bool is_frozen) const {
  const std::size_t next = is_model_ && is_frozen ? next_frozen_ : next_;
  return next < values_.size() ? values_[next].shape : std::vector<std::size_t>();
}

Result<std::vector<double>> KerasWeights::take(const std::vector<std::size_t>& shape, bool is_frozen) {
  std::size_t& next = is_model_ && is_frozen ? next_frozen_ : next_;
  if (next >= values_.size())
    return corrupt("only " + std::to_string(values_.size()) + " weights where there should be more");
  Hdf5::Numbers& value = values_[next++];
  if (value.shape != shape)
    return corrupt("a weight of the shape " + spoken(value.shape) + ", not " + spoken(shape));
  return std::move(value.values);
}

bool KerasWeights::all_taken() const {
  return is_model_ ? next_frozen_ == values_.size() : next_ == values_.size();
}

Result<void> KerasStack::add(model::Layer given) {
  const auto after = model::shape_after(given, shape);
  if (!after) return corrupt(after.error().message);
  shape = *after;
  layers.push_back(std::move(given));
  return {};
}

Result<void> add_keras_layer(const std::string& kind, const Json& config, KerasWeights& weights,
                             KerasStack& stack) {
  KerasBuilder b{kind, config, weights, stack, !flag_of(config, "trainable", true)};
  using PoolKind = layer::Pool::Kind;
  if (kind == "InputLayer" || only_trains(kind)) return {};
  if (kind == "Dense") return b.dense();
  if (kind == "Activation") return b.activate();
  if (kind == "BatchNormalization") return b.batch_normalization();
  if (kind == "LayerNormalization") return b.layer_normalization();
  if (kind == "Normalization") return b.normalization();
  if (kind == "Rescaling") return b.rescaling();
  if (kind == "Conv1D") return b.conv1d();
  if (kind == "MaxPooling1D") return b.pool(PoolKind::max);
  if (kind == "AveragePooling1D") return b.pool(PoolKind::average);
  if (kind == "GlobalMaxPooling1D") return b.global_pool(PoolKind::max);
  if (kind == "GlobalAveragePooling1D") return b.global_pool(PoolKind::average);
  if (kind == "Reshape") return b.reshape();
  if (kind == "LSTM" || kind == "GRU" || kind == "SimpleRNN") return b.recurrent();
  if (kind == "Bidirectional") return b.bidirectional();
  if (kind == "TimeDistributed") return b.time_distributed();
  if (kind == "PReLU") return b.prelu();
  if (kind == "Cropping1D") return b.cropping();
  if (kind == "Flatten") {
    if (!b.is_channels_last()) return b.refuse("channels first");
    stack.is_sequence = false;
    return stack.add(layer::Reshape{{1, stack.shape.size()}});
  }
  if (kind == "RepeatVector" || kind == "UpSampling1D") {
    const bool each = kind == "UpSampling1D";
    const auto times = units_of(config, each ? "size" : "n");
    if (!times) return times.error();
    stack.is_sequence = true;
    return stack.add(layer::Repeat{*times, each});
  }
  if (kind == "Permute") {
    const Json* dims = member(config, "dims");
    if (dims != nullptr && *dims == Json::array({1, 2})) return {};
    if (dims == nullptr || *dims != Json::array({2, 1})) return b.refuse("more than two axes");
    return stack.add(layer::Transpose{});
  }
  if (kind == "ReLU") {
    // Keras 2 wrote lists of one for numbers in some releases; those are not seen any more.
    return b.function(
        Activation::relu(number_of(config, "negative_slope").value_or(0),
                         number_of(config, "max_value").value_or(std::numeric_limits<double>::infinity()),
                         number_of(config, "threshold").value_or(0)));
  }
  if (kind == "LeakyReLU") {
    const auto slope = number_of(config, "negative_slope");
    return b.function(Activation::relu(slope ? *slope : number_of(config, "alpha").value_or(0.3)));
  }
  if (kind == "ELU") return b.function(Activation::elu(number_of(config, "alpha").value_or(1)));
  if (kind == "Softmax") {
    if (!b.is_last_axis("axis")) return b.refuse("an axis that is not the last");
    return b.function(Activation::of(Kind::softmax));
  }
  if (kind == "Lambda") return unsupported("a Lambda layer, which is a program");
  return unsupported("a layer of class " + (kind.empty() ? "?" : kind));
}

KerasCounts keras_counts(const std::string& kind, const Json& config) {
  const auto flag = [&](const char* name) -> std::size_t { return flag_of(config, name, true) ? 1 : 0; };
  KerasCounts out;
  if (kind == "Dense" || kind == "Conv1D") out = {1 + flag("use_bias"), 0};
  if (kind == "BatchNormalization") out = {flag("scale") + flag("center"), 2};
  if (kind == "LayerNormalization") out = {flag("scale") + flag("center"), 0};
  if (kind == "Normalization") out = {0, 3};
  if (kind == "LSTM" || kind == "GRU" || kind == "SimpleRNN") out = {2 + flag("use_bias"), 0};
  if (kind == "PReLU") out = {1, 0};
  if (kind == "Bidirectional" || kind == "TimeDistributed") {
    if (const Json* inner = member(config, "layer");
        inner != nullptr && member(*inner, "config") != nullptr) {
      out = {0, 0};
      const std::string what = text_of(*inner, "class_name");
      if (what != "Bidirectional" && what != "TimeDistributed") {  // neither is done of itself
        out = keras_counts(what, *member(*inner, "config"));
        if (kind == "Bidirectional") out = {2 * out.trained, 2 * out.frozen};
      }
    }
  }
  if (!flag_of(config, "trainable", true)) out = {0, out.trained + out.frozen};
  return out;
}

}  // namespace nidus::interop::internal
