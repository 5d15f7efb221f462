#include "interop/internal/json.h"

#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <type_traits>

#include "base/text.h"
#include "interop/internal/json_notation.h"

namespace nidus::interop::internal {
namespace {

// Of a text that end_of_number agreed with.
template <class Number>
Number number_from(std::string_view text) {
  Number value = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (fault != std::errc::result_out_of_range) return value;
  // Beyond the type: from_chars does not say on which side. A double says it for floats, the exponent for
  // doubles.
  if constexpr (sizeof(Number) < sizeof(double)) {
    return static_cast<Number>(number_from<double>(text));
  } else {
    const auto exponent = text.find_first_of("eE");
    const auto digits = text.substr(0, exponent).find_first_of("123456789");
    const bool tiny = exponent != std::string_view::npos ? text.find('-', exponent) != std::string_view::npos
                                                         : digits > text.find('.');
    const Number magnitude = tiny ? Number{0} : std::numeric_limits<Number>::infinity();
    return text.front() == '-' ? -magnitude : magnitude;
  }
}

std::optional<std::int64_t> whole(double value) {
  constexpr double kExact = 9007199254740992.0;  // 2^53
  if (!(std::abs(value) <= kExact) || value != std::trunc(value)) return std::nullopt;
  return static_cast<std::int64_t>(value);
}

}  // namespace

JsonValue JsonDocument::root() const { return {*this, cells_[0], 0}; }

Error JsonValue::wrong(const std::string& what) const {
  return {Errc::corrupt, "byte " + with_thousands(offset()) + ": " + what};
}

std::size_t JsonValue::size() const { return is_array() || is_object() ? cell_.count : 0; }

std::optional<bool> JsonValue::boolean() const {
  if (cell_.kind != Kind::boolean) return std::nullopt;
  const auto first = static_cast<char>(document_->bytes_[cell_.begin]);
  return first == 't' || first == 'T';
}

template <class Number>
std::optional<Number> JsonValue::number_of(const Cell& cell) const {
  const std::string_view bytes = as_text(document_->bytes_);
  const char* from = bytes.data() + cell.begin;
  if (cell.kind == Kind::boolean) {
    if constexpr (std::is_integral_v<Number>) return *from == 't' || *from == 'T' ? 1 : 0;
    return std::nullopt;
  }
  if (cell.kind != Kind::number) return std::nullopt;
  double value = 0;
  if (cell.type == 0) {
    const std::string_view token = bytes.substr(cell.begin, cell.count);
    if constexpr (std::is_integral_v<Number>) {
      Number out = 0;
      const auto [end, fault] = std::from_chars(token.data(), token.data() + token.size(), out);
      if (fault == std::errc() && end == token.data() + token.size()) return out;
      return whole(number_from<double>(token));
    } else {
      return number_from<Number>(token);
    }
  } else if (cell.type == 'd') {
    const auto exact = std::bit_cast<float>(big_endian<std::uint32_t>(from));
    if constexpr (std::is_same_v<Number, float>) return exact;
    value = static_cast<double>(exact);
  } else if (cell.type == 'D') {
    value = std::bit_cast<double>(big_endian<std::uint64_t>(from));
  } else {
    return static_cast<Number>(integer_at(from, cell.type));
  }
  if constexpr (std::is_integral_v<Number>) return whole(value);
  return static_cast<Number>(value);
}

std::optional<double> JsonValue::number() const { return number_of<double>(cell_); }
std::optional<float> JsonValue::number_as_float() const { return number_of<float>(cell_); }
std::optional<std::int64_t> JsonValue::integer() const {
  return cell_.kind == Kind::number ? number_of<std::int64_t>(cell_) : std::nullopt;
}

std::optional<std::string> JsonValue::text() const {
  if (cell_.kind != Kind::text) return std::nullopt;
  const std::string_view raw = as_text(document_->bytes_).substr(cell_.begin, cell_.count);
  if (cell_.type != '\\') return std::string(raw);
  std::string out;
  for (std::size_t at = 0; at < raw.size();) {
    if (raw[at] != '\\') {
      out += raw[at++];
    } else {
      read_escape(raw, ++at, out);
    }
  }
  return out;
}

JsonValue::Cell JsonValue::scalar(std::size_t& byte, char type) const {
  const std::string_view bytes = as_text(document_->bytes_);
  if (type == kMarked) type = bytes[byte++];
  if (type == 'T' || type == 'F') return {byte - 1, 1, 0, Kind::boolean, type};
  if (type != 0) {
    const Cell cell = {byte, size_of_type(type), 0, Kind::number, type};
    byte += cell.count;
    return cell;
  }
  const char first = bytes[byte];
  Cell cell = {byte, 0, 0, Kind::boolean, 0};
  if (first == 't' || first == 'f') {
    cell.count = first == 't' ? 4 : 5;
  } else {
    cell.kind = Kind::number;
    cell.count = end_of_number(bytes, byte) - byte;
  }
  byte += cell.count;
  while (byte < bytes.size() && (is_blank(bytes[byte]) || bytes[byte] == ',')) ++byte;
  return cell;
}

template <class Number>
std::optional<std::vector<Number>> JsonValue::numbers() const {
  std::vector<Number> out;
  if (cell_.kind == Kind::array && cell_.count == 0) return out;
  if (cell_.kind != Kind::numbers) return std::nullopt;
  out.reserve(cell_.count);
  std::size_t byte = cell_.begin;
  for (std::size_t i = 0; i < cell_.count; ++i) {
    const auto value = number_of<Number>(scalar(byte, cell_.type));
    if (!value) return std::nullopt;
    out.push_back(*value);
  }
  return out;
}

std::optional<std::vector<float>> JsonValue::floats() const { return numbers<float>(); }
std::optional<std::vector<double>> JsonValue::doubles() const { return numbers<double>(); }
std::optional<std::vector<std::int64_t>> JsonValue::integers() const { return numbers<std::int64_t>(); }

std::optional<std::vector<std::string>> JsonValue::texts() const {
  if (!is_array()) return std::nullopt;
  std::vector<std::string> out;
  for (const auto& element : elements()) {
    auto one = element.text();
    if (!one) return std::nullopt;
    out.push_back(std::move(*one));
  }
  return out;
}

std::optional<JsonValue> JsonValue::find(std::string_view name) const {
  if (!is_object()) return std::nullopt;
  std::optional<JsonValue> found;
  const auto& cells = document_->cells_;
  for (std::size_t i = at_ + 1; i < cell_.next; i = cells[i + 1].next) {
    const Cell& key = cells[i];
    const bool same = key.type == '\\' ? at(i).text() == name
                                       : as_text(document_->bytes_).substr(key.begin, key.count) == name;
    if (same) found = at(i + 1);
  }
  return found;
}

std::vector<JsonValue> JsonValue::elements() const {
  std::vector<JsonValue> out;
  if (!is_array()) return out;
  out.reserve(cell_.count);
  if (cell_.kind == Kind::numbers) {
    std::size_t byte = cell_.begin;
    for (std::size_t i = 0; i < cell_.count; ++i) out.push_back({*document_, scalar(byte, cell_.type), at_});
  } else {
    for (std::size_t i = at_ + 1; i < cell_.next; i = document_->cells_[i].next) out.push_back(at(i));
  }
  return out;
}

std::vector<std::pair<std::string, JsonValue>> JsonValue::members() const {
  std::vector<std::pair<std::string, JsonValue>> out;
  if (!is_object()) return out;
  out.reserve(cell_.count);
  for (std::size_t i = at_ + 1; i < cell_.next; i = document_->cells_[i + 1].next)
    out.emplace_back(*at(i).text(), at(i + 1));
  return out;
}

}  // namespace nidus::interop::internal
