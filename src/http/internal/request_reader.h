#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "http/message.h"

namespace nidus::http::internal {

struct ReaderLimits {
  std::size_t header_bytes_max = 16 << 10;
  std::size_t headers_max = 100;
  std::size_t target_bytes_max = 8 << 10;
};

// Why bytes are no request that we take. The text is ours and lives for ever.
struct ReaderFault {
  int status = 400;
  std::string_view detail;
};

// Turns the bytes of a connection into requests: header, then the pieces of its body. Grammar is left to
// Beast's parser; what two parties could understand in two ways is refused here, before Beast sees it or
// after (RFC 9112, 2.2, 3.2, 5.1, 5.2, 6.1, 6.3). No I/O, and no memory of its own but for headers that stand
// several times.
class RequestReader {
 public:
  explicit RequestReader(const ReaderLimits& limits);
  ~RequestReader();

  enum class Header : std::uint8_t { more, done, fault };
  enum class Body : std::uint8_t { piece, more, done, fault };

  // Forgets the last request. To be called before the first byte of each.
  void start();

  // `bytes` are all of the request that came so far; they may lie elsewhere at each call. Once they hold a
  // whole header, `request` views them: they must stay where they are, or the views be moved with them. Two
  // things are changed in them: a content type becomes lower case, and an absolute target may get a slash.
  Header read_header(std::span<char> bytes, Request& request);
  // How many of the bytes were the header.
  std::size_t header_bytes() const;

  // The rest is for after a header was done.
  bool keeps_alive() const;
  bool is_http_11() const;
  bool expects_continue() const;
  bool body_is_done() const;
  bool is_chunked() const;
  // Of a body of known length: what is still to come.
  std::uint64_t body_bytes_left() const;

  // Takes from the front of `bytes`. Body::piece: `piece` is the next of the body, a part of `bytes`, not
  // empty. Body::more: what is left in `bytes`, which may be some bytes of framing, is not enough.
  // Body::done: there is no more.
  Body read_body(std::string_view& bytes, std::string_view& piece);
  // Of a body of known length, somebody else has taken the next `count` bytes, no more than are left.
  void pass_body(std::uint64_t count);

  const ReaderFault& fault() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nidus::http::internal
