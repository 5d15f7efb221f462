#include "serve/checks.h"

#include <fmt/format.h>

#include <cstdint>

#include "auth/scopes.h"
#include "base/text.h"

namespace nidus::serve {
namespace {

// Cost units a second of somebody who can reach us from elsewhere, where nothing is said, and how many
// seconds' worth may be saved up. One address without a key can so ask for a thousand rows a second, or guess
// twenty keys; one caller with a key for twenty times as much. docs/security.md says why.
constexpr double kCallerRate = 20'000, kAddressRate = 1'000, kSecondsSaved = 10;

struct Rate {
  double per_second, burst;
};

Rate rate_of(double per_second, double burst, double usual, bool is_reachable) {
  if (per_second < 0) {
    if (!is_reachable) return {0, 0};
    return {usual, burst > 0 ? burst : kSecondsSaved * usual};
  }
  return {per_second, burst > 0 ? burst : 2 * per_second};
}

}  // namespace

bool is_loopback_address(const std::string& address) {
  return address == "::1" || address == "localhost" || address.starts_with("127.");
}

Result<auth::GuardOptions> guard_options(const Settings& settings) {
  const auto& a = settings.auth;
  auth::GuardOptions options;
  options.required = a.required == "always"  ? auth::Requirement::always
                     : a.required == "never" ? auth::Requirement::never
                                             : auth::Requirement::automatic;
  if (!a.token_keys.empty() && !a.token_keys_url.empty())
    return Error{Errc::invalid, "auth.token_keys and auth.token_keys_url: one or the other"};
  if (!a.token_keys.empty() || !a.token_keys_url.empty()) {
    options.tokens.emplace();
    options.tokens->keys = a.token_keys;
    options.tokens->issuer = a.token_issuer;
    options.tokens->audience = a.token_audience;
    if (a.token_issuer.empty() || a.token_audience.empty())
      return Error{Errc::invalid, "tokens need auth.token_issuer and auth.token_audience"};
  } else if (!a.token_issuer.empty() || !a.token_audience.empty()) {
    return Error{Errc::invalid,
                 "auth.token_issuer and auth.token_audience need auth.token_keys or auth.token_keys_url"};
  }
  if (!a.token_keys_url.empty()) {
    options.token_feed.emplace();
    options.token_feed->url = a.token_keys_url;
    options.token_feed->authorities = a.token_keys_authorities;
    options.token_feed->every =
        std::chrono::milliseconds(static_cast<std::int64_t>(a.token_keys_refresh_s * 1000));
  } else if (!a.token_keys_authorities.empty()) {
    return Error{Errc::invalid, "auth.token_keys_authorities needs auth.token_keys_url"};
  }
  options.client_certificates = !settings.server.client_authorities.empty();
  for (const auto word : split(a.certificate_scopes, ' ')) {
    if (word.empty()) continue;
    const auto scope = auth::scope_named(word);
    if (!scope)
      return Error{Errc::invalid, "auth.certificate_scopes: '" + std::string(word) + "' is no scope"};
    options.certificate_scopes |= *scope;
  }
  const bool is_reachable = !is_loopback_address(settings.server.address);
  const Rate caller = rate_of(a.rate_per_s, a.rate_burst, kCallerRate, is_reachable);
  const Rate address = rate_of(a.address_rate_per_s, a.address_rate_burst, kAddressRate, is_reachable);
  options.per_second = caller.per_second;
  options.burst = caller.burst;
  options.address_per_second = address.per_second;
  options.address_burst = address.burst;
  return options;
}

Result<void> check_settings(const Settings& settings) {
  const auto& s = settings.server;
  if (s.certificate.empty() != s.key.empty())
    return Error{Errc::invalid, "server.certificate and server.key belong together"};
  if (!s.client_authorities.empty() && s.certificate.empty())
    return Error{Errc::invalid, "server.client_authorities needs server.certificate and server.key"};
  if (!is_loopback_address(s.address) && !s.insecure && settings.auth.required == "never") {
    return Error{Errc::invalid,
                 fmt::format("{} can be reached from elsewhere, and auth.required = \"never\" lets "
                             "anybody do anything: say --insecure if that is meant",
                             s.address)};
  }
  const auto guard = guard_options(settings);
  if (!guard) return guard.error();
  if (guard->token_feed) return auth::KeyFeed::check(*guard->token_feed);
  if (!guard->tokens) return {};
  const auto keys = auth::JwtVerifier::open(*guard->tokens);
  return keys ? Result<void>() : Result<void>(keys.error());
}

}  // namespace nidus::serve
