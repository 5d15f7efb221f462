#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "interop/internal/protobuf.h"
#include "model/network.h"

namespace nidus::interop::internal::onnx {

// An attribute of a node that is being written.
class Attr {
 public:
  static Attr integer(std::string_view name, std::int64_t value);
  static Attr number(std::string_view name, float value);
  static Attr text(std::string_view name, std::string_view value);
  static Attr integers(std::string_view name, std::span<const std::int64_t> values);
  static Attr numbers(std::string_view name, std::span<const float> values);
  static Attr texts(std::string_view name, std::span<const std::string_view> values);

  const ProtoWriter& proto() const { return proto_; }

 private:
  Attr(std::string_view name, std::int64_t type);
  ProtoWriter proto_;
};

// A graph that grows node by node. Values have the names that node() and the constants return.
class Emitter {
 public:
  // The name of the node's only output.
  std::string node(std::string_view op, const std::vector<std::string>& inputs,
                   const std::vector<Attr>& attributes = {}, std::string_view domain = "");
  // Of a node with several outputs, whose names are made up when empty and left out when "-".
  std::vector<std::string> nodes(std::string_view op, const std::vector<std::string>& inputs,
                                 std::vector<std::string> outputs, const std::vector<Attr>& attributes = {},
                                 std::string_view domain = "");

  // Weights and other numbers. No dimensions: a single number.
  std::string floats(std::span<const float> values, std::span<const std::int64_t> dims);
  std::string floats(std::span<const double> values, std::span<const std::int64_t> dims);
  std::string row(std::span<const float> values);  // one dimension
  std::string number(float value);
  std::string integers(std::span<const std::int64_t> values);

  std::string unary(std::string_view op, const std::string& x) { return node(op, {x}); }
  std::string binary(std::string_view op, const std::string& x, const std::string& y) {
    return node(op, {x, y});
  }
  // x where it is not what `condition` says, else y.
  std::string where(const std::string& condition, const std::string& y, const std::string& x) {
    return node("Where", {condition, y, x});
  }
  std::string concat(const std::vector<std::string>& parts, std::int64_t axis);

  void input(std::string_view name, std::int64_t columns);
  // element: TensorProto.DataType; columns 0: one number a row.
  void output(std::string_view name, std::int64_t element, std::int64_t columns);
  void property(std::string_view name, std::string_view value);

  std::string finish() const;

 private:
  static ProtoWriter port(std::string_view name, std::int64_t element, std::int64_t columns);
  std::string fresh() { return "v" + std::to_string(next_++); }
  std::string tensor(std::int64_t element, std::string_view raw, std::span<const std::int64_t> dims);

  ProtoWriter nodes_, tensors_, ports_, properties_;
  std::size_t next_ = 0;
};

// The layers of a network over x, rows × inputs.
Result<std::string> emit_network(Emitter& out, const model::Network& network, std::string x);

}  // namespace nidus::interop::internal::onnx
