#include "flow/community_id.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include "flow/internal/icmp.h"

namespace nidus::flow {
namespace {

net::FiveTuple tuple(int protocol, const char* source, int source_port, const char* destination,
                     int destination_port) {
  net::FiveTuple out;
  out.version =
      std::string_view(source).find(':') == std::string_view::npos ? net::IpVersion::v4 : net::IpVersion::v6;
  const int family = out.version == net::IpVersion::v4 ? AF_INET : AF_INET6;
  EXPECT_EQ(inet_pton(family, source, out.source.bytes.data()), 1);
  EXPECT_EQ(inet_pton(family, destination, out.destination.bytes.data()), 1);
  out.protocol = static_cast<std::uint8_t>(protocol);
  out.source_port = static_cast<std::uint16_t>(source_port);
  out.destination_port = static_cast<std::uint16_t>(destination_port);
  return out;
}

net::FiveTuple back(net::FiveTuple t) {
  std::swap(t.source, t.destination);
  std::swap(t.source_port, t.destination_port);
  return t;
}

// What the native profile makes of an ICMP packet's tuple.
net::FiveTuple icmp(int protocol, const char* source, const char* destination, std::uint8_t type,
                    std::uint8_t code) {
  const auto counterpart = icmp_counterpart(static_cast<std::uint8_t>(protocol), type);
  return tuple(protocol, source, type, destination, counterpart ? *counterpart : kIcmpOneWay | code);
}

TEST(CommunityIdTest, PublishedVectorsInBothDirections) {
  struct Vector {
    net::FiveTuple tuple;
    std::uint16_t seed;
    const char* id;
  };
  const Vector vectors[] = {
      {tuple(6, "128.232.110.120", 34855, "66.35.250.204", 80), 0, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
      {tuple(6, "128.232.110.120", 34855, "66.35.250.204", 80), 1, "1:3V71V58M3Ksw/yuFALMcW0LAHvc="},
      {tuple(17, "192.168.1.52", 54585, "8.8.8.8", 53), 0, "1:d/FP5EW3wiY1vCndhwleRRKHowQ="},
      {icmp(1, "192.168.0.89", "192.168.0.1", 8, 0), 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="},
      {tuple(132, "192.168.170.8", 7, "192.168.170.56", 7), 0, "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs="},
      {tuple(46, "10.1.12.1", 0, "10.1.12.2", 0), 0, "1:KHlLkgoJW7ifUTyTSgyVfkFHzKw="},
      {tuple(6, "2001:470:e5bf:dead:4957:2174:e82c:4887", 63943, "2607:f8b0:400c:c03::1a", 25), 0,
       "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4="},
      {icmp(58, "fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea", 135, 0), 0,
       "1:dGHyGvjMfljg6Bppwm3bg0LO8TY="},
  };
  for (const Vector& vector : vectors) {
    EXPECT_EQ(community_id(vector.tuple, vector.seed), vector.id);
    EXPECT_EQ(community_id(back(vector.tuple), vector.seed), vector.id);
  }
}

TEST(CommunityIdTest, AnEchoAndItsReplyShareAnId) {
  EXPECT_EQ(community_id(icmp(1, "192.168.0.1", "192.168.0.89", 0, 0)), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=");
}

TEST(CommunityIdTest, AOneWayMessageHasAnotherIdInTheOtherDirection) {
  EXPECT_EQ(community_id(icmp(1, "10.0.0.1", "10.0.0.2", 11, 0)), "1:YHxtAirCG//0OzkcVAukqKQN9xM=");
  EXPECT_EQ(community_id(icmp(1, "10.0.0.2", "10.0.0.1", 11, 0)), "1:c5iqfdGYsNWhMJVcYXWPNWbpnKs=");
}

// The tools of the published data sets leave the ports of ICMP 0; type and code of the first packet tell as
// much.
TEST(CommunityIdTest, ARecordWithoutPortsIsHashedByItsFirstMessage) {
  FlowRecord record;
  record.tuple = tuple(1, "192.168.0.89", 0, "192.168.0.1", 0);
  record.icmp_type = 8;
  EXPECT_EQ(community_id(record), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=");

  record.tuple = tuple(1, "10.0.0.1", 0, "10.0.0.2", 0);
  record.icmp_type = 11;
  EXPECT_EQ(community_id(record), "1:YHxtAirCG//0OzkcVAukqKQN9xM=");
  record.first_is_reverse = 1;
  EXPECT_EQ(community_id(record), "1:c5iqfdGYsNWhMJVcYXWPNWbpnKs=");
}

TEST(CommunityIdTest, ARecordWithPortsIsHashedByItsTuple) {
  FlowRecord record;
  record.tuple = icmp(1, "192.168.0.1", "192.168.0.89", 0, 0);
  EXPECT_EQ(community_id(record), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=");
}

TEST(CommunityIdTest, EqualAddressesAreOrderedByPort) {
  EXPECT_EQ(community_id(tuple(17, "127.0.0.1", 9000, "127.0.0.1", 53)),
            community_id(tuple(17, "127.0.0.1", 53, "127.0.0.1", 9000)));
}

// Protocols without ports hash no port bytes, whatever stands in the tuple.
TEST(CommunityIdTest, PortsOfAPortlessProtocolDoNotMatter) {
  EXPECT_EQ(community_id(tuple(46, "10.1.12.1", 5, "10.1.12.2", 6)), "1:KHlLkgoJW7ifUTyTSgyVfkFHzKw=");
}

}  // namespace
}  // namespace nidus::flow
