#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/table.h"
#include "model/schema.h"

namespace nidus::detect {

// How many texts of tables a detector has never seen, column by column: its model takes them for missing, and
// a table that spells a column otherwise is judged without it. Not thread-safe.
class UnknownTexts {
 public:
  // The schema must outlive it.
  explicit UnknownTexts(const model::Schema& schema);

  // All rows, or these. A column that is not there does not count.
  void add(const data::Table& table);
  void add(const data::Table& table, std::span<const std::size_t> rows);

  // Names the columns of which at least half of the texts are unknown, each with the share; empty if there
  // is none.
  std::string to_text() const;

 private:
  struct OfColumn {
    std::size_t input = 0;
    model::Vocabulary vocabulary;
    std::uint64_t texts = 0, unknown = 0;
  };
  void count(const data::Table& table, std::optional<std::span<const std::size_t>> rows);

  const model::Schema& schema_;
  std::vector<OfColumn> columns_;
};

}  // namespace nidus::detect
