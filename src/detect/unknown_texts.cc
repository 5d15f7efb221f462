#include "detect/unknown_texts.h"

#include <fmt/format.h>

#include <cmath>

#include "base/text.h"
#include "detect/binding.h"

namespace nidus::detect {

UnknownTexts::UnknownTexts(const model::Schema& schema) : schema_(schema) {
  for (std::size_t input = 0; input < schema.size(); ++input) {
    if (schema[input].kind != model::Column::Kind::categorical) continue;
    columns_.push_back({input, model::Vocabulary(schema[input])});
  }
}

void UnknownTexts::add(const data::Table& table) { count(table, std::nullopt); }
void UnknownTexts::add(const data::Table& table, std::span<const std::size_t> rows) {
  count(table, std::optional(rows));
}

void UnknownTexts::count(const data::Table& table, std::optional<std::span<const std::size_t>> rows) {
  if (columns_.empty()) return;
  const auto there = schema_in(schema_, table);
  if (!there) return;
  for (auto& of : columns_) {
    const data::Column* const column = table.get((*there)[of.input].name);
    if (column == nullptr) continue;
    std::vector<bool> is_unknown;  // of a text column, by code
    for (const auto& text : column->vocabulary) {
      is_unknown.push_back(std::isnan(of.vocabulary.code(trim(text))));
    }
    const std::size_t count = rows ? rows->size() : table.rows();
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t row = rows ? (*rows)[i] : i;
      if (column->missing(row)) continue;
      ++of.texts;
      const bool unknown = column->kind == data::Kind::text
                               ? is_unknown[column->codes[row]]
                               : std::isnan(of.vocabulary.code(column->cell(row)));
      of.unknown += unknown ? 1 : 0;
    }
  }
}

std::string UnknownTexts::to_text() const {
  std::string out;
  for (const auto& of : columns_) {
    if (of.unknown == 0 || of.unknown * 2 < of.texts) continue;
    out += fmt::format("{}'{}' ({:.1f} % of {})", out.empty() ? "" : ", ", schema_[of.input].name,
                       100 * static_cast<double>(of.unknown) / static_cast<double>(of.texts),
                       with_thousands(of.texts));
  }
  return out.empty() ? out
                     : "texts that the detector never saw, which it takes for missing, in: " + out +
                           "; are they spelled as they were where it learnt?";
}

}  // namespace nidus::detect
