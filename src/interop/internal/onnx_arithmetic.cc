#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "interop/internal/onnx_operators.h"

namespace nidus::interop::internal::onnx {
namespace {

using Op = Builder::Op;

struct Named {
  std::string_view name;
  Op op;
};

constexpr Named kUnary[] = {
    {"Abs", Op::absolute},          {"Ceil", Op::ceiling},     {"Erf", Op::error_function},
    {"Exp", Op::exponential},       {"Floor", Op::floor},      {"IsNaN", Op::is_missing},
    {"Log", Op::logarithm},         {"Neg", Op::negate},       {"Not", Op::logical_not},
    {"Reciprocal", Op::reciprocal}, {"Relu", Op::relu},        {"Round", Op::round},
    {"Sigmoid", Op::sigmoid},       {"Sign", Op::sign},        {"Softplus", Op::softplus},
    {"Softsign", Op::softsign},     {"Sqrt", Op::square_root}, {"Tanh", Op::tanh},
};

constexpr Named kBinary[] = {
    {"Add", Op::add},      {"And", Op::logical_and}, {"Div", Op::divide},
    {"Equal", Op::equal},  {"Less", Op::less},       {"LessOrEqual", Op::less_or_equal},
    {"Mul", Op::multiply}, {"Or", Op::logical_or},   {"PRelu", Op::prelu},
    {"Pow", Op::power},    {"Sub", Op::subtract},
};

constexpr Named kReductions[] = {
    {"ReduceL1", Op::sum_of_absolutes},
    {"ReduceL2", Op::sum_of_squares},
    {"ReduceLogSum", Op::sum},
    {"ReduceLogSumExp", Op::sum},
    {"ReduceMax", Op::highest},
    {"ReduceMean", Op::mean},
    {"ReduceMin", Op::lowest},
    {"ReduceProd", Op::product},
    {"ReduceSum", Op::sum},
    {"ReduceSumSquare", Op::sum_of_squares},
};

template <std::size_t n>
const Named* find(const Named (&table)[n], std::string_view name) {
  const auto* found = std::find_if(table, table + n, [&](const Named& each) { return each.name == name; });
  return found == table + n ? nullptr : found;
}

Result<Outputs> unary(Site& s) { return one(s.builder.unary(find(kUnary, s.node.op)->op, s.in(0))); }

Result<Outputs> with_slopes(Site& s) {
  const auto alpha = [&](float otherwise) { return static_cast<double>(s.node.number("alpha", otherwise)); };
  Builder& b = s.builder;
  if (s.node.op == "LeakyRelu") return one(b.unary(Op::leaky_relu, s.in(0), alpha(0.01f)));
  if (s.node.op == "Elu") return one(b.unary(Op::elu, s.in(0), alpha(1)));
  if (s.node.op == "Selu") {
    const float gamma = s.node.number("gamma", 1.05070102214813232421875f);
    return one(b.unary(Op::selu, s.in(0), alpha(1.67326319217681884765625f), static_cast<double>(gamma)));
  }
  if (s.node.op == "HardSigmoid") {
    return one(
        b.unary(Op::hard_sigmoid, s.in(0), alpha(0.2f), static_cast<double>(s.node.number("beta", 0.5f))));
  }
  if (s.node.op == "HardSwish") {
    auto gate = b.unary(Op::hard_sigmoid, s.in(0), 1.0 / 6, 0.5);
    return gate ? one(b.binary(Op::multiply, s.in(0), *gate)) : std::move(gate).error();
  }
  // Gelu: x/2 (1 + erf(x / sqrt 2)).
  if (s.node.text("approximate", "none") != "none") return s.unsupported("an approximation of Gelu");
  auto x = b.binary(Op::multiply, s.in(0), std::sqrt(0.5));
  if (x) x = b.unary(Op::error_function, *x);
  if (x) x = b.binary(Op::add, *x, 1);
  if (x) x = b.binary(Op::multiply, *x, s.in(0));
  if (x) x = b.binary(Op::multiply, *x, 0.5);
  return one(std::move(x));
}

Result<Outputs> binary(Site& s) {
  if (!s.has(1)) return s.corrupt("one operand");
  Value x = s.in(0), y = s.in(1);
  std::string_view op = s.node.op;
  if (op == "Greater" || op == "GreaterOrEqual") {
    std::swap(x, y);
    op = op == "Greater" ? "Less" : "LessOrEqual";
  }
  if (op == "Xor") {
    auto left = s.builder.cast(x, Element::boolean), right = s.builder.cast(y, Element::boolean);
    if (!left || !right) return s.unsupported("texts");
    auto equal = s.builder.binary(Op::equal, *left, *right);
    return equal ? one(s.builder.unary(Op::logical_not, *equal)) : std::move(equal).error();
  }
  auto out = s.builder.binary(find(kBinary, op)->op, x, y);
  if (out && op == "Div" && x.element == Element::i64) out = s.builder.unary(Op::truncate, *out);
  return one(std::move(out));
}

Result<Outputs> several(Site& s) {
  const bool mean = s.node.op == "Mean";
  const Op op = s.node.op == "Min" ? Op::minimum : s.node.op == "Max" ? Op::maximum : Op::add;
  Value so_far = s.in(0);
  for (std::size_t i = 1; i < s.inputs.size(); ++i) {
    auto next = s.builder.binary(op, so_far, s.in(i));
    if (!next) return std::move(next).error();
    so_far = std::move(*next);
  }
  if (!mean) return Outputs{so_far};
  return one(s.builder.binary(Op::divide, so_far, static_cast<double>(s.inputs.size())));
}

Result<Outputs> clip(Site& s) {
  Value x = s.in(0);
  for (const bool low : {true, false}) {
    const std::size_t input = low ? 1 : 2;
    Value limit;
    if (s.opset < 11) {
      if (s.node.find(low ? "min" : "max") == nullptr) continue;
      limit = Builder::scalar(static_cast<double>(s.node.number(low ? "min" : "max", 0)), x.element);
    } else {
      if (!s.has(input)) continue;
      limit = s.in(input);
    }
    auto next = s.builder.binary(low ? Op::maximum : Op::minimum, x, limit);
    if (!next) return std::move(next).error();
    x = std::move(*next);
  }
  return Outputs{x};
}

Result<Outputs> cast(Site& s) {
  const auto to = static_cast<Element>(std::clamp<std::int64_t>(s.node.integer("to", 0), 0, 255));
  if (to == Element::f32 || to == Element::f64 || to == Element::boolean)
    return one(s.builder.cast(s.in(0), to));
  if (to == Element::text || to == Element::f16 || to == Element::none || to > Element::u64)
    return s.unsupported("a cast to " + name(to));
  return one(s.builder.cast(s.in(0), Element::i64));
}

Result<Outputs> where(Site& s) {
  if (!s.has(1) || !s.has(2)) return s.corrupt("less than three operands");
  return one(s.builder.select(s.in(0), s.in(1), s.in(2)));
}

Result<Outputs> reduce(Site& s) {
  const Value& x = s.in(0);
  auto axes = s.node.integers("axes");
  if (s.has(1)) {
    auto known = s.known_integers(1);
    if (!known) return std::move(known).error();
    axes = *known;
  }
  const bool keep = s.node.integer("keepdims", 1) != 0;
  if (axes.empty()) {
    if (s.node.integer("noop_with_empty_axes", 0) != 0) return Outputs{x};
    for (std::size_t i = 0; i < x.dims.size(); ++i) axes.push_back(static_cast<std::int64_t>(i));
  }
  const std::string_view op = s.node.op;
  Value out = x;
  std::vector<std::size_t> places;
  for (const auto axis : axes) {
    auto at = Site::axis_of(axis, x.dims.size());
    if (!at) return s.corrupt(at.error().message);
    places.push_back(*at);
  }
  std::sort(places.begin(), places.end());
  places.erase(std::unique(places.begin(), places.end()), places.end());
  Value highest;
  if (op == "ReduceLogSumExp") {  // without overflow: the highest goes out and comes back
    for (const auto at : places) {
      auto next = s.builder.along(Op::highest, out, at);
      if (!next) return std::move(next).error();
      out = std::move(*next);
    }
    highest = out;
    auto shifted = s.builder.binary(Op::subtract, x, highest);
    if (shifted) shifted = s.builder.unary(Op::exponential, *shifted);
    if (!shifted) return std::move(shifted).error();
    out = std::move(*shifted);
  }
  Op each = find(kReductions, op)->op;
  // Neighbouring axes are one to a program, which keeps the order of the sum.
  for (std::size_t i = 0; i < places.size(); ++i) {
    auto next = s.builder.along(each, out, places[i]);
    if (!next) return std::move(next).error();
    out = std::move(*next);
    if (each == Op::sum_of_absolutes || each == Op::sum_of_squares) each = Op::sum;
  }
  Result<Value> last = out;
  if (op == "ReduceL2") last = s.builder.unary(Op::square_root, out);
  if (op == "ReduceLogSum" || op == "ReduceLogSumExp") last = s.builder.unary(Op::logarithm, out);
  if (last && op == "ReduceLogSumExp") last = s.builder.binary(Op::add, *last, highest);
  if (!last) return std::move(last).error();
  out = std::move(*last);
  if (!keep) {
    Dims dims;
    for (std::size_t i = 0; i < x.dims.size(); ++i) {
      if (!std::binary_search(places.begin(), places.end(), i)) dims.push_back(x.dims[i]);
    }
    out = Builder::reshape(out, std::move(dims));
  }
  return Outputs{out};
}

Result<Outputs> arg(Site& s) {
  if (s.node.integer("select_last_index", 0) != 0) return s.unsupported("select_last_index");
  const Value& x = s.in(0);
  auto axis = Site::axis_of(s.node.integer("axis", 0), x.dims.size());
  if (!axis) return s.corrupt(axis.error().message);
  auto out = s.builder.along(s.node.op == "ArgMax" ? Op::index_of_highest : Op::index_of_lowest, x, *axis);
  if (!out || s.node.integer("keepdims", 1) != 0) return one(std::move(out));
  Dims dims = out->dims;
  dims.erase(dims.begin() + static_cast<std::ptrdiff_t>(*axis));
  return Outputs{Builder::reshape(*out, std::move(dims))};
}

Result<Outputs> softmax(Site& s) {
  const Value& x = s.in(0);
  const Op op = s.node.op == "Softmax" ? Op::softmax : Op::log_softmax;
  auto axis = Site::axis_of(s.node.integer("axis", s.opset < 13 ? 1 : -1), x.dims.size());
  if (!axis) return s.corrupt(axis.error().message);
  if (s.opset >= 13) return one(s.builder.along(op, x, *axis));
  // Of old, everything from the axis on was one dimension.
  std::int64_t rest = 1;
  for (std::size_t i = *axis; i < x.dims.size(); ++i) rest *= x.dims[i];
  const auto outer = rest == 0 ? 0 : static_cast<std::int64_t>(x.size()) / rest;
  auto out = s.builder.along(op, Builder::reshape(x, {outer, rest}), 1);
  if (!out) return std::move(out).error();
  return Outputs{Builder::reshape(*out, x.dims)};
}

Result<Value> turned(Site& s, const Value& x, bool turn) {
  if (x.dims.size() != 2) return s.corrupt("a matrix of shape " + spell(x.dims));
  if (!turn) return x;
  return s.builder.transpose(x, {1, 0});
}

Result<Outputs> gemm(Site& s) {
  if (!s.has(1)) return s.corrupt("one matrix");
  auto left = turned(s, s.in(0), s.node.integer("transA", 0) != 0);
  auto right = turned(s, s.in(1), s.node.integer("transB", 0) != 0);
  if (!left) return std::move(left).error();
  if (!right) return std::move(right).error();
  auto out = s.builder.matmul(*left, *right);
  const double alpha = static_cast<double>(s.node.number("alpha", 1)),
               beta = static_cast<double>(s.node.number("beta", 1));
  if (out && alpha != 1) out = s.builder.binary(Op::multiply, *out, alpha);
  if (out && s.has(2)) {
    Result<Value> bias = s.in(2);
    if (beta != 1) bias = s.builder.binary(Op::multiply, *bias, beta);
    if (!bias) return std::move(bias).error();
    out = s.builder.binary(Op::add, *out, *bias);
  }
  return one(std::move(out));
}

Result<Outputs> matmul(Site& s) {
  if (!s.has(1)) return s.corrupt("one matrix");
  Value x = s.in(0), y = s.in(1);
  if (x.dims.empty() || y.dims.empty()) return s.corrupt("a product of single numbers");
  if (y.dims.size() == 1) {
    auto out = s.builder.matmul(x, Builder::reshape(y, {y.dims[0], 1}));
    if (!out) return std::move(out).error();
    Dims dims = out->dims;
    dims.pop_back();
    return Outputs{Builder::reshape(*out, std::move(dims))};
  }
  while (y.dims.size() > 2 && y.dims[0] == 1) y.dims.erase(y.dims.begin());
  if (y.dims.size() != 2) return s.unsupported("a product of several matrices " + spell(s.in(1).dims));
  Dims lead(s.in(1).dims.size() > x.dims.size() ? s.in(1).dims.size() - x.dims.size() : 0, 1);
  auto out = s.builder.matmul(x, y);
  if (!out) return std::move(out).error();
  out->dims.insert(out->dims.begin(), lead.begin(), lead.end());
  return one(std::move(out));
}

Result<Outputs> range(Site& s) {
  if (!s.has(2)) return s.corrupt("less than three operands");
  std::array<double, 3> numbers{};
  for (std::size_t i = 0; i < 3; ++i) {
    if (!s.in(i).is_known() || s.in(i).size() != 1) return s.unsupported("a range that depends on the row");
    numbers[i] = (*s.in(i).known)[0];
  }
  const double steps = std::ceil((numbers[1] - numbers[0]) / numbers[2]);
  if (!(steps <= 65536)) return s.unsupported("a range of that many steps");
  std::vector<double> values;
  for (double i = 0; i < steps; ++i) values.push_back(numbers[0] + i * numbers[2]);
  const auto count = static_cast<std::int64_t>(values.size());
  return Outputs{Builder::constant(std::move(values), {count}, s.in(0).element)};
}

}  // namespace

Translator find_arithmetic(std::string_view op) {
  if (find(kUnary, op) != nullptr) return unary;
  if (find(kBinary, op) != nullptr || op == "Greater" || op == "GreaterOrEqual" || op == "Xor") return binary;
  if (find(kReductions, op) != nullptr) return reduce;
  static constexpr std::pair<std::string_view, Translator> kRest[] = {
      {"LeakyRelu", with_slopes}, {"Elu", with_slopes},  {"Selu", with_slopes}, {"HardSigmoid", with_slopes},
      {"HardSwish", with_slopes}, {"Gelu", with_slopes}, {"Sum", several},      {"Mean", several},
      {"Min", several},           {"Max", several},      {"Clip", clip},        {"Cast", cast},
      {"Where", where},           {"ArgMax", arg},       {"ArgMin", arg},       {"Softmax", softmax},
      {"LogSoftmax", softmax},    {"Gemm", gemm},        {"MatMul", matmul},    {"Range", range},
  };
  for (const auto& [known, translator] : kRest) {
    if (known == op) return translator;
  }
  return nullptr;
}

}  // namespace nidus::interop::internal::onnx
