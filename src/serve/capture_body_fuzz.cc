// Whatever the body: no crash, the same capture in whichever pieces it comes,
// and of packets one that is read to its end.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "net/capture.h"
#include "serve/capture_body.h"

namespace {

using namespace nidus;
using namespace nidus::serve;

// The capture, or nothing and the error.
bool read(int kind, std::string_view body, std::size_t piece, std::string& out) {
  PieceSource source = [body, piece, at = std::size_t{0}]() mutable -> Result<std::span<const std::byte>> {
    const std::string_view some = body.substr(at, piece);
    at += some.size();
    return std::as_bytes(std::span(some.data(), some.size()));
  };
  const auto capture = kind == 0   ? json_capture(std::move(source))
                       : kind == 1 ? json_packets(std::move(source))
                                   : form_capture(std::move(source), "multipart/form-data; boundary=b");
  out.clear();
  for (;;) {
    const auto some = capture->next();
    if (!some) {
      out = some.error().message;
      return false;
    }
    if (some->empty()) return true;
    out.append(reinterpret_cast<const char*>(some->data()), some->size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const int kind = data[0] % 3;
  const std::string_view body(reinterpret_cast<const char*>(data + 1), size - 1);
  std::string whole, cut;
  const bool good = read(kind, body, 1 << 20, whole);
  if (read(kind, body, 3, cut) != good || cut != whole) std::abort();
  if (kind == 1 && good) {
    auto capture =
        net::Capture::open_memory({reinterpret_cast<const std::uint8_t*>(whole.data()), whole.size()}, "x");
    if (!capture) std::abort();
    net::Frame frame;
    while (capture->next(frame) == net::Next::frame) {
    }
    if (capture->fault()) std::abort();
  }
  return 0;
}
