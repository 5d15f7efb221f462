#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/result.h"
#include "model/array.h"
#include "model/model.h"
#include "model/transform.h"
#include "model/trees.h"

// The two ends of a model file: a description, which is a stream of small values, and sections, which are
// arrays the description refers to by number. docs/formats/model-file.md has the bytes.
namespace nidus::model::internal {

enum class Element : std::uint32_t { bytes = 0, node = 1, u32 = 2, f32 = 3, u64 = 4, f64 = 5 };

template <class T>
constexpr Element element_of() {
  if constexpr (std::is_same_v<T, Node>) return Element::node;
  if constexpr (std::is_same_v<T, std::uint32_t>) return Element::u32;
  if constexpr (std::is_same_v<T, float>) return Element::f32;
  if constexpr (std::is_same_v<T, std::uint64_t>) return Element::u64;
  if constexpr (std::is_same_v<T, double>) return Element::f64;
}

enum class ModelTag : std::uint32_t {
  forest = 1,
  boost = 2,
  pipeline = 3,
  ensemble = 4,
  additive_trees = 5,
  transformed = 6,
  network = 7,
  reconstruction = 8,
  readout = 9,
  calibration = 10,
  stack = 11,
  tensor_program = 12,
  naive_bayes = 13,
  kernel_machine = 14,
  mahalanobis = 15,
  neighbours = 16,
  histogram_sums = 17,
  fusion = 18,
};

enum class TransformTag : std::uint32_t {
  chain = 1,
  affine = 2,
  ranks = 3,
  recodings = 4,
  side_by_side = 5,
  linear = 6,
  unit_rows = 7,
  power = 8,
  quantiles = 9,
  tensor_program = 12,
  packet_steps = 13,
};

inline constexpr std::uint32_t kNoSection = 0xffffffffu;

class FileWriter {
 public:
  void u8(std::uint8_t value);
  void u32(std::uint32_t value);
  void f32(float value);
  void f64(double value);
  void text(std::string_view value);
  void reals(std::span<const double> values);  // their number, then each
  void tag(ModelTag value) { u32(static_cast<std::uint32_t>(value)); }
  void tag(TransformTag value) { u32(static_cast<std::uint32_t>(value)); }

  // Adds a section and writes its number. The array must live until finish().
  template <class T>
  void array(const Array<T>& values) {
    add(element_of<T>(), std::as_bytes(values.span()));
  }
  // An empty array is none, and takes no section.
  template <class T>
  void optional_array(const Array<T>& values) {
    if (values.empty()) {
      u32(kNoSection);
    } else {
      array(values);
    }
  }

  // The bytes of the file.
  std::string finish() const;

 private:
  struct Section {
    Element element;
    std::span<const std::byte> bytes;
  };
  void add(Element element, std::span<const std::byte> bytes);

  std::string description_;
  std::vector<Section> sections_;
};

// Reads what a FileWriter wrote. After the first fault every value is zero or empty and error() tells what
// and where; so a reader asks ok() once, before it uses what it read, and before it makes room for a count.
class FileReader {
 public:
  // The bytes lie on a 64-byte boundary and live as long as `owner`. Checks header, table and checksums.
  static Result<FileReader> open(std::shared_ptr<const void> owner, std::span<const std::byte> bytes);

  std::uint8_t u8();
  std::uint32_t u32();
  float f32();
  double f64();
  std::string text();
  std::vector<double> reals();
  // A count of things that take at least `bytes_each` of the description: fails when there is no room for
  // them.
  std::size_t count(std::size_t bytes_each);

  // The section whose number comes next. No section is given out twice, so the work of checking arrays is
  // bounded by the size of the file.
  template <class T>
  Array<T> array() {
    const auto bytes = section(element_of<T>(), sizeof(T));
    return Array<T>(owner_, {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)});
  }
  // As array(), or an empty one where the writer left it out.
  template <class T>
  Array<T> optional_array() {
    if (peek_u32() != kNoSection) return array<T>();
    u32();
    return {};
  }

  // Of the file: 1 knows no covers of trees, 2 no leaves of doubles.
  std::uint32_t version() const { return version_; }

  bool ok() const { return !failed_; }
  Error error() const { return error_; }
  // Notes the fault with the offset reached so far, unless there was one before.
  Error fail(const std::string& what);
  bool at_end() const { return position_ == description_.size(); }

  // How deep models may be nested in each other.
  static constexpr int kNestingMax = 8;
  // The model that comes next, of whatever kind.
  Result<std::shared_ptr<const Model>> model(int nesting = 0);
  // The transform that comes next, of whatever kind.
  Result<std::shared_ptr<const Transform>> transform(int nesting = 0);

 private:
  struct Section {
    Element element;
    std::span<const std::byte> bytes;
    bool used = false;
  };
  const std::byte* take(std::size_t size);
  std::uint32_t peek_u32();
  std::span<const std::byte> section(Element element, std::size_t element_bytes);

  std::shared_ptr<const void> owner_;
  std::span<const std::byte> description_;
  std::size_t description_offset_ = 0;
  std::size_t position_ = 0;
  std::vector<Section> sections_;
  std::uint32_t version_ = 0;
  bool failed_ = false;
  Error error_;
};

// Whether none is NaN or infinite.
bool all_finite(std::span<const double> values);

}  // namespace nidus::model::internal
