#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "data/labels.h"
#include "data/table.h"
#include "model/schema.h"

namespace nidus::learn {

// Labelled rows in the form that estimators take and models score. A value.
struct Dataset {
  model::Schema schema;
  std::vector<std::string> classes;   // class 0 is the negative one
  std::vector<float> values;          // row-major, rows() × inputs(); NaN is missing
  std::vector<std::uint32_t> labels;  // one for each row, an index into classes
  std::vector<float> weights;  // one for each row, finite and not negative; or empty, which is 1 for all

  std::size_t rows() const { return labels.size(); }
  std::size_t inputs() const { return schema.size(); }
  float at(std::size_t row, std::size_t input) const { return values[row * inputs() + input]; }
  std::vector<std::uint64_t> class_counts() const;
};

// Learns what rows look like from the rows given: numeric columns stay numbers, text columns become
// categories with the texts met in these rows, in alphabetical order. A column with more than
// `vocabulary_max` texts is an address or an id rather than a feature: Errc::invalid names it, as it
// does a column of numbers with a text among them, in these rows or others; `place` says where a row of the
// table stands, "row 3" without it. Without one of `columns`, Errc::not_found names it.
Result<model::Schema> learn_schema(const data::Table& table, std::span<const std::string> columns,
                                   std::span<const std::size_t> rows,
                                   const std::function<std::string(std::size_t row)>& place = {},
                                   std::size_t vocabulary_max = 1024);

// The labelled rows of the table under a schema. Rows without a label are left out. Labels are matched to
// `classes` by name; Errc::invalid for a label that is not among them.
Result<Dataset> make_dataset(const model::Schema& schema, const std::vector<std::string>& classes,
                             const data::Table& table, const data::Labels& labels);

// The rows in the order given.
Dataset take(const Dataset& dataset, std::span<const std::size_t> rows);

}  // namespace nidus::learn
