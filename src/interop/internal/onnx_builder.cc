#include "interop/internal/onnx_builder.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/text.h"

namespace nidus::interop::internal::onnx {
namespace {

using model::TensorProgram;

constexpr std::uint64_t kFoldedMax = 1u << 28;

// The dimensions that two shapes stretch to: https://onnx.ai/onnx/repo-docs/Broadcasting.html.
Result<Dims> stretched(const Dims& a, const Dims& b) {
  Dims out(std::max(a.size(), b.size()));
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto at = [&](const Dims& dims) {
      const std::size_t missing = out.size() - dims.size();
      return i < missing ? 1 : dims[i - missing];
    };
    const auto x = at(a), y = at(b);
    if (x != y && x != 1 && y != 1)
      return Error{Errc::corrupt, "shapes " + spell(a) + " and " + spell(b) + " do not go together"};
    out[i] = x == 1 ? y : x;
  }
  return out;
}

// Whether the numbers of `x`, repeated, are those of `x` stretched to `dims`.
bool repeats(const Dims& x, const Dims& dims) {
  std::size_t first = 0;
  while (first < x.size() && x[first] == 1) ++first;
  const std::size_t rest = x.size() - first;
  return rest <= dims.size() && std::equal(x.begin() + static_cast<std::ptrdiff_t>(first), x.end(),
                                           dims.end() - static_cast<std::ptrdiff_t>(rest));
}

}  // namespace

std::size_t volume(const Dims& dims) {
  std::size_t out = 1;
  for (const auto dim : dims) out *= static_cast<std::size_t>(dim);
  return out;
}

std::size_t Value::size() const { return volume(dims); }

std::vector<std::int64_t> strides_of(const Dims& dims) {
  std::vector<std::int64_t> out(dims.size());
  std::int64_t stride = 1;
  for (std::size_t i = dims.size(); i-- > 0;) {
    out[i] = stride;
    stride *= dims[i];
  }
  return out;
}

std::vector<std::uint32_t> strided(const Dims& dims, const std::vector<std::int64_t>& strides,
                                   std::int64_t begin) {
  std::vector<std::uint32_t> out(volume(dims));
  Dims index(dims.size(), 0);
  std::int64_t at = begin;
  for (auto& pick : out) {
    pick = static_cast<std::uint32_t>(at);
    for (std::size_t i = dims.size(); i-- > 0;) {
      at += strides[i];
      if (++index[i] < dims[i]) break;
      at -= strides[i] * dims[i];
      index[i] = 0;
    }
  }
  return out;
}

Value Builder::constant(std::vector<double> values, Dims dims, Element element) {
  Value out;
  out.element = element;
  out.dims = std::move(dims);
  out.known = std::make_shared<const std::vector<double>>(std::move(values));
  return out;
}

Value Builder::row(std::size_t begin, Dims dims, Element element) {
  Value out;
  out.element = element;
  out.dims = std::move(dims);
  if (begin == 0 && out.size() == inputs_) return out;
  Value whole;
  whole.element = element;
  whole.dims = {static_cast<std::int64_t>(inputs_)};
  auto picked =
      pick({whole}, strided(out.dims, strides_of(out.dims), static_cast<std::int64_t>(begin)), out.dims);
  return picked ? *picked : out;
}

std::uint32_t Builder::refer(const Value& value) {
  if (!value.is_known()) return value.ref;
  const auto next = static_cast<std::uint32_t>(constants_.size());
  const auto [found, is_new] = numbers_.emplace(value.known.get(), next);
  if (is_new) constants_.push_back(value.known);
  return kConstant + found->second;
}

Result<Value> Builder::emit(Step step, const std::vector<Value>& operands, Dims dims, Element element) {
  const std::size_t size = volume(dims);
  if (size > TensorProgram::kSizeMax || steps_.size() >= TensorProgram::kStepsMax ||
      picks_.size() + step.picks > TensorProgram::kNumbersMax * 4) {
    return Error{Errc::exhausted, "more than " + with_thousands(TensorProgram::kSizeMax) +
                                      " numbers in an array, or more steps than are allowed"};
  }
  step.size = static_cast<std::uint32_t>(size);
  step.single = element == Element::f32;
  Value out;
  out.element = element;
  out.dims = std::move(dims);
  bool all_known = true;
  for (const auto& operand : operands) all_known = all_known && operand.is_known();
  const std::size_t own = step.picks;
  if (size == 0) {
    picks_.resize(picks_.size() - own);
    return constant({}, std::move(out.dims), element);
  }
  if (all_known) {
    // A program of this step alone, run once.
    std::uint64_t work = size;
    TensorProgram::Parts parts;
    parts.inputs = 1;
    std::vector<double> doubles;
    for (std::size_t i = 0; i < operands.size(); ++i) {
      doubles.insert(doubles.end(), operands[i].known->begin(), operands[i].known->end());
      parts.constants.push_back({static_cast<std::uint32_t>(operands[i].known->size()), true});
      step.operands.push_back(static_cast<std::uint32_t>(1 + i));
      work += operands[i].known->size();
    }
    work *= step.op == Op::matmul ? std::max<std::uint32_t>(1, step.inner) : 1;
    folded_ += work;
    if (folded_ > kFoldedMax) return Error{Errc::exhausted, "too much to compute while reading"};
    parts.doubles = std::move(doubles);
    parts.picks = std::vector<std::uint32_t>(picks_.end() - static_cast<std::ptrdiff_t>(own), picks_.end());
    picks_.resize(picks_.size() - own);
    parts.output = static_cast<std::uint32_t>(1 + operands.size());
    parts.steps.push_back(std::move(step));
    auto program = TensorProgram::make(std::move(parts));
    if (!program) return std::move(program).error();
    std::vector<double> values(size);
    const double row = 0;
    program->run({&row, 1}, 1, values);
    return constant(std::move(values), std::move(out.dims), element);
  }
  for (const auto& operand : operands) step.operands.push_back(refer(operand));
  steps_.push_back(std::move(step));
  out.ref = static_cast<std::uint32_t>(steps_.size());
  return out;
}

Result<Value> Builder::unary(Op op, const Value& x, double a, double b) {
  Step step;
  step.op = op;
  step.a = a;
  step.b = b;
  const bool logical = op == Op::is_true || op == Op::logical_not || op == Op::is_missing;
  return emit(std::move(step), {x}, x.dims, logical ? Element::boolean : x.element);
}

Result<Value> Builder::broadcast(const Value& x, const Dims& dims) {
  if (repeats(x.dims, dims) || x.size() == 0) return x;
  auto strides = strides_of(x.dims);
  const std::size_t missing = dims.size() - x.dims.size();
  for (std::size_t i = 0; i < x.dims.size(); ++i) {
    if (x.dims[i] == 1) strides[i] = 0;
  }
  strides.insert(strides.begin(), missing, 0);
  if (volume(dims) > TensorProgram::kSizeMax) return Error{Errc::exhausted, "an array that is too large"};
  return pick({x}, strided(dims, strides), dims);
}

Result<Value> Builder::binary(Op op, const Value& x, const Value& y) {
  auto dims = stretched(x.dims, y.dims);
  if (!dims) return std::move(dims).error();
  auto left = broadcast(x, *dims), right = broadcast(y, *dims);
  if (!left) return left;
  if (!right) return right;
  Step step;
  step.op = op;
  const bool logical = op >= Op::less && op <= Op::logical_or;
  return emit(std::move(step), {*left, *right}, std::move(*dims), logical ? Element::boolean : x.element);
}

Result<Value> Builder::select(const Value& condition, const Value& x, const Value& y) {
  auto dims = stretched(x.dims, y.dims);
  if (!dims) return std::move(dims).error();
  dims = stretched(*dims, condition.dims);
  if (!dims) return std::move(dims).error();
  std::vector<Value> operands;
  for (const Value* each : {&condition, &x, &y}) {
    auto wide = broadcast(*each, *dims);
    if (!wide) return wide;
    operands.push_back(std::move(*wide));
  }
  Step step;
  step.op = Op::select;
  return emit(std::move(step), operands, std::move(*dims), x.element);
}

Result<Value> Builder::pick(const std::vector<Value>& from, std::vector<std::uint32_t> picks, Dims dims) {
  Step step;
  step.op = Op::pick;
  if (picks.size() > TensorProgram::kSizeMax || picks.size() != volume(dims))
    return Error{Errc::exhausted, "an array that is too large"};
  if (from[0].element == Element::text) {
    Value out = from[0];
    out.dims = std::move(dims);
    out.columns.clear();
    std::vector<std::uint32_t> all;
    for (const auto& part : from) all.insert(all.end(), part.columns.begin(), part.columns.end());
    for (const auto at : picks) {
      if (at >= all.size()) return Error{Errc::corrupt, "texts that are not of the row"};
      out.columns.push_back(all[at]);
    }
    return out;
  }
  step.picks = static_cast<std::uint32_t>(picks.size());
  picks_.insert(picks_.end(), picks.begin(), picks.end());
  return emit(std::move(step), from, std::move(dims), from[0].element);
}

Result<Value> Builder::rank(const Value& x, const Value& cuts, std::vector<std::uint32_t> picks) {
  Step step;
  step.op = Op::rank;
  step.picks = static_cast<std::uint32_t>(picks.size());
  const auto count = static_cast<std::int64_t>(picks.size() / 3);
  picks_.insert(picks_.end(), picks.begin(), picks.end());
  return emit(std::move(step), {x, cuts}, {1, count}, Element::f64);
}

Result<Value> Builder::transpose(const Value& x, const std::vector<std::size_t>& order) {
  const auto strides = strides_of(x.dims);
  Dims dims;
  std::vector<std::int64_t> moved;
  for (const auto axis : order) {
    dims.push_back(x.dims[axis]);
    moved.push_back(strides[axis]);
  }
  // Moving dimensions of 1 moves no number.
  std::vector<std::int64_t> before, after;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    if (x.dims[i] != 1) before.push_back(strides[i]);
    if (dims[i] != 1) after.push_back(moved[i]);
  }
  if (before == after) return reshape(x, std::move(dims));
  if (x.size() > TensorProgram::kSizeMax && !x.is_known())
    return Error{Errc::exhausted, "an array that is too large"};
  if (x.is_known()) {
    std::vector<double> values(x.size());
    const auto picks = strided(dims, moved);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = (*x.known)[picks[i]];
    return constant(std::move(values), std::move(dims), x.element);
  }
  auto picks = strided(dims, moved);
  return pick({x}, std::move(picks), std::move(dims));
}

Result<Value> Builder::concat(const std::vector<Value>& parts, std::size_t axis) {
  Dims dims = parts[0].dims;
  dims[axis] = 0;
  std::vector<std::uint32_t> begins;
  std::size_t begin = 0;
  for (const auto& part : parts) {
    if (part.dims.size() != dims.size()) return Error{Errc::corrupt, "parts of different ranks"};
    if (part.element == Element::text && parts[0].element != Element::text)
      return Error{Errc::unsupported, "texts beside numbers"};
    for (std::size_t i = 0; i < dims.size(); ++i) {
      if (i != axis && part.dims[i] != dims[i]) return Error{Errc::corrupt, "parts of different shapes"};
    }
    dims[axis] += part.dims[axis];
    begins.push_back(static_cast<std::uint32_t>(begin));
    begin += part.size();
  }
  if (volume(dims) > TensorProgram::kSizeMax) return Error{Errc::exhausted, "an array that is too large"};
  std::size_t outer = 1, inner = 1;
  for (std::size_t i = 0; i < axis; ++i) outer *= static_cast<std::size_t>(dims[i]);
  for (std::size_t i = axis + 1; i < dims.size(); ++i) inner *= static_cast<std::size_t>(dims[i]);
  std::vector<std::uint32_t> picks;
  picks.reserve(volume(dims));
  for (std::size_t o = 0; o < outer; ++o) {
    for (std::size_t k = 0; k < parts.size(); ++k) {
      const std::size_t piece = static_cast<std::size_t>(parts[k].dims[axis]) * inner;
      for (std::size_t i = 0; i < piece; ++i)
        picks.push_back(begins[k] + static_cast<std::uint32_t>(o * piece + i));
    }
  }
  return pick(parts, std::move(picks), std::move(dims));
}

Result<Value> Builder::matmul(const Value& x, const Value& weights) {
  if (x.dims.empty() || weights.dims.size() != 2 || x.dims.back() != weights.dims[0]) {
    return Error{Errc::corrupt,
                 "a product of " + spell(x.dims) + " and " + spell(weights.dims) + " cannot be formed"};
  }
  Step step;
  step.op = Op::matmul;
  if (x.size() > TensorProgram::kSizeMax ||
      weights.dims[0] > static_cast<std::int64_t>(TensorProgram::kSizeMax) ||
      weights.dims[1] > static_cast<std::int64_t>(TensorProgram::kSizeMax)) {
    return Error{Errc::exhausted, "an array that is too large"};
  }
  step.length = static_cast<std::uint32_t>(weights.dims[0]);
  step.inner = static_cast<std::uint32_t>(weights.dims[1]);
  Dims dims = x.dims;
  dims.back() = weights.dims[1];
  dims.pop_back();
  step.outer = static_cast<std::uint32_t>(volume(dims));
  dims.push_back(weights.dims[1]);
  return emit(std::move(step), {x, weights}, std::move(dims), x.element);
}

Result<Value> Builder::along(Op op, const Value& x, std::size_t axis) {
  Step step;
  step.op = op;
  Dims dims = x.dims;
  if (x.size() > TensorProgram::kSizeMax) return Error{Errc::exhausted, "an array that is too large"};
  for (std::size_t i = 0; i < axis; ++i) step.outer *= static_cast<std::uint32_t>(dims[i]);
  step.length = static_cast<std::uint32_t>(dims[axis]);
  for (std::size_t i = axis + 1; i < dims.size(); ++i) step.inner *= static_cast<std::uint32_t>(dims[i]);
  if (op != Op::softmax && op != Op::log_softmax) dims[axis] = 1;
  const bool index = op == Op::index_of_highest || op == Op::index_of_lowest;
  return emit(std::move(step), {x}, std::move(dims), index ? Element::i64 : x.element);
}

Value Builder::reshape(const Value& x, Dims dims) {
  Value out = x;
  out.dims = std::move(dims);
  return out;
}

Result<Value> Builder::cast(const Value& x, Element element) {
  if (x.element == element) return x;
  if (x.element == Element::text || element == Element::text)
    return Error{Errc::unsupported, "texts made of numbers, or numbers of texts"};
  const bool was_float = x.element == Element::f32 || x.element == Element::f64;
  Op op = Op::copy;
  if (element == Element::boolean) {
    op = Op::is_true;
  } else if (element == Element::i64 && was_float) {
    op = Op::truncate;
  } else if (!(element == Element::f32 && x.element == Element::f64) &&
             !(element == Element::f32 && x.element == Element::i64)) {
    Value out = x;  // the same numbers
    out.element = element;
    return out;
  }
  Step step;
  step.op = op;
  return emit(std::move(step), {x}, x.dims, element);
}

Result<TensorProgram> Builder::finish(const Value& output) {
  TensorProgram::Parts parts;
  parts.inputs = inputs_;
  const std::uint32_t result = refer(output);
  std::vector<float> singles;
  std::vector<double> doubles;
  for (const auto& values : constants_) {
    const bool wide = std::any_of(values->begin(), values->end(), [](double value) {
      return static_cast<double>(static_cast<float>(value)) != value && !std::isnan(value);
    });
    parts.constants.push_back({static_cast<std::uint32_t>(values->size()), wide});
    if (wide) {
      doubles.insert(doubles.end(), values->begin(), values->end());
    } else {
      for (const double value : *values) singles.push_back(static_cast<float>(value));
    }
  }
  const auto number = [&](std::uint32_t ref) {
    if (ref >= kConstant) return 1 + ref - kConstant;
    return ref == 0 ? 0 : static_cast<std::uint32_t>(constants_.size()) + ref;
  };
  for (auto& step : steps_) {
    for (auto& operand : step.operands) operand = number(operand);
  }
  parts.output = number(result);
  parts.singles = std::move(singles);
  parts.doubles = std::move(doubles);
  parts.picks = std::move(picks_);
  parts.steps = std::move(steps_);
  return TensorProgram::make(std::move(parts));
}

}  // namespace nidus::interop::internal::onnx
