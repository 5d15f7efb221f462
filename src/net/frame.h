#pragma once

#include <cstdint>
#include <span>

#include "base/time.h"

namespace nidus::net {

// What the first byte of a frame is, by the numbers that capture files carry (the LINKTYPE_ registry). A
// number without a name here is a valid value: its frames are delivered and decode to
// Fault::unsupported_link.
enum class LinkType : std::uint16_t {
  bsd_null = 0,
  ethernet = 1,
  token_ring = 6,
  slip = 8,
  ppp = 9,
  fddi = 10,
  raw_ip_bsd = 12,
  raw_ip_openbsd = 14,
  ppp_hdlc = 50,
  pppoe = 51,
  atm_rfc1483 = 100,
  raw_ip = 101,
  cisco_hdlc = 104,
  ieee80211 = 105,
  atm_clip = 106,
  frame_relay = 107,
  bsd_loop = 108,
  openbsd_enc = 109,
  linux_sll = 113,
  pflog = 117,
  ieee80211_prism = 119,
  ieee80211_radiotap = 127,
  arcnet_linux = 129,
  ieee80211_avs = 163,
  ppp_with_direction = 166,
  ppi = 192,
  raw_ipv4 = 228,
  raw_ipv6 = 229,
  nflog = 239,
  linux_sll2 = 276,
};

// Bytes as captured. They belong to whoever delivered the frame, until it delivers the next one.
struct Frame {
  Timestamp time;
  LinkType link = LinkType::ethernet;
  std::uint32_t wire_bytes = 0;  // on the wire; never less than bytes.size()
  std::span<const std::uint8_t> bytes;
};

}  // namespace nidus::net
