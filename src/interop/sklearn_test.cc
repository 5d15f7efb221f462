#include "interop/sklearn.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "interop/testing.h"
#include "model/model_file.h"

namespace nidus::interop {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::span<const std::byte> as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

std::vector<std::string> fixtures() {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(fixture("sklearn"))) {
    out.push_back(entry.path().filename().string());
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::string model_bytes(const std::string& name) {
  const auto text = read_file(fixture("sklearn") / name / "model.pkl");
  EXPECT_TRUE(text);
  return text ? *text : "";
}

// The one that the expectation is of: a bundle's model.
const Artefact& judging(const Artefact& artefact) {
  for (const auto& [name, member] : artefact.members) {
    if (name == "model") return member;
  }
  return artefact;
}

void expect_transform(const model::Transform& transform, const Expected& expected) {
  ASSERT_EQ(transform.inputs(), expected.columns);
  ASSERT_EQ(transform.outputs(), expected.outputs);
  std::vector<double> out(expected.count() * expected.outputs);
  transform.apply(expected.rows, expected.count(), out);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const double wanted = expected.scores[i];
    const bool same = std::isnan(wanted)
                          ? std::isnan(out[i])
                          : out[i] == wanted || std::abs(out[i] - wanted) <=
                                                    expected.tolerance * std::max(1.0, std::abs(wanted));
    ASSERT_TRUE(same) << "row " << i / expected.outputs << ", output " << i % expected.outputs << ": "
                      << out[i] << ", should be " << wanted;
  }
}

class Sklearn : public ::testing::TestWithParam<std::string> {};

TEST_P(Sklearn, SaysWhatScikitLearnSays) {
  const std::string bytes = model_bytes(GetParam());
  const Expected expected = read_expected(fixture("sklearn") / GetParam());
  const auto read = read_pickle(as_bytes(bytes));
  ASSERT_TRUE(read) << read.error().message;
  const Artefact& artefact = judging(*read);
  EXPECT_THAT(artefact.origin, HasSubstr(expected.library));
  EXPECT_EQ(artefact.columns.size(), expected.columns);
  if (artefact.kind == Artefact::Kind::transform) {
    ASSERT_NE(artefact.transform, nullptr);
    expect_transform(*artefact.transform, expected);
    return;
  }
  ASSERT_EQ(artefact.kind, Artefact::Kind::model);
  ASSERT_NE(artefact.model, nullptr);
  expect_scores(*artefact.model, expected);
  // Written as our own and read again, it says the same.
  model::ModelFile file;
  file.model = artefact.model;
  file.classes = artefact.classes;
  for (std::size_t i = file.classes.size(); i < std::max<std::size_t>(expected.outputs, 2); ++i)
    file.classes.push_back(std::to_string(i));  // a Booster does not know them
  for (std::size_t i = 0; i < expected.columns; ++i) {
    file.schema.push_back({"c" + std::to_string(i), model::Column::Kind::numeric, {}, ""});
  }
  const auto written = model::serialise(file);
  ASSERT_TRUE(written) << written.error().message;
  const auto again = model::parse_model(as_bytes(*written));
  ASSERT_TRUE(again) << again.error().message;
  expect_scores(*again->model, expected);
}

TEST_P(Sklearn, OutlineTellsTheSameWithoutModels) {
  const std::string bytes = model_bytes(GetParam());
  const auto whole = read_pickle(as_bytes(bytes)), outline = read_pickle(as_bytes(bytes), Reading::outline);
  ASSERT_TRUE(whole && outline);
  EXPECT_EQ(outline->kind, whole->kind);
  EXPECT_EQ(outline->origin, whole->origin);
  EXPECT_EQ(outline->columns, whole->columns);
  EXPECT_EQ(outline->classes, whole->classes);
  EXPECT_EQ(judging(*outline).model, nullptr);
  EXPECT_EQ(judging(*outline).transform, nullptr);
}

TEST_P(Sklearn, DamagedFilesAreReadOrRefused) {
  std::string bytes = model_bytes(GetParam());
  const std::size_t step = bytes.size() / 150 + 1;
  for (std::size_t size = 0; size < bytes.size(); size += step) {
    const std::string part = bytes.substr(0, size);
    EXPECT_FALSE(read_pickle(as_bytes(part))) << size;
  }
  for (std::size_t i = 0; i < bytes.size(); i += step) {
    bytes[i] ^= '\x11';
    if (const auto read = read_pickle(as_bytes(bytes)); read && judging(*read).model != nullptr) {
      const auto& model = *judging(*read).model;
      const std::vector<double> row(model.inputs(), 1.0);
      EXPECT_EQ(model::all_scores(model, std::span<const double>(row), 1).size(), model.outputs());
    }
    bytes[i] ^= '\x11';
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Sklearn, ::testing::ValuesIn(fixtures()), [](const auto& one) {
  std::string name = one.param;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return name;
});

TEST(SklearnBundle, TellsItsParts) {
  const std::string bytes = model_bytes("bundle-1.9");
  const auto read = read_pickle(as_bytes(bytes));
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_EQ(read->kind, Artefact::Kind::bundle);
  ASSERT_EQ(read->members.size(), 5u);
  EXPECT_EQ(read->members[0].name, "model");
  EXPECT_THAT(read->members[0].artefact.classes, ElementsAre("0", "1"));
  EXPECT_EQ(read->members[1].artefact.kind, Artefact::Kind::transform);
  EXPECT_THAT(read->members[2].artefact.texts, ElementsAre(" Flow Duration", "b", "c", "d", "e"));
  EXPECT_THAT(read->members[3].artefact.numbers, ElementsAre(0.4));
  EXPECT_THAT(read->members[4].artefact.texts, ElementsAre("BENIGN", "DoS", "Probe"));
}

TEST(SklearnArtefact, ClassesAndThresholdsAreTold) {
  const auto forest = read_pickle(as_bytes(model_bytes("tree-1.9")));
  ASSERT_TRUE(forest);
  EXPECT_THAT(forest->classes, ElementsAre("attack", "benign"));
  const Expected expected = read_expected(fixture("sklearn") / "isolation-1.9");
  const auto isolation = read_pickle(as_bytes(model_bytes("isolation-1.9")));
  ASSERT_TRUE(isolation);
  EXPECT_EQ(isolation->model->scale(), model::Scale::anomaly);
  ASSERT_TRUE(isolation->threshold);
  EXPECT_GT(*isolation->threshold, 0.4);
}

TEST(SklearnHostile, OtherNamesAreRefusedWithTheirByte) {
  const auto refused = read_pickle(as_bytes("cposix\nsystem\n(S'id'\ntR."));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "byte 0: posix.system is no part of a model");
  const auto mine =
      read_pickle(as_bytes(std::string_view("\x80\x02]c__main__\nScaler\n)\x81"
                                            "a.",
                                            25)));
  ASSERT_FALSE(mine);
  EXPECT_THAT(mine.error().message, HasSubstr("__main__.Scaler is no part of a model"));
}

TEST(SklearnHostile, WhatIsKnownAndNotDoneIsNamed) {
  const auto refused = read_pickle(
      as_bytes(std::string_view("\x80\x02"
                                "csklearn.gaussian_process._gpc\nGaussianProcessClassifier\n)\x81.",
                                62)));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::unsupported);
  EXPECT_THAT(refused.error().message, HasSubstr("GaussianProcessClassifier is not done"));
}

// Every eight bytes of a tree's nodes in turn: children that form cycles, lie outside or are shared, features
// that are not there, thresholds that are not numbers.
TEST(SklearnHostile, TreesWithWrongIndices) {
  for (const char* const name : {"forest-1.9", "isolation-1.9", "boosting-1.9", "hist-1.9"}) {
    std::string bytes = model_bytes(name);
    std::size_t refused = 0;
    for (std::size_t i = 0; i + 8 < bytes.size(); i += 40) {
      const std::string before = bytes.substr(i, 8);
      for (const std::uint64_t value :
           {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 40, ~std::uint64_t{1}}) {
        std::memcpy(&bytes[i], &value, 8);
        const auto read = read_pickle(as_bytes(bytes));
        if (!read) {
          ++refused;
        } else if (read->model != nullptr) {
          const std::vector<double> row(read->model->inputs(), 1.0);
          (void)model::all_scores(*read->model, std::span<const double>(row), 1);
        }
      }
      bytes.replace(i, 8, before);
    }
    EXPECT_GT(refused, 20u) << name;
  }
}

}  // namespace
}  // namespace nidus::interop
