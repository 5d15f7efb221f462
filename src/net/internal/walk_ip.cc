// From the IP header to the transport header. RFC 791, 8200, 4302 (AH); what a length may claim is decided
// here.
#include <algorithm>
#include <cstring>

#include "net/internal/walk.h"

namespace nidus::net::internal {
namespace {

constexpr std::uint8_t kHopByHop = 0, kEncapsulatedIpv6 = 41, kRouting = 43, kFragment = 44,
                       kAuthentication = 51, kNoNextHeader = 59, kDestinationOptions = 60, kEtherIp = 97,
                       kMobility = 135, kMplsInIp = 137, kHip = 139, kShim6 = 140;

constexpr std::uint32_t kTcpBytes = 20, kUdpBytes = 8, kIcmpBytes = 8, kSctpBytes = 12;

std::uint16_t clamp16(std::uint32_t value) { return static_cast<std::uint16_t>(std::min(value, 0xffffu)); }

// Whether `rest` is the front part of a datagram whose other fragments follow: then lengths in its headers
// may go beyond it.
bool is_front_part(const Walk& walk) {
  return walk.fragment && walk.fragment->unread && walk.fragment->offset == 0 && !walk.fragment->last;
}

Fault walk_tcp(Walk& walk, Rest rest) {
  Packet& packet = walk.packet;
  if (rest.wire < kTcpBytes && !is_front_part(walk)) return Fault::bad_length;
  if (!rest.has(4)) return Fault::truncated;
  std::uint8_t copy[kTcpBytes];
  const std::uint8_t* header = rest.at;
  std::uint32_t header_bytes = 0;
  if (rest.has(kTcpBytes)) [[likely]] {
    header_bytes = std::uint32_t{header[12]} >> 4 << 2;
    if (header_bytes < kTcpBytes || header_bytes > rest.wire) [[unlikely]] {
      // Scanners send this: options promised, and none there.
      if (!is_front_part(walk)) walk.note(Oddity::transport_length);
      header_bytes = std::clamp(header_bytes, kTcpBytes, rest.wire);
    }
  } else {
    std::memset(copy, 0, sizeof copy);
    std::memcpy(copy, header, rest.captured);
    header = copy;
    header_bytes = std::min(std::max(kTcpBytes, std::uint32_t{header[12]} >> 4 << 2), rest.wire);
    walk.note(Oddity::transport_cut);
  }
  packet.tuple.source_port = load_be16(header);
  packet.tuple.destination_port = load_be16(header + 2);
  packet.sequence = load_be32(header + 4);
  packet.acknowledgement = load_be32(header + 8);
  packet.tcp_flags = header[13];
  packet.window = load_be16(header + 14);
  packet.header_bytes = static_cast<std::uint8_t>(header_bytes);
  packet.payload_bytes = rest.wire - header_bytes;
  packet.captured_payload_bytes = rest.captured > header_bytes ? rest.captured - header_bytes : 0;
  return Fault::none;
}

Fault walk_udp(Walk& walk, Rest rest) {
  Packet& packet = walk.packet;
  if (rest.wire < kUdpBytes && !is_front_part(walk)) return Fault::bad_length;
  if (!rest.has(4)) return Fault::truncated;
  packet.tuple.source_port = load_be16(rest.at);
  packet.tuple.destination_port = load_be16(rest.at + 2);
  if (!rest.has(kUdpBytes)) {
    walk.note(Oddity::transport_cut);
    packet.header_bytes = static_cast<std::uint8_t>(std::min(rest.wire, kUdpBytes));
    packet.payload_bytes = rest.wire - packet.header_bytes;
    return Fault::none;
  }
  const std::uint32_t stated = load_be16(rest.at + 4);
  if (stated >= kUdpBytes && stated <= rest.wire) [[likely]] {
    rest = rest.first(stated);
  } else if (!is_front_part(walk) && !(stated == 0 && rest.wire > 0xffff)) {
    walk.note(Oddity::transport_length);
  }
  packet.header_bytes = kUdpBytes;
  rest = rest.after(kUdpBytes);
  packet.payload_bytes = rest.wire;
  packet.captured_payload_bytes = rest.captured;
  return Fault::none;
}

// Type and code are all that counts of ICMP; the packet that an error message quotes is not looked at.
Fault walk_icmp(Walk& walk, Rest rest) {
  Packet& packet = walk.packet;
  if (rest.wire < 4 && !is_front_part(walk)) return Fault::bad_length;
  if (!rest.has(2)) return Fault::truncated;
  packet.icmp_type = rest.at[0];
  packet.icmp_code = rest.at[1];
  packet.header_bytes = static_cast<std::uint8_t>(std::min(rest.wire, kIcmpBytes));
  if (rest.captured < packet.header_bytes) walk.note(Oddity::transport_cut);
  packet.payload_bytes = rest.wire - packet.header_bytes;
  packet.captured_payload_bytes = rest.captured > kIcmpBytes ? rest.captured - kIcmpBytes : 0;
  return Fault::none;
}

Fault walk_sctp(Walk& walk, Rest rest) {
  Packet& packet = walk.packet;
  if (rest.wire < kSctpBytes && !is_front_part(walk)) return Fault::bad_length;
  if (!rest.has(4)) return Fault::truncated;
  packet.tuple.source_port = load_be16(rest.at);
  packet.tuple.destination_port = load_be16(rest.at + 2);
  packet.header_bytes = static_cast<std::uint8_t>(std::min(rest.wire, kSctpBytes));
  if (rest.captured < packet.header_bytes) walk.note(Oddity::transport_cut);
  packet.payload_bytes = rest.wire - packet.header_bytes;
  packet.captured_payload_bytes = rest.captured > kSctpBytes ? rest.captured - kSctpBytes : 0;
  return Fault::none;
}

Fault walk_transport(Walk& walk, std::uint8_t protocol_number, Rest rest) {
  Packet& packet = walk.packet;
  packet.tuple.protocol = protocol_number;
  Fault fault = Fault::none;
  bool maybe_tunnel = false;
  switch (protocol_number) {
    case protocol::tcp:
      fault = walk_tcp(walk, rest);
      break;
    case protocol::udp:
      fault = walk_udp(walk, rest);
      maybe_tunnel = may_be_udp_tunnel(packet.tuple.source_port, packet.tuple.destination_port);
      break;
    case protocol::icmp:
    case protocol::icmpv6:
      fault = walk_icmp(walk, rest);
      break;
    case protocol::sctp:
      fault = walk_sctp(walk, rest);
      break;
    default:
      packet.payload_bytes = rest.wire;
      packet.captured_payload_bytes = rest.captured;
      maybe_tunnel = protocol_number == protocol::ipip || protocol_number == kEncapsulatedIpv6 ||
                     protocol_number == protocol::gre || protocol_number == kEtherIp ||
                     protocol_number == kMplsInIp;
      break;
  }
  if (fault != Fault::none) return fault;
  bool front_part = false;
  if (walk.fragment && walk.fragment->unread) [[unlikely]] {
    front_part = is_front_part(walk);
    walk.fragment->unread = false;
    walk.fragment->tuple.source_port = packet.tuple.source_port;
    walk.fragment->tuple.destination_port = packet.tuple.destination_port;
    walk.fragment->protocol = protocol_number;
    walk.fragment->icmp_type = packet.icmp_type;
    walk.fragment->icmp_code = packet.icmp_code;
  }
  if (!maybe_tunnel || !walk.options.tunnels) [[likely]]
    return Fault::none;
  // The rest of a fragmented datagram is elsewhere, but the headers of what it carries may be here, and may
  // speak of lengths that go beyond this part.
  const bool partial = walk.partial;
  walk.partial |= front_part;
  fault = protocol_number != protocol::udp ? walk_ip_tunnel(walk, protocol_number, rest)
          : rest.has(kUdpBytes)            ? walk_udp_tunnel(walk, rest.after(kUdpBytes))
                                           : Fault::none;
  walk.partial = partial;
  return fault;
}

// A later fragment: all of it is payload.
Fault walk_later_fragment(Walk& walk, std::uint8_t protocol_number, Rest rest) {
  Packet& packet = walk.packet;
  packet.tuple.protocol = protocol_number;
  packet.marks |= Packet::non_first_fragment;
  packet.payload_bytes = rest.wire;
  packet.captured_payload_bytes = rest.captured;
  walk.fragment->protocol = protocol_number;
  return Fault::none;
}

// The packet so far may be that of an outer datagram.
void begin_datagram(Packet& packet) {
  const std::uint16_t vlan = packet.tuple.vlan;
  packet.tuple = {};
  packet.tuple.vlan = vlan;
  packet.payload_bytes = packet.captured_payload_bytes = 0;
  packet.header_bytes = packet.tcp_flags = packet.icmp_type = packet.icmp_code = 0;
  packet.window = 0;
  packet.sequence = packet.acknowledgement = 0;
  packet.marks &= static_cast<std::uint8_t>(~(Packet::zero_ip_length | Packet::bad_fragment));
}

}  // namespace

Fault walk_ipv4(Walk& walk, Rest rest) {
  Packet& packet = walk.packet;
  if (!rest.has(20)) return rest.wire < 20 ? Fault::bad_length : Fault::truncated;
  const std::uint8_t* const header = rest.at;
  if (header[0] >> 4 != 4) return Fault::bad_version;
  const std::uint32_t header_bytes = (header[0] & 15u) * 4;
  std::uint32_t total = load_be16(header + 2);
  if (packet.ip_bytes != 0) [[unlikely]]
    begin_datagram(packet);
  if (total == 0) [[unlikely]] {
    total = rest.wire;
    packet.marks |= Packet::zero_ip_length;
    walk.note(Oddity::zero_ip_length);
  }
  if (header_bytes < 20 || total < header_bytes) [[unlikely]]
    return Fault::bad_length;
  if (total > rest.wire) [[unlikely]] {
    if (!walk.partial) return Fault::bad_length;
    rest.wire = total;
  }
  if (!rest.has(header_bytes)) return Fault::truncated;
  packet.padding_bytes = clamp16(packet.padding_bytes + (rest.wire - total));
  packet.ip_bytes = total;
  packet.ttl = header[8];
  packet.tuple.version = IpVersion::v4;
  std::memcpy(packet.tuple.source.bytes.data(), header + 12, 4);
  std::memcpy(packet.tuple.destination.bytes.data(), header + 16, 4);
  const std::uint8_t next = header[9];
  rest = rest.first(total).after(header_bytes);

  const std::uint16_t fragmentation = load_be16(header + 6);
  if ((fragmentation & 0x3fff) != 0) [[unlikely]] {
    walk.fragment.emplace();
    walk.fragment->last = (fragmentation & 0x2000) == 0;
    walk.fragment->offset = fragmentation & 0x1fff;
    walk.fragment->bytes = rest.wire;
    walk.fragment->id = load_be16(header + 4);
    walk.fragment->tuple = packet.tuple;
    walk.fragment->tuple.protocol = next;
    if (walk.fragment->offset != 0) return walk_later_fragment(walk, next, rest);
  }
  if (next != kAuthentication) [[likely]]
    return walk_transport(walk, next, rest);
  if (!rest.has(2)) return Fault::truncated;
  const std::uint32_t authentication_bytes = (rest.at[1] + 2u) * 4;
  if (authentication_bytes > rest.wire) return Fault::bad_length;
  if (!rest.has(authentication_bytes)) return Fault::truncated;
  return walk_transport(walk, rest.at[0], rest.after(authentication_bytes));
}

Fault walk_ipv6(Walk& walk, Rest rest) {
  Packet& packet = walk.packet;
  if (!rest.has(40)) return rest.wire < 40 ? Fault::bad_length : Fault::truncated;
  const std::uint8_t* const header = rest.at;
  if (header[0] >> 4 != 6) return Fault::bad_version;
  std::uint8_t next = header[6];
  std::uint32_t total = 40u + load_be16(header + 4);
  if (packet.ip_bytes != 0) [[unlikely]]
    begin_datagram(packet);
  const bool may_be_long = next == kHopByHop || next == protocol::tcp || next == protocol::udp;
  if (total == 40 && rest.wire > 40 && may_be_long) [[unlikely]] {
    // A jumbogram (RFC 2675), or a capture of segmentation offload.
    total = rest.wire;
    packet.marks |= Packet::zero_ip_length;
    walk.note(Oddity::zero_ip_length);
  }
  if (total > rest.wire) [[unlikely]] {
    if (!walk.partial) return Fault::bad_length;
    rest.wire = total;
  }
  packet.padding_bytes = clamp16(packet.padding_bytes + (rest.wire - total));
  packet.ip_bytes = total;
  packet.ttl = header[7];
  packet.tuple.version = IpVersion::v6;
  std::memcpy(packet.tuple.source.bytes.data(), header + 8, 16);
  std::memcpy(packet.tuple.destination.bytes.data(), header + 24, 16);
  rest = rest.first(total).after(40);

  for (;;) {
    std::uint32_t bytes = 0;
    const std::uint8_t kind = next;
    switch (kind) {
      case kHopByHop:
      case kRouting:
      case kDestinationOptions:
      case kMobility:
      case kHip:
      case kShim6:
        if (!rest.has(2)) return rest.wire < 2 ? Fault::bad_length : Fault::truncated;
        bytes = (rest.at[1] + 1u) * 8;
        break;
      case kAuthentication:
        if (!rest.has(2)) return rest.wire < 2 ? Fault::bad_length : Fault::truncated;
        bytes = (rest.at[1] + 2u) * 4;
        break;
      case kFragment:
        bytes = 8;
        break;
      default:
        return walk_transport(walk, next, rest);
    }
    // No limit on their number is needed: each takes at least eight bytes of the frame.
    if (bytes > rest.wire) return Fault::bad_length;
    if (!rest.has(bytes)) return Fault::truncated;
    const std::uint8_t* const extension = rest.at;
    next = extension[0];
    rest = rest.after(bytes);
    if (kind == kFragment) {
      const std::uint16_t fragmentation = load_be16(extension + 2);
      // Offset 0 and nothing more is an "atomic" fragment (RFC 6946): a whole datagram.
      if ((fragmentation & 0xfff9) == 0) continue;
      walk.fragment.emplace();
      walk.fragment->last = (fragmentation & 1) == 0;
      walk.fragment->offset = fragmentation >> 3;
      walk.fragment->bytes = rest.wire;
      walk.fragment->id = load_be32(extension + 4);
      walk.fragment->tuple = packet.tuple;
      walk.fragment->tuple.protocol = next;
      if (walk.fragment->offset != 0) return walk_later_fragment(walk, next, rest);
    } else if (next == kNoNextHeader && (kind == kMobility || kind == kHip || kind == kShim6)) {
      // These are signalling of their own, and say more than "no next header".
      return walk_transport(walk, kind, rest);
    }
  }
}

Fault walk_ip(Walk& walk, Rest rest) {
  if (!rest.has(1)) return rest.wire == 0 ? Fault::bad_length : Fault::truncated;
  switch (rest.at[0] >> 4) {
    case 4:
      return walk_ipv4(walk, rest);
    case 6:
      return walk_ipv6(walk, rest);
    default:
      return Fault::bad_version;
  }
}

}  // namespace nidus::net::internal
