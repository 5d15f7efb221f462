// IEEE 802.11 data frames and the headers that capturing systems put in front of them.
#include <bit>

#include "net/internal/walk.h"

namespace nidus::net::internal {

Fault walk_ieee80211(Walk& walk, Rest rest, bool padded) {
  if (!rest.has(2)) return Fault::truncated;
  const std::uint8_t control = rest.at[0];
  const std::uint8_t flags = rest.at[1];
  if ((control & 3) != 0) return Fault::bad_version;
  const bool data = (control >> 2 & 3) == 2;
  const std::uint8_t subtype = control >> 4;
  const bool empty = (subtype & 4) != 0;
  if (!data || empty) return Fault::not_ip;
  if ((flags & 0x40) != 0) return Fault::encrypted;
  if (!rest.has(24)) return Fault::truncated;

  const bool four_addresses = (flags & 3) == 3;
  const bool quality = (subtype & 8) != 0;
  std::uint32_t header = four_addresses ? 30 : 24;
  bool aggregate = false;
  if (quality) {
    if (!rest.has(header + 2)) return Fault::truncated;
    aggregate = (rest.at[header] & 0x80) != 0;
    header += 2;
    if ((flags & 0x80) != 0) header += 4;  // high-throughput control
  }
  // Fragments below IP: the first says nothing of its length, the later ones have no headers.
  const bool more = (flags & 4) != 0;
  const bool later = (load_le16(rest.at + 22) & 0x000f) != 0;
  if (more || later) return Fault::unsupported_protocol;
  if (padded) header = (header + 3) & ~3u;
  // Of several frames in one only the first is read: its own addresses and length come first.
  if (aggregate) header += 14;
  if (!rest.has(header)) return Fault::truncated;
  if (aggregate) {
    const std::uint32_t length = load_be16(rest.at + header - 2);
    return walk_llc(walk, rest.after(header).first(length));
  }
  return walk_llc(walk, rest.after(header));
}

// A bitmap says which fields follow, in the order of the bits; a bitmap with bit 31 is followed by another
// one. Only the second field is wanted: the flags, one byte, after the eight of the timer if that is there.
Fault walk_radiotap(Walk& walk, Rest rest) {
  if (!rest.has(8)) return Fault::truncated;
  if (rest.at[0] != 0) return Fault::bad_version;
  const std::uint32_t header = load_le16(rest.at + 2);
  if (header < 8 || header > rest.wire) return Fault::bad_length;
  if (!rest.has(header)) return Fault::truncated;
  const std::uint32_t present = load_le32(rest.at + 4);
  bool padded = false;
  if ((present & 2) != 0) {
    std::uint32_t at = 8;
    while (at + 4 <= header && (load_le32(rest.at + at - 4) & 0x80000000) != 0) at += 4;
    if ((present & 1) != 0) at = ((at + 7) & ~7u) + 8;
    if (at < header) padded = (rest.at[at] & 0x20) != 0;
  }
  return walk_ieee80211(walk, rest.after(header), padded);
}

// Prism: a message code and a length in the byte order of the capturing system. AVS: a version and a length,
// both big-endian, the version 80211xxx in hexadecimal.
Fault walk_prism(Walk& walk, Rest rest) {
  if (!rest.has(8)) return Fault::truncated;
  std::uint32_t header = load_be32(rest.at + 4);
  if (load_be32(rest.at) >> 12 != 0x80211 && header > 0xffff) header = swap_bytes(header);
  if (header < 8 || header > rest.wire) return Fault::bad_length;
  return rest.has(header) ? walk_ieee80211(walk, rest.after(header), false) : Fault::truncated;
}

}  // namespace nidus::net::internal
