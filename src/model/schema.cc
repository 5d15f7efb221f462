#include "model/schema.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "base/number.h"
#include "base/text.h"

namespace nidus::model {
namespace {

constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

}  // namespace

std::optional<std::size_t> find_column(const Schema& schema, std::string_view name) {
  for (std::size_t i = 0; i < schema.size(); ++i) {
    if (equal_ignoring_case(schema[i].name, trim(name))) return i;
  }
  return std::nullopt;
}

Vocabulary::Vocabulary(const Column& column) : column_(column), sorted_(column.vocabulary.size()) {
  std::iota(sorted_.begin(), sorted_.end(), 0u);
  std::sort(sorted_.begin(), sorted_.end(),
            [&](auto a, auto b) { return column_.vocabulary[a] < column_.vocabulary[b]; });
}

float Vocabulary::code(std::string_view text) const {
  const auto found = std::lower_bound(sorted_.begin(), sorted_.end(), text,
                                      [&](auto a, std::string_view b) { return column_.vocabulary[a] < b; });
  if (text.empty() || found == sorted_.end() || column_.vocabulary[*found] != text) return kNone;
  return static_cast<float>(*found);
}

Result<TableRows> TableRows::bind(const Schema& schema, const data::Table& table) {
  TableRows bound;
  bound.table_ = &table;
  for (const Column& column : schema) {
    const auto found = table.require(column.name);
    if (!found) return found.error();
    Source source;
    source.column = *found;
    const bool text = source.column->kind == data::Kind::text;
    if (column.kind == Column::Kind::categorical) {
      const Vocabulary vocabulary(column);
      if (text) {
        for (const auto& entry : source.column->vocabulary)
          source.codes.push_back(vocabulary.code(trim(entry)));
      } else {
        source.values.reserve(source.column->size());
        for (std::size_t row = 0; row < source.column->size(); ++row) {
          source.values.push_back(vocabulary.code(source.column->cell(row)));
        }
      }
    } else if (text) {
      std::size_t row = 0;
      // What is no number at all tells a person more than the numbers around it, which are text only for its
      // sake.
      const auto is_other = [&](std::size_t at) {
        return !source.column->missing(at) && !parse_number(source.column->text_at(at));
      };
      while (row < source.column->size() && !is_other(row)) ++row;
      if (row == source.column->size()) row = 0;
      while (row < source.column->size() && source.column->missing(row)) ++row;
      if (row < source.column->size()) {
        return Error{Errc::corrupt, "column '" + column.name + "' holds text, such as '" +
                                        std::string(source.column->text_at(row).substr(0, 40)) + "' in row " +
                                        with_thousands(row + 1) + ", the model expects numbers"};
      }
      source.values.assign(source.column->size(), kNone);
    }
    bound.sources_.push_back(std::move(source));
  }
  return bound;
}

template <class Number>
void TableRows::fill_with(std::size_t first, std::size_t count, std::span<Number> out) const {
  const std::size_t width = inputs();
  CHECK(first + count <= rows() && out.size() >= count * width);
  for (std::size_t i = 0; i < width; ++i) {
    const Source& source = sources_[i];
    Number* to = out.data() + i;
    for (std::size_t row = first; row < first + count; ++row, to += width) {
      if (!source.values.empty()) {
        *to = static_cast<Number>(source.values[row]);
      } else if (source.column->kind == data::Kind::text) {
        const auto code = source.column->codes[row];
        *to = static_cast<Number>(code == data::kMissing ? kNone : source.codes[code]);
      } else {
        *to = static_cast<Number>(source.column->numbers[row]);
      }
    }
  }
}

void TableRows::fill(std::size_t first, std::size_t count, std::span<float> out) const {
  fill_with(first, count, out);
}
void TableRows::fill(std::size_t first, std::size_t count, std::span<double> out) const {
  fill_with(first, count, out);
}

std::vector<float> TableRows::all() const {
  std::vector<float> out(rows() * inputs());
  constexpr std::size_t kBlock = 256;  // column by column, but within what the cache holds
  for (std::size_t first = 0; first < rows(); first += kBlock) {
    const std::size_t count = std::min(kBlock, rows() - first);
    fill(first, count, std::span(out).subspan(first * inputs()));
  }
  return out;
}

}  // namespace nidus::model
