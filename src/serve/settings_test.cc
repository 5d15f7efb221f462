#include "serve/settings.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/file.h"
#include "base/testing.h"

namespace nidus::serve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string error_of(const std::string& toml) {
  const auto settings = parse_settings(toml);
  return settings ? "" : settings.error().message;
}

TEST(Settings, EachHasADefaultThatIsListed) {
  const auto settings = parse_settings("");
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->server.address, "127.0.0.1");
  EXPECT_EQ(settings->limits.rows_max, 10000u);
  for (const auto& setting : describe_settings()) {
    EXPECT_FALSE(setting.help.empty()) << setting.key;
    EXPECT_TRUE(setting.environment.starts_with("NIDUS_")) << setting.key;
  }
}

TEST(Settings, AreReadFromAFile) {
  const auto settings = parse_settings(R"(
[server]
address = "::1"
port = 9000
idle_s = 2.5
[limits]
upload_mb = 10
[[detector]]
name = "a"
path = "models/a"
threshold = 0.7
[[detector]]
path = "/b.pkl"
features = ["x", "y"]
layers = "linear relu linear"
profile = "cic2018"
[configurations.mine]
random_forest = 1
xgboost = 3.5
)",
                                       "nidus.toml", "/etc/nidus");
  ASSERT_TRUE(settings) << settings.error().message;
  EXPECT_EQ(settings->server.address, "::1");
  EXPECT_EQ(settings->server.port, 9000u);
  EXPECT_EQ(settings->server.idle_s, 2.5);
  EXPECT_EQ(settings->limits.upload_mb, 10u);
  ASSERT_EQ(settings->detector_list.size(), 2u);
  EXPECT_EQ(settings->detector_list[0].path, "/etc/nidus/models/a");
  EXPECT_EQ(settings->detector_list[0].threshold, 0.7);
  EXPECT_EQ(settings->detector_list[1].path, "/b.pkl");
  EXPECT_THAT(settings->detector_list[1].features, ElementsAre("x", "y"));
  EXPECT_EQ(settings->detector_list[1].layers, "linear relu linear");
  EXPECT_EQ(settings->detector_list[1].profile, flow::Profile::cic2018);
  EXPECT_EQ(settings->configurations.at("mine").at("xgboost"), 3.5);
  EXPECT_EQ(settings->configurations.at("trio").at("deep_mlp"), 0.3);
}

TEST(Settings, UnknownKeysAreErrorsWithASuggestion) {
  EXPECT_THAT(error_of("[server]\nprot = 1"),
              HasSubstr("line 2: no setting 'server.prot', did you mean 'server.port'?"));
  EXPECT_THAT(error_of("[sever]\nport = 1"), HasSubstr("no setting 'sever', did you mean 'server'?"));
  EXPECT_THAT(error_of("port = 1"), HasSubstr("no setting 'port'"));
  EXPECT_THAT(error_of("[[detector]]\npaht = \"x\""), HasSubstr("did you mean 'path'?"));
  EXPECT_THAT(error_of("[[detector]]\nname = \"x\""), HasSubstr("needs a path"));
  EXPECT_THAT(error_of("[[detector]]\nprofile = \"x\""), HasSubstr("no profile 'x'"));
}

TEST(Settings, ValuesThatMakeNoSenseAreErrors) {
  EXPECT_THAT(error_of("[server]\nport = 70000"), HasSubstr("from 0 to 65535"));
  EXPECT_THAT(error_of("[server]\nport = -1"), HasSubstr("from 0 to 65535"));
  EXPECT_THAT(error_of("[server]\nport = 1.5"), HasSubstr("whole number"));
  EXPECT_THAT(error_of("[server]\nport = \"80\""), HasSubstr("expected a number"));
  EXPECT_THAT(error_of("[server]\ninsecure = 1"), HasSubstr("true or false"));
  EXPECT_THAT(error_of("[log]\nlevel = \"waring\""), HasSubstr("did you mean 'warning'?"));
  EXPECT_THAT(error_of("[limits]\nrows_max = nan"), HasSubstr("rows_max"));
  EXPECT_THAT(error_of("[configurations.a]\nb = -1"), HasSubstr("expected a weight"));
  EXPECT_THAT(error_of("detector = 1"), HasSubstr("[[detector]]"));
  EXPECT_THAT(error_of("[server\n"), HasSubstr("line 1"));
  EXPECT_THAT(error_of("a = " + std::string(100000, '[')), HasSubstr("line 1"));
}

TEST(Settings, FlagsWinOverEnvironmentOverFileOverDefault) {
  const TemporaryFolder folder;
  std::ofstream(folder / "nidus.toml")
      << "[server]\nport = 1\nthreads = 1\nidle_s = 1\n[[detector]]\npath = \"d\"\n";
  SettingsSources sources;
  sources.file = folder / "nidus.toml";
  sources.environment = {{"NIDUS_SERVER_PORT", "2"}, {"NIDUS_SERVER_THREADS", "2"},
                         {"MAX_UPLOAD_SIZE", "5"},   {"LOG_LEVEL", "WARN"},
                         {"MODEL_PATH", "/m"},       {"NIDUS_LOG_REQUESTS", "yes"}};
  sources.flags = {{"server.port", "3"}};
  const auto settings = load_settings(sources);
  ASSERT_TRUE(settings) << settings.error().message;
  EXPECT_EQ(settings->server.port, 3u);
  EXPECT_EQ(settings->server.threads, 2u);
  EXPECT_EQ(settings->server.idle_s, 1);
  EXPECT_EQ(settings->limits.upload_mb, 5u);
  EXPECT_EQ(settings->log.level, "warning");
  EXPECT_TRUE(settings->log.requests);
  ASSERT_EQ(settings->detector_list.size(), 2u);
  EXPECT_EQ(settings->detector_list[0].path, "/m");
  EXPECT_EQ(settings->detector_list[1].path, folder / "d");
}

TEST(Settings, DetectorsOnTheCommandLineMayHaveNames) {
  SettingsSources sources;
  sources.detectors = {"name=/some/where", "/other/a=b"};
  const auto settings = load_settings(sources);
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->detector_list[0].name, "name");
  EXPECT_EQ(settings->detector_list[0].path, "/some/where");
  EXPECT_EQ(settings->detector_list[1].path, "/other/a=b");
}

TEST(Settings, OtherVariablesOfTheEnvironmentAreNoted) {
  SettingsSources sources;
  sources.environment = {{"NIDUS_SERVER_PROT", "1"}, {"NIDUS_SERVICE_HOST", "10.0.0.1"}};
  const auto settings = load_settings(sources);
  ASSERT_TRUE(settings);  // Kubernetes sets the second where a service is called nidus
  EXPECT_THAT(settings->notes.at(0), HasSubstr("did you mean 'NIDUS_SERVER_PORT'?"));
  sources.environment = {{"NIDUS_SERVER_PORT", "x"}};
  EXPECT_FALSE(load_settings(sources));
}

TEST(Settings, SaysWhichChangesNeedARestart) {
  Settings before, after;
  after.server.port = 1;
  after.log.level = "debug";
  EXPECT_THAT(changed_beyond_reload(before, after), ElementsAre("server.port"));
}

TEST(Settings, AreAllInTheDocument) {
  const auto document = read_file(NIDUS_SOURCE_DIR "/docs/configuration.md");
  ASSERT_TRUE(document);
  for (const auto& setting : describe_settings()) {
    const std::string line = fmt::format("| `{}` | {} | {} | {} |\n", setting.key,
                                         setting.fallback.empty() ? "" : "`" + setting.fallback + "`",
                                         setting.live ? "yes" : "", setting.help);
    EXPECT_THAT(*document, HasSubstr(line));
  }
}

TEST(Settings, AFileThatIsNotThereIsAnError) {
  SettingsSources sources;
  sources.file = "/nowhere/nidus.toml";
  EXPECT_FALSE(load_settings(sources));
}

}  // namespace
}  // namespace nidus::serve
