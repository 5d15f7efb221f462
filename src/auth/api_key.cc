#include "auth/api_key.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <array>
#include <span>

#include "auth/internal/base64url.h"
#include "base/digest.h"

namespace nidus::auth {
namespace {

constexpr std::string_view kPrefix = "nidus_live_";
constexpr std::string_view kIdLetters = "abcdefghijklmnopqrstuvwxyz234567";
constexpr std::size_t kIdLength = 8, kSecretBytes = 32, kSecretLength = 43;
constexpr std::size_t kNameBytesMax = 100;

}  // namespace

std::optional<ApiKeyText> parse_api_key(std::string_view text) {
  if (text.size() != kPrefix.size() + kIdLength + 1 + kSecretLength || !text.starts_with(kPrefix)) {
    return std::nullopt;
  }
  text.remove_prefix(kPrefix.size());
  const ApiKeyText key{text.substr(0, kIdLength), text.substr(kIdLength + 1)};
  if (text[kIdLength] != '_' || key.id.find_first_not_of(kIdLetters) != std::string_view::npos) {
    return std::nullopt;
  }
  // One text for one secret: what stands for the same bytes in another way is refused.
  const auto bytes = internal::base64url_decode(key.secret);
  if (!bytes || bytes->size() != kSecretBytes) return std::nullopt;
  return key;
}

std::string digest_of_secret(std::string_view secret) {
  return sha256_hex(std::as_bytes(std::span(secret.data(), secret.size())));
}

bool is_secret_of(const store::ApiKey& key, std::string_view secret) {
  const std::string digest = digest_of_secret(secret);
  return key.digest.size() == digest.size() &&
         CRYPTO_memcmp(key.digest.data(), digest.data(), digest.size()) == 0;
}

Result<IssuedKey> issue_key(std::string name, std::uint32_t scopes, std::int64_t now_us,
                            std::optional<std::int64_t> expires_us) {
  if (name.empty() || name.size() > kNameBytesMax) {
    return Error{Errc::invalid, "a key needs a name of 1 to 100 bytes"};
  }
  for (const char c : name) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      return Error{Errc::invalid, "the name of a key must not hold control characters"};
    }
  }
  std::array<std::uint8_t, kIdLength + kSecretBytes> random{};
  if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1) {
    return Error{Errc::io, "the system gives no random numbers"};
  }
  IssuedKey issued;
  for (std::size_t i = 0; i < kIdLength; ++i) issued.record.id += kIdLetters[random[i] % kIdLetters.size()];
  const std::string secret = internal::base64url(std::span(random).subspan(kIdLength));
  issued.record.digest = digest_of_secret(secret);
  issued.record.name = std::move(name);
  issued.record.scopes = scopes;
  issued.record.created_us = now_us;
  issued.record.expires_us = expires_us;
  issued.text = std::string(kPrefix) + issued.record.id + '_' + secret;
  OPENSSL_cleanse(random.data(), random.size());
  return issued;
}

Result<IssuedKey> rotate_key(const store::ApiKey& old, std::int64_t now_us) {
  std::optional<std::int64_t> expires_us;
  if (old.expires_us) expires_us = now_us + (*old.expires_us - old.created_us);
  auto issued = issue_key(old.name, old.scopes, now_us, expires_us);
  if (issued) issued->record.rotates = old.id;
  return issued;
}

bool is_live(const store::ApiKey& key, std::int64_t now_us) {
  return !key.revoked_us && (!key.expires_us || now_us < *key.expires_us);
}

}  // namespace nidus::auth
