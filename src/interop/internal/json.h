#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace nidus::interop::internal {

class JsonValue;

// A document of JSON, or of UBJSON as XGBoost writes it, checked once from end to end. It holds a few bytes
// for each value and a view of the bytes it was read from, which must outlive it: numbers are made of their
// text when they are asked for, in the type asked for, so that a float is the nearest one to what is written
// and not to a double in between. An array of numbers is one value, however long.
//
// JSON is that of RFC 8259 and, as Python and XGBoost write them, bare NaN, Infinity and -Infinity. Texts are
// bytes as they stand there; whether they are UTF-8 is not asked.
class JsonDocument {
 public:
  struct Limits {
    std::size_t depth = 64;                     // arrays and objects within each other
    std::size_t values = std::size_t{1} << 22;  // 24 bytes each; an array of numbers counts as one
  };

  // Errc::corrupt names the byte, Errc::exhausted the limit.
  static Result<JsonDocument> read_text(std::span<const std::byte> bytes, Limits limits);
  static Result<JsonDocument> read_text(std::span<const std::byte> bytes) {
    return read_text(bytes, Limits());
  }
  // Universal Binary JSON, draft 12; Errc::unsupported for what XGBoost never writes: numbers as text ('H'),
  // arrays of one type other than numbers, objects of one type.
  static Result<JsonDocument> read_ubjson(std::span<const std::byte> bytes, Limits limits);
  static Result<JsonDocument> read_ubjson(std::span<const std::byte> bytes) {
    return read_ubjson(bytes, Limits());
  }

  JsonValue root() const;

 private:
  friend class JsonValue;
  friend class JsonReader;

  enum class Kind : std::uint8_t { null, boolean, number, text, numbers, array, object };
  // Values stand before what is within them, members as a text and the value behind it.
  struct Cell {
    std::size_t begin = 0;   // where its first byte is; of numbers, the first of them
    std::size_t count = 0;   // elements of numbers, arrays and objects; bytes of others
    std::uint32_t next = 0;  // the cell behind this one and all within it
    Kind kind = Kind::null;
    char type = 0;  // of UBJSON, its mark for the type; of JSON '\\', where a text has escapes
  };
  static_assert(sizeof(Cell) == 24);

  std::span<const std::byte> bytes_;
  std::vector<Cell> cells_;
};

// A value of a document: a handle, good while the document lives and is not moved. What is asked for in a
// type that the value does not have is nothing.
class JsonValue {
 public:
  // Where it begins, for messages: of what lies in [ ] or " " or behind a mark of UBJSON.
  std::size_t offset() const { return cell_.begin; }
  // Errc::corrupt, with that place in front of what is wrong.
  Error wrong(const std::string& what) const;

  bool is_null() const { return cell_.kind == Kind::null; }
  bool is_text() const { return cell_.kind == Kind::text; }
  bool is_object() const { return cell_.kind == Kind::object; }
  bool is_array() const { return cell_.kind == Kind::array || cell_.kind == Kind::numbers; }
  // Elements of an array or members of an object, else 0.
  std::size_t size() const;

  std::optional<bool> boolean() const;
  std::optional<double> number() const;
  std::optional<float> number_as_float() const;
  // A whole number, also spelled 3.0 or 3E0.
  std::optional<std::int64_t> integer() const;
  std::optional<std::string> text() const;

  // Of an array with nothing else in it. Among integers true is 1 and false 0.
  std::optional<std::vector<float>> floats() const;
  std::optional<std::vector<double>> doubles() const;
  std::optional<std::vector<std::int64_t>> integers() const;
  std::optional<std::vector<std::string>> texts() const;

  // The member of this name, the last if there are several; nothing in what is no object. Looks at one after
  // the other.
  std::optional<JsonValue> find(std::string_view name) const;
  // The member behind these names, each within the one before.
  template <class... Names>
  std::optional<JsonValue> find(std::string_view name, Names... names) const {
    const auto member = find(name);
    return member ? member->find(names...) : std::nullopt;
  }

  // Empty if it is no array, no object.
  std::vector<JsonValue> elements() const;
  std::vector<std::pair<std::string, JsonValue>> members() const;

 private:
  friend class JsonDocument;
  using Kind = JsonDocument::Kind;
  using Cell = JsonDocument::Cell;

  JsonValue(const JsonDocument& document, const Cell& cell, std::size_t at)
      : document_(&document), cell_(cell), at_(at) {}
  JsonValue at(std::size_t cell) const { return {*document_, document_->cells_[cell], cell}; }
  // The number or truth value at this byte, where an array of numbers of this type goes on; moves to the
  // next.
  Cell scalar(std::size_t& byte, char type) const;
  template <class Number>
  std::optional<std::vector<Number>> numbers() const;
  template <class Number>
  std::optional<Number> number_of(const Cell& cell) const;

  const JsonDocument* document_;
  Cell cell_;
  std::size_t at_;  // the cell's place in the document
};

}  // namespace nidus::interop::internal
