#include "serve/deployment.h"

#include <gmock/gmock.h>

#include "base/file.h"
#include "serve/detectors.h"
#include "serve/testing.h"

namespace nidus::serve {
namespace {

using testing::HasSubstr;

TEST(DeploymentTest, IsReadAsItWasWritten) {
  Deployment deployment;
  deployment.detectors.push_back({"pair",
                                  "aaa",
                                  {{"bbb", "detectors/x"}, {"ccc", "/elsewhere/\"quoted\""}},
                                  "bbb",
                                  "aaa",
                                  "ccc",
                                  "",
                                  12.5});
  deployment.detectors.push_back({"other", "", {{"ddd", "detectors/y"}}, "ddd", "", "", "", 0});
  const auto again = parse_deployment(to_json(deployment));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, deployment);
}

TEST(DeploymentTest, WhatIsNotOneIsRefused) {
  EXPECT_EQ(parse_deployment("").error().code, Errc::corrupt);
  EXPECT_EQ(parse_deployment("[]").error().code, Errc::corrupt);
  EXPECT_EQ(parse_deployment(R"({"format":1,"detectors":[{"name":"a"}]})").error().code, Errc::corrupt);
  EXPECT_EQ(parse_deployment(R"({"format":1,"detectors":[{"name":3,"active":"b"}]})").error().code,
            Errc::corrupt);
  EXPECT_EQ(parse_deployment(R"({"format":9,"detectors":[]})").error().code, Errc::unsupported);
  const std::string whole = to_json({{{"pair", "aaa", {{"bbb", "x"}}, "bbb", "", "", "", 0}}});
  for (std::size_t i = 0; i + 1 < whole.size(); ++i) EXPECT_FALSE(parse_deployment(whole.substr(0, i))) << i;
}

// A service that is started again and again.
class RestartTest : public testing::Test {
 protected:
  void SetUp() override {
    save_ensemble(folder / "pair");
    settings.detector_list.push_back({.name = "pair", .path = folder / "pair"});
    start();
  }

  void start() {
    detectors.reset();
    metrics = std::make_unique<Metrics>();
    log = std::move(*Log::open({.file = folder / "log"}));
    detectors = std::make_unique<Detectors>(*metrics, *log);
    const auto loaded = detectors->reload(settings);
    ASSERT_TRUE(loaded) << loaded.error().message;
    const auto kept = detectors->keep_in(file);
    ASSERT_TRUE(kept) << kept.error().message;
  }

  // As an upload does it.
  std::string upload(const std::string& name, float high) {
    const auto at = folder / "state" / "detectors" / std::to_string(++uploads);
    save_ensemble(at, 0.125f, high, name);
    auto added = detectors->add({.name = name, .path = at});
    EXPECT_TRUE(added) << added.error().message;
    return added ? *added : "";
  }

  std::shared_ptr<const Served> served(const std::string& name) const {
    return detectors->state()->find(name);
  }

  TemporaryFolder folder;
  std::filesystem::path file = folder / "state" / "deployment.json";
  int uploads = 0;
  Settings settings;
  std::unique_ptr<Metrics> metrics;
  std::unique_ptr<Log> log;
  std::unique_ptr<Detectors> detectors;
};

TEST_F(RestartTest, WhatWasUploadedAndActivatedServesAgain) {
  const std::string first = served("pair")->active->version(), second = upload("pair", 0.625f),
                    third = upload("pair", 0.75f);
  const std::string other = upload("other", 0.5f);
  ASSERT_TRUE(detectors->activate("pair", second));
  ASSERT_TRUE(detectors->set_canary("pair", third, 20));
  ASSERT_TRUE(detectors->set_shadow("pair", first));
  start();
  EXPECT_EQ(served("pair")->active->version(), second);
  EXPECT_EQ(served("pair")->previous->version(), first);
  EXPECT_EQ(served("pair")->canary->version(), third);
  EXPECT_EQ(served("pair")->canary_percent, 20);
  EXPECT_EQ(served("pair")->shadow->version(), first);
  ASSERT_NE(served("other"), nullptr);
  EXPECT_EQ(served("other")->active->version(), other);
  ASSERT_TRUE(detectors->roll_back("pair"));
  start();
  EXPECT_EQ(served("pair")->active->version(), first);
}

TEST_F(RestartTest, WhatWasUploadedCanBeRemoved) {
  upload("other", 0.5f);
  const auto judging = served("other");
  const auto at = judging->active->path();
  ASSERT_TRUE(std::filesystem::exists(at));
  ASSERT_TRUE(detectors->remove("other"));
  EXPECT_EQ(served("other"), nullptr);
  EXPECT_FALSE(std::filesystem::exists(at));
  EXPECT_GT(judging->active->inputs(), 0u);  // whoever judges by it goes on
  EXPECT_EQ(detectors->remove("other").error().code, Errc::not_found);
  EXPECT_EQ(detectors->remove("pair").error().code, Errc::invalid);
  start();
  EXPECT_EQ(served("other"), nullptr);
  EXPECT_NE(served("pair"), nullptr);
  // A name that is free again may be used for something else.
  upload("other", 0.75f);
  EXPECT_NE(served("other"), nullptr);
}

TEST_F(RestartTest, ReadingSettingsAgainKeepsWhatWasUploaded) {
  const std::string other = upload("other", 0.5f);
  ASSERT_TRUE(detectors->reload(settings));
  ASSERT_NE(served("other"), nullptr);
  EXPECT_EQ(served("other")->active->version(), other);
  settings.detector_list.clear();
  ASSERT_TRUE(detectors->reload(settings));
  EXPECT_EQ(served("pair"), nullptr);
  EXPECT_NE(served("other"), nullptr);
}

TEST_F(RestartTest, FilesOfTheSettingsThatChangedMeanwhileServe) {
  const std::string second = upload("pair", 0.625f);
  ASSERT_TRUE(detectors->activate("pair", second));
  save_ensemble(folder / "pair", 0.125f, 0.8f);
  start();
  EXPECT_NE(served("pair")->active->version(), second);
  EXPECT_EQ(served("pair")->active->path(), folder / "pair");
  ASSERT_TRUE(detectors->activate("pair", second));  // it is still there
}

TEST_F(RestartTest, AVersionWhoseFilesAreGoneOrOthersIsLeftOut) {
  const std::string second = upload("pair", 0.625f), third = upload("pair", 0.75f);
  ASSERT_TRUE(detectors->activate("pair", second));
  std::filesystem::remove_all(folder / "state" / "detectors" / "1");
  save_ensemble(folder / "state" / "detectors" / "2", 0.125f, 0.7f);
  start();
  EXPECT_EQ(served("pair")->active->path(), folder / "pair");
  EXPECT_EQ(served("pair")->versions.size(), 1u);
}

TEST_F(RestartTest, TheFolderMayBeMoved) {
  const std::string second = upload("pair", 0.625f);
  ASSERT_TRUE(detectors->activate("pair", second));
  detectors.reset();
  std::filesystem::rename(folder / "state", folder / "moved");
  file = folder / "moved" / "deployment.json";
  start();
  EXPECT_EQ(served("pair")->active->version(), second);
}

TEST_F(RestartTest, VersionsThatAreLetGoLoseTheirFiles) {
  settings.detectors.versions_max = 3;
  ASSERT_TRUE(detectors->reload(settings));
  for (int i = 1; i <= 8; ++i)
    ASSERT_TRUE(detectors->activate("pair", upload("pair", 0.5f + 0.01f * static_cast<float>(i))));
  std::size_t folders = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator(folder / "state" / "detectors"))
    ++folders;
  EXPECT_LE(folders, 3u);
  EXPECT_TRUE(std::filesystem::exists(folder / "pair"));
}

TEST_F(RestartTest, ADecisionThatCannotBeWrittenDownIsNone) {
  const std::string first = served("pair")->active->version(), second = upload("pair", 0.625f);
  // A folder where the file is to be: renaming onto it fails, for whomever.
  std::filesystem::remove(file);
  std::filesystem::create_directories(file / "in the way");
  EXPECT_EQ(detectors->activate("pair", second).error().code, Errc::io);
  EXPECT_EQ(served("pair")->active->version(), first);
}

TEST_F(RestartTest, AFileThatIsNotOursStaysAsItIs) {
  ASSERT_TRUE(write_file(file, "hello"));
  Metrics others;
  Detectors again(others, *log);
  ASSERT_TRUE(again.reload(settings));
  const auto kept = again.keep_in(file);
  ASSERT_FALSE(kept);
  EXPECT_THAT(kept.error().message, HasSubstr("deployment.json"));
  EXPECT_EQ(*read_file(file), "hello");
}

}  // namespace
}  // namespace nidus::serve
