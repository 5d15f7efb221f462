#include "data/table_reader.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "base/parallel.h"
#include "base/text.h"
#include "data/internal/column_builder.h"
#include "data/internal/json_lines.h"
#include "data/internal/separated_text.h"
#include "data/internal/text_pieces.h"

// Text is cut into pieces between records. In each round the pieces read in the round before are parsed, one
// thread a piece, while one thread reads and unpacks those of the next; then they are given out in order.
//
// A whole table is put together from the pieces. Types need the whole file, values should be read once. So a
// column counts as numeric until a cell is no number; if nothing but missing cells came before, it simply
// becomes text, and that is how nearly every text column shows itself in the first piece. Only a column that
// began with numbers and turns out to be text in a later piece lost the spelling of its first cells ("007"):
// such columns, and only such, are read again from the beginning.
namespace nidus::data {
namespace {

using internal::ColumnBuilder;
using internal::Piece;
using internal::Taking;
using internal::TextPiece;

std::string display_name(const std::filesystem::path& path) {
  return path == "-" ? "standard input" : path.string();
}

bool is_bad_row(Defect defect) {
  return defect == Defect::wrong_cells || defect == Defect::broken_quotes || defect == Defect::broken_json ||
         defect == Defect::not_a_number;
}

// Missing cells of JSON cost no bytes, so their number needs a limit of its own.
bool too_sparse(std::uint64_t rows, std::uint64_t columns, std::uint64_t bytes) {
  return rows * columns > (1u << 20) + 8 * bytes;
}

}  // namespace

std::string_view text_of(Defect defect, std::uint64_t count) {
  const bool one = count == 1;
  switch (defect) {
    case Defect::wrong_cells:
      return one ? "row with the wrong number of cells" : "rows with the wrong number of cells";
    case Defect::broken_quotes:
      return one ? "row with broken quotes" : "rows with broken quotes";
    case Defect::broken_json:
      return one ? "line that is not a JSON object" : "lines that are not a JSON object";
    case Defect::not_a_number:
      return one ? "row with a text where a number belongs" : "rows with a text where a number belongs";
    case Defect::repeated_header:
      return one ? "header again between the rows" : "headers again between the rows";
    case Defect::other_event:
      return one ? "event that is no flow" : "events that are no flows";
    case Defect::repeated_name:
      return one ? "column named like another" : "columns named like another";
    case Defect::unnamed_column:
      return one ? "column without a name" : "columns without a name";
    case Defect::repeated_key:
      return one ? "key that stands twice in an object" : "keys that stand twice in an object";
    case Defect::late_column:
      return one ? "value of a column that the first rows did not have"
                 : "values of columns that the first rows did not have";
  }
  return "";
}

std::uint64_t TableReport::bad_rows() const {
  std::uint64_t out = 0;
  for (std::size_t i = 0; i < kDefects; ++i) {
    if (is_bad_row(static_cast<Defect>(i))) out += defects[i].count;
  }
  return out;
}

std::string TableReport::first_bad_row() const {
  const DefectCount* first = nullptr;
  for (std::size_t i = 0; i < kDefects; ++i) {
    const DefectCount& count = defects[i];
    if (!is_bad_row(static_cast<Defect>(i)) || count.count == 0) continue;
    if (first == nullptr || count.line < first->line) first = &count;
  }
  return first == nullptr ? std::string() : file + ":" + std::to_string(first->line) + ": " + first->first;
}

struct TableReader::Impl {
  using Opened = Result<internal::OpenBytes>;
  using Open = std::function<Opened()>;

  Impl(std::string file, const TableOptions& table_options, internal::OpenBytes bytes)
      : options(table_options),
        texts(std::move(bytes), table_options.piece_bytes, table_options.line_bytes_max,
              table_options.bytes_max),
        workers(table_options.threads) {
    report.file = std::move(file);
    report.compression = texts.compression();
  }

  static Result<std::unique_ptr<Impl>> make(Opened bytes, const std::string& file,
                                            const TableOptions& options) {
    if (!bytes) return std::move(bytes).error().within(file);
    auto impl = std::make_unique<Impl>(file, options, std::move(*bytes));
    if (auto begun = impl->begin(); !begun) return std::move(begun).error();
    for (std::size_t i = 0; i < impl->names.size(); ++i) {
      const auto& wanted = options.numbers;
      if (std::find(wanted.begin(), wanted.end(), impl->names[i]) != wanted.end())
        impl->takings[i] = Taking::numeric;
    }
    return impl;
  }

  Error at_line(Errc code, std::uint64_t line, const std::string& message) const {
    return {code, report.file + ":" + std::to_string(line) + ": " + message};
  }

  // What the file is, and its columns.
  Result<void> begin() {
    auto head = texts.peek();
    if (!head) return at_line(head.error().code, 1, head.error().message);
    const std::string_view start = head->substr(std::min(head->find_first_not_of(" \t\r\n"), head->size()));
    if (start.starts_with('[') && options.names.empty() && start.find('{') < 8) {
      return Error{Errc::unsupported, report.file + ": one JSON array, expected a JSON object a line"};
    }
    const bool objects = options.names.empty() && start.starts_with('{');
    const bool zeek =
        options.names.empty() && (head->starts_with("#separator") || head->starts_with("#fields"));
    report.format = objects ? TableFormat::json_lines : zeek ? TableFormat::zeek : TableFormat::separated;
    if (report.format == TableFormat::separated) {
      if (options.separator == 0) options.separator = internal::likely_separator(*head);
      texts.quotes_between(options.separator);
    }
    TextPiece first;
    auto got = texts.next(first);
    if (!got) return at_line(got.error().code, 1, got.error().message);
    if (report.format == TableFormat::json_lines) return begin_json(std::move(first));

    const std::string_view text = *got ? first.text() : std::string_view();
    auto header = zeek ? internal::read_zeek_header(text, report.file, options)
                       : internal::read_separated_header(text, report.file, options);
    if (!header) return std::move(header).error();
    report.dialect = zeek ? "Zeek log" : header->syntax.separator == '\t' ? "TSV" : "CSV";
    report.headerless = header->headerless;
    defects.absorb(header->defects, 1);
    report.defects = defects.counts;
    separated = std::move(header->syntax);
    names = std::move(header->names);
    takings = std::move(header->takings);
    next_line += header->lines;
    if (*got) {
      first.skip(header->bytes);
      upcoming.push_back(std::move(first));
      pending = 1;
    }
    return {};
  }

  // The first piece that has a row has the names.
  Result<void> begin_json(TextPiece first) {
    json.flows_only = internal::looks_like_eve(first.text());
    json.line_bytes_max = options.line_bytes_max;
    json.columns_max = options.columns_max;
    report.dialect = json.flows_only ? "Suricata EVE" : "JSON lines";
    upcoming.push_back(std::move(first));
    for (;;) {
      Piece piece;
      internal::parse_json_lines(json, upcoming.front(), piece);
      if (piece.rows_taken() > 0 || piece.failure) {
        for (const auto& column : piece.columns) names.push_back(column.column.name);
        break;
      }
      if (auto good = note(piece); !good) return std::move(good).error();
      auto more = texts.next(upcoming.front());
      if (!more) return at_line(more.error().code, next_line, more.error().message);
      if (*more) continue;
      if (json.flows_only) {
        return Error{Errc::corrupt, report.file + ": not a flow among " +
                                        with_thousands(report.of(Defect::other_event).count) + " events"};
      }
      return Error{Errc::corrupt, report.file + ": no JSON object in it"};
    }
    pending = 1;
    if (!json.flows_only && std::find(names.begin(), names.end(), "id.orig_h") != names.end()) {
      report.dialect = "Zeek JSON";
    }
    takings.assign(names.size(), Taking::found);
    return {};
  }

  void parse(const TextPiece& text, Piece& piece) const {
    piece.begin(names, takings);
    if (report.format == TableFormat::json_lines) {
      internal::parse_json_lines(json, text, piece);
    } else {
      internal::parse_separated(separated, text, piece);
    }
  }

  // Parses the pieces of text that are there while it reads those that come behind them.
  void round() {
    std::swap(current, upcoming);
    const std::size_t count = std::exchange(pending, 0);
    const std::size_t wanted = workers.threads() == 1 ? 1 : 2 * workers.threads();
    if (pieces.size() < count) pieces.resize(count);
    upcoming.resize(wanted);
    workers.run(count + 1, [&](std::size_t i) {
      if (i > 0) {
        parse(current[i - 1], pieces[i - 1]);
        return;
      }
      while (pending < wanted && !reading_error) {
        auto more = texts.next(upcoming[pending]);
        if (!more) reading_error = std::move(more).error();
        if (!more || !*more) break;
        ++pending;
      }
    });
    parsed = count;
    given = 0;
  }

  // The next piece, or null at the end.
  Result<Piece*> take() {
    if (given == parsed) {
      if (pending == 0) {
        if (reading_error) return at_line(reading_error->code, next_line, reading_error->message);
        return static_cast<Piece*>(nullptr);
      }
      round();
    }
    Piece& piece = pieces[given++];
    if (auto good = note(piece); !good) return std::move(good).error();
    return &piece;
  }

  // Counts what a piece brought; its error, if it has one.
  Result<void> note(const Piece& piece) {
    if (options.strict) {
      const DefectCount* first = nullptr;
      for (std::size_t i = 0; i < kDefects; ++i) {
        const DefectCount& count = piece.defects.counts[i];
        if (!is_bad_row(static_cast<Defect>(i)) || count.count == 0) continue;
        if (first == nullptr || count.line < first->line) first = &count;
      }
      if (first != nullptr && (!piece.failure || first->line <= piece.failure->line)) {
        return at_line(Errc::corrupt, next_line + first->line, first->first);
      }
    }
    if (piece.failure) {
      return at_line(piece.failure->code, next_line + piece.failure->line, piece.failure->message);
    }
    if (piece.rows_taken() > options.rows_max - report.rows) {
      return at_line(Errc::exhausted, next_line + piece.lines[options.rows_max - report.rows],
                     "more rows than the limit of " + with_thousands(options.rows_max));
    }
    defects.absorb(piece.defects, next_line);
    report.defects = defects.counts;
    report.rows += piece.rows_taken();
    report.bytes += piece.bytes;
    next_line += piece.line_count;
    return {};
  }

  // Columns that a piece of JSON has beyond those it was begun with are looked for by name.
  void absorb(std::vector<ColumnBuilder>& whole, Piece& piece, std::size_t rows_before) {
    for (std::size_t i = 0; i < piece.columns.size(); ++i) {
      std::size_t to = i;
      if (i >= whole.size() || whole[i].column.name != piece.columns[i].column.name) {
        const std::string& name = piece.columns[i].column.name;
        const auto known = later.find(name);
        to = known == later.end() ? whole.size() : known->second;
        if (known == later.end()) {
          later[name] = to;
          names.push_back(name);
          takings.push_back(Taking::found);
          whole.emplace_back(name, Taking::found);
          whole.back().add_missing(rows_before);
        }
      }
      ColumnBuilder& column = whole[to];
      column.absorb(piece.columns[i]);
      if (piecewise) continue;  // what a column is in one piece says nothing of the next
      if (takings[to] == Taking::found && column.column.kind == Kind::text) takings[to] = Taking::text;
      if (column.spoilt) takings[to] = Taking::skipped;
    }
    const std::size_t rows = rows_before + piece.rows_taken();
    for (auto& column : whole) {
      if (!column.spoilt && column.taking != Taking::skipped) column.add_missing(rows - column.size());
    }
  }

  static Table table_of(std::vector<ColumnBuilder>& columns) {
    std::vector<Column> out;
    for (auto& column : columns) out.push_back(std::move(column.column));
    Table table;
    table.add_all(std::move(out));
    return table;
  }

  // All rows of the columns that are not skipped.
  Result<std::vector<ColumnBuilder>> read_all() {
    if (workers.threads() == 1 && report.format != TableFormat::json_lines) return read_all_in_place();
    std::vector<ColumnBuilder> whole;
    for (std::size_t i = 0; i < names.size(); ++i) whole.emplace_back(names[i], takings[i]);
    std::size_t rows = 0;
    for (;;) {
      auto piece = take();
      if (!piece) return std::move(piece).error();
      if (*piece == nullptr) return whole;
      if (rows == 0) reserve(whole, **piece);
      absorb(whole, **piece, rows);
      rows += (*piece)->rows_taken();
      if (report.format == TableFormat::json_lines && too_sparse(rows, whole.size(), report.bytes)) {
        return Error{Errc::exhausted,
                     report.file + ": far more columns than there is text: nearly all cells are missing"};
      }
    }
  }

  // The same by the caller alone: no piece has columns of its own, the cells go where they stay.
  Result<std::vector<ColumnBuilder>> read_all_in_place() {
    Piece piece;
    piece.begin(names, takings);
    TextPiece text;
    bool more = pending != 0;
    if (more) text = std::move(upcoming.front());
    pending = 0;
    while (more) {
      piece.go_on();
      internal::parse_separated(separated, text, piece);
      if (auto good = note(piece); !good) return std::move(good).error();
      if (piece.rows_before == 0) reserve(piece.columns, piece);
      auto read = texts.next(text);
      if (!read) return at_line(read.error().code, next_line, read.error().message);
      more = *read;
    }
    return std::move(piece.columns);
  }

  // Room for all rows, if the rest of the file is like its first piece with rows: growing step by step would
  // touch three times the memory.
  void reserve(std::vector<ColumnBuilder>& whole, const Piece& first) const {
    if (first.rows_taken() == 0 || texts.size() <= 2 * first.bytes) return;
    const double pieces_all = static_cast<double>(texts.size()) / static_cast<double>(first.bytes);
    const auto rows = static_cast<std::size_t>(1.02 * pieces_all * static_cast<double>(first.rows_taken()));
    // All are there before the first is written to, so that they lie side by side.
    std::vector<Numbers> numbers(whole.size());
    for (std::size_t i = 0; i < whole.size(); ++i) {
      if (takings[i] == Taking::skipped) continue;
      if (first.columns[i].column.kind == Kind::text) {
        whole[i].column.codes.reserve(rows);
      } else {
        numbers[i].reserve(rows);
      }
    }
    for (std::size_t i = 0; i < whole.size(); ++i) {
      if (numbers[i].capacity() == 0) continue;
      Numbers& cells = whole[i].column.numbers;
      numbers[i].insert(numbers[i].end(), cells.begin(), cells.end());
      cells.swap(numbers[i]);
    }
  }

  // The whole table with its types found out, by `open` as often as needed, which is once or twice.
  static Result<Table> read_whole(const Open& open, const std::string& file, const TableOptions& options,
                                  TableReport* report) {
    auto first = make(open(), file, options);
    if (!first) return std::move(first).error();
    Impl& reading = **first;
    auto whole = reading.read_all();
    if (!whole) return std::move(whole).error();
    if (report != nullptr) *report = reading.report;
    if (reading.report.rows == 0 && reading.report.bad_rows() > 0) {
      return Error{Errc::corrupt, "no row could be read: " + reading.report.first_bad_row()};
    }
    const auto spoilt = [](const ColumnBuilder& column) { return column.spoilt; };
    if (std::any_of(whole->begin(), whole->end(), spoilt)) {
      auto second = make(open(), file, options);
      if (!second) return std::move(second).error();
      Impl& again = **second;
      const Error changed{Errc::io, file + ": changed while it was read"};
      if (!std::equal(again.names.begin(), again.names.end(), reading.names.begin(),
                      reading.names.begin() +
                          static_cast<std::ptrdiff_t>(std::min(again.names.size(), reading.names.size())))) {
        return changed;
      }
      again.names = reading.names;
      again.takings.assign(again.names.size(), Taking::skipped);
      for (std::size_t i = 0; i < whole->size(); ++i) {
        if ((*whole)[i].spoilt) again.takings[i] = Taking::text;
        // By these rows are left out, so they are looked at again.
        if ((*whole)[i].taking == Taking::numeric) again.takings[i] = Taking::numeric;
      }
      auto texts = again.read_all();
      if (!texts) return std::move(texts).error();
      if (again.report.rows != reading.report.rows || again.names != reading.names) return changed;
      for (std::size_t i = 0; i < whole->size(); ++i) {
        if ((*whole)[i].spoilt) (*whole)[i] = std::move((*texts)[i]);
      }
    }
    return table_of(*whole);
  }

  TableOptions options;
  internal::TextPieces texts;
  Workers workers;
  internal::SeparatedSyntax separated;
  internal::JsonSyntax json;
  std::vector<std::string> names;
  std::vector<Taking> takings;
  std::unordered_map<std::string, std::size_t> later;  // columns that JSON brought on the way
  bool piecewise = false;                              // each table is one piece, typed by itself
  bool begun = false;
  TableReport report;
  internal::Defects defects;
  std::uint64_t next_line = 1;  // on which the next piece begins

  std::vector<TextPiece> current, upcoming;
  std::size_t pending = 0;  // of upcoming, those that are filled
  std::optional<Error> reading_error;
  std::vector<Piece> pieces;
  std::size_t parsed = 0, given = 0;
  std::vector<std::uint64_t> lines;  // of the rows of the last table
};

TableReader::TableReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TableReader::TableReader(TableReader&&) noexcept = default;
TableReader& TableReader::operator=(TableReader&&) noexcept = default;
TableReader::~TableReader() = default;

const std::vector<std::string>& TableReader::names() const { return impl_->names; }
const TableReport& TableReader::report() const { return impl_->report; }

std::uint64_t TableReader::line(std::size_t row) const {
  CHECK(row < impl_->lines.size());
  return impl_->lines[row];
}

void TableReader::read_as(std::size_t column, Kind kind) {
  CHECK(column < impl_->takings.size() && !impl_->begun);
  impl_->takings[column] = kind == Kind::numeric ? Taking::numeric : Taking::text;
}

void TableReader::read_as_found() {
  CHECK(!impl_->begun);
  impl_->piecewise = true;
}

Result<Table> TableReader::next(std::size_t rows_wanted) {
  Impl& impl = *impl_;
  if (!impl.begun) {
    impl.begun = true;
    impl.json.open_ended = impl.piecewise;
    for (auto& taking : impl.takings) {
      if (taking == Taking::found && !impl.piecewise) taking = Taking::text;
    }
  }
  impl.lines.clear();
  std::vector<ColumnBuilder> whole;
  for (std::size_t i = 0; i < impl.names.size(); ++i) whole.emplace_back(impl.names[i], impl.takings[i]);
  do {
    auto piece = impl.take();
    if (!piece) return std::move(piece).error();
    if (*piece == nullptr) break;
    const std::uint64_t base = impl.next_line - (*piece)->line_count;
    const std::size_t rows_before = impl.lines.size();
    impl.absorb(whole, **piece, rows_before);
    for (const auto line : (*piece)->lines) impl.lines.push_back(base + line);
  } while (impl.lines.empty() || (!impl.piecewise && impl.lines.size() < rows_wanted));
  return Impl::table_of(whole);
}

Result<TableReader> TableReader::open(const std::filesystem::path& path, const TableOptions& options) {
  auto impl = Impl::make(internal::open_bytes(path), display_name(path), options);
  if (!impl) return std::move(impl).error();
  return TableReader(std::move(*impl));
}

Result<TableReader> TableReader::open_memory(std::string_view bytes, const std::string& name,
                                             const TableOptions& options) {
  auto impl = Impl::make(internal::open_bytes(bytes), name, options);
  if (!impl) return std::move(impl).error();
  return TableReader(std::move(*impl));
}

Result<Table> parse_table(std::string_view bytes, const std::string& name, const TableOptions& options,
                          TableReport* report) {
  return TableReader::Impl::read_whole([&] { return internal::open_bytes(bytes); }, name, options, report);
}

Result<Table> read_table(const std::filesystem::path& path, const TableOptions& options,
                         TableReport* report) {
  const std::string name = display_name(path);
  std::error_code ignored;
  if (path != "-" && !std::filesystem::is_fifo(path, ignored)) {
    return TableReader::Impl::read_whole([&] { return internal::open_bytes(path); }, name, options, report);
  }
  // What comes through a pipe cannot be read a second time, so all of it is kept.
  auto stream = internal::open_bytes(path);
  if (!stream) return std::move(stream).error().within(name);
  std::string bytes;
  for (;;) {
    const std::size_t before = bytes.size();
    bytes.resize(before + (1u << 20));
    auto got = stream->bytes->read(bytes.data() + before, bytes.size() - before);
    if (!got) return std::move(got).error().within(name);
    bytes.resize(before + *got);
    if (*got == 0) break;
    if (bytes.size() > options.bytes_max)
      return Error{Errc::exhausted, name + ": more bytes than the limit allows"};
  }
  return parse_table(bytes, name, options, report);
}

}  // namespace nidus::data
