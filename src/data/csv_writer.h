#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include "base/result.h"
#include "data/table.h"

namespace nidus::data {

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
