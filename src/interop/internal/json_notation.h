#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/text.h"

// How JSON and UBJSON spell single values: what json_reader.cc checks and json.cc reads again.
namespace nidus::interop::internal {

inline bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

// The end of the number, or bare word for one, that begins there; the same place if none does.
std::size_t end_of_number(std::string_view text, std::size_t begin);

// What an escape, behind its backslash, stands for; moves behind it. False if it is none. Half of a surrogate
// pair stands for U+FFFD.
bool read_escape(std::string_view text, std::size_t& at, std::string& out);

// The type of UBJSON numbers that each have their own mark.
inline constexpr char kMarked = '#';

// Bytes of one number of UBJSON, 0 for other marks.
std::size_t size_of_type(char type);

template <class Unsigned>
Unsigned big_endian(const char* from) {
  Unsigned value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i) {
    value = static_cast<Unsigned>(value << 8 | static_cast<unsigned char>(from[i]));
  }
  return value;
}

// Of a mark for integers.
std::int64_t integer_at(const char* from, char type);

}  // namespace nidus::interop::internal
