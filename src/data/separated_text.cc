#include "data/internal/separated_text.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <span>
#include <utility>

#include "base/text.h"
#include "data/internal/cell_index.h"
#include "data/internal/number_cell.h"

// A piece is cut in two steps. First all ends of cells are found, without a look at what is in them; if the
// piece has quotes, its records are written out without them, so that the second step need not know. Then the
// cells are read column by column, 64 rows at a time: what a column holds hardly changes from row to row, so
// the processor learns it, and the text of 64 rows stays in the nearest cache until the last column has it.
namespace nidus::data::internal {
namespace {

constexpr std::size_t kRowsAtOnce = 64;
const double kNan = std::numeric_limits<double>::quiet_NaN();

bool is_blank(const char* begin, const char* end) {
  return std::all_of(begin, end, [](char c) { return c == ' ' || c == '\t'; });
}

// The cells of the good rows.
struct Cells {
  const char* text;
  const std::uint32_t* ends;
  const std::uint32_t* rows;  // of each row, the number of its first cell
  std::size_t columns;
  const SeparatedSyntax* syntax;
  bool as_they_stand = true;  // and not written out: the last may end in a carriage return

  std::pair<const char*, const char*> at(std::size_t row, std::size_t column) const {
    const std::uint32_t* const cell = ends + rows[row] + column;
    const char* const begin = text + static_cast<std::uint32_t>(cell[0] + 1);
    const char* end = text + cell[1];
    if (as_they_stand && column + 1 == columns && end != begin && end[-1] == '\r') --end;
    return {begin, end};
  }

  bool missing(const char* begin, const char* end) const {
    if (begin == end || is_blank(begin, end)) return true;
    if (!syntax->zeek) return false;
    const std::string& unset = syntax->unset;
    return static_cast<std::size_t>(end - begin) == unset.size() &&
           std::memcmp(begin, unset.data(), unset.size()) == 0;
  }
};

// Zeek writes bytes that would disturb as \x09.
std::string without_escapes(std::string_view text) {
  std::string out;
  const auto digit = [](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && text[i + 1] == 'x' && digit(text[i + 2]) >= 0 &&
        digit(text[i + 3]) >= 0) {
      out += static_cast<char>(digit(text[i + 2]) * 16 + digit(text[i + 3]));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

// Equal length is known. There is kCellPadding behind both.
bool same_text(const char* a, const char* b, std::size_t size) {
  if (size > 16) return std::memcmp(a, b, size) == 0;
  if (size > 8) return load_word(a) == load_word(b) && load_word(a + size - 8) == load_word(b + size - 8);
  if constexpr (std::endian::native != std::endian::little) return std::memcmp(a, b, size) == 0;
  return size == 0 || (load_word(a) ^ load_word(b)) << (64 - 8 * size) == 0;
}

// Rows from `first` to `last` of the piece, kRowsAtOnce at most. They come behind those that are there.
[[gnu::noinline]] void take_texts(const Cells& cells, std::size_t column, std::size_t first, std::size_t last,
                                  ColumnBuilder& to) {
  // Neighbours are often equal: one protocol, one label. What is left is looked up together.
  std::array<std::string_view, kRowsAtOnce> different;
  std::array<std::uint32_t, kRowsAtOnce> codes;
  std::array<std::uint8_t, kRowsAtOnce> which;
  std::vector<std::string> unescaped;
  if (cells.syntax->zeek) unescaped.resize(kRowsAtOnce);
  std::size_t count = 0;
  std::string_view before;
  for (std::size_t row = first; row < last; ++row) {
    const auto [begin, end] = cells.at(row, column);
    const std::string_view cell(begin, static_cast<std::size_t>(end - begin));
    if (row == first || cell.size() != before.size() || !same_text(begin, before.data(), cell.size())) {
      before = cell;
      std::string_view& text = different[count];
      text = cell;
      if (cells.missing(begin, end)) {
        text = {};
      } else if (cells.syntax->zeek && cell.find('\\') != std::string_view::npos) {
        unescaped[count] = without_escapes(cell);
        text = unescaped[count];
      }
      ++count;
    }
    which[row - first] = static_cast<std::uint8_t>(count - 1);
  }
  to.dictionary.code_all(std::span(different).first(count), to.column.vocabulary, codes);
  for (std::size_t row = first; row < last; ++row) to.column.codes.push_back(codes[which[row - first]]);
}

// Fills `out` with the numbers of rows from `first` on. The first row whose cell is neither missing nor a
// number, or `last`. Not inlined: the loop needs every register there is.
[[gnu::noinline]] std::size_t take_numbers(const Cells& cells, std::size_t column, std::size_t first,
                                           std::size_t last, double* out, bool& any_value) {
  const char* const text = cells.text;
  const std::uint32_t* const ends = cells.ends + column;
  const std::uint32_t* const rows = cells.rows;
  const bool in_place_and_last = cells.as_they_stand && column + 1 == cells.columns;
  std::size_t missing = 0, row = first;
  for (; row < last; ++row, ++out) {
    const std::uint32_t* const cell = ends + rows[row];
    const char* const begin = text + static_cast<std::uint32_t>(cell[0] + 1);
    const char* end = text + cell[1];
    if (in_place_and_last && end != begin && end[-1] == '\r') --end;
    // Half of the cells of flow tables are one digit, most of them 0, and whole columns of them.
    if (end - begin == 1 && static_cast<unsigned>(*begin - '0') <= 9) {
      *out = static_cast<double>(*begin - '0');
      continue;
    }
    if (read_number(begin, end, *out)) [[likely]]
      continue;
    if (!cells.missing(begin, end)) break;
    *out = kNan;
    ++missing;
  }
  if (row - first > missing) any_value = true;
  return row;
}

void take_columns(const Cells& cells, std::size_t rows, Piece& piece) {
  for (std::size_t first = 0; first < rows; first += kRowsAtOnce) {
    const std::size_t last = std::min(rows, first + kRowsAtOnce);
    for (std::size_t column = 0; column < piece.columns.size(); ++column) {
      ColumnBuilder& to = piece.columns[column];
      if (to.taking == Taking::skipped) continue;
      if (to.column.kind == Kind::text) {
        take_texts(cells, column, first, last, to);
        continue;
      }
      Numbers& numbers = to.column.numbers;
      numbers.resize(piece.rows_before + last);
      double* const out = numbers.data() + piece.rows_before;
      std::size_t wrong = take_numbers(cells, column, first, last, out + first, to.any_value);
      if (wrong == last) continue;
      if (to.taking == Taking::numeric) {
        do {
          const auto [begin, end] = cells.at(wrong, column);
          piece.refuse(wrong, to.column.name, {begin, static_cast<std::size_t>(end - begin)});
          out[wrong] = kNan;
          wrong = take_numbers(cells, column, wrong + 1, last, out + wrong + 1, to.any_value);
        } while (wrong != last);
        continue;
      }
      if (to.any_value_before) {
        to.spoil();
        to.taking = Taking::skipped;
        continue;
      }
      // The cells of this piece are at hand, so they are taken again as they are spelled.
      to.any_value = false;
      numbers.resize(piece.rows_before);
      to.become_text();
      for (std::size_t again = 0; again < last; again += kRowsAtOnce) {
        take_texts(cells, column, again, std::min(last, again + kRowsAtOnce), to);
      }
    }
  }
}

std::string wrong_count(std::size_t have, std::size_t want) {
  return std::to_string(have) + " cells, expected " + std::to_string(want);
}

// Rows of text without quotes. The cells stay where they are.
void find_rows(const SeparatedSyntax& syntax, std::string_view text, std::size_t columns, Piece& piece) {
  index_cells(text, syntax.separator, piece.ends, piece.row_ends);
  piece.rows.clear();
  std::uint32_t first = 0, line = 0;
  for (const std::uint32_t behind : piece.row_ends) {
    const std::uint32_t begin = piece.ends[first] + 1, end = piece.ends[behind];
    const std::uint32_t cells = behind - first;
    const std::uint32_t from = std::exchange(first, behind), here = line++;
    if (end - begin > syntax.line_bytes_max) {
      piece.fail(Errc::exhausted, here,
                 "a row longer than " + with_thousands(syntax.line_bytes_max) + " bytes");
      break;
    }
    std::string_view row = text.substr(begin, end - begin);
    if (row.ends_with('\r')) row.remove_suffix(1);
    if (row.empty()) continue;
    if (syntax.zeek && row.front() == '#') {
      if (row.starts_with("#fields") && row != syntax.fields) {
        piece.fail(Errc::corrupt, here, "other fields than at the beginning of the log");
        break;
      }
      continue;
    }
    if (cells != columns) {
      piece.defects.add(Defect::wrong_cells, here, wrong_count(cells, columns));
    } else if (!syntax.header.empty() && row == syntax.header) {
      piece.defects.add(Defect::repeated_header, here);
    } else {
      piece.rows.push_back(from);
      piece.lines.push_back(here);
    }
  }
  piece.line_count = line;
}

// Reads records with quotes and writes them out without, each cell followed by a zero.
class Unquoter {
 public:
  Unquoter(const SeparatedSyntax& syntax, std::string_view text, Piece& piece)
      : syntax_(syntax), text_(text), piece_(piece) {}

  void run(std::size_t columns) {
    piece_.unquoted.clear();
    piece_.ends.assign(1, std::numeric_limits<std::uint32_t>::max());
    piece_.rows.clear();
    while (at_ < text_.size() && !piece_.failure) take_record(columns);
    piece_.line_count = line_;
    piece_.unquoted.append(kCellPadding, '\0');
  }

 private:
  void take_record(std::size_t columns) {
    const std::size_t from = at_, first = piece_.ends.size() - 1, unquoted_before = piece_.unquoted.size();
    const std::uint32_t here = line_;
    std::string problem;
    const std::size_t line_end = text_.find('\n', from);
    bool closed = read_record(problem);
    if (at_ - from - 1 > syntax_.line_bytes_max && at_ > line_end + 1) closed = false;
    if (!closed) {
      // The quote is no quote: only the line that it stands on is lost.
      problem = "a quote is opened and never closed";
      at_ = line_end + 1;
      line_ = here + 1;
    }
    std::string_view raw = text_.substr(from, at_ - from - 1);
    if (raw.ends_with('\r')) raw.remove_suffix(1);
    const std::size_t cells = piece_.ends.size() - 1 - first;
    bool good = false;
    if (raw.size() > syntax_.line_bytes_max) {
      piece_.fail(Errc::exhausted, here,
                  "a row longer than " + with_thousands(syntax_.line_bytes_max) + " bytes");
    } else if (raw.empty()) {
    } else if (!problem.empty()) {
      piece_.defects.add(Defect::broken_quotes, here, problem);
    } else if (cells != columns) {
      piece_.defects.add(Defect::wrong_cells, here, wrong_count(cells, columns));
    } else if (!syntax_.header.empty() && raw == syntax_.header) {
      piece_.defects.add(Defect::repeated_header, here);
    } else {
      good = true;
      piece_.rows.push_back(static_cast<std::uint32_t>(first));
      piece_.lines.push_back(here);
    }
    if (!good) {
      piece_.ends.resize(first + 1);
      piece_.unquoted.resize(unquoted_before);
    }
  }

  void end_cell() {
    piece_.ends.push_back(static_cast<std::uint32_t>(piece_.unquoted.size()));
    piece_.unquoted += '\0';
  }

  // One record, up to behind its line feed. False if a quote is open at the end of the text.
  bool read_record(std::string& problem) {
    std::string& out = piece_.unquoted;
    for (std::size_t cell = 1;; ++cell) {
      bool quoted = false;
      if (text_[at_] == '"') {
        quoted = true;
        for (++at_;;) {
          const auto quote = text_.find('"', at_);
          if (quote == std::string_view::npos) return false;
          const std::string_view part = text_.substr(at_, quote - at_);
          line_ += static_cast<std::uint32_t>(std::count(part.begin(), part.end(), '\n'));
          out += part;
          at_ = quote + 1;
          if (text_[at_] != '"') break;  // there is a line feed behind everything
          out += '"';
          ++at_;
        }
      }
      const std::size_t begin = at_;
      while (text_[at_] != syntax_.separator && text_[at_] != '\n') ++at_;
      std::string_view rest = text_.substr(begin, at_ - begin);
      if (quoted) {
        // Behind a closing quote only a carriage return and blanks may stand.
        if (rest.find_first_not_of(" \r") != std::string_view::npos && problem.empty()) {
          problem = "cell " + std::to_string(cell) + " has text behind its closing quote";
        }
      } else {
        if (text_[at_] == '\n' && rest.ends_with('\r')) rest.remove_suffix(1);
        out += rest;
      }
      end_cell();
      if (text_[at_++] == '\n') break;
    }
    ++line_;
    return true;
  }

  const SeparatedSyntax& syntax_;
  std::string_view text_;
  Piece& piece_;
  std::size_t at_ = 0;
  std::uint32_t line_ = 0;
};

// Rows whose last cell holds several, with blanks between them: written out with the separator.
void part_joined_cells(const SeparatedSyntax& syntax, std::string_view text, Piece& piece) {
  std::string& out = piece.unquoted;
  out.clear();
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t line_end = text.find('\n', at);
    const std::string_view line = text.substr(at, line_end - at);
    const std::size_t tail = line.starts_with('#') ? std::string_view::npos : line.rfind(syntax.separator);
    if (tail == std::string_view::npos) {
      out += line;
    } else {
      out += line.substr(0, tail + 1);
      bool between = false;
      std::size_t parts = 1;
      for (const char c : line.substr(tail + 1)) {
        // Only as many parts as there are names: the last may have blanks in it.
        if (c == ' ' && parts < syntax.joined) {
          between = true;
          continue;
        }
        if (std::exchange(between, false)) {
          out += syntax.separator;
          ++parts;
        }
        out += c;
      }
    }
    out += '\n';
    at = line_end + 1;
  }
  out.append(kCellPadding, '\0');
}

}  // namespace

void parse_separated(const SeparatedSyntax& syntax, const TextPiece& text, Piece& piece) {
  const std::size_t columns = piece.columns.size();
  piece.bytes = text.size();
  Cells cells{text.begin(), nullptr, nullptr, columns, &syntax};
  if (syntax.joined != 0) {
    part_joined_cells(syntax, text.text(), piece);
    cells.text = piece.unquoted.data();
    find_rows(syntax, std::string_view(piece.unquoted).substr(0, piece.unquoted.size() - kCellPadding),
              columns, piece);
  } else if (text.quoted() && syntax.quotes) {
    Unquoter(syntax, text.text(), piece).run(columns);
    cells.text = piece.unquoted.data();
    cells.as_they_stand = false;
  } else {
    find_rows(syntax, text.text(), columns, piece);
  }
  cells.ends = piece.ends.data();
  cells.rows = piece.rows.data();
  take_columns(cells, piece.rows.size(), piece);
  piece.drop_bad_rows();
}

}  // namespace nidus::data::internal
