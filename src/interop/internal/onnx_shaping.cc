#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "interop/internal/onnx_operators.h"

// Operators that move numbers and change none.
namespace nidus::interop::internal::onnx {
namespace {

using Op = Builder::Op;

Value integers(const std::vector<std::int64_t>& values) {
  return Builder::constant({values.begin(), values.end()}, {static_cast<std::int64_t>(values.size())},
                           Element::i64);
}

// Of an attribute in old operator sets, of an input in new ones.
Result<std::vector<std::int64_t>> axes_of(Site& s, std::size_t input) {
  if (s.has(input)) return s.known_integers(input);
  return s.node.integers("axes");
}

Result<Outputs> constant(Site& s) {
  if (const auto* value = s.node.find("value"); value != nullptr && !value->tensors.empty()) {
    const Tensor& tensor = value->tensors[0];
    if (tensor.element == Element::text) return s.unsupported("texts");
    const Element element =
        tensor.element == Element::f32 || tensor.element == Element::f64 || tensor.element == Element::boolean
            ? tensor.element
        : tensor.element == Element::f16 ? Element::f32
                                         : Element::i64;
    return Outputs{Builder::constant(tensor.values, tensor.dims, element)};
  }
  if (const auto* value = s.node.find("value_float"); value != nullptr)
    return Outputs{Builder::scalar(static_cast<double>(value->f), Element::f32)};
  if (const auto* value = s.node.find("value_int"); value != nullptr)
    return Outputs{Builder::scalar(static_cast<double>(value->i), Element::i64)};
  if (const auto* value = s.node.find("value_ints"); value != nullptr) return Outputs{integers(value->ints)};
  if (const auto* value = s.node.find("value_floats"); value != nullptr) {
    return Outputs{Builder::constant({value->floats.begin(), value->floats.end()},
                                     {static_cast<std::int64_t>(value->floats.size())}, Element::f32)};
  }
  return s.unsupported("a value of another kind than numbers");
}

Result<Outputs> constant_of_shape(Site& s) {
  auto dims = s.known_integers(0);
  if (!dims) return std::move(dims).error();
  double fill = 0;
  Element element = Element::f32;
  if (const auto* value = s.node.find("value"); value != nullptr && !value->tensors.empty()) {
    if (value->tensors[0].values.size() != 1) return s.corrupt("not one value to fill with");
    fill = value->tensors[0].values[0];
    element = value->tensors[0].element;
    if (element != Element::f32 && element != Element::f64 && element != Element::boolean)
      element = Element::i64;
  }
  std::size_t count = 1;
  for (const auto dim : *dims) {
    if (dim < 0 || dim > 65536 || (count *= static_cast<std::size_t>(dim)) > model::TensorProgram::kSizeMax)
      return s.unsupported("shape " + spell(*dims));
  }
  return Outputs{Builder::constant(std::vector<double>(count, fill), std::move(*dims), element)};
}

Result<Outputs> shape(Site& s) {
  Dims dims = s.in(0).dims;
  const auto rank = static_cast<std::int64_t>(dims.size());
  const auto place = [&](std::string_view name, std::int64_t otherwise) {
    const auto at = s.node.integer(name, otherwise);
    return std::clamp<std::int64_t>(at < 0 ? at + rank : at, 0, rank);
  };
  const auto begin = place("start", 0), end = place("end", rank);
  return Outputs{integers(begin < end ? Dims(dims.begin() + begin, dims.begin() + end) : Dims())};
}

Result<Outputs> size(Site& s) {
  return Outputs{Builder::scalar(static_cast<double>(s.in(0).size()), Element::i64)};
}

Result<Outputs> reshape(Site& s) {
  auto wanted = s.has(1) ? s.known_integers(1) : Result<std::vector<std::int64_t>>(s.node.integers("shape"));
  if (!wanted) return std::move(wanted).error();
  const Value& x = s.in(0);
  Dims dims = *wanted;
  std::size_t known = 1, open = dims.size();
  for (std::size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] == 0 && s.node.integer("allowzero", 0) == 0) {
      if (i >= x.dims.size()) return s.corrupt("shape " + spell(*wanted));
      dims[i] = x.dims[i];
    }
    if (dims[i] == -1) {
      if (open != dims.size()) return s.corrupt("shape " + spell(*wanted));
      open = i;
    } else if (dims[i] < 0 || dims[i] > (1 << 30) ||
               (known *= static_cast<std::size_t>(dims[i])) > (1u << 30)) {
      return s.corrupt("shape " + spell(*wanted));
    }
  }
  if (dims.size() > kRankMax) return s.unsupported("more than 8 dimensions");
  if (open != dims.size()) {
    if (known == 0 || x.size() % known != 0)
      return s.corrupt(spell(x.dims) + " in the shape of " + spell(*wanted));
    dims[open] = static_cast<std::int64_t>(x.size() / known);
  }
  if (volume(dims) != x.size()) {
    return s.unsupported(spell(x.dims) + " in the shape of " + spell(*wanted) +
                         ": rows must be judged one by one");
  }
  return Outputs{Builder::reshape(x, std::move(dims))};
}

Result<Outputs> flatten(Site& s) {
  const Value& x = s.in(0);
  const auto rank = static_cast<std::int64_t>(x.dims.size());
  auto axis = s.node.integer("axis", 1);
  if (axis < 0) axis += rank;
  if (axis < 0 || axis > rank) return s.corrupt("an axis that is not there");
  const Dims front(x.dims.begin(), x.dims.begin() + axis);
  const auto outer = static_cast<std::int64_t>(volume(front));
  const auto inner = static_cast<std::int64_t>(volume(Dims(x.dims.begin() + axis, x.dims.end())));
  return Outputs{Builder::reshape(x, {outer, inner})};
}

Result<Outputs> squeeze(Site& s) {
  auto axes = axes_of(s, 1);
  if (!axes) return std::move(axes).error();
  const Value& x = s.in(0);
  std::vector<bool> gone(x.dims.size(), false);
  for (const auto axis : *axes) {
    auto at = Site::axis_of(axis, x.dims.size());
    if (!at) return s.corrupt(at.error().message);
    gone[*at] = true;
  }
  Dims dims;
  for (std::size_t i = 0; i < x.dims.size(); ++i) {
    // Without axes all dimensions of one go, but what is the number of rows is not known to be one.
    const bool goes = axes->empty() ? x.dims[i] == 1 && i > 0 : gone[i];
    if (goes && x.dims[i] != 1) return s.corrupt("dimension " + std::to_string(i) + " is not 1");
    if (!goes) dims.push_back(x.dims[i]);
  }
  return Outputs{Builder::reshape(x, std::move(dims))};
}

Result<Outputs> unsqueeze(Site& s) {
  auto axes = axes_of(s, 1);
  if (!axes) return std::move(axes).error();
  const Value& x = s.in(0);
  const std::size_t rank = x.dims.size() + axes->size();
  if (rank > kRankMax) return s.unsupported("more than 8 dimensions");
  std::vector<bool> is_new(rank, false);
  for (const auto axis : *axes) {
    auto at = Site::axis_of(axis, rank);
    if (!at) return s.corrupt(at.error().message);
    if (is_new[*at]) return s.corrupt("one axis twice");
    is_new[*at] = true;
  }
  Dims dims;
  auto old = x.dims.begin();
  for (std::size_t i = 0; i < rank; ++i) dims.push_back(is_new[i] ? 1 : *old++);
  return Outputs{Builder::reshape(x, std::move(dims))};
}

Result<Outputs> transpose(Site& s) {
  const Value& x = s.in(0);
  std::vector<std::size_t> order(x.dims.size());
  std::iota(order.rbegin(), order.rend(), 0);
  if (const auto wanted = s.node.integers("perm"); !wanted.empty()) {
    if (wanted.size() != order.size()) return s.corrupt("an order of other dimensions");
    std::vector<bool> seen(order.size(), false);
    for (std::size_t i = 0; i < order.size(); ++i) {
      if (wanted[i] < 0 || wanted[i] >= static_cast<std::int64_t>(order.size()) ||
          seen[static_cast<std::size_t>(wanted[i])]) {
        return s.corrupt("an order that is none");
      }
      order[i] = static_cast<std::size_t>(wanted[i]);
      seen[order[i]] = true;
    }
  }
  return one(s.builder.transpose(x, order));
}

Result<Outputs> concat(Site& s) {
  for (std::size_t i = 0; i < s.inputs.size(); ++i) {
    if (!s.has(i)) return s.corrupt("a part that is left out");
  }
  auto axis = Site::axis_of(s.node.integer("axis", 1), s.in(0).dims.size());
  if (!axis) return s.corrupt(axis.error().message);
  return one(s.builder.concat(s.inputs, *axis));
}

// Of each axis: where to begin and how far to go on with each step.
Result<Value> cut(Site& s, const Value& x, const std::vector<std::int64_t>& begins,
                  const std::vector<std::int64_t>& steps, Dims dims) {
  auto strides = strides_of(x.dims);
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < strides.size(); ++i) {
    begin += begins[i] * strides[i];
    strides[i] *= steps[i];
  }
  if (dims == x.dims && begin == 0 &&
      std::all_of(steps.begin(), steps.end(), [](std::int64_t step) { return step == 1; })) {
    return x;
  }
  if (volume(dims) > model::TensorProgram::kSizeMax) return s.unsupported("an array that is too large");
  auto picks = strided(dims, strides, begin);
  return s.builder.pick({x}, std::move(picks), std::move(dims));
}

Result<Outputs> slice(Site& s) {
  const Value& x = s.in(0);
  std::vector<std::int64_t> parts[4];  // starts, ends, axes, steps
  for (std::size_t i = 0; i < 4; ++i) {
    static constexpr const char* kOld[] = {"starts", "ends", "axes", "steps"};
    auto known = s.opset < 10   ? Result<std::vector<std::int64_t>>(s.node.integers(kOld[i]))
                 : s.has(i + 1) ? s.known_integers(i + 1)
                                : Result<std::vector<std::int64_t>>(std::vector<std::int64_t>());
    if (!known) return std::move(known).error();
    parts[i] = std::move(*known);
  }
  const std::size_t count = parts[0].size();
  if (parts[2].empty()) {
    for (std::size_t i = 0; i < count; ++i) parts[2].push_back(static_cast<std::int64_t>(i));
  }
  if (parts[3].empty()) parts[3].assign(count, 1);
  if (parts[1].size() != count || parts[2].size() != count || parts[3].size() != count)
    return s.corrupt("starts, ends, axes and steps of different numbers");
  std::vector<std::int64_t> begins(x.dims.size(), 0), steps(x.dims.size(), 1);
  Dims dims = x.dims;
  for (std::size_t i = 0; i < count; ++i) {
    auto axis = Site::axis_of(parts[2][i], dims.size());
    if (!axis) return s.corrupt(axis.error().message);
    const std::int64_t dim = x.dims[*axis], step = parts[3][i];
    if (step == 0 || std::abs(step) > (1 << 30)) return s.corrupt("steps of " + std::to_string(step));
    const auto place = [&](std::int64_t at, std::int64_t low, std::int64_t high) {
      return std::clamp(at < 0 ? at + dim : at, low, std::max(low, high));
    };
    const auto from = step > 0 ? place(parts[0][i], 0, dim) : place(parts[0][i], 0, dim - 1);
    const auto to = step > 0 ? place(parts[1][i], 0, dim) : place(parts[1][i], -1, dim - 1);
    const auto length = step > 0 ? (to - from + step - 1) / step : (from - to - step - 1) / -step;
    begins[*axis] = from;
    steps[*axis] = step;
    dims[*axis] = std::max<std::int64_t>(0, length);
  }
  return one(cut(s, x, begins, steps, std::move(dims)));
}

Result<Outputs> split(Site& s) {
  const Value& x = s.in(0);
  auto axis = Site::axis_of(s.node.integer("axis", 0), x.dims.size());
  if (!axis) return s.corrupt(axis.error().message);
  auto sizes = s.has(1) ? s.known_integers(1) : Result<std::vector<std::int64_t>>(s.node.integers("split"));
  if (!sizes) return std::move(sizes).error();
  const std::int64_t dim = x.dims[*axis];
  const auto count = static_cast<std::int64_t>(s.node.outputs.size());
  if (sizes->empty()) {
    const auto each = count == 0 ? 0 : (dim + count - 1) / count;
    for (std::int64_t i = 0; i < count; ++i)
      sizes->push_back(std::clamp<std::int64_t>(dim - i * each, 0, each));
  }
  std::int64_t begin = 0;
  Outputs out;
  for (const auto part : *sizes) {
    if (part < 0 || part > dim - begin) return s.corrupt("parts of a sum that does not fit");
    std::vector<std::int64_t> begins(x.dims.size(), 0);
    begins[*axis] = begin;
    Dims dims = x.dims;
    dims[*axis] = part;
    auto piece = cut(s, x, begins, std::vector<std::int64_t>(x.dims.size(), 1), std::move(dims));
    if (!piece) return std::move(piece).error();
    out.push_back(std::move(*piece));
    begin += part;
  }
  if (begin != dim) return s.corrupt("parts of a sum that does not fit");
  return out;
}

Result<Outputs> gather(Site& s) {
  if (!s.has(1)) return s.corrupt("no indices");
  const Value& x = s.in(0);
  auto axis = Site::axis_of(s.node.integer("axis", 0), x.dims.size());
  if (!axis) return s.corrupt(axis.error().message);
  auto indices = s.known_integers(1);
  if (!indices) return std::move(indices).error();
  Dims dims(x.dims.begin(), x.dims.begin() + static_cast<std::ptrdiff_t>(*axis));
  const Dims front = dims, back(x.dims.begin() + static_cast<std::ptrdiff_t>(*axis) + 1, x.dims.end());
  dims.insert(dims.end(), s.in(1).dims.begin(), s.in(1).dims.end());
  dims.insert(dims.end(), back.begin(), back.end());
  if (dims.size() > kRankMax || volume(dims) > model::TensorProgram::kSizeMax)
    return s.unsupported("an array that is too large");
  const std::size_t inner = volume(back), step = static_cast<std::size_t>(x.dims[*axis]) * inner;
  std::vector<std::uint32_t> picks;
  picks.reserve(volume(dims));
  for (std::size_t o = 0; o < volume(front); ++o) {
    for (auto index : *indices) {
      if (index < 0) index += x.dims[*axis];
      if (index < 0 || index >= x.dims[*axis]) return s.corrupt("index " + std::to_string(index));
      for (std::size_t i = 0; i < inner; ++i)
        picks.push_back(static_cast<std::uint32_t>(o * step + static_cast<std::size_t>(index) * inner + i));
    }
  }
  return one(s.builder.pick({x}, std::move(picks), std::move(dims)));
}

Result<Outputs> expand(Site& s) {
  auto wanted = s.known_integers(1);
  if (!wanted) return std::move(wanted).error();
  std::size_t count = 1;
  for (const auto dim : *wanted) {
    if (dim < 0 || dim > 65536 || (count *= static_cast<std::size_t>(dim)) > model::TensorProgram::kSizeMax)
      return s.unsupported("shape " + spell(*wanted));
  }
  // Zeros of that shape do the stretching; a number and minus zero make the number.
  const auto zeros = Builder::constant(std::vector<double>(count, -0.0), *wanted, s.in(0).element);
  return one(s.builder.binary(Op::add, s.in(0), zeros));
}

Result<Outputs> tile(Site& s) {
  auto repeats = s.known_integers(1);
  if (!repeats) return std::move(repeats).error();
  Value x = s.in(0);
  if (repeats->size() != x.dims.size()) return s.corrupt("repeats of other dimensions");
  for (std::size_t i = 0; i < repeats->size(); ++i) {
    const auto times = (*repeats)[i];
    if (times == 1) continue;
    if (times < 1 || times > 65536 ||
        static_cast<std::size_t>(times) * x.size() > model::TensorProgram::kSizeMax)
      return s.unsupported(std::to_string(times) + " repeats");
    auto next = s.builder.concat(std::vector<Value>(static_cast<std::size_t>(times), x), i);
    if (!next) return std::move(next).error();
    x = std::move(*next);
  }
  return Outputs{x};
}

Result<Outputs> pad(Site& s) {
  if (s.node.text("mode", "constant") != "constant") return s.unsupported("another mode than constant");
  if (s.has(3)) return s.unsupported("axes");
  auto pads = s.opset < 11 ? Result<std::vector<std::int64_t>>(s.node.integers("pads")) : s.known_integers(1);
  if (!pads) return std::move(pads).error();
  Value x = s.in(0);
  const std::size_t rank = x.dims.size();
  if (pads->size() != 2 * rank) return s.corrupt("pads of other dimensions");
  Value fill = s.opset < 11 ? Builder::scalar(static_cast<double>(s.node.number("value", 0)), x.element)
               : s.has(2)   ? s.in(2)
                            : Builder::scalar(0, x.element);
  if (fill.size() != 1) return s.corrupt("not one value to fill with");
  for (std::size_t i = 0; i < rank; ++i) {
    const auto before = (*pads)[i], after = (*pads)[rank + i];
    if (before < 0 || after < 0 || before > 65536 || after > 65536)
      return s.unsupported("pads of " + std::to_string(std::min(before, after)));
    if (before + after == 0) continue;
    std::vector<Value> parts;
    for (const auto count : {before, std::int64_t{-1}, after}) {
      if (count == -1) {
        parts.push_back(x);
      } else if (count > 0) {
        Dims dims = x.dims;
        dims[i] = count;
        if (volume(dims) > model::TensorProgram::kSizeMax) return s.unsupported("an array that is too large");
        auto part = s.builder.pick({fill}, std::vector<std::uint32_t>(volume(dims), 0), dims);
        if (!part) return std::move(part).error();
        parts.push_back(std::move(*part));
      }
    }
    auto next = s.builder.concat(parts, i);
    if (!next) return std::move(next).error();
    x = std::move(*next);
  }
  return Outputs{x};
}

}  // namespace

Translator find_shaping(std::string_view op) {
  static constexpr std::pair<std::string_view, Translator> kAll[] = {
      {"Identity", same},       {"Dropout", same},
      {"Constant", constant},   {"ConstantOfShape", constant_of_shape},
      {"Shape", shape},         {"Size", size},
      {"Reshape", reshape},     {"Flatten", flatten},
      {"Squeeze", squeeze},     {"Unsqueeze", unsqueeze},
      {"Transpose", transpose}, {"Concat", concat},
      {"Slice", slice},         {"Split", split},
      {"Gather", gather},       {"Expand", expand},
      {"Tile", tile},           {"Pad", pad},
  };
  for (const auto& [known, translator] : kAll) {
    if (known == op) return translator;
  }
  return nullptr;
}

}  // namespace nidus::interop::internal::onnx
