#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nidus {

// The same bytes as text, whatever they are.
inline std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Without leading and trailing blanks, tabs, CR and LF.
std::string_view trim(std::string_view text);

std::string to_lower(std::string_view text);
bool equal_ignoring_case(std::string_view a, std::string_view b);

std::vector<std::string_view> split(std::string_view text, char separator);

// Appends a cell of separated text (RFC 4180): between quotes, and those within doubled, if it holds a
// separator, quote, line end or tab, begins or ends with a blank, or `always`.
void append_csv_cell(std::string& out, std::string_view text, char separator = ',', bool always = false);

// The candidate that was most likely meant by `typed` (at most a third of its letters wrong), for
// "did you mean"; nothing if none is close.
std::optional<std::string> closest(std::string_view typed, std::span<const std::string> candidates);

// ", did you mean 'x'?" or nothing: ready to append to an error message.
std::string did_you_mean(std::string_view typed, std::span<const std::string> candidates);

// 1234567 as "1,234,567".
std::string with_thousands(std::uint64_t n);

// "2026-11-21T11:41:29.123456Z" from microseconds since 1970, UTC.
std::string iso8601(std::int64_t microseconds);
void append_iso8601(std::string& out, std::int64_t microseconds);

}  // namespace nidus
