// The input is what a client sends: the first byte says in pieces of which size, the rest is the bytes. They
// go the way of a connection: reader and input buffer. However they are cut, the same requests come out.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "http/internal/buffer.h"
#include "http/internal/request_reader.h"

namespace {

using namespace nidus::http;
using internal::RequestReader;

void require(bool condition) {
  if (!condition) std::abort();
}

// What was understood of all that came: the fields of each request, its body, and how it ended.
std::string understood(std::string_view bytes, std::size_t step) {
  const internal::ReaderLimits limits{.header_bytes_max = 2048, .headers_max = 20, .target_bytes_max = 512};
  RequestReader reader(limits);
  internal::InputBuffer input;
  input.set_capacity(64, [](const char*, const char*, std::size_t) {});
  Request request;
  std::string out;
  std::size_t at = 0;
  const auto read_more = [&] {
    if (at == bytes.size()) return false;
    if (input.room().empty()) input.close_gap();
    if (input.room().empty()) {
      input.set_capacity(2 * input.capacity(), [&](const char*, const char*, std::size_t) {});
    }
    const std::size_t count = std::min({step, bytes.size() - at, input.room().size()});
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), count, input.room().begin());
    input.filled(count);
    at += count;
    return true;
  };
  for (;;) {
    reader.start();
    auto header = RequestReader::Header::more;
    while ((header = reader.read_header(input.all(), request)) == RequestReader::Header::more) {
      require(input.all().size() <= limits.header_bytes_max + step);
      if (!read_more()) return out + "cut in a header";
    }
    if (header == RequestReader::Header::fault) {
      require(reader.fault().status >= 400 && !reader.fault().detail.empty());
      return out + std::to_string(reader.fault().status);
    }
    require(reader.header_bytes() <= limits.header_bytes_max);
    require(request.target.starts_with('/') || request.target == "*");
    require(request.target.starts_with(request.path) && request.target.size() <= limits.target_bytes_max);
    out.append(name_of(request.method)).append(" ").append(request.target).append("\n");
    for (const auto& [name, value] : request.headers) {
      require(!name.empty());
      for (const char c : value) require(c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f));
      out.append(name).append("=").append(value).append("\n");
    }
    // No request says its length in two ways.
    require(request.header("content-length").empty() || request.header("transfer-encoding").empty());
    require(reader.is_chunked() != request.content_length.has_value());
    (void)request.query("x");
    out += reader.keeps_alive() ? "goes on\n" : "ends\n";
    input.keep(reader.header_bytes());
    const std::size_t kept = input.kept_size();
    std::uint64_t body = 0;
    for (bool done = false; !done;) {
      const std::string_view unseen = input.unseen();
      std::string_view rest = unseen, piece;
      switch (reader.read_body(rest, piece)) {
        case RequestReader::Body::piece:
          require(!piece.empty() && piece.data() >= unseen.data() &&
                  piece.data() + piece.size() == rest.data());
          body += piece.size();
          out += piece;
          input.skip(unseen.size() - rest.size());
          break;
        case RequestReader::Body::more:
          input.skip(unseen.size() - rest.size());
          if (!read_more()) return out + "cut in a body";
          break;
        case RequestReader::Body::fault:
          return out + "broken";
        case RequestReader::Body::done:
          input.skip(unseen.size() - rest.size());
          done = true;
          break;
      }
    }
    require(reader.body_is_done() && input.kept_size() == kept);
    require(!request.content_length || *request.content_length == body);
    out += "\n--\n";
    input.forget_kept();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  const std::string whole = understood(bytes, bytes.size() + 1);
  require(understood(bytes, 1 + data[0]) == whole);
  require(understood(bytes, 1) == whole);
  return 0;
}
