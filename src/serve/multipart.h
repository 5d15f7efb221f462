#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/message.h"

namespace nidus::serve {

// The parts of a body of type multipart/form-data (RFC 7578), one behind the other as the bytes come in;
// never holds more than a piece of it. Not thread-safe.
class Multipart {
 public:
  static constexpr std::size_t kHeadBytesMax = 16 << 10;  // of the headers of a part
  static constexpr std::size_t kPartsMax = 64;

  struct Part {
    std::string name, file_name, content_type;  // as the client says; not to be trusted with paths
  };

  // Errc::invalid for a content type that is no multipart, or names no good boundary. `body` must outlive it.
  static Result<Multipart> open(std::string_view content_type, http::BodyReader& body);

  // The next part; what was not read of the one before is passed over. Nothing at the end. Errc::corrupt for
  // what is no multipart, Errc::exhausted for too many parts or headers, else what the body says.
  Result<std::optional<Part>> next();
  // Further bytes of the part; none at its end. Valid until the next call.
  Result<std::span<const std::byte>> read();

 private:
  Multipart(std::string boundary, http::BodyReader& body);
  // Adds bytes to the buffer; false at the end of the body.
  Result<bool> more();
  Result<Part> head();

  std::string delimiter_;  // "\r\n--boundary"
  http::BodyReader* body_;
  std::string buffer_;  // bytes read, from at_ on not yet looked at
  std::size_t at_ = 0;
  std::size_t parts_ = 0;
  bool in_part_ = false, body_ended_ = false, ended_ = false;
};

}  // namespace nidus::serve
