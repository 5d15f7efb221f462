#include "data/csv.h"

#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <optional>
#include <unordered_set>
#include <utility>

#include "base/check.h"
#include "base/number.h"
#include "base/text.h"
#include "data/internal/record_scanner.h"

// Types need the whole file, values should be read once. So a column counts as numeric until a cell is no
// number; if nothing but empty cells came before, it simply becomes text, and that is how nearly every text
// column shows itself in the first row. Only a column that began with numbers lost the spelling of its first
// cells ("007"): such columns, and only such, are read again from the beginning.
namespace nidus::data {
namespace {

using internal::RecordScanner;

// Numbers of at most 15 digits and a small fraction, exact by one division (Clinger 1990: both operands are
// exact doubles); the rest goes to base. Returns whether the cell is a number; a blank cell is NaN.
bool read_cell(std::string_view cell, double& value) {
  constexpr std::array<double, 16> kPowers = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                              1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
  const char* at = cell.data();
  const char* const end = at + cell.size();
  const bool negative = at != end && *at == '-';
  if (negative) ++at;
  std::uint64_t digits = 0;
  std::size_t count = 0;
  const char* point = nullptr;
  for (; at != end; ++at) {
    const auto digit = static_cast<unsigned>(*at - '0');
    if (digit < 10) {
      digits = digits * 10 + digit;
      if (++count > 15) break;
    } else if (*at == '.' && point == nullptr) {
      point = at;
    } else {
      break;
    }
  }
  if (at == end && count > 0) {
    const auto fraction = point == nullptr ? std::size_t{0} : static_cast<std::size_t>(end - point - 1);
    value = static_cast<double>(digits);
    if (fraction > 0) value /= kPowers[fraction];
    if (negative) value = -value;
    return true;
  }
  const auto number = parse_number(cell);
  value = number ? *number : std::numeric_limits<double>::quiet_NaN();
  return number.has_value() || trim(cell).empty();
}

bool looks_like_nsl_kdd(const std::vector<std::string_view>& cells) {
  if (cells.size() < 42 || cells.size() > 43) return false;
  const auto protocol = trim(cells[1]);
  if (protocol != "tcp" && protocol != "udp" && protocol != "icmp") return false;
  for (std::size_t i = 0; i < 41; ++i) {
    if (i >= 1 && i <= 3) continue;
    if (trim(cells[i]).empty() || !parse_number(cells[i])) return false;
  }
  return !parse_number(cells[41]);
}

std::vector<std::string> unique_names(const std::vector<std::string_view>& cells) {
  std::vector<std::string> names;
  std::unordered_set<std::string> taken;
  for (const auto cell : cells) {
    const std::string plain(trim(cell));
    std::string name = plain;
    for (int n = 1; !taken.insert(name).second; ++n) name = plain + "." + std::to_string(n);
    names.push_back(std::move(name));
  }
  return names;
}

std::string display_name(const std::filesystem::path& path) {
  return path == "-" ? "standard input" : path.string();
}

// A column while it is being read.
struct Growing {
  enum class Mode : std::uint8_t { numeric, text, undecided, spoilt, skipped };
  Mode mode = Mode::text;
  Column column;
  Dictionary dictionary;
  bool any_value = false;  // of an undecided column: a number was seen

  void add_text(std::string_view cell) {
    const bool blank = cell.find_first_not_of(" \t") == std::string_view::npos;
    column.codes.push_back(blank ? kMissing : dictionary.code(cell, column.vocabulary));
  }
};

}  // namespace

struct CsvReader::Impl {
  Impl(std::string file_name, CsvOptions csv_options, std::unique_ptr<internal::ByteReader> bytes)
      : file(std::move(file_name)),
        options(std::move(csv_options)),
        scanner(std::move(bytes), options.separator, options.line_bytes_max, options.columns_max,
                options.bytes_max) {}

  std::string place(std::uint64_t at) const { return file + ":" + std::to_string(at); }

  Error scan_error() {
    return Error{scanner.error().code, place(scanner.line()) + ": " + scanner.error().message};
  }

  // Finds the names. The first record is kept for next() when it is already a row.
  Result<void> begin() {
    const auto outcome = scanner.next();
    if (outcome == RecordScanner::Outcome::failed) return scan_error();
    if (outcome == RecordScanner::Outcome::bad) {
      return Error{Errc::corrupt, place(scanner.line()) + ": " + scanner.problem()};
    }
    const bool empty = outcome == RecordScanner::Outcome::end;
    if (!options.names.empty()) {
      std::vector<std::string_view> given(options.names.begin(), options.names.end());
      names = unique_names(given);
      first_pending = !empty;
    } else if (empty) {
      return Error{Errc::corrupt, file + ": empty, expected a line with the names of the columns"};
    } else if (looks_like_nsl_kdd(scanner.cells())) {
      names.assign(nsl_kdd_names().begin(),
                   nsl_kdd_names().begin() + static_cast<std::ptrdiff_t>(scanner.cells().size()));
      report.schema = "nsl-kdd";
      first_pending = true;
    } else {
      const auto& cells = scanner.cells();
      if (cells.size() > 1 &&
          std::all_of(cells.begin(), cells.end(), [](auto cell) { return parse_number(cell).has_value(); })) {
        return Error{
            Errc::invalid,
            place(scanner.line()) + ": the first line holds numbers, expected the names of " + "the columns"};
      }
      names = unique_names(cells);
      for (const auto cell : cells) header.emplace_back(cell);
    }
    growing.resize(names.size());
    for (std::size_t i = 0; i < names.size(); ++i) growing[i].column.name = names[i];
    return {};
  }

  bool repeats_header() const {
    const auto& cells = scanner.cells();
    return !header.empty() && cells.front() == header.front() &&
           std::equal(cells.begin(), cells.end(), header.begin(), header.end());
  }

  // Advances to the next good row. False at the end.
  Result<bool> advance() {
    for (;;) {
      const bool pending = std::exchange(first_pending, false);
      const auto outcome = pending ? RecordScanner::Outcome::row : scanner.next();
      std::string problem;
      switch (outcome) {
        case RecordScanner::Outcome::end:
          return false;
        case RecordScanner::Outcome::failed:
          return scan_error();
        case RecordScanner::Outcome::bad:
          problem = scanner.problem();
          break;
        case RecordScanner::Outcome::row:
          if (scanner.cells().size() != names.size()) {
            problem =
                std::to_string(scanner.cells().size()) + " cells, expected " + std::to_string(names.size());
          } else if (repeats_header()) {
            ++report.repeated_headers;
            continue;
          }
          break;
      }
      if (problem.empty()) {
        if (report.rows >= options.rows_max) {
          return Error{Errc::exhausted, place(scanner.line()) + ": more rows than the limit of " +
                                            with_thousands(options.rows_max)};
        }
        ++report.rows;
        line = scanner.line();
        return true;
      }
      problem = place(scanner.line()) + ": " + problem;
      if (!options.skip_bad_rows) return Error{Errc::corrupt, std::move(problem)};
      if (report.bad_rows++ == 0) report.first_bad_row = std::move(problem);
    }
  }

  // The index of the first column whose cell is no number though it must be one.
  std::optional<std::size_t> take_row() {
    std::optional<std::size_t> wrong;
    const auto& cells = scanner.cells();
    for (std::size_t i = 0; i < cells.size(); ++i) {
      Growing& to = growing[i];
      switch (to.mode) {
        case Growing::Mode::text:
          to.add_text(cells[i]);
          break;
        case Growing::Mode::skipped:
        case Growing::Mode::spoilt:
          break;
        case Growing::Mode::numeric:
        case Growing::Mode::undecided: {
          double value = 0;
          if (read_cell(cells[i], value)) {
            to.column.numbers.push_back(value);
            to.any_value = to.any_value || value == value || !trim(cells[i]).empty();
          } else if (to.mode == Growing::Mode::numeric) {
            if (!wrong) wrong = i;
          } else if (to.any_value) {
            to.mode = Growing::Mode::spoilt;
            to.column.numbers = {};
          } else {
            to.mode = Growing::Mode::text;
            to.column.codes.assign(to.column.numbers.size(), kMissing);
            to.column.numbers = {};
            to.add_text(cells[i]);
          }
        }
      }
    }
    return wrong;
  }

  using Opened = Result<std::unique_ptr<internal::ByteReader>>;

  static Result<std::unique_ptr<Impl>> make(Opened bytes, const std::string& file,
                                            const CsvOptions& options) {
    if (!bytes) return std::move(bytes).error().within(file);
    auto impl = std::make_unique<Impl>(file, options, std::move(*bytes));
    if (auto begun = impl->begin(); !begun) return std::move(begun).error();
    return impl;
  }

  // The whole table with its types found out, by `open` as often as needed, which is once or twice.
  static Result<Table> read_whole(const std::function<Opened()>& open, const std::string& file,
                                  const CsvOptions& options, CsvReport* report) {
    auto first = make(open(), file, options);
    if (!first) return std::move(first).error();
    Impl& reading = **first;
    for (auto& column : reading.growing) column.mode = Growing::Mode::undecided;
    bool spoilt = false;
    for (;;) {
      auto row = reading.advance();
      if (!row) return std::move(row).error();
      if (!*row) break;
      reading.take_row();
    }
    for (const auto& column : reading.growing) spoilt = spoilt || column.mode == Growing::Mode::spoilt;
    if (spoilt) {
      auto second = make(open(), file, options);
      if (!second) return std::move(second).error();
      Impl& again = **second;
      if (again.names != reading.names) return Error{Errc::io, file + ": changed while it was read"};
      for (std::size_t i = 0; i < again.growing.size(); ++i) {
        const bool wanted = reading.growing[i].mode == Growing::Mode::spoilt;
        again.growing[i].mode = wanted ? Growing::Mode::text : Growing::Mode::skipped;
      }
      for (;;) {
        auto row = again.advance();
        if (!row) return std::move(row).error();
        if (!*row) break;
        again.take_row();
      }
      if (again.report.rows != reading.report.rows)
        return Error{Errc::io, file + ": changed while it was read"};
      for (std::size_t i = 0; i < again.growing.size(); ++i) {
        if (reading.growing[i].mode == Growing::Mode::spoilt)
          reading.growing[i] = std::move(again.growing[i]);
      }
    }
    if (report != nullptr) *report = reading.report;
    return reading.give_out();
  }

  // The rows taken so far as a table; the columns begin anew.
  Table give_out() {
    Table table;
    std::vector<Column> columns;
    for (auto& from : growing) {
      if (from.mode == Growing::Mode::text) from.column.kind = Kind::text;
      columns.push_back(std::exchange(from.column, Column{}));
      from.column.name = columns.back().name;
      from.dictionary = {};
    }
    table.add_all(std::move(columns));
    return table;
  }

  std::string file;
  CsvOptions options;
  RecordScanner scanner;
  std::vector<std::string> names;
  std::vector<std::string> header;  // as it stands in the file, for recognising its repetition
  std::vector<Growing> growing;
  CsvReport report;
  std::uint64_t line = 0;
  bool first_pending = false;
};

CsvReader::CsvReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CsvReader::CsvReader(CsvReader&&) noexcept = default;
CsvReader& CsvReader::operator=(CsvReader&&) noexcept = default;
CsvReader::~CsvReader() = default;

const std::vector<std::string>& CsvReader::names() const { return impl_->names; }
std::uint64_t CsvReader::line() const { return impl_->line; }
const CsvReport& CsvReader::report() const { return impl_->report; }

void CsvReader::read_as(std::size_t column, Kind kind) {
  CHECK(column < impl_->growing.size());
  impl_->growing[column].mode = kind == Kind::numeric ? Growing::Mode::numeric : Growing::Mode::text;
}

Result<Table> CsvReader::next(std::size_t rows_max) {
  for (std::size_t rows = 0; rows < rows_max; ++rows) {
    auto row = impl_->advance();
    if (!row) return std::move(row).error();
    if (!*row) break;
    if (const auto wrong = impl_->take_row()) {
      return Error{Errc::corrupt,
                   impl_->place(impl_->line) + ": column '" + impl_->names[*wrong] + "' holds '" +
                       std::string(impl_->scanner.cells()[*wrong].substr(0, 40)) + "', expected a number"};
    }
  }
  return impl_->give_out();
}

Result<CsvReader> CsvReader::open(const std::filesystem::path& path, const CsvOptions& options) {
  auto impl = Impl::make(internal::open_bytes(path), display_name(path), options);
  if (!impl) return std::move(impl).error();
  return CsvReader(std::move(*impl));
}

Result<CsvReader> CsvReader::open_memory(std::string_view bytes, const std::string& name,
                                         const CsvOptions& options) {
  auto impl = Impl::make(internal::open_bytes(bytes), name, options);
  if (!impl) return std::move(impl).error();
  return CsvReader(std::move(*impl));
}

Result<Table> parse_csv(std::string_view bytes, const std::string& name, const CsvOptions& options,
                        CsvReport* report) {
  return CsvReader::Impl::read_whole([&] { return internal::open_bytes(bytes); }, name, options, report);
}

Result<Table> read_csv(const std::filesystem::path& path, const CsvOptions& options, CsvReport* report) {
  const std::string name = display_name(path);
  std::error_code ignored;
  if (path != "-" && !std::filesystem::is_fifo(path, ignored)) {
    return CsvReader::Impl::read_whole([&] { return internal::open_bytes(path); }, name, options, report);
  }
  // What comes through a pipe cannot be read a second time, so all of it is kept.
  auto stream = internal::open_bytes(path);
  if (!stream) return std::move(stream).error().within(name);
  std::string bytes;
  for (;;) {
    const std::size_t before = bytes.size();
    bytes.resize(before + (1u << 20));
    auto got = (*stream)->read(bytes.data() + before, bytes.size() - before);
    if (!got) return std::move(got).error().within(name);
    bytes.resize(before + *got);
    if (*got == 0) break;
    if (bytes.size() > options.bytes_max)
      return Error{Errc::exhausted, name + ": more bytes than the limit allows"};
  }
  return parse_csv(bytes, name, options, report);
}

const std::vector<std::string>& nsl_kdd_names() {
  static const std::vector<std::string> names = {"duration",
                                                 "protocol_type",
                                                 "service",
                                                 "flag",
                                                 "src_bytes",
                                                 "dst_bytes",
                                                 "land",
                                                 "wrong_fragment",
                                                 "urgent",
                                                 "hot",
                                                 "num_failed_logins",
                                                 "logged_in",
                                                 "num_compromised",
                                                 "root_shell",
                                                 "su_attempted",
                                                 "num_root",
                                                 "num_file_creations",
                                                 "num_shells",
                                                 "num_access_files",
                                                 "num_outbound_cmds",
                                                 "is_host_login",
                                                 "is_guest_login",
                                                 "count",
                                                 "srv_count",
                                                 "serror_rate",
                                                 "srv_serror_rate",
                                                 "rerror_rate",
                                                 "srv_rerror_rate",
                                                 "same_srv_rate",
                                                 "diff_srv_rate",
                                                 "srv_diff_host_rate",
                                                 "dst_host_count",
                                                 "dst_host_srv_count",
                                                 "dst_host_same_srv_rate",
                                                 "dst_host_diff_srv_rate",
                                                 "dst_host_same_src_port_rate",
                                                 "dst_host_srv_diff_host_rate",
                                                 "dst_host_serror_rate",
                                                 "dst_host_srv_serror_rate",
                                                 "dst_host_rerror_rate",
                                                 "dst_host_srv_rerror_rate",
                                                 "label",
                                                 "difficulty"};
  return names;
}

}  // namespace nidus::data
