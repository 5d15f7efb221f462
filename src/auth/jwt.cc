#include "auth/jwt.h"

#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <vector>

#include "auth/internal/base64url.h"
#include "auth/scopes.h"
#include "base/file.h"
#include "base/text.h"

namespace nidus::auth {
namespace {

using Json = nlohmann::json;
using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kTokenBytesMax = 8 << 10, kKeysBytesMax = 1 << 20, kKeysMax = 64;
// Beyond it checking a signature takes longer than we let a stranger make us work.
constexpr int kRsaBitsMin = 2048, kRsaBitsMax = 8192;

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Freed<EVP_PKEY_CTX_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX_free>>;
using Number = std::unique_ptr<BIGNUM, Freed<BN_free>>;
using Builder = std::unique_ptr<OSSL_PARAM_BLD, Freed<OSSL_PARAM_BLD_free>>;
using Parameters = std::unique_ptr<OSSL_PARAM, Freed<OSSL_PARAM_free>>;
using Bio = std::unique_ptr<BIO, Freed<BIO_free_all>>;

enum class Algorithm : std::uint8_t { rs256, es256, eddsa };

struct KnownKey {
  std::string id;  // empty: has none
  Algorithm algorithm = Algorithm::rs256;
  Key key;
};

Error invalid(std::string message) { return {Errc::invalid, std::move(message)}; }
Error corrupt(std::string message) { return {Errc::corrupt, std::move(message)}; }

// JSON without exceptions; nothing if it is none, or no object.
std::optional<Json> object_of(std::string_view text) {
  Json json = Json::parse(text.begin(), text.end(), nullptr, false);
  if (!json.is_object()) return std::nullopt;
  return json;
}

// A member that is a text; empty without it.
std::string text_at(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// Which algorithm a key is for, by what it is.
Result<Algorithm> algorithm_of(const EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "RSA") == 1) {
    const int bits = EVP_PKEY_get_bits(key);
    if (bits < kRsaBitsMin || bits > kRsaBitsMax) {
      return corrupt(fmt::format("an RSA key of {} bits, not of {} to {}", bits, kRsaBitsMin, kRsaBitsMax));
    }
    return Algorithm::rs256;
  }
  if (EVP_PKEY_is_a(key, "ED25519") == 1) return Algorithm::eddsa;
  if (EVP_PKEY_is_a(key, "EC") == 1) {
    char group[64] = {};
    if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, nullptr) == 1 &&
        std::string_view(group) == "prime256v1") {
      return Algorithm::es256;
    }
    return corrupt("an EC key that is not on P-256");
  }
  return corrupt("a key that is neither RSA, EC nor Ed25519");
}

Key key_of(const char* type, OSSL_PARAM_BLD* builder) {
  const Parameters parameters(OSSL_PARAM_BLD_to_param(builder));
  const KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (!parameters || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters.get()) != 1) {
    return nullptr;
  }
  return Key(key);
}

std::optional<Bytes> bytes_at(const Json& jwk, const char* name) {
  const std::string text = text_at(jwk, name);
  auto bytes = internal::base64url_decode(text);
  if (!bytes || bytes->empty()) return std::nullopt;
  return bytes;
}

// RFC 7518 section 6, RFC 8037. Null for what we do not use.
Key key_of_jwk(const Json& jwk) {
  const std::string type = text_at(jwk, "kty");
  const Builder builder(OSSL_PARAM_BLD_new());
  if (type == "RSA") {
    const auto n = bytes_at(jwk, "n"), e = bytes_at(jwk, "e");
    if (!n || !e || n->size() > kRsaBitsMax / 8 || e->size() > 8) return nullptr;
    const Number modulus(BN_bin2bn(n->data(), static_cast<int>(n->size()), nullptr));
    const Number exponent(BN_bin2bn(e->data(), static_cast<int>(e->size()), nullptr));
    if (OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get()) != 1 ||
        OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get()) != 1) {
      return nullptr;
    }
    return key_of("RSA", builder.get());
  }
  if (type == "EC" && text_at(jwk, "crv") == "P-256") {
    const auto x = bytes_at(jwk, "x"), y = bytes_at(jwk, "y");
    if (!x || !y || x->size() != 32 || y->size() != 32) return nullptr;
    Bytes point = {4};  // uncompressed
    point.insert(point.end(), x->begin(), x->end());
    point.insert(point.end(), y->begin(), y->end());
    if (OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) != 1 ||
        OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                         point.size()) != 1) {
      return nullptr;
    }
    return key_of("EC", builder.get());
  }
  if (type == "OKP" && text_at(jwk, "crv") == "Ed25519") {
    const auto x = bytes_at(jwk, "x");
    if (!x || x->size() != 32) return nullptr;
    return Key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, x->data(), x->size()));
  }
  return nullptr;
}

// Keys of a set that are for something else - encryption, another curve - are left out, as RFC 7517 asks.
Result<std::vector<KnownKey>> keys_of_set(const Json& set) {
  std::vector<KnownKey> keys;
  const auto list = set.find("keys");
  if (list == set.end() || !list->is_array()) return corrupt("no member \"keys\" that is a list");
  for (const auto& jwk : *list) {
    if (!jwk.is_object() || (jwk.contains("use") && text_at(jwk, "use") != "sig")) continue;
    Key key = key_of_jwk(jwk);
    if (!key) continue;
    auto algorithm = algorithm_of(key.get());
    if (!algorithm) return std::move(algorithm).error();
    if (keys.size() == kKeysMax) return Error{Errc::exhausted, "more than 64 keys"};
    keys.push_back({text_at(jwk, "kid"), *algorithm, std::move(key)});
  }
  return keys;
}

Result<std::vector<KnownKey>> keys_of_pem(std::string_view text) {
  std::vector<KnownKey> keys;
  const Bio bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  for (;;) {
    Key key(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
    if (!key) break;
    auto algorithm = algorithm_of(key.get());
    if (!algorithm) return std::move(algorithm).error();
    if (keys.size() == kKeysMax) return Error{Errc::exhausted, "more than 64 keys"};
    keys.push_back({{}, *algorithm, std::move(key)});
  }
  return keys;
}

// The 64 bytes of JOSE as OpenSSL wants them: a DER sequence of two numbers.
std::optional<Bytes> der_signature(const Bytes& raw) {
  if (raw.size() != 64) return std::nullopt;
  const std::unique_ptr<ECDSA_SIG, Freed<ECDSA_SIG_free>> signature(ECDSA_SIG_new());
  BIGNUM* r = BN_bin2bn(raw.data(), 32, nullptr);
  BIGNUM* s = BN_bin2bn(raw.data() + 32, 32, nullptr);
  if (!signature || ECDSA_SIG_set0(signature.get(), r, s) != 1) {
    BN_free(r);
    BN_free(s);
    return std::nullopt;
  }
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &der);
  if (size <= 0) return std::nullopt;
  Bytes out(der, der + size);
  OPENSSL_free(der);
  return out;
}

bool is_signature_of(const KnownKey& key, std::string_view signed_text, const Bytes& signature) {
  const DigestContext context(EVP_MD_CTX_new());
  const EVP_MD* digest = key.algorithm == Algorithm::eddsa ? nullptr : EVP_sha256();
  const auto* text = reinterpret_cast<const unsigned char*>(signed_text.data());
  return context && EVP_DigestVerifyInit(context.get(), nullptr, digest, nullptr, key.key.get()) == 1 &&
         EVP_DigestVerify(context.get(), signature.data(), signature.size(), text, signed_text.size()) == 1;
}

// NumericDate: whole seconds or not, never text.
Result<std::optional<double>> date_at(const Json& claims, const char* name) {
  const auto found = claims.find(name);
  if (found == claims.end()) return std::optional<double>();
  if (!found->is_number()) return invalid(fmt::format("{} is no number", name));
  const double value = found->get<double>();
  if (!(value >= 0 && value < 1e12)) return invalid(fmt::format("{} is no date", name));
  return std::optional<double>(value);
}

bool is_for(const Json& claims, const std::string& audience) {
  const auto found = claims.find("aud");
  if (found == claims.end()) return false;
  if (found->is_string()) return found->get_ref<const std::string&>() == audience;
  if (!found->is_array()) return false;
  for (const auto& one : *found) {
    if (one.is_string() && one.get_ref<const std::string&>() == audience) return true;
  }
  return false;
}

std::uint32_t scopes_of(const Json& claims) {
  std::uint32_t scopes = 0;
  const std::string text = text_at(claims, "scope");
  for (const auto name : split(text, ' ')) {
    if (const auto scope = scope_named(name)) scopes |= *scope;
  }
  return scopes;
}

}  // namespace

struct JwtVerifier::Impl {
  JwtOptions options;
  std::vector<KnownKey> keys;

  Result<Claims> check_claims(const Json& claims, std::int64_t now_s) const;
};

JwtVerifier::JwtVerifier(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
JwtVerifier::JwtVerifier(JwtVerifier&&) noexcept = default;
JwtVerifier& JwtVerifier::operator=(JwtVerifier&&) noexcept = default;
JwtVerifier::~JwtVerifier() = default;

std::size_t JwtVerifier::keys() const { return impl_->keys.size(); }

Result<JwtVerifier> JwtVerifier::open(const JwtOptions& options) {
  auto text = read_file(options.keys, kKeysBytesMax);
  if (!text) return std::move(text).error();
  auto made = parse(*text, options);
  if (!made) return std::move(made).error().within(options.keys.string());
  return made;
}

Result<JwtVerifier> JwtVerifier::parse(std::string_view text, const JwtOptions& options) {
  if (options.issuer.empty() || options.audience.empty()) {
    return invalid(
        "tokens need an issuer and an audience: without them a token for any other service is good");
  }
  if (text.size() > kKeysBytesMax) return Error{Errc::exhausted, "larger than 1 MiB"};
  const auto set = object_of(text);
  auto keys = set ? keys_of_set(*set) : keys_of_pem(text);
  ERR_clear_error();
  if (!keys) return std::move(keys).error();
  if (keys->empty())
    return corrupt("no public key for RS256, ES256 or EdDSA, neither in PEM nor as a JWK set");
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  impl->keys = std::move(*keys);
  return JwtVerifier(std::move(impl));
}

Result<Claims> JwtVerifier::verify(std::string_view token, std::int64_t now_s) const {
  if (token.size() > kTokenBytesMax) return invalid("the token is larger than 8 KiB");
  const auto parts = split(token, '.');
  if (parts.size() != 3) return invalid("a token has three parts");
  const auto header_bytes = internal::base64url_decode(parts[0]);
  const auto claims_bytes = internal::base64url_decode(parts[1]);
  auto signature = internal::base64url_decode(parts[2]);
  if (!header_bytes || !claims_bytes || !signature) return invalid("a part is not base64url");
  const auto as_text = [](const Bytes& bytes) {
    return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  const auto header = object_of(as_text(*header_bytes));
  if (!header) return invalid("the header is no JSON object");

  const std::string name = text_at(*header, "alg");
  Algorithm algorithm;
  if (name == "RS256") {
    algorithm = Algorithm::rs256;
  } else if (name == "ES256") {
    algorithm = Algorithm::es256;
  } else if (name == "EdDSA") {
    algorithm = Algorithm::eddsa;
  } else {
    return invalid("alg is none of RS256, ES256 and EdDSA");
  }
  if (header->contains("crit")) return invalid("the token has critical extensions, and we know none");
  if (header->contains("typ")) {
    std::string type = to_lower(text_at(*header, "typ"));
    if (type.starts_with("application/")) type.erase(0, 12);
    if (type != "jwt" && type != "at+jwt") return invalid("typ is neither JWT nor at+jwt");
  }
  if (algorithm == Algorithm::es256) {
    signature = der_signature(*signature);
    if (!signature) return invalid("the signature has the wrong length");
  }

  // The text is what was signed, the keys are ours: an attacker chooses which of them is tried, nothing else.
  const std::string_view signed_text = token.substr(0, parts[0].size() + 1 + parts[1].size());
  const std::string id = text_at(*header, "kid");
  bool is_good = false, is_known = false;
  for (const auto& key : impl_->keys) {
    if (key.algorithm != algorithm || (!id.empty() && !key.id.empty() && key.id != id)) continue;
    is_known = true;
    if (is_signature_of(key, signed_text, *signature)) {
      is_good = true;
      break;
    }
  }
  ERR_clear_error();
  if (!is_known && !id.empty()) return Error{Errc::not_found, "no key of ours has the name that it gives"};
  if (!is_good) return invalid("no key of ours has signed it");
  const auto claims = object_of(as_text(*claims_bytes));
  if (!claims) return invalid("the claims are no JSON object");
  return impl_->check_claims(*claims, now_s);
}

Result<Claims> JwtVerifier::Impl::check_claims(const Json& claims, std::int64_t now_s) const {
  if (text_at(claims, "iss") != options.issuer) return invalid("it is of another issuer");
  if (!is_for(claims, options.audience)) return invalid("it is for another audience");
  const auto now = static_cast<double>(now_s), leeway = static_cast<double>(options.leeway_s);
  const auto expires = date_at(claims, "exp"), begins = date_at(claims, "nbf"),
             issued = date_at(claims, "iat");
  for (const auto* date : {&expires, &begins, &issued}) {
    if (!*date) return date->error();
  }
  if (!*expires) return invalid("it does not say when it expires");
  if (now >= **expires + leeway) return invalid("it has expired");
  if (*begins && now < **begins - leeway) return invalid("it is not good yet");
  if (*issued && now < **issued - leeway) return invalid("it was issued in the future");
  Claims out;
  out.subject = text_at(claims, "sub");
  if (out.subject.empty()) out.subject = text_at(claims, "client_id");
  if (out.subject.empty()) return invalid("it does not say whom it is about");
  out.scopes = scopes_of(claims);
  out.expires_s = static_cast<std::int64_t>(**expires);
  return out;
}

}  // namespace nidus::auth
