// Any bytes as a capture. What is read from them plain has to be read from them packed as well: there they
// come through the streaming buffer instead of being looked at in place.
#include <zlib.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "net/capture.h"

namespace {

using namespace nidus;
using namespace nidus::net;

struct Reading {
  std::uint64_t frames = 0;
  std::uint64_t sum = 0;
  bool opened = false;
  std::string message;

  friend bool operator==(const Reading&, const Reading&) = default;
};

Reading read_all(const std::vector<std::uint8_t>& bytes, std::string* format = nullptr) {
  Reading out;
  auto capture = Capture::open_memory(bytes, "x", {.inflated_bytes_max = 1 << 20});
  out.opened = capture.has_value();
  if (!capture) {
    out.message = capture.error().message;
    return out;
  }
  if (format != nullptr) *format = capture->format();
  Frame frame;
  Next next;
  while ((next = capture->next(frame)) == Next::frame) {
    if (frame.bytes.size() > kFrameBytesMax || frame.wire_bytes < frame.bytes.size()) std::abort();
    out.sum = out.sum * 31 + static_cast<std::uint64_t>(frame.time.ns) + frame.wire_bytes +
              static_cast<std::uint64_t>(frame.link);
    for (const std::uint8_t byte : frame.bytes) out.sum += byte;
    ++out.frames;
  }
  if (next != Next::end || capture->next(frame) != Next::end) std::abort();
  if (capture->frames() != out.frames) std::abort();
  if (capture->fault()) out.message = capture->fault()->message;
  return out;
}

std::vector<std::uint8_t> stored_in_gzip(const std::vector<std::uint8_t>& bytes) {
  z_stream stream{};
  if (deflateInit2(&stream, 0, Z_DEFLATED, 15 + 16, 1, Z_DEFAULT_STRATEGY) != Z_OK) std::abort();
  std::vector<std::uint8_t> out(deflateBound(&stream, static_cast<uLong>(bytes.size())) + 64);
  stream.next_in = const_cast<std::uint8_t*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) std::abort();
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

void remove(std::string& text, std::string_view part) {
  const std::size_t at = text.find(part);
  if (at != text.npos) text.erase(at, part.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 1 << 19) return 0;  // less than the limit on what is unpacked
  const std::vector<std::uint8_t> bytes(data, data + size);
  std::string format;
  const Reading plain = read_all(bytes, &format);
  if (!plain.opened || format.find(',') != format.npos) return 0;
  Reading packed = read_all(stored_in_gzip(bytes));
  remove(packed.message, " of the unpacked capture");
  if (packed != plain) std::abort();
  return 0;
}
