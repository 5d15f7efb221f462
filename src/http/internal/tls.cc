#include "http/internal/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include <cstring>

namespace nidus::http::internal {
namespace {

// The last thing that OpenSSL complained about on this thread.
std::string complaint() {
  char text[256] = "unknown error";
  if (const unsigned long code = ERR_peek_last_error(); code != 0)
    ERR_error_string_n(code, text, sizeof text);
  ERR_clear_error();
  return text;
}

Error bad_file(const std::filesystem::path& path, const char* what) {
  if (::access(path.c_str(), R_OK) != 0) return {Errc::io, path.string() + ": " + std::strerror(errno)};
  return {Errc::corrupt, path.string() + ": not " + what + " in PEM (" + complaint() + ")"};
}

// The only protocol we speak, if the client asks (RFC 7301).
int select_protocol(SSL*, const unsigned char** out, unsigned char* out_length, const unsigned char* in,
                    unsigned in_length, void*) {
  constexpr unsigned char kHttp11[] = "\x08http/1.1";
  unsigned char* selected = nullptr;
  if (SSL_select_next_proto(&selected, out_length, kHttp11, sizeof kHttp11 - 1, in, in_length) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_NOACK;
  }
  *out = selected;
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace

TlsContext::~TlsContext() { SSL_CTX_free(context_); }

Result<std::shared_ptr<const TlsContext>> TlsContext::load(const TlsOptions& options) {
  ERR_clear_error();
  SSL_CTX* const context = SSL_CTX_new(TLS_server_method());
  if (context == nullptr) return Error{Errc::io, "TLS: " + complaint()};
  const std::shared_ptr<const TlsContext> owner(new TlsContext(context));
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                   SSL_OP_IGNORE_UNEXPECTED_EOF);
  // Idle connections give their buffers back: 34 KB of each.
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_alpn_select_cb(context, select_protocol, nullptr);
  // Nobody types a passphrase into a service.
  SSL_CTX_set_default_passwd_cb(context, [](char*, int, int, void*) { return -1; });

  if (SSL_CTX_use_certificate_chain_file(context, options.certificate.c_str()) != 1) {
    return bad_file(options.certificate, "a certificate");
  }
  if (SSL_CTX_use_PrivateKey_file(context, options.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    const unsigned long code = ERR_peek_error();
    if (ERR_GET_LIB(code) == ERR_LIB_X509) {
      ERR_clear_error();
      return Error{Errc::invalid, options.key.string() + ": not the key of " + options.certificate.string()};
    }
    return bad_file(options.key, "an unencrypted private key");
  }
  if (SSL_CTX_check_private_key(context) != 1) {
    ERR_clear_error();
    return Error{Errc::invalid, options.key.string() + ": not the key of " + options.certificate.string()};
  }
  if (!options.client_authorities.empty()) {
    const char* const file = options.client_authorities.c_str();
    STACK_OF(X509_NAME)* const names = SSL_load_client_CA_file(file);
    if (names == nullptr || SSL_CTX_load_verify_locations(context, file, nullptr) != 1) {
      sk_X509_NAME_pop_free(names, X509_NAME_free);
      return bad_file(options.client_authorities, "certificates");
    }
    SSL_CTX_set_client_CA_list(context, names);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    // Whoever resumed a session would not show a certificate again: not even one that is no longer trusted.
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(context, 0);
  }
  ERR_clear_error();
  return owner;
}

}  // namespace nidus::http::internal
