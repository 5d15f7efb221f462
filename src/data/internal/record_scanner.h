#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "data/internal/byte_reader.h"

namespace nidus::data::internal {

// Cuts a stream into records and records into cells. Empty lines are passed over. Needs the object alone.
class RecordScanner {
 public:
  enum class Outcome : std::uint8_t {
    row,     // cells() holds the next record
    bad,     // a record with broken quotes: problem() says what, the next call goes on behind it
    end,     // no records left
    failed,  // the stream or a limit: error() says which, every further call fails too
  };

  RecordScanner(std::unique_ptr<ByteReader> bytes, char separator, std::size_t line_bytes_max,
                std::size_t cells_max, std::uint64_t bytes_max);

  Outcome next();

  // Good until the next call. Quotes are taken off.
  const std::vector<std::string_view>& cells() const { return cells_; }
  // The line on which the record began, from 1.
  std::uint64_t line() const { return line_; }
  const std::string& problem() const { return problem_; }
  const Error& error() const { return error_; }

 private:
  bool fill();
  Outcome fail(Errc code, std::string message);
  bool split_plain(const char* begin, const char* end);
  Outcome take_quoted();

  std::unique_ptr<ByteReader> bytes_;
  char separator_;
  std::size_t line_bytes_max_;
  std::size_t cells_max_;
  std::uint64_t bytes_left_;
  std::vector<char> buffer_;
  std::size_t position_ = 0;  // of the next record in the buffer
  std::size_t filled_ = 0;
  bool at_end_ = false;
  bool failed_ = false;
  bool started_ = false;
  std::uint64_t line_ = 0;
  std::uint64_t next_line_ = 1;
  std::vector<std::string_view> cells_;
  std::string unquoted_;
  std::string problem_;
  Error error_;
};

}  // namespace nidus::data::internal
