#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace nidus::auth {

struct JwtOptions {
  // Public keys of who signs: PEM ("BEGIN PUBLIC KEY", one or more), or a JWK set (RFC 7517).
  std::filesystem::path keys;
  std::string issuer, audience;  // what `iss` and `aud` must say; both are needed
  std::int64_t leeway_s = 30;    // how far clocks may differ
};

// What a token that was checked says.
struct Claims {
  std::string subject;       // `sub`, or `client_id` without it
  std::uint32_t scopes = 0;  // of `scope` (RFC 8693): names of auth/scopes.h; others are left out
  std::int64_t expires_s = 0;
};

// Checks JSON Web Tokens (RFC 7519) as RFC 8725 advises. RS256 with at least 2,048 bits, ES256 on P-256, and
// EdDSA with Ed25519 only, each with a key of its own kind: the token chooses among the keys that are here,
// never the kind of a key. `iss`, `aud` and `exp` must be there and right; `nbf` and `iat` must not lie
// ahead; `typ` may be absent, "JWT" or "at+jwt"; a token with `crit` is refused. Tokens up to 8 KiB.
//
// Immutable, so any number of threads may use one.
class JwtVerifier {
 public:
  // Errc::invalid for options that leave something open, Errc::corrupt for a file that holds no usable key or
  // one that is too weak, Errc::not_found, Errc::io.
  static Result<JwtVerifier> open(const JwtOptions& options);
  // Of keys in memory.
  static Result<JwtVerifier> parse(std::string_view keys, const JwtOptions& options);

  JwtVerifier(JwtVerifier&&) noexcept;
  JwtVerifier& operator=(JwtVerifier&&) noexcept;
  ~JwtVerifier();

  // Errc::invalid says why not, for our log and not for the caller; Errc::not_found that the key which the
  // token names is none of those here, so that a look for newer ones may help.
  Result<Claims> verify(std::string_view token, std::int64_t now_s) const;
  std::size_t keys() const;

 private:
  struct Impl;
  explicit JwtVerifier(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace nidus::auth
