#include <gmock/gmock.h>

#include <filesystem>

#include "base/random.h"
#include "detect/baseline.h"
#include "serve/testing.h"

namespace nidus::serve {
namespace {

using testing::HasSubstr;

// A detector that knows ordinary rows: ports 0 to 999, one to nine packets.
void save_described(const std::filesystem::path& folder) {
  detect::Manifest manifest = detect::binary_manifest();
  manifest.name = "described";
  manifest.members = {{"model.nidus", "", 1}};
  Random random(1);
  std::vector<float> rows;
  std::vector<std::size_t> which;
  std::vector<double> scores;
  for (std::size_t i = 0; i < 4000; ++i) {
    const auto port = random.below(1000);
    rows.insert(rows.end(), {static_cast<float>(port), static_cast<float>(1 + random.below(9))});
    which.push_back(i);
    scores.push_back(port <= 4 ? 0.125 : 0.875);
  }
  detect::describe_rows(rows, which, "rows of a test", manifest);
  detect::describe_scores(scores, "scores of a test", manifest);
  const std::vector<std::shared_ptr<const model::Model>> members = {one_split(2, {0.125f}, {0.875f})};
  const auto saved = detect::Detector::save(manifest, members, folder);
  ASSERT_TRUE(saved) << saved.error().message;
}

class DriftRouteTest : public ServiceTest {
 protected:
  void start_described() {
    save_described(folder / "described");
    save_ensemble(folder / "pair");
    for (const char* name : {"described", "pair"}) add(name);
    start();
  }
  // Rows whose ports are moved by so much.
  void send_rows(std::size_t count, std::uint64_t moved) {
    Random random(++sent_);
    std::string lines = "dst_port,fwd_pkts\n";
    for (std::size_t i = 0; i < count; ++i)
      lines += fmt::format("{},{}\n", moved + random.below(1000), 1 + random.below(9));
    ASSERT_EQ(post("/api/v1/predict?detector=described", lines, "text/csv").status, 200);
  }
  std::uint64_t sent_ = 1;
  Json report() { return json(get("/api/v1/drift?detector=described"))["detectors"][0]; }
};

TEST_F(DriftRouteTest, SaysWhetherRowsAreThoseThatTheDetectorKnows) {
  start_described();
  EXPECT_EQ(report()["report"]["verdict"], "too few rows");
  EXPECT_EQ(report()["report"]["rows"], 0);
  for (int i = 0; i < 10; ++i) send_rows(1000, 0);
  const Json same = report();
  EXPECT_EQ(same["detector"], "described");
  EXPECT_EQ(same["problem"], Json());
  EXPECT_EQ(same["report"]["verdict"], "stable");
  EXPECT_GE(same["report"]["rows"], 500);
  // It is measured again after some seconds only, however often it is asked for.
  for (int i = 0; i < 10; ++i) send_rows(1000, 3000);
  EXPECT_EQ(report(), same);
}

TEST_F(DriftRouteTest, RowsThatAreOthersAreTold) {
  start_described();
  for (int i = 0; i < 10; ++i) send_rows(1000, 3000);
  const Json moved = report()["report"];
  EXPECT_EQ(moved["verdict"], "drifted");
  EXPECT_GE(moved["rows"], 500);
  EXPECT_EQ(moved["columns"][0]["name"], "dst_port");
  EXPECT_EQ(moved["columns"][0]["verdict"], "drifted");
  EXPECT_EQ(moved["columns"][0]["outside"], 1);
  EXPECT_EQ(moved["columns"][1]["verdict"], "stable");
  const std::string metrics = get("/metrics").body;
  EXPECT_THAT(metrics, HasSubstr("nidus_drift_verdict{detector=\"described\"} 3"));
  EXPECT_THAT(metrics, HasSubstr("nidus_drift_columns{detector=\"described\",verdict=\"drifted\"} 1"));
  EXPECT_THAT(metrics, HasSubstr("nidus_drift_column_psi{detector=\"described\",column=\"dst_port\"}"));
  EXPECT_THAT(metrics, HasSubstr("nidus_drift_verdict{detector=\"pair\"} 0"));
}

// Asking for the report measures, and what was measured has to reach the gauges without measuring it again.
TEST_F(DriftRouteTest, GaugesAreThereAfterTheReportWasAskedFor) {
  start_described();
  for (int i = 0; i < 10; ++i) send_rows(1000, 0);
  ASSERT_EQ(json(get("/api/v1/drift"))["detectors"].size(), 2u);
  const std::string first = get("/metrics").body;
  EXPECT_THAT(first, HasSubstr("nidus_drift_verdict{detector=\"described\"} 1"));
  EXPECT_THAT(first, HasSubstr("nidus_drift_verdict{detector=\"pair\"} 0"));
  const std::string rows = std::to_string(report()["report"]["rows"].get<int>());
  EXPECT_THAT(first, HasSubstr("nidus_drift_window_rows{detector=\"described\"} " + rows));
}

TEST_F(DriftRouteTest, ADetectorThatKnowsNoRowsSaysSo) {
  start_described();
  const Json all = json(get("/api/v1/drift"));
  ASSERT_EQ(all["detectors"].size(), 2u);
  EXPECT_EQ(all["detectors"][1]["report"], Json());
  EXPECT_THAT(all["detectors"][1]["problem"].get<std::string>(),
              HasSubstr("does not say what ordinary rows"));
  problem(get("/api/v1/drift?detector=nobody"), 404);
  problem(post("/api/v1/drift", "{}"), 405);
}

}  // namespace
}  // namespace nidus::serve
