#include "interop/catboost.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "interop/testing.h"
#include "model/additive_trees.h"

namespace nidus::interop {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using model::AdditiveTrees;

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

TEST(Catboost, RawValuesAreThoseOfTheLibraryToTheLastBit) {
  std::size_t seen = 0;
  for (const auto& entry : fs::directory_iterator(fixture("catboost"))) {
    if (!fs::exists(entry.path() / "expected.json")) continue;
    const std::string name = entry.path().filename().string();
    SCOPED_TRACE(name);
    const auto text = read_file(entry.path() / "model.json");
    ASSERT_TRUE(text);
    EXPECT_TRUE(looks_like_catboost(bytes_of(*text)));
    const auto artefact = read_catboost(bytes_of(*text));
    ASSERT_TRUE(artefact) << artefact.error().message;
    const auto json = Json::parse(*read_file(entry.path() / "expected.json"));
    const Expected expected = read_expected(entry.path());
    const auto& trees = dynamic_cast<const AdditiveTrees&>(*artefact->model);
    const std::vector<float> rows(expected.rows.begin(), expected.rows.end());
    std::vector<double> sums(expected.count() * trees.outputs());
    trees.sums(rows, expected.count(), sums);
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const double wanted = number_of(json["raw"].at(i / trees.outputs()).at(i % trees.outputs()));
      if (name.find("scaled") != std::string::npos) {
        // The scale is multiplied into the leaves, not into their sum.
        ASSERT_NEAR(sums[i], wanted, 1e-15);
      } else {
        ASSERT_EQ(std::bit_cast<std::uint64_t>(sums[i] + 0.0), std::bit_cast<std::uint64_t>(wanted + 0.0))
            << "row " << i / trees.outputs() << ": " << sums[i] << ", should be " << wanted;
      }
    }
    expect_scores(*artefact->model, expected);
    if (json.contains("classes")) {
      EXPECT_EQ(artefact->classes, json["classes"].get<std::vector<std::string>>());
    }
    if (name.find("names") != std::string::npos) {
      EXPECT_EQ(artefact->columns.at(2).name, "column 2");
    }
    ++seen;
  }
  EXPECT_GE(seen, 10u);
}

TEST(Catboost, CategoriesAreRefusedByName) {
  const auto refused =
      read_catboost(bytes_of(*read_file(fixture("catboost/1.2.10-category-refused/model.json"))));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::unsupported);
  EXPECT_NE(refused.error().message.find("categorical_features ('b')"), std::string::npos);
}

std::string small_model() {
  return R"({"features_info":{"float_features":[
{"borders":[0.5],"feature_id":"a","feature_index":0,"flat_feature_index":0,"nan_value_treatment":"AsFalse"},
{"borders":[2],"feature_id":"b","feature_index":1,"flat_feature_index":1,"nan_value_treatment":"AsTrue"}]},
"model_info":{"params":{"loss_function":{"type":"Logloss"}}},
"oblivious_trees":[{"leaf_values":[1,2,4,8],"leaf_weights":[1,1,1,1],"splits":[
{"border":0.5,"float_feature_index":0,"split_type":"FloatFeature"},
{"border":2,"float_feature_index":1,"split_type":"FloatFeature"}]}],"scale_and_bias":[1,0.5]})";
}

std::string with(const std::string& from, const std::string& to) {
  std::string text = small_model();
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Catboost, AModelWorkedOutByHand) {
  const auto artefact = read_catboost(bytes_of(small_model()));
  ASSERT_TRUE(artefact) << artefact.error().message;
  const auto& trees = dynamic_cast<const AdditiveTrees&>(*artefact->model);
  const float nan = std::nanf("");
  const std::vector<float> rows = {0.5f, 2, 0.6f, 2, 0.5f, 3, 1, 3, nan, 0, 0, nan};
  std::vector<double> sums(6);
  trees.sums(rows, 6, sums);
  EXPECT_EQ(sums, (std::vector<double>{1.5, 2.5, 4.5, 8.5, 1.5, 4.5}));
}

TEST(Catboost, RefusesWhatContradictsItself) {
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"[1,2,4,8]", "[1,2,4]"},
           {"[1,2,4,8]", "[1,2,4,NaN]"},
           {"[1,1,1,1]", "[1,1]"},
           {"\"float_feature_index\":1", "\"float_feature_index\":2"},
           {"\"float_feature_index\":1", "\"float_feature_index\":-1"},
           {"\"border\":2", "\"border\":NaN"},
           {"\"flat_feature_index\":1", "\"flat_feature_index\":0"},
           {"\"feature_index\":1,", "\"feature_index\":7,"},
           {"\"feature_id\":\"b\"", "\"feature_id\":\"a\""},
           {"[1,0.5]", "[1]"},
           {"[1,0.5]", "[1,[0,0]]"},
           {"\"oblivious_trees\"", "\"trees\""},
           {"\"oblivious_trees\"", "\"no_trees\""}}) {
    const auto refused = read_catboost(bytes_of(with(from, to)));
    ASSERT_FALSE(refused) << to;
    EXPECT_EQ(refused.error().code, Errc::corrupt) << refused.error().message;
  }
  EXPECT_EQ(read_catboost(bytes_of(with("Logloss", "RMSE"))).error().code, Errc::unsupported);
  EXPECT_EQ(read_catboost(bytes_of(with("FloatFeature", "OnlineCtr"))).error().code, Errc::unsupported);
}

TEST(Catboost, HalfAFileAndFlippedBytesAreAnErrorOrAnAnswer) {
  for (const char* name : {"1.2.10-multi", "1.2.10-lossguide"}) {
    const auto whole = *read_file(fixture("catboost") / name / "model.json");
    const std::size_t step = std::max<std::size_t>(1, whole.size() / 700);
    for (std::size_t at = 0; at < whole.size(); at += step) {
      EXPECT_FALSE(read_catboost(bytes_of(std::string_view(whole).substr(0, at))));
      for (const int bit : {0, 2, 6}) {
        std::string flipped = whole;
        flipped[at] = static_cast<char>(flipped[at] ^ (1 << bit));
        const auto answer = read_catboost(bytes_of(flipped));
        if (!answer) continue;
        const std::vector<float> row(answer->model->inputs(), 0.5f);
        model::all_scores(*answer->model, row, 1);
      }
    }
  }
}

}  // namespace
}  // namespace nidus::interop
