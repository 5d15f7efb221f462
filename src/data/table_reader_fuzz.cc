#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "data/csv_writer.h"
#include "data/table_reader.h"

using namespace nidus::data;

namespace {

// As tables with NaN in them are not equal.
std::string text(const Table& table) {
  CsvWriter csv;
  write_csv(table, csv);
  return std::string(csv.buffer());
}

}  // namespace

// Whatever the bytes: no crash; pieces and threads change nothing; the parts given out by a reader are
// together as many rows as the whole; and a table that was read can be written and read again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  TableOptions options;
  options.line_bytes_max = 1u << 16;
  options.columns_max = 256;
  options.bytes_max = 1u << 22;
  options.strict = size % 2 == 1;
  TableReport report;
  const auto table = parse_table(bytes, "fuzz", options, &report);
  options.piece_bytes = 16 + size % 64;
  const auto pieced = parse_table(bytes, "fuzz", options);
  if (table.has_value() != pieced.has_value()) {
    // One way: a column limit that only JSON seen at once reaches. Everything else must be equal.
    if (report.format != TableFormat::json_lines) std::abort();
    return 0;
  }
  if (!table) return 0;
  if (table->rows() != report.rows || !(pieced->rows() == table->rows())) std::abort();

  // With a column that must be of numbers, rows are left out: the same ones in pieces.
  if (size % 5 == 0 && report.format != TableFormat::json_lines && table->columns() > 0) {
    TableOptions numbers = options;
    numbers.strict = false;
    numbers.numbers = {table->column(0).name};
    const auto left = parse_table(bytes, "fuzz", numbers);
    numbers.piece_bytes = 1u << 20;
    const auto left_whole = parse_table(bytes, "fuzz", numbers);
    if (left.has_value() != left_whole.has_value()) std::abort();
    if (left && (left->rows() > table->rows() || text(*left) != text(*left_whole))) std::abort();
  }

  auto reader = TableReader::open_memory(bytes, "fuzz", options);
  if (!reader) std::abort();
  if (size % 3 == 0) reader->read_as_found();
  std::size_t rows = 0;
  for (;;) {
    const auto part = reader->next(3);
    if (!part) std::abort();
    if (part->rows() == 0) break;
    if (reader->line(part->rows() - 1) < reader->line(0)) std::abort();
    rows += part->rows();
  }
  if (rows != table->rows()) std::abort();

  if (table->rows() == 0) return 0;
  CsvWriter csv;
  write_csv(*table, csv);
  TableOptions plain;
  plain.separator = ',';
  plain.strict = true;
  for (std::size_t i = 0; i < table->columns(); ++i) plain.names.push_back(table->column(i).name);
  const auto again = parse_table(csv.buffer(), "again", plain);
  // The names are given, so the header line is a row like any other.
  if (!again || again->rows() != table->rows() + 1) std::abort();
  return 0;
}
