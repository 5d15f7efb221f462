// `nidus serve` as a user and as systemd meet it: it says where it listens, is told to reload and to stop,
// and answers every curl line of the documents.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "base/file.h"
#include "base/text.h"
#include "running.h"
#include "serve/testing.h"

namespace nidus::serve {
namespace {

using testing::HasSubstr;

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
  // Also what contradicts itself only when all is put together.
  ASSERT_TRUE(write_file(folder / "keys.toml",
                         "[auth]\ntoken_keys_url = \"http://id.example/keys\"\ntoken_issuer = \"i\"\n"
                         "token_audience = \"a\"\n"));
  Running keys({"--config", folder / "keys.toml", "--check-config"});
  EXPECT_TRUE(keys.says("others need https://"));
  EXPECT_NE(keys.wait(), 0);
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

// The commands of a document that ask something, each on one line.
std::vector<std::string> curl_lines(const char* document) {
  std::vector<std::string> lines;
  const auto text = read_file(std::string(NIDUS_SOURCE_DIR "/docs/") + document);
  EXPECT_TRUE(text);
  bool is_shell = false;
  std::string command;
  for (const auto line : split(text ? *text : std::string(), '\n')) {
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
    if (command.find("curl ") != std::string::npos) lines.push_back(command);
    command.clear();
  }
  return lines;
}

bool is_curl_there() { return std::system("command -v curl >/dev/null 2>&1") == 0; }

// Whether a line of a document is answered, in `folder` and with these variables of the shell.
testing::AssertionResult is_answered(std::string line, const TemporaryFolder& folder,
                                     const std::string& variables) {
  line.insert(line.find("curl ") + 5, "-sS --fail-with-body ");
  const std::string whole = fmt::format("cd '{}' && {} && {{ {}\n}} >answer.txt 2>curl.txt",
                                        folder.path().string(), variables, line);
  if (std::system(whole.c_str()) == 0) return testing::AssertionSuccess();
  return testing::AssertionFailure() << line << "\n"
                                     << *read_file(folder / "curl.txt") << *read_file(folder / "answer.txt");
}

TEST_F(ServeProgramTest, EveryCurlLineOfTheApiIsAnswered) {
  if (!is_curl_there()) GTEST_SKIP() << "there is no curl";
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
  const auto lines = curl_lines("api.md");
  EXPECT_GE(lines.size(), 30u);
  for (auto line : lines) {
    // The version that is not active now.
    std::string other;
    const auto now = detector();
    for (const auto& version : now["versions"]) {
      if (version["state"] != "active") other = version["version"];
    }
    for (auto place = line.find("0123456789ab"); place != std::string::npos;
         place = line.find("0123456789ab"))
      line.replace(place, 12, other);
    EXPECT_TRUE(is_answered(line, folder, fmt::format("u=http://127.0.0.1:{}", port)));
  }
}

// What the lines about captures, detectors and alerts take for granted.
class DocumentsTest : public ServeProgramTest {
 protected:
  void SetUp() override {
    ServeProgramTest::SetUp();
    std::filesystem::create_directory_symlink(NIDUS_SOURCE_DIR "/share", folder / "share");
    std::filesystem::copy_file(NIDUS_SOURCE_DIR "/tests/interop/lightgbm/4.7.0-binary/model.txt",
                               folder / "model.txt");
    const auto capture = read_file(NIDUS_SOURCE_DIR "/share/sample/sample.pcap");
    ASSERT_TRUE(capture);
    ASSERT_TRUE(write_file(folder / "small.pcap", capture->substr(0, 20'000)));
    store = (folder / "nidus.db").string();
  }
  std::vector<std::string> with_store() const {
    return words({"--set", "store.file=" + store, "--set", "uploads.folder=" + (folder / "kept").string()});
  }
  // What a command prints.
  std::string output(const std::string& command) const {
    const std::string whole = fmt::format("cd '{}' && {} >said.txt 2>&1", folder.path().string(), command);
    EXPECT_EQ(std::system(whole.c_str()), 0) << command << *read_file(folder / "said.txt");
    return *read_file(folder / "said.txt");
  }
  // A new key and its id.
  std::pair<std::string, std::string> key(const std::string& scopes) const {
    const std::string said =
        output(fmt::format("{} keys create test --scopes {} --store {}", NIDUS_PROGRAM, scopes, store));
    const auto at = said.find("nidus_live_");
    EXPECT_NE(at, std::string::npos) << said;
    const auto text = said.substr(at, said.find_first_of(" \n", at) - at);
    const auto listed =
        nlohmann::json::parse(output(fmt::format("{} keys list --json --store {}", NIDUS_PROGRAM, store)));
    const auto& keys = listed.is_array() ? listed : listed["keys"];
    for (const auto& one : keys) {
      const std::string id = one["id"];
      if (text.find(id) != std::string::npos) return {text, id};
    }
    ADD_FAILURE() << listed;
    return {};
  }

  std::string store;
};

TEST_F(DocumentsTest, EveryCurlLineAboutCapturesIsAnswered) {
  if (!is_curl_there()) GTEST_SKIP() << "there is no curl";
  Running nidus(with_store());
  const auto port = nidus.port();
  ASSERT_NE(port, 0) << nidus.said();
  const std::string url = fmt::format("http://127.0.0.1:{}", port);
  std::string id;
  const auto lines = curl_lines("api-captures.md");
  EXPECT_GE(lines.size(), 12u);
  for (const auto& line : lines) {
    if (line.find("$id/result") != std::string::npos) {
      for (int i = 0; i < 600; ++i) {
        if (output(fmt::format("curl -s {}/api/v1/jobs/{}", url, id)).find("\"done\"") != std::string::npos)
          break;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
      }
    }
    EXPECT_TRUE(is_answered(line, folder, fmt::format("u={} id={}", url, id)));
    if (line.find("/api/v1/jobs?") != std::string::npos)
      id = nlohmann::json::parse(*read_file(folder / "answer.txt"))["id"];
  }
}

TEST_F(DocumentsTest, EveryCurlLineAboutAlertsIsAnswered) {
  if (!is_curl_there()) GTEST_SKIP() << "there is no curl";
  Running nidus(with_store());
  const auto port = nidus.port();
  ASSERT_NE(port, 0) << nidus.said();
  const std::string url = fmt::format("http://127.0.0.1:{}", port);
  output(fmt::format("curl -s --fail -F file=@share/sample/sample.pcap {}/detect/ml", url));
  // As soon as there is a key, whoever asks needs one.
  std::pair<std::string, std::string> admin, other;
  const auto lines = curl_lines("alerts.md");
  EXPECT_GE(lines.size(), 12u);
  for (const auto& line : lines) {
    if (line.find("$key") != std::string::npos && admin.first.empty()) {
      admin = key("admin,alerts,predict,upload");
      other = key("predict");
      for (int i = 0; i < 600; ++i) {
        if (is_answered("curl $u/api/v1/keys -H \"Authorization: Bearer $key\"", folder,
                        fmt::format("u={} key={}", url, admin.first)))
          break;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
      }
    }
    EXPECT_TRUE(is_answered(line, folder, fmt::format("u={} key={} id={}", url, admin.first, other.second)));
  }
}

}  // namespace
}  // namespace nidus::serve
