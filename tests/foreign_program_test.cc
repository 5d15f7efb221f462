// Model files of other programs in the hands of a user: looked at, used as they are, kept, and mistaken.
#include <gmock/gmock.h>
#include <sys/wait.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/number.h"
#include "base/testing.h"
#include "base/text.h"
#include "data/table_reader.h"
#include "interop/testing.h"

namespace nidus {
namespace {

namespace fs = std::filesystem;
using interop::Expected;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;

struct Outcome {
  int status = -1;
  std::string out, err;
};

class ForeignTest : public ::testing::Test {
 protected:
  Outcome nidus(const std::string& words) const {
    const std::string whole = "cd '" + folder_.path().string() + "' && '" NIDUS_PROGRAM "' " + words +
                              " > stdout.txt 2> stderr.txt < /dev/null";
    const int answer = std::system(whole.c_str());
    return {WIFEXITED(answer) ? WEXITSTATUS(answer) : -1, text("stdout.txt"), text("stderr.txt")};
  }
  std::string text(const std::string& name) const {
    const auto read = read_file(folder_ / name);
    return read ? *read : "";
  }
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
  }
  void copy(const std::string& of, const std::string& to) const {
    fs::copy_file(interop::fixture(of), folder_ / to, fs::copy_options::overwrite_existing);
  }

  static std::string names(std::size_t columns) {
    std::string out;
    for (std::size_t i = 0; i < columns; ++i) out += (i == 0 ? "c" : ",c") + std::to_string(i);
    return out;
  }
  static std::string csv(const Expected& expected) {
    std::string out = names(expected.columns) + "\n";
    for (std::size_t i = 0; i < expected.rows.size(); ++i) {
      const double x = expected.rows[i];
      if (std::isinf(x)) {
        out += x > 0 ? "inf" : "-inf";
      } else if (!std::isnan(x)) {
        append_number(out, x);
      }
      out += (i + 1) % expected.columns == 0 ? "\n" : ",";
    }
    return out;
  }

  TemporaryFolder folder_;
};

// What is imported and judges a table gives the attack score that the library's answers make, row for row.
class ForeignFixture : public ForeignTest, public ::testing::WithParamInterface<std::string> {};

TEST_P(ForeignFixture, JudgesATableAsItsLibraryDid) {
  const fs::path from = interop::fixture(GetParam());
  fs::path model;
  for (const auto& entry : fs::directory_iterator(from)) {
    if (entry.path().stem() == "model") model = entry.path();
  }
  ASSERT_FALSE(model.empty());
  fs::copy_file(model, folder_ / model.filename());
  const Expected expected = interop::read_expected(from);
  write("rows.csv", csv(expected));
  const Outcome inspected = nidus("inspect --json " + model.filename().string());
  ASSERT_EQ(inspected.status, 0) << inspected.err;
  const Json facts = Json::parse(inspected.out);
  EXPECT_EQ(facts.at("is"), "model");

  std::string words = " --features " + names(expected.columns);
  if (expected.outputs > 1) {
    std::string classes;
    for (std::size_t k = 0; k < expected.outputs; ++k)
      classes += (k == 0 ? "" : ",") + std::string(k == 1 ? "benign" : "class ") + std::to_string(k);
    words += " --benign 'benign1' --classes '" + classes + "'";
  } else {
    words += " --classes quiet,loud --benign quiet";
  }
  const Outcome imported = nidus("import " + model.filename().string() + " -o made" + words);
  ASSERT_EQ(imported.status, 0) << imported.err;
  const Outcome judged = nidus("detect rows.csv -d made --format ndjson");
  ASSERT_EQ(judged.status, 0) << judged.err;
  std::size_t row = 0;
  for (const auto line : split(judged.out, '\n')) {
    if (line.empty()) continue;
    const Json verdict = Json::parse(line);
    const double* const scores = &expected.scores[row * expected.outputs];
    const double wanted = expected.outputs == 1 ? scores[0] : 1 - scores[1];
    // A margin is shown as a probability.
    const double read =
        facts.at("outputs").get<std::string>().ends_with("margin") ? 1 / (1 + std::exp(-wanted)) : wanted;
    ASSERT_NEAR(verdict.at("score").get<double>(), read, std::max(expected.tolerance, 1e-6)) << row;
    ++row;
  }
  EXPECT_EQ(row, expected.count());
}

INSTANTIATE_TEST_SUITE_P(Some, ForeignFixture,
                         ::testing::Values("xgboost/1.0.2-binary", "xgboost/1.7.6-binary-ubj",
                                           "xgboost/3.1.3-multi", "xgboost/3.2.0-dart",
                                           "lightgbm/4.7.0-binary", "lightgbm/2.3.1-multi",
                                           "catboost/1.2-binary", "catboost/1.2.10-multi",
                                           "keras/2.15.0-mlp-h5", "keras/3.12.0-mlp-keras"),
                         [](const auto& of) {
                           std::string name = of.param;
                           std::replace_if(
                               name.begin(), name.end(),
                               [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
                           return name;
                         });

TEST_F(ForeignTest, AFolderIsUsedAsItIs) {
  fs::create_directory(folder_ / "service");
  copy("xgboost/3.1.3-binary/model.json", "service/xgboost_model.json");
  const Expected expected = interop::read_expected(interop::fixture("xgboost/3.1.3-binary"));
  Json list = Json::array();
  for (std::size_t i = 0; i < expected.columns; ++i) list.push_back(" c" + std::to_string(i));
  write("service/feature_names.json", list.dump());
  write("service/README.md", "# Models\n");
  write(
      "service/model_metadata.json",
      R"({"version":"1.2","models":{"xgboost":{"file":"xgboost_model.json","auc":0.9},"random_forest":{"file":"random_forest_model.pkl"}},
            "deployment_config":{"ensemble_weights":{"random_forest":0.5,"xgboost":0.5},"decision_threshold":0.25}})");
  write("rows.csv", csv(expected));
  const Outcome judged = nidus("detect rows.csv --detector service --json");
  ASSERT_EQ(judged.status, 0) << judged.err;
  const auto attacks = std::count_if(expected.scores.begin(), expected.scores.end(),
                                     [](double score) { return score > 0.25; });
  EXPECT_EQ(Json::parse(judged.out).value("attacks", -1), attacks) << judged.out;
  EXPECT_THAT(judged.err, AllOf(HasSubstr("random_forest_model.pkl is not there"),
                                HasSubstr("README.md: no part of a detector")));
  const Outcome inspected = nidus("inspect service");
  EXPECT_EQ(inspected.status, 0) << inspected.err;
  EXPECT_THAT(inspected.out, AllOf(HasSubstr("XGBoost 3.1.3"), HasSubstr("a detector, binary")));

  ASSERT_EQ(nidus("import service -o kept").status, 0);
  EXPECT_EQ(Json::parse(nidus("detect rows.csv --detector kept --json").out).value("attacks", -1), attacks);
  EXPECT_THAT(nidus("inspect kept").out, HasSubstr("xgboost_model.json, XGBoost 3.1.3"));
  EXPECT_EQ(nidus("detect rows.csv --detector kept --explain").status, 0);
}

// As a service keeps it: the network, the line and the names, each in a file of its own.
TEST_F(ForeignTest, AnAutoencoderOfOnnxJudgesByWhatItCannotCopy) {
  const std::string of = "onnx/torch215_autoencoder";
  const Expected expected = interop::read_expected(interop::fixture(of));
  ASSERT_EQ(expected.outputs, expected.columns);
  fs::create_directory(folder_ / "copier");
  copy(of + "/model.onnx", "copier/ae.onnx");
  write("copier/threshold.json", R"({"threshold": 4})");
  Json list = Json::array();
  for (std::size_t i = 0; i < expected.columns; ++i) list.push_back("c" + std::to_string(i));
  write("copier/feature_names.json", list.dump());
  write("rows.csv", csv(expected));
  int attacks = 0, rows = 0;
  double error = 0;
  for (std::size_t i = 0; i < expected.rows.size(); ++i) {
    error += std::pow(expected.rows[i] - expected.scores[i], 2) / static_cast<double>(expected.columns);
    if ((i + 1) % expected.columns != 0) continue;
    attacks += error > 4 ? 1 : 0;
    ++rows;
    error = 0;
  }
  ASSERT_GT(attacks, 0);
  ASSERT_LT(attacks, rows);
  const Outcome judged = nidus("detect rows.csv --detector copier --json");
  ASSERT_EQ(judged.status, 0) << judged.err;
  EXPECT_EQ(Json::parse(judged.out).value("attacks", -1), attacks) << judged.out;
  EXPECT_THAT(judged.err, HasSubstr("an autoencoder: as many numbers come out as go in"));
}

TEST_F(ForeignTest, WhatCannotBeUsedIsSaidInASentence) {
  copy("lightgbm/4.7.0-binary/model.txt", "model.txt");
  const Outcome unnamed = nidus("import model.txt -o made --features a,b");
  EXPECT_EQ(unnamed.status, 2);
  EXPECT_THAT(unnamed.err, HasSubstr("--features: 2 names for the"));
  EXPECT_FALSE(fs::exists(folder_ / "made"));
  EXPECT_THAT(nidus("import model.txt").err, HasSubstr("--output"));
  EXPECT_THAT(nidus("import nothing.pkl -o made").err, HasSubstr("nothing.pkl"));
  write("rows.csv", "a,b\n1,2\n");
  const Outcome table = nidus("import rows.csv -o made");
  EXPECT_EQ(table.status, 3);
  EXPECT_THAT(table.err, HasSubstr("rows.csv"));
  std::string bytes = text("model.txt");
  write("cut.txt", bytes.substr(0, bytes.rfind("leaf_value") + 20));
  const Outcome cut = nidus("inspect cut.txt");
  EXPECT_EQ(cut.status, 3);
  EXPECT_THAT(cut.err, HasSubstr("cut.txt"));
  EXPECT_THAT(nidus("detect rows.csv --detector cut.txt").err, HasSubstr("cut.txt"));
  copy("torch/2.6.0-state/model.pt", "cut.pt");
  bytes = text("cut.pt");
  write("cut.pt", bytes.substr(0, bytes.size() - 10));
  EXPECT_THAT(nidus("detect rows.csv --detector cut.pt").err, HasSubstr("cut.pt: zip: "));
  // Each program asks for what it takes itself, or says where it can be said.
  copy("xgboost/1.0.2-binary/model.json", "nameless.json");
  EXPECT_THAT(nidus("import nameless.json -o made").err, HasSubstr("name them with --features, or"));
  EXPECT_THAT(nidus("detect rows.csv --detector nameless.json").err,
              HasSubstr("name them with nidus import … --features, or"));
}

}  // namespace
}  // namespace nidus
