#include "auth/key_feed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "auth/guard.h"
#include "auth/internal/fetch.h"
#include "auth/scopes.h"
#include "auth/testing.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/testing.h"
#include "http/testing_tls.h"

namespace nidus::auth {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

// Answers each connection with the same bytes, whatever is asked; with none it says nothing until it ends.
class RawServer {
 public:
  explicit RawServer(std::string answer) : answer_(std::move(answer)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 16) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      std::abort();
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  ~RawServer() {
    stop_ = true;
    thread_.join();
    ::close(listener_);
  }
  void answer(std::string text) {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(text);
  }
  std::string url(const std::string& target = "/keys") const {
    return "http://127.0.0.1:" + std::to_string(port_) + target;
  }
  int asked() const { return asked_; }
  std::string request() const {
    const std::lock_guard lock(mutex_);
    return request_;
  }

 private:
  void run() {
    while (!stop_) {
      pollfd file{listener_, POLLIN, 0};
      if (::poll(&file, 1, 10) <= 0) continue;
      const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      char bytes[4096];
      const ssize_t count = ::recv(client, bytes, sizeof bytes, 0);
      std::string answer;
      {
        const std::lock_guard lock(mutex_);
        request_.assign(bytes, static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
        answer = answer_;
      }
      ++asked_;
      while (answer.empty() && !stop_ && ::recv(client, bytes, 1, MSG_DONTWAIT) != 0) {
        std::this_thread::sleep_for(5ms);
      }
      ::send(client, answer.data(), answer.size(), MSG_NOSIGNAL);
      ::close(client);
    }
  }

  int listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::uint16_t port_ = 0;
  mutable std::mutex mutex_;
  std::string answer_, request_;
  std::atomic<int> asked_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

std::string ok(const std::string& body) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

Error url_fault(const std::string& text) {
  const auto url = internal::parse_url(text);
  return url ? Error{Errc::invalid, "none"} : url.error();
}

Result<std::string> fetched(const std::string& text, internal::FetchLimits limits = {}) {
  const auto url = internal::parse_url(text);
  EXPECT_TRUE(url) << text;
  limits.time = std::min<std::chrono::milliseconds>(limits.time, 5s);
  return internal::fetch(*url, limits);
}

TEST(FetchTest, AddressesAreTakenApart) {
  const auto url = internal::parse_url("https://Id.Example:8443/keys?tenant=1");
  ASSERT_TRUE(url);
  EXPECT_TRUE(url->is_secure);
  EXPECT_EQ(url->host, "id.example");
  EXPECT_EQ(url->port, 8443);
  EXPECT_EQ(url->target, "/keys?tenant=1");
  EXPECT_EQ(internal::parse_url("https://id.example")->port, 443);
  EXPECT_EQ(internal::parse_url("https://id.example?x")->target, "/?x");
  EXPECT_EQ(internal::parse_url("http://[::1]:81/")->host, "::1");
  EXPECT_EQ(internal::parse_url("http://localhost/")->port, 80);
}

TEST(FetchTest, InTheClearOnlyToThisMachine) {
  for (const char* text : {"http://id.example/keys", "http://127.0.0.1.evil.example/", "http://[::2]/",
                           "http://localhost.evil.example/"}) {
    EXPECT_THAT(url_fault(text).message, HasSubstr("this machine")) << text;
  }
}

TEST(FetchTest, WhatIsNoAddressIsSaidToBeNone) {
  for (const char* text :
       {"", "keys.json", "ftp://a/", "file:///etc/passwd", "https://", "https:///x", "https://user@host/",
        "https://host:0/", "https://host:65536/", "https://host:x/", "https://host/a b",
        "https://host/a\r\nHost: b", "https://[::1", "https://host/#part", "https://ho%73t/"}) {
    EXPECT_NE(url_fault(text).message, "none") << text;
    EXPECT_EQ(url_fault(text).code, Errc::invalid) << text;
  }
}

TEST(FetchTest, ADocumentIsFetchedHoweverItIsFramed) {
  RawServer server(ok("{}"));
  EXPECT_EQ(*fetched(server.url("/keys?a=b")), "{}");
  EXPECT_THAT(server.request(), HasSubstr("GET /keys?a=b HTTP/1.1\r\nHost: 127.0.0.1:"));
  server.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n");
  EXPECT_EQ(*fetched(server.url()), "{}");
  server.answer("HTTP/1.0 200 OK\r\n\r\n{}");
  EXPECT_EQ(*fetched(server.url()), "{}");
}

TEST(FetchTest, AnswersThatAreNoneAreErrors) {
  RawServer server("");
  const auto code = [&](const std::string& answer) {
    server.answer(answer);
    const auto document = fetched(server.url());
    return document ? Errc::invalid : document.error().code;
  };
  // Not to be followed: whoever can answer for the keys must not choose what we ask for inside our network.
  EXPECT_EQ(code("HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"),
            Errc::unsupported);
  EXPECT_EQ(code("HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n{}"), Errc::unsupported);
  EXPECT_EQ(code("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"), Errc::corrupt);  // cut off
  EXPECT_EQ(code("SSH-2.0-OpenSSH\r\n"), Errc::corrupt);
  EXPECT_EQ(code("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"), Errc::exhausted);
  EXPECT_EQ(code("HTTP/1.1 200 OK\r\n\r\n" + std::string(2 << 20, 'x')), Errc::exhausted);
  EXPECT_EQ(code("HTTP/1.1 200 OK\r\nA: " + std::string(100'000, 'x')), Errc::exhausted);
}

TEST(FetchTest, SilenceEndsAfterTheTimeAndAtAStop) {
  RawServer server("");
  internal::FetchLimits limits;
  limits.time = 50ms;
  const auto began = std::chrono::steady_clock::now();
  EXPECT_THAT(fetched(server.url(), limits).error().message, HasSubstr("in time"));
  EXPECT_LT(std::chrono::steady_clock::now() - began, 3s);
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  ASSERT_EQ(::write(pipe[1], "x", 1), 1);
  limits.time = 1h;
  limits.stop = pipe[0];
  EXPECT_THAT(fetched(server.url(), limits).error().message, HasSubstr("stopped"));
  ::close(pipe[0]);
  ::close(pipe[1]);
}

class TlsFetchTest : public ::testing::Test {
 protected:
  void serve(const http::Identity& identity) {
    identity.write(folder_ / "cert.pem", folder_ / "key.pem");
    http::ServerOptions options;
    options.port = 0;
    options.threads = 1;
    options.tls = http::TlsOptions{folder_ / "cert.pem", folder_ / "key.pem", {}};
    http::Route route;
    route.pattern = "/keys";
    route.handler = [](const http::Request&, http::Responder reply) {
      http::Response response;
      response.body = "{}";
      reply.send(std::move(response));
    };
    std::vector<http::Route> routes;
    routes.push_back(std::move(route));
    auto started = http::Server::start(options, std::move(routes), nullptr, nullptr);
    ASSERT_TRUE(started) << started.error().message;
    server_.emplace(std::move(*started));
    authority_.write(folder_ / "ca.pem", folder_ / "ca-key.pem");
  }
  Result<std::string> ask(const std::string& host, const std::string& authorities) {
    internal::FetchLimits limits;
    if (!authorities.empty()) limits.authorities = folder_ / authorities;
    return fetched("https://" + host + ":" + std::to_string(server_->port()) + "/keys", limits);
  }

  TemporaryFolder folder_;
  http::Identity authority_{"Authority of a test"};
  std::optional<http::Server> server_;
};

TEST_F(TlsFetchTest, TheHostIsWhoItsCertificateSaysAndIsVouchedFor) {
  serve(http::Identity("localhost", &authority_));
  const auto document = ask("localhost", "ca.pem");
  ASSERT_TRUE(document) << document.error().message;
  EXPECT_EQ(*document, "{}");
  // Nobody the system trusts has signed it.
  EXPECT_THAT(ask("localhost", "").error().message, HasSubstr("certificate"));
  // It is that of another host.
  EXPECT_THAT(ask("127.0.0.1", "ca.pem").error().message, HasSubstr("certificate"));
  const http::Identity other("Another authority");
  other.write(folder_ / "other.pem", folder_ / "other-key.pem");
  EXPECT_THAT(ask("localhost", "other.pem").error().message, HasSubstr("certificate"));
  ASSERT_TRUE(write_file(folder_ / "none.pem", "no certificate"));
  EXPECT_EQ(ask("localhost", "none.pem").error().code, Errc::corrupt);
  EXPECT_EQ(ask("localhost", "absent.pem").error().code, Errc::io);
}

TEST_F(TlsFetchTest, AHostWithoutTlsIsNotAsked) {
  RawServer plain(ok("{}"));
  const auto document = fetched("https://127.0.0.1" + plain.url().substr(16));
  ASSERT_FALSE(document);
  EXPECT_EQ(document.error().code, Errc::io);
}

std::string claims(std::int64_t expires_s) {
  return R"({"iss":"https://id.example","aud":"nidus","sub":"ann","scope":"predict","exp":)" +
         std::to_string(expires_s) + "}";
}

class KeyFeedTest : public ::testing::Test {
 protected:
  void start() {
    GuardOptions options;
    options.tokens.emplace();
    options.tokens->issuer = "https://id.example";
    options.tokens->audience = "nidus";
    feed_.url = server_.url();
    options.token_feed = feed_;
    options.token_keys_report = [this](const Error* error) {
      if (error != nullptr) ++failures_;
    };
    auto started = Guard::start(options, nullptr);
    ASSERT_TRUE(started) << started.error().message;
    guard_ = std::move(*started);
  }
  static std::string set_of(const Signer& signer, const std::string& id) {
    return ok(R"({"keys":[)" + signer.jwk(id) + "]}");
  }
  int ask(const Signer& signer, const std::string& id) {
    const std::string token =
        signer.token(R"({"alg":"EdDSA","kid":")" + id + "\"}", claims(now_us() / 1'000'000 + 100));
    const std::string authorization = "Bearer " + token;
    http::Request request;
    request.headers.emplace_back("Authorization", authorization);
    http::Route route;
    route.scopes = kPredict;
    const auto refusal = (*guard_)(request, route);
    return refusal ? refusal->status : 200;
  }
  // Until it is let in, as somebody does who tries again.
  bool is_let_in_soon(const Signer& signer, const std::string& id) {
    for (int i = 0; i < 500; ++i) {
      if (ask(signer, id) == 200) return true;
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }

  const Signer first_ = Signer::ed25519(), second_ = Signer::ed25519();
  RawServer server_{set_of(first_, "a")};
  KeyFeedOptions feed_;
  std::atomic<int> failures_{0};
  std::unique_ptr<Guard> guard_;
};

TEST_F(KeyFeedTest, TokensAreGoodFromTheStart) {
  start();
  EXPECT_EQ(ask(first_, "a"), 200);
  EXPECT_EQ(ask(second_, "a"), 401);
  EXPECT_EQ(server_.asked(), 1);
  EXPECT_TRUE(guard_->is_required());
}

TEST_F(KeyFeedTest, AKeyOfAnUnknownNameIsLookedFor) {
  feed_.at_least = 1ms;
  start();
  server_.answer(set_of(second_, "b"));
  EXPECT_EQ(ask(first_, "a"), 200);
  EXPECT_EQ(server_.asked(), 1);
  EXPECT_TRUE(is_let_in_soon(second_, "b"));
  EXPECT_EQ(ask(first_, "a"), 401);  // no longer in the set
}

TEST_F(KeyFeedTest, AFloodOfUnknownNamesIsOneLook) {
  feed_.at_least = 1h;
  start();
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(ask(second_, std::to_string(i)), 401);
  std::this_thread::sleep_for(50ms);
  EXPECT_EQ(server_.asked(), 1);
  // Whoever says so himself need not wait.
  EXPECT_TRUE(guard_->reload());
  EXPECT_EQ(server_.asked(), 2);
}

TEST_F(KeyFeedTest, ItIsLookedNowAndThen) {
  feed_.every = 20ms;
  start();
  server_.answer(set_of(second_, "b"));
  for (int i = 0; i < 500 && server_.asked() < 3; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_GE(server_.asked(), 3);
  EXPECT_EQ(ask(second_, "b"), 200);
}

TEST_F(KeyFeedTest, KeysStayWhenALookFails) {
  start();
  for (const std::string& answer :
       {std::string("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"), ok(""), ok(R"({"keys":[]})"),
        ok("<html>"), ok(R"({"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]})")}) {
    server_.answer(answer);
    EXPECT_FALSE(guard_->reload()) << answer;
    EXPECT_EQ(ask(first_, "a"), 200) << answer;
  }
  EXPECT_EQ(guard_->token_feed()->failures, 5u);
  EXPECT_GE(guard_->token_feed()->good_age_s, 0);
}

TEST_F(KeyFeedTest, AStartWithoutAnAnswerLetsNobodyInUntilThereIsOne) {
  feed_.at_least = 1ms;
  server_.answer("HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n");
  start();
  EXPECT_EQ(ask(first_, "a"), 401);
  EXPECT_LT(guard_->token_feed()->good_age_s, 0);
  server_.answer(set_of(first_, "a"));
  EXPECT_TRUE(is_let_in_soon(first_, "a"));
  EXPECT_GE(failures_, 1);
}

TEST_F(KeyFeedTest, WhoAnswersNothingHoldsUpNobody) {
  feed_.at_least = 1ms;
  start();
  server_.answer("");
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(ask(second_, "b"), 401);  // begins a look that takes ten seconds
  for (int i = 0; i < 500 && server_.asked() < 2; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_EQ(server_.asked(), 2);
  EXPECT_EQ(ask(first_, "a"), 200);
  guard_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - began, 8s);
}

TEST(KeyFeedOptionsTest, MakeSense) {
  KeyFeedOptions options;
  options.url = "http://id.example/keys";
  EXPECT_EQ(KeyFeed::check(options).error().code, Errc::invalid);
  options.url = "https://id.example/keys";
  EXPECT_TRUE(KeyFeed::check(options));
  options.authorities = "/nowhere/ca.pem";
  EXPECT_EQ(KeyFeed::check(options).error().code, Errc::io);
}

}  // namespace
}  // namespace nidus::auth
