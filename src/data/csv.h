#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "data/table.h"

// Comma-separated tables: RFC 4180 with what public data sets make of it.
//
// Read: plain, gzip or zstd, told apart by their first bytes; a byte-order mark; LF or CRLF; quoted cells
// with doubled quotes and line ends inside; names with blanks around them; names that stand twice (the second
// becomes "name.1"); empty lines (skipped); the header line again in the middle of the file (skipped and
// counted). A cell is a number when base/number.h can read it, inf and nan included. An empty cell is
// missing. NSL-KDD and KDD'99 files, which have no header, are recognised by their first row.
namespace nidus::data {

struct CsvOptions {
  char separator = ',';

  // For a file without a header: the names of its columns. Empty: the first line holds them, unless the file
  // is recognised as NSL-KDD.
  std::vector<std::string> names;

  // A row with the wrong number of cells or broken quotes ends the reading with an error that names file and
  // line; or it is left out and counted.
  bool skip_bad_rows = false;

  // Beyond these Errc::exhausted is returned. Lines count quoted line ends; bytes are those after
  // decompression.
  std::size_t columns_max = 16384;
  std::size_t line_bytes_max = 4u << 20;
  std::uint64_t bytes_max = 1ull << 40;
  std::uint64_t rows_max = 1ull << 32;
};

// What was met while reading.
struct CsvReport {
  std::uint64_t rows = 0;              // kept
  std::uint64_t bad_rows = 0;          // left out because of skip_bad_rows
  std::uint64_t repeated_headers = 0;  // left out
  std::string first_bad_row;           // "file:12: 3 cells, expected 43"
  std::string schema;                  // "nsl-kdd" when recognised by content, else empty
};

// The whole file. A column is numeric if each of its cells that is not empty is a number; one without any
// value is numeric. "-" is standard input. `report` may be null.
Result<Table> read_csv(const std::filesystem::path& path, const CsvOptions& options = {},
                       CsvReport* report = nullptr);
// The same of bytes in memory; `name` stands for the file in messages.
Result<Table> parse_csv(std::string_view bytes, const std::string& name = "memory",
                        const CsvOptions& options = {}, CsvReport* report = nullptr);

// Reads a file piece by piece, so that it may be larger than memory. Since what comes later is not known, the
// caller says which columns are numeric; the others are texts. Needs the object alone.
class CsvReader {
 public:
  static Result<CsvReader> open(const std::filesystem::path& path, const CsvOptions& options = {});
  // The bytes must outlive the reader.
  static Result<CsvReader> open_memory(std::string_view bytes, const std::string& name = "memory",
                                       const CsvOptions& options = {});
  CsvReader(CsvReader&&) noexcept;
  CsvReader& operator=(CsvReader&&) noexcept;
  ~CsvReader();

  const std::vector<std::string>& names() const;

  // Before the first next(). A cell that is then no number is an error that names file, line and column.
  void read_as(std::size_t column, Kind kind);

  // Up to rows_max further rows, fewer only at the end; no rows when there are none left. After an error the
  // reader is spent. Each table has vocabularies of its own.
  Result<Table> next(std::size_t rows_max);

  // The line on which the last row given out began, from 1.
  std::uint64_t line() const;
  const CsvReport& report() const;

 private:
  friend Result<Table> read_csv(const std::filesystem::path&, const CsvOptions&, CsvReport*);
  friend Result<Table> parse_csv(std::string_view, const std::string&, const CsvOptions&, CsvReport*);
  struct Impl;
  explicit CsvReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The names of NSL-KDD's 43 columns: 41 features, "label", "difficulty".
const std::vector<std::string>& nsl_kdd_names();

// Writes rows cell by cell into a buffer that is handed to the file when it is large, or kept when there is
// no file. Numbers are written as the shortest text that reads back as the same double, NaN as an empty cell.
//
//   CsvWriter csv(file);
//   csv.text("name"); csv.text("score"); csv.end_row();
//   csv.text(name);   csv.number(0.25);  csv.end_row();
//   if (auto done = csv.finish(); !done) …
class CsvWriter {
 public:
  // The file stays open and must outlive the writer. Null: everything stays in buffer().
  explicit CsvWriter(std::FILE* file = nullptr, char separator = ',');

  void text(std::string_view cell);
  void number(double cell);
  void end_row();

  // What has not been handed to the file yet.
  const std::string& buffer() const { return buffer_; }

  // Hands the rest to the file. Errc::io if anything could not be written since the beginning.
  Result<void> finish();

 private:
  void begin_cell();
  void drain();

  std::FILE* file_;
  char separator_;
  bool virgin_ = true;  // nothing was written yet
  bool first_ = true;
  bool lone_empty_ = false;  // the row so far is a single empty cell, which must be quoted not to vanish
  bool failed_ = false;
  std::string buffer_;
};

// The whole table with its header.
void write_csv(const Table& table, CsvWriter& csv);

}  // namespace nidus::data
