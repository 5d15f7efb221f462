#include "interop/internal/json_notation.h"

#include <charconv>
#include <optional>

#include "base/utf8.h"

namespace nidus::interop::internal {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::optional<unsigned> hex4(std::string_view text) {
  unsigned value = 0;
  if (text.size() < 4) return std::nullopt;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + 4, value, 16);
  if (fault != std::errc() || end != text.data() + 4) return std::nullopt;
  return value;
}

}  // namespace

std::size_t end_of_number(std::string_view text, std::size_t begin) {
  std::size_t at = begin;
  const auto peek = [&] { return at < text.size() ? text[at] : '\0'; };
  if (peek() == '-') ++at;
  if (!is_digit(peek())) {
    for (const std::string_view word : {"NaN", "Infinity", "nan", "inf"}) {
      if (text.substr(at, word.size()) == word) return at + word.size();
    }
    return begin;
  }
  if (peek() == '0') {
    ++at;
  } else {
    while (is_digit(peek())) ++at;
  }
  if (peek() == '.') {
    ++at;
    if (!is_digit(peek())) return begin;
    while (is_digit(peek())) ++at;
  }
  if (peek() == 'e' || peek() == 'E') {
    ++at;
    if (peek() == '+' || peek() == '-') ++at;
    if (!is_digit(peek())) return begin;
    while (is_digit(peek())) ++at;
  }
  return at;
}

bool read_escape(std::string_view text, std::size_t& at, std::string& out) {
  if (at >= text.size()) return false;
  constexpr std::string_view kMarks = "\"\\/bfnrt", kMeant = "\"\\/\b\f\n\r\t";
  const char mark = text[at++];
  if (const auto found = kMarks.find(mark); found != std::string_view::npos) {
    out += kMeant[found];
    return true;
  }
  if (mark != 'u') return false;
  auto code = hex4(text.substr(at));
  if (!code) return false;
  at += 4;
  if (*code >= 0xd800 && *code < 0xe000) {
    const auto second =
        *code < 0xdc00 && text.substr(at, 2) == "\\u" ? hex4(text.substr(at + 2)) : std::nullopt;
    if (second && *second >= 0xdc00 && *second < 0xe000) {
      at += 6;
      code = 0x10000 + ((*code - 0xd800) << 10) + (*second - 0xdc00);
    } else {
      code = 0xfffd;
    }
  }
  append_utf8(out, *code);
  return true;
}

std::size_t size_of_type(char type) {
  switch (type) {
    case 'i':
    case 'U':
      return 1;
    case 'I':
      return 2;
    case 'l':
    case 'd':
      return 4;
    case 'L':
    case 'D':
      return 8;
    default:
      return 0;
  }
}

std::int64_t integer_at(const char* from, char type) {
  switch (type) {
    case 'i':
      return static_cast<std::int8_t>(*from);
    case 'U':
      return static_cast<std::uint8_t>(*from);
    case 'I':
      return static_cast<std::int16_t>(big_endian<std::uint16_t>(from));
    case 'l':
      return static_cast<std::int32_t>(big_endian<std::uint32_t>(from));
    default:
      return static_cast<std::int64_t>(big_endian<std::uint64_t>(from));
  }
}

}  // namespace nidus::interop::internal
