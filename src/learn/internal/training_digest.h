#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/digest.h"
#include "base/random.h"
#include "learn/dataset.h"

namespace nidus::learn::internal {

// One number that tells a training from others: its rows, and the settings that make a difference to the
// outcome. A different order of adding gives a different number.
class TrainingDigest {
 public:
  explicit TrainingDigest(std::string_view kind) { add_bytes(kind.data(), kind.size()); }

  template <class Number>
  requires std::is_arithmetic_v<Number>
  void add(Number number) { add_bytes(&number, sizeof number); }
  void add(const Dataset& dataset) {
    for (const auto& column : dataset.schema) {
      add_bytes(column.name.data(), column.name.size());
      add(column.vocabulary.size());
    }
    for (const auto& name : dataset.classes) add_bytes(name.data(), name.size());
    add_bytes(dataset.values.data(), dataset.values.size() * sizeof(float));
    add_bytes(dataset.labels.data(), dataset.labels.size() * sizeof(std::uint32_t));
    add_bytes(dataset.weights.data(), dataset.weights.size() * sizeof(float));
  }
  std::uint64_t value() const { return value_; }

 private:
  void add_bytes(const void* data, std::size_t size) {
    const auto bytes = std::span(static_cast<const std::byte*>(data), size);
    value_ = Random::mix(value_ * 0x9e3779b97f4a7c15u + checksum64(bytes) + size);
  }

  std::uint64_t value_ = 1;
};

}  // namespace nidus::learn::internal
