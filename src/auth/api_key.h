#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/records.h"

namespace nidus::auth {

// "nidus_live_ab3k9x2m_" and 43 characters that stand for 32 random bytes. The id is public and finds the
// key; of the secret only the SHA-256 is kept. A slow hash as for passwords would protect nothing: nobody
// guesses 256 random bits, and every request has to be checked.
struct ApiKeyText {
  std::string_view id, secret;  // into the text
};

// Nothing unless it is exactly of this form.
std::optional<ApiKeyText> parse_api_key(std::string_view text);

// What store::ApiKey::digest holds: 64 hexadecimal digits.
std::string digest_of_secret(std::string_view secret);

// In time that does not depend on where the two differ.
bool is_secret_of(const store::ApiKey& key, std::string_view secret);

struct IssuedKey {
  store::ApiKey record;  // to be kept
  std::string text;      // to be shown once, and then forgotten
};

// A new key. Errc::invalid for a name that is empty, longer than 100 bytes or holds control characters;
// Errc::io if the system has no random numbers.
Result<IssuedKey> issue_key(std::string name, std::uint32_t scopes, std::int64_t now_us,
                            std::optional<std::int64_t> expires_us);

// Another secret for what `old` may do; the old one stays good until `old_until_us`, to be written by the
// caller, so that both work while clients change over.
Result<IssuedKey> rotate_key(const store::ApiKey& old, std::int64_t now_us);

// Neither revoked nor expired.
bool is_live(const store::ApiKey& key, std::int64_t now_us);

}  // namespace nidus::auth
