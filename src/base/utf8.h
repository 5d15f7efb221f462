#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace nidus {

// The length of the well-formed UTF-8 sequence that begins at `at`, or 0 (Unicode 15, table 3-7). There must
// be a byte.
std::size_t utf8_length(const char* at, const char* end);

// Appends a character; what is none is appended as U+FFFD.
void append_utf8(std::string& out, std::uint32_t character);

}  // namespace nidus
