#include "interop/onnx.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "interop/internal/protobuf.h"
#include "interop/testing.h"
#include "model/model_file.h"

namespace nidus::interop {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

std::vector<std::filesystem::path> fixtures() {
  std::vector<std::filesystem::path> out;
  for (const auto& entry : std::filesystem::directory_iterator(fixture("onnx"))) {
    if (entry.is_directory()) out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

class OnnxFixture : public ::testing::TestWithParam<std::filesystem::path> {
 protected:
  std::string file() const {
    auto text = read_file(GetParam() / "model.onnx");
    EXPECT_TRUE(text) << GetParam();
    return text ? *text : std::string();
  }
};

TEST_P(OnnxFixture, ScoresWhatOnnxRuntimeDoes) {
  const auto expected = read_expected(GetParam());
  const auto read = read_onnx(bytes_of(file()));
  ASSERT_TRUE(read) << read.error().message;
  if (read->kind == Artefact::Kind::transform) {
    ASSERT_EQ(read->transform->outputs(), expected.outputs);
    std::vector<double> out(expected.scores.size());
    read->transform->apply(expected.rows, expected.count(), out);
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (std::isnan(expected.scores[i])) {
        EXPECT_TRUE(std::isnan(out[i])) << i;
      } else if (std::isinf(expected.scores[i])) {
        EXPECT_EQ(out[i], expected.scores[i]) << i;
      } else {
        ASSERT_NEAR(out[i], expected.scores[i], expected.tolerance) << "row " << i / expected.outputs;
      }
    }
    return;
  }
  ASSERT_EQ(read->kind, Artefact::Kind::model) << read->origin;
  expect_scores(*read->model, expected);
}

TEST_P(OnnxFixture, IsTheSameAsAModelFileOfOurs) {
  const auto read = read_onnx(bytes_of(file()));
  ASSERT_TRUE(read) << read.error().message;
  if (read->kind != Artefact::Kind::model) return;
  const auto expected = read_expected(GetParam());
  model::ModelFile ours;
  ours.schema.resize(read->model->inputs());
  for (std::size_t i = 0; i < ours.schema.size(); ++i) ours.schema[i].name = "column " + std::to_string(i);
  ours.classes.resize(read->model->outputs() == 1 ? 2 : read->model->outputs());
  for (std::size_t i = 0; i < ours.classes.size(); ++i) ours.classes[i] = std::to_string(i);
  ours.model = read->model;
  const auto bytes = model::serialise(ours);
  ASSERT_TRUE(bytes) << bytes.error().message;
  const auto again = model::parse_model(bytes_of(*bytes));
  ASSERT_TRUE(again) << again.error().message;
  const std::span<const double> rows(expected.rows);
  const auto before = model::all_scores(*read->model, rows, expected.count()),
             after = model::all_scores(*again->model, rows, expected.count());
  EXPECT_EQ(std::memcmp(before.data(), after.data(), before.size() * sizeof(double)), 0);
  for (std::size_t at = 0; at < bytes->size(); at += 1 + bytes->size() / 64) {
    auto broken = *bytes;
    broken[at] = static_cast<char>(broken[at] ^ 0x24);
    const auto refused =
        model::parse_model(bytes_of(broken));  // or the note, or a name, which may be anything
    if (!refused) {
      EXPECT_FALSE(refused.error().message.empty());
    }
  }
}

// An error, or an answer: never a crash, and nothing that grows without bound.
void expect_sane(const std::string& bytes) {
  const auto read = read_onnx(bytes_of(bytes));
  if (!read) {
    EXPECT_FALSE(read.error().message.empty());
    return;
  }
  if (read->model == nullptr) return;
  const std::vector<double> row(read->model->inputs(), 0.5);
  EXPECT_EQ(model::all_scores(*read->model, std::span<const double>(row), 1).size(), read->model->outputs());
}

TEST_P(OnnxFixture, CutOffAnywhereItIsRefusedOrUnderstood) {
  const auto whole = file();
  for (std::size_t size = 0; size < whole.size(); size += 1 + whole.size() / 100)
    expect_sane(whole.substr(0, size));
}

TEST_P(OnnxFixture, WithAnyByteChangedItIsRefusedOrUnderstood) {
  const auto whole = file();
  Random random(whole.size());
  for (int i = 0; i < 100; ++i) {
    auto changed = whole;
    changed[random.below(changed.size())] ^= static_cast<char>(1 << random.below(8));
    expect_sane(changed);
  }
}

// What is no more than layers one behind the other is computed by the kernels of networks, many rows at a
// time.
TEST(Onnx, ChainsOfLayersAreNetworks) {
  for (const char* name :
       {"dense_activations", "dense_logits", "dense_softmax", "torch_mlp", "mlp", "mlp_classes"}) {
    const auto text = read_file(fixture(std::string("onnx/") + name + "/model.onnx"));
    ASSERT_TRUE(text);
    const auto read = read_onnx(bytes_of(*text));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_THAT(read->model->describe(), ::testing::StartsWith("neural network: ")) << name;
  }
}

TEST(Onnx, FeaturesThatHaveNamesKeepThem) {
  const auto text = read_file(fixture("onnx/forest_named/model.onnx"));
  ASSERT_TRUE(text);
  const auto read = read_onnx(bytes_of(*text));
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_EQ(read->columns.size(), 6u);
  EXPECT_EQ(read->columns[3].name, "column_3");
}

TEST(Onnx, ClassesAreSpelledAsThere) {
  const auto text = read_file(fixture("onnx/modes_strings/model.onnx"));
  ASSERT_TRUE(text);
  const auto read = read_onnx(bytes_of(*text));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_THAT(read->classes, ::testing::ElementsAre("good", "bad"));
}

// One ensemble behind scaling becomes a model that is explained exactly and walked fast.
TEST(Onnx, EnsemblesBecomeForestsAndBoosters) {
  const auto kind = [](const std::string& name) {
    const auto text = read_file(fixture("onnx/" + name + "/model.onnx"));
    EXPECT_TRUE(text);
    const auto read = read_onnx(bytes_of(*text));
    EXPECT_TRUE(read) << read.error().message;
    return read && read->model ? read->model->describe() : std::string();
  };
  EXPECT_THAT(kind("forest_classes"), ::testing::StartsWith("random forest"));
  EXPECT_THAT(kind("forest_prepared"), ::testing::HasSubstr("before random forest"));
  EXPECT_THAT(kind("xgboost"), ::testing::StartsWith("boosted trees"));
  EXPECT_THAT(kind("gradient_boosting_classes"), ::testing::StartsWith("boosted trees"));
}

// A graph of one node, by hand.
std::string graph_of(const std::string& op, const std::string& domain, bool external = false) {
  using internal::ProtoWriter;
  const auto port = [](const std::string& name) {
    ProtoWriter rows, columns, dims, tensor, type, out;
    rows.bytes(2, "N");
    columns.integer(1, 3);
    dims.message(1, rows);
    dims.message(1, columns);
    tensor.integer(1, 1);
    tensor.message(2, dims);
    type.message(1, tensor);
    out.bytes(1, name);
    out.message(2, type);
    return out;
  };
  ProtoWriter node, graph, set, model;
  node.bytes(1, "x");
  node.bytes(1, "w");
  node.bytes(2, "y");
  node.bytes(3, "the node");
  node.bytes(4, op);
  node.bytes(7, domain);
  graph.message(1, node);
  ProtoWriter tensor, where;
  tensor.integer(1, 3);
  tensor.integer(2, 1);
  tensor.bytes(8, "w");
  if (external) {
    where.bytes(1, "location");
    where.bytes(2, "../../etc/passwd");
    tensor.message(13, where);
  } else {
    tensor.bytes(9, std::string(12, '\0'));
  }
  graph.message(5, tensor);
  graph.message(11, port("x"));
  graph.message(12, port("y"));
  set.integer(2, 17);
  model.integer(1, 8);
  model.message(7, graph);
  model.message(8, set);
  return model.take();
}

TEST(Onnx, WhatIsNotKnownIsNamed) {
  const auto read = read_onnx(bytes_of(graph_of("Einsum", "")));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Errc::unsupported);
  EXPECT_THAT(read.error().message, ::testing::HasSubstr("node 'the node' (Einsum)"));
  const auto other = read_onnx(bytes_of(graph_of("Add", "com.example")));
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().message, ::testing::HasSubstr("com.example.Add"));
}

TEST(Onnx, DataInOtherFilesIsNeverRead) {
  const auto read = read_onnx(bytes_of(graph_of("Add", "", true)));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Errc::unsupported);
  EXPECT_THAT(read.error().message, ::testing::HasSubstr("file of its own"));
}

TEST(Onnx, BytesOfSomethingElseAreNoModel) {
  EXPECT_FALSE(looks_like_onnx(bytes_of("{\"learner\": {}}")));
  EXPECT_FALSE(looks_like_onnx({}));
  EXPECT_TRUE(looks_like_onnx(bytes_of(graph_of("Add", ""))));
  EXPECT_FALSE(read_onnx(bytes_of("PK\3\4")));
}

INSTANTIATE_TEST_SUITE_P(All, OnnxFixture, ::testing::ValuesIn(fixtures()),
                         [](const auto& each) { return each.param.filename().string(); });

}  // namespace
}  // namespace nidus::interop
