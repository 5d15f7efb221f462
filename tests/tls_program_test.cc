// `nidus serve` over TLS: what its settings promise of certificates, held by a client that speaks TLS itself.
#include <gmock/gmock.h>
#include <signal.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/file.h"
#include "http/testing_tls.h"
#include "running.h"
#include "serve/testing.h"

namespace nidus::serve {
namespace {

using http::Identity;
using http::TlsClient;
using testing::HasSubstr;

constexpr const char* kAsk = "GET /api/v1/detectors HTTP/1.1\r\nHost: localhost\r\n\r\n";

std::string predict() {
  const std::string body = R"({"features":{"dst_port":80,"fwd_pkts":1}})";
  return fmt::format(
      "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
      "{}\r\n\r\n{}",
      body.size(), body);
}

class TlsProgramTest : public testing::Test {
 protected:
  void SetUp() override {
    save_ensemble(folder / "pair");
    server.write(folder / "server.pem", folder / "server.key");
    authority.write(folder / "authority.pem", folder / "authority.key");
  }
  std::vector<std::string> words(const std::vector<std::string>& settings = {}) const {
    std::vector<std::string> out = {"--port", "0", "--log-file", folder / "log",
                                    "pair=" + (folder / "pair").string()};
    for (const std::string& setting : {"server.certificate=" + (folder / "server.pem").string(),
                                       "server.key=" + (folder / "server.key").string()})
      out.insert(out.end(), {"--set", setting});
    for (const auto& setting : settings) out.insert(out.end(), {"--set", setting});
    return out;
  }
  std::string client_authorities() const {
    return "server.client_authorities=" + (folder / "authority.pem").string();
  }

  TemporaryFolder folder;
  const Identity server{"localhost"}, authority{"an authority"};
};

TEST_F(TlsProgramTest, AnswersInTlsAndInNothingElse) {
  Running nidus(words());
  const auto port = nidus.port();
  ASSERT_NE(port, 0) << nidus.said();
  EXPECT_THAT(nidus.said(), HasSubstr("https://"));
  TlsClient client(port);
  ASSERT_TRUE(client.connected());
  EXPECT_EQ(client.serial(), server.serial());
  EXPECT_THAT(client.version(), testing::AnyOf("TLSv1.2", "TLSv1.3"));
  const auto answer = client.ask(predict());
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(nlohmann::json::parse(answer.body)["prediction"], 1);
  EXPECT_FALSE(TlsClient(port, nullptr, TLS1_1_VERSION).connected());
  http::TestClient plain(port);
  EXPECT_NE(plain.ask(kAsk).status, 200);
}

TEST_F(TlsProgramTest, ClientCertificatesAreAskedForAndGiveTheirScopes) {
  Running nidus(words({client_authorities(), "auth.certificate_scopes=predict"}));
  const auto port = nidus.port();
  ASSERT_NE(port, 0) << nidus.said();
  // Nobody, and somebody whom the authority does not know. With TLS 1.3 it shows with the first answer.
  const Identity stranger("sensor");
  for (const Identity* who : {static_cast<const Identity*>(nullptr), &stranger}) {
    TlsClient refused(port, who);
    EXPECT_NE(refused.connected() ? refused.ask(kAsk).status : 0, 200);
  }
  const Identity sensor("sensor", &authority);
  TlsClient known(port, &sensor);
  ASSERT_TRUE(known.connected());
  EXPECT_EQ(known.ask(predict()).status, 200);
  const auto beyond = known.ask(
      "POST /api/v1/detectors/pair/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(beyond.status, 403) << beyond.body;
}

TEST_F(TlsProgramTest, AnotherCertificateIsTakenWithoutDroppingAConnection) {
  Running nidus(words());
  const auto port = nidus.port();
  ASSERT_NE(port, 0) << nidus.said();
  TlsClient before(port);
  ASSERT_EQ(before.ask(kAsk).status, 200);
  // Half a request, whose rest comes after the change.
  const std::string whole = predict();
  TlsClient halfway(port);
  ASSERT_TRUE(halfway.connected());
  halfway.send(whole.substr(0, whole.size() - 10));

  const Identity fresh("localhost");
  fresh.write(folder / "server.pem", folder / "server.key");
  nidus.signal(SIGHUP);
  ASSERT_TRUE(nidus.says("reloaded"));
  EXPECT_THAT(nidus.said(), testing::Not(HasSubstr("not all")));
  TlsClient after(port);
  ASSERT_TRUE(after.connected());
  EXPECT_EQ(after.serial(), fresh.serial());
  EXPECT_EQ(after.ask(kAsk).status, 200);
  EXPECT_EQ(before.ask(kAsk).status, 200);
  halfway.send(whole.substr(whole.size() - 10));
  EXPECT_EQ(halfway.receive().status, 200);

  // One that is none changes nothing.
  ASSERT_TRUE(write_file(folder / "server.pem", "no certificate"));
  nidus.signal(SIGHUP);
  ASSERT_TRUE(nidus.says("not all was reloaded"));
  TlsClient still(port);
  ASSERT_TRUE(still.connected());
  EXPECT_EQ(still.serial(), fresh.serial());
  EXPECT_EQ(before.ask(kAsk).status, 200);
}

}  // namespace
}  // namespace nidus::serve
