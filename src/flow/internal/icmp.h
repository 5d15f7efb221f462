#pragma once

#include <cstdint>
#include <optional>

#include "net/packet.h"

namespace nidus::flow {

// The type that answers `type`, for the pairs of Community ID version 1; nothing for one-way messages.
inline std::optional<std::uint8_t> icmp_counterpart(std::uint8_t protocol, std::uint8_t type) {
  if (protocol == net::protocol::icmp) {
    switch (type) {
      case 0:
        return std::uint8_t{8};
      case 8:
        return std::uint8_t{0};
      case 9:
        return std::uint8_t{10};
      case 10:
        return std::uint8_t{9};
      case 13:
        return std::uint8_t{14};
      case 14:
        return std::uint8_t{13};
      case 15:
        return std::uint8_t{16};
      case 16:
        return std::uint8_t{15};
      case 17:
        return std::uint8_t{18};
      case 18:
        return std::uint8_t{17};
      default:
        return std::nullopt;
    }
  }
  switch (type) {
    case 128:
      return std::uint8_t{129};
    case 129:
      return std::uint8_t{128};
    case 130:
      return std::uint8_t{131};
    case 131:
      return std::uint8_t{130};
    case 133:
      return std::uint8_t{134};
    case 134:
      return std::uint8_t{133};
    case 135:
      return std::uint8_t{136};
    case 136:
      return std::uint8_t{135};
    case 139:
      return std::uint8_t{140};
    case 140:
      return std::uint8_t{139};
    case 144:
      return std::uint8_t{145};
    case 145:
      return std::uint8_t{144};
    default:
      return std::nullopt;
  }
}

// Set in the destination port of a one-way ICMP message (whose ports are type and code), so that the message
// and an unrelated one with type and code exchanged are two flows. Taken off again for every output.
inline constexpr std::uint16_t kIcmpOneWay = 0x8000;

inline bool is_icmp(std::uint8_t protocol) {
  return protocol == net::protocol::icmp || protocol == net::protocol::icmpv6;
}

}  // namespace nidus::flow
