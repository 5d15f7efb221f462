#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "data/column_memory.h"

namespace nidus::data {

enum class Kind : std::uint8_t { numeric, text };

// The code of a text cell that holds nothing.
inline constexpr std::uint32_t kMissing = 0xffffffffu;

using Numbers = std::vector<double, ColumnMemory<double>>;

// One named column: numbers, or texts of which each different one is stored once.
//
// Exactly one of `numbers` and `codes` is filled, by `kind`. NaN is a missing number. A code is an index into
// `vocabulary`, whose entries are different from each other and never empty, or kMissing.
struct Column {
  std::string name;
  Kind kind = Kind::numeric;
  Numbers numbers;
  std::vector<std::uint32_t> codes;
  std::vector<std::string> vocabulary;

  static Column numeric(std::string name, Numbers numbers);
  // Builds the vocabulary in order of first appearance.
  static Column text(std::string name, std::span<const std::string> cells);

  std::size_t size() const { return kind == Kind::numeric ? numbers.size() : codes.size(); }
  bool missing(std::size_t row) const;
  // What a text column holds in the row, empty when missing. Text columns only.
  std::string_view text_at(std::size_t row) const;
  // The cell as text, whatever the kind; empty when missing.
  std::string cell(std::size_t row) const;

  bool operator==(const Column&) const = default;
};

// Columns of equal length with different names. A value: copied, compared, moved.
class Table {
 public:
  std::size_t rows() const { return columns_.empty() ? 0 : columns_.front().size(); }
  std::size_t columns() const { return columns_.size(); }
  const Column& column(std::size_t index) const { return columns_[index]; }

  // Blanks around the name do not count. The column named exactly so, else the first that differs in case
  // only.
  std::optional<std::size_t> find(std::string_view name) const;
  const Column* get(std::string_view name) const;
  // As get(), with an error that offers the closest name there is.
  Result<const Column*> require(std::string_view name) const;

  // Its length must be that of the table unless the table has no columns. A name that is taken gets ".1",
  // ".2" appended, as pandas does; the name is trimmed.
  void add(Column column);
  void add_all(std::vector<Column> columns);

  // Adds the rows of another table, matched by column name in any order. Errc::invalid, and nothing changed,
  // when a column is missing on either side or the kinds differ.
  Result<void> append(const Table& other);

  // The columns in the order given, of which each index is below columns().
  Table select(std::span<const std::size_t> columns) const;
  // The rows in the order given, of which each index is below rows(). Vocabularies are kept whole, so codes
  // mean the same in the result.
  Table take(std::span<const std::size_t> rows) const;

  bool operator==(const Table&) const = default;

 private:
  std::vector<Column> columns_;
};

// Gives texts their codes while a column grows. The vocabulary must be the same from call to call, and what
// is in it must be there through this object. Hashes are seeded at random, against chosen collisions.
class Dictionary {
 public:
  // The code of the text; kMissing for the empty text. Adds it to the vocabulary when it is new.
  std::uint32_t code(std::string_view text, std::vector<std::string>& vocabulary);
  // The same of many texts, 64 at most; `codes` has room for as many. Faster where they are all different.
  void code_all(std::span<const std::string_view> texts, std::vector<std::string>& vocabulary,
                std::span<std::uint32_t> codes);
  // The codes of all texts of another vocabulary, by their codes there. They are not needed there any more:
  // new ones are moved.
  std::vector<std::uint32_t> take_all(const Dictionary& other, std::vector<std::string>& texts,
                                      std::vector<std::string>& vocabulary);
  // Without texts; memory is kept.
  void clear();

 private:
  struct Slot {
    std::uint32_t code = kMissing;  // kMissing is free
    std::uint32_t hash = 0;
  };
  template <class Text>
  std::uint32_t code_of(Text&& text, std::uint32_t hash, std::vector<std::string>& vocabulary);
  // The slot with the text, or the free one where it belongs.
  Slot& find(std::string_view text, std::uint32_t hash, const std::vector<std::string>& vocabulary);
  void grow();
  // Looking a text up soon will find its slot in the cache.
  void prefetch(std::uint32_t hash) const {
    if (!slots_.empty()) __builtin_prefetch(&slots_[hash & (slots_.size() - 1)], 1);
  }

  std::vector<Slot> slots_;            // open addressing
  std::vector<std::uint32_t> hashes_;  // by code
};

}  // namespace nidus::data
