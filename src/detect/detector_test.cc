#include "detect/detector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>

#include "base/file.h"
#include "base/testing.h"
#include "detect/testing_detector.h"
#include "model/model_file.h"
#include "model/transform.h"

namespace nidus::detect {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class DetectorTest : public testing::Test {
 protected:
  std::string text() const { return *read_file(folder_ / "detector.json"); }

  // What load() says after this change to the manifest.
  std::string complaint(const std::string& from, const std::string& to) {
    std::string json = text();
    const auto at = json.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    if (at != std::string::npos) json.replace(at, from.size(), to);
    std::ofstream(folder_ / "detector.json") << json;
    const auto loaded = Detector::load(folder_);
    return loaded ? "none" : loaded.error().message;
  }

  TemporaryFolder temporary_;
  fs::path folder_ = temporary_ / "detector";
};

TEST_F(DetectorTest, WhatWasSavedIsLoadedAgain) {
  Manifest manifest = binary_manifest();
  manifest.trained_on = {{"a.pcap", "b.pcap"},
                         {{"0.3"}, "chance", "day", 4, true, "label"},
                         {{"benign", 10}, {"attack", 3}},
                         7,
                         "nidus train a.pcap"};
  manifest.figures["validation"] = R"({"roc_auc":0.5})";
  manifest.reference_levels = {0, 0.5, 1};
  manifest.reference = {{1, 2, 3}, {}};
  auto& baseline = manifest.baseline;
  baseline.of = "rows of a test";
  baseline.rows = 40;
  baseline.columns = {{{1, std::numeric_limits<double>::infinity()}, {0.5, 0.25, 0.125}, 0.125},
                      {{}, {1}, 0}};
  baseline.scores_of = "other rows";
  baseline.scores = 8;
  baseline.score = {{0.5}, {0.25, 0.75}, 0};
  baseline.score_quantiles = {0, 0.5, 1};
  manifest.calibration = {"isotonic", "rows kept for it", 100, 30};
  manifest.golden = {
      {{1, 5}, 0, ""},
      {{std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}, 0, ""}};
  ASSERT_TRUE(Detector::save(manifest, {{split_model(0.2F, 0.9F)}}, folder_));

  const auto loaded = Detector::load(folder_);
  ASSERT_TRUE(loaded) << loaded.error().message;
  const Manifest& back = loaded->manifest();
  EXPECT_EQ(back.name, manifest.name);
  EXPECT_EQ(back.schema, manifest.schema);
  EXPECT_EQ(back.labels, manifest.labels);
  EXPECT_EQ(back.threshold.value, manifest.threshold.value);
  EXPECT_EQ(back.trained_on.sources, manifest.trained_on.sources);
  EXPECT_EQ(back.trained_on.hold_out, manifest.trained_on.hold_out);
  EXPECT_EQ(back.trained_on.rows, manifest.trained_on.rows);
  EXPECT_EQ(back.figures, manifest.figures);
  EXPECT_EQ(back.reference, manifest.reference);
  ASSERT_EQ(back.baseline.columns.size(), 2u);
  EXPECT_EQ(back.baseline.columns[0].edges, baseline.columns[0].edges);
  EXPECT_EQ(back.baseline.columns[0].shares, baseline.columns[0].shares);
  EXPECT_EQ(back.baseline.columns[0].missing, 0.125);
  EXPECT_EQ(back.baseline.score.shares, baseline.score.shares);
  EXPECT_EQ(back.baseline.score_quantiles, baseline.score_quantiles);
  EXPECT_EQ(back.calibration.method, "isotonic");
  EXPECT_EQ(back.calibration.attacks, 30u);
  ASSERT_EQ(back.golden.size(), 2u);
  EXPECT_TRUE(std::isnan(back.golden[1].row[0]));
  EXPECT_TRUE(std::isinf(back.golden[1].row[1]));
  ASSERT_TRUE(back.meter);
  EXPECT_EQ(back.meter->profile, flow::Profile::native);
  EXPECT_EQ(back.meter->active_timeout, manifest.meter->active_timeout);
  // And saved once more it is the same file.
  Manifest again = back;
  EXPECT_EQ(to_json(again), text());
}

TEST_F(DetectorTest, AScoreAtTheThresholdIsAnAttack) {
  Manifest manifest = binary_manifest();
  manifest.threshold.value = 0.25;
  const auto detector = Detector::make(manifest, {split_model(0.2F, 0.25F)});
  ASSERT_TRUE(detector);
  const std::vector<float> rows = {1, 0, 9, 0};
  Verdict verdicts[2];
  detector->judge(rows, 2, verdicts);
  EXPECT_FALSE(verdicts[0].is_attack());
  EXPECT_NEAR(verdicts[0].score, 0.2, 1e-7);
  EXPECT_TRUE(verdicts[1].is_attack());
  EXPECT_FALSE(detector->with_threshold(0.3).manifest().threshold.resolvable);
}

TEST_F(DetectorTest, ClassesAreToldApartInTwoStages) {
  // Benign is the most likely class of every row, but the line for attacks is drawn lower.
  const auto detector =
      Detector::make(classes_manifest(0.3), {classes_model({0.6F, 0.1F, 0.3F}, {0.8F, 0.2F, 0})});
  ASSERT_TRUE(detector) << detector.error().message;
  const std::vector<float> rows = {1, 0, 9, 0};
  Verdict verdicts[2];
  detector->judge(rows, 2, verdicts);
  EXPECT_EQ(verdicts[0].label, 2u);
  EXPECT_NEAR(verdicts[0].score, 0.4, 1e-6);
  EXPECT_NEAR(verdicts[0].label_score, 0.3, 1e-6);
  EXPECT_EQ(verdicts[1].label, 0u);
}

TEST_F(DetectorTest, TheMostLikelyLabelWinsWhereTheDetectorSaysSo) {
  Manifest manifest = classes_manifest(0.1);
  manifest.threshold.rule = Manifest::Threshold::Rule::most_likely;
  ASSERT_TRUE(Detector::save(manifest, {{classes_model({0.4F, 0.4F, 0.2F}, {0.3F, 0.3F, 0.4F})}}, folder_));
  const auto detector = Detector::load(folder_);
  ASSERT_TRUE(detector) << detector.error().message;
  Verdict verdicts[2];
  detector->judge(std::vector<float>{1, 0, 9, 0}, 2, verdicts);
  EXPECT_EQ(verdicts[0].label, 0u) << "the first of equals";
  EXPECT_EQ(verdicts[1].label, 2u);
  detector->with_threshold(0.65).judge(std::vector<float>{1, 0, 9, 0}, 2, verdicts);
  EXPECT_EQ(verdicts[0].label, 0u);
  EXPECT_EQ(verdicts[1].label, 2u);
}

// Half a float's step above the threshold of the tree.
TEST_F(DetectorTest, AWideModelSeesWhatFloatsDoNot) {
  model::CutColumn at_one, any;
  at_one.cuts = {0, 1, 2, 3, 4 + 1e-12};
  any.input = 1;
  const auto model = std::make_shared<model::TransformedModel>(
      *model::TransformedModel::make(*model::make_ranks(2, {at_one, any}), split_model(0.2F, 0.9F)));
  const auto detector = Detector::make(binary_manifest(), {model});
  ASSERT_TRUE(detector);
  ASSERT_TRUE(detector->model().is_wide());
  Verdict verdicts[2];
  detector->judge(std::vector<double>{4 + 1e-12, 0, 4 + 2e-12, 0}, 2, verdicts);
  EXPECT_FALSE(verdicts[0].is_attack());
  EXPECT_TRUE(verdicts[1].is_attack());
}

TEST_F(DetectorTest, SeveralMembersAreWeighted) {
  Manifest manifest = binary_manifest();
  manifest.members = {{"a.nidus", "", 3}, {"b.nidus", "", 1}};
  ASSERT_TRUE(Detector::save(manifest, {{split_model(0, 1), split_model(1, 0)}}, folder_));
  const auto loaded = Detector::load(folder_);
  ASSERT_TRUE(loaded) << loaded.error().message;
  Verdict verdict;
  loaded->judge(std::vector<float>{9, 0}, 1, std::span(&verdict, 1));
  EXPECT_NEAR(verdict.score, 0.75, 1e-12);
}

TEST_F(DetectorTest, VerdictsDoNotDependOnTheBatch) {
  const auto detector = Detector::make(binary_manifest(), {split_model(0.2F, 0.9F)});
  ASSERT_TRUE(detector);
  std::vector<float> rows;
  for (int i = 0; i < 3000; ++i) rows.push_back(static_cast<float>(i % 11)), rows.push_back(0);
  std::vector<Verdict> all(3000);
  detector->judge(rows, 3000, all);
  for (std::size_t i = 0; i < 3000; ++i) {
    Verdict one;
    detector->judge(std::span(rows).subspan(2 * i, 2), 1, std::span(&one, 1));
    ASSERT_EQ(one.score, all[i].score) << i;
  }
}

TEST_F(DetectorTest, AChangedModelFileIsRefused) {
  ASSERT_TRUE(Detector::save(binary_manifest(), {{split_model(0.2F, 0.9F)}}, folder_));
  ASSERT_TRUE(model::save_model(folder_ / "model-1.nidus",
                                {binary_manifest().schema, {"benign", "attack"}, split_model(0, 0), ""}));
  const auto loaded = Detector::load(folder_);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, Errc::corrupt);
  EXPECT_THAT(loaded.error().message, HasSubstr("model-1.nidus: another SHA-256"));
}

TEST_F(DetectorTest, AMissingModelFileIsNamed) {
  ASSERT_TRUE(Detector::save(binary_manifest(), {{split_model(0.2F, 0.9F)}}, folder_));
  fs::remove(folder_ / "model-1.nidus");
  const auto loaded = Detector::load(folder_);
  ASSERT_FALSE(loaded);
  EXPECT_THAT(loaded.error().message, HasSubstr("model-1.nidus"));
}

TEST_F(DetectorTest, AFolderWithoutManifestIsNoDetector) {
  fs::create_directories(folder_);
  const auto loaded = Detector::load(folder_);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, Errc::not_found);
  EXPECT_THAT(loaded.error().message, HasSubstr("not a detector"));
}

TEST_F(DetectorTest, AFolderOfSomethingElseIsNotWrittenInto) {
  fs::create_directories(folder_);
  std::ofstream(folder_ / "holiday.jpg") << "x";
  const auto saved = Detector::save(binary_manifest(), {{split_model(0.2F, 0.9F)}}, folder_);
  ASSERT_FALSE(saved);
  EXPECT_THAT(saved.error().message, HasSubstr("holds something else"));
}

TEST_F(DetectorTest, EveryFaultOfTheManifestNamesItsField) {
  Manifest manifest = binary_manifest();
  manifest.golden = {{{1, 5}, 0, ""}};
  struct Case {
    const char *from, *to, *said;
  };
  for (const Case& c : {
           Case{"\"format\": 1", "\"format\": 2", "format: 2 is not 1"},
           Case{"\"kind\": \"binary\"", "\"kind\": \"oracle\"", "kind: 'oracle'"},
           Case{"\"version\": \"1\"", "\"version\": 1", "version: expected a text, found number"},
           Case{"\"value\": 0.5", "\"value\": \"high\"", "threshold.value: expected a number"},
           Case{"\"file\": \"model-1.nidus\"", "\"file\": \"../x.nidus\"",
                "members[0].file: not the name of a file"},
           Case{"\"weight\": 1.0", "\"weight\": -1.0", "members[0].weight"},
           Case{"\"type\": \"number\"", "\"type\": \"colour\"",
                "schema[0].type: expected 'number' or 'category'"},
           Case{"\"profile\": \"native\"", "\"profile\": \"netflow\"", "meter.profile: no profile 'netflow'"},
           Case{"\"active_timeout_us\": 60000000", "\"active_timeout_us\": 61000000", "meter.description"},
           Case{"\"score\": 0.2", "\"score\": 0.7", "golden[0]: scores"},
           Case{"\"labels\": [\n  \"benign\"", "\"labels\": [\n  \"\"", "labels: one is empty"},
           Case{"\"name\": \"dst_port\"", "\"name\": \"fwd_pkts\"",
                "column 0 is 'dst_port', detector.json says 'fwd_pkts'"},
           Case{"\"format\"", "\"format", "not a JSON object"},
       }) {
    ASSERT_TRUE(Detector::save(manifest, {{split_model(0.2F, 0.9F)}}, folder_));
    const std::string said = complaint(c.from, c.to);
    EXPECT_THAT(said, HasSubstr(c.said));
    EXPECT_THAT(said, HasSubstr(folder_.string()));
  }
}

TEST_F(DetectorTest, FaultsOfTheBaselineAndOfWhatIsUnknownNameTheirField) {
  Manifest good = binary_manifest();
  good.members = {{"a.nidus", std::string(64, 'a'), 1}};
  good.reference_levels = {0, 1};
  good.reference = {{1, 2}, {3, 4}};
  good.baseline.of = "a test";
  good.baseline.rows = 10;
  good.baseline.columns = {{{1, 2}, {0.5, 0.25, 0.25}, 0}, {{3}, {0.5, 0.5}, 0}};
  good.unknown = {0.1, "a test", {{20, {0.25, 0.75}}, {0, {}}}};
  ASSERT_TRUE(parse_manifest(to_json(good))) << parse_manifest(to_json(good)).error().message;
  struct Case {
    std::function<void(Manifest&)> spoil;
    const char* said;
  };
  for (const Case& c : {
           Case{[](Manifest& m) {
                  m.baseline.columns[0].edges = {2, 2};
                },
                "histograms[0].edges: do not ascend"},
           Case{[](Manifest& m) { m.baseline.columns[0].shares.pop_back(); },
                "histograms[0].shares: 2 of them"},
           Case{[](Manifest& m) { m.baseline.columns[1].shares[0] = 1.5; }, "a share lies between 0 and 1"},
           Case{[](Manifest& m) { m.baseline.columns.pop_back(); }, "reference.histograms: 1 for 2 columns"},
           Case{[](Manifest& m) { m.unknown.alpha = 1; }, "unknown.alpha"},
           Case{[](Manifest& m) { m.unknown.labels.pop_back(); }, "unknown.labels: 1 for 2 labels"},
           Case{[](Manifest& m) {
                  m.unknown.labels[0].probabilities = {0.9, 0.1};
                },
                "probabilities: not ascending"},
           Case{[](Manifest& m) { m.unknown.labels[1].probabilities = {0.5}; }, "1 probabilities of 0 rows"},
       }) {
    Manifest bad = good;
    c.spoil(bad);
    const auto parsed = parse_manifest(to_json(bad));
    ASSERT_FALSE(parsed) << c.said;
    EXPECT_THAT(parsed.error().message, HasSubstr(c.said));
  }
}

TEST_F(DetectorTest, ARowForWhichNoLabelIsCredibleIsUnknown) {
  // Rows of benign had a probability of 0.6 and more, but for one in twenty; those of dos 0.75. Of scans
  // there were too few to say anything.
  Manifest manifest = classes_manifest(0.5);
  manifest.unknown.alpha = 0.1;
  manifest.unknown.labels.resize(3);
  auto &benign = manifest.unknown.labels[0], &dos = manifest.unknown.labels[1],
       &scan = manifest.unknown.labels[2];
  benign.rows = dos.rows = 20;
  benign.probabilities.assign(20, 0.6);
  benign.probabilities[0] = 0.1;
  dos.probabilities.assign(20, 0.75);
  scan = {3, {0.1, 0.9, 0.9}};
  const auto verdict_on = [&](std::vector<float> probabilities) {
    const auto detector = Detector::make(manifest, {classes_model(probabilities, {0, 0, 1})});
    EXPECT_TRUE(detector);
    Verdict verdict;
    const std::vector<float> row = {1, 0};
    detector->judge(row, 1, std::span(&verdict, 1));
    return verdict;
  };
  EXPECT_FALSE(verdict_on({0.65F, 0.3F, 0.05F}).is_unknown);
  EXPECT_TRUE(verdict_on({0.55F, 0.4F, 0.05F}).is_unknown);
  EXPECT_TRUE(verdict_on({0.3F, 0.65F, 0.05F}).is_unknown);
  EXPECT_EQ(verdict_on({0.3F, 0.65F, 0.05F}).label, 1u);  // the nearest
  EXPECT_FALSE(verdict_on({0.2F, 0.8F, 0}).is_unknown);
  // What cannot be ruled out is credible where it is the most likely, and only there.
  EXPECT_FALSE(verdict_on({0.2F, 0.2F, 0.6F}).is_unknown);
  manifest.unknown.labels.pop_back();
  EXPECT_FALSE(Detector::make(manifest, {classes_model({1, 0, 0}, {0, 0, 1})}));
}

TEST_F(DetectorTest, HostileManifestsAreBounded) {
  EXPECT_EQ(parse_manifest(std::string(100, '[')).error().code, Errc::exhausted);
  EXPECT_EQ(parse_manifest(std::string(Manifest::kBytesMax + 1, ' ')).error().code, Errc::exhausted);
  EXPECT_EQ(parse_manifest("").error().code, Errc::corrupt);
  EXPECT_EQ(parse_manifest("[]").error().code, Errc::corrupt);
  EXPECT_EQ(parse_manifest("{}").error().message, "format: is missing");
  Manifest many = binary_manifest();
  many.members.assign(Manifest::kMembersMax + 1, {"a.nidus", std::string(64, 'a'), 1});
  EXPECT_EQ(parse_manifest(to_json(many)).error().code, Errc::exhausted);
}

}  // namespace
}  // namespace nidus::detect
