#include "interop/onnx_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <functional>

#include "base/number.h"
#include "base/random.h"
#include "base/testing.h"
#include "interop/onnx.h"
#include "interop/read.h"
#include "interop/testing.h"
#include "model/additive_trees.h"
#include "model/boost.h"
#include "model/ensemble.h"
#include "model/forest.h"
#include "model/network.h"
#include "model/preprocess.h"
#include "model/readout.h"
#include "model/reconstruction.h"
#include "model/testing.h"
#include "model/transform.h"

namespace nidus::interop {
namespace {

using model::Model;
using ::testing::HasSubstr;

constexpr std::size_t kColumns = 5;

// A model that is written, and rows to ask it about.
struct Case {
  std::string name;
  std::shared_ptr<const Model> model;
  std::vector<float> rows;
  double tolerance = 1e-6;
};

template <class T>
std::shared_ptr<const Model> share(Result<T> made) {
  EXPECT_TRUE(made) << made.error().message;
  return made ? std::make_shared<const T>(std::move(*made)) : nullptr;
}

model::testing::DrawnTrees drawn(std::uint64_t seed, std::size_t width, bool missing_right = true) {
  return model::testing::draw_trees(seed, 9, kColumns, 31, width, missing_right);
}

std::vector<float> rows_of(const model::testing::DrawnTrees& trees) {
  return model::testing::draw_rows(7, trees.thresholds, 60, kColumns, true);
}

model::TreeSet set_of(model::testing::DrawnTrees& trees) {
  auto set = model::TreeSet::make(trees.parts);
  EXPECT_TRUE(set);
  return std::move(*set);
}

std::shared_ptr<const Model> forest(std::uint64_t seed, std::size_t width) {
  auto trees = drawn(seed, width);
  // Shares of a leaf add up to 1.
  std::vector<float> leaves(trees.parts.leaves.begin(), trees.parts.leaves.end());
  for (std::size_t leaf = 0; width > 1 && leaf < leaves.size(); leaf += width) {
    float sum = 0;
    for (std::size_t k = 0; k < width; ++k) sum += leaves[leaf + k];
    for (std::size_t k = 0; k < width; ++k) leaves[leaf + k] /= sum;
  }
  trees.parts.leaves = std::move(leaves);
  return share(model::Forest::make(set_of(trees)));
}

std::vector<double> numbers(Random& random, std::size_t count, double size = 1) {
  std::vector<double> out(count);
  for (auto& value : out) value = static_cast<double>(static_cast<float>((random.unit() * 2 - 1) * size));
  return out;
}

std::vector<float> plain_rows(std::size_t columns) {
  Random random(3);
  std::vector<float> out(40 * columns);
  for (auto& value : out) value = static_cast<float>(random.unit() * 6 - 3);
  std::fill_n(out.begin(), columns, 0.0f);
  return out;
}

Case network(std::string name, model::Shape input, std::vector<model::Layer> layers,
             model::Scale scale = model::Scale::probability) {
  model::Network::Parts parts;
  parts.input = input;
  parts.layers = std::move(layers);
  parts.scale = scale;
  return {std::move(name), share(model::Network::make(std::move(parts))), plain_rows(input.size()), 2e-6};
}

model::layer::Dense dense(Random& random, std::size_t inputs, std::size_t units) {
  return {inputs, units, numbers(random, inputs * units), numbers(random, units)};
}

model::layer::Activate act(model::Activation function) { return {function}; }

model::layer::Cell cell(Random& random, model::layer::Cell::Kind kind, std::size_t inputs,
                        std::size_t units) {
  model::layer::Cell out;
  out.kind = kind;
  out.inputs = inputs;
  out.units = units;
  const std::size_t all = out.gates() * units;
  out.kernel = numbers(random, inputs * all);
  out.recurrent = numbers(random, units * all);
  out.bias = numbers(random, all);
  out.recurrent_bias = numbers(random, all);
  return out;
}

std::vector<Case> network_cases() {
  using model::Activation;
  using Kind = Activation::Kind;
  using namespace model::layer;  // NOLINT: the words of layers.h
  Random random(11);
  std::vector<Case> out;
  std::vector<model::Layer> all = {dense(random, kColumns, 8)};
  for (const auto& function :
       {Activation::relu(), Activation::of(Kind::tanh), Activation::relu(0.2), Activation::relu(0.1, 2, 0.25),
        Activation::elu(0.7), Activation::of(Kind::selu), Activation::of(Kind::gelu),
        Activation::of(Kind::gelu_tanh), Activation::of(Kind::silu), Activation::of(Kind::softplus),
        Activation::of(Kind::softsign), Activation::hard_sigmoid(0.2, 0.5), Activation::clip(-0.5, 0.6),
        Activation::of(Kind::mish)}) {
    all.emplace_back(act(function));
    all.emplace_back(dense(random, 8, 8));
  }
  all.emplace_back(Normalise{numbers(random, 8), numbers(random, 8), numbers(random, 8)});
  all.emplace_back(LayerNorm{1e-3, numbers(random, 8), numbers(random, 8)});
  all.emplace_back(Prelu{numbers(random, 8)});
  all.emplace_back(dense(random, 8, 1));
  all.emplace_back(act(Activation::of(Kind::sigmoid)));
  out.push_back(network("network_dense", {1, kColumns}, std::move(all)));
  out.push_back(network("network_softmax", {1, kColumns},
                        {dense(random, kColumns, 4), act(Activation::of(Kind::softmax))}));
  Conv1d conv;
  conv.inputs = 2;
  conv.filters = 4;
  conv.size = 3;
  conv.stride = 2;
  conv.groups = 2;
  conv.pad_before = 1;
  conv.pad_after = 2;
  conv.kernel = numbers(random, 3 * 1 * 4);
  conv.bias = numbers(random, 4);
  Pool highest, mean;
  highest.size = 2;
  highest.stride = 1;
  mean.kind = Pool::Kind::average;
  mean.size = 3;
  mean.stride = 2;
  mean.pad_before = mean.pad_after = 1;
  out.push_back(
      network("network_convolution", {12, 2},
              {conv, act(Activation::relu()), highest, mean, Transpose{}, Transpose{},
               GlobalPool{Pool::Kind::average}, dense(random, 4, 1), act(Activation::of(Kind::sigmoid))}));
  for (const auto kind :
       {Cell::Kind::simple, Cell::Kind::lstm, Cell::Kind::gru_reset_before, Cell::Kind::gru_reset_after}) {
    Recurrence both, last;
    both.forward = cell(random, kind, 3, 4);
    both.backward = cell(random, kind, 3, 2);
    both.sequences = true;
    last.backward = cell(random, kind, 6, 3);
    out.push_back(network("network_recurrent_" + std::to_string(static_cast<int>(kind)), {4, 3},
                          {both, last, dense(random, 3, 1), act(Activation::of(Kind::sigmoid))}));
  }
  out.push_back(
      network("network_shapes", {1, 6},
              {Reshape{{2, 3}}, Repeat{2, false}, Repeat{2, true}, Slice{3, 2, 0, 2}, Reshape{{1, 4}},
               dense(random, 4, 2), act(Activation::of(Kind::softmax)), Slice{0, 1, 1, 1}}));
  auto inner = network("", {1, kColumns},
                       {dense(random, kColumns, 2), act(Activation::relu()), dense(random, 2, kColumns)},
                       model::Scale::margin);
  for (const auto measure :
       {model::Reconstruction::Measure::squared, model::Reconstruction::Measure::absolute}) {
    out.push_back({measure == model::Reconstruction::Measure::squared ? "error_squared" : "error_absolute",
                   share(model::Reconstruction::make(inner.model, measure)), inner.rows, 1e-5});
  }
  return out;
}

std::vector<Case> tree_cases() {
  std::vector<Case> out;
  for (const std::size_t width : {std::size_t{1}, std::size_t{3}}) {
    auto trees = drawn(width, width);
    const auto rows = rows_of(trees);
    const std::string many = width == 1 ? "" : "_classes";
    out.push_back({"forest" + many, forest(width, width), rows});
    auto alone = drawn(20 + width, 1);
    std::vector<std::uint32_t> groups(9);
    for (std::size_t i = 0; i < 9; ++i) groups[i] = static_cast<std::uint32_t>(i % width);
    const std::vector<float> base =
        width == 1 ? std::vector<float>{0.25f} : std::vector<float>{0.1f, -0.2f, 0.3f};
    out.push_back({"boost" + many, share(model::Boost::make(set_of(alone), groups, base)), rows_of(alone)});
    using Link = model::AdditiveTrees::Link;
    for (const auto link :
         {Link::identity, Link::logistic, Link::softmax, Link::one_vs_all, Link::isolation}) {
      if ((width == 1) != (link == Link::logistic || link == Link::isolation || link == Link::identity))
        continue;
      model::AdditiveTrees::Parts parts;
      parts.groups = groups;
      parts.base = {base.begin(), base.end()};
      parts.link = link;
      parts.factor = link == Link::identity ? 1 : 0.75;
      auto made = model::AdditiveTrees::make(set_of(alone), std::move(parts));
      out.push_back({"additive_" + std::to_string(static_cast<int>(link)) + many, share(std::move(made)),
                     rows_of(alone), 2e-6});
    }
  }
  auto first = forest(1, 1), second = forest(2, 1);
  out.push_back({"ensemble", share(model::Ensemble::make({{first, 0.35}, {second, 0.65}})), out[0].rows});

  std::vector<model::Step> steps(kColumns);
  steps[0] = {-2, 2, true, true, 0.5f, model::Step::Encode::scale, 1.5f, 0.25f, 0};
  steps[1] = {-3, 1, true, false, 0, model::Step::Encode::scale, 0, 1, 0};
  steps[2] = {0, 0, false, true, 1, model::Step::Encode::one_hot, 0, 1, 3};
  steps[3] = {0, 0, false, false, 0, model::Step::Encode::scale, -1, 3, 0};
  steps[4] = {0, 0, false, false, 0, model::Step::Encode::one_hot, 0, 1, 2};
  auto before = model::Preprocessor::make(steps);
  EXPECT_TRUE(before);
  auto wide = model::testing::draw_trees(5, 9, before->outputs(), 31, 1, true);
  auto behind = share(model::Forest::make(set_of(wide)));
  out.push_back({"pipeline", share(model::Pipeline::make(std::move(*before), behind)), out[0].rows});
  return out;
}

std::vector<Case> transform_cases() {
  std::vector<Case> out;
  Random random(5);
  model::Affine scaling;
  scaling.shift = numbers(random, kColumns);
  scaling.factor = {0.5, 2, 1.25, 3, 0.75};
  scaling.low = {-1, -1, -1, -1, -1};
  scaling.high = {1, 2, 1, 2, 1};
  auto affine = model::make_affine(scaling);
  EXPECT_TRUE(affine);
  auto inner = network("", {1, kColumns},
                       {dense(random, kColumns, 3), act(model::Activation::of(model::Activation::Kind::tanh)),
                        dense(random, 3, 1), act(model::Activation::of(model::Activation::Kind::sigmoid))});
  out.push_back(
      {"scaled_network", share(model::TransformedModel::make(*affine, inner.model)), inner.rows, 1e-6});

  // Trees over ranks among thresholds of doubles that no float is equal to.
  std::vector<model::CutColumn> columns(kColumns);
  std::vector<float> near;
  for (std::size_t i = 0; i < kColumns; ++i) {
    columns[i].input = (i + 2) % kColumns;
    for (int k = 0; k < 12; ++k) {
      columns[i].cuts.push_back(k * 0.37 - 2 + 1e-9 * static_cast<double>(i));
      near.push_back(static_cast<float>(columns[i].cuts.back()));
    }
    columns[i].missing_is_zero = i == 1;
    columns[i].zero_is_missing = i == 3 ? 1e-35 : -1;
  }
  auto ranks = model::make_ranks(kColumns, columns);
  EXPECT_TRUE(ranks);
  auto trees = drawn(9, 1);
  std::vector<model::Node> nodes(trees.parts.nodes.begin(), trees.parts.nodes.end());
  for (auto& node : nodes) {
    if (node.is_leaf()) continue;
    node = model::Node::inner(static_cast<float>(random.below(13)), node.feature(), node.left());
  }
  trees.parts.nodes = std::move(nodes);
  model::AdditiveTrees::Parts parts;
  parts.base = {0.5};
  parts.groups = std::vector<std::uint32_t>(9, 0);
  parts.link = model::AdditiveTrees::Link::logistic;
  auto sums = share(model::AdditiveTrees::make(set_of(trees), std::move(parts)));
  const auto rows = model::testing::draw_rows(8, near, 60, kColumns, true);
  auto ranked = share(model::TransformedModel::make(*ranks, sums));
  out.push_back({"ranked_trees", ranked, rows, 1e-6});
  out.push_back({"readout", share(model::Readout::make(ranked, {1, 0})), rows, 1e-6});
  return out;
}

std::vector<Case> cases() {
  auto out = tree_cases();
  for (auto&& more : {transform_cases(), network_cases()}) out.insert(out.end(), more.begin(), more.end());
  return out;
}

model::Schema schema_of(std::size_t columns) {
  model::Schema out(columns);
  for (std::size_t i = 0; i < columns; ++i) out[i].name = "column " + std::to_string(i);
  out[0].kind = model::Column::Kind::categorical;
  out[0].vocabulary = {"tcp", "udp", "icmp"};
  return out;
}

std::vector<std::string> classes_of(const Model& model) {
  std::vector<std::string> out = {"benign", "attack"};
  for (std::size_t i = 2; i < model.outputs(); ++i) out.push_back("class " + std::to_string(i));
  return out;
}

TEST(OnnxWriter, WhatIsWrittenAndReadAgainScoresTheSame) {
  for (const auto& each : cases()) {
    SCOPED_TRACE(each.name);
    ASSERT_NE(each.model, nullptr);
    const auto schema = schema_of(each.model->inputs());
    const auto bytes = write_onnx(*each.model, schema, classes_of(*each.model));
    ASSERT_TRUE(bytes) << bytes.error().message;
    EXPECT_TRUE(looks_like_onnx(std::as_bytes(std::span(*bytes))));
    const auto read = read_onnx(std::as_bytes(std::span(*bytes)));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_THAT(read->origin, HasSubstr("nidus"));
    if (read->kind != Artefact::Kind::model) continue;  // an error or anomaly score without a line
    ASSERT_EQ(read->columns.size(), schema.size());
    EXPECT_EQ(read->columns, schema);
    const std::size_t count = each.rows.size() / each.model->inputs();
    const auto wanted = model::all_scores(*each.model, each.rows, count),
               got = model::all_scores(*read->model, each.rows, count);
    ASSERT_EQ(got.size(), wanted.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      if (std::isnan(wanted[i])) continue;
      ASSERT_NEAR(got[i], wanted[i], each.tolerance) << "row " << i / each.model->outputs();
    }
  }
}

// Files are known by their content, and say what was written. tests/interop/check_onnx_export.py asks ONNX
// Runtime about them, where NIDUS_ONNX_EXPORTS names the folder they are left in.
TEST(OnnxWriter, FilesAreReadBackAndLeftForOthersToCheck) {
  const TemporaryFolder temporary;
  const char* const kept = std::getenv("NIDUS_ONNX_EXPORTS");
  const std::filesystem::path folder = kept != nullptr ? std::filesystem::path(kept) : temporary.path();
  for (const auto& each : cases()) {
    SCOPED_TRACE(each.name);
    const auto path = folder / each.name;
    std::filesystem::create_directories(path);
    const auto bytes = write_onnx(*each.model, schema_of(each.model->inputs()), classes_of(*each.model));
    ASSERT_TRUE(bytes) << bytes.error().message;
    ASSERT_TRUE(write_file(path / "model.onnx", *bytes));
    const std::size_t count = each.rows.size() / each.model->inputs();
    const auto scores = model::all_scores(*each.model, each.rows, count);
    const auto again = read_artefact(path / "model.onnx");
    ASSERT_TRUE(again) << again.error().message;
    ASSERT_NE(again->model, nullptr);
    EXPECT_EQ(again->model->scale(), each.model->scale());
    const auto same = model::all_scores(*again->model, each.rows, count);
    ASSERT_EQ(same.size(), scores.size());
    for (std::size_t i = 0; i < scores.size(); ++i) {
      if (!std::isfinite(scores[i])) continue;
      EXPECT_NEAR(same[i], scores[i], each.tolerance * std::max(1.0, std::abs(scores[i]))) << i;
    }
    nlohmann::json json;
    json["tolerance"] = each.tolerance;
    json["scale"] = std::string(name(each.model->scale()));
    const auto spelled = [](double value) -> nlohmann::json {
      if (std::isnan(value)) return "nan";
      if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
      return value;
    };
    for (const float value : each.rows) json["rows"].push_back(spelled(static_cast<double>(value)));
    for (const double value : scores) json["scores"].push_back(spelled(value));
    ASSERT_TRUE(write_file(path / "ours.json", json.dump()));
  }
}

TEST(OnnxWriter, ASchemaOfAnotherWidthIsRefused) {
  const auto made = write_onnx(*forest(1, 1), schema_of(2), {});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, Errc::invalid);
}

TEST(OnnxWriter, SetsOfCategoriesAreRefusedByName) {
  std::vector<model::CutColumn> columns(1);
  columns[0].is_among = true;
  columns[0].among = {1, 5};
  auto ranks = model::make_ranks(1, columns);
  ASSERT_TRUE(ranks);
  model::TreeSet::Parts trees;
  trees.inputs = 1;
  trees.nodes = std::vector<model::Node>{model::Node::leaf(0, 0)};
  trees.roots = std::vector<std::uint32_t>{0, 1};
  trees.leaves = std::vector<float>{0.5f};
  auto set = model::TreeSet::make(std::move(trees));
  ASSERT_TRUE(set);
  auto behind = share(model::Forest::make(std::move(*set)));
  auto whole = share(model::TransformedModel::make(*ranks, behind));
  const auto made = write_onnx(*whole, schema_of(1), {});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, Errc::unsupported);
  EXPECT_THAT(made.error().message, HasSubstr("categories"));
}

}  // namespace
}  // namespace nidus::interop
