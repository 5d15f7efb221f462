#pragma once

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "auth/internal/base64url.h"

// For tests only: what an identity provider does.
namespace nidus::auth {

inline std::string encoded(std::string_view text) {
  return internal::base64url({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

class Signer {
 public:
  static Signer rsa(unsigned bits = 2048) { return Signer("RS256", EVP_RSA_gen(bits)); }
  static Signer p256() { return Signer("ES256", EVP_EC_gen("P-256")); }
  static Signer p384() { return Signer("ES256", EVP_EC_gen("P-384")); }
  static Signer ed25519() { return Signer("EdDSA", EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")); }

  std::string pem() const {
    BIO* bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PUBKEY(bio, key_.get());
    char* data = nullptr;
    const auto size = BIO_get_mem_data(bio, &data);
    std::string text(data, static_cast<std::size_t>(size));
    BIO_free(bio);
    return text;
  }

  std::string jwk(const std::string& id) const {
    const std::string head = R"({"kid":")" + id + R"(",)";
    if (algorithm_ == "RS256") {
      return head + R"("kty":"RSA","use":"sig","n":")" + number(OSSL_PKEY_PARAM_RSA_N) + R"(","e":")" +
             number(OSSL_PKEY_PARAM_RSA_E) + "\"}";
    }
    std::vector<std::uint8_t> raw(200);
    std::size_t size = raw.size();
    if (algorithm_ == "EdDSA") {
      EVP_PKEY_get_raw_public_key(key_.get(), raw.data(), &size);
      raw.resize(size);
      return head + R"("kty":"OKP","crv":"Ed25519","x":")" + internal::base64url(raw) + "\"}";
    }
    EVP_PKEY_get_octet_string_param(key_.get(), OSSL_PKEY_PARAM_PUB_KEY, raw.data(), raw.size(), &size);
    const std::span<const std::uint8_t> point(raw.data(), size);
    return head + R"("kty":"EC","crv":"P-256","x":")" + internal::base64url(point.subspan(1, 32)) +
           R"(","y":")" + internal::base64url(point.subspan(33, 32)) + "\"}";
  }

  // "{…}" and "{…}" as a token, signed as the key signs, whatever the header says.
  std::string token(std::string_view header, std::string_view claims) const {
    const std::string text = encoded(header) + '.' + encoded(claims);
    return text + '.' + internal::base64url(signature(text));
  }
  std::string token(std::string_view claims) const {
    return token(R"({"alg":")" + algorithm_ + R"(","typ":"JWT"})", claims);
  }

 private:
  Signer(std::string algorithm, EVP_PKEY* key) : algorithm_(std::move(algorithm)), key_(key, EVP_PKEY_free) {
    if (key == nullptr) std::abort();
  }

  std::string number(const char* name) const {
    BIGNUM* value = nullptr;
    EVP_PKEY_get_bn_param(key_.get(), name, &value);
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(BN_num_bytes(value)));
    BN_bn2bin(value, bytes.data());
    BN_free(value);
    return internal::base64url(bytes);
  }

  std::vector<std::uint8_t> signature(const std::string& text) const {
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    EVP_DigestSignInit(context, nullptr, algorithm_ == "EdDSA" ? nullptr : EVP_sha256(), nullptr, key_.get());
    const auto* data = reinterpret_cast<const unsigned char*>(text.data());
    std::vector<std::uint8_t> out(1024);
    std::size_t size = out.size();
    if (EVP_DigestSign(context, out.data(), &size, data, text.size()) != 1) std::abort();
    EVP_MD_CTX_free(context);
    out.resize(size);
    if (algorithm_ != "ES256") return out;
    const unsigned char* der = out.data();
    ECDSA_SIG* signature = d2i_ECDSA_SIG(nullptr, &der, static_cast<long>(size));
    const int half = EVP_PKEY_get_bits(key_.get()) / 8;
    std::vector<std::uint8_t> raw(static_cast<std::size_t>(half) * 2);
    BN_bn2binpad(ECDSA_SIG_get0_r(signature), raw.data(), half);
    BN_bn2binpad(ECDSA_SIG_get0_s(signature), raw.data() + half, half);
    ECDSA_SIG_free(signature);
    return raw;
  }

  std::string algorithm_;
  std::shared_ptr<EVP_PKEY> key_;
};

}  // namespace nidus::auth
