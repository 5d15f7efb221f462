// `nidus serve` as a user and as systemd meet it: it says where it listens, is told to reload and to stop,
// and answers every curl line of docs/api.md.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "base/file.h"
#include "base/text.h"
#include "serve/testing.h"

namespace nidus::serve {
namespace {

using testing::HasSubstr;

// A running `nidus serve`.
class Running {
 public:
  Running(std::vector<std::string> words,
          const std::vector<std::pair<std::string, std::string>>& environment = {}) {
    int pipe[2];
    EXPECT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
    words.insert(words.begin(), {NIDUS_PROGRAM, "serve"});
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    child_ = ::fork();
    if (child_ == 0) {
      ::dup2(pipe[1], STDERR_FILENO);
      ::setenv("XDG_STATE_HOME", state_.path().c_str(), 1);
      for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
      ::execv(NIDUS_PROGRAM, arguments.data());
      ::_exit(127);
    }
    ::close(pipe[1]);
    errors_ = pipe[0];
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
    ::close(errors_);
  }

  // Waits until standard error has said this. False if it ended before, or took longer than half a minute.
  bool says(const std::string& text) {
    while (said_.find(text) == std::string::npos) {
      pollfd file{errors_, POLLIN, 0};
      char bytes[4096];
      if (::poll(&file, 1, 30000) <= 0) return false;
      const ssize_t n = ::read(errors_, bytes, sizeof(bytes));
      if (n <= 0) return false;
      said_.append(bytes, static_cast<std::size_t>(n));
    }
    return true;
  }
  const std::string& said() const { return said_; }

  std::uint16_t port() {
    if (!says("listening on http") || !says("\n")) return 0;
    const auto at = said_.find("listening on http");
    const auto colon = said_.find(':', said_.find("//", at));
    const auto last = said_.substr(colon + 1, said_.find('\n', colon) - colon - 1);
    return static_cast<std::uint16_t>(std::atoi(last.c_str()));
  }

  void signal(int number) const { ::kill(child_, number); }
  int wait() {
    int status = 0;
    ::waitpid(std::exchange(child_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  TemporaryFolder state_;  // what it keeps, unless it is told where
  pid_t child_ = -1;
  int errors_ = -1;
  std::string said_;
};

class ServeProgramTest : public testing::Test {
 protected:
  void SetUp() override {
    save_ensemble(folder / "pair");
    save_anomalies(folder / "odd");
    save_records(folder / "kdd");
  }
  std::vector<std::string> words(std::vector<std::string> more = {}) const {
    std::vector<std::string> out = {"--port", "0", "--log-file", (folder / "log").string()};
    for (const char* name : {"pair", "odd", "kdd"})
      out.push_back(std::string(name) + "=" + (folder / name).string());
    out.insert(out.end(), more.begin(), more.end());
    return out;
  }
  static int status_of(std::uint16_t port, const std::string& path) {
    http::TestClient client(port);
    return client.ask("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n").status;
  }

  TemporaryFolder folder;
};

TEST_F(ServeProgramTest, SaysWhereItListensAndStopsWhenTold) {
  Running nidus(words());
  const auto port = nidus.port();
  ASSERT_NE(port, 0) << nidus.said();
  EXPECT_EQ(status_of(port, "/health"), 200);
  nidus.signal(SIGTERM);
  EXPECT_EQ(nidus.wait(), 0);
}

TEST_F(ServeProgramTest, KeepsAlertsAndUploadsWithoutBeingTold) {
  TemporaryFolder state;
  Running nidus(words(), {{"XDG_STATE_HOME", state.path()}});
  ASSERT_NE(nidus.port(), 0) << nidus.said();
  EXPECT_EQ(status_of(nidus.port(), "/api/v1/alerts"), 200);
  EXPECT_TRUE(std::filesystem::exists(state / "nidus" / "nidus.db"));
}

TEST_F(ServeProgramTest, KeepsNothingIfThatIsWanted) {
  TemporaryFolder state;
  Running nidus(words({"--set", "store.off=true"}), {{"XDG_STATE_HOME", state.path()}});
  ASSERT_NE(nidus.port(), 0) << nidus.said();
  EXPECT_EQ(status_of(nidus.port(), "/api/v1/alerts"), 503);
  EXPECT_FALSE(std::filesystem::exists(state / "nidus"));
}

TEST_F(ServeProgramTest, WithoutAPlaceToKeepAnythingItServesAndSaysSo) {
  ASSERT_TRUE(write_file(folder / "file", "a file, no folder"));
  Running nidus(words(), {{"XDG_STATE_HOME", folder / "file"}});
  ASSERT_NE(nidus.port(), 0) << nidus.said();
  EXPECT_EQ(status_of(nidus.port(), "/health"), 200);
  nidus.signal(SIGTERM);
  EXPECT_EQ(nidus.wait(), 0);  // the log is whole
  EXPECT_THAT(*read_file(folder / "log"), HasSubstr("nothing is kept"));
}

TEST_F(ServeProgramTest, WhatIsUnderWayIsAnsweredBeforeItStops) {
  Running nidus(words({"--set", "server.threads=1"}));
  http::TestClient client(nidus.port());
  const std::string body = R"({"features":[80,1]})";
  client.send(fmt::format(
      "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
      body.size(), body.substr(0, 5)));
  // The request is there when another one, sent later, was answered.
  http::TestClient other(nidus.port());
  other.ask("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
  nidus.signal(SIGTERM);
  ASSERT_TRUE(nidus.says("stopping"));
  client.send(body.substr(5));
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_EQ(nidus.wait(), 0);
}

TEST_F(ServeProgramTest, ReloadsDetectorsWhenToldAndWhenFilesChange) {
  ASSERT_TRUE(write_file(folder / "nidus.toml",
                         "[[detector]]\nname = \"pair\"\npath = \"pair\"\n[server]\nport = 0\n"));
  Running nidus({"--config", (folder / "nidus.toml").string(), "--log-file", (folder / "log").string()});
  const auto port = nidus.port();
  ASSERT_NE(port, 0) << nidus.said();
  const auto version = [&] {
    http::TestClient client(port);
    const auto body = client.ask("GET /api/v1/detectors/pair HTTP/1.1\r\nHost: x\r\n\r\n").body;
    return nlohmann::json::parse(body).value("version", "");
  };
  const std::string first = version();
  const auto wait_for_another = [&](const std::string& than) {
    for (int i = 0; i < 600 && version() == than; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return version() != than;
  };
  save_ensemble(folder / "pair", 0.25f);
  EXPECT_TRUE(wait_for_another(first));
  const std::string second = version();
  // A settings file with a mistake changes nothing; a good one takes over what it names.
  ASSERT_TRUE(write_file(folder / "nidus.toml", "[[detector]]\nname = \"pair\"\npaht = \"pair\"\n"));
  nidus.signal(SIGHUP);
  ASSERT_TRUE(nidus.says("did you mean 'path'?"));
  EXPECT_EQ(version(), second);
  ASSERT_TRUE(write_file(folder / "nidus.toml", "[[detector]]\nname = \"pair\"\npath = \"odd\"\n"));
  nidus.signal(SIGHUP);
  EXPECT_TRUE(wait_for_another(second));
}

TEST_F(ServeProgramTest, TellsSystemdHowItIs) {
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = folder / "notify";
  std::copy(path.begin(), path.end(), address.sun_path);
  ASSERT_EQ(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  const auto heard = [&](const std::string& wanted) {
    for (int i = 0; i < 100; ++i) {
      pollfd file{socket, POLLIN, 0};
      char bytes[4096];
      if (::poll(&file, 1, 30000) <= 0) return false;
      const ssize_t n = ::recv(socket, bytes, sizeof(bytes), 0);
      if (n > 0 && std::string(bytes, static_cast<std::size_t>(n)).starts_with(wanted)) return true;
    }
    return false;
  };
  Running nidus(words(), {{"NOTIFY_SOCKET", path}, {"WATCHDOG_USEC", "200000"}});
  EXPECT_TRUE(heard("READY=1"));
  EXPECT_TRUE(heard("WATCHDOG=1"));
  nidus.signal(SIGHUP);
  EXPECT_TRUE(heard("RELOADING=1\nMONOTONIC_USEC="));
  EXPECT_TRUE(heard("READY=1"));
  nidus.signal(SIGTERM);
  EXPECT_TRUE(heard("STOPPING=1"));
  EXPECT_EQ(nidus.wait(), 0);
  ::close(socket);
}

TEST_F(ServeProgramTest, ChecksSettingsWithoutStarting) {
  ASSERT_TRUE(write_file(folder / "good.toml", "[server]\nport = 0\n"));
  ASSERT_TRUE(write_file(folder / "bad.toml", "[server]\nprot = 0\n"));
  Running good({"--config", folder / "good.toml", "--check-config"});
  EXPECT_EQ(good.wait(), 0);
  Running bad({"--config", folder / "bad.toml", "--check-config"});
  EXPECT_TRUE(bad.says("did you mean 'server.port'?"));
  EXPECT_NE(bad.wait(), 0);
  Running sample({"--config", NIDUS_SOURCE_DIR "/share/nidus.toml", "--check-config"});
  EXPECT_EQ(sample.wait(), 0);
}

TEST_F(ServeProgramTest, SaysWhatIsWrongWhenItCannotStart) {
  Running open({"--port", "0", "--address", "0.0.0.0"});
  EXPECT_TRUE(open.says("--insecure"));
  EXPECT_NE(open.wait(), 0);
  Running lost({"--port", "0", "/nowhere/detector"});
  EXPECT_TRUE(lost.says("/nowhere/detector"));
  EXPECT_NE(lost.wait(), 0);
}

TEST_F(ServeProgramTest, EveryCurlLineOfTheDocumentIsAnswered) {
  if (std::system("command -v curl >/dev/null 2>&1") != 0) GTEST_SKIP() << "there is no curl";
  Running nidus(words());
  const auto port = nidus.port();
  ASSERT_NE(port, 0) << nidus.said();
  // A second version, which the lines about versions name.
  const auto detector = [&] {
    http::TestClient client(port);
    return nlohmann::json::parse(client.ask("GET /api/v1/detectors/pair HTTP/1.1\r\nHost: x\r\n\r\n").body);
  };
  const std::string first = detector()["version"];
  save_ensemble(folder / "pair", 0.25f);
  for (int i = 0; i < 600 && detector()["version"] == first; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  ASSERT_TRUE(write_file(folder / "records.csv",
                         "duration,protocol_type,service,flag,src_bytes,dst_bytes\n0,tcp,http,SF,1,2\n"));

  const auto text = read_file(NIDUS_SOURCE_DIR "/docs/api.md");
  ASSERT_TRUE(text);
  bool is_shell = false;
  std::size_t lines = 0;
  std::string command;
  for (const auto line : split(*text, '\n')) {
    if (line.starts_with("```")) {
      is_shell = line == "```sh";
      continue;
    }
    if (!is_shell) continue;
    command += line;
    if (command.ends_with('\\')) {
      command.back() = ' ';
      continue;
    }
    const auto at = command.find("curl ");
    if (at == std::string::npos) {
      command.clear();
      continue;
    }
    // The version that is not active now.
    std::string other;
    const auto now = detector();
    for (const auto& version : now["versions"]) {
      if (version["state"] != "active") other = version["version"];
    }
    for (auto place = command.find("0123456789ab"); place != std::string::npos;
         place = command.find("0123456789ab"))
      command.replace(place, 12, other);
    const std::string whole = fmt::format(
        "cd '{}' && u=http://127.0.0.1:{} && {{ {}\n}} >/dev/null 2>curl.txt", folder.path().string(), port,
        std::string(command).insert(at + 5, "-sS --fail-with-body "));
    EXPECT_EQ(std::system(whole.c_str()), 0) << command << "\n" << *read_file(folder / "curl.txt");
    ++lines;
    command.clear();
  }
  EXPECT_GE(lines, 30u);
}

}  // namespace
}  // namespace nidus::serve
