#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/json_writer.h"

namespace nidus::learn {

// One line of the importance of features; the figures are those of Importance.
struct FeatureImportance {
  std::string feature;
  double contribution = 0;
  double gain = 0;
  std::optional<double> permutation;
};

// A reason in the words of the detector, which alone knows its columns.
struct ReasonInWords {
  std::string feature;
  std::string value;  // "12,400", "http", "missing"
  std::string usual;  // "0.3 to 85"; empty if there is no such range
  double contribution = 0;
};

// A row that the detector is wrong about, and why. Base, reasons and rest add up to the score.
struct ExplainedMistake {
  std::string where;        // "row 17 of test.csv"
  std::uint64_t alike = 0;  // as many more rows equal it in every column
  double score = 0, base = 0, rest = 0;
  std::vector<ReasonInWords> reasons;  // largest first
  std::string json;                    // base, reasons and rest as one object
};

struct ExplainedLabel {
  std::string label;
  bool is_attack = false;             // its mistakes are misses, else false alarms
  std::uint64_t rows = 0, wrong = 0;  // all rows of the label, and the mistakes among them
  std::vector<ExplainedMistake> worst;
};

// What a detector goes by on the rows that it was measured on, and why it is wrong where it is. A value.
struct Explained {
  std::uint64_t rows = 0, rows_there = 0;   // the importance is of so many rows out of so many
  std::vector<FeatureImportance> features;  // the most important first
  std::vector<ExplainedLabel> mistakes;
  std::uint64_t labels_left_out = 0;  // that have mistakes as well

  std::string to_text() const;
  void to_json(JsonWriter& json) const;  // one object
};

// A table of features, `most` of them.
std::string importance_text(std::span<const FeatureImportance> features, std::size_t most = SIZE_MAX);
// An array.
void importance_json(std::span<const FeatureImportance> features, JsonWriter& json);

}  // namespace nidus::learn
