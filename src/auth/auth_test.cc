#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "auth/api_key.h"
#include "auth/internal/base64url.h"
#include "auth/rate_limiter.h"
#include "auth/scopes.h"

namespace nidus::auth {
namespace {

using namespace std::chrono_literals;

TEST(ScopesTest, HaveNames) {
  EXPECT_EQ(scope_named("alerts"), kAlerts);
  EXPECT_EQ(scope_named("nidus:admin"), kAdmin);
  EXPECT_FALSE(scope_named("Admin"));
  EXPECT_FALSE(scope_named(""));
  EXPECT_EQ(scopes_text(kAdmin | kPredict), "predict admin");
}

TEST(Base64UrlTest, HasOneTextForEachSequenceOfBytes) {
  using internal::base64url;
  using internal::base64url_decode;
  const std::vector<std::uint8_t> bytes = {0xfb, 0xff, 0xfe, 0x01};
  EXPECT_EQ(base64url(bytes), "-__-AQ");
  EXPECT_EQ(*base64url_decode("-__-AQ"), bytes);
  EXPECT_EQ(base64url_decode("")->size(), 0u);
  EXPECT_FALSE(base64url_decode("-__-AQ=="));
  EXPECT_FALSE(base64url_decode("+//+AQ"));
  EXPECT_FALSE(base64url_decode("-__-AR"));  // a bit that would be dropped
  EXPECT_FALSE(base64url_decode("A"));
  for (std::size_t size = 0; size < 20; ++size) {
    const std::vector<std::uint8_t> some(size, 0x5a);
    EXPECT_EQ(*base64url_decode(base64url(some)), some);
  }
}

TEST(ApiKeyTest, IsShownOnceAndKnownByItsDigest) {
  auto issued = issue_key("sensor", kPredict | kAlerts, 100, 200);
  ASSERT_TRUE(issued);
  const auto text = parse_api_key(issued->text);
  ASSERT_TRUE(text) << issued->text;
  EXPECT_EQ(text->id, issued->record.id);
  EXPECT_TRUE(is_secret_of(issued->record, text->secret));
  EXPECT_EQ(issued->record.digest.find(text->secret), std::string::npos);
  EXPECT_EQ(issued->record.scopes, kPredict | kAlerts);
  std::string other(text->secret);
  other[0] = other[0] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(is_secret_of(issued->record, other));
  EXPECT_NE(issue_key("sensor", 1, 100, {})->text, issued->text);
}

TEST(ApiKeyTest, EveryOtherTextIsNone) {
  const std::string good = issue_key("sensor", 1, 0, {})->text;
  for (std::size_t i = 0; i < good.size(); ++i) {
    EXPECT_FALSE(parse_api_key(good.substr(0, i))) << i;
    std::string changed = good;
    changed[i] = '!';
    EXPECT_FALSE(parse_api_key(changed)) << i;
  }
  EXPECT_FALSE(parse_api_key(good + "A"));
  EXPECT_FALSE(parse_api_key(" " + good));
}

TEST(ApiKeyTest, NamesArePlain) {
  EXPECT_FALSE(issue_key("", 1, 0, {}));
  EXPECT_FALSE(issue_key(std::string(101, 'x'), 1, 0, {}));
  EXPECT_FALSE(issue_key("a\nb", 1, 0, {}));
  EXPECT_TRUE(issue_key("Büro 3", 1, 0, {}));
}

TEST(ApiKeyTest, LivesUntilItExpiresOrIsRevoked) {
  auto key = issue_key("sensor", 1, 100, 200)->record;
  EXPECT_TRUE(is_live(key, 199));
  EXPECT_FALSE(is_live(key, 200));
  key.revoked_us = 150;
  EXPECT_FALSE(is_live(key, 160));
}

TEST(ApiKeyTest, ARotatedKeyMayDoTheSame) {
  const auto old = issue_key("sensor", kUpload, 100, 300)->record;
  const auto next = rotate_key(old, 1000)->record;
  EXPECT_EQ(next.rotates, old.id);
  EXPECT_EQ(next.scopes, old.scopes);
  EXPECT_EQ(next.expires_us, 1200);
  EXPECT_NE(next.id, old.id);
}

class RateLimiterTest : public ::testing::Test {
 protected:
  bool take(std::uint8_t caller, double cost, std::chrono::milliseconds at) {
    const std::array<std::uint8_t, 1> who = {caller};
    last_ = limiter_.take(who, cost, std::chrono::steady_clock::time_point(1h + at));
    return last_.is_allowed;
  }
  RateLimiter limiter_{{10, 20, 1 << 10}};
  RateLimiter::Answer last_;
};

TEST_F(RateLimiterTest, TheBurstIsFreeAndThenThePaceHolds) {
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(take(1, 1, 0ms)) << i;
  EXPECT_FALSE(take(1, 1, 0ms));
  EXPECT_NEAR(last_.seconds_left, 0.1, 1e-9);
  EXPECT_TRUE(take(1, 1, 100ms));
  EXPECT_FALSE(take(1, 1, 150ms));
  EXPECT_TRUE(take(1, 1, 200ms));
}

TEST_F(RateLimiterTest, CallersDoNotTouchEachOther) {
  EXPECT_TRUE(take(1, 20, 0ms));
  EXPECT_FALSE(take(1, 1, 0ms));
  EXPECT_TRUE(take(2, 20, 0ms));
}

TEST_F(RateLimiterTest, ARequestBeyondTheBurstTakesAFullBucket) {
  EXPECT_TRUE(take(1, 1000, 0ms));
  EXPECT_FALSE(take(1, 1000, 1900ms));
  EXPECT_TRUE(take(1, 1000, 2000ms));
}

TEST_F(RateLimiterTest, ABucketHoldsNoMoreThanTheBurst) {
  EXPECT_TRUE(take(1, 20, 0ms));
  EXPECT_TRUE(take(1, 20, 3600'000ms));
  EXPECT_FALSE(take(1, 1, 3600'000ms));
}

TEST_F(RateLimiterTest, TimeThatGoesBackFillsNothing) {
  EXPECT_TRUE(take(1, 20, 5000ms));
  EXPECT_FALSE(take(1, 1, 1000ms));
  EXPECT_FALSE(take(1, 1, 5050ms));
}

TEST_F(RateLimiterTest, MoreCallersThanBucketsRefuseNobodyForOthers) {
  for (std::uint32_t i = 0; i < 100'000; ++i) {
    const std::array<std::uint8_t, 4> who = {static_cast<std::uint8_t>(i), static_cast<std::uint8_t>(i >> 8),
                                             static_cast<std::uint8_t>(i >> 16), 9};
    ASSERT_TRUE(limiter_.take(who, 20, std::chrono::steady_clock::time_point(1h)).is_allowed);
  }
}

TEST(RateLimiterOffTest, NoPaceNoLimit) {
  RateLimiter limiter({});
  const std::array<std::uint8_t, 1> who = {1};
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(limiter.take(who, 1e9, {}).is_allowed);
}

}  // namespace
}  // namespace nidus::auth
