// From the link to the IP header: what stands in front of IP on each link type, and the tags between the two.
#include "net/internal/walk.h"

namespace nidus::net::internal {
namespace {

// The first tag counts; a priority tag (id 0) is none.
void remember_vlan(Packet& packet, std::uint16_t tag) {
  if (packet.tuple.vlan == 0) packet.tuple.vlan = tag & 0x0fff;
}

Fault walk_arp(Walk& walk) {
  Packet& packet = walk.packet;
  if (!walk.options.keep_arp || packet.tunnel_depth > 0) return Fault::arp;
  packet.marks |= Packet::arp;
  packet.tuple.source.bytes = {8, 6, 0, 1};
  packet.tuple.destination.bytes = {8, 0, 6, 4};
  return Fault::none;
}

// The network layer protocol identifiers of ISO/IEC TR 9577 that matter here.
Fault walk_nlpid(Walk& walk, Rest rest) {
  if (!rest.has(1)) return Fault::truncated;
  switch (rest.at[0]) {
    case 0xcc:
      return walk_ipv4(walk, rest.after(1));
    case 0x8e:
      return walk_ipv6(walk, rest.after(1));
    case 0xcf:
      return walk_ppp(walk, rest.after(1));
    case 0x80: {  // SNAP
      if (!rest.has(6)) return Fault::truncated;
      if (load_be16(rest.at + 1) != 0 || rest.at[3] != 0) return Fault::not_ip;
      return walk_ether_type(walk, load_be16(rest.at + 4), rest.after(6));
    }
    default:
      return Fault::not_ip;
  }
}

// RFC 2427: an address of two to four bytes whose last has its lowest bit set, then 03 and an NLPID, perhaps
// with a byte of padding between them. Cisco's own has an Ethernet type right after the address.
Fault walk_frame_relay(Walk& walk, Rest rest) {
  std::uint32_t address_bytes = 1;
  while (address_bytes <= 4 && rest.has(address_bytes) && (rest.at[address_bytes - 1] & 1) == 0)
    ++address_bytes;
  if (address_bytes > 4) return Fault::bad_length;
  if (!rest.has(address_bytes + 3)) return Fault::truncated;
  rest = rest.after(address_bytes);
  if (rest.at[0] != 3) return walk_ether_type(walk, load_be16(rest.at), rest.after(2));
  return walk_nlpid(walk, rest.after(rest.at[1] == 0 ? 2 : 1));
}

// The address family of the capturing system, in its byte order (null) or big-endian (loop). IPv6 has another
// number on each system.
Fault walk_bsd_family(Walk& walk, Rest rest) {
  if (!rest.has(4)) return Fault::truncated;
  std::uint32_t family = load_le32(rest.at);
  if (family > 0xffff) family = swap_bytes(family);
  switch (family) {
    case 2:
      return walk_ipv4(walk, rest.after(4));
    case 10:  // Linux
    case 23:  // Windows
    case 24:  // NetBSD, OpenBSD
    case 28:  // FreeBSD
    case 30:  // macOS
      return walk_ipv6(walk, rest.after(4));
    default:
      return Fault::not_ip;
  }
}

// RFC 8300: the header says its own length, in words, and what follows.
Fault walk_service_header(Walk& walk, Rest rest) {
  if (!walk.deeper()) return Fault::too_deep;
  if (!rest.has(4)) return Fault::truncated;
  const std::uint32_t header = (load_be16(rest.at) & 0x3fu) * 4;
  const std::uint8_t next = rest.at[3];
  if (header < 8) return Fault::bad_length;
  if (!rest.has(header)) return Fault::truncated;
  rest = rest.after(header);
  switch (next) {
    case 1:
      return walk_ipv4(walk, rest);
    case 2:
      return walk_ipv6(walk, rest);
    case 3:
      return walk_ethernet(walk, rest);
    case 4:
      return walk_service_header(walk, rest);
    case 5:
      return walk_mpls(walk, rest);
    default:
      return Fault::not_ip;
  }
}

Fault walk_cisco_hdlc(Walk& walk, Rest rest) {
  if (!rest.has(4)) return Fault::truncated;
  return walk_ether_type(walk, load_be16(rest.at + 2), rest.after(4));
}

Fault walk_linux_cooked(Walk& walk, std::uint16_t type, Rest rest) {
  constexpr std::uint16_t kLlc = 4;
  if (type == kLlc) return walk_llc(walk, rest);
  return type < 0x0600 ? Fault::not_ip : walk_ether_type(walk, type, rest);
}

Fault walk_token_ring(Walk& walk, Rest rest) {
  std::uint32_t header = 14;
  if (!rest.has(header + 1)) return Fault::truncated;
  if (rest.at[1] >> 6 != 1) return Fault::not_ip;
  if ((rest.at[8] & 0x80) != 0) header += rest.at[14] & 0x1f;  // source routing
  return rest.has(header) ? walk_llc(walk, rest.after(header)) : Fault::truncated;
}

Fault walk_arcnet(Walk& walk, Rest rest) {
  if (!rest.has(9)) return Fault::truncated;
  switch (rest.at[4]) {
    case 240:  // IP as in RFC 1051
      return walk_ipv4(walk, rest.after(5));
    case 212: {  // IP as in RFC 1201, with a fragmentation header of its own
      const bool exception = rest.at[5] == 0xff;
      if (!exception && rest.at[5] != 0) return Fault::unsupported_protocol;
      const std::uint32_t header = exception ? 12 : 8;
      return rest.has(header) ? walk_ipv4(walk, rest.after(header)) : Fault::truncated;
    }
    case 213:
      return walk_arp(walk);
    default:
      return Fault::not_ip;
  }
}

// Linux's netfilter log: attributes of a length, a type and a value, padded to 4, numbers in the byte order
// of the capturing system.
Fault walk_nflog(Walk& walk, Rest rest) {
  constexpr std::uint16_t kPayload = 9;
  if (!rest.has(4)) return Fault::truncated;
  rest = rest.after(4);
  while (rest.has(4)) {
    std::uint16_t length = load_le16(rest.at);
    std::uint16_t type = load_le16(rest.at + 2);
    if (type > 0xff) {
      length = swap_bytes(length);
      type = swap_bytes(type);
    }
    if (length < 4) return Fault::bad_length;
    if (type == kPayload) return walk_ip(walk, rest.first(length).after(4));
    const std::uint32_t step = (length + 3u) & ~3u;
    if (step > rest.wire) return Fault::bad_length;
    if (!rest.has(step)) return Fault::truncated;
    rest = rest.after(step);
  }
  return rest.wire >= 4 ? Fault::truncated : Fault::not_ip;
}

Fault walk_ppi(Walk& walk, Rest rest) {
  if (!rest.has(8)) return Fault::truncated;
  const std::uint32_t header = load_le16(rest.at + 2);
  const std::uint32_t link = load_le32(rest.at + 4);
  if (header < 8 || header > rest.wire) return Fault::bad_length;
  if (!rest.has(header)) return Fault::truncated;
  if (link > 0xffff) return Fault::unsupported_link;
  return walk.deeper() ? walk_link(walk, static_cast<LinkType>(link), rest.after(header)) : Fault::too_deep;
}

// A header of fixed length, then IP.
Fault walk_ip_after(Walk& walk, std::uint32_t header, Rest rest) {
  return rest.has(header) ? walk_ip(walk, rest.after(header)) : Fault::truncated;
}

// A pseudo-wire carries Ethernet, with or without a control word of four bytes in front (RFC 4448).
Fault walk_pseudo_wire(Walk& walk, Rest rest) {
  if (!walk.deeper()) return Fault::too_deep;
  if (rest.at[0] == 0 && rest.has(4)) {
    const Fault fault = attempt(walk, [&] { return walk_ethernet(walk, rest.after(4)); });
    if (fault == Fault::none || fault == Fault::too_deep) return fault;
  }
  return walk_ethernet(walk, rest);
}

}  // namespace

// Nothing says what follows the labels; its first four bits have to (RFC 4928).
Fault walk_mpls(Walk& walk, Rest rest) {
  for (bool bottom = false; !bottom; rest = rest.after(4)) {
    if (!rest.has(4)) return Fault::truncated;
    if (!walk.deeper()) return Fault::too_deep;
    bottom = (rest.at[2] & 1) != 0;
  }
  if (!rest.has(1)) return Fault::truncated;
  const int version = rest.at[0] >> 4;
  if (version == 1) return Fault::not_ip;  // associated channel: maintenance
  if (version != 4 && version != 6) return walk_pseudo_wire(walk, rest);
  const Fault fault = attempt(walk, [&] { return walk_ip(walk, rest); });
  if (fault != Fault::bad_length && fault != Fault::bad_version) return fault;
  // A hardware address may begin with 4 or 6 as well. If that is not it either, it was IP with a bad length.
  return walk_pseudo_wire(walk, rest) == Fault::none ? Fault::none : fault;
}

Fault walk_llc(Walk& walk, Rest rest) {
  if (!rest.has(3)) return Fault::truncated;
  if (rest.at[2] != 3) return Fault::not_ip;
  switch (load_be16(rest.at)) {
    case 0x0606:
      return walk_ipv4(walk, rest.after(3));
    case 0xfefe:
      return walk_nlpid(walk, rest.after(3));
    case 0xaaaa: {
      if (!rest.has(8)) return Fault::truncated;
      const std::uint32_t organisation = load_be32(rest.at + 3) >> 8;
      // 0000f8 is the bridge tunnel of IEEE 802.1H.
      if (organisation != 0 && organisation != 0x0000f8) return Fault::not_ip;
      return walk_ether_type(walk, load_be16(rest.at + 6), rest.after(8));
    }
    default:
      return Fault::not_ip;
  }
}

Fault walk_ppp(Walk& walk, Rest rest) {
  if (rest.has(2) && rest.at[0] == 0xff && rest.at[1] == 0x03) rest = rest.after(2);
  if (!rest.has(2)) return Fault::truncated;
  // A first byte that is odd is the whole number, compressed.
  const bool compressed = (rest.at[0] & 1) != 0;
  const std::uint16_t number = compressed ? rest.at[0] : load_be16(rest.at);
  rest = rest.after(compressed ? 1 : 2);
  switch (number) {
    case 0x0021:
      return walk_ipv4(walk, rest);
    case 0x0057:
      return walk_ipv6(walk, rest);
    case 0x0281:
    case 0x0283:
      return walk_mpls(walk, rest);
    case 0x0053:
    case 0x0055:
      return Fault::encrypted;
    case 0x002d:  // Van Jacobson, compressed and not; multilink; compression
    case 0x002f:
    case 0x003d:
    case 0x00fb:
    case 0x00fd:
      return Fault::unsupported_protocol;
    default:
      return Fault::not_ip;
  }
}

Fault walk_pppoe(Walk& walk, Rest rest) {
  if (!rest.has(6)) return Fault::truncated;
  if (rest.at[0] != 0x11) return Fault::bad_version;
  if (rest.at[1] != 0) return Fault::not_ip;  // discovery
  // The length it states is not needed: that of IP is checked against the frame, and some senders get this
  // one wrong.
  return walk_ppp(walk, rest.after(6));
}

Fault walk_ether_type(Walk& walk, std::uint16_t type, Rest rest) {
  for (;;) {
    switch (type) {
      case 0x0800:
        return walk_ipv4(walk, rest);
      case 0x86dd:
        return walk_ipv6(walk, rest);
      case 0x0806:
        return walk_arp(walk);
      case 0x8100:
      case 0x88a8:
      case 0x9100:
      case 0x9200:
        if (!walk.deeper()) return Fault::too_deep;
        if (!rest.has(4)) return Fault::truncated;
        remember_vlan(walk.packet, load_be16(rest.at));
        type = load_be16(rest.at + 2);
        rest = rest.after(4);
        if (type < 0x0600) return walk_llc(walk, rest.first(type));
        continue;
      case 0x8926:  // VN-tag
        if (!walk.deeper()) return Fault::too_deep;
        if (!rest.has(6)) return Fault::truncated;
        type = load_be16(rest.at + 4);
        rest = rest.after(6);
        continue;
      case 0x8909:  // Cisco metadata
        if (!walk.deeper()) return Fault::too_deep;
        if (!rest.has(8)) return Fault::truncated;
        type = load_be16(rest.at + 6);
        rest = rest.after(8);
        continue;
      case 0x893f:  // 802.1BR E-tag
        if (!walk.deeper()) return Fault::too_deep;
        if (!rest.has(8)) return Fault::truncated;
        type = load_be16(rest.at + 6);
        rest = rest.after(8);
        continue;
      case 0x88e5: {  // MACsec: encrypted, or only signed
        if (!walk.deeper()) return Fault::too_deep;
        if (!rest.has(1)) return Fault::truncated;
        if ((rest.at[0] & 0x0c) != 0) return Fault::encrypted;
        const std::uint32_t header = (rest.at[0] & 0x20) != 0 ? 14 : 6;
        if (!rest.has(header + 2)) return Fault::truncated;
        type = load_be16(rest.at + header);
        rest = rest.after(header + 2);
        continue;
      }
      case 0x894f:
        return walk_service_header(walk, rest);
      case 0x8847:
      case 0x8848:
        return walk_mpls(walk, rest);
      case 0x8864:
        return walk_pppoe(walk, rest);
      case 0x880b:
        return walk_ppp(walk, rest);
      case 0x6558:  // transparent Ethernet bridging
        return walk.deeper() ? walk_ethernet(walk, rest) : Fault::too_deep;
      case 0x88e7:  // provider backbone bridge
        if (!rest.has(4)) return Fault::truncated;
        return walk.deeper() ? walk_ethernet(walk, rest.after(4)) : Fault::too_deep;
      case 0x8903:  // Cisco FabricPath
        if (!rest.has(2)) return Fault::truncated;
        return walk.deeper() ? walk_ethernet(walk, rest.after(2)) : Fault::too_deep;
      default:
        return Fault::not_ip;
    }
  }
}

Fault walk_ethernet(Walk& walk, Rest rest) {
  if (!rest.has(14)) return Fault::truncated;
  const std::uint16_t type = load_be16(rest.at + 12);
  rest = rest.after(14);
  if (type == 0x0800) [[likely]]
    return walk_ipv4(walk, rest);
  return type >= 0x0600 ? walk_ether_type(walk, type, rest) : walk_llc(walk, rest.first(type));
}

Fault walk_link(Walk& walk, LinkType link, Rest rest) {
  switch (link) {
    case LinkType::ethernet:
      return walk_ethernet(walk, rest);
    case LinkType::bsd_null:
    case LinkType::bsd_loop:
      return walk_bsd_family(walk, rest);
    case LinkType::raw_ip_bsd:
    case LinkType::raw_ip_openbsd:
    case LinkType::raw_ip:
    case LinkType::raw_ipv4:
    case LinkType::raw_ipv6:
      return walk_ip(walk, rest);
    case LinkType::linux_sll:
      return rest.has(16) ? walk_linux_cooked(walk, load_be16(rest.at + 14), rest.after(16))
                          : Fault::truncated;
    case LinkType::linux_sll2:
      return rest.has(20) ? walk_linux_cooked(walk, load_be16(rest.at), rest.after(20)) : Fault::truncated;
    case LinkType::ppp:
    case LinkType::ppp_hdlc:
      if (rest.has(2) && (rest.at[0] == 0x0f || rest.at[0] == 0x8f) && rest.at[1] == 0) {
        return walk_cisco_hdlc(walk, rest);
      }
      return walk_ppp(walk, rest);
    case LinkType::ppp_with_direction:
      if (!rest.has(2)) return Fault::truncated;
      return walk_ppp(walk, rest.after(rest.at[1] == 3 ? 2 : 1));
    case LinkType::pppoe:
      return walk_pppoe(walk, rest);
    case LinkType::cisco_hdlc:
      return walk_cisco_hdlc(walk, rest);
    case LinkType::frame_relay:
      return walk_frame_relay(walk, rest);
    case LinkType::ieee80211:
      return walk_ieee80211(walk, rest, false);
    case LinkType::ieee80211_radiotap:
      return walk_radiotap(walk, rest);
    case LinkType::ieee80211_prism:
    case LinkType::ieee80211_avs:
      return walk_prism(walk, rest);
    case LinkType::ppi:
      return walk_ppi(walk, rest);
    case LinkType::nflog:
      return walk_nflog(walk, rest);
    case LinkType::slip:
      return walk_ip_after(walk, 16, rest);
    case LinkType::openbsd_enc:
      return walk_ip_after(walk, 12, rest);
    case LinkType::pflog:
      return rest.has(1) ? walk_ip_after(walk, (rest.at[0] + 3u) & ~3u, rest) : Fault::truncated;
    case LinkType::atm_rfc1483:
    case LinkType::atm_clip:
      if (rest.has(3) && (load_be16(rest.at) == 0xaaaa || load_be16(rest.at) == 0xfefe))
        return walk_llc(walk, rest);
      return walk_ip(walk, rest);
    case LinkType::token_ring:
      return walk_token_ring(walk, rest);
    case LinkType::fddi:
      return rest.has(13) ? walk_llc(walk, rest.after(13)) : Fault::truncated;
    case LinkType::arcnet_linux:
      return walk_arcnet(walk, rest);
  }
  return Fault::unsupported_link;
}

}  // namespace nidus::net::internal
