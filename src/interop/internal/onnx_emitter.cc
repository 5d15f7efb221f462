#include "interop/internal/onnx_emitter.h"

#include "interop/internal/onnx_model.h"

namespace nidus::interop::internal::onnx {

Attr::Attr(std::string_view name, std::int64_t type) {
  proto_.bytes(1, name);
  proto_.integer(20, type);
}

Attr Attr::integer(std::string_view name, std::int64_t value) {
  Attr out(name, 2);
  out.proto_.integer(3, value);
  return out;
}

Attr Attr::number(std::string_view name, float value) {
  Attr out(name, 1);
  out.proto_.f32(2, value);
  return out;
}

Attr Attr::text(std::string_view name, std::string_view value) {
  Attr out(name, 3);
  out.proto_.bytes(4, value);
  return out;
}

Attr Attr::integers(std::string_view name, std::span<const std::int64_t> values) {
  Attr out(name, 7);
  out.proto_.integers(8, values);
  return out;
}

Attr Attr::numbers(std::string_view name, std::span<const float> values) {
  Attr out(name, 6);
  out.proto_.floats(7, values);
  return out;
}

Attr Attr::texts(std::string_view name, std::span<const std::string_view> values) {
  Attr out(name, 8);
  for (const auto value : values) out.proto_.bytes(9, value);
  return out;
}

std::vector<std::string> Emitter::nodes(std::string_view op, const std::vector<std::string>& inputs,
                                        std::vector<std::string> outputs, const std::vector<Attr>& attributes,
                                        std::string_view domain) {
  ProtoWriter proto;
  for (const auto& input : inputs) proto.bytes(1, input);
  for (auto& output : outputs) {
    if (output.empty()) output = fresh();
    if (output == "-") output.clear();
    proto.bytes(2, output);
  }
  proto.bytes(3, "n" + std::to_string(next_++));
  proto.bytes(4, op);
  for (const auto& attribute : attributes) proto.message(5, attribute.proto());
  if (!domain.empty()) proto.bytes(7, domain);
  nodes_.message(1, proto);
  return outputs;
}

std::string Emitter::node(std::string_view op, const std::vector<std::string>& inputs,
                          const std::vector<Attr>& attributes, std::string_view domain) {
  return nodes(op, inputs, {""}, attributes, domain)[0];
}

std::string Emitter::tensor(std::int64_t element, std::string_view raw, std::span<const std::int64_t> dims) {
  ProtoWriter proto;
  if (!dims.empty()) proto.integers(1, dims);
  proto.integer(2, element);
  const std::string name = fresh();
  proto.bytes(8, name);
  proto.bytes(9, raw);
  tensors_.message(5, proto);
  return name;
}

std::string Emitter::floats(std::span<const float> values, std::span<const std::int64_t> dims) {
  return tensor(static_cast<std::int64_t>(Element::f32),
                {reinterpret_cast<const char*>(values.data()), values.size_bytes()}, dims);
}

std::string Emitter::floats(std::span<const double> values, std::span<const std::int64_t> dims) {
  const std::vector<float> rounded(values.begin(), values.end());
  return floats(std::span<const float>(rounded), dims);
}

std::string Emitter::row(std::span<const float> values) {
  const std::int64_t dims[] = {static_cast<std::int64_t>(values.size())};
  return floats(values, dims);
}

std::string Emitter::number(float value) { return floats(std::span<const float>(&value, 1), {}); }

std::string Emitter::integers(std::span<const std::int64_t> values) {
  const std::int64_t dims[] = {static_cast<std::int64_t>(values.size())};
  return tensor(static_cast<std::int64_t>(Element::i64),
                {reinterpret_cast<const char*>(values.data()), values.size_bytes()}, dims);
}

std::string Emitter::concat(const std::vector<std::string>& parts, std::int64_t axis) {
  return parts.size() == 1 ? parts[0] : node("Concat", parts, {Attr::integer("axis", axis)});
}

ProtoWriter Emitter::port(std::string_view name, std::int64_t element, std::int64_t columns) {
  ProtoWriter rows, dims, tensor, type, out;
  rows.bytes(2, "rows");
  dims.message(1, rows);
  if (columns > 0) {
    ProtoWriter count;
    count.integer(1, columns);
    dims.message(1, count);
  }
  tensor.integer(1, element);
  tensor.message(2, dims);
  type.message(1, tensor);
  out.bytes(1, name);
  out.message(2, type);
  return out;
}

void Emitter::input(std::string_view name, std::int64_t columns) {
  ports_.message(11, port(name, static_cast<std::int64_t>(Element::f32), columns));
}

void Emitter::output(std::string_view name, std::int64_t element, std::int64_t columns) {
  ports_.message(12, port(name, element, columns));
}

void Emitter::property(std::string_view name, std::string_view value) {
  ProtoWriter pair;
  pair.bytes(1, name);
  pair.bytes(2, value);
  properties_.message(14, pair);
}

std::string Emitter::finish() const {
  ProtoWriter model;
  model.integer(1, 7);  // the version of the format
  model.bytes(2, "nidus");
  // A message within a message is its fields one behind the other, so the graph is put together as bytes.
  model.bytes(7, nodes_.str() + std::string("\x12\x05model", 7) + tensors_.str() + ports_.str());
  ProtoWriter standard, classic;
  standard.bytes(1, "");
  standard.integer(2, 13);
  classic.bytes(1, "ai.onnx.ml");
  classic.integer(2, 2);
  model.message(8, standard);
  model.message(8, classic);
  return model.take() + properties_.str();
}

}  // namespace nidus::interop::internal::onnx
