#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nidus::serve {

// Separated text (RFC 4180) as its bytes come in, record by record: for bodies that are never held whole.
// Quotes may stand around a cell, line ends are LF or CRLF, a byte-order mark and empty lines are passed
// over. The separator is the one of comma, tab and semicolon that the first record has most of.
//
// Not thread-safe.
class CsvRecords {
 public:
  static constexpr std::size_t kRecordBytesMax = 1 << 20;
  static constexpr std::size_t kCellsMax = 16384;

  enum class Next : std::uint8_t {
    record,  // `cells` are those of the next record
    more,    // feed() further bytes, or end()
    end,
    fault,  // see fault()
  };

  void feed(std::string_view bytes);
  void end() { ended_ = true; }
  // Cells are without their quotes, and valid until the next call of feed() or next().
  Next next(std::vector<std::string_view>& cells);

  std::uint64_t line() const { return line_; }  // on which the last record began, from 1
  const std::string& fault() const { return fault_; }
  char separator() const { return separator_; }

 private:
  Next fail(std::string what);

  std::string buffer_, unquoted_;
  std::size_t at_ = 0;       // of the next record
  std::size_t scanned_ = 0;  // where looking for the end of the record goes on
  bool in_quotes_ = false;   // there
  std::uint64_t line_ = 0, next_line_ = 1;
  char separator_ = 0;
  bool started_ = false, ended_ = false;
  std::string fault_;
};

}  // namespace nidus::serve
