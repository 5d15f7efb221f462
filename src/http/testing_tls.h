#pragma once

// For tests only: certificates made on the spot, and a client that speaks TLS.

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "http/testing.h"

namespace nidus::http {

struct CertificateFree {
  void operator()(X509* x) const { X509_free(x); }
  void operator()(EVP_PKEY* x) const { EVP_PKEY_free(x); }
  void operator()(SSL* x) const { SSL_free(x); }
  void operator()(SSL_CTX* x) const { SSL_CTX_free(x); }
};
template <class T>
using Owned = std::unique_ptr<T, CertificateFree>;

// A certificate with its key. Signed by itself if there is no authority.
struct Identity {
  Owned<X509> certificate;
  Owned<EVP_PKEY> key;

  explicit Identity(const std::string& name, const Identity* authority = nullptr)
      : certificate(X509_new()), key(EVP_EC_gen("P-256")) {
    static std::atomic<long> serial = 1;
    X509* const x = certificate.get();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    const X509* const issuer = authority != nullptr ? authority->certificate.get() : x;
    X509_set_issuer_name(x, X509_get_subject_name(issuer));
    X509_set_pubkey(x, key.get());
    if (authority == nullptr) {
      X509_EXTENSION* const extension =
          X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints, "critical,CA:TRUE");
      X509_add_ext(x, extension, -1);
      X509_EXTENSION_free(extension);
    }
    X509_sign(x, authority != nullptr ? authority->key.get() : key.get(), EVP_sha256());
  }

  long serial() const { return ASN1_INTEGER_get(X509_get0_serialNumber(certificate.get())); }
  void write(const std::filesystem::path& certificate_path, const std::filesystem::path& key_path) const {
    std::FILE* file = std::fopen(certificate_path.c_str(), "w");
    PEM_write_X509(file, certificate.get());
    std::fclose(file);
    file = std::fopen(key_path.c_str(), "w");
    PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(file);
  }
};

class TlsClient : public TestClient {
 public:
  TlsClient(std::uint16_t port, const Identity* identity = nullptr, int version_max = 0) : TestClient(port) {
    context_.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_security_level(context_.get(), 0);  // so that old versions are at least tried
    SSL_CTX_set_max_proto_version(context_.get(), version_max);
    if (identity != nullptr) {
      SSL_CTX_use_certificate(context_.get(), identity->certificate.get());
      SSL_CTX_use_PrivateKey(context_.get(), identity->key.get());
    }
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_fd(ssl_.get(), socket());
    connected_ = SSL_connect(ssl_.get()) == 1;
  }
  bool connected() const { return connected_; }
  long serial() const {
    Owned<X509> shown(SSL_get1_peer_certificate(ssl_.get()));
    return ASN1_INTEGER_get(X509_get0_serialNumber(shown.get()));
  }
  std::string version() const { return SSL_get_version(ssl_.get()); }
  void end_output() { SSL_shutdown(ssl_.get()); }

 protected:
  ssize_t put(const char* bytes, std::size_t size) override {
    return SSL_write(ssl_.get(), bytes, static_cast<int>(size));
  }
  ssize_t take(char* bytes, std::size_t size) override {
    return SSL_read(ssl_.get(), bytes, static_cast<int>(size));
  }

 private:
  Owned<SSL_CTX> context_;
  Owned<SSL> ssl_;
  bool connected_ = false;
};

}  // namespace nidus::http
