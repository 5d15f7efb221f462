#include "data/csv_writer.h"
#include "base/number.h"
#include "base/text.h"

namespace nidus::data {
namespace {

constexpr std::size_t kDrainBytes = 1u << 16;

}  // namespace

CsvWriter::CsvWriter(std::FILE* file, char separator) : file_(file), separator_(separator) {}

void CsvWriter::begin_cell() {
  if (!first_) buffer_ += separator_;
  first_ = false;
  lone_empty_ = false;
}

void CsvWriter::text(std::string_view cell) {
  const bool only = first_;
  begin_cell();
  // The first bytes of a file must not look like a byte-order mark, gzip or zstd.
  const bool mistakable =
      virgin_ && !cell.empty() && std::string_view("\xef\x1f(").find(cell.front()) != std::string_view::npos;
  virgin_ = false;
  append_csv_cell(buffer_, cell, separator_, mistakable);
  lone_empty_ = only && cell.empty();
}

void CsvWriter::number(double cell) {
  const bool only = first_;
  begin_cell();
  virgin_ = false;
  if (cell == cell) {
    append_number(buffer_, cell);
  } else {
    lone_empty_ = only;
  }
}

void CsvWriter::end_row() {
  if (lone_empty_) buffer_ += "\"\"";
  lone_empty_ = false;
  first_ = true;
  buffer_ += '\n';
  if (file_ != nullptr && buffer_.size() >= kDrainBytes) drain();
}

void CsvWriter::drain() {
  if (std::fwrite(buffer_.data(), 1, buffer_.size(), file_) != buffer_.size()) failed_ = true;
  buffer_.clear();
}

Result<void> CsvWriter::finish() {
  if (file_ != nullptr) {
    drain();
    if (std::fflush(file_) != 0) failed_ = true;
  }
  if (failed_) return Error{Errc::io, "cannot write all of the table: is the disk full or the pipe closed?"};
  return {};
}

void write_csv(const Table& table, CsvWriter& csv) {
  for (std::size_t i = 0; i < table.columns(); ++i) csv.text(table.column(i).name);
  csv.end_row();
  for (std::size_t row = 0; row < table.rows(); ++row) {
    for (std::size_t i = 0; i < table.columns(); ++i) {
      const Column& column = table.column(i);
      if (column.kind == Kind::numeric) {
        csv.number(column.numbers[row]);
      } else {
        csv.text(column.text_at(row));
      }
    }
    csv.end_row();
  }
}

}  // namespace nidus::data
