#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

// What an ONNX file says, before anybody asks what it means: onnx/onnx.proto of https://github.com/onnx/onnx.
namespace nidus::interop::internal::onnx {

// TensorProto.DataType.
enum class Element : std::uint8_t {
  none = 0,
  f32 = 1,
  u8 = 2,
  i8 = 3,
  u16 = 4,
  i16 = 5,
  i32 = 6,
  i64 = 7,
  text = 8,
  boolean = 9,
  f16 = 10,
  f64 = 11,
  u32 = 12,
  u64 = 13,
};
std::string name(Element element);
inline bool is_whole(Element element) {
  return element != Element::f32 && element != Element::f64 && element != Element::f16 &&
         element != Element::text;
}

using Dims = std::vector<std::int64_t>;
inline constexpr std::size_t kRankMax = 8;
std::string spell(const Dims& dims);  // "[1, 41]"

// Numbers of whatever type as doubles, of which each has exactly one (64-bit integers beyond 2^53 are
// refused).
struct Tensor {
  std::string_view name;
  Element element = Element::none;
  Dims dims;
  std::vector<double> values;  // as many as the dimensions say
  std::vector<std::string_view> texts;
};

struct Attribute {
  std::string_view name;
  float f = 0;
  std::int64_t i = 0;
  std::string_view s;
  std::vector<float> floats;
  std::vector<std::int64_t> ints;
  std::vector<std::string_view> strings;
  std::vector<Tensor> tensors;  // of t: one
  bool is_graph = false;
};

struct Node {
  std::string_view name, op, domain;
  std::vector<std::string_view> inputs, outputs;  // an empty one is left out
  std::vector<Attribute> attributes;

  const Attribute* find(std::string_view attribute) const;
  std::int64_t integer(std::string_view attribute, std::int64_t otherwise) const;
  float number(std::string_view attribute, float otherwise) const;
  std::string_view text(std::string_view attribute, std::string_view otherwise) const;
  // Of the attribute or, when it is named NAME_as_tensor, of that tensor.
  std::vector<double> numbers(std::string_view attribute) const;
  std::vector<std::int64_t> integers(std::string_view attribute) const;
  // "node 'scaler' (Scaler)".
  std::string spell() const;
};

// A value that goes into the graph or comes out of it. -1 stands for a dimension without a number.
struct Port {
  std::string_view name;
  Element element = Element::none;  // none for what is no tensor: a sequence of maps
  Dims dims;
  bool has_dims = false;
};

struct Model {
  std::string_view producer, producer_version;
  std::int64_t opset = 0, opset_ml = 0;
  std::vector<std::pair<std::string_view, std::string_view>> metadata;
  std::vector<Node> nodes;
  std::map<std::string_view, Tensor> initializers;
  std::vector<Port> inputs, outputs;  // inputs without those that are initialised
};

// Keeps views of the bytes. Errc::corrupt with the byte for what contradicts the format; Errc::unsupported
// for data outside the file, sparse tensors, functions and graphs within nodes.
Result<Model> read_model(std::span<const std::byte> bytes);

}  // namespace nidus::interop::internal::onnx
