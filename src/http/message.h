#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

// What a client asks and what it is answered, free of sockets (RFC 9110).
namespace nidus::http {

enum class Method : std::uint8_t { get, head, post, put, patch, remove, options, other };
std::string_view name_of(Method method);

// Who sent a request. An IPv4 address is held as IPv4-mapped IPv6.
struct Peer {
  std::array<std::uint8_t, 16> address{};
  std::uint16_t port = 0;
  bool encrypted = false;
  // Of the certificate that the client showed and we verified: its subject's common name. Empty without one.
  std::string certificate;

  std::string address_text() const;
};

// Whom the guard of the server took the caller for; filled before a handler runs.
struct Caller {
  std::string name;  // of the key or token: for logs; empty if anonymous
  std::uint32_t scopes = 0;
};

// What may be read behind a whole body.
inline constexpr std::size_t kBodyPadding = 64;

// One request whose header has been read. Views live as long as the request. Header names compare without
// case; a header that stands several times is one value, joined by ", ". Every % in the target is followed by
// two hexadecimal digits, and none of them says NUL: another target was refused.
struct Request {
  Method method = Method::get;
  std::string_view target;  // as sent: "/predict?explain=3"
  std::string_view path;    // up to the question mark, as sent
  Peer peer;
  Caller caller;
  std::string_view id;  // unique in this process and its log; every error carries it
  // Whole, for handlers of whole bodies; else empty. At least kBodyPadding bytes behind it may be read,
  // whatever they are, as parsers of JSON like to.
  std::string_view body;
  std::optional<std::uint64_t> content_length;
  std::chrono::steady_clock::time_point arrived;  // when its first byte was read

  // Empty if it was not sent.
  std::string_view header(std::string_view name) const;
  // "application/json": without parameters; the server has made it lower case.
  std::string_view content_type() const;
  // What stands for {name} in the route's pattern, percent-decoded.
  std::string_view parameter(std::string_view name) const;
  // Percent-decoded, + a blank. Nothing if it was not sent; empty if it has no value. The first of equals
  // counts.
  std::optional<std::string> query(std::string_view name) const;

  std::vector<std::pair<std::string_view, std::string_view>> headers;
  std::vector<std::pair<std::string_view, std::string>> parameters;
};

// A whole answer. Content-Length, Date, X-Request-Id, the headers of security and Cache-Control: no-store are
// added by the server; where `headers` has one of them itself (a page its own Content-Security-Policy), that
// one is sent instead. A header name or value with a control character in it is a bug of ours (CHECK): values
// out of requests are not to be put there.
struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

// An RFC 9457 problem with the members that clients of older services read: `error` and `detail` say the
// same. `extras` is JSON members to be added, without braces: "\"missing_features\":[\"Flow Duration\"]".
Response problem(int status, std::string_view detail, std::string_view request_id,
                 std::string_view extras = {});
std::string_view reason_of(int status);  // "Not Found"

// The duty to answer one request. Movable; may be used from any thread, once, also after the server is gone.
// If it is destroyed without an answer, the answer is 500.
class Responder {
 public:
  class Impl;
  explicit Responder(std::shared_ptr<Impl> impl);
  Responder(Responder&&) noexcept;
  Responder& operator=(Responder&&) noexcept;
  ~Responder();

  void send(Response response);
  // The client hung up or the time for an answer is over: whatever it costs to answer is wasted. A client
  // that only says that it will send no more (half-closed) is not gone.
  bool gone() const;
  // Of the request that is to be answered; lives until then.
  std::string_view request_id() const;

 private:
  std::shared_ptr<Impl> impl_;
};

// The body of a request piece by piece, for a handler on a thread of its own. Nothing is read ahead of the
// handler but what fits into the buffer of one connection: a client is as fast as who reads it.
class BodyReader {
 public:
  virtual ~BodyReader() = default;
  // Waits for further bytes; none at the end. They live until the next call. Errc::exhausted if the body is
  // larger than its route allows or comes too slowly, Errc::io if the client hung up, Errc::corrupt if the
  // framing is broken. Who then answers nothing leaves it to the server: 413, 408 or 400.
  virtual Result<std::span<const std::byte>> read() = 0;
  // Moves further bytes into `pipe`, which must not block, and looks at none of them: one copy instead of
  // three where another process is to have them. How many; 0 if the pipe takes no more at present; nothing
  // where the next bytes, or the end, are to be had from read() only (TLS, chunks, what came with the
  // header). Waits and fails like read(), and Errc::io if nobody reads the pipe any more.
  virtual Result<std::optional<std::size_t>> move([[maybe_unused]] int pipe) {
    return std::optional<std::size_t>();
  }
};

// The answer to a request piece by piece: begin(), write()…, end(). Or send() instead, in one. A handler that
// returns without either is answered for, with 500.
class BodyWriter {
 public:
  virtual ~BodyWriter() = default;
  virtual void send(Response response) = 0;
  // Sends status and headers of `head`, whose body must be empty. The body is sent in chunks.
  virtual Result<void> begin(Response head) = 0;
  // Sent at once, so pieces of some kilobytes are cheapest. Waits while the client is slow. Errc::io if it
  // hung up or was too slow.
  virtual Result<void> write(std::string_view bytes) = 0;
  // Without it the answer is cut off, so that the client knows that it is not whole.
  virtual Result<void> end() = 0;
  virtual bool gone() const = 0;
};

}  // namespace nidus::http
