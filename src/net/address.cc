#include "net/address.h"

#include <arpa/inet.h>

#include <charconv>
#include <cstring>

namespace nidus::net {
namespace {

constexpr std::size_t kGroups = 8;

char* write_v4(char* out, const std::uint8_t* bytes) {
  for (int i = 0; i < 4; ++i) {
    if (i > 0) *out++ = '.';
    out = std::to_chars(out, out + 3, bytes[i]).ptr;
  }
  return out;
}

// RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups (the first if there are
// two) becomes "::".
char* write_v6(char* out, const std::uint8_t* bytes) {
  std::array<std::uint16_t, kGroups> groups;
  for (std::size_t i = 0; i < kGroups; ++i) {
    groups[i] = static_cast<std::uint16_t>(bytes[2 * i] << 8 | bytes[2 * i + 1]);
  }
  std::size_t run_begin = kGroups, run_length = 1;
  for (std::size_t i = 0; i < kGroups; ++i) {
    std::size_t length = 0;
    while (i + length < kGroups && groups[i + length] == 0) ++length;
    if (length > run_length) {
      run_begin = i;
      run_length = length;
    }
    if (length > 0) i += length - 1;
  }
  const bool mapped = run_begin == 0 && run_length == 5 && groups[5] == 0xffff;
  bool separate = false;
  for (std::size_t i = 0; i < kGroups; ++i) {
    if (i == run_begin) {
      *out++ = ':';
      *out++ = ':';
      i += run_length - 1;
      separate = false;
      continue;
    }
    if (separate) *out++ = ':';
    if (mapped && i == 6) return write_v4(out, bytes + 12);
    out = std::to_chars(out, out + 4, groups[i], 16).ptr;
    separate = true;
  }
  return out;
}

int bits_of(IpVersion version) { return version == IpVersion::v4 ? 32 : 128; }

Address masked(const Address& address, int prefix_bits) {
  Address out;
  for (int i = 0; i < 16 && prefix_bits > 0; ++i, prefix_bits -= 8) {
    const int mask = prefix_bits >= 8 ? 0xff : 0xff << (8 - prefix_bits);
    const auto at = static_cast<std::size_t>(i);
    out.bytes[at] = static_cast<std::uint8_t>(address.bytes[at] & mask);
  }
  return out;
}

}  // namespace

bool Network::contains(const Address& other, IpVersion other_version) const {
  return other_version == version && masked(other, prefix_bits) == address;
}

void append_address(std::string& out, const Address& address, IpVersion version) {
  char text[INET6_ADDRSTRLEN];
  const std::uint8_t* const bytes = address.bytes.data();
  const char* const end = version == IpVersion::v4 ? write_v4(text, bytes) : write_v6(text, bytes);
  out.append(text, static_cast<std::size_t>(end - text));
}

std::string address_text(const Address& address, IpVersion version) {
  std::string out;
  append_address(out, address, version);
  return out;
}

std::optional<IpAddress> parse_address(std::string_view text) {
  char copy[INET6_ADDRSTRLEN];
  if (text.size() >= sizeof copy || text.find('\0') != text.npos) return std::nullopt;
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  IpAddress out;
  out.version = text.find(':') == text.npos ? IpVersion::v4 : IpVersion::v6;
  const int family = out.version == IpVersion::v4 ? AF_INET : AF_INET6;
  if (inet_pton(family, copy, out.address.bytes.data()) != 1) return std::nullopt;
  return out;
}

std::optional<Network> parse_network(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::optional<IpAddress> parsed = parse_address(text.substr(0, slash));
  if (!parsed) return std::nullopt;
  int prefix_bits = bits_of(parsed->version);
  if (slash != text.npos) {
    const std::string_view digits = text.substr(slash + 1);
    if (digits.empty() || digits[0] < '0' || digits[0] > '9') return std::nullopt;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), prefix_bits);
    if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
    if (prefix_bits > bits_of(parsed->version)) return std::nullopt;
  }
  return Network{masked(parsed->address, prefix_bits), parsed->version,
                 static_cast<std::uint8_t>(prefix_bits)};
}

}  // namespace nidus::net
