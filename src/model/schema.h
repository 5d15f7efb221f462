#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "data/table.h"

namespace nidus::model {

// One number of a row. A categorical one is the index of its text in the vocabulary; a text that is not there
// is missing, which is NaN.
struct Column {
  enum class Kind : std::uint8_t { numeric, categorical };

  std::string name;
  Kind kind = Kind::numeric;
  std::vector<std::string> vocabulary;  // of a categorical column; no two entries equal
  std::string unit;                     // "us", "bytes/s"; empty if none or unknown

  bool operator==(const Column&) const = default;
};

// What a row must have, in order: the columns a model was fitted on. Names differ from each other.
using Schema = std::vector<Column>;

// The index of the column with this name, in any case.
std::optional<std::size_t> find_column(const Schema& schema, std::string_view name);

// Looks up texts of one categorical column. The column must outlive it.
class Vocabulary {
 public:
  explicit Vocabulary(const Column& column);
  // The index as a float, or NaN for a text that is unknown or empty.
  float code(std::string_view text) const;

 private:
  const Column& column_;
  std::vector<std::uint32_t> sorted_;
};

// Turns rows of a table into rows of a model. Bound once by name, so that columns may stand in any order and
// more of them than wanted. Keeps a reference to the table.
class TableRows {
 public:
  // Errc::not_found names the first column that is missing; Errc::invalid one that holds text where numbers
  // are wanted. Numbers where categories are wanted are taken by their spelling ("6" for 6).
  static Result<TableRows> bind(const Schema& schema, const data::Table& table);
  static Result<TableRows> bind(const Schema& schema, data::Table&& table) = delete;

  std::size_t inputs() const { return sources_.size(); }
  std::size_t rows() const { return table_->rows(); }

  // Writes `count` rows from `first` on, row-major: out has count × inputs() places.
  void fill(std::size_t first, std::size_t count, std::span<float> out) const;
  void fill(std::size_t first, std::size_t count, std::span<double> out) const;
  // All of them.
  std::vector<float> all() const;

 private:
  template <class Number>
  void fill_with(std::size_t first, std::size_t count, std::span<Number> out) const;

  struct Source {
    const data::Column* column = nullptr;
    std::vector<float> codes;   // of a text column: by its own codes
    std::vector<float> values;  // of a numeric column read as categories: by row
  };

  const data::Table* table_ = nullptr;
  std::vector<Source> sources_;
};

}  // namespace nidus::model
