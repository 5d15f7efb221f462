// One test for each tunnel; what happens when the inside cannot be read; how deep it goes.
#include "net/testing/decoding.h"

namespace nidus::net {
namespace {

using namespace testing;

const char* const kInner4 = "tcp 192.168.0.1:4000 > 192.168.0.2:80, 3 bytes, depth 1";
const char* const kInner6 = "tcp [2001:db8::1]:4000 > [2001:db8::2]:80, 3 bytes, depth 1";

Ip4 inside() { return {.source = 0xc0a80001, .destination = 0xc0a80002}; }
Bytes inner4() { return ipv4(6, tcp(4000, 80, text("abc")), inside()); }
Bytes inner6() { return ipv6(6, tcp(4000, 80, text("abc"))); }
Bytes inner_frame() { return ethernet(0x0800, inner4()); }

std::string in_ipv4(std::uint8_t protocol_number, const Bytes& payload) {
  return decoded(LinkType::raw_ip, ipv4(protocol_number, payload));
}
std::string in_udp(std::uint16_t port, const Bytes& payload) {
  return in_ipv4(17, udp(40000, port, payload));
}

TEST(TunnelTest, IpInIp) {
  EXPECT_EQ(in_ipv4(4, inner4()), kInner4);
  EXPECT_EQ(in_ipv4(41, inner6()), kInner6);
  EXPECT_EQ(decoded(LinkType::raw_ip, ipv6(4, inner4())), kInner4);
  EXPECT_EQ(decoded(LinkType::raw_ip, ipv6(60, extension(41, inner6()))), kInner6);
  EXPECT_EQ(in_ipv4(137, mpls(3, true, inner4())), kInner4);
  EXPECT_EQ(in_ipv4(97, hex("3000") + inner_frame()), kInner4);
}

TEST(TunnelTest, Gre) {
  EXPECT_EQ(in_ipv4(47, hex("0000 0800") + inner4()), kInner4);
  EXPECT_EQ(in_ipv4(47, hex("0000 86dd") + inner6()), kInner6);
  EXPECT_EQ(in_ipv4(47, hex("b000 0800") + zeros(12) + inner4()), kInner4);  // checksum, key, sequence
  EXPECT_EQ(in_ipv4(47, hex("2000 6558 00000001") + inner_frame()), kInner4);
  EXPECT_EQ(in_ipv4(47, hex("0000 8847") + mpls(3, true, inner4())), kInner4);
  EXPECT_EQ(in_ipv4(47, hex("3081 880b 00000000 00000000 00000000 ff030021") + inner4()), kInner4);  // PPTP
  EXPECT_EQ(in_ipv4(47, hex("0000 88be") + inner_frame()), kInner4);                       // ERSPAN I
  EXPECT_EQ(in_ipv4(47, hex("1000 88be 00000001") + zeros(8) + inner_frame()), kInner4);   // II
  EXPECT_EQ(in_ipv4(47, hex("1000 22eb 00000001") + zeros(12) + inner_frame()), kInner4);  // III
  EXPECT_EQ(in_ipv4(47, hex("1000 22eb 00000001") + zeros(10) + hex("0001") + zeros(8) + inner_frame()),
            kInner4);
  EXPECT_EQ(in_ipv4(47, hex("1000 22eb 00000001") + zeros(10) + hex("0800") + inner4()), kInner4);
  EXPECT_EQ(in_ipv4(47, hex("2001 6400 0000 0100") + inner_frame()), kInner4);  // EoIP
  EXPECT_EQ(in_ipv4(47, hex("0000 883e") + zeros(4) + inner4()), kInner4);      // WCCP
  EXPECT_EQ(in_ipv4(47, hex("0000 8240") + hex("0801") + zeros(22) + snap(0x0800, inner4())), kInner4);
}

TEST(TunnelTest, GreThatIsNotRead) {
  EXPECT_EQ(in_ipv4(47, hex("0000 0000")), "47 10.0.0.1 > 10.0.0.2, 4 bytes");  // a keep-alive
  EXPECT_EQ(in_ipv4(47, hex("4000 0800") + inner4()), "47 10.0.0.1 > 10.0.0.2, 47 bytes");
  EXPECT_EQ(in_ipv4(47, hex("0002 0800") + inner4()), "47 10.0.0.1 > 10.0.0.2, 47 bytes");
}

TEST(TunnelTest, Vxlan) {
  EXPECT_EQ(in_udp(4789, hex("08000000 00000100") + inner_frame()), kInner4);
  EXPECT_EQ(in_udp(4789, hex("08000000 00000100") + ethernet(0x8100, vlan(9, 0x0800, inner4()))),
            "tcp 192.168.0.1:4000 > 192.168.0.2:80, 3 bytes, vlan 9, depth 1");
}

TEST(TunnelTest, Geneve) {
  EXPECT_EQ(in_udp(6081, hex("0000 6558 00000100") + inner_frame()), kInner4);
  EXPECT_EQ(in_udp(6081, hex("0200 0800 00000100") + zeros(8) + inner4()), kInner4);
  EXPECT_EQ(in_udp(6081, hex("0000 86dd 00000100") + inner6()), kInner6);
}

TEST(TunnelTest, GtpUser) {
  const Bytes packet = inner4();
  EXPECT_EQ(in_udp(2152, hex("30ff") + be16(packet.size()) + be32(1) + packet), kInner4);
  EXPECT_EQ(in_udp(2152, hex("32ff") + be16(packet.size() + 4) + be32(1) + hex("00010000") + packet),
            kInner4);
  EXPECT_EQ(in_udp(2152, hex("34ff") + be16(packet.size() + 8) + be32(1) + hex("00000085 01100900") + packet),
            kInner4);
  EXPECT_EQ(in_ipv4(17, udp(2152, 40000, hex("30ff") + be16(packet.size()) + be32(1) + packet)), kInner4);
  // An echo request, and extension headers that go round in place.
  EXPECT_EQ(in_udp(2152, hex("3201") + be16(4) + zeros(8)), "udp 10.0.0.1:40000 > 10.0.0.2:2152, 12 bytes");
  EXPECT_EQ(in_udp(2152, hex("34ff") + be16(8) + be32(1) + hex("00000085 00850000")),
            "udp 10.0.0.1:40000 > 10.0.0.2:2152, 16 bytes");
}

TEST(TunnelTest, Teredo) {
  EXPECT_EQ(in_udp(3544, inner6()), kInner6);
  EXPECT_EQ(in_udp(3544, hex("0001 00 00") + zeros(9) + hex("0000") + zeros(6) + inner6()), kInner6);
  EXPECT_EQ(in_ipv4(17, udp(3544, 50000, inner6())), kInner6);
}

TEST(TunnelTest, APortIsNotProof) {
  for (const std::uint16_t port : {4789, 6081, 2152, 3544}) {
    EXPECT_EQ(in_udp(port, text("this is no tunnel at all, but it is sent to a port of one")),
              "udp 10.0.0.1:40000 > 10.0.0.2:" + std::to_string(port) + ", 57 bytes");
    EXPECT_EQ(in_udp(port, {}), "udp 10.0.0.1:40000 > 10.0.0.2:" + std::to_string(port) + ", 0 bytes");
  }
  const Bytes arp = ethernet(0x0806, zeros(28));
  EXPECT_EQ(in_udp(4789, hex("08000000 00000100") + arp), "udp 10.0.0.1:40000 > 10.0.0.2:4789, 50 bytes");
}

TEST(TunnelTest, TheOuterPacketStandsAsIfNothingHadBeenTried) {
  Decoder decoder;
  Packet packet;
  // Inside is TCP with its ports missing: IP has been read by then.
  const Bytes bytes =
      ipv4(17, udp(40000, 4789, hex("08000000 00000100") + ethernet(0x0800, ipv4(6, hex("0000")))));
  ASSERT_EQ(decoder.decode(frame_of(LinkType::raw_ip, bytes), packet), Fault::none);
  Packet plain;
  DecodeOptions options;
  options.tunnels = false;
  ASSERT_EQ(decode_headers(frame_of(LinkType::raw_ip, bytes), options, plain), Fault::none);
  EXPECT_EQ(packet.tuple, plain.tuple);
  EXPECT_EQ(packet.ip_bytes, plain.ip_bytes);
  EXPECT_EQ(packet.payload_bytes, plain.payload_bytes);
  EXPECT_EQ(packet.padding_bytes, plain.padding_bytes);
  EXPECT_EQ(packet.marks, 0);
  EXPECT_EQ(decoder.counts().of(Oddity::tunnel_unread), 1u);
}

TEST(TunnelTest, NothingOfTheOuterPacketRemainsInTheInner) {
  const Bytes bytes =
      ipv4(17, udp(40000, 4789, hex("08000000 00000100") + ethernet(0x0800, ipv4(1, icmp(8, 0)))));
  Packet packet;
  ASSERT_EQ(decode_headers(frame_of(LinkType::raw_ip, bytes), {}, packet), Fault::none);
  EXPECT_EQ(packet.tuple.source_port, 0);
  EXPECT_EQ(packet.tuple.destination_port, 0);
  EXPECT_EQ(packet.ip_bytes, 28u);
  EXPECT_EQ(packet.header_bytes, 8);
  EXPECT_EQ(packet.payload_bytes, 0u);
  EXPECT_EQ(packet.marks, Packet::tunnelled);
  const Bytes other = ipv6(4, ipv4(17, udp(1, 2)));
  ASSERT_EQ(decode_headers(frame_of(LinkType::raw_ip, other), {}, packet), Fault::none);
  EXPECT_EQ(packet.tuple.source, parse_address("10.0.0.1")->address);
}

TEST(TunnelTest, TunnelsCanBeLeftAlone) {
  DecodeOptions options;
  options.tunnels = false;
  EXPECT_EQ(decoded(LinkType::raw_ip, ipv4(4, inner4()), options), "4 10.0.0.1 > 10.0.0.2, 43 bytes");
  EXPECT_EQ(
      decoded(LinkType::raw_ip, ipv4(17, udp(40000, 4789, hex("0800000000000100") + inner_frame())), options),
      "udp 10.0.0.1:40000 > 10.0.0.2:4789, 65 bytes");
}

TEST(TunnelTest, EightTunnelsAreReadAndNineAreTooDeep) {
  Bytes nested = inner4();
  for (int i = 0; i < kTunnelsMax; ++i) nested = ipv4(4, nested);
  EXPECT_EQ(decoded(LinkType::raw_ip, nested), "tcp 192.168.0.1:4000 > 192.168.0.2:80, 3 bytes, depth 8");
  EXPECT_EQ(decoded(LinkType::raw_ip, ipv4(4, nested)), "too_deep");
}

// Each label stack may be read in two ways; if both were followed at every level this would take 2^40 steps.
TEST(TunnelTest, AmbiguityDoesNotMultiply) {
  Bytes nested = zeros(14);
  for (int i = 0; i < 40; ++i) nested = mpls(0, true, zeros(4) + ethernet(0x8847, nested));
  EXPECT_EQ(decoded(LinkType::ethernet, ethernet(0x8847, nested)), "too_deep");
}

}  // namespace
}  // namespace nidus::net
