#pragma once

#include <openssl/types.h>

#include <memory>

#include "base/result.h"
#include "http/server.h"

namespace nidus::http::internal {

// What new connections are encrypted with: TLS 1.2 or 1.3, with forward secrecy and authenticated ciphers
// only. Immutable once loaded, which is what lets threads share it: a renewed certificate is another object.
class TlsContext {
 public:
  // Errc::io if a file cannot be read, Errc::corrupt if it is not what it should be, Errc::invalid if the key
  // is not that of the certificate.
  static Result<std::shared_ptr<const TlsContext>> load(const TlsOptions& options);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  SSL_CTX* get() const { return context_; }

 private:
  explicit TlsContext(SSL_CTX* context) : context_(context) {}

  SSL_CTX* context_;
};

}  // namespace nidus::http::internal
