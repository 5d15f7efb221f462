#include "interop/xgboost_writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/number.h"
#include "interop/testing.h"
#include "interop/xgboost.h"
#include "model/testing.h"

namespace nidus::interop {
namespace {

namespace fs = std::filesystem;
using model::Boost;

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

// Rows with missing and extreme values, and every tenth right at a threshold.
std::vector<float> rows_for(const Boost& boost, std::size_t count) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> rows(count * boost.inputs());
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = i % 13 == 0 ? std::nanf("") : normal(random);
  const auto nodes = boost.trees().parts().nodes.span();
  for (std::size_t i = 0; i < count; ++i) {
    const auto& node = nodes[random() % nodes.size()];
    if (node.is_leaf()) continue;
    const float at = node.threshold(), far = random() % 2 == 0 ? 1e38f : -1e38f;
    rows[i * boost.inputs() + node.feature()] = i % 3 == 0 ? at : std::nextafter(at, far);
  }
  return rows;
}

std::vector<std::uint32_t> margin_bits(const Boost& boost, std::span<const float> rows) {
  const std::size_t count = rows.size() / boost.inputs();
  std::vector<float> margins(count * boost.outputs());
  boost.margins(rows, count, margins);
  std::vector<std::uint32_t> out;
  for (const float margin : margins) out.push_back(std::bit_cast<std::uint32_t>(margin));
  return out;
}

// For tests/interop/check_xgboost_export.py, which asks the real library: where this variable names a folder,
// what was written is left there with rows and margins.
void leave(const std::string& name, const std::string& text, const Boost& boost,
           std::span<const float> rows) {
  const char* const folder = std::getenv("NIDUS_EXPORTS");
  if (folder == nullptr) return;
  fs::create_directories(folder);
  ASSERT_TRUE(write_file(fs::path(folder) / (name + ".json"), text));
  std::string lines;
  const std::size_t count = rows.size() / boost.inputs();
  std::vector<float> margins(count * boost.outputs());
  boost.margins(rows, count, margins);
  for (std::size_t i = 0; i < count; ++i) {
    // XGBoost takes no infinities in rows.
    const auto row = rows.subspan(i * boost.inputs(), boost.inputs());
    if (std::any_of(row.begin(), row.end(), [](float x) { return std::isinf(x); })) continue;
    for (std::size_t k = 0; k < boost.inputs(); ++k) {
      append_number(lines, static_cast<double>(rows[i * boost.inputs() + k]));
      lines += ' ';
    }
    for (std::size_t k = 0; k < boost.outputs(); ++k) {
      lines += ' ';
      append_number(lines, static_cast<double>(margins[i * boost.outputs() + k]));
    }
    lines += '\n';
  }
  ASSERT_TRUE(write_file(fs::path(folder) / (name + ".rows"), lines));
}

void expect_round_trip(const std::string& name, const Boost& boost, const model::Schema& schema,
                       std::span<const std::string> classes) {
  SCOPED_TRACE(name);
  const auto text = write_xgboost(boost, schema, classes);
  ASSERT_TRUE(text) << text.error().message;
  const auto back = read_xgboost(bytes_of(*text), {});
  ASSERT_TRUE(back) << back.error().message;
  const auto& again = dynamic_cast<const Boost&>(*back->model);
  const auto rows = rows_for(boost, 200);
  EXPECT_EQ(margin_bits(again, rows), margin_bits(boost, rows));
  EXPECT_EQ(again.scale(), boost.scale());
  EXPECT_EQ(back->classes, std::vector<std::string>(classes.begin(), classes.end()));
  EXPECT_EQ(again.trees().parts().covers.empty(), false);
  leave(name, *text, boost, rows);
}

TEST(XgboostWriter, WhatWasReadIsWrittenAndSaysTheSame) {
  std::size_t seen = 0, refused = 0;
  for (const auto& entry : fs::directory_iterator(fixture("xgboost"))) {
    const std::string name = entry.path().filename().string();
    for (const char* file : {"model.json", "model.ubj"}) {
      if (!fs::exists(entry.path() / file)) continue;
      const auto artefact = read_xgboost(bytes_of(*read_file(entry.path() / file)), {});
      ASSERT_TRUE(artefact) << artefact.error().message;
      const auto& boost = dynamic_cast<const Boost&>(*artefact->model);
      // Sets of many categories may share nodes, which XGBoost cannot.
      if (const auto text = write_xgboost(boost, {}, {}); !text) {
        EXPECT_NE(name.find("categories"), std::string::npos);
        EXPECT_EQ(text.error().code, Errc::unsupported) << text.error().message;
        ++refused;
        continue;
      }
      expect_round_trip(name, boost, {}, {});
      ++seen;
    }
  }
  EXPECT_GE(seen, 40u);
  EXPECT_GE(refused, 1u);
}

TEST(XgboostWriter, AnyBaseMarginsAndGroupsAreWrittenExactly) {
  for (const std::size_t groups : {1, 3}) {
    for (const float base : {0.0f, 0.1f, -3.25f, 1e-7f, 40.0f}) {
      auto drawn = model::testing::draw_trees(static_cast<std::uint64_t>(groups + 10), 7, 5, 31, 1, true);
      drawn.parts.covers = model::TreeSet::pack_covers(drawn.parts.nodes.span(), drawn.parts.roots.span(),
                                                       std::vector<float>(drawn.parts.nodes.size(), 1.0f));
      std::vector<float> bases(groups, base);
      if (groups == 3) bases[1] = base + 0.7f;
      std::vector<std::uint32_t> of(7);
      for (std::size_t i = 0; i < of.size(); ++i) of[i] = static_cast<std::uint32_t>(i * i % groups);
      const auto boost = Boost::make(*model::TreeSet::make(std::move(drawn.parts)), of, bases);
      ASSERT_TRUE(boost) << boost.error().message;
      std::vector<std::string> classes = {"benign", "do\"s"};
      if (groups == 3) classes.push_back("probe");
      model::Schema schema(5);
      for (std::size_t i = 0; i < 5; ++i) schema[i].name = "column [" + std::to_string(i) + "]";
      std::string name = "drawn-" + std::to_string(groups) + "-";
      append_number(name, static_cast<double>(base));
      expect_round_trip(name, *boost, schema, classes);
      const auto back = read_xgboost(bytes_of(*write_xgboost(*boost, schema, classes)), {});
      EXPECT_EQ(back->columns.at(4).name, "column _4_");
    }
  }
}

TEST(XgboostWriter, RefusesWhatDoesNotFit) {
  auto drawn = model::testing::draw_trees(3, 2, 5, 7, 1, false);
  const auto set = *model::TreeSet::make(std::move(drawn.parts));
  const auto boost = *Boost::make(set, std::vector<std::uint32_t>{0, 0}, {0.5f});
  EXPECT_EQ(write_xgboost(boost, model::Schema(4), {}).error().code, Errc::invalid);
  EXPECT_EQ(write_xgboost(boost, {}, std::vector<std::string>{"one"}).error().code, Errc::invalid);
  model::Schema twice(5);
  for (auto& column : twice) column.name = "same";
  EXPECT_EQ(write_xgboost(boost, twice, {}).error().code, Errc::invalid);
  const auto margins = *Boost::make(set, std::vector<std::uint32_t>{0, 1}, {0, 0}, Boost::Link::margin);
  EXPECT_EQ(write_xgboost(margins, {}, {}).error().code, Errc::unsupported);
}

}  // namespace
}  // namespace nidus::interop
