#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "data/table.h"

// Tables out of files, whatever they are written in: separated text (CSV, TSV), Zeek's logs, a JSON object a
// line (Zeek's JSON and Suricata's EVE among them); plain, gzip or zstd. The format is told by the content.
//
// Separated text is RFC 4180 with what public data sets make of it: a byte-order mark, LF or CRLF, quoted
// cells, blanks around names, names that stand twice, empty lines, the header again in the middle.
// docs/formats/tables.md has every rule. NSL-KDD, KDD'99 and the raw UNSW-NB15 files, which have no header,
// are recognised by their first row.
namespace nidus::data {

enum class TableFormat : std::uint8_t { separated, zeek, json_lines };

struct TableOptions {
  // Of separated text. 0: the one of comma, tab, semicolon and bar that the first record has most of.
  char separator = 0;

  // For separated text without a header: the names of its columns. Empty: the first record holds them, unless
  // it is recognised as a row.
  std::vector<std::string> names;

  // Columns whose cells must be numbers or missing, by their names in the file; those that it does not have
  // do not matter. A row in which one is something else cannot be read.
  std::vector<std::string> numbers;

  // A row that cannot be read ends the reading with an error that names file and line, as it should where
  // every row counts. Otherwise it is left out and counted in the report.
  bool strict = false;

  std::size_t threads = 1;  // including the caller; 0: one for each processor

  // Text that is parsed at once by one thread, which is fastest while it and where its cells end stay in the
  // second cache. The first piece, which tells what most columns are, is four times as large. Memory for text
  // is bounded by 2 (threads + 3) times this, or by the longest record.
  std::size_t piece_bytes = 256u << 10;

  // Beyond these Errc::exhausted is returned. Bytes are those after decompression. The columns and rows of
  // JSON must also stay below a million cells and eight for each byte, since missing cells cost no bytes.
  std::size_t columns_max = 16384;
  std::size_t line_bytes_max = 4u << 20;
  std::uint64_t bytes_max = 1ull << 40;
  std::uint64_t rows_max = 1ull << 32;
};

// What can be wrong with a file that is read all the same.
enum class Defect : std::uint8_t {
  wrong_cells,      // a row with another number of cells than names: left out
  broken_quotes,    // a row whose quotes do not end, or end within a cell: left out
  broken_json,      // a line that is not a JSON object, or nested too deeply: left out
  not_a_number,     // a row with a text in a column whose cells must be numbers: left out
  repeated_header,  // the header again: left out
  other_event,      // EVE: an event that is no flow: left out
  repeated_name,    // a column named like one before: it becomes "name.1"
  unnamed_column,   // becomes "unnamed"
  repeated_key,     // a key that stands twice in a JSON object: the first counts
  late_column,      // JSON, streamed: a column that the first piece did not have: left out
};
inline constexpr std::size_t kDefects = 10;
// "rows with the wrong number of cells", or of one "row with the wrong number of cells"
std::string_view text_of(Defect defect, std::uint64_t count);

struct DefectCount {
  std::uint64_t count = 0;
  std::uint64_t line = 0;  // of the first
  std::string first;       // what was wrong with it: "3 cells, expected 43"; may be empty
};

// What was met while reading. Lines are counted from 1.
struct TableReport {
  TableFormat format = TableFormat::separated;
  std::string dialect;      // "CSV", "TSV", "Zeek log", "JSON lines", "Zeek JSON", "Suricata EVE"
  std::string compression;  // "none", "gzip", "zstd"
  std::string file;         // as messages call it
  bool headerless = false;  // recognised by its first row
  std::uint64_t rows = 0;   // given out
  std::uint64_t bytes = 0;  // of text, after decompression
  std::array<DefectCount, kDefects> defects;

  const DefectCount& of(Defect defect) const { return defects[static_cast<std::size_t>(defect)]; }
  // Rows that could not be read.
  std::uint64_t bad_rows() const;
  // "file:12: 3 cells, expected 43": the first of them; empty if there are none.
  std::string first_bad_row() const;
};

// The whole file, or in strict mode an error. A column is numeric if each of its cells that is not missing is
// a number; one without any value is numeric. "-" is standard input. `report` may be null. Errc::corrupt if
// there are bad rows and not a single good one.
Result<Table> read_table(const std::filesystem::path& path, const TableOptions& options = {},
                         TableReport* report = nullptr);
// The same of bytes in memory; `name` stands for the file in messages.
Result<Table> parse_table(std::string_view bytes, const std::string& name = "memory",
                          const TableOptions& options = {}, TableReport* report = nullptr);

// Reads a file piece by piece, so that it may be larger than memory; rows come in the order of the file
// whatever the number of threads. Since what comes later is not known, the caller says which columns are
// numeric; the others are texts. Needs the object alone.
class TableReader {
 public:
  static Result<TableReader> open(const std::filesystem::path& path, const TableOptions& options = {});
  // The bytes must outlive the reader.
  static Result<TableReader> open_memory(std::string_view bytes, const std::string& name = "memory",
                                         const TableOptions& options = {});
  TableReader(TableReader&&) noexcept;
  TableReader& operator=(TableReader&&) noexcept;
  ~TableReader();

  // Of JSON: the keys of the first piece, those of nested objects joined by points: "flow.pkts_toserver".
  const std::vector<std::string>& names() const;

  // Before the first next(). A row whose cell is then no number cannot be read.
  void read_as(std::size_t column, Kind kind);
  // Before the first next(). A column is in each table what its cells there are, numbers or texts, and JSON
  // may bring further columns. Each table is then one piece.
  void read_as_found();

  // Further rows: whole pieces until there are `rows_wanted` or the end has come, and no rows only at the
  // end. After an error the reader is spent. Each table has vocabularies of its own.
  Result<Table> next(std::size_t rows_wanted = 1);

  // The line on which a row of the last table given out began.
  std::uint64_t line(std::size_t row) const;
  const TableReport& report() const;

 private:
  friend Result<Table> read_table(const std::filesystem::path&, const TableOptions&, TableReport*);
  friend Result<Table> parse_table(std::string_view, const std::string&, const TableOptions&, TableReport*);
  struct Impl;
  explicit TableReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace nidus::data
