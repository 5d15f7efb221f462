#pragma once

// For tests: decodes a frame and says in a line what came out.

#include <gtest/gtest.h>

#include <string>

#include "net/decode.h"
#include "net/testing/frames.h"

namespace nidus::net::testing {

inline Frame frame_of(LinkType link, const Bytes& bytes, std::uint32_t wire_bytes = 0) {
  Frame frame;
  frame.link = link;
  frame.bytes = bytes;
  frame.wire_bytes = std::max(static_cast<std::uint32_t>(bytes.size()), wire_bytes);
  return frame;
}

// "udp 10.0.0.1:4000 > 10.0.0.2:53, 5 bytes, vlan 7, depth 1"; the parts after the payload only if there.
inline std::string text_of(const Packet& packet) {
  std::string out;
  switch (packet.tuple.protocol) {
    case protocol::tcp:
      out = "tcp";
      break;
    case protocol::udp:
      out = "udp";
      break;
    case protocol::icmp:
      out = "icmp";
      break;
    case protocol::icmpv6:
      out = "icmpv6";
      break;
    case protocol::sctp:
      out = "sctp";
      break;
    default:
      out = std::to_string(packet.tuple.protocol);
  }
  const bool ports = packet.tuple.source_port != 0 || packet.tuple.destination_port != 0;
  const auto end = [&](const Address& address, std::uint16_t port) {
    std::string side = address_text(address, packet.tuple.version);
    if (ports && packet.tuple.version == IpVersion::v6) side = "[" + side + "]";
    return ports ? side + ":" + std::to_string(port) : side;
  };
  out += " " + end(packet.tuple.source, packet.tuple.source_port);
  out += " > " + end(packet.tuple.destination, packet.tuple.destination_port);
  out += ", " + std::to_string(packet.payload_bytes) + " bytes";
  if (packet.tuple.vlan != 0) out += ", vlan " + std::to_string(packet.tuple.vlan);
  if (packet.tunnel_depth != 0) out += ", depth " + std::to_string(packet.tunnel_depth);
  return out;
}

inline std::string decoded(const Frame& frame, const DecodeOptions& options = {}) {
  Packet packet;
  const Fault fault = decode_headers(frame, options, packet);
  if (fault != Fault::none) return std::string(kFaultNames[static_cast<std::size_t>(fault)]);
  return text_of(packet);
}

// Every prefix of a valid frame decodes without incident, whether the frame was cut by the capture or was
// that short on the wire. The copy is exactly as long as the prefix, so that the sanitizer sees a byte too
// far.
inline void every_prefix(LinkType link, const Bytes& bytes) {
  for (std::size_t size = 0; size <= bytes.size(); ++size) {
    const Bytes prefix(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
    for (const std::uint32_t wire : {std::size_t{0}, bytes.size()}) {
      Packet packet;
      if (decode_headers(frame_of(link, prefix, wire), {}, packet) != Fault::none) continue;
      ASSERT_LE(packet.captured_payload_bytes, size);
      ASSERT_LE(packet.captured_payload_bytes, packet.payload_bytes);
    }
  }
}

inline std::string decoded(LinkType link, const Bytes& bytes, const DecodeOptions& options = {}) {
  every_prefix(link, bytes);
  return decoded(frame_of(link, bytes), options);
}

}  // namespace nidus::net::testing
