#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "interop/internal/onnx_operators.h"

// Layers of networks. A convolution is a product of matrices over the windows of its input; a recurrent layer
// is unrolled over the steps of its sequence, whose number is known.
namespace nidus::interop::internal::onnx {
namespace {

using Op = Builder::Op;
using model::TensorProgram;

constexpr std::size_t kSequenceMax = 1024;

// A vector of numbers, one for each channel, shaped to go with [rows, channels, ...].
Value for_channels(const Value& x, std::size_t rank) {
  Dims dims(rank, 1);
  if (rank > 1) dims[1] = static_cast<std::int64_t>(x.size());
  if (rank == 1) dims[0] = static_cast<std::int64_t>(x.size());
  return Builder::reshape(x, std::move(dims));
}

Result<Outputs> batch_normalization(Site& s) {
  if (s.inputs.size() < 5) return s.corrupt("less than five operands");
  if (s.node.integer("training_mode", 0) != 0) return s.unsupported("training mode");
  if (s.node.integer("spatial", 1) != 1) return s.unsupported("normalization that is not by channel");
  const double epsilon = static_cast<double>(s.node.number("epsilon", 1e-5f));
  const Value& x = s.in(0);
  const std::size_t channels = x.dims.size() > 1 ? static_cast<std::size_t>(x.dims[1]) : x.size();
  std::vector<double> numbers[4];
  for (std::size_t i = 0; i < 4; ++i) {
    if (!s.has(i + 1) || !s.in(i + 1).is_known()) return s.unsupported("statistics that depend on the row");
    numbers[i] = *s.in(i + 1).known;
    if (numbers[i].size() != channels) return s.corrupt("statistics of other channels");
  }
  // As ONNX Runtime: one factor and one summand for each channel, in the type of the numbers.
  const bool single = x.element == Element::f32;
  const auto round = [single](double value) {
    return single ? static_cast<double>(static_cast<float>(value)) : value;
  };
  std::vector<double> factor(channels), summand(channels);
  for (std::size_t i = 0; i < channels; ++i) {
    factor[i] = round(numbers[0][i] / round(std::sqrt(round(numbers[3][i] + epsilon))));
    summand[i] = round(numbers[1][i] - round(numbers[2][i] * factor[i]));
  }
  const auto count = static_cast<std::int64_t>(channels);
  const auto shaped = [&](std::vector<double> values) {
    return for_channels(Builder::constant(std::move(values), {count}, x.element), x.dims.size());
  };
  auto out = s.builder.binary(Op::multiply, x, shaped(std::move(factor)));
  if (out) out = s.builder.binary(Op::add, *out, shaped(std::move(summand)));
  return one(std::move(out));
}

Result<Outputs> layer_normalization(Site& s) {
  const Value& x = s.in(0);
  auto axis = Site::axis_of(s.node.integer("axis", -1), x.dims.size());
  if (!axis) return s.corrupt(axis.error().message);
  if (!s.has(1)) return s.corrupt("no scale");
  const Dims front(x.dims.begin(), x.dims.begin() + static_cast<std::ptrdiff_t>(*axis));
  const auto outer = static_cast<std::int64_t>(volume(front));
  const auto inner = outer == 0 ? 0 : static_cast<std::int64_t>(x.size()) / outer;
  if (inner == 0) return s.corrupt("nothing to normalize");
  const Value flat = Builder::reshape(x, {outer, inner});
  auto mean = s.builder.along(Op::mean, flat, 1);
  if (!mean) return std::move(mean).error();
  auto centred = s.builder.binary(Op::subtract, flat, *mean);
  if (!centred) return std::move(centred).error();
  auto spread = s.builder.along(Op::sum_of_squares, *centred, 1);
  if (spread) spread = s.builder.binary(Op::divide, *spread, static_cast<double>(inner));
  if (spread)
    spread = s.builder.binary(Op::add, *spread, static_cast<double>(s.node.number("epsilon", 1e-5f)));
  if (spread) spread = s.builder.unary(Op::square_root, *spread);
  if (spread) spread = s.builder.binary(Op::divide, *centred, *spread);
  if (!spread) return std::move(spread).error();
  auto out = s.builder.binary(Op::multiply, Builder::reshape(*spread, x.dims), s.in(1));
  if (out && s.has(2)) out = s.builder.binary(Op::add, *out, s.in(2));
  return one(std::move(out));
}

// The windows of a convolution or a pool over [1, channels, positions...].
struct Windows {
  std::vector<std::int64_t> kernel, strides, dilations, begins, ends, places;  // ends: padding behind
};

Result<Windows> windows_of(Site& s, const Value& x, std::vector<std::int64_t> kernel) {
  Windows w;
  w.kernel = std::move(kernel);
  const std::size_t rank = w.kernel.size();
  if (x.dims.size() != rank + 2 || rank == 0 || rank > 2 || x.dims[0] != 1)
    return s.unsupported("input " + spell(x.dims) + " for windows of " + std::to_string(rank) +
                         " dimensions");
  w.strides = s.node.integers("strides");
  w.dilations = s.node.integers("dilations");
  auto pads = s.node.integers("pads");
  if (w.strides.empty()) w.strides.assign(rank, 1);
  if (w.dilations.empty()) w.dilations.assign(rank, 1);
  if (pads.empty()) pads.assign(2 * rank, 0);
  if (w.strides.size() != rank || w.dilations.size() != rank || pads.size() != 2 * rank)
    return s.corrupt("strides, dilations or pads of other dimensions");
  const auto mode = s.node.text("auto_pad", "NOTSET");
  for (std::size_t i = 0; i < rank; ++i) {
    const auto sane = [](std::int64_t value, std::int64_t low) { return value >= low && value <= 65536; };
    if (!sane(w.kernel[i], 1) || !sane(w.strides[i], 1) || !sane(w.dilations[i], 1) || !sane(pads[i], 0) ||
        !sane(pads[rank + i], 0) || !sane(x.dims[i + 2], 1)) {
      return s.corrupt("windows that make no sense");
    }
    const std::int64_t reach = (w.kernel[i] - 1) * w.dilations[i] + 1, dim = x.dims[i + 2];
    std::int64_t before = pads[i], after = pads[rank + i];
    if (mode == "SAME_UPPER" || mode == "SAME_LOWER") {
      const auto places = (dim + w.strides[i] - 1) / w.strides[i];
      const auto all = std::max<std::int64_t>(0, (places - 1) * w.strides[i] + reach - dim);
      before = mode == "SAME_UPPER" ? all / 2 : all - all / 2;
      after = all - before;
    } else if (mode == "VALID") {
      before = after = 0;
    } else if (mode != "NOTSET") {
      return s.unsupported("auto_pad " + std::string(mode));
    }
    w.begins.push_back(before);
    w.ends.push_back(after);
    if (dim + before + after < reach) return s.corrupt("a window larger than its input");
    auto room = dim + before + after - reach;
    if (s.node.integer("ceil_mode", 0) != 0) {
      // A window more, if it begins inside the input or the padding before it.
      auto places = (room + w.strides[i] - 1) / w.strides[i] + 1;
      if ((places - 1) * w.strides[i] >= dim + before) --places;
      w.places.push_back(places);
    } else {
      w.places.push_back(room / w.strides[i] + 1);
    }
  }
  return w;
}

// [channels of the group, windows, places in a window] numbers of x, or `outside` where a window hangs over;
// in the order windows, channels, places if `by_window`.
std::vector<std::uint32_t> window_picks(const Value& x, const Windows& w, std::size_t first_channel,
                                        std::size_t channels, bool by_window, std::uint32_t outside) {
  const std::size_t rank = w.kernel.size();
  const std::int64_t height = rank == 2 ? x.dims[2] : 1, width = x.dims.back();
  const auto at = [&](const std::vector<std::int64_t>& of, std::size_t axis, std::int64_t otherwise) {
    return rank == 2 ? of[axis] : axis == 1 ? of[0] : otherwise;
  };
  const std::int64_t rows = at(w.places, 0, 1), columns = at(w.places, 1, 1), tall = at(w.kernel, 0, 1),
                     wide = at(w.kernel, 1, 1);
  std::vector<std::uint32_t> picks;
  const auto window = [&](std::size_t channel, std::int64_t row, std::int64_t column) {
    for (std::int64_t i = 0; i < tall; ++i) {
      for (std::int64_t j = 0; j < wide; ++j) {
        const auto y = row * at(w.strides, 0, 1) - at(w.begins, 0, 0) + i * at(w.dilations, 0, 1);
        const auto z = column * at(w.strides, 1, 1) - at(w.begins, 1, 0) + j * at(w.dilations, 1, 1);
        const bool inside = y >= 0 && y < height && z >= 0 && z < width;
        const auto number = (static_cast<std::int64_t>(channel) * height + y) * width + z;
        picks.push_back(inside ? static_cast<std::uint32_t>(number) : outside);
      }
    }
  };
  if (by_window) {
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t column = 0; column < columns; ++column) {
        for (std::size_t c = 0; c < channels; ++c) window(first_channel + c, row, column);
      }
    }
  } else {
    for (std::size_t c = 0; c < channels; ++c) {
      for (std::int64_t row = 0; row < rows; ++row) {
        for (std::int64_t column = 0; column < columns; ++column) window(first_channel + c, row, column);
      }
    }
  }
  return picks;
}

// One more number behind x, for windows that hang over.
Result<Value> with_outside(Site& s, const Value& x, double outside) {
  const auto count = static_cast<std::int64_t>(x.size());
  const Value last = Builder::constant({outside}, {1}, x.element);
  return s.builder.concat({Builder::reshape(x, {count}), last}, 0);
}

Result<Outputs> conv(Site& s) {
  if (!s.has(1)) return s.corrupt("no weights");
  const Value &x = s.in(0), &weights = s.in(1);
  if (weights.dims.size() < 3) return s.corrupt("weights " + spell(weights.dims));
  auto w = windows_of(s, x, Dims(weights.dims.begin() + 2, weights.dims.end()));
  if (!w) return std::move(w).error();
  const std::int64_t groups = s.node.integer("group", 1), filters = weights.dims[0];
  if (groups < 1 || groups > 65536 || filters % groups != 0 || weights.dims[1] * groups != x.dims[1])
    return s.corrupt("weights " + spell(weights.dims) + " for input " + spell(x.dims));
  const std::size_t channels = static_cast<std::size_t>(weights.dims[1]), windows = volume(w->places),
                    each = channels * volume(w->kernel);
  if (windows > TensorProgram::kSizeMax || each > TensorProgram::kSizeMax ||
      windows * each > TensorProgram::kSizeMax || groups > 4096) {
    return s.unsupported("windows of so many numbers");
  }
  auto padded = with_outside(s, x, 0);
  if (!padded) return std::move(padded).error();
  const std::int64_t own = filters / groups;
  std::vector<Value> parts;
  for (std::int64_t g = 0; g < groups; ++g) {
    auto picked = s.builder.pick({*padded},
                                 window_picks(x, *w, static_cast<std::size_t>(g) * channels, channels, true,
                                              static_cast<std::uint32_t>(x.size())),
                                 {static_cast<std::int64_t>(windows), static_cast<std::int64_t>(each)});
    if (!picked) return std::move(picked).error();
    const Value flat = Builder::reshape(weights, {filters, static_cast<std::int64_t>(each)});
    std::vector<std::uint32_t> rows(static_cast<std::size_t>(own) * each);
    for (std::size_t i = 0; i < rows.size(); ++i)
      rows[i] = static_cast<std::uint32_t>(static_cast<std::size_t>(g * own) * each + i);
    auto filter = groups == 1
                      ? Result<Value>(flat)
                      : s.builder.pick({flat}, std::move(rows), {own, static_cast<std::int64_t>(each)});
    if (!filter) return std::move(filter).error();
    auto turned = s.builder.transpose(*filter, {1, 0});
    if (!turned) return std::move(turned).error();
    auto out = s.builder.matmul(*picked, *turned);
    if (out) out = s.builder.transpose(*out, {1, 0});
    if (!out) return std::move(out).error();
    parts.push_back(std::move(*out));
  }
  auto out = parts.size() == 1 ? Result<Value>(parts[0]) : s.builder.concat(parts, 0);
  if (!out) return std::move(out).error();
  Dims dims = {1, filters};
  dims.insert(dims.end(), w->places.begin(), w->places.end());
  *out = Builder::reshape(*out, dims);
  if (s.has(2)) {
    if (static_cast<std::int64_t>(s.in(2).size()) != filters) return s.corrupt("a bias of other channels");
    out = s.builder.binary(Op::add, *out, for_channels(s.in(2), dims.size()));
  }
  return one(std::move(out));
}

Result<Outputs> pool(Site& s) {
  const Value& x = s.in(0);
  const bool is_mean = s.node.op == "AveragePool";
  if (s.wanted.size() > 1 && s.wanted[1]) return s.unsupported("the indices of the highest");
  auto w = windows_of(s, x, s.node.integers("kernel_shape"));
  if (!w) return std::move(w).error();
  const std::size_t channels = static_cast<std::size_t>(x.dims[1]), windows = volume(w->places),
                    each = volume(w->kernel);
  if (windows > TensorProgram::kSizeMax || channels * windows > TensorProgram::kSizeMax ||
      channels * windows * each > TensorProgram::kSizeMax) {
    return s.unsupported("windows of so many numbers");
  }
  auto padded = with_outside(s, x, is_mean ? 0 : -std::numeric_limits<double>::infinity());
  if (!padded) return std::move(padded).error();
  const auto outside = static_cast<std::uint32_t>(x.size());
  auto picks = window_picks(x, *w, 0, channels, false, outside);
  std::vector<double> counts;  // what each window is divided by
  const bool with_padding = s.node.integer("count_include_pad", 0) != 0;
  for (std::size_t i = 0; is_mean && i < picks.size(); i += each) {
    const auto beyond = std::count(picks.begin() + static_cast<std::ptrdiff_t>(i),
                                   picks.begin() + static_cast<std::ptrdiff_t>(i + each), outside);
    counts.push_back(static_cast<double>(each) - (with_padding ? 0 : static_cast<double>(beyond)));
  }
  Dims dims = {1, x.dims[1]};
  dims.insert(dims.end(), w->places.begin(), w->places.end());
  const auto all = static_cast<std::int64_t>(channels * windows);
  auto out = s.builder.pick({*padded}, std::move(picks), {all, static_cast<std::int64_t>(each)});
  if (out) out = s.builder.along(is_mean ? Op::sum : Op::highest, *out, 1);
  if (!out) return std::move(out).error();
  *out = Builder::reshape(*out, dims);
  if (is_mean)
    out = s.builder.binary(Op::divide, *out, Builder::constant(std::move(counts), dims, x.element));
  return one(std::move(out));
}

Result<Outputs> global_pool(Site& s) {
  const Value& x = s.in(0);
  if (x.dims.size() < 3 || x.size() == 0) return s.corrupt("input " + spell(x.dims));
  const auto channels = x.dims[0] * x.dims[1];
  const Op op = s.node.op == "GlobalAveragePool" ? Op::mean : Op::highest;
  auto out =
      s.builder.along(op, Builder::reshape(x, {channels, static_cast<std::int64_t>(x.size()) / channels}), 1);
  if (!out) return std::move(out).error();
  Dims dims(x.dims.size(), 1);
  dims[0] = x.dims[0];
  dims[1] = x.dims[1];
  return Outputs{Builder::reshape(*out, std::move(dims))};
}

// What an LSTM, GRU or plain recurrent layer has for one direction.
struct Cell {
  Value input_weights, hidden_weights, input_bias, hidden_bias;  // [inputs, gates × size], [size, ...], [...]
  Value candidate_weights, candidate_bias;                       // of a GRU: split from those before
  std::vector<std::string> activations;
};

Result<Value> activate(Site& s, const std::string& name, const Value& x) {
  if (name == "Sigmoid") return s.builder.unary(Op::sigmoid, x);
  if (name == "Tanh") return s.builder.unary(Op::tanh, x);
  if (name == "Relu") return s.builder.unary(Op::relu, x);
  if (name == "HardSigmoid") return s.builder.unary(Op::hard_sigmoid, x, static_cast<double>(0.2f), 0.5);
  return s.unsupported("activation " + name);
}

// Numbers begin..end of the last dimension of [1, n].
Result<Value> part(Site& s, const Value& x, std::int64_t begin, std::int64_t end) {
  if (begin == 0 && end == x.dims.back()) return x;
  return s.builder.pick({x}, strided({1, end - begin}, {0, 1}, begin), {1, end - begin});
}

struct State {
  Value hidden, cell;
};

Result<State> lstm_step(Site& s, const Cell& cell, const Value& input, const State& before,
                        std::int64_t size) {
  Builder& b = s.builder;
  auto gates = b.matmul(before.hidden, cell.hidden_weights);
  if (gates) gates = b.binary(Op::add, input, *gates);
  if (!gates) return std::move(gates).error();
  // In the order of ONNX: input, output, forget, cell.
  Value parts[4];
  for (std::int64_t i = 0; i < 4; ++i) {
    auto own = part(s, *gates, i * size, (i + 1) * size);
    if (own) own = activate(s, cell.activations[i == 3 ? 1 : 0], *own);
    if (!own) return std::move(own).error();
    parts[i] = std::move(*own);
  }
  auto kept = b.binary(Op::multiply, parts[2], before.cell);
  auto added = b.binary(Op::multiply, parts[0], parts[3]);
  if (!kept || !added) return s.corrupt("gates that do not fit each other");
  auto next = b.binary(Op::add, *kept, *added);
  if (!next) return std::move(next).error();
  auto shown = activate(s, cell.activations[2], *next);
  if (shown) shown = b.binary(Op::multiply, parts[1], *shown);
  if (!shown) return std::move(shown).error();
  return State{std::move(*shown), std::move(*next)};
}

Result<State> gru_step(Site& s, const Cell& cell, const Value& input, const State& before, std::int64_t size,
                       bool reset_behind) {
  Builder& b = s.builder;
  auto gate_input = part(s, input, 0, 2 * size), candidate_input = part(s, input, 2 * size, 3 * size);
  if (!gate_input || !candidate_input) return s.unsupported("weights of this size");
  auto gates = b.matmul(before.hidden, cell.hidden_weights);
  if (gates) gates = b.binary(Op::add, *gates, cell.hidden_bias);
  if (gates) gates = b.binary(Op::add, *gates, *gate_input);
  if (gates) gates = activate(s, cell.activations[0], *gates);
  if (!gates) return std::move(gates).error();
  auto update = part(s, *gates, 0, size), reset = part(s, *gates, size, 2 * size);
  if (!update || !reset) return s.unsupported("weights of this size");
  Result<Value> candidate = before.hidden;
  if (reset_behind) {
    candidate = b.matmul(before.hidden, cell.candidate_weights);
    if (candidate) candidate = b.binary(Op::add, *candidate, cell.candidate_bias);
    if (candidate) candidate = b.binary(Op::multiply, *candidate, *reset);
  } else {
    candidate = b.binary(Op::multiply, before.hidden, *reset);
    if (candidate) candidate = b.matmul(*candidate, cell.candidate_weights);
    if (candidate) candidate = b.binary(Op::add, *candidate, cell.candidate_bias);
  }
  if (candidate) candidate = b.binary(Op::add, *candidate, *candidate_input);
  if (candidate) candidate = activate(s, cell.activations[1], *candidate);
  if (!candidate) return std::move(candidate).error();
  // (1 - update) × candidate + update × before.
  auto rest = b.binary(Op::subtract, Builder::scalar(1, input.element), *update);
  if (rest) rest = b.binary(Op::multiply, *rest, *candidate);
  auto kept = b.binary(Op::multiply, *update, before.hidden);
  if (!rest || !kept) return s.corrupt("gates that do not fit each other");
  auto next = b.binary(Op::add, *rest, *kept);
  if (!next) return std::move(next).error();
  return State{std::move(*next), {}};
}

Result<State> plain_step(Site& s, const Cell& cell, const Value& input, const State& before) {
  auto next = s.builder.matmul(before.hidden, cell.hidden_weights);
  if (next) next = s.builder.binary(Op::add, *next, input);
  if (next) next = activate(s, cell.activations[0], *next);
  if (!next) return std::move(next).error();
  return State{std::move(*next), {}};
}

// Piece `index` of the first dimension, without it.
Result<Value> piece(Site& s, const Value& x, std::int64_t index) {
  const Dims dims(x.dims.begin() + 1, x.dims.end());
  const auto count = static_cast<std::int64_t>(volume(dims));
  return s.builder.pick({x}, strided(dims, strides_of(dims), index * count), dims);
}

Result<Outputs> recurrent(Site& s) {
  const bool is_lstm = s.node.op == "LSTM", is_gru = s.node.op == "GRU";
  const std::int64_t gates = is_lstm ? 4 : is_gru ? 3 : 1;
  const auto direction = s.node.text("direction", "forward");
  const std::int64_t directions = direction == "bidirectional" ? 2 : 1;
  if (direction != "forward" && direction != "reverse" && directions == 1)
    return s.unsupported("direction " + std::string(direction));
  if (s.node.integer("layout", 0) != 0) return s.unsupported("layout 1");
  if (s.node.find("clip") != nullptr) return s.unsupported("clip");
  if (s.node.integer("input_forget", 0) != 0) return s.unsupported("input_forget");
  if (s.node.find("activation_alpha") != nullptr || s.node.find("activation_beta") != nullptr)
    return s.unsupported("parameters of activations");
  if (s.has(7)) return s.unsupported("peepholes");
  if (!s.has(1) || !s.has(2)) return s.corrupt("no weights");
  const Value &x = s.in(0), &w = s.in(1), &r = s.in(2);
  if (x.dims.size() != 3 || w.dims.size() != 3 || r.dims.size() != 3 || x.dims[1] != 1)
    return s.unsupported("input " + spell(x.dims) + ": not one sequence a row");
  const std::int64_t steps = x.dims[0], size = r.dims[2];
  if (steps < 1 || steps > static_cast<std::int64_t>(kSequenceMax) || size < 1)
    return s.unsupported("a sequence of " + std::to_string(steps) + " steps");
  if (w.dims != Dims{directions, gates * size, x.dims[2]} || r.dims != Dims{directions, gates * size, size} ||
      (s.has(3) && s.in(3).dims != Dims{directions, 2 * gates * size})) {
    return s.corrupt("weights that do not fit each other");
  }
  if (s.has(4)) {  // lengths of the sequences: only all of it
    if (!s.in(4).is_known() || s.in(4).size() != 1 || (*s.in(4).known)[0] != static_cast<double>(steps))
      return s.unsupported("sequences of other lengths than the input");
  }
  auto names = s.node.find("activations") != nullptr ? s.node.find("activations")->strings
                                                     : std::vector<std::string_view>();
  const std::size_t each = is_lstm ? 3 : is_gru ? 2 : 1;
  if (names.empty()) {
    for (std::int64_t d = 0; d < directions; ++d) {
      if (is_lstm || is_gru) names.emplace_back("Sigmoid");
      names.emplace_back("Tanh");
      if (is_lstm) names.emplace_back("Tanh");
    }
  }
  if (names.size() != each * static_cast<std::size_t>(directions))
    return s.corrupt(std::to_string(names.size()) + " activations");
  const auto zeros =
      Builder::constant(std::vector<double>(static_cast<std::size_t>(size), 0), {1, size}, x.element);
  std::vector<std::vector<Value>> shown(static_cast<std::size_t>(steps));
  std::vector<Value> last_hidden, last_cell;
  Builder& b = s.builder;
  for (std::int64_t d = 0; d < directions; ++d) {
    Cell cell;
    for (std::size_t i = 0; i < each; ++i)
      cell.activations.emplace_back(names[static_cast<std::size_t>(d) * each + i]);
    auto wi = piece(s, w, d), wr = piece(s, r, d);
    if (wi) wi = b.transpose(*wi, {1, 0});
    if (wr) wr = b.transpose(*wr, {1, 0});
    if (!wi) return std::move(wi).error();
    if (!wr) return std::move(wr).error();
    cell.input_weights = *wi;
    cell.hidden_weights = *wr;
    Value bias = Builder::constant(std::vector<double>(static_cast<std::size_t>(2 * gates * size), 0),
                                   {1, 2 * gates * size}, x.element);
    if (s.has(3)) {
      auto own = piece(s, s.in(3), d);
      if (!own) return std::move(own).error();
      bias = Builder::reshape(*own, {1, 2 * gates * size});
    }
    auto input_bias = part(s, bias, 0, gates * size),
         hidden_bias = part(s, bias, gates * size, 2 * gates * size);
    if (!input_bias || !hidden_bias) return s.unsupported("weights of this size");
    if (!is_gru) {  // the two are only ever added up
      input_bias = b.binary(Op::add, *input_bias, *hidden_bias);
      if (!input_bias) return std::move(input_bias).error();
    }
    cell.hidden_bias = *hidden_bias;
    if (is_gru) {  // in the order of ONNX: update, reset, candidate
      const auto columns = [&](std::int64_t begin, std::int64_t end) {
        return b.pick({*wr}, strided({size, end - begin}, {gates * size, 1}, begin), {size, end - begin});
      };
      auto gate_weights = columns(0, 2 * size), candidate_weights = columns(2 * size, 3 * size);
      auto gate_bias = part(s, *hidden_bias, 0, 2 * size),
           candidate_bias = part(s, *hidden_bias, 2 * size, 3 * size);
      if (!gate_weights || !candidate_weights || !gate_bias || !candidate_bias)
        return s.unsupported("weights of this size");
      cell.hidden_weights = *gate_weights;
      cell.candidate_weights = *candidate_weights;
      cell.hidden_bias = *gate_bias;
      cell.candidate_bias = *candidate_bias;
    }
    auto inputs = b.matmul(Builder::reshape(x, {steps, x.dims[2]}), cell.input_weights);
    if (inputs) inputs = b.binary(Op::add, *inputs, *input_bias);
    if (!inputs) return std::move(inputs).error();
    State state{zeros, zeros};
    for (const std::size_t input : {std::size_t{5}, std::size_t{6}}) {
      if (!s.has(input) || (input == 6 && !is_lstm)) continue;
      if (s.in(input).dims != Dims{directions, 1, size}) return s.corrupt("a state of another shape");
      auto own = piece(s, s.in(input), d);
      if (!own) return std::move(own).error();
      (input == 5 ? state.hidden : state.cell) = *own;
    }
    const bool backward = direction == "reverse" || d == 1;
    for (std::int64_t i = 0; i < steps; ++i) {
      const std::int64_t t = backward ? steps - 1 - i : i;
      auto input = piece(s, *inputs, t);
      if (!input) return std::move(input).error();
      *input = Builder::reshape(*input, {1, gates * size});
      auto next = is_lstm ? lstm_step(s, cell, *input, state, size)
                  : is_gru
                      ? gru_step(s, cell, *input, state, size, s.node.integer("linear_before_reset", 0) != 0)
                      : plain_step(s, cell, *input, state);
      if (!next) return std::move(next).error();
      state = std::move(*next);
      shown[static_cast<std::size_t>(t)].push_back(state.hidden);
    }
    last_hidden.push_back(state.hidden);
    last_cell.push_back(state.cell);
  }
  // Y: [steps, directions, 1, size]; the last states: [directions, 1, size].
  Outputs out(3);
  if (!s.wanted.empty() && s.wanted[0]) {
    std::vector<Value> all;
    for (const auto& step : shown) all.insert(all.end(), step.begin(), step.end());
    auto y = b.concat(all, 0);
    if (!y) return std::move(y).error();
    out[0] = Builder::reshape(*y, {steps, directions, 1, size});
  }
  for (const std::size_t which : {std::size_t{1}, std::size_t{2}}) {
    if (which >= s.wanted.size() || !s.wanted[which] || (which == 2 && !is_lstm)) continue;
    auto y = b.concat(which == 1 ? last_hidden : last_cell, 0);
    if (!y) return std::move(y).error();
    out[which] = Builder::reshape(*y, {directions, 1, size});
  }
  return out;
}

}  // namespace

Translator find_layer(std::string_view op) {
  static constexpr std::pair<std::string_view, Translator> kAll[] = {
      {"BatchNormalization", batch_normalization},
      {"LayerNormalization", layer_normalization},
      {"Conv", conv},
      {"MaxPool", pool},
      {"AveragePool", pool},
      {"GlobalAveragePool", global_pool},
      {"GlobalMaxPool", global_pool},
      {"LSTM", recurrent},
      {"GRU", recurrent},
      {"RNN", recurrent},
  };
  for (const auto& [known, translator] : kAll) {
    if (known == op) return translator;
  }
  return nullptr;
}

}  // namespace nidus::interop::internal::onnx
