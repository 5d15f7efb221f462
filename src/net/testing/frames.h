#pragma once

// For tests: a small language to write frames and captures byte by byte, from the inside out.
//
//   ethernet(0x0800, ipv4(17, udp(4000, 53, text("hello"))))
//
// Lengths are filled in; checksums are not, nobody looks at them. Addresses are 10.0.0.1 and 10.0.0.2 or
// 2001:db8::1 and ::2 unless said otherwise.

#include <bit>
#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

namespace nidus::net::testing {

struct Bytes : std::vector<std::uint8_t> {
  using std::vector<std::uint8_t>::vector;
};

inline Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

inline Bytes number(std::uint64_t value, int bytes, std::endian order) {
  Bytes out(static_cast<std::size_t>(bytes));
  for (int i = 0; i < bytes; ++i) {
    const int shift = 8 * (order == std::endian::little ? i : bytes - 1 - i);
    out[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(value >> shift);
  }
  return out;
}
inline Bytes u8(std::uint64_t value) { return number(value, 1, std::endian::big); }
inline Bytes be16(std::uint64_t value) { return number(value, 2, std::endian::big); }
inline Bytes be32(std::uint64_t value) { return number(value, 4, std::endian::big); }
inline Bytes le16(std::uint64_t value) { return number(value, 2, std::endian::little); }
inline Bytes le32(std::uint64_t value) { return number(value, 4, std::endian::little); }
inline Bytes zeros(std::size_t count) { return Bytes(count); }
inline Bytes text(std::string_view letters) { return Bytes(letters.begin(), letters.end()); }

// "08 00 ff": pairs of digits, blanks between them as you like.
inline Bytes hex(std::string_view digits) {
  Bytes out;
  int high = -1;
  for (const char c : digits) {
    if (c == ' ') continue;
    const int digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
    if (high < 0) {
      high = digit;
    } else {
      out.push_back(static_cast<std::uint8_t>(high << 4 | digit));
      high = -1;
    }
  }
  return out;
}

inline Bytes cut(Bytes bytes, std::size_t size) {
  bytes.resize(size);
  return bytes;
}

// Transports.
struct Tcp {
  std::uint8_t flags = 0x18;
  std::uint16_t window = 512;
  std::uint32_t sequence = 1000, acknowledgement = 2000;
  Bytes options = {};
  int offset_words = -1;  // what the header claims, if not the truth
};
inline Bytes tcp(std::uint16_t from, std::uint16_t to, const Bytes& payload = {}, const Tcp& say = {}) {
  const int words = say.offset_words >= 0 ? say.offset_words : static_cast<int>(5 + say.options.size() / 4);
  return be16(from) + be16(to) + be32(say.sequence) + be32(say.acknowledgement) +
         u8(static_cast<unsigned>(words) << 4) + u8(say.flags) + be16(say.window) + zeros(4) + say.options +
         payload;
}
inline Bytes udp(std::uint16_t from, std::uint16_t to, const Bytes& payload = {}, int length = -1) {
  return be16(from) + be16(to) + be16(length >= 0 ? static_cast<unsigned>(length) : 8 + payload.size()) +
         zeros(2) + payload;
}
inline Bytes icmp(std::uint8_t type, std::uint8_t code, const Bytes& payload = {}) {
  return u8(type) + u8(code) + zeros(6) + payload;
}
inline Bytes sctp(std::uint16_t from, std::uint16_t to, const Bytes& payload = {}) {
  return be16(from) + be16(to) + zeros(8) + payload;
}

// Networks.
struct Ip4 {
  std::uint32_t source = 0x0a000001, destination = 0x0a000002;
  std::uint16_t id = 7;
  std::uint16_t fragment = 0x4000;  // flags and offset as in the header
  Bytes options = {};
  int total = -1;          // what the header claims, if not the truth
  std::uint8_t first = 0;  // version and header length, if not the truth
};
inline Bytes ipv4(std::uint8_t protocol, const Bytes& payload, const Ip4& say = {}) {
  const std::size_t header = 20 + say.options.size();
  const std::size_t total = say.total >= 0 ? static_cast<std::size_t>(say.total) : header + payload.size();
  return u8(say.first != 0 ? say.first : 0x40 | header / 4) + u8(0) + be16(total) + be16(say.id) +
         be16(say.fragment) + u8(64) + u8(protocol) + zeros(2) + be32(say.source) + be32(say.destination) +
         say.options + payload;
}
inline Bytes ipv6(std::uint8_t next, const Bytes& payload, int length = -1) {
  return hex("60000000") + be16(length >= 0 ? static_cast<unsigned>(length) : payload.size()) + u8(next) +
         u8(64) + hex("20010db8000000000000000000000001") + hex("20010db8000000000000000000000002") + payload;
}
// Hop-by-hop, routing, destination options and the like; `words` of eight bytes after the first.
inline Bytes extension(std::uint8_t next, const Bytes& payload, std::uint8_t words = 0) {
  return u8(next) + u8(words) + zeros(6 + words * std::size_t{8}) + payload;
}
inline Bytes fragment6(std::uint8_t next, std::uint16_t offset, bool more, std::uint32_t id,
                       const Bytes& payload) {
  return u8(next) + u8(0) + be16(offset * 8u | (more ? 1u : 0u)) + be32(id) + payload;
}

// Links.
inline Bytes ethernet(std::uint16_t type, const Bytes& payload) {
  return hex("020000000002 020000000001") + be16(type) + payload;
}
inline Bytes vlan(std::uint16_t id, std::uint16_t type, const Bytes& payload) {
  return be16(id) + be16(type) + payload;
}
inline Bytes snap(std::uint16_t type, const Bytes& payload) {
  return hex("aaaa03 000000") + be16(type) + payload;
}
inline Bytes mpls(std::uint32_t label, bool bottom, const Bytes& payload) {
  return be32(label << 12 | (bottom ? 0x100u : 0u) | 64u) + payload;
}
inline Bytes pppoe(std::uint16_t ppp_protocol, const Bytes& payload) {
  return hex("1100 0001") + be16(payload.size() + 2) + be16(ppp_protocol) + payload;
}

// Captures.
struct Record {
  Bytes frame;
  std::uint32_t seconds = 1;
  std::uint32_t fraction = 0;
  int wire = -1;      // if not the truth
  int captured = -1;  // if not the truth
};
inline Bytes pcap_header(std::endian order, std::uint32_t link = 1, std::uint32_t magic = 0xa1b2c3d4,
                         std::uint16_t major = 2) {
  return number(magic, 4, order) + number(major, 2, order) + number(4, 2, order) + zeros(8) +
         number(65535, 4, order) + number(link, 4, order);
}
inline Bytes pcap_record(std::endian order, const Record& record, std::size_t extra_header = 0) {
  const std::size_t size = record.frame.size();
  return number(record.seconds, 4, order) + number(record.fraction, 4, order) +
         number(record.captured >= 0 ? static_cast<std::size_t>(record.captured) : size, 4, order) +
         number(record.wire >= 0 ? static_cast<std::size_t>(record.wire) : size, 4, order) +
         zeros(extra_header) + record.frame;
}
inline Bytes pcap(std::endian order, std::initializer_list<Record> records, std::uint32_t link = 1,
                  std::uint32_t magic = 0xa1b2c3d4) {
  Bytes out = pcap_header(order, link, magic);
  for (const Record& record : records) out = out + pcap_record(order, record, magic == 0xa1b2cd34 ? 8 : 0);
  return out;
}

inline Bytes padded(Bytes bytes) {
  bytes.resize((bytes.size() + 3) / 4 * 4);
  return bytes;
}
inline Bytes block(std::endian order, std::uint32_t type, const Bytes& body) {
  const Bytes inside = padded(body);
  const Bytes length = number(inside.size() + 12, 4, order);
  return number(type, 4, order) + length + inside + length;
}
inline Bytes section(std::endian order, std::uint16_t major = 1) {
  return block(order, 0x0a0d0d0a,
               number(0x1a2b3c4d, 4, order) + number(major, 2, order) + zeros(2) + Bytes(8, 0xff));
}
inline Bytes option(std::endian order, std::uint16_t code, const Bytes& value) {
  return number(code, 2, order) + number(value.size(), 2, order) + padded(value);
}
inline Bytes interface(std::endian order, std::uint16_t link, const Bytes& options = {},
                       std::uint32_t snap_bytes = 0) {
  return block(order, 1, number(link, 2, order) + zeros(2) + number(snap_bytes, 4, order) + options);
}
inline Bytes enhanced(std::endian order, std::uint32_t id, std::uint64_t ticks, const Bytes& frame) {
  return block(order, 6,
               number(id, 4, order) + number(ticks >> 32, 4, order) + number(ticks, 4, order) +
                   number(frame.size(), 4, order) + number(frame.size(), 4, order) + frame);
}
inline Bytes simple(std::endian order, std::uint32_t wire, const Bytes& frame) {
  return block(order, 3, number(wire, 4, order) + frame);
}
inline Bytes obsolete(std::endian order, std::uint16_t id, std::uint64_t ticks, const Bytes& frame) {
  return block(order, 2,
               number(id, 2, order) + zeros(2) + number(ticks >> 32, 4, order) + number(ticks, 4, order) +
                   number(frame.size(), 4, order) + number(frame.size(), 4, order) + frame);
}

}  // namespace nidus::net::testing
