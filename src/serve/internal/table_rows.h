#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/row_reader.h"

namespace nidus::serve::internal {

// Rows out of the records of a table: bound to the schema once, by the first record.
class TableRows {
 public:
  explicit TableRows(std::shared_ptr<const FeatureNames> names) : names_(std::move(names)) {}

  // True if the record was a header; false if it is a row of a table without one, which NSL-KDD's files are.
  // Errors are in `fault`, and nothing is answered.
  std::optional<bool> bind(const std::vector<std::string_view>& first, RowFault& fault);

  // The names of the table's columns, in its order.
  const std::vector<std::string>& columns() const { return columns_; }

  // Writes names().size() numbers.
  bool read(const std::vector<std::string_view>& cells, std::uint64_t line, double* row,
            RowFault& fault) const;

 private:
  std::shared_ptr<const FeatureNames> names_;
  std::vector<std::string> columns_;
  std::vector<std::size_t> cells_;  // by column of the schema: the cell of the table
};

}  // namespace nidus::serve::internal
