#include "net/packet.h"

#include <arpa/inet.h>

namespace nidus::net {

void append_address(std::string& out, const Address& address, IpVersion version) {
  char text[INET6_ADDRSTRLEN];
  inet_ntop(version == IpVersion::v4 ? AF_INET : AF_INET6, address.bytes.data(), text, sizeof text);
  out += text;
}

std::string address_text(const Address& address, IpVersion version) {
  std::string out;
  append_address(out, address, version);
  return out;
}

}  // namespace nidus::net
