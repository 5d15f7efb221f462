#pragma once

#include <openssl/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "http/internal/tls.h"

namespace nidus::http::internal {

// The bytes of a connected, non-blocking socket, encrypted or not. Does not own the socket and never waits.
// One thread at a time.
class Transport {
 public:
  enum class Status : std::uint8_t {
    done,         // some bytes went through
    wants_read,   // call again when the socket can be read
    wants_write,  // call again when the socket can be written
    end,          // the other side says that nothing more will come
    lost,         // the connection is broken
  };
  struct Outcome {
    Status status = Status::lost;
    std::size_t bytes = 0;
  };

  // Plain if `context` is null.
  Transport(int socket, const TlsContext* context);

  bool is_encrypted() const { return ssl_ != nullptr; }
  // Of TLS; Status::done at once without.
  Status handshake();
  // The common name of the client's certificate; empty without one.
  std::string certificate_name() const;

  Outcome read(std::span<char> into);
  // Moves up to `count` received bytes of a plain connection into a pipe that does not block. Whether it is
  // the pipe that takes no more is not known: Status::wants_read then, too.
  Outcome move(int pipe, std::size_t count);
  // Writes what it can of the pieces, in order.
  Outcome write(std::span<const std::string_view> pieces);
  // Bytes were received that read() gives without asking the socket.
  bool has_buffered() const;
  // Says that nothing more will be sent.
  void end_output();

 private:
  struct Free {
    void operator()(SSL* ssl) const;
  };

  Status status_of(int result) const;

  int socket_;
  std::unique_ptr<SSL, Free> ssl_;
};

}  // namespace nidus::http::internal
