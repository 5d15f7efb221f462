#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "model/internal/layer_visit.h"
#include "model/internal/model_stream.h"
#include "model/layers.h"

// How layers stand in a model file: docs/formats/model-file.md.
namespace nidus::model::internal {

// Writes layers as visit() goes through them: all but their weights, which stand together in front of them.
struct WriteLayers {
  FileWriter& out;
  const std::uint32_t* size;
  void number(std::size_t& value) { out.u32(static_cast<std::uint32_t>(value)); }
  void real(double& value) { out.f64(value); }
  void flag(bool& value) { out.u8(value ? 1 : 0); }
  template <class E>
  void choice(E& value, E) {
    out.u8(static_cast<std::uint8_t>(value));
  }
  void weights(std::vector<double>&) { out.u32(*size++); }
  void layers(std::size_t& count) { number(count); }
  void kind(Layer& given) { out.u8(static_cast<std::uint8_t>(given.index())); }
};

// Reads what WriteLayers wrote; `left` holds the weights. What is wrong is told to the reader.
template <class T>
struct ReadLayers {
  FileReader& in;
  std::span<const T> left;
  std::size_t layers_left;  // that a network may have
  void number(std::size_t& value) { value = in.u32(); }
  void layers(std::size_t& count) {
    count = in.u32();
    if (count > layers_left) in.fail("branches of more layers than a network has");
    if (!in.ok()) count = 0;
    layers_left -= count;
  }
  void kind(Layer& given) {
    const auto kind = in.u8();
    if (kind >= std::variant_size_v<Layer>) in.fail("a kind of layer that is not known");
    if (in.ok()) given = layer_of_kind(kind);
  }
  void real(double& value) { value = in.f64(); }
  void flag(bool& value) {
    const auto byte = in.u8();
    if (byte > 1) in.fail("a flag that is neither 0 nor 1");
    value = byte == 1;
  }
  template <class E>
  void choice(E& value, E last) {
    const auto byte = in.u8();
    if (byte > static_cast<std::uint8_t>(last)) in.fail("a kind of part of a layer that is not known");
    value = in.ok() ? static_cast<E>(byte) : E{};
  }
  void weights(std::vector<double>& values) {
    const std::size_t size = in.u32();
    if (size > left.size()) in.fail("layers have more weights than the file");
    if (!in.ok()) return;
    values.assign(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(size));
    left = left.subspan(size);
  }
};

}  // namespace nidus::model::internal
