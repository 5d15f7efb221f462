#include "interop/lightgbm.h"

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
#include "model/transform.h"

namespace nidus::interop {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using model::AdditiveTrees;
using model::TransformedModel;

std::vector<fs::path> fixtures() {
  std::vector<fs::path> out;
  for (const auto& entry : fs::directory_iterator(fixture("lightgbm"))) {
    if (fs::exists(entry.path() / "expected.json")) out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

// Whether the sums before the link are the library's raw scores, to the last bit.
void expect_sums(const Artefact& artefact, const Expected& expected, const Json& raw) {
  const auto& whole = dynamic_cast<const TransformedModel&>(*artefact.model);
  const auto& trees = dynamic_cast<const AdditiveTrees&>(whole.model());
  const std::size_t outputs = trees.outputs(), count = expected.count();
  std::vector<double> ranks(count * whole.before().outputs());
  whole.before().apply(expected.rows, count, ranks);
  const std::vector<float> rows(ranks.begin(), ranks.end());
  std::vector<double> sums(count * outputs);
  trees.sums(rows, count, sums);
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const double wanted = number_of(raw.at(i / outputs).at(i % outputs));
    ASSERT_EQ(std::bit_cast<std::uint64_t>(sums[i]), std::bit_cast<std::uint64_t>(wanted))
        << expected.library << ": row " << i / outputs << ": " << sums[i] << ", should be " << wanted;
  }
}

TEST(Lightgbm, RawScoresAreThoseOfEveryVersionToTheLastBit) {
  std::size_t seen = 0;
  for (const auto& folder : fixtures()) {
    SCOPED_TRACE(folder.filename().string());
    const auto text = read_file(folder / "model.txt");
    ASSERT_TRUE(text);
    EXPECT_TRUE(looks_like_lightgbm(*text));
    const auto artefact = read_lightgbm(*text);
    ASSERT_TRUE(artefact) << artefact.error().message;
    const auto json = Json::parse(*read_file(folder / "expected.json"));
    const Expected expected = read_expected(folder);
    // A forest's raw scores are divided there, its sums not yet here.
    if (folder.filename().string().find("forest") == std::string::npos)
      expect_sums(*artefact, expected, json.at("raw"));
    expect_scores(*artefact->model, expected);
    if (json.contains("vocabularies")) {
      ASSERT_EQ(artefact->columns.size(), expected.columns);
      for (std::size_t i = 0; i < expected.columns; ++i)
        EXPECT_EQ(artefact->columns[i].vocabulary, json["vocabularies"][i].get<std::vector<std::string>>());
      EXPECT_EQ(artefact->columns[1].name, "bytes_in");
    } else {
      EXPECT_TRUE(artefact->columns.empty());
    }
    ++seen;
  }
  EXPECT_GE(seen, 20u);
}

TEST(Lightgbm, LinearTreesAreRefusedByName) {
  for (const auto& entry : fs::directory_iterator(fixture("lightgbm"))) {
    if (entry.path().filename().string().find("refused") == std::string::npos) continue;
    const auto refused = read_lightgbm(*read_file(entry.path() / "model.txt"));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::unsupported);
    EXPECT_NE(refused.error().message.find("linear_tree"), std::string::npos);
  }
}

std::string small_model() {
  return "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=1\n"
         "objective=binary sigmoid:1\nfeature_names=a b\nfeature_infos=[0:1] 0:1:2:5\ntree_sizes=1\n\n"
         "Tree=0\nnum_leaves=3\nnum_cat=1\nsplit_feature=0 1\nsplit_gain=1 1\nthreshold=0.5 0\n"
         "decision_type=2 1\nleft_child=1 -1\nright_child=-2 -3\nleaf_value=0.25 -1 2\nleaf_weight=1 1 1\n"
         "leaf_count=3 4 5\ninternal_value=0 0\ninternal_weight=0 0\ninternal_count=12 8\ncat_boundaries=0 "
         "1\n"
         "cat_threshold=37\nis_linear=0\nshrinkage=1\n\n\nend of trees\n\nfeature importances:\na=1\n\n"
         "parameters:\nend of parameters\n\npandas_categorical:null\n";
}

std::string with(const std::string& from, const std::string& to) {
  std::string text = small_model();
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Lightgbm, AModelWorkedOutByHand) {
  const auto artefact = read_lightgbm(small_model());
  ASSERT_TRUE(artefact) << artefact.error().message;
  EXPECT_EQ(artefact->columns.at(1).name, "b");
  EXPECT_EQ(artefact->notes.size(), 1u);  // categories are numbers
  const auto score = [&](double a, double b) {
    const std::vector<double> row = {a, b};
    return model::all_scores(*artefact->model, row, 1)[0];
  };
  const auto logistic = [](double x) { return 1 / (1 + std::exp(-x)); };
  EXPECT_EQ(score(0.6, 0), logistic(-1));
  EXPECT_EQ(score(std::nextafter(0.5, 1), 0), logistic(-1));
  // 37 is 1 + 4 + 32: categories 0, 2 and 5. What is not a number counts as 0 in the first column.
  for (const double b : {0.0, 0.9, -0.9, 2.0, 2.5, 5.0, 5.999}) EXPECT_EQ(score(0.5, b), logistic(0.25)) << b;
  for (const double b : {1.0, 3.0, 6.0, -1.0, 1e300, -1e300, std::nan(""), double(INFINITY)})
    EXPECT_EQ(score(std::nan(""), b), logistic(2)) << b;
}

TEST(Lightgbm, RefusesWhatContradictsItself) {
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"tree\n", "three\n"},
           {"left_child=1 -1", "left_child=0 -1"},
           {"left_child=1 -1", "left_child=7 -1"},
           {"left_child=1 -1", "left_child=1 -9"},
           {"left_child=1 -1", "left_child=1"},
           {"right_child=-2 -3", "right_child=-2 -2"},
           {"split_feature=0 1", "split_feature=0 2"},
           {"split_feature=0 1", "split_feature=-1 1"},
           {"threshold=0.5 0", "threshold=nan 0"},
           {"threshold=0.5 0", "threshold=0.5 1"},
           {"threshold=0.5 0", "threshold=0.5 0.5"},
           {"threshold=0.5 0", "threshold=0.5 x"},
           {"decision_type=2 1", "decision_type=99 1"},
           {"leaf_value=0.25", "leaf_value=inf"},
           {"leaf_value=0.25 ", "leaf_value="},
           {"cat_boundaries=0 1", "cat_boundaries=0 4"},
           {"cat_boundaries=0 1", "cat_boundaries=1 1"},
           {"num_leaves=3", "num_leaves=4000000000"},
           {"num_leaves=3", "num_leaves=0"},
           {"num_class=1", "num_class=2"},
           {"num_tree_per_iteration=1", "num_tree_per_iteration=0"},
           {"feature_names=a b", "feature_names=a a"},
           {"feature_names=a b", "feature_names=a"},
           {"max_feature_idx=1", "max_feature_idx=4294967296"},
           {"max_feature_idx=1", "max_feature_idx=4000000000"},
           {"sigmoid:1", "sigmoid:-1"},
           {"Tree=0", "Three=0"}}) {
    const auto refused = read_lightgbm(with(from, to));
    ASSERT_FALSE(refused) << to;
    EXPECT_EQ(refused.error().code, Errc::corrupt) << refused.error().message;
  }
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"objective=binary sigmoid:1", "objective=regression"}, {"objective=binary sigmoid:1\n", ""}}) {
    EXPECT_EQ(read_lightgbm(with(from, to)).error().code, Errc::unsupported);
  }
}

TEST(Lightgbm, HalfAFileAndFlippedBytesAreAnErrorOrAnAnswer) {
  for (const char* name : {"4.7.0-multi", "3.3.5-categories", "2.3.1-forest"}) {
    const auto whole = *read_file(fixture("lightgbm") / name / "model.txt");
    const std::size_t step = std::max<std::size_t>(1, whole.size() / 700);
    const auto judge = [](const Result<Artefact>& answer) {
      if (!answer) return;
      const std::vector<double> row(answer->model->inputs(), 0.5);
      model::all_scores(*answer->model, row, 1);
    };
    for (std::size_t at = 0; at < whole.size(); at += step) {
      const auto cut = read_lightgbm(std::string_view(whole).substr(0, at));
      judge(cut);
      // A whole number of trees is no whole model.
      EXPECT_EQ(cut.has_value(), at >= whole.find("end of trees") + 12) << at;
      for (const int bit : {0, 2, 6}) {
        std::string flipped = whole;
        flipped[at] = static_cast<char>(flipped[at] ^ (1 << bit));
        judge(read_lightgbm(flipped));
      }
    }
  }
}

}  // namespace
}  // namespace nidus::interop
