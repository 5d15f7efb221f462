#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "base/testing.h"
#include "http/server.h"
#include "http/testing_tls.h"

namespace nidus::http {
namespace {

class ServerTlsTest : public testing::Test {
 protected:
  ServerTlsTest() {
    server_identity_.write(folder_ / "server.pem", folder_ / "server.key");
    options_.port = 0;
    options_.threads = 2;
    options_.tls = TlsOptions{folder_ / "server.pem", folder_ / "server.key", {}};
    Route who;
    who.pattern = "/who";
    who.handler = Handler([](const Request& request, Responder responder) {
      Response response;
      response.body = request.peer.encrypted ? request.peer.certificate : "plain";
      responder.send(std::move(response));
    });
    Route echo;
    echo.method = Method::post;
    echo.pattern = "/echo";
    echo.body_bytes_max = 10 << 20;
    echo.handler = Handler([](const Request& request, Responder responder) {
      Response response;
      response.body = request.body;
      responder.send(std::move(response));
    });
    Route stream = echo;
    stream.pattern = "/stream";
    stream.handler = StreamHandler([](const Request&, BodyReader& body, BodyWriter& answer) {
      if (!answer.begin({})) return;
      for (;;) {
        const auto piece = body.read();
        if (!piece) return;
        if (piece->empty()) break;
        if (!answer.write({reinterpret_cast<const char*>(piece->data()), piece->size()})) return;
      }
      EXPECT_TRUE(answer.end());
    });
    routes_ = {who, echo, stream};
  }

  void start() {
    auto started = Server::start(options_, routes_, nullptr, nullptr);
    ASSERT_TRUE(started) << started.error().message;
    server_.emplace(std::move(*started));
  }
  TlsClient client(const Identity* identity = nullptr) { return TlsClient(server_->port(), identity); }

  static std::string get(std::string_view target) {
    return "GET " + std::string(target) + " HTTP/1.1\r\nHost: test\r\n\r\n";
  }
  static std::string post(std::string_view target, const std::string& body) {
    return "POST " + std::string(target) +
           " HTTP/1.1\r\nHost: test\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }

  TemporaryFolder folder_;
  Identity authority_{"our authority"};
  Identity server_identity_{"localhost", &authority_};
  ServerOptions options_;
  std::vector<Route> routes_;
  std::optional<Server> server_;
};

TEST_F(ServerTlsTest, AnswersAreEncrypted) {
  start();
  TlsClient one = client();
  ASSERT_TRUE(one.connected());
  EXPECT_EQ(one.version(), "TLSv1.3");
  const TestAnswer answer = one.ask(get("/who"));
  EXPECT_EQ(answer.body, "");
  EXPECT_EQ(answer.headers.at("strict-transport-security"), "max-age=31536000");
  for (const std::size_t size : {1, 100, 5000, 16384, 100000, 3000000}) {
    std::string body(size, 'x');
    for (std::size_t i = 0; i < size; ++i) body[i] = static_cast<char>('a' + i % 23);
    ASSERT_EQ(one.ask(post("/echo", body)).body, body);
  }
  one.send(get("/who") + post("/echo", "a") + get("/who"));
  EXPECT_EQ(one.receive().status, 200);
  EXPECT_EQ(one.receive().body, "a");
  EXPECT_EQ(one.receive().status, 200);
}

TEST_F(ServerTlsTest, StreamsAreEncrypted) {
  start();
  TlsClient one = client();
  std::string body(100000, 'x');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>('a' + i % 23);
  EXPECT_EQ(one.ask(post("/stream", body)).body, body);
  EXPECT_EQ(one.ask(post("/stream", body)).body, body);
  EXPECT_EQ(one.ask(get("/who")).status, 200);
}

TEST_F(ServerTlsTest, OldVersionsAreRefused) {
  start();
  EXPECT_TRUE(TlsClient(server_->port(), nullptr, TLS1_2_VERSION).connected());
  EXPECT_FALSE(TlsClient(server_->port(), nullptr, TLS1_1_VERSION).connected());
}

TEST_F(ServerTlsTest, WhatIsNotTlsIsNotAnswered) {
  start();
  TestClient plain(server_->port());
  plain.send(get("/who"));
  EXPECT_EQ(plain.receive().status, 0);
  EXPECT_EQ(client().ask(get("/who")).status, 200);
  EXPECT_EQ(server_->counts().malformed, 1u);
}

TEST_F(ServerTlsTest, AHandshakeThatStallsIsCutOff) {
  options_.header_time = std::chrono::milliseconds(300);
  start();
  TestClient silent(server_->port());
  EXPECT_TRUE(silent.is_closed());
  EXPECT_EQ(server_->counts().timed_out, 1u);
}

TEST_F(ServerTlsTest, ClientsShowCertificates) {
  const Identity others("other authority");
  authority_.write(folder_ / "authority.pem", folder_ / "authority.key");
  options_.tls->client_authorities = folder_ / "authority.pem";
  start();
  const Identity sensor("sensor-7", &authority_), stranger("stranger", &others);
  EXPECT_EQ(client(&sensor).ask(get("/who")).body, "sensor-7");
  EXPECT_EQ(client(&stranger).ask(get("/who")).status, 0);
  EXPECT_EQ(client().ask(get("/who")).status, 0);
  // Names that fool readers.
  const Identity nul(std::string("sensor-7"), &authority_);
  X509_NAME* const name = X509_get_subject_name(nul.certificate.get());
  X509_NAME_delete_entry(name, 0);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>("admin\0x"), 7,
                             -1, 0);
  X509_sign(nul.certificate.get(), authority_.key.get(), EVP_sha256());
  EXPECT_EQ(client(&nul).ask(get("/who")).body, "");
}

TEST_F(ServerTlsTest, CertificatesAreRenewedUnderLoadWithoutADroppedConnection) {
  start();
  TlsClient old = client();
  EXPECT_EQ(old.serial(), server_identity_.serial());
  std::atomic<bool> done = false;
  std::atomic<int> answered = 0, failed = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      TlsClient kept = client();
      while (!done) {
        if (t == 0) {
          failed += client().ask(get("/who")).status != 200;  // new connections all the time
        } else {
          failed += kept.ask(get("/who")).status != 200;
        }
        ++answered;
      }
    });
  }
  long last = 0;
  for (int i = 0; i < 30; ++i) {
    const Identity renewed("localhost", &authority_);
    last = renewed.serial();
    renewed.write(folder_ / "server.pem", folder_ / "server.key");
    const auto reloaded = server_->reload_certificates();
    EXPECT_TRUE(reloaded);
    const int before = answered;
    while (answered < before + 3) std::this_thread::yield();
  }
  done = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(client().serial(), last);
  EXPECT_EQ(old.ask(get("/who")).status, 200);
  EXPECT_EQ(old.serial(), server_identity_.serial());
}

TEST_F(ServerTlsTest, AFailedReloadChangesNothing) {
  start();
  const auto error = [&] {
    auto reloaded = server_->reload_certificates();
    EXPECT_FALSE(reloaded);
    EXPECT_EQ(client().serial(), server_identity_.serial());
    return reloaded ? Errc::io : reloaded.error().code;
  };
  Identity("other", &authority_).write(folder_ / "server.pem", folder_ / "unused");  // not the key's
  EXPECT_EQ(error(), Errc::invalid);
  std::ofstream(folder_ / "server.pem") << "-----BEGIN CERTIFICATE-----\nAAAA\n";
  EXPECT_EQ(error(), Errc::corrupt);
  std::filesystem::remove(folder_ / "server.pem");
  EXPECT_EQ(error(), Errc::io);
}

TEST_F(ServerTlsTest, WhatCannotBeLoadedIsSaid) {
  options_.tls->key = folder_ / "missing.key";
  auto started = Server::start(options_, routes_, nullptr, nullptr);
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message, testing::HasSubstr("missing.key"));
}

TEST_F(ServerTlsTest, ADrainEndsEncryptedConnections) {
  start();
  TlsClient one = client();
  EXPECT_EQ(one.ask(get("/who")).status, 200);
  EXPECT_TRUE(server_->stop(std::chrono::seconds(5)));
  EXPECT_TRUE(one.is_closed());
}

}  // namespace
}  // namespace nidus::http
