#include "interop/import.h"

#include <gmock/gmock.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "base/testing.h"
#include "model/additive_trees.h"
#include "model/forest.h"
#include "model/network.h"

namespace nidus::interop {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using Kind = detect::Manifest::Kind;
using Parts = std::vector<std::pair<std::string, Artefact>>;

model::TreeSet split_at(float threshold, const std::vector<float>& low, const std::vector<float>& high) {
  model::TreeSet::Parts parts;
  parts.inputs = 2;
  parts.width = low.size();
  parts.nodes = std::vector<model::Node>{model::Node::inner(threshold, 0, 1), model::Node::leaf(1, 0),
                                         model::Node::leaf(2, 1)};
  parts.roots = std::vector<std::uint32_t>{0, 3};
  auto leaves = low;
  leaves.insert(leaves.end(), high.begin(), high.end());
  parts.leaves = std::move(leaves);
  return *model::TreeSet::make(std::move(parts));
}

// A forest that asks whether column 0 is above the threshold.
Artefact forest(float threshold, const std::vector<float>& low, const std::vector<float>& high) {
  Artefact out;
  out.kind = Artefact::Kind::model;
  out.origin = "a forest";
  out.model = std::make_shared<const model::Forest>(*model::Forest::make(split_at(threshold, low, high)));
  return out;
}

Artefact texts(std::vector<std::string> names) {
  Artefact out;
  out.kind = Artefact::Kind::texts;
  out.origin = "a list";
  out.texts = std::move(names);
  return out;
}

Artefact numbers(std::vector<double> values) {
  Artefact out;
  out.kind = Artefact::Kind::numbers;
  out.origin = "an array";
  out.numbers = std::move(values);
  return out;
}

Artefact scaler(double shift, double factor) {
  Artefact out;
  out.kind = Artefact::Kind::transform;
  out.origin = "a scaler";
  out.transform =
      *model::make_affine({model::Affine::Form::shift_then_divide, {shift, 0}, {factor, 1}, {}, {}});
  return out;
}

Artefact isolation() {
  Artefact out;
  out.kind = Artefact::Kind::model;
  out.origin = "an isolation forest";
  model::AdditiveTrees::Parts parts;
  parts.base = {0};
  parts.link = model::AdditiveTrees::Link::isolation;
  out.model =
      std::make_shared<const model::AdditiveTrees>(*model::AdditiveTrees::make(split_at(4, {1}, {2}), parts));
  out.threshold = 0.4;
  return out;
}

detect::Verdict judged(const Imported& imported, std::vector<double> row) {
  detect::Verdict verdict;
  imported.detector.judge(row, 1, std::span(&verdict, 1));
  return verdict;
}

std::string refusal(Parts parts, const ImportOptions& options = {}) {
  const auto imported = import_parts(std::move(parts), options);
  return imported ? "imported" : imported.error().message;
}

TEST(Import, AScalerGoesBeforeTheModelAndNamesComeFromTheirList) {
  const auto imported = import_parts({{"model.pkl", forest(0.5F, {0.2F}, {0.9F})},
                                      {"scaler.pkl", scaler(10, 2)},
                                      {"feature_names.pkl", texts({" dst_port", "fwd_pkts "})}},
                                     {});
  ASSERT_TRUE(imported) << imported.error().message;
  const auto& manifest = imported->detector.manifest();
  EXPECT_EQ(manifest.kind, Kind::binary);
  EXPECT_EQ(manifest.schema[0].name, "dst_port");
  EXPECT_EQ(manifest.schema[1].name, "fwd_pkts");
  EXPECT_THAT(manifest.labels, ElementsAre("benign", "attack"));
  EXPECT_FALSE(judged(*imported, {11, 0}).is_attack());
  EXPECT_TRUE(judged(*imported, {11.5, 0}).is_attack());
  ASSERT_TRUE(manifest.meter);
  EXPECT_EQ(manifest.meter->profile, flow::Profile::native);
}

TEST(Import, AHalfIsNoAttack) {
  const auto imported =
      import_parts({{"m", forest(4, {0.5F}, {0.75F})}, {"features", texts({"a", "b"})}}, {});
  ASSERT_TRUE(imported) << imported.error().message;
  EXPECT_FALSE(judged(*imported, {1, 0}).is_attack());
  EXPECT_TRUE(judged(*imported, {9, 0}).is_attack());
  EXPECT_FALSE(imported->detector.manifest().meter) << "a and b are no features of flows";
}

TEST(Import, ABundleIsItsParts) {
  Artefact bundle;
  bundle.kind = Artefact::Kind::bundle;
  bundle.members = {{"model", isolation()},
                    {"scaler", scaler(0, 1)},
                    {"feature_names", texts({"a", "b"})},
                    {"n_features", numbers({2})}};
  const auto imported = import_parts({{"model.pkl", bundle}}, {});
  ASSERT_TRUE(imported) << imported.error().message;
  EXPECT_EQ(imported->detector.manifest().kind, Kind::anomaly);
  EXPECT_THAT(imported->detector.manifest().labels, ElementsAre("benign", "anomaly"));
  EXPECT_EQ(judged(*imported, {1, 0}).score, 0.5);
  EXPECT_TRUE(judged(*imported, {1, 0}).is_attack());
  EXPECT_FALSE(judged(*imported, {9, 0}).is_attack());
  EXPECT_THAT(imported->parts, Contains(Pair("model.pkl: scaler", HasSubstr("before each model"))));
}

TEST(Import, BenignComesFirstWhateverItsNumber) {
  Artefact three = forest(4, {0.1F, 0.2F, 0.7F}, {0.5F, 0.3F, 0.2F});
  three.classes = {"DDoS", "Normal", "Probe"};
  const auto imported = import_parts({{"m", three}, {"features", texts({"a", "b"})}}, {});
  ASSERT_TRUE(imported) << imported.error().message;
  const auto& manifest = imported->detector.manifest();
  EXPECT_THAT(manifest.labels, ElementsAre("benign", "DDoS", "Probe"));
  EXPECT_EQ(manifest.labels[judged(*imported, {1, 0}).label], "Probe");
  EXPECT_EQ(manifest.labels[judged(*imported, {9, 0}).label], "DDoS");

  Artefact two = forest(4, {0.25F}, {0.75F});
  two.classes = {"bad", "good"};
  EXPECT_THAT(refusal({{"m", two}, {"features", texts({"a", "b"})}}),
              HasSubstr("which of the classes is benign: bad, good? Say it with nidus import … --benign"));
  ImportOptions options;
  options.benign = "good";
  const auto turned = import_parts({{"m", two}, {"features", texts({"a", "b"})}}, options);
  ASSERT_TRUE(turned) << turned.error().message;
  EXPECT_EQ(judged(*turned, {1, 0}).score, 0.75);
  EXPECT_TRUE(judged(*turned, {1, 0}).is_attack());
  options.benign = "goood";
  EXPECT_THAT(refusal({{"m", two}, {"features", texts({"a", "b"})}}, options),
              HasSubstr("did you mean 'good'"));
}

TEST(Import, PartsThatDoNotFitAreRefusedWithASentence) {
  const auto a_model = forest(4, {0.25F}, {0.75F});
  EXPECT_THAT(refusal({{"m.pkl", a_model}}),
              HasSubstr("m.pkl does not name its 2 columns: name them with nidus import … --features, or "));
  ImportOptions served;
  served.read.option_prefix = "detector.";
  EXPECT_THAT(refusal({{"m.pkl", a_model}}, served),
              HasSubstr("name them with detector.features, or beside"));
  served.features = {"a"};
  EXPECT_THAT(refusal({{"m.pkl", a_model}}, served),
              HasSubstr("detector.features: 1 names for the 2 columns"));
  EXPECT_THAT(refusal({{"m.pkl", a_model}, {"feature_names.pkl", texts({"a", "b", "c"})}}),
              HasSubstr("feature_names.pkl: 3 names for the 2 columns of m.pkl"));
  EXPECT_THAT(refusal({{"m.pkl", a_model}, {"features", texts({"a", "A "})}}),
              HasSubstr("columns 1 and 2 are both called 'A'"));
  EXPECT_THAT(refusal({{"m.pkl", a_model}, {"s.pkl", scaler(0, 1)}, {"t.pkl", scaler(0, 1)}}),
              HasSubstr("which of the two"));
  EXPECT_THAT(refusal({{"x.pkl", texts({"a"})}}), HasSubstr("no model that judges rows: x.pkl is a list"));
  Artefact named = a_model;
  named.columns = {{"a", {}, {}, {}}, {"b", {}, {}, {}}};
  EXPECT_EQ(refusal({{"m.pkl", named}}), "imported");
  EXPECT_THAT(refusal({{"m.pkl", named}, {"features.pkl", texts({"b", "a"})}}),
              HasSubstr("features.pkl: column 1 is 'b', m.pkl says 'a'"));
}

TEST(Import, AnAutoencoderNeedsAThreshold) {
  model::Network::Parts parts;
  parts.input = {1, 3};
  model::layer::Dense dense;
  dense.inputs = dense.units = 3;
  dense.kernel = {1, 0, 0, 0, 1, 0, 0, 0, 0};
  parts.layers.push_back({dense});
  auto network = model::Network::make(parts);
  ASSERT_TRUE(network) << network.error().message;
  Artefact artefact;
  artefact.kind = Artefact::Kind::model;
  artefact.origin = "a network";
  artefact.model = std::make_shared<const model::Network>(*network);
  const auto names = texts({"a", "b", "c"});
  EXPECT_THAT(refusal({{"ae.pth", artefact}, {"features", names}}),
              HasSubstr("from which score on is a row anomalous"));
  const auto imported =
      import_parts({{"ae.pth", artefact}, {"features", names}, {"threshold", numbers({3})}}, {});
  ASSERT_TRUE(imported) << imported.error().message;
  EXPECT_EQ(imported->detector.manifest().kind, Kind::anomaly);
  EXPECT_EQ(judged(*imported, {1, 2, 3}).score, 3);  // of the third column nothing comes back
  EXPECT_FALSE(judged(*imported, {1, 2, 3}).is_attack());
  EXPECT_TRUE(judged(*imported, {1, 2, 3.1}).is_attack());
  std::vector<double> errors;
  for (int i = 0; i <= 100; ++i) errors.push_back(i);
  const auto by_errors =
      import_parts({{"ae.pth", artefact}, {"features", names}, {"all_error.pkl", numbers(errors)}}, {});
  ASSERT_TRUE(by_errors) << by_errors.error().message;
  EXPECT_EQ(by_errors->detector.manifest().threshold.value,
            std::nextafter(94.0, std::numeric_limits<double>::infinity()));
}

TEST(Import, WhatIsSavedJudgesTheSame) {
  const TemporaryFolder folder;
  const auto imported =
      import_parts({{"m", isolation()}, {"scaler", scaler(0.1, 0.3)}, {"features", texts({"a", "b"})}}, {});
  ASSERT_TRUE(imported);
  auto manifest = imported->detector.manifest();
  manifest.name = "saved";
  ASSERT_TRUE(detect::Detector::save(manifest, imported->members, folder / "d"));
  const auto again = detect::Detector::load(folder / "d");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_TRUE(again->model().is_wide());
  for (const double x : {0.1, 1.3, 1.3000000001, 7.5}) {
    detect::Verdict verdict;
    again->judge(std::vector<double>{x, 0}, 1, std::span(&verdict, 1));
    EXPECT_EQ(verdict.score, judged(*imported, {x, 0}).score) << x;
  }
}

TEST(Import, FormatsAreKnownByTheirFirstBytes) {
  const auto format = [](std::string_view text) { return format_of(std::as_bytes(std::span(text))); };
  using namespace std::string_view_literals;
  EXPECT_EQ(format("\x80\x04\x95"sv), Format::pickle);
  EXPECT_EQ(format("PK\x03\x04"), Format::zip);
  EXPECT_EQ(format("\x89HDF\r\n\x1a\n"), Format::hdf5);
  EXPECT_EQ(format("{\"learner\":{"), Format::json);
  EXPECT_EQ(format("{\"ts\":1,\"id\":2}\n"), Format::none) << "rows of a table";
  EXPECT_EQ(format("{L\0\0\0\0\0\0\0\x07learner{"sv), Format::ubjson);
  EXPECT_EQ(format("tree\nversion=v4\n"), Format::lightgbm);
  EXPECT_EQ(format("Flow ID, Source IP\n"), Format::none);
  EXPECT_EQ(format(""), Format::none);
  EXPECT_EQ(format("\x1f\x8b\x08\0\0\0\0\0\0\xff"sv), Format::none) << "no pickle in it";
}

TEST(ImportFiles, SettingsOfServicesAreDescribed) {
  const TemporaryFolder folder;
  const auto describe = [&](const std::string& text) {
    const fs::path path = folder.path() / "settings.json";
    std::ofstream(path) << text;
    return *describe_service_file(path);
  };
  EXPECT_THAT(describe(R"({"threshold": 0.5, "feature_columns": [" Source Port", "Flow Duration"]})"),
              ElementsAre(Pair("kind", "settings of a service's models"), Pair("threshold", "0.5"),
                          Pair("features", "2"), Pair("names", "Source Port, Flow Duration")));
  EXPECT_THAT(describe(R"({"version": "2", "models": {"forest": {"file": "forest.pkl"}},
                           "deployment_config": {"ensemble_weights": {"forest": 0.5}}})"),
              ElementsAre(Pair("kind", "settings of a service's models"), Pair("version", "2"),
                          Pair("forest.weight", "0.5"), Pair("forest.file", "forest.pkl")));
  EXPECT_TRUE(describe(R"({"src_ip": "10.0.0.1"})").empty());
}

}  // namespace
}  // namespace nidus::interop
