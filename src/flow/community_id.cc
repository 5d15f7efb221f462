#include "flow/community_id.h"

#include <array>
#include <cstring>
#include <span>

#include "base/digest.h"
#include "flow/internal/icmp.h"

namespace nidus::flow {
namespace {

// seed, two addresses, protocol and a zero, two ports
constexpr std::size_t kBytesMax = 2 + 2 * 16 + 2 + 2 * 2;

struct Bytes {
  std::array<std::uint8_t, kBytesMax> bytes;
  std::size_t size = 0;

  void add(std::uint8_t byte) { bytes[size++] = byte; }
  void add(std::uint16_t number) {
    add(static_cast<std::uint8_t>(number >> 8));
    add(static_cast<std::uint8_t>(number & 0xff));
  }
  void add(const net::Address& address, std::size_t length) {
    std::memcpy(bytes.data() + size, address.bytes.data(), length);
    size += length;
  }
};

enum class Ports : std::uint8_t { none, ordered, one_way };

void append(std::string& out, const net::FiveTuple& tuple, Ports ports, std::uint16_t source_port,
            std::uint16_t destination_port, std::uint16_t seed) {
  const std::size_t length = tuple.version == net::IpVersion::v4 ? 4 : 16;
  const int order = std::memcmp(tuple.source.bytes.data(), tuple.destination.bytes.data(), length);
  const bool swap = ports != Ports::one_way && (order > 0 || (order == 0 && source_port > destination_port));
  Bytes bytes;
  bytes.add(seed);
  bytes.add(swap ? tuple.destination : tuple.source, length);
  bytes.add(swap ? tuple.source : tuple.destination, length);
  bytes.add(tuple.protocol);
  bytes.add(std::uint8_t{0});
  if (ports != Ports::none) {
    bytes.add(swap ? destination_port : source_port);
    bytes.add(swap ? source_port : destination_port);
  }
  out += "1:";
  out += base64(sha1(std::span(bytes.bytes.data(), bytes.size)));
}

bool has_ports(std::uint8_t protocol) {
  return protocol == net::protocol::tcp || protocol == net::protocol::udp || protocol == net::protocol::sctp;
}

}  // namespace

void append_community_id(std::string& out, const net::FiveTuple& tuple, std::uint16_t seed) {
  if (is_icmp(tuple.protocol)) {
    const bool one_way = tuple.destination_port & kIcmpOneWay;
    append(out, tuple, one_way ? Ports::one_way : Ports::ordered, tuple.source_port,
           static_cast<std::uint16_t>(tuple.destination_port & ~kIcmpOneWay), seed);
    return;
  }
  append(out, tuple, has_ports(tuple.protocol) ? Ports::ordered : Ports::none, tuple.source_port,
         tuple.destination_port, seed);
}

void append_icmp_community_id(std::string& out, const net::FiveTuple& tuple, std::uint8_t type,
                              std::uint8_t code, std::uint16_t seed) {
  const auto counterpart = icmp_counterpart(tuple.protocol, type);
  append(out, tuple, counterpart ? Ports::ordered : Ports::one_way, type, counterpart ? *counterpart : code,
         seed);
}

void append_community_id(std::string& out, const FlowRecord& record, std::uint16_t seed) {
  const net::FiveTuple& tuple = record.tuple;
  // Type and code 0 (an echo reply) is a tuple that native writes as 0 and 8, so ports that are both 0 say
  // that the profile keeps none.
  if (is_icmp(tuple.protocol) && tuple.source_port == 0 && tuple.destination_port == 0) {
    net::FiveTuple sent = tuple;
    if (record.first_is_reverse) std::swap(sent.source, sent.destination);
    append_icmp_community_id(out, sent, record.icmp_type, record.icmp_code, seed);
    return;
  }
  append_community_id(out, tuple, seed);
}

std::string community_id(const net::FiveTuple& tuple, std::uint16_t seed) {
  std::string out;
  append_community_id(out, tuple, seed);
  return out;
}

std::string community_id(const FlowRecord& record, std::uint16_t seed) {
  std::string out;
  append_community_id(out, record, seed);
  return out;
}

}  // namespace nidus::flow
