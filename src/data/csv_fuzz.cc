#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "data/csv.h"

using namespace nidus::data;

// Whatever the bytes: no crash; and a table that was read can be written and read again to the same table, or
// the parts given out by a reader are together as many rows as the whole.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  CsvOptions options;
  options.line_bytes_max = 1u << 16;
  options.columns_max = 256;
  options.bytes_max = 1u << 22;
  options.skip_bad_rows = size % 2 == 0;
  CsvReport report;
  const auto table = parse_csv(bytes, "fuzz", options, &report);
  if (!table) return 0;
  if (table->rows() != report.rows) std::abort();

  auto reader = CsvReader::open_memory(bytes, "fuzz", options);
  if (!reader) std::abort();
  std::size_t rows = 0;
  for (;;) {
    const auto part = reader->next(3);
    if (!part) std::abort();
    if (part->rows() == 0) break;
    rows += part->rows();
  }
  if (rows != table->rows()) std::abort();

  if (table->rows() == 0) return 0;
  CsvWriter csv;
  write_csv(*table, csv);
  CsvOptions plain;
  for (std::size_t i = 0; i < table->columns(); ++i) plain.names.push_back(table->column(i).name);
  plain.columns_max = 256;
  const auto again = parse_csv(csv.buffer(), "again", plain);
  // The names are given, so the header line is a row like any other.
  if (!again || again->rows() != table->rows() + 1) std::abort();
  return 0;
}
