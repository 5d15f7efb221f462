#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/table.h"
#include "data/table_reader.h"

namespace nidus::data::internal {

// How the cells of a column are taken.
enum class Taking : std::uint8_t {
  found,    // numeric until a cell is no number
  numeric,  // a row whose cell is no number is bad
  text,
  skipped,
};

// A column while it grows.
struct ColumnBuilder {
  Taking taking = Taking::found;
  Column column;
  Dictionary dictionary;
  bool any_value = false;         // of a numeric column: a cell was not missing
  bool any_value_before = false;  // one that came before this piece of text
  // A text came after numbers whose spelling is lost ("007"): the column has to be read again as text.
  bool spoilt = false;

  ColumnBuilder(std::string name, Taking how);
  // Without cells, as in the beginning; memory is kept.
  void clear();
  std::size_t size() const { return column.size(); }
  // All cells are missing so far.
  void become_text();
  // A text came after numbers: what is there has lost its spelling and is let go.
  void spoil();
  void add_missing(std::size_t count);
  // The cells of the same column further down. Takes its texts away.
  void absorb(ColumnBuilder& further);
};

// What is wrong in a part of a file.
struct Defects {
  std::array<DefectCount, kDefects> counts;

  void add(Defect defect, std::uint64_t line, std::string_view what = {});
  bool any() const;
  // Of a part that begins at `first_line`; its lines are counted from 0.
  void absorb(const Defects& further, std::uint64_t first_line);
};

// What became of a piece of text, or of all texts up to this piece. Lines are counted from 0 at its
// beginning.
struct Piece {
  std::vector<ColumnBuilder> columns;  // those of the plan, and behind them what JSON brings further
  std::size_t rows_before = 0;         // in the columns; what follows is of this piece alone
  std::vector<std::uint32_t> lines;    // on which each row begins
  std::uint32_t line_count = 0;
  std::size_t bytes = 0;
  Defects defects;

  // What ends the reading. The rows are those before it, or all.
  struct Failure {
    Errc code = Errc::corrupt;
    std::uint32_t line = 0;
    std::string message;
  };
  std::optional<Failure> failure;

  // Rows of this piece, counted from its first, whose cell is no number where one must be; and of the first
  // of them what is wrong.
  std::vector<std::uint32_t> bad_rows;
  std::uint32_t first_bad_row = 0;
  std::string first_bad;

  // Where the parser works; kept from piece to piece.
  std::vector<std::uint32_t> ends, row_ends, rows;
  std::string unquoted;

  std::size_t rows_taken() const { return lines.size(); }
  // Ready for the next piece, with these columns.
  void begin(const std::vector<std::string>& names, const std::vector<Taking>& takings);
  // Ready for the next piece, whose rows come behind those that are there.
  void go_on();
  void fail(Errc code, std::uint32_t line, std::string message);
  // The row is to be left out: this cell of it is no number.
  void refuse(std::size_t row, const std::string& column, std::string_view cell);
  // After the last row: takes what was refused out of all columns, and counts it.
  void drop_bad_rows();
};

}  // namespace nidus::data::internal
