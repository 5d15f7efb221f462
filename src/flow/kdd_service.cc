// Ports and ICMP types to KDD's services. The table is that of the features specification, 11.4.
#include <algorithm>
#include <array>
#include <iterator>

#include "base/check.h"
#include "flow/kdd.h"

namespace nidus::flow {
namespace {

constexpr std::string_view kServices[] = {
    "IRC",     "X11",       "Z39_50",   "aol",       "auth",       "bgp",         "courier",    "csnet_ns",
    "ctf",     "daytime",   "discard",  "domain",    "domain_u",   "echo",        "eco_i",      "ecr_i",
    "efs",     "exec",      "finger",   "ftp",       "ftp_data",   "gopher",      "harvest",    "hostnames",
    "http",    "http_2784", "http_443", "http_8001", "imap4",      "iso_tsap",    "klogin",     "kshell",
    "ldap",    "link",      "login",    "mtp",       "name",       "netbios_dgm", "netbios_ns", "netbios_ssn",
    "netstat", "nnsp",      "nntp",     "ntp_u",     "oth_i",      "other",       "pm_dump",    "pop_2",
    "pop_3",   "printer",   "private",  "red_i",     "remote_job", "rje",         "shell",      "smtp",
    "sql_net", "ssh",       "sunrpc",   "supdup",    "systat",     "telnet",      "tftp_u",     "tim_i",
    "time",    "urh_i",     "urp_i",    "uucp",      "uucp_path",  "vmnet",       "whois",
};

consteval KddService service(std::string_view text) {
  for (std::size_t i = 0; i < std::size(kServices); ++i) {
    if (kServices[i] == text) return static_cast<KddService>(i);
  }
  throw "no such service";  // at compile time only
}

struct Ports {
  std::uint16_t first, last;
  KddService service;
};

constexpr Ports kTcp[] = {
    {5, 5, service("rje")},
    {7, 7, service("echo")},
    {9, 9, service("discard")},
    {11, 11, service("systat")},
    {13, 13, service("daytime")},
    {15, 15, service("netstat")},
    {20, 20, service("ftp_data")},
    {21, 21, service("ftp")},
    {22, 22, service("ssh")},
    {23, 23, service("telnet")},
    {25, 25, service("smtp")},
    {37, 37, service("time")},
    {42, 42, service("name")},
    {43, 43, service("whois")},
    {53, 53, service("domain")},
    {66, 66, service("sql_net")},
    {70, 70, service("gopher")},
    {71, 74, service("remote_job")},
    {77, 77, service("rje")},
    {79, 79, service("finger")},
    {80, 80, service("http")},
    {84, 84, service("ctf")},
    {95, 95, service("supdup")},
    {101, 101, service("hostnames")},
    {102, 102, service("iso_tsap")},
    {105, 105, service("csnet_ns")},
    {109, 109, service("pop_2")},
    {110, 110, service("pop_3")},
    {111, 111, service("sunrpc")},
    {113, 113, service("auth")},
    {117, 117, service("uucp_path")},
    {119, 119, service("nntp")},
    {137, 137, service("netbios_ns")},
    {138, 138, service("netbios_dgm")},
    {139, 139, service("netbios_ssn")},
    {143, 143, service("imap4")},
    {150, 150, service("sql_net")},
    {165, 165, service("courier")},
    {175, 175, service("vmnet")},
    {179, 179, service("bgp")},
    {194, 194, service("IRC")},
    {210, 210, service("Z39_50")},
    {245, 245, service("link")},
    {309, 309, service("iso_tsap")},
    {389, 389, service("ldap")},
    {433, 433, service("nnsp")},
    {443, 443, service("http_443")},
    {512, 512, service("exec")},
    {513, 513, service("login")},
    {514, 514, service("shell")},
    {515, 515, service("printer")},
    {520, 520, service("efs")},
    {529, 529, service("IRC")},
    {530, 530, service("courier")},
    {531, 531, service("aol")},
    {540, 540, service("uucp")},
    {543, 543, service("klogin")},
    {544, 544, service("kshell")},
    {636, 636, service("ldap")},
    {993, 993, service("imap4")},
    {1911, 1911, service("mtp")},
    {2784, 2784, service("http_2784")},
    {5190, 5193, service("aol")},
    {6000, 6063, service("X11")},
    {6665, 6669, service("IRC")},
    {6697, 6697, service("IRC")},
    {8001, 8001, service("http_8001")},
    {8008, 8008, service("http")},
    {8080, 8080, service("http")},
    {49152, 65535, service("private")},
};
static_assert(std::is_sorted(std::begin(kTcp), std::end(kTcp),
                             [](const Ports& a, const Ports& b) { return a.last < b.first; }));

constexpr Ports kUdp[] = {
    {53, 53, service("domain_u")},
    {69, 69, service("tftp_u")},
    {123, 123, service("ntp_u")},
    {49152, 65535, service("private")},
};

KddService by_port(std::span<const Ports> table, std::uint16_t port) {
  const auto at = std::lower_bound(table.begin(), table.end(), port,
                                   [](const Ports& ports, std::uint16_t p) { return ports.last < p; });
  return at != table.end() && at->first <= port ? at->service : service("other");
}

// ICMPv6 came after KDD; its messages stand under those of ICMP that mean the same.
KddService by_message(std::uint8_t protocol, std::uint8_t type, std::uint8_t code) {
  if (protocol == net::protocol::icmp) {
    switch (type) {
      case 0:
        return service("ecr_i");
      case 3:
        return code == 1 ? service("urh_i") : service("urp_i");
      case 5:
        return service("red_i");
      case 8:
        return service("eco_i");
      case 11:
        return service("tim_i");
      default:
        return service("oth_i");
    }
  }
  if (protocol == net::protocol::icmpv6) {
    switch (type) {
      case 1:
        return code == 3 ? service("urh_i") : service("urp_i");
      case 3:
        return service("tim_i");
      case 128:
        return service("eco_i");
      case 129:
        return service("ecr_i");
      case 137:
        return service("red_i");
      default:
        return service("oth_i");
    }
  }
  return service("oth_i");
}

}  // namespace

std::string_view name(KddService service) {
  const auto at = static_cast<std::size_t>(service);
  CHECK(at < std::size(kServices));
  return kServices[at];
}

std::size_t kdd_services() { return std::size(kServices); }

KddService kdd_service(const FlowRecord& record) {
  const net::FiveTuple& tuple = record.tuple;
  switch (tuple.protocol) {
    case net::protocol::tcp:
      if (tuple.source_port == 20) return service("ftp_data");
      return by_port(kTcp, tuple.destination_port);
    case net::protocol::udp:
      return by_port(kUdp, tuple.destination_port);
    default:
      return by_message(tuple.protocol, record.icmp_type, record.icmp_code);
  }
}

}  // namespace nidus::flow
