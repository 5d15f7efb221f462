// Jobs of `nidus serve` outlive it: however it ends, what was acknowledged is judged, once, and answers stay.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "base/file.h"
#include "http/testing.h"
#include "running.h"
#include "serve/testing.h"

namespace nidus::serve {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using Json = nlohmann::json;

class JobsProgramTest : public testing::Test {
 protected:
  void SetUp() override {
    save_ensemble(folder / "pair");
    const auto read = read_file(NIDUS_SOURCE_DIR "/share/sample/sample.pcap");
    ASSERT_TRUE(read);
    capture = *read;
  }
  void start(const std::vector<std::string>& more = {}, const std::string& detector = "pair") {
    nidus.reset();
    std::vector<std::string> words = {"--port",
                                      "0",
                                      "--log-file",
                                      folder / "log",
                                      detector + "=" + (folder / detector).string(),
                                      "--set",
                                      "store.file=" + (folder / "nidus.db").string(),
                                      "--set",
                                      "uploads.folder=" + (folder / "kept").string()};
    words.insert(words.end(), more.begin(), more.end());
    nidus = std::make_unique<Running>(std::move(words));
    port = nidus->port();
    ASSERT_NE(port, 0) << nidus->said();
  }
  void kill() {
    nidus->signal(SIGKILL);
    nidus->wait();
  }
  http::TestAnswer ask(const std::string& method, const std::string& path,
                       const std::string& body = "") const {
    http::TestClient client(port);
    return client.ask(fmt::format(
        "{} {} HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n{}",
        method, path, body.size(), body));
  }
  Json get(const std::string& path) const {
    const auto answer = ask("GET", path);
    EXPECT_EQ(answer.status, 200) << path << answer.body;
    return Json::parse(answer.body, nullptr, false);
  }
  // The id of a job that was acknowledged.
  std::string add() const {
    const auto answer = ask("POST", "/api/v1/jobs?format=csv", capture);
    EXPECT_EQ(answer.status, 202) << answer.body;
    return Json::parse(answer.body, nullptr, false).value("id", "");
  }
  // How it ended.
  Json ended(const std::string& id) const {
    for (int i = 0; i < 1200; ++i) {
      Json job = get("/api/v1/jobs/" + id);
      if (job["state"] != "waiting" && job["state"] != "running") return job;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return {};
  }
  std::string result(const std::string& id) const {
    const auto answer = ask("GET", "/api/v1/jobs/" + id + "/result");
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.body;
  }
  std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(folder / "kept" / "jobs"), fs::directory_iterator()));
  }
  // Attacks that were counted in alerts.
  std::uint64_t counted() const {
    std::uint64_t sum = 0;
    const Json groups = get("/api/v1/alerts?group_by=detector");
    for (const auto& group : groups["groups"]) sum += group["verdicts"].get<std::uint64_t>();
    return sum;
  }

  TemporaryFolder folder;
  std::string capture;
  std::unique_ptr<Running> nidus;
  std::uint16_t port = 0;
};

TEST_F(JobsProgramTest, NoAcknowledgedJobIsLostWhenTheServiceIsKilledAndNoneIsCountedTwice) {
  start();
  const std::string first = add();
  EXPECT_EQ(ended(first)["state"], "done");
  const std::string expected = result(first);
  const std::uint64_t attacks = counted();
  ASSERT_GT(attacks, 4096u);  // more than are written at once

  std::mt19937 random(7);
  std::vector<std::string> ids = {first};
  for (int round = 0; round < 8; ++round) {
    for (int i = 0; i < 2; ++i) ids.push_back(add());
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 200));
    kill();
    start();
    for (const auto& id : ids) {
      const Json job = ended(id);
      ASSERT_EQ(job["state"], "done") << job;
      ASSERT_EQ(result(id), expected);
    }
    ASSERT_EQ(counted(), attacks * ids.size()) << "after round " << round;
  }
  EXPECT_EQ(get("/api/v1/jobs")["jobs"].size(), ids.size());
  EXPECT_EQ(files(), ids.size());  // the answers
}

TEST_F(JobsProgramTest, EndedOnesKeepWhatCameOutAndForgottenOnesAreGone) {
  start();
  const std::string good = add(), gone = add();
  const Json before = ended(good);
  const std::string answer = result(good);
  ended(gone);
  const Json bad = Json::parse(ask("POST", "/api/v1/jobs", "no capture").body);
  const Json failed = ended(bad["id"]);
  EXPECT_EQ(failed["state"], "failed");
  EXPECT_EQ(ask("DELETE", "/api/v1/jobs/" + gone).status, 200);
  ASSERT_TRUE(write_file(folder / "kept" / "jobs" / (gone + ".answer"), "left by nobody"));
  nidus->signal(SIGTERM);
  EXPECT_EQ(nidus->wait(), 0);

  start();
  EXPECT_EQ(ended(good), before);
  EXPECT_EQ(result(good), answer);
  EXPECT_EQ(ended(bad["id"]), failed);
  EXPECT_EQ(ask("GET", "/api/v1/jobs/" + gone).status, 404);
  EXPECT_EQ(files(), 1u);
}

TEST_F(JobsProgramTest, WaitingOnesAreJudgedByTheNextProcessOrSayWhyNot) {
  start();
  std::vector<std::string> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(add());
  nidus->signal(SIGTERM);  // asks nicely, and does not wait for jobs
  EXPECT_EQ(nidus->wait(), 0);
  start();
  for (const auto& id : ids) EXPECT_EQ(ended(id)["state"], "done");

  ids = {add(), add(), add()};
  kill();
  fs::remove(folder / "kept" / "jobs" / (ids[2] + ".capture"));
  save_anomalies(folder / "odd");
  start({}, "odd");
  EXPECT_THAT(ended(ids[2]).value("error", ""), HasSubstr("capture is gone"));
  for (const auto& id : {ids[0], ids[1]}) {
    const Json job = ended(id);
    if (job["state"] == "done") continue;  // before it was killed
    EXPECT_EQ(job["state"], "failed");
    EXPECT_THAT(job.value("error", ""), HasSubstr("not served"));
  }
}

TEST_F(JobsProgramTest, TheRoomForJobsIsLimited) {
  start({"--set", "uploads.jobs_mb=4"});  // the capture has 2.6 MB, its answer about a quarter
  std::vector<std::string> ids;
  for (int i = 0; i < 6; ++i) {
    ids.push_back(add());
    EXPECT_EQ(ended(ids.back())["state"], "done");
  }
  EXPECT_LT(get("/api/v1/jobs")["jobs"].size(), ids.size());
  EXPECT_EQ(ask("GET", "/api/v1/jobs/" + ids.front()).status, 404);
  EXPECT_EQ(ended(ids.back())["state"], "done");
  EXPECT_EQ(files(), get("/api/v1/jobs")["jobs"].size());
}

}  // namespace
}  // namespace nidus::serve
