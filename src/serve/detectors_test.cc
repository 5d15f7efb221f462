#include "serve/detectors.h"

#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <fstream>
#include <thread>

#include "base/file.h"
#include "base/random.h"
#include "serve/judge.h"
#include "serve/testing.h"

namespace nidus::serve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// What is served, without sockets.
class DetectorsTest : public testing::Test {
 protected:
  void SetUp() override {
    log = std::move(*Log::open({.file = folder / "log"}));
    detectors = std::make_unique<Detectors>(metrics, *log);
    settings.detector_list.push_back({.name = "pair", .path = folder / "pair"});
  }

  void load(float high = 0.875f) {
    save_ensemble(folder / "pair", 0.125f, high);
    const auto done = detectors->reload(settings);
    ASSERT_TRUE(done) << done.error().message;
  }

  // A further version that says 0.625 where the first says 0.875 and more, and the version's id.
  std::string add_version(float low = 0.125f, float high = 0.625f) {
    const auto at = folder / "other";
    save_ensemble(at, low, high);
    auto added = detectors->add({.name = "pair", .path = at});
    EXPECT_TRUE(added);
    return added ? *added : "";
  }

  std::shared_ptr<const Served> pair() const { return detectors->state()->find("pair"); }
  double score(std::vector<double> row = {80, 1}) const {
    Scores scores;
    pair()->active->score(std::span<const double>(row), 1, {}, scores);
    return scores.verdicts[0].score;
  }

  TemporaryFolder folder;
  Metrics metrics;
  std::unique_ptr<Log> log;
  Settings settings;
  std::unique_ptr<Detectors> detectors;
};

TEST_F(DetectorsTest, FilesThatChangedAreLoadedAgainAndOthersAreNot) {
  load();
  const auto first = pair()->active;
  ASSERT_TRUE(detectors->reload(settings));
  EXPECT_EQ(pair()->active, first);
  load(0.625f);
  EXPECT_NE(pair()->active->version(), first->version());
  EXPECT_EQ(pair()->previous, first);
  EXPECT_LT(score(), 0.8);
}

TEST_F(DetectorsTest, AFailedLoadChangesNothing) {
  load();
  const auto first = pair()->active;
  ASSERT_TRUE(write_file(folder / "pair" / "xgboost.nidus", "not a model"));
  const auto done = detectors->reload(settings);
  ASSERT_FALSE(done);
  EXPECT_EQ(pair()->active, first);
  EXPECT_THAT(pair()->last_error, HasSubstr("xgboost.nidus"));
  EXPECT_FALSE(detectors->reload("pair"));
  EXPECT_EQ(pair()->active, first);
  EXPECT_EQ(score(), (0.875 + 0.9375) / 2);
  load(0.625f);  // mended
  EXPECT_TRUE(pair()->last_error.empty());
}

TEST_F(DetectorsTest, AVersionWhoseGoldenRowsScoreOtherwiseIsRefused) {
  load();
  auto manifest = *read_file(folder / "pair" / "detector.json");
  const auto at = manifest.find("\"score\": 0.90625");
  ASSERT_NE(at, std::string::npos) << manifest;
  manifest.replace(at, 16, "\"score\": 0.80625");
  ASSERT_TRUE(write_file(folder / "pair" / "detector.json", manifest));
  const auto done = detectors->reload(settings);
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, HasSubstr("golden"));
  EXPECT_EQ(score(), (0.875 + 0.9375) / 2);
}

TEST_F(DetectorsTest, VersionsAreActivatedAndRolledBack) {
  load();
  const std::string first = pair()->active->version(), second = add_version();
  EXPECT_NE(first, second);
  EXPECT_EQ(pair()->active->version(), first);
  ASSERT_TRUE(detectors->activate("pair", second));
  EXPECT_EQ(pair()->active->version(), second);
  ASSERT_TRUE(detectors->roll_back("pair"));
  EXPECT_EQ(pair()->active->version(), first);
  EXPECT_EQ(detectors->activate("pair", "nothing").error().code, Errc::not_found);
  EXPECT_EQ(detectors->activate("nobody", first).error().code, Errc::not_found);
  // What was chosen by hand stays when settings are read again and nothing has changed.
  ASSERT_TRUE(detectors->activate("pair", second));
  ASSERT_TRUE(detectors->reload(settings));
  EXPECT_EQ(pair()->active->version(), second);
}

TEST_F(DetectorsTest, ThereIsNothingToRollBackToAtFirst) {
  load();
  EXPECT_EQ(detectors->roll_back("pair").error().code, Errc::invalid);
}

TEST_F(DetectorsTest, OldVersionsAreLetGo) {
  load();
  std::weak_ptr<const ServedDetector> first = pair()->active;
  for (int i = 1; i <= 20; ++i) {
    const std::string version = add_version(0.01f * static_cast<float>(i));
    ASSERT_TRUE(detectors->activate("pair", version));
  }
  EXPECT_LE(pair()->versions.size(), settings.detectors.versions_max);
  EXPECT_TRUE(first.expired());
}

TEST_F(DetectorsTest, ACanaryJudgesItsShareOfRowsAndAlwaysTheSame) {
  load();
  const std::string second = add_version();
  ASSERT_TRUE(detectors->set_canary("pair", second, 25));
  Judge judge(metrics);
  Random random(5);
  std::vector<double> rows;
  constexpr std::size_t kRows = 4000;
  for (std::size_t i = 0; i < kRows; ++i) {
    rows.push_back(static_cast<double>(5 + random.below(60000)));
    rows.push_back(static_cast<double>(random.below(1000)));
  }
  Wanted wanted;
  wanted.members = true;
  Judged first, again;
  judge.judge(pair(), std::span<const double>(rows), kRows, wanted, first);
  judge.judge(pair(), std::span<const double>(rows), kRows, wanted, again);
  std::size_t canaries = 0;
  for (std::size_t i = 0; i < kRows; ++i) {
    ASSERT_EQ(first.by_canary[i], again.by_canary[i]);
    const double high = first.by_canary[i] != 0 ? 0.625 : 0.875;
    ASSERT_EQ(first.scores.verdicts[i].score, (high + high / 2 + 0.5) / 2) << i;
    ASSERT_EQ(first.scores.outputs[i], first.scores.verdicts[i].score);
    ASSERT_EQ(first.scores.members[2 * i], high) << i;
    ASSERT_EQ(first.scores.members[2 * i + 1], high / 2 + 0.5) << i;
    canaries += first.by_canary[i];
  }
  EXPECT_NEAR(static_cast<double>(canaries), 0.25 * kRows, 0.04 * kRows);
  EXPECT_FALSE(detectors->set_canary("pair", second, 0));
  EXPECT_FALSE(detectors->set_canary("pair", pair()->active->version(), 5));
  ASSERT_TRUE(detectors->set_canary("pair", "", 0));
  EXPECT_EQ(pair()->canary, nullptr);
}

TEST_F(DetectorsTest, AShadowIsCountedAndNotHeard) {
  load();
  ASSERT_TRUE(detectors->set_shadow("pair", add_version(0.75f, 0.25f)));
  {
    Judge judge(metrics);
    Judged judged;
    const std::vector<double> rows = {80, 1, 1, 1, 90, 1};
    judge.judge(pair(), std::span<const double>(rows), 3, {}, judged);
    EXPECT_TRUE(judged.scores.verdicts[0].is_attack());
    EXPECT_FALSE(judged.scores.verdicts[1].is_attack());
  }  // waits for the shadow
  const auto& counts = *pair()->shadow_counts;
  EXPECT_EQ(counts.rows.value(), 3u);
  EXPECT_EQ(counts.raised.value(), 1u);          // 0.75 where 0.125 was said
  EXPECT_EQ(counts.dropped_alarms.value(), 2u);  // (0.25 + 0.625) / 2
  EXPECT_THAT(metrics.text(),
              HasSubstr("nidus_shadow_disagreements_total{detector=\"pair\",kind=\"raised\"} 1\n"));
}

TEST_F(DetectorsTest, MembersAddUpToWhatTheDetectorSays) {
  load();
  Random random(11);
  std::vector<double> rows;
  constexpr std::size_t kRows = 300;
  for (std::size_t i = 0; i < 2 * kRows; ++i) rows.push_back(static_cast<double>(random.below(9)));
  Scores alone, members;
  Wanted wanted;
  wanted.members = true;
  pair()->active->score(std::span<const double>(rows), kRows, {}, alone);
  pair()->active->score(std::span<const double>(rows), kRows, wanted, members);
  EXPECT_EQ(alone.outputs, members.outputs);  // to the last bit
  for (std::size_t i = 0; i < kRows; ++i) EXPECT_EQ(alone.verdicts[i].label, members.verdicts[i].label);
}

TEST_F(DetectorsTest, TwoDetectorsCannotHaveOneName) {
  settings.detector_list.push_back({.name = "pair", .path = folder / "again"});
  save_ensemble(folder / "again");
  save_ensemble(folder / "pair");
  const auto done = detectors->reload(settings);
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, HasSubstr("another detector is called 'pair'"));
  EXPECT_EQ(detectors->state()->all.size(), 1u);
}

TEST_F(DetectorsTest, WhatChangesAtOnceDoesNotGetLost) {
  load();
  const std::string first = pair()->active->version(), second = add_version();
  std::atomic<bool> stop{false};
  std::atomic<int> odd{0}, asked{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      const std::vector<double> row = {80, 1};
      Scores scores;
      while (!stop) {
        const auto served = pair();
        served->active->score(std::span<const double>(row), 1, {}, scores);
        const double expected =
            served->active->version() == first ? (0.875 + 0.9375) / 2 : (0.625 + 0.8125) / 2;
        odd += scores.verdicts[0].score == expected ? 0 : 1;
        ++asked;
      }
    });
  }
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 300; ++i)
        EXPECT_TRUE(detectors->activate("pair", (i + t) % 2 == 0 ? first : second));
    });
  }
  for (std::size_t t = 2; t < 4; ++t) threads[t].join();
  stop = true;
  for (std::size_t t = 0; t < 2; ++t) threads[t].join();
  EXPECT_EQ(odd, 0);
  EXPECT_GT(asked, 0);
  EXPECT_EQ(detectors->state()->generation, 602u);
}

}  // namespace
}  // namespace nidus::serve
