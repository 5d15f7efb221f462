#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nidus::net {

// An IPv4 or IPv6 address in 16 bytes of network order. An IPv4 address fills the first four, the rest are
// zero; which of the two it is stands in the five-tuple, once for both ends.
struct Address {
  std::array<std::uint8_t, 16> bytes{};

  friend auto operator<=>(const Address&, const Address&) = default;
};

enum class IpVersion : std::uint8_t { v4 = 4, v6 = 6 };

// An address where nothing else says of which version it is.
struct IpAddress {
  Address address;
  IpVersion version = IpVersion::v4;

  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;
};

// All addresses that share the first `prefix_bits` bits with `address`, whose other bits are zero.
struct Network {
  Address address;
  IpVersion version = IpVersion::v4;
  std::uint8_t prefix_bits = 0;

  bool contains(const Address& other, IpVersion other_version) const;

  friend auto operator<=>(const Network&, const Network&) = default;
};

// "10.0.0.1" or "2001:db8::1" (RFC 5952; an IPv4-mapped address as "::ffff:10.0.0.1").
void append_address(std::string& out, const Address& address, IpVersion version);
std::string address_text(const Address& address, IpVersion version);

// The whole text as an address: four decimal numbers without leading zeros, or any form of IPv6 address. No
// blanks, no zone ("%eth0"), no brackets.
std::optional<IpAddress> parse_address(std::string_view text);

// "10.0.0.0/8", "2001:db8::/32", or an address alone for a network of one. Bits beyond the prefix may be set
// and are cleared.
std::optional<Network> parse_network(std::string_view text);

}  // namespace nidus::net
