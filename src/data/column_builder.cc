#include "data/internal/column_builder.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"

namespace nidus::data::internal {
ColumnBuilder::ColumnBuilder(std::string name, Taking how) : taking(how) {
  column.name = std::move(name);
  if (how == Taking::text) column.kind = Kind::text;
}

void ColumnBuilder::clear() {
  column.kind = taking == Taking::text ? Kind::text : Kind::numeric;
  column.numbers.clear();
  column.codes.clear();
  column.vocabulary.clear();
  dictionary.clear();
  any_value = any_value_before = false;
  spoilt = false;
}

void ColumnBuilder::become_text() {
  CHECK(column.kind == Kind::numeric && !any_value);
  column.kind = Kind::text;
  column.codes.assign(column.numbers.size(), kMissing);
  column.numbers = {};
}

void ColumnBuilder::spoil() {
  spoilt = true;
  column.numbers = {};
  column.codes = {};
  column.vocabulary = {};
}

void ColumnBuilder::add_missing(std::size_t count) {
  if (column.kind == Kind::text) {
    column.codes.resize(column.codes.size() + count, kMissing);
  } else {
    column.numbers.resize(column.numbers.size() + count, std::numeric_limits<double>::quiet_NaN());
  }
}

void ColumnBuilder::absorb(ColumnBuilder& further) {
  if (spoilt || taking == Taking::skipped) return;
  if (further.spoilt || (any_value && further.column.kind == Kind::text) ||
      (column.kind == Kind::text && further.any_value)) {
    spoil();
    return;
  }
  if (further.column.kind == Kind::numeric) {
    if (column.kind == Kind::text) {
      add_missing(further.size());
    } else {
      column.numbers.insert(column.numbers.end(), further.column.numbers.begin(),
                            further.column.numbers.end());
      any_value = any_value || further.any_value;
    }
    return;
  }
  if (column.kind == Kind::numeric) become_text();
  const std::size_t before = column.codes.size();
  if (column.vocabulary.empty()) {
    std::swap(column.vocabulary, further.column.vocabulary);
    std::swap(dictionary, further.dictionary);
    column.codes.insert(column.codes.end(), further.column.codes.begin(), further.column.codes.end());
    return;
  }
  const auto renamed = dictionary.take_all(further.dictionary, further.column.vocabulary, column.vocabulary);
  column.codes.resize(before + further.column.codes.size());
  std::uint32_t* out = column.codes.data() + before;
  for (const auto code : further.column.codes) *out++ = code == kMissing ? kMissing : renamed[code];
}

void Defects::add(Defect defect, std::uint64_t line, std::string_view what) {
  DefectCount& count = counts[static_cast<std::size_t>(defect)];
  if (count.count++ != 0) return;
  count.line = line;
  count.first = what;
}

bool Defects::any() const {
  for (const auto& count : counts) {
    if (count.count != 0) return true;
  }
  return false;
}

void Defects::absorb(const Defects& further, std::uint64_t first_line) {
  for (std::size_t i = 0; i < kDefects; ++i) {
    const DefectCount& from = further.counts[i];
    if (from.count == 0) continue;
    DefectCount& to = counts[i];
    if (to.count == 0) {
      to.line = first_line + from.line;
      to.first = from.first;
    }
    to.count += from.count;
  }
}

void Piece::begin(const std::vector<std::string>& names, const std::vector<Taking>& takings) {
  CHECK(names.size() == takings.size());
  if (columns.size() > names.size())
    columns.erase(columns.begin() + static_cast<std::ptrdiff_t>(names.size()), columns.end());
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i == columns.size()) columns.emplace_back(names[i], takings[i]);
    columns[i].column.name = names[i];
    columns[i].taking = takings[i];
    columns[i].clear();
  }
  lines.clear();
  go_on();
  rows_before = 0;
}

void Piece::go_on() {
  rows_before += lines.size();
  for (auto& column : columns) column.any_value_before = column.any_value;
  lines.clear();
  line_count = 0;
  bytes = 0;
  defects = {};
  failure.reset();
  bad_rows.clear();
}

void Piece::fail(Errc code, std::uint32_t line, std::string message) {
  if (!failure || line < failure->line) failure = Failure{code, line, std::move(message)};
}

void Piece::refuse(std::size_t row, const std::string& column, std::string_view cell) {
  const auto number = static_cast<std::uint32_t>(row);
  constexpr std::size_t kShown = 40;
  if (bad_rows.empty() || number < first_bad_row) {
    first_bad_row = number;
    first_bad =
        "column '" + column + "' holds '" + std::string(cell.substr(0, kShown)) + "', expected a number";
  }
  bad_rows.push_back(number);
}

void Piece::drop_bad_rows() {
  if (bad_rows.empty()) return;
  std::sort(bad_rows.begin(), bad_rows.end());
  bad_rows.erase(std::unique(bad_rows.begin(), bad_rows.end()), bad_rows.end());
  for (const auto row : bad_rows) defects.add(Defect::not_a_number, lines[row], first_bad);
  // Keeps what is behind `before` and not refused.
  const auto thin = [&](auto& cells, std::size_t before) {
    auto bad = bad_rows.begin();
    std::size_t to = before + *bad;
    for (std::size_t from = to; from < cells.size(); ++from) {
      if (bad != bad_rows.end() && from - before == *bad) {
        ++bad;
      } else {
        cells[to++] = cells[from];
      }
    }
    cells.resize(to);
  };
  for (auto& column : columns) {
    if (column.spoilt || column.taking == Taking::skipped) continue;
    if (column.column.kind == Kind::numeric) {
      thin(column.column.numbers, rows_before);
    } else {
      thin(column.column.codes, rows_before);
    }
  }
  thin(lines, 0);
  bad_rows.clear();
}

}  // namespace nidus::data::internal
