#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "data/internal/column_builder.h"
#include "data/internal/text_pieces.h"

namespace nidus::data::internal {

// How a file of separated text is written, and Zeek's own way of it.
struct SeparatedSyntax {
  char separator = ',';
  bool quotes = true;
  std::size_t line_bytes_max = 0;

  // Of a Zeek log. Lines with '#' in front are no rows.
  bool zeek = false;
  std::string unset;   // what stands where there is nothing: "-"
  std::string fields;  // its #fields line, which must stay the same where it is repeated
  // IoT-23 as published: the last three names stand in one cell, with blanks between them, and so do the
  // cells.
  std::size_t joined = 0;  // the names in the last cell, 0 or 3

  std::string header;  // the first line where it holds the names: it may come again
};

struct SeparatedHeader {
  SeparatedSyntax syntax;
  std::vector<std::string> names;
  std::vector<Taking> takings;  // Zeek says what is text
  bool headerless = false;
  std::size_t bytes = 0;  // of the header, to be skipped
  std::uint32_t lines = 0;
  Defects defects;
};

// What the first piece says. `file` is for messages. The text is what peek() gave or the first piece.
Result<SeparatedHeader> read_separated_header(std::string_view text, const std::string& file,
                                              const TableOptions& options);
// Of a Zeek log.
Result<SeparatedHeader> read_zeek_header(std::string_view text, const std::string& file,
                                         const TableOptions& options);

// The separator that the first record has most of, outside quotes.
char likely_separator(std::string_view text);

// Cuts a piece into rows and the rows into the columns that the piece was begun with. Thread-safe for
// different pieces.
void parse_separated(const SeparatedSyntax& syntax, const TextPiece& text, Piece& piece);

// Names without blanks around them, each different from the others, none empty.
std::vector<std::string> tidy_names(const std::vector<std::string>& names, std::uint64_t line,
                                    Defects& defects);

}  // namespace nidus::data::internal
