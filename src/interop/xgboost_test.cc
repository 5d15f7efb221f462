#include "interop/xgboost.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "interop/testing.h"
#include "model/boost.h"
#include "model/explain.h"

namespace nidus::interop {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using model::Boost;

std::vector<fs::path> fixtures() {
  std::vector<fs::path> out;
  for (const auto& entry : fs::directory_iterator(fixture("xgboost"))) out.push_back(entry.path());
  std::sort(out.begin(), out.end());
  return out;
}

std::string model_of(const fs::path& folder) {
  for (const char* name : {"model.json", "model.ubj"}) {
    if (fs::exists(folder / name)) return *read_file(folder / name);
  }
  ADD_FAILURE() << folder << " has no model";
  return {};
}

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

Result<Artefact> read(std::string_view text, const XgboostOptions& options = {}) {
  return read_xgboost(bytes_of(text), options);
}

const Boost& boost_of(const Artefact& artefact) { return dynamic_cast<const Boost&>(*artefact.model); }

// Whether our margins of the rows are those of the library, to the last bit.
void expect_margins(const Boost& boost, const Expected& expected, const Json& margins) {
  std::vector<float> rows(expected.rows.begin(), expected.rows.end());
  std::vector<float> ours(expected.count() * boost.outputs());
  boost.margins(rows, expected.count(), ours);
  for (std::size_t row = 0; row < expected.count(); ++row) {
    for (std::size_t k = 0; k < boost.outputs(); ++k) {
      const float got = ours[row * boost.outputs() + k];
      const auto wanted = static_cast<float>(number_of(margins.at(row).at(k)));
      ASSERT_EQ(std::bit_cast<std::uint32_t>(got), std::bit_cast<std::uint32_t>(wanted))
          << expected.library << ": row " << row << ": " << got << ", should be " << wanted;
    }
  }
}

TEST(Xgboost, MarginsAreThoseOfEveryVersionToTheLastBit) {
  std::size_t seen = 0;
  for (const auto& folder : fixtures()) {
    SCOPED_TRACE(folder.filename().string());
    const auto json = Json::parse(*read_file(folder / "expected.json"));
    XgboostOptions options;
    if (json.contains("missing")) options.missing = json["missing"].get<float>();
    const auto artefact = read(model_of(folder), options);
    ASSERT_TRUE(artefact) << artefact.error().message;
    ASSERT_EQ(artefact->kind, Artefact::Kind::model);
    const Expected expected = read_expected(folder);
    expect_margins(boost_of(*artefact), expected, json.at("margins"));
    expect_scores(*artefact->model, expected);
    if (json.contains("vocabularies")) {
      ASSERT_EQ(artefact->columns.size(), expected.columns);
      for (std::size_t i = 0; i < expected.columns; ++i)
        EXPECT_EQ(artefact->columns[i].vocabulary, json["vocabularies"][i].get<std::vector<std::string>>());
      EXPECT_EQ(artefact->columns[0].name, "protocol");
    }
    const std::string version = expected.library.substr(expected.library.find(' ') + 1);
    EXPECT_NE(artefact->origin.find("XGBoost " + version), std::string::npos) << artefact->origin;
    ++seen;
    if (!json.contains("best_margins")) continue;
    // Early stopping: a choice, and the person is told.
    EXPECT_EQ(artefact->notes.size(), 1u);
    options.rounds = XgboostOptions::Rounds::best;
    const auto best = read(model_of(folder), options);
    ASSERT_TRUE(best) << best.error().message;
    EXPECT_LT(boost_of(*best).trees().trees(), boost_of(*artefact).trees().trees());
    expect_margins(boost_of(*best), expected, json.at("best_margins"));
  }
  EXPECT_GE(seen, 40u);
}

TEST(Xgboost, ExplainsWithTheHessiansOfTheFile) {
  const auto folder = fixture("xgboost/3.2.0-binary");
  const auto artefact = read(model_of(folder));
  ASSERT_TRUE(artefact) << artefact.error().message;
  const auto explainer = model::Explainer::make(artefact->model, model::Explainer::Unit::margin);
  EXPECT_TRUE(explainer) << explainer.error().message;
}

TEST(Xgboost, RecognisesWhatItReadsAndWhatItRefuses) {
  for (const auto& folder : fixtures()) EXPECT_TRUE(looks_like_xgboost(bytes_of(model_of(folder))));
  EXPECT_FALSE(looks_like_xgboost(bytes_of("{\"model\": 1}")));
  EXPECT_FALSE(looks_like_xgboost(bytes_of("")));
  EXPECT_FALSE(looks_like_xgboost(bytes_of("{")));
  const std::string old = "binf\x01\x02";
  EXPECT_TRUE(looks_like_xgboost(bytes_of(old)));
  const auto refused = read(old);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::unsupported);
  EXPECT_NE(refused.error().message.find("save it again"), std::string::npos);
  EXPECT_TRUE(looks_like_xgboost(bytes_of("CONFIG-offset:12345678")));
  EXPECT_EQ(read("CONFIG-offset:12345678").error().code, Errc::corrupt);
  EXPECT_EQ(read("\x80\x04").error().code, Errc::corrupt);
}

// A model of one tree with the texts of a small file, to be broken.
std::string small_model() {
  return R"({"learner":{"attributes":{},"feature_names":["a","b"],"feature_types":["float","float"],
"gradient_booster":{"model":{"gbtree_model_param":{"num_parallel_tree":"1","num_trees":"1"},
"iteration_indptr":[0,1],"tree_info":[0],"trees":[{"base_weights":[0,1,2],"categories":[],"categories_nodes":[],
"categories_segments":[],"categories_sizes":[],"default_left":[1,0,0],"id":0,"left_children":[1,-1,-1],
"loss_changes":[1,0,0],"parents":[2147483647,0,0],"right_children":[2,-1,-1],"split_conditions":[0.5,-1.25,2.5],
"split_indices":[1,0,0],"split_type":[0,0,0],"sum_hessian":[4,3,1],
"tree_param":{"num_deleted":"0","num_feature":"2","num_nodes":"3","size_leaf_vector":"1"}}]},"name":"gbtree"},
"learner_model_param":{"base_score":"5E-1","boost_from_average":"1","num_class":"0","num_feature":"2","num_target":"1"},
"objective":{"name":"binary:logistic","reg_loss_param":{"scale_pos_weight":"1"}}},"version":[2,1,4]})";
}

std::string with(const std::string& from, const std::string& to) {
  std::string text = small_model();
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Xgboost, AModelWorkedOutByHand) {
  const auto artefact = read(small_model());
  ASSERT_TRUE(artefact) << artefact.error().message;
  ASSERT_EQ(artefact->columns.size(), 2u);
  EXPECT_EQ(artefact->columns[1].name, "b");
  const std::vector<float> rows = {9, 0.4f, 9, 0.5f, 9, std::nanf(""), 9, std::nextafter(0.5f, 0.0f)};
  std::vector<float> margins(4);
  boost_of(*artefact).margins(rows, 4, margins);
  EXPECT_EQ(margins, (std::vector<float>{-1.25f, 2.5f, -1.25f, -1.25f}));
  EXPECT_FALSE(artefact->threshold);
  EXPECT_TRUE(artefact->notes.empty());
  const auto raw = read(with("binary:logistic", "binary:hinge"));
  ASSERT_TRUE(raw);
  EXPECT_EQ(raw->model->scale(), model::Scale::margin);
  EXPECT_EQ(raw->threshold, 0.0);
  EXPECT_EQ(model::all_scores(*raw->model, rows, 4), (std::vector<double>{-0.75, 3, -0.75, -0.75}));
}

TEST(Xgboost, RefusesByName) {
  const auto refused = [](const std::string& from, const std::string& to) {
    const auto read_back = read(with(from, to));
    EXPECT_FALSE(read_back) << to;
    if (read_back) return std::string();
    EXPECT_EQ(read_back.error().code, Errc::unsupported) << read_back.error().message;
    return read_back.error().message;
  };
  EXPECT_NE(refused("binary:logistic", "reg:squarederror").find("reg:squarederror"), std::string::npos);
  EXPECT_NE(refused("\"gbtree\"", "\"gblinear\"").find("gblinear"), std::string::npos);
  EXPECT_NE(refused("\"num_target\":\"1\"", "\"num_target\":\"2\"").find("2 targets"), std::string::npos);
  EXPECT_NE(refused("\"size_leaf_vector\":\"1\"", "\"size_leaf_vector\":\"3\"").find("3 values"),
            std::string::npos);
  EXPECT_NE(refused("\"num_feature\":\"2\",\"num_target\"", "\"num_feature\":\"2000\",\"num_target\"").size(),
            0u);
}

TEST(Xgboost, RefusesIndicesThatLieElsewhere) {
  const std::vector<std::pair<std::string, std::string>> lies = {
      {"\"left_children\":[1,", "\"left_children\":[0,"},
      {"\"left_children\":[1,", "\"left_children\":[3,"},
      {"\"left_children\":[1,", "\"left_children\":[-7,"},
      {"\"left_children\":[1,", "\"left_children\":[2,"},
      {"\"right_children\":[2,", "\"right_children\":[-1,"},
      {"\"right_children\":[2,", "\"right_children\":[99999999999,"},
      {"\"split_indices\":[1,", "\"split_indices\":[2,"},
      {"\"split_indices\":[1,", "\"split_indices\":[-1,"},
      {"\"split_conditions\":[0.5,", "\"split_conditions\":[NaN,"},
      {"-1.25,2.5", "-1.25,NaN"},
      {"-1.25,2.5", "-1.25,Infinity"},
      {"-1.25,2.5", "-1.25"},
      {"\"tree_info\":[0]", "\"tree_info\":[1]"},
      {"\"tree_info\":[0]", "\"tree_info\":[0,0]"},
      {"\"num_trees\":\"1\"", "\"num_trees\":\"2\""},
      {"\"num_nodes\":\"3\"", "\"num_nodes\":\"4\""},
      {"\"split_type\":[0,", "\"split_type\":[1,"},
      {"\"base_score\":\"5E-1\"", "\"base_score\":\"[1,2]\""},
      {"\"base_score\":\"5E-1\"", "\"base_score\":\"2\""},
      {"\"base_score\":\"5E-1\"", "\"base_score\":\"x\""},
      {"\"num_class\":\"0\"", "\"num_class\":\"3\""},
      {"[\"a\",\"b\"]", "[\"a\"]"},
      {"[\"a\",\"b\"]", "[\"a\",\"a\"]"},
      {"\"version\":[2,1,4]", "\"version\":[2]"},
      {"\"attributes\":{}", "\"attributes\":{\"best_iteration\":\"-4\"}"},
      {"\"name\":\"gbtree\"", "\"name\":\"gbtree\",\"weight_drop\":[1,2]"},
  };
  for (const auto& [from, to] : lies) {
    const auto refused = read(with(from, to));
    ASSERT_FALSE(refused) << to;
    EXPECT_EQ(refused.error().code, Errc::corrupt) << refused.error().message;
  }
  auto lying = with("\"attributes\":{}", "\"attributes\":{\"best_iteration\":\"0\"}");
  lying.replace(lying.find("[0,1],\"tree_info\""), 5, "[0,7]");
  EXPECT_FALSE(read(lying));
  // A set of categories that others own too.
  auto sets = with("\"split_type\":[0,", "\"split_type\":[1,");
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"\"categories\":[]", "\"categories\":[1]"},
           {"\"categories_nodes\":[]", "\"categories_nodes\":[0,1]"},
           {"\"categories_segments\":[]", "\"categories_segments\":[0,0]"},
           {"\"categories_sizes\":[]", "\"categories_sizes\":[1,1]"}})
    sets.replace(sets.find(from), from.size(), to);
  EXPECT_FALSE(read(sets));
}

TEST(Xgboost, ANumberMayStandForMissing) {
  XgboostOptions options;
  const float inf = std::numeric_limits<float>::infinity();
  // Missing goes left, below 0.5; 0.5 and more go right but for the number that stands for missing.
  for (const float missing : {0.5f, 0.75f, 1e30f, -1.0f, inf, -inf, std::nextafter(0.5f, 0.0f)}) {
    options.missing = missing;
    const auto artefact = read(small_model(), options);
    ASSERT_TRUE(artefact) << artefact.error().message;
    for (const float x :
         {missing, std::nextafter(missing, inf), std::nextafter(missing, -inf), 0.5f, 0.4f, 7.0f}) {
      float margin = 0;
      boost_of(*artefact).margins(std::vector<float>{0, x}, 1, std::span(&margin, 1));
      EXPECT_EQ(margin, x == missing || x < 0.5f ? -1.25f : 2.5f) << missing << " " << x;
    }
  }
  // And the other way round.
  const auto right = with("\"default_left\":[1,", "\"default_left\":[0,");
  for (const float missing : {0.25f, -1.0f, 0.0f, 0.5f, inf, -inf}) {
    options.missing = missing;
    const auto artefact = read(right, options);
    ASSERT_TRUE(artefact);
    for (const float x :
         {missing, std::nextafter(missing, inf), std::nextafter(missing, -inf), 0.5f, 0.4f, -7.0f}) {
      float margin = 0;
      boost_of(*artefact).margins(std::vector<float>{0, x}, 1, std::span(&margin, 1));
      EXPECT_EQ(margin, x != missing && x < 0.5f ? -1.25f : 2.5f) << missing << " " << x;
    }
  }
}

TEST(Xgboost, WhatTheWrapperOf1xLeftInTheFileIsUsed) {
  const auto artefact = read(
      with("\"attributes\":{}",
           R"("attributes":{"scikit_learn":"{\"classes_\": [0, 1], \"missing\": -1, \"n_classes_\": 2}"})"));
  ASSERT_TRUE(artefact) << artefact.error().message;
  EXPECT_EQ(artefact->classes, (std::vector<std::string>{"0", "1"}));
  EXPECT_EQ(artefact->notes.size(), 1u);
  XgboostOptions options;
  options.classes = {"benign", "attack"};
  EXPECT_EQ(read(small_model(), options)->classes, options.classes);
  options.classes = {"benign"};
  EXPECT_EQ(read(small_model(), options).error().code, Errc::invalid);
}

TEST(Xgboost, HalfAFileAndFlippedBytesAreAnErrorOrAnAnswer) {
  for (const char* name : {"1.0.2-multi", "3.4.0-categories", "3.4.0-snapshot", "2.1.4-binary-ubj"}) {
    const std::string whole = model_of(fixture("xgboost") / name);
    const std::size_t step = std::max<std::size_t>(1, whole.size() / 500);
    for (std::size_t size = 0; size < whole.size() - 1; size += step)
      EXPECT_FALSE(read(whole.substr(0, size))) << name << " " << size;
    std::size_t refused = 0;
    for (std::size_t at = 0; at < whole.size(); at += step) {
      for (const int bit : {0, 3, 6, 7}) {
        std::string flipped = whole;
        flipped[at] = static_cast<char>(flipped[at] ^ (1 << bit));
        const auto answer = read(flipped);
        if (!answer) {
          ++refused;
          EXPECT_FALSE(answer.error().message.empty());
          continue;
        }
        std::vector<float> row(answer->model->inputs(), 0.5f);
        model::all_scores(*answer->model, row, 1);
      }
    }
    EXPECT_GT(refused, 0u);
  }
}

}  // namespace
}  // namespace nidus::interop
