#include "interop/internal/onnx_model.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <optional>

#include "base/text.h"
#include "interop/internal/protobuf.h"

namespace nidus::interop::internal::onnx {
namespace {

constexpr std::int64_t kExactMax = std::int64_t{1} << 53;

double half(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  double value = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  if (exponent == 31) value = fraction == 0 ? HUGE_VAL : NAN;
  return (bits & 0x8000) != 0 ? -value : value;
}

std::size_t width(Element element) {
  switch (element) {
    case Element::u8:
    case Element::i8:
    case Element::boolean:
      return 1;
    case Element::u16:
    case Element::i16:
    case Element::f16:
      return 2;
    case Element::f32:
    case Element::i32:
    case Element::u32:
      return 4;
    case Element::i64:
    case Element::u64:
    case Element::f64:
      return 8;
    default:
      return 0;
  }
}

template <class T>
void widen(std::span<const std::byte> raw, std::vector<double>& out) {
  for (std::size_t at = 0; at < raw.size(); at += sizeof(T)) {
    T value;
    std::memcpy(&value, &raw[at], sizeof value);
    out.push_back(static_cast<double>(value));
  }
}

void widen(Element element, std::span<const std::byte> raw, std::vector<double>& out) {
  out.reserve(raw.size() / width(element));
  switch (element) {
    case Element::f32:
      return widen<float>(raw, out);
    case Element::f64:
      return widen<double>(raw, out);
    case Element::u8:
    case Element::boolean:
      return widen<std::uint8_t>(raw, out);
    case Element::i8:
      return widen<std::int8_t>(raw, out);
    case Element::u16:
      return widen<std::uint16_t>(raw, out);
    case Element::i16:
      return widen<std::int16_t>(raw, out);
    case Element::i32:
      return widen<std::int32_t>(raw, out);
    case Element::u32:
      return widen<std::uint32_t>(raw, out);
    case Element::i64:
      return widen<std::int64_t>(raw, out);
    case Element::u64:
      return widen<std::uint64_t>(raw, out);
    case Element::f16:
      widen<std::uint16_t>(raw, out);
      for (auto& value : out) value = half(static_cast<std::uint16_t>(value));
      return;
    default:
      return;
  }
}

// The readers below note what is unsupported in `refusal` and go on; the first is what is told.
struct Refusal {
  std::string what;
  void note(std::string sentence) {
    if (what.empty()) what = std::move(sentence);
  }
};

Tensor read_tensor(ProtoReader in, ProtoReader& outer, Refusal& refusal) {
  Tensor tensor;
  std::vector<float> floats;
  std::vector<double> doubles;
  std::vector<std::int64_t> integers;
  std::optional<std::span<const std::byte>> raw;
  bool external = false;
  while (in.next()) {
    switch (in.field()) {
      case 1:
        in.append(tensor.dims);
        break;
      case 2:
        tensor.element = static_cast<Element>(std::min<std::uint64_t>(in.varint(), 255));
        break;
      case 4:
        in.append(floats);
        break;
      case 5:
      case 7:
      case 11:
        in.append(integers);
        break;
      case 6:
        tensor.texts.push_back(in.text());
        break;
      case 8:
        tensor.name = in.text();
        break;
      case 9:
        raw = in.bytes();
        break;
      case 10:
        in.append(doubles);
        break;
      case 13:
        external = true;
        break;
      case 14:
        external = external || in.varint() == 1;
        break;
      case 3:
        refusal.note("tensor '" + std::string(tensor.name) + "' is in segments");
        break;
      default:
        break;
    }
  }
  outer.take_fault(in);
  if (!outer.ok()) return tensor;
  const std::string what = "tensor '" + std::string(tensor.name) + "'";
  if (external) {
    refusal.note(what + " lies in a file of its own: save the model in one file");
    return tensor;
  }
  if (tensor.element != Element::text && width(tensor.element) == 0) {
    refusal.note(what + " is of type " + name(tensor.element));
    return tensor;
  }
  if (tensor.dims.size() > kRankMax) {
    refusal.note(what + " has " + std::to_string(tensor.dims.size()) + " dimensions");
    return tensor;
  }
  std::uint64_t count = 1;
  for (const auto dim : tensor.dims) {
    if (dim < 0 || dim > (1 << 30) || (count *= static_cast<std::uint64_t>(dim)) > (1u << 30)) {
      outer.fail(what + ": dimensions " + spell(tensor.dims));
      return tensor;
    }
  }
  if (tensor.element == Element::text) {
    if (tensor.texts.size() != count) outer.fail(what + ": not as many texts as its dimensions say");
    return tensor;
  }
  if (raw) {
    if (raw->size() != count * width(tensor.element)) {
      outer.fail(what + ": " + with_thousands(raw->size()) + " bytes for " + spell(tensor.dims) + " of " +
                 name(tensor.element));
      return tensor;
    }
    widen(tensor.element, *raw, tensor.values);
  } else if (tensor.element == Element::f32) {
    tensor.values.assign(floats.begin(), floats.end());
  } else if (tensor.element == Element::f64) {
    tensor.values = std::move(doubles);
  } else {
    tensor.values.reserve(integers.size());
    for (const auto value : integers) {
      tensor.values.push_back(tensor.element == Element::f16 ? half(static_cast<std::uint16_t>(value))
                                                             : static_cast<double>(value));
    }
  }
  if (tensor.values.size() != count) {
    outer.fail(what + ": " + with_thousands(tensor.values.size()) + " numbers for " + spell(tensor.dims));
    return tensor;
  }
  if (is_whole(tensor.element)) {
    // The largest integers mean "to the end" in slices, and stay as large as they are.
    for (auto& value : tensor.values) {
      if (std::abs(value) > static_cast<double>(kExactMax)) value = std::copysign(0x1p62, value);
    }
  }
  return tensor;
}

Attribute read_attribute(ProtoReader in, ProtoReader& outer, Refusal& refusal) {
  Attribute attribute;
  while (in.next()) {
    switch (in.field()) {
      case 1:
        attribute.name = in.text();
        break;
      case 2:
        attribute.f = in.f32();
        break;
      case 3:
        attribute.i = in.integer();
        break;
      case 4:
        attribute.s = in.text();
        break;
      case 5:
      case 10:
        attribute.tensors.push_back(read_tensor(in.message(), in, refusal));
        break;
      case 7:
        in.append(attribute.floats);
        break;
      case 8:
        in.append(attribute.ints);
        break;
      case 9:
        attribute.strings.push_back(in.text());
        break;
      case 6:
      case 11:
      case 14:
      case 22:
        attribute.is_graph = true;
        break;
      default:
        break;
    }
  }
  outer.take_fault(in);
  return attribute;
}

Node read_node(ProtoReader in, ProtoReader& outer, Refusal& refusal) {
  Node node;
  while (in.next()) {
    switch (in.field()) {
      case 1:
        node.inputs.push_back(in.text());
        break;
      case 2:
        node.outputs.push_back(in.text());
        break;
      case 3:
        node.name = in.text();
        break;
      case 4:
        node.op = in.text();
        break;
      case 5:
        node.attributes.push_back(read_attribute(in.message(), in, refusal));
        break;
      case 7:
        node.domain = in.text();
        break;
      default:
        break;
    }
  }
  outer.take_fault(in);
  if (node.domain == "ai.onnx") node.domain = "";
  return node;
}

void read_shape(ProtoReader in, ProtoReader& outer, Port& port) {
  port.has_dims = true;
  while (in.next()) {
    if (in.field() != 1) continue;
    ProtoReader dim = in.message();
    std::int64_t value = -1;
    while (dim.next()) {
      if (dim.field() == 1) value = dim.integer();
    }
    in.take_fault(dim);
    port.dims.push_back(value > 0 ? value : -1);
  }
  outer.take_fault(in);
}

Port read_port(ProtoReader in, ProtoReader& outer) {
  Port port;
  while (in.next()) {
    if (in.field() == 1) port.name = in.text();
    if (in.field() != 2) continue;
    ProtoReader type = in.message();
    while (type.next()) {
      if (type.field() != 1) continue;
      ProtoReader tensor = type.message();
      while (tensor.next()) {
        if (tensor.field() == 1)
          port.element = static_cast<Element>(std::min<std::uint64_t>(tensor.varint(), 255));
        if (tensor.field() == 2) read_shape(tensor.message(), tensor, port);
      }
      type.take_fault(tensor);
    }
    in.take_fault(type);
  }
  outer.take_fault(in);
  return port;
}

void read_graph(ProtoReader in, ProtoReader& outer, Model& model, Refusal& refusal) {
  std::vector<Port> inputs;
  while (in.next()) {
    switch (in.field()) {
      case 1:
        model.nodes.push_back(read_node(in.message(), in, refusal));
        break;
      case 5: {
        Tensor tensor = read_tensor(in.message(), in, refusal);
        const auto tensor_name = tensor.name;
        if (!model.initializers.emplace(tensor_name, std::move(tensor)).second)
          in.fail("two tensors named '" + std::string(tensor_name) + "'");
        break;
      }
      case 11:
        inputs.push_back(read_port(in.message(), in));
        break;
      case 12:
        model.outputs.push_back(read_port(in.message(), in));
        break;
      case 15:
        refusal.note("a sparse tensor");
        break;
      default:
        break;
    }
  }
  for (auto& input : inputs) {
    if (!model.initializers.contains(input.name)) model.inputs.push_back(std::move(input));
  }
  outer.take_fault(in);
}

std::pair<std::string_view, std::string_view> read_pair(ProtoReader in, ProtoReader& outer) {
  std::pair<std::string_view, std::string_view> out;
  while (in.next()) {
    if (in.field() == 1) out.first = in.text();
    if (in.field() == 2) out.second = in.text();
  }
  outer.take_fault(in);
  return out;
}

}  // namespace

std::string name(Element element) {
  static constexpr const char* kNames[] = {"undefined", "float",  "uint8",  "int8",   "uint16",
                                           "int16",     "int32",  "int64",  "string", "bool",
                                           "float16",   "double", "uint32", "uint64"};
  const auto index = static_cast<std::size_t>(element);
  return index < std::size(kNames) ? kNames[index] : "type " + std::to_string(index);
}

std::string spell(const Dims& dims) {
  std::string out = "[";
  for (const auto dim : dims) out += (out.size() > 1 ? ", " : "") + std::to_string(dim);
  return out + "]";
}

const Attribute* Node::find(std::string_view attribute) const {
  for (const auto& each : attributes) {
    if (each.name == attribute) return &each;
  }
  return nullptr;
}

std::int64_t Node::integer(std::string_view attribute, std::int64_t otherwise) const {
  const auto* found = find(attribute);
  return found == nullptr ? otherwise : found->i;
}

float Node::number(std::string_view attribute, float otherwise) const {
  const auto* found = find(attribute);
  return found == nullptr ? otherwise : found->f;
}

std::string_view Node::text(std::string_view attribute, std::string_view otherwise) const {
  const auto* found = find(attribute);
  return found == nullptr ? otherwise : found->s;
}

std::vector<double> Node::numbers(std::string_view attribute) const {
  if (const auto* found = find(attribute); found != nullptr)
    return {found->floats.begin(), found->floats.end()};
  if (const auto* found = find(std::string(attribute) + "_as_tensor");
      found != nullptr && !found->tensors.empty()) {
    return found->tensors[0].values;
  }
  return {};
}

std::vector<std::int64_t> Node::integers(std::string_view attribute) const {
  const auto* found = find(attribute);
  return found == nullptr ? std::vector<std::int64_t>() : found->ints;
}

std::string Node::spell() const {
  std::string what = domain.empty() || domain == "ai.onnx.ml" ? std::string(op)
                                                              : std::string(domain) + "." + std::string(op);
  return "node '" + std::string(name) + "' (" + what + ")";
}

Result<Model> read_model(std::span<const std::byte> bytes) {
  Model model;
  Refusal refusal;
  ProtoReader in(bytes);
  bool has_graph = false;
  while (in.next()) {
    switch (in.field()) {
      case 2:
        model.producer = in.text();
        break;
      case 3:
        model.producer_version = in.text();
        break;
      case 7:
        if (has_graph) in.fail("a second graph");
        has_graph = true;
        read_graph(in.message(), in, model, refusal);
        break;
      case 8: {
        ProtoReader set = in.message();
        std::string_view domain;
        std::int64_t version = 0;
        while (set.next()) {
          if (set.field() == 1) domain = set.text();
          if (set.field() == 2) version = set.integer();
        }
        in.take_fault(set);
        if (domain.empty() || domain == "ai.onnx") model.opset = version;
        if (domain == "ai.onnx.ml") model.opset_ml = version;
        break;
      }
      case 14:
        model.metadata.push_back(read_pair(in.message(), in));
        break;
      case 25:
        refusal.note("functions of its own");
        break;
      default:
        break;
    }
  }
  if (!in.ok()) return in.error();
  if (!has_graph) return Error{Errc::corrupt, "no graph: this is no ONNX model"};
  if (!refusal.what.empty()) return Error{Errc::unsupported, refusal.what};
  return model;
}

}  // namespace nidus::interop::internal::onnx
