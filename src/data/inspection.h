#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "data/schemas.h"
#include "data/table.h"
#include "data/table_reader.h"

namespace nidus::data {

// What is in one column.
struct ColumnFacts {
  std::string name;
  Role role = Role::feature;
  Kind kind = Kind::numeric;
  std::uint64_t missing = 0;  // empty, NaN, or not there
  std::uint64_t infinite = 0;
  std::uint64_t numbers = 0, texts = 0;                       // cells
  std::uint64_t different = 0;                                // texts, up to kDifferentMax
  double smallest = std::numeric_limits<double>::infinity();  // of finite numbers
  double largest = -std::numeric_limits<double>::infinity();
  bool constant = false;
};

// Something wrong with a table, or that whoever trains on it should know.
struct Finding {
  std::string key;   // "infinite_values"
  std::string what;  // "infinite values"
  std::uint64_t count = 0;
  std::uint64_t line = 0;  // of the first; 0 if it has none
  std::string where;       // the columns, or what was wrong with the first; may be empty
};

struct Inspection {
  TableReport report;
  const DatasetSchema* schema = nullptr;  // null: no set that we know
  std::vector<ColumnFacts> columns;
  // By column with role label, by label as it is spelled. Of columns with at most kLabelsMax.
  std::map<std::string, std::map<std::string, std::uint64_t>> labels;
  std::vector<Finding> findings;
};

// Beyond these, texts are not told apart any more, a column is no label, and rows are not compared.
inline constexpr std::uint64_t kDifferentMax = 65536;
inline constexpr std::size_t kLabelsMax = 1024;
inline constexpr std::uint64_t kCompareRowsMax = 1u << 23;

// Reads the file piece by piece, so it may be larger than memory: what is kept is bounded by the limits above
// and 32 bytes for each row compared. `each` sees every piece of the table, and ends the reading with false.
Result<Inspection> inspect_table(const std::filesystem::path& path, const TableOptions& options = {},
                                 const std::function<bool(const Table&, const TableReport&)>& each = {});

}  // namespace nidus::data
