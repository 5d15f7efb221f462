#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "interop/artefact.h"

// For tests only: what another program says of some rows, in the files that the scripts of tests/interop
// write.
namespace nidus::interop {

struct Expected {
  std::string library, what;
  double tolerance = 0;  // absolute; 0 asks for the same bits
  std::size_t columns = 0, outputs = 0;
  std::vector<double> rows, scores;  // row-major

  std::size_t count() const { return columns == 0 ? 0 : rows.size() / columns; }
};

inline double number_of(const nlohmann::json& value) {
  if (value.is_number()) return value.get<double>();
  const std::string text = value.get<std::string>();
  if (text == "inf") return std::numeric_limits<double>::infinity();
  if (text == "-inf") return -std::numeric_limits<double>::infinity();
  return std::numeric_limits<double>::quiet_NaN();
}

inline std::filesystem::path fixture(const std::string& name) {
  return std::filesystem::path(NIDUS_SOURCE_DIR) / "tests" / "interop" / name;
}

// Of the folder of a fixture.
inline Expected read_expected(const std::filesystem::path& folder) {
  Expected out;
  const auto text = read_file(folder / "expected.json");
  EXPECT_TRUE(text) << text.error().message;
  if (!text) return out;
  const auto json = nlohmann::json::parse(*text);
  out.library = json.at("library");
  out.what = json.at("what");
  out.tolerance = json.at("tolerance");
  for (const auto& row : json.at("rows")) {
    out.columns = row.size();
    for (const auto& value : row) out.rows.push_back(number_of(value));
  }
  for (const auto& row : json.at("scores")) {
    out.outputs = row.size();
    for (const auto& value : row) out.scores.push_back(number_of(value));
  }
  return out;
}

// Whether the model says what the library said: all rows at once, and each by itself.
inline void expect_scores(const model::Model& model, const Expected& expected) {
  ASSERT_EQ(model.inputs(), expected.columns) << expected.library;
  ASSERT_EQ(model.outputs(), expected.outputs) << expected.library;
  ASSERT_GT(expected.count(), 0u);
  const auto scores = model::all_scores(model, std::span<const double>(expected.rows), expected.count());
  const auto same = [&](double got, double wanted) {
    if (std::isnan(wanted) || std::isinf(wanted))
      return std::memcmp(&got, &wanted, 8) == 0 || (std::isnan(got) && std::isnan(wanted));
    return std::abs(got - wanted) <= expected.tolerance;
  };
  for (std::size_t row = 0; row < expected.count(); ++row) {
    std::vector<double> alone(expected.outputs);
    model.score_wide(std::span(expected.rows).subspan(row * expected.columns, expected.columns), 1, alone);
    for (std::size_t k = 0; k < expected.outputs; ++k) {
      const double got = scores[row * expected.outputs + k],
                   wanted = expected.scores[row * expected.outputs + k];
      ASSERT_TRUE(same(got, wanted)) << expected.library << " " << expected.what << ": row " << row
                                     << ", output " << k << ": " << got << ", should be " << wanted
                                     << ", off by " << got - wanted;
      ASSERT_EQ(std::memcmp(&alone[k], &got, sizeof got), 0) << "row " << row << " alone";
    }
  }
}

// Of so many places each: a file that ends too early is refused, one with a bit turned over refused or read
// as a model that scores.
template <class Read>
void expect_damage_is_harmless(const std::string& bytes, std::size_t ends, std::size_t flips, Read read) {
  for (std::size_t size = 0; size < bytes.size(); size += 1 + bytes.size() / ends)
    EXPECT_FALSE(read(bytes.substr(0, size))) << size;
  for (std::size_t at = 0; at < bytes.size(); at += 1 + bytes.size() / flips) {
    std::string broken = bytes;
    broken[at] = static_cast<char>(broken[at] ^ (1 << (at % 8)));
    if (const auto artefact = read(broken)) {
      const std::vector<float> row(artefact->model->inputs(), 1);
      EXPECT_EQ(model::all_scores(*artefact->model, row, 1).size(), artefact->model->outputs()) << at;
    }
  }
}

}  // namespace nidus::interop
