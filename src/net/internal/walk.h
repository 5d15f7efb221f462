#pragma once

#include <cstdint>
#include <optional>

#include "net/decode.h"
#include "net/internal/bytes.h"
#include "net/packet.h"

namespace nidus::net::internal {

// The innermost fragment header that a walk has met: what the fragment table needs to know.
struct FragmentPart {
  bool last = false;         // no more fragments
  bool unread = true;        // its transport header is still to come
  std::uint16_t offset = 0;  // in units of 8 bytes
  std::uint32_t bytes = 0;   // of the datagram's payload that are in this fragment, on the wire
  std::uint32_t id = 0;
  FiveTuple tuple;  // addresses and the protocol next to the fragment header; of a first fragment also ports
  std::uint8_t protocol = 0;  // … and the transport protocol
  std::uint8_t icmp_type = 0;
  std::uint8_t icmp_code = 0;
};

// One frame on its way through the headers. The functions below take the rest of the frame from their header
// on, fill `packet` and go on with what comes next. Every one of them answers Fault::none only with a
// complete packet.
struct Walk {
  Walk(const DecodeOptions& options_, Packet& packet_) : options(options_), packet(packet_) {}

  const DecodeOptions& options;
  Packet& packet;
  std::uint8_t layers = 0;  // steps taken; not taken back when a way turns out wrong, so that work is bounded
  bool partial = false;     // inside the first fragment of a tunnel: lengths may go beyond it
  std::uint16_t oddities = 0;  // one bit for each Oddity
  std::optional<FragmentPart> fragment;

  void note(Oddity oddity) { oddities |= static_cast<std::uint16_t>(1u << static_cast<unsigned>(oddity)); }
  // Counts a tag or label; false if there were too many.
  bool deeper() { return ++layers <= kLayersMax; }
};

// Goes on in a way that may turn out wrong; then the packet is as it was before.
template <class Way>
Fault attempt(Walk& walk, Way way) {
  const Packet packet = walk.packet;
  const std::optional<FragmentPart> fragment = walk.fragment;
  const std::uint16_t oddities = walk.oddities;
  const bool partial = walk.partial;
  const Fault fault = way();
  if (fault != Fault::none) {
    walk.packet = packet;
    walk.fragment = fragment;
    walk.oddities = oddities;
    walk.partial = partial;
  }
  return fault;
}

Fault walk_link(Walk& walk, LinkType link, Rest rest);

// Below IP.
Fault walk_ethernet(Walk& walk, Rest rest);
Fault walk_ether_type(Walk& walk, std::uint16_t type, Rest rest);
Fault walk_llc(Walk& walk, Rest rest);
Fault walk_ppp(Walk& walk, Rest rest);
Fault walk_pppoe(Walk& walk, Rest rest);
Fault walk_ieee80211(Walk& walk, Rest rest, bool padded);  // padded: the header to a multiple of 4
Fault walk_radiotap(Walk& walk, Rest rest);
Fault walk_prism(Walk& walk, Rest rest);  // also AVS
Fault walk_mpls(Walk& walk, Rest rest);

// IP of the version that its first four bits say, and what it carries.
Fault walk_ip(Walk& walk, Rest rest);
Fault walk_ipv4(Walk& walk, Rest rest);
Fault walk_ipv6(Walk& walk, Rest rest);

// Both are called with a complete packet. If what they carry can be decoded it takes the packet's place;
// otherwise the packet stays as it is and the answer is none.
Fault walk_ip_tunnel(Walk& walk, std::uint8_t protocol, Rest rest);
Fault walk_udp_tunnel(Walk& walk, Rest rest);

// Whether one of the ports is that of a tunnel over UDP.
inline bool may_be_udp_tunnel(std::uint16_t source, std::uint16_t destination) {
  // VXLAN 4789, Geneve 6081, GTP-U 2152, Teredo 3544.
  switch (destination) {
    case 4789:
    case 6081:
    case 2152:
    case 3544:
      return true;
    default:
      return source == 2152 || source == 3544;
  }
}

}  // namespace nidus::net::internal
