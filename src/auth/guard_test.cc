#include "auth/guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "auth/api_key.h"
#include "auth/scopes.h"
#include "auth/testing.h"
#include "base/file.h"
#include "base/testing.h"

namespace nidus::auth {
namespace {

std::int64_t now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

class GuardTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto opened = store::Store::open(folder_ / "store.db");
    ASSERT_TRUE(opened) << opened.error().message;
    store_ = std::make_unique<store::Store>(std::move(*opened));
  }
  void start() {
    auto started = Guard::start(options_, store_.get());
    ASSERT_TRUE(started) << started.error().message;
    guard_ = std::move(*started);
  }
  std::string key(std::uint32_t scopes, std::optional<std::int64_t> expires_us = {}) {
    auto issued = issue_key("test", scopes, now_us() - 1000, expires_us);
    EXPECT_TRUE(store_->write({store::NewKey{issued->record}}));
    last_id_ = issued->record.id;
    return issued->text;
  }
  // The status of a request: 200 if it is let in.
  int ask(std::uint32_t scopes, const std::string& bearer = "", double cost = 1) {
    if (!guard_) start();
    const std::string authorization = "Bearer " + bearer;
    http::Request request;
    request.id = "r1";
    request.peer = peer_;
    request.headers.emplace_back("Host", host_);
    if (!bearer.empty()) request.headers.emplace_back("Authorization", authorization);
    if (!origin_.empty()) request.headers.emplace_back("Origin", origin_);
    http::Route route;
    route.scopes = scopes;
    route.cost = cost;
    auto refusal = (*guard_)(request, route);
    caller_ = request.caller;
    refusal_ = refusal.value_or(http::Response{});
    return refusal ? refusal->status : 200;
  }
  std::string header(std::string_view name) const {
    for (const auto& [key, value] : refusal_.headers) {
      if (key == name) return value;
    }
    return "";
  }
  static http::Peer from(std::array<std::uint8_t, 16> address) {
    http::Peer peer;
    peer.address = address;
    return peer;
  }
  static constexpr std::array<std::uint8_t, 16> kHere = {0, 0, 0,    0,    0,   0, 0, 0,
                                                         0, 0, 0xff, 0xff, 127, 0, 0, 1};
  static constexpr std::array<std::uint8_t, 16> kThere = {0, 0, 0,    0,    0,   0, 0, 0,
                                                          0, 0, 0xff, 0xff, 192, 0, 2, 1};

  TemporaryFolder folder_;
  std::unique_ptr<store::Store> store_;
  GuardOptions options_;
  std::unique_ptr<Guard> guard_;
  http::Peer peer_ = from(kHere);
  std::string host_ = "localhost:8080", origin_, last_id_;
  http::Caller caller_;
  http::Response refusal_;
};

TEST_F(GuardTest, WithoutKeysThisMachineMayDoAllAndOthersMayNotRule) {
  EXPECT_EQ(ask(kAdmin), 200);
  EXPECT_EQ(ask(kPredict), 200);
  peer_ = from(kThere);
  EXPECT_EQ(ask(kPredict), 200);
  EXPECT_EQ(ask(kAdmin), 403);
}

TEST_F(GuardTest, AWebPageOfElsewhereMayNotRuleThisMachine) {
  host_ = "rebound.example:8080";
  EXPECT_EQ(ask(kAdmin), 403);
  host_ = "127.0.0.1.evil.example";
  EXPECT_EQ(ask(kAdmin), 403);
  host_ = "127.0.0.1:8080";
  EXPECT_EQ(ask(kAdmin), 200);
  host_ = "[::1]:8080";
  EXPECT_EQ(ask(kAdmin), 200);
  origin_ = "https://evil.example";
  EXPECT_EQ(ask(kAdmin), 403);
}

TEST_F(GuardTest, AKeyMayDoWhatItsScopesSay) {
  const auto text = key(kPredict | kAlerts);
  EXPECT_EQ(ask(kPredict, text), 200);
  EXPECT_EQ(caller_.name, "key:" + last_id_);
  EXPECT_EQ(ask(kPredict | kAlerts, text), 200);
  EXPECT_EQ(ask(kUpload, text), 403);
  EXPECT_THAT(header("WWW-Authenticate"), ::testing::HasSubstr("insufficient_scope"));
  EXPECT_EQ(ask(kPredict | kAdmin, text), 403);
  EXPECT_EQ(ask(kNoScope), 200);
}

TEST_F(GuardTest, OnceThereIsAKeyEverybodyNeedsOne) {
  key(kPredict);
  EXPECT_EQ(ask(kPredict), 401);
  EXPECT_EQ(header("WWW-Authenticate"), "Bearer realm=\"nidus\"");
  EXPECT_TRUE(guard_->is_required());
}

TEST_F(GuardTest, WhatIsNotGoodIsRefusedEvenWhereNothingIsNeeded) {
  const auto text = key(kPredict);
  std::string wrong = text;
  wrong.back() = wrong.back() == 'A' ? 'E' : 'A';
  EXPECT_EQ(ask(kPredict, wrong), 401);
  EXPECT_EQ(ask(kNoScope, wrong), 401);
  EXPECT_EQ(ask(kPredict, "something"), 401);
  EXPECT_EQ(guard_->counts().unauthenticated, 3u);
}

TEST_F(GuardTest, KeysExpire) {
  const auto text = key(kPredict, now_us() - 1);
  EXPECT_EQ(ask(kPredict, text), 401);
}

TEST_F(GuardTest, ChangesOfKeysAreSeenWithinASecondOrTwo) {
  start();
  EXPECT_FALSE(guard_->is_required());
  const auto text = key(kPredict);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!guard_->is_required() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  EXPECT_EQ(ask(kPredict, text), 200);
  ASSERT_TRUE(store_->write({store::RevokeKey{last_id_, now_us()}}));
  ASSERT_TRUE(guard_->reload());
  EXPECT_EQ(ask(kPredict, text), 401);
  // The last key was revoked: that opens no door.
  EXPECT_EQ(ask(kPredict), 401);
}

TEST_F(GuardTest, TheUseOfAKeyIsNoted) {
  const auto text = key(kPredict);
  EXPECT_EQ(ask(kPredict, text), 200);
  EXPECT_EQ(ask(kPredict, text), 200);
  guard_.reset();
  // A write that is acknowledged comes after those before it.
  ASSERT_TRUE(store_->write({store::RevokeKey{"none", 0}}));
  EXPECT_TRUE(store_->keys()->at(0).used_us);
}

TEST_F(GuardTest, TwoKeysLiveWhileOneIsRotated) {
  const auto old = key(kPredict);
  auto next = rotate_key(store_->keys()->at(0), now_us());
  ASSERT_TRUE(store_->write({store::NewKey{next->record}}));
  EXPECT_EQ(ask(kPredict, old), 200);
  EXPECT_EQ(ask(kPredict, next->text), 200);
}

TEST_F(GuardTest, TokensAreTaken) {
  const auto signer = Signer::ed25519();
  options_.tokens.emplace();
  options_.tokens->keys = folder_ / "keys.pem";
  options_.tokens->issuer = "i";
  options_.tokens->audience = "a";
  ASSERT_TRUE(write_file(options_.tokens->keys, signer.pem()));
  const auto expires = std::to_string(now_us() / 1'000'000 + 60);
  const auto token =
      signer.token(R"({"iss":"i","aud":"a","sub":"ann","scope":"predict","exp":)" + expires + "}");
  EXPECT_EQ(ask(kPredict, token), 200);
  EXPECT_EQ(caller_.name, "token:ann");
  EXPECT_EQ(ask(kAdmin, token), 403);
  EXPECT_EQ(ask(kPredict), 401);
  EXPECT_EQ(ask(kPredict, token + "A"), 401);
  // Keys that cannot be read leave those before.
  ASSERT_TRUE(write_file(options_.tokens->keys, "rubbish"));
  EXPECT_FALSE(guard_->reload());
  EXPECT_EQ(ask(kPredict, token), 200);
}

TEST_F(GuardTest, AClientCertificateIsAName) {
  options_.client_certificates = true;
  options_.certificate_scopes = kPredict;
  EXPECT_EQ(ask(kPredict), 401);
  peer_.certificate = "sensor-1";
  EXPECT_EQ(ask(kPredict), 200);
  EXPECT_EQ(caller_.name, "certificate:sensor-1");
  EXPECT_EQ(ask(kAdmin), 403);
}

TEST_F(GuardTest, RequiredMeansRequired) {
  options_.required = Requirement::always;
  EXPECT_EQ(ask(kPredict), 401);
  EXPECT_EQ(ask(kNoScope), 200);
}

TEST_F(GuardTest, WhoAsksTooMuchIsToldWhenToComeAgain) {
  options_.per_second = 0.01;
  options_.burst = 10;
  const auto text = key(kPredict), other = key(kPredict);
  EXPECT_EQ(ask(kPredict, text, 8), 200);
  EXPECT_EQ(ask(kPredict, text, 8), 429);
  EXPECT_NEAR(std::stoi(header("Retry-After")), 600, 2);
  EXPECT_EQ(header("RateLimit-Policy"), "\"default\";q=10;w=1000");
  EXPECT_THAT(header("RateLimit"), ::testing::StartsWith("\"default\";r=2;t="));
  EXPECT_EQ(ask(kPredict, other, 8), 200);
  EXPECT_EQ(guard_->counts().limited, 1u);
}

TEST_F(GuardTest, AnAddressIsLimitedAndInIpv6ItsNetwork) {
  options_.address_per_second = 0.01;
  options_.address_burst = 10;
  peer_ = from({0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 1, 1});
  EXPECT_EQ(ask(kPredict, "", 8), 200);
  peer_ = from({0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 1, 2});
  EXPECT_EQ(ask(kPredict, "", 8), 429);
  peer_ = from({0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 2, 2});
  EXPECT_EQ(ask(kPredict, "", 8), 200);
}

TEST_F(GuardTest, GuessingIsDear) {
  options_.address_per_second = 0.01;
  options_.address_burst = 120;
  key(kPredict);
  EXPECT_EQ(ask(kPredict, "guess"), 401);
  EXPECT_EQ(ask(kPredict, "guess"), 401);
  EXPECT_EQ(ask(kPredict, "guess"), 429);
}

}  // namespace
}  // namespace nidus::auth
