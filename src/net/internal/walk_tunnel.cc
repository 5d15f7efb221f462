// Tunnels: IP or Ethernet inside IP.
#include "net/internal/walk.h"

namespace nidus::net::internal {
namespace {

// Goes into a tunnel. What cannot be decoded there stays with the outer packet: a port that is not used for
// what it is registered for, a snap length that cuts the inner headers, an inner ARP.
template <class Way>
Fault enter(Walk& walk, Way way) {
  if (walk.packet.tunnel_depth == kTunnelsMax) return Fault::too_deep;
  const Fault fault = attempt(walk, [&] {
    ++walk.packet.tunnel_depth;
    walk.packet.marks |= Packet::tunnelled;
    return way();
  });
  if (fault == Fault::none || fault == Fault::too_deep) return fault;
  walk.note(Oddity::tunnel_unread);
  return Fault::none;
}

// A switch's copy of a frame. Type I has no header and no GRE sequence number, type II eight bytes.
Fault walk_erspan_1_2(Walk& walk, bool sequence, Rest rest) {
  if (!sequence) return walk_ethernet(walk, rest);
  return rest.has(8) ? walk_ethernet(walk, rest.after(8)) : Fault::truncated;
}

// Type III: twelve bytes, eight more if the last bit says so; the frame type says Ethernet or IP.
Fault walk_erspan_3(Walk& walk, Rest rest) {
  if (!rest.has(12)) return Fault::truncated;
  const bool subheader = (rest.at[11] & 1) != 0;
  const int frame_type = load_be16(rest.at + 10) >> 10 & 0x1f;
  const std::uint32_t header = subheader ? 20 : 12;
  if (!rest.has(header)) return Fault::truncated;
  rest = rest.after(header);
  return frame_type == 2 ? walk_ip(walk, rest) : walk_ethernet(walk, rest);
}

// RFC 2784, 2890; version 1 is that of PPTP (RFC 2637).
Fault walk_gre(Walk& walk, Rest rest) {
  if (!rest.has(4)) return Fault::truncated;
  const std::uint16_t flags = load_be16(rest.at);
  const std::uint16_t type = load_be16(rest.at + 2);
  const int version = flags & 7;
  const bool checksum = (flags & 0x8000) != 0, routing = (flags & 0x4000) != 0, key = (flags & 0x2000) != 0,
             sequence = (flags & 0x1000) != 0, acknowledgement = (flags & 0x0080) != 0;
  if (version > 1) return Fault::bad_version;
  if (routing) return Fault::unsupported_protocol;
  std::uint32_t header = 4;
  for (const bool field : {checksum, key, sequence, version == 1 && acknowledgement}) header += field ? 4 : 0;
  if (!rest.has(header)) return Fault::truncated;
  rest = rest.after(header);
  switch (type) {
    case 0x88be:
      return walk_erspan_1_2(walk, sequence, rest);
    case 0x22eb:
      return walk_erspan_3(walk, rest);
    case 0x883e:  // WCCP: version 2 has four bytes of its own in front of IP
      if (!rest.has(4)) return Fault::truncated;
      return walk_ip(walk, rest.at[0] >> 4 == 4 ? rest : rest.after(4));
    case 0x6400:  // MikroTik's Ethernet over IP
      return walk_ethernet(walk, rest);
    default:
      // Aruba's access points send the frames of their stations, one type for each.
      if (type >> 9 == 0x8200 >> 9) return walk_ieee80211(walk, rest, false);
      return walk_ether_type(walk, type, rest);
  }
}

Fault walk_ether_ip(Walk& walk, Rest rest) {
  if (!rest.has(2)) return Fault::truncated;
  return rest.at[0] >> 4 == 3 ? walk_ethernet(walk, rest.after(2)) : Fault::bad_version;
}

// RFC 7348: the flag that says the network id is valid has to be set.
Fault walk_vxlan(Walk& walk, Rest rest) {
  if (!rest.has(8)) return Fault::truncated;
  return (rest.at[0] & 0x08) != 0 ? walk_ethernet(walk, rest.after(8)) : Fault::unsupported_protocol;
}

// RFC 8926.
Fault walk_geneve(Walk& walk, Rest rest) {
  if (!rest.has(8)) return Fault::truncated;
  if (rest.at[0] >> 6 != 0) return Fault::bad_version;
  const std::uint16_t type = load_be16(rest.at + 2);
  const std::uint32_t header = 8 + (rest.at[0] & 0x3fu) * 4;
  return rest.has(header) ? walk_ether_type(walk, type, rest.after(header)) : Fault::truncated;
}

// 3GPP TS 29.281: eight bytes, four more if any of three flags is set, then extension headers in a chain.
Fault walk_gtp_user(Walk& walk, Rest rest) {
  constexpr std::uint8_t kUserData = 0xff;
  if (!rest.has(8)) return Fault::truncated;
  const std::uint8_t flags = rest.at[0];
  if (flags >> 4 != 3) return Fault::bad_version;  // version 1, and not GTP'
  if (rest.at[1] != kUserData) return Fault::not_ip;
  const std::uint32_t length = load_be16(rest.at + 2);
  rest = rest.after(8);
  if (length > rest.wire && !walk.partial) return Fault::bad_length;
  rest = rest.first(length);
  if ((flags & 7) != 0) {
    if (!rest.has(4)) return Fault::truncated;
    std::uint8_t next = (flags & 4) != 0 ? rest.at[3] : 0;
    rest = rest.after(4);
    while (next != 0) {
      if (!walk.deeper()) return Fault::too_deep;
      if (!rest.has(1)) return Fault::truncated;
      const std::uint32_t bytes = rest.at[0] * 4u;
      if (bytes == 0) return Fault::bad_length;
      if (!rest.has(bytes)) return Fault::truncated;
      next = rest.at[bytes - 1];
      rest = rest.after(bytes);
    }
  }
  return walk_ip(walk, rest);
}

// RFC 4380: perhaps an authentication header and an origin indication, then IPv6.
Fault walk_teredo(Walk& walk, Rest rest) {
  if (rest.has(4) && load_be16(rest.at) == 1) {
    const std::uint32_t header = 4u + rest.at[2] + rest.at[3] + 9;
    if (!rest.has(header)) return Fault::truncated;
    rest = rest.after(header);
  }
  if (rest.has(8) && load_be16(rest.at) == 0) rest = rest.after(8);
  return walk_ipv6(walk, rest);
}

}  // namespace

Fault walk_ip_tunnel(Walk& walk, std::uint8_t protocol_number, Rest rest) {
  constexpr std::uint8_t kEtherIp = 97, kMplsInIp = 137;
  return enter(walk, [&] {
    switch (protocol_number) {
      case protocol::gre:
        return walk_gre(walk, rest);
      case kEtherIp:
        return walk_ether_ip(walk, rest);
      case kMplsInIp:
        return walk_mpls(walk, rest);
      default:
        return walk_ip(walk, rest);
    }
  });
}

Fault walk_udp_tunnel(Walk& walk, Rest rest) {
  const std::uint16_t source = walk.packet.tuple.source_port;
  const std::uint16_t destination = walk.packet.tuple.destination_port;
  if (rest.wire == 0) return Fault::none;  // a probe or a keep-alive, not a tunnel
  return enter(walk, [&] {
    if (destination == 4789) return walk_vxlan(walk, rest);
    if (destination == 6081) return walk_geneve(walk, rest);
    if (destination == 2152 || source == 2152) return walk_gtp_user(walk, rest);
    return walk_teredo(walk, rest);
  });
}

}  // namespace nidus::net::internal
