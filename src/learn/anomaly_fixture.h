#pragma once

#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "learn/dataset.h"

namespace nidus::learn::testing {

// For tests only: the blocks of tests/anomaly/scikit-learn.txt, by name.
struct Block {
  std::size_t rows = 0, columns = 0;
  std::vector<double> values;  // row-major

  Dataset dataset() const {
    Dataset out;
    out.classes = {"benign", "anomaly"};
    for (std::size_t i = 0; i < columns; ++i) {
      model::Column column;
      column.name = "x" + std::to_string(i);
      out.schema.push_back(std::move(column));
    }
    for (const double value : values) out.values.push_back(static_cast<float>(value));
    out.labels.assign(rows, 0);
    return out;
  }
};

inline std::map<std::string, Block> anomaly_fixture() {
  std::ifstream in(std::string(NIDUS_SOURCE_DIR) + "/tests/anomaly/scikit-learn.txt");
  std::map<std::string, Block> out;
  for (std::string name; in >> name;) {
    Block& block = out[name];
    in >> block.rows >> block.columns;
    block.values.resize(block.rows * block.columns);
    for (std::string text; double& value : block.values) {
      in >> text;
      value = std::strtod(text.c_str(), nullptr);
    }
  }
  return out;
}

}  // namespace nidus::learn::testing
