#include "serve/checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "auth/testing.h"
#include "base/file.h"
#include "base/testing.h"

namespace nidus::serve {
namespace {

using testing::HasSubstr;

std::string fault(const Settings& settings) {
  const auto good = check_settings(settings);
  return good ? "" : good.error().message;
}

TEST(Checks, WhoCanBeReachedFromElsewhereLimitsItsCallers) {
  Settings settings;
  auto options = guard_options(settings);
  ASSERT_TRUE(options);
  EXPECT_EQ(options->per_second, 0);
  EXPECT_EQ(options->address_per_second, 0);
  for (const char* address : {"0.0.0.0", "::", "192.0.2.1"}) {
    settings.server.address = address;
    options = guard_options(settings);
    EXPECT_EQ(options->per_second, 20'000);
    EXPECT_EQ(options->burst, 200'000);
    EXPECT_EQ(options->address_per_second, 1'000);
    EXPECT_EQ(options->address_burst, 10'000);
  }
  settings.auth.rate_per_s = 0;
  settings.auth.address_rate_per_s = 7;
  options = guard_options(settings);
  EXPECT_EQ(options->per_second, 0);
  EXPECT_EQ(options->address_per_second, 7);
  EXPECT_EQ(options->address_burst, 14);
  settings.auth.address_rate_burst = 3;
  EXPECT_EQ(guard_options(settings)->address_burst, 3);
}

TEST(Checks, KeysOfTokensComeFromOnePlaceAndForOneAudience) {
  Settings settings;
  EXPECT_EQ(fault(settings), "");
  settings.auth.token_keys_url = "https://id.example/keys";
  EXPECT_THAT(fault(settings), HasSubstr("auth.token_issuer and auth.token_audience"));
  settings.auth.token_issuer = "https://id.example";
  settings.auth.token_audience = "nidus";
  EXPECT_EQ(fault(settings), "");
  EXPECT_EQ(guard_options(settings)->token_feed->every, std::chrono::hours(1));
  settings.auth.token_keys = "/keys.json";
  EXPECT_THAT(fault(settings), HasSubstr("one or the other"));
  settings.auth.token_keys.clear();
  settings.auth.token_keys_url = "http://id.example/keys";
  EXPECT_THAT(fault(settings), HasSubstr("http:// is for this machine only"));
  settings.auth.token_keys_url = "https://id.example/keys";
  settings.auth.token_keys_authorities = "/nowhere/ca.pem";
  EXPECT_THAT(fault(settings), HasSubstr("/nowhere/ca.pem"));
  settings.auth.token_keys_url.clear();
  EXPECT_THAT(fault(settings), HasSubstr("need auth.token_keys or auth.token_keys_url"));
}

TEST(Checks, AFileOfKeysIsRead) {
  TemporaryFolder folder;
  Settings settings;
  settings.auth.token_issuer = "https://id.example";
  settings.auth.token_audience = "nidus";
  settings.auth.token_keys = folder / "keys.pem";
  EXPECT_THAT(fault(settings), HasSubstr("keys.pem"));
  ASSERT_TRUE(write_file(folder / "keys.pem", "no keys"));
  EXPECT_THAT(fault(settings), HasSubstr("no public key"));
  ASSERT_TRUE(write_file(folder / "keys.pem", auth::Signer::ed25519().pem()));
  EXPECT_EQ(fault(settings), "");
}

TEST(Checks, WhatStandsAloneIsSaid) {
  Settings settings;
  settings.server.certificate = "a.pem";
  EXPECT_THAT(fault(settings), HasSubstr("belong together"));
  settings.server.certificate.clear();
  settings.server.client_authorities = "ca.pem";
  EXPECT_THAT(fault(settings), HasSubstr("needs server.certificate"));
  settings.server.client_authorities.clear();
  settings.auth.certificate_scopes = "predict rule";
  EXPECT_THAT(fault(settings), HasSubstr("'rule' is no scope"));
  settings.auth.certificate_scopes = "predict";
  settings.auth.token_keys_authorities = "ca.pem";
  EXPECT_THAT(fault(settings), HasSubstr("needs auth.token_keys_url"));
}

}  // namespace
}  // namespace nidus::serve
