#pragma once

#include <cstdint>

#include "flow/internal/icmp.h"
#include "flow/internal/rules.h"
#include "net/packet.h"

namespace nidus::flow {

// Makes of a decoded packet what the profile's tool would have seen of it. Sees every packet in capture
// order, as one defect carries over from packet to packet. False if the profile does not read such packets.
class Adapter {
 public:
  Adapter(const Rules& rules, bool separate_vlans) : rules_(rules), separate_vlans_(separate_vlans) {}

  bool adapt(net::Packet& packet) {
    if (!separate_vlans_) packet.tuple.vlan = 0;
    if (packet.marks & net::Packet::arp) return rules_.arp_is_flow;
    if (rules_.ipv4_only) return adapt_as_tool(packet);
    const bool has_type = packet.header_bytes != 0 || (packet.marks & net::Packet::fragment_attributed);
    if (rules_.icmp_types_as_ports && is_icmp(packet.tuple.protocol) && has_type) {
      const auto counterpart = icmp_counterpart(packet.tuple.protocol, packet.icmp_type);
      packet.tuple.source_port = packet.icmp_type;
      packet.tuple.destination_port =
          counterpart ? *counterpart : static_cast<std::uint16_t>(kIcmpOneWay | packet.icmp_code);
    }
    return true;
  }

 private:
  bool adapt_as_tool(net::Packet& packet) {
    auto& tuple = packet.tuple;
    if (tuple.version != net::IpVersion::v4) return false;
    const bool tcp = tuple.protocol == net::protocol::tcp;
    const bool udp = tuple.protocol == net::protocol::udp;
    const bool later_fragment = (packet.marks & net::Packet::non_first_fragment) != 0;
    if (later_fragment || (!tcp && !udp)) {
      const bool known = tuple.protocol == net::protocol::icmp || tuple.protocol == net::protocol::igmp ||
                         tuple.protocol == net::protocol::sctp;
      if (later_fragment || rules_.protocols == Rules::Protocols::tcp_udp_only || !known) tuple.protocol = 0;
      tuple.source_port = tuple.destination_port = 0;
      packet.payload_bytes = 0;
      packet.header_bytes = 0;
      return true;
    }
    packet.payload_bytes = packet.captured_payload_bytes;
    if (rules_.payload == Rules::Payload::captured_with_padding) packet.payload_bytes += packet.padding_bytes;
    if (tcp) {
      tcp_header_bytes_ = packet.header_bytes;
    } else if (rules_.stale_udp_header) {
      packet.header_bytes = tcp_header_bytes_;
    }
    return true;
  }

  const Rules& rules_;
  bool separate_vlans_;
  std::uint8_t tcp_header_bytes_ = 8;  // before any TCP packet was seen
};

}  // namespace nidus::flow
