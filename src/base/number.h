#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nidus {

// Appends the shortest text that reads back as exactly the same double; whole numbers below 2^53 are written
// without a fraction or exponent. Non-finite values are "NaN", "Infinity" and "-Infinity".
void append_number(std::string& out, double value);
void append_number(std::string& out, std::int64_t value);
void append_number(std::string& out, std::uint64_t value);

// The largest number of characters that one append_number writes.
inline constexpr std::size_t kNumberLengthMax = 32;

// Writes what append_number appends to memory of at least kNumberLengthMax bytes; returns its end.
char* write_number(char* out, double value);
char* write_number(char* out, std::int64_t value);
char* write_number(char* out, std::uint64_t value);

// The whole text as a number, blanks around it allowed: decimal or exponent, and inf, infinity, nan in any
// case with a sign. Nothing for anything else; a magnitude beyond double becomes an infinity or zero.
std::optional<double> parse_number(std::string_view text);

// The whole text as a whole number.
std::optional<std::int64_t> parse_integer(std::string_view text);

}  // namespace nidus
