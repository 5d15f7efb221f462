#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "auth/jwt.h"
#include "auth/key_feed.h"
#include "base/result.h"
#include "http/server.h"
#include "store/store.h"

namespace nidus::auth {

enum class Requirement : std::uint8_t {
  automatic,  // as soon as a key was ever made, or tokens or client certificates are set up
  always,
  never,  // anybody may do anything
};

struct GuardOptions {
  Requirement required = Requirement::automatic;
  std::optional<JwtOptions> tokens;
  // Where the keys of who signs tokens come from, in the place of a file.
  std::optional<KeyFeedOptions> token_feed;
  // Is told of each look for them, in another thread: an error, or none. May be null.
  KeyFeed::Report token_keys_report;
  bool client_certificates = false;      // the server asks for them
  std::uint32_t certificate_scopes = 0;  // what somebody with a client certificate may do
  // Cost units: a request costs what its route says, and one for each KiB of its body. 0: no limit.
  double per_second = 0, burst = 0;                  // of a key, token or certificate
  double address_per_second = 0, address_burst = 0;  // of an address (IPv6: its first 64 bits) without one
};

struct GuardCounts {
  std::uint64_t allowed = 0, anonymous = 0;
  std::uint64_t unauthenticated = 0, forbidden = 0, limited = 0;  // 401, 403, 429
};

// Who may do what, and how much of it. An http::Guard over the keys of a store, tokens and client
// certificates.
//
// `Authorization: Bearer` carries a key or a token, never the target of a request, which ends up in logs. Who
// shows something that is not good is refused even where nothing is needed, so that a typing error is
// noticed, and pays for it with much of what its address may do. Where nothing is required, whoever asks may
// do what is not `admin`; that too only from this machine itself, and not through a web page that a browser
// on it shows (the Host of the request must be one that no stranger can own).
//
// Keys are read from the store again within a second after anybody changed them. Thread-safe.
class Guard {
 public:
  // The store must outlive it; null: there are no keys. Errors are those of JwtVerifier::open, KeyFeed::start
  // and Store::keys.
  static Result<std::unique_ptr<Guard>> start(const GuardOptions& options, store::Store* store);
  ~Guard();

  // An http::Guard.
  std::optional<http::Response> operator()(http::Request& request, const http::Route& route);

  // Whether callers must show something.
  bool is_required() const;
  // Reads keys and the tokens' keys again, now. On an error the old ones stay.
  Result<void> reload();
  GuardCounts counts() const;
  // Of the tokens' keys from an address; nothing if they are not from one.
  std::optional<KeyFeed::Counts> token_feed() const;

 private:
  struct Impl;
  explicit Guard(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace nidus::auth
