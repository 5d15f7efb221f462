#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "data/internal/byte_reader.h"

namespace nidus::data::internal {

// Whole records, each ended by a line feed, as they stand in the file. Behind them there are kCellPadding
// zero bytes.
class TextPiece {
 public:
  const char* begin() const { return memory_.get() + skipped_; }
  std::size_t size() const { return filled_ - skipped_; }
  std::string_view text() const { return {begin(), size()}; }
  // There is a quote somewhere, and quotes mean something.
  bool quoted() const { return quoted_; }
  // Leaves out what stands at the beginning: it was read as a header.
  void skip(std::size_t bytes) { skipped_ += bytes; }

 private:
  friend class TextPieces;
  void reserve(std::size_t capacity);

  std::unique_ptr<char[]> memory_;
  std::size_t capacity_ = 0, filled_ = 0, skipped_ = 0;
  bool quoted_ = false;
};

// Cuts a stream of text into pieces between records. A line feed in quotes, where quotes mean something, ends
// no record. Needs the object alone.
//
// Limits: the length of a record and the bytes of the whole. A quote that is still open after line_bytes_max,
// or at the end of the file, is none: then the line that it stands on ends with that line, and the parser
// finds it broken. So one stray quote costs one row and not the rest of the file.
class TextPieces {
 public:
  TextPieces(OpenBytes bytes, std::size_t piece_bytes, std::size_t line_bytes_max, std::uint64_t bytes_max);

  // The beginning of the text without a byte-order mark, to find out what it is; empty for an empty file.
  // Before next().
  Result<std::string_view> peek();
  // From now on '"' quotes cells between these separators.
  void quotes_between(char separator) { separator_ = separator; }

  // False at the end. The error carries no line: it is on the one behind the last piece.
  Result<bool> next(TextPiece& piece);

  std::string_view compression() const { return source_.compression; }
  std::uint64_t size() const { return source_.size; }

 private:
  Result<bool> fill(TextPiece& piece, std::size_t wanted);

  OpenBytes source_;
  std::size_t piece_bytes_, line_bytes_max_;
  std::uint64_t bytes_left_;
  std::optional<char> separator_;
  std::string kept_;  // the beginning of the next piece
  bool started_ = false, at_end_ = false;
};

// The length of the records that end within the text; `open` if a quote is open behind them.
std::size_t whole_records(std::string_view text, char separator, bool& open);

}  // namespace nidus::data::internal
