#include "learn/dataset.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/number.h"
#include "base/text.h"

namespace nidus::learn {

namespace {

// A column of numbers in which a few cells hold something else became a text column. To take its numbers for
// names of categories would go wrong without a word.
Result<void> check_texts(const data::Column& column, std::span<const std::size_t> rows,
                         const std::function<std::string(std::size_t row)>& place) {
  std::vector<bool> number;
  for (const auto& text : column.vocabulary) number.push_back(parse_number(text).has_value());
  std::size_t numbers = 0, texts = 0, first = 0;
  for (const auto row : rows) {
    const std::uint32_t code = column.codes[row];
    if (code == data::kMissing) continue;
    if (number[code]) {
      ++numbers;
    } else if (texts++ == 0) {
      first = row;
    }
  }
  if (numbers <= texts) return {};
  // What makes a column of numbers text may stand in a row that is not learnt from.
  for (std::size_t row = 0; texts == 0; ++row) {
    CHECK(row < column.size());
    if (column.codes[row] == data::kMissing || number[column.codes[row]]) continue;
    first = row;
    texts = 1;
  }
  return Error{Errc::invalid,
               (place ? place(first) : "row " + std::to_string(first + 1)) + ": column '" + column.name +
                   "' holds '" + std::string(column.text_at(first).substr(0, 40)) + "'" +
                   (texts > 1 ? " and further texts" : "") + ", and " + with_thousands(numbers) +
                   " numbers: mend it, or leave the column out with --exclude"};
}

}  // namespace

std::vector<std::uint64_t> Dataset::class_counts() const {
  std::vector<std::uint64_t> counts(classes.size());
  for (const auto label : labels) ++counts[label];
  return counts;
}

Result<model::Schema> learn_schema(const data::Table& table, std::span<const std::string> columns,
                                   std::span<const std::size_t> rows,
                                   const std::function<std::string(std::size_t row)>& place,
                                   std::size_t vocabulary_max) {
  model::Schema schema;
  for (const auto& name : columns) {
    const auto found = table.require(name);
    if (!found) return found.error();
    const data::Column& from = **found;
    model::Column column;
    column.name = from.name;
    if (from.kind == data::Kind::text) {
      if (auto good = check_texts(from, rows, place); !good) return std::move(good).error();
      column.kind = model::Column::Kind::categorical;
      std::vector<bool> met(from.vocabulary.size(), false);
      for (const auto row : rows) {
        if (from.codes[row] != data::kMissing) met[from.codes[row]] = true;
      }
      std::set<std::string> texts;
      for (std::size_t code = 0; code < met.size(); ++code) {
        const auto text = trim(from.vocabulary[code]);
        if (met[code] && !text.empty()) texts.emplace(text);
        if (texts.size() > vocabulary_max) {
          return Error{Errc::invalid, "column '" + from.name + "' has more than " +
                                          std::to_string(vocabulary_max) +
                                          " different texts: an address or an id is no feature"};
        }
      }
      column.vocabulary.assign(texts.begin(), texts.end());
    }
    schema.push_back(std::move(column));
  }
  return schema;
}

Result<Dataset> make_dataset(const model::Schema& schema, const std::vector<std::string>& classes,
                             const data::Table& table, const data::Labels& labels) {
  CHECK(labels.codes.size() == table.rows());
  const auto bound = model::TableRows::bind(schema, table);
  if (!bound) return bound.error();
  std::vector<std::uint32_t> renamed;
  for (const auto& name : labels.classes) {
    const auto found = std::find(classes.begin(), classes.end(), name);
    renamed.push_back(found == classes.end() ? data::kUnlabelled
                                             : static_cast<std::uint32_t>(found - classes.begin()));
  }
  Dataset out;
  out.schema = schema;
  out.classes = classes;
  std::vector<float> row(schema.size());
  for (std::size_t i = 0; i < table.rows(); ++i) {
    const auto code = labels.codes[i];
    if (code == data::kUnlabelled) continue;
    if (renamed[code] == data::kUnlabelled) {
      return Error{Errc::invalid, "label '" + labels.classes[code] + "' is none of the classes" +
                                      did_you_mean(labels.classes[code], classes)};
    }
    bound->fill(i, 1, row);
    out.values.insert(out.values.end(), row.begin(), row.end());
    out.labels.push_back(renamed[code]);
  }
  return out;
}

Dataset take(const Dataset& dataset, std::span<const std::size_t> rows) {
  Dataset out;
  out.schema = dataset.schema;
  out.classes = dataset.classes;
  const std::size_t width = dataset.inputs();
  out.values.reserve(rows.size() * width);
  out.labels.reserve(rows.size());
  for (const auto row : rows) {
    CHECK(row < dataset.rows());
    const auto from = dataset.values.begin() + static_cast<std::ptrdiff_t>(row * width);
    out.values.insert(out.values.end(), from, from + static_cast<std::ptrdiff_t>(width));
    out.labels.push_back(dataset.labels[row]);
    if (!dataset.weights.empty()) out.weights.push_back(dataset.weights[row]);
  }
  return out;
}

}  // namespace nidus::learn
