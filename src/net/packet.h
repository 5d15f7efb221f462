#pragma once

#include <compare>
#include <cstdint>

#include "base/time.h"
#include "net/address.h"

namespace nidus::net {

// Who talks to whom. Ports are 0 where the protocol has none.
struct FiveTuple {
  Address source;
  Address destination;
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint8_t protocol = 0;  // IANA protocol number of the innermost transport
  IpVersion version = IpVersion::v4;
  std::uint16_t vlan = 0;  // outermost VLAN id, 0 if untagged. Part of a flow's identity only on request.

  friend auto operator<=>(const FiveTuple&, const FiveTuple&) = default;
};
static_assert(sizeof(FiveTuple) == 40);

namespace tcp_flag {
inline constexpr std::uint8_t fin = 0x01, syn = 0x02, rst = 0x04, psh = 0x08, ack = 0x10, urg = 0x20,
                              ece = 0x40, cwr = 0x80;
}

namespace protocol {
inline constexpr std::uint8_t icmp = 1, igmp = 2, ipip = 4, tcp = 6, udp = 17, gre = 47, icmpv6 = 58,
                              sctp = 132;
}

// A decoded frame: all that a flow meter may want to know of it, by value.
struct Packet {
  Timestamp time;
  FiveTuple tuple;

  // Lengths in bytes. `payload_bytes` comes from the lengths that the headers state, so a short snap length
  // does not change it: IP length - IP headers - transport header. `captured_payload_bytes` is how much of it
  // the capture holds, and `padding_bytes` what follows the IP datagram inside the frame (Ethernet padding,
  // trailers).
  std::uint32_t payload_bytes = 0;
  std::uint32_t captured_payload_bytes = 0;
  std::uint32_t ip_bytes = 0;     // the innermost IP datagram, headers included
  std::uint32_t frame_bytes = 0;  // on the wire
  std::uint16_t padding_bytes = 0;
  // Transport header only: TCP data offset x 4, UDP 8, ICMP 8, SCTP 12, otherwise 0.
  std::uint8_t header_bytes = 0;
  std::uint8_t tcp_flags = 0;  // tcp_flag::…
  std::uint16_t window = 0;    // TCP's window field, unscaled
  std::uint8_t icmp_type = 0;
  std::uint8_t icmp_code = 0;
  std::uint32_t sequence = 0;  // TCP
  std::uint32_t acknowledgement = 0;

  enum : std::uint8_t {
    non_first_fragment = 1,   // carries no transport header of its own
    fragment_attributed = 2,  // … but its ports are known from the first fragment
    bad_fragment = 4,         // impossible offset or overlap
    tunnelled = 8,            // `tuple` is inside at least one tunnel
    arp = 16,                 // not IP at all; only if DecodeOptions::keep_arp asked for it
    zero_ip_length = 32,  // IPv4 total length 0 (a capture of segmentation offload); lengths from the capture
  };
  std::uint8_t marks = 0;
  std::uint8_t ttl = 0;  // or hop limit, innermost
  std::uint8_t tunnel_depth = 0;
  std::uint8_t reserved = 0;
};
static_assert(sizeof(Packet) <= 96);

}  // namespace nidus::net
