// The input is a row of frames: link type (2 bytes), switches (1), length (2), bytes. They pass through one
// decoder, so that fragments meet.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "net/decode.h"
#include "net/internal/bytes.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace nidus::net;
  constexpr std::size_t kHeader = 5;
  if (size < 1) return 0;
  DecodeOptions options;
  options.tunnels = (data[0] & 1) == 0;
  options.keep_arp = (data[0] & 2) != 0;
  options.fragment_capacity = 8;
  Decoder decoder(options);
  std::int64_t ns = 0;
  for (++data, --size; size >= kHeader;) {
    const std::uint8_t switches = data[2];
    const std::size_t length = std::min<std::size_t>(internal::load_le16(data + 3), size - kHeader);
    // A copy of exactly the frame's size, so that the sanitizer sees a byte too far.
    const std::vector<std::uint8_t> bytes(data + kHeader, data + kHeader + length);
    Frame frame;
    frame.time = {ns += switches * 1'000'000'000ll};
    frame.link = static_cast<LinkType>(internal::load_le16(data));
    frame.bytes = bytes;
    frame.wire_bytes = static_cast<std::uint32_t>(length) + ((switches & 1) != 0 ? 3000 : 0);
    data += kHeader + length;
    size -= kHeader + length;

    Packet alone, packet;
    const Fault fault = decode_headers(frame, options, alone);
    require(decoder.decode(frame, packet) == fault);
    if (fault != Fault::none) continue;
    require(packet.captured_payload_bytes <= packet.payload_bytes);
    require(packet.captured_payload_bytes <= length);
    require(packet.frame_bytes == frame.wire_bytes);
    require(packet.time == frame.time);
    require(packet.tunnel_depth <= kTunnelsMax);
    require((packet.tunnel_depth > 0) == ((packet.marks & Packet::tunnelled) != 0));
    require(options.tunnels || packet.tunnel_depth == 0);
    if ((packet.marks & Packet::arp) != 0) {
      require(options.keep_arp && packet.tuple.protocol == 0 && packet.payload_bytes == 0);
    } else {
      require(packet.payload_bytes + packet.header_bytes < packet.ip_bytes);
    }
    // What only the fragment table can know is all it may change.
    if ((packet.marks & Packet::fragment_attributed) == 0) require(packet.tuple == alone.tuple);
    require(packet.payload_bytes == alone.payload_bytes && packet.ip_bytes == alone.ip_bytes);
  }
  return 0;
}
