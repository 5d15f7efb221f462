#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "data/internal/column_builder.h"
#include "data/internal/text_pieces.h"

namespace nidus::data::internal {

struct JsonSyntax {
  bool flows_only = false;  // EVE: events whose event_type is not "flow" are no rows
  bool open_ended = true;   // keys that are no column become one; otherwise they are left out and counted
  std::size_t line_bytes_max = 0;
  std::size_t columns_max = 0;
};

// A JSON object a line. A nested object's keys go behind its own with a point between, an array is the text
// that it is written as, true and false are 1 and 0, null and [] are missing. A number is read as in other
// tables, and so are NaN and Infinity, which Python writes. At most kJsonDepth objects and arrays within each
// other. Thread-safe for different pieces.
inline constexpr int kJsonDepth = 16;
void parse_json_lines(const JsonSyntax& syntax, const TextPiece& text, Piece& piece);

// Whether the first line that is an object is one of Suricata's events.
bool looks_like_eve(std::string_view text);

}  // namespace nidus::data::internal
