#include "net/decode.h"

#include "net/testing/decoding.h"

namespace nidus::net {
namespace {

using namespace testing;

std::string on_ethernet(std::uint16_t type, const Bytes& payload) {
  return decoded(LinkType::ethernet, ethernet(type, payload));
}

Packet packet_of(const Frame& frame) {
  Packet packet;
  EXPECT_EQ(decode_headers(frame, {}, packet), Fault::none);
  return packet;
}

TEST(DecodeTest, ReadsAllOfATcpPacket) {
  Tcp say;
  say.flags = 0x12;
  say.window = 65000;
  say.sequence = 0xfffffff0;
  say.acknowledgement = 17;
  say.options = hex("020405b4 01010402");
  const Bytes bytes = ethernet(0x0800, ipv4(6, tcp(4000, 80, text("hello"), say)));
  Frame frame = frame_of(LinkType::ethernet, bytes);
  frame.time = {1234};
  const Packet packet = packet_of(frame);
  EXPECT_EQ(text_of(packet), "tcp 10.0.0.1:4000 > 10.0.0.2:80, 5 bytes");
  EXPECT_EQ(packet.time, Timestamp{1234});
  EXPECT_EQ(packet.captured_payload_bytes, 5u);
  EXPECT_EQ(packet.ip_bytes, 53u);
  EXPECT_EQ(packet.frame_bytes, 67u);
  EXPECT_EQ(packet.padding_bytes, 0);
  EXPECT_EQ(packet.header_bytes, 28);
  EXPECT_EQ(packet.tcp_flags, tcp_flag::syn | tcp_flag::ack);
  EXPECT_EQ(packet.window, 65000);
  EXPECT_EQ(packet.sequence, 0xfffffff0u);
  EXPECT_EQ(packet.acknowledgement, 17u);
  EXPECT_EQ(packet.marks, 0);
  EXPECT_EQ(packet.ttl, 64);
}

TEST(DecodeTest, PaddingIsNotPayload) {
  const Bytes bytes = cut(ethernet(0x0800, ipv4(6, tcp(4000, 80))), 60);
  const Packet packet = packet_of(frame_of(LinkType::ethernet, bytes));
  EXPECT_EQ(packet.payload_bytes, 0u);
  EXPECT_EQ(packet.padding_bytes, 6);
}

TEST(DecodeTest, ASnapLengthDoesNotChangeTheLengths) {
  const Bytes whole = ethernet(0x0800, ipv4(6, tcp(4000, 80, zeros(1000))));
  const Bytes snapped = cut(whole, 64);
  const Packet packet = packet_of(frame_of(LinkType::ethernet, snapped, 1054));
  EXPECT_EQ(packet.payload_bytes, 1000u);
  EXPECT_EQ(packet.captured_payload_bytes, 10u);
  EXPECT_EQ(packet.frame_bytes, 1054u);
}

TEST(DecodeTest, ATransportHeaderCutByTheSnapLengthStillGivesPorts) {
  const Bytes bytes = cut(ethernet(0x0800, ipv4(6, tcp(4000, 80, zeros(100)))), 14 + 20 + 8);
  const Frame frame = frame_of(LinkType::ethernet, bytes, 154);
  const Packet packet = packet_of(frame);
  EXPECT_EQ(text_of(packet), "tcp 10.0.0.1:4000 > 10.0.0.2:80, 100 bytes");
  EXPECT_EQ(packet.sequence, 1000u);
  EXPECT_EQ(packet.tcp_flags, 0);
  Decoder decoder;
  Packet again;
  decoder.decode(frame, again);
  EXPECT_EQ(decoder.counts().of(Oddity::transport_cut), 1u);
  EXPECT_EQ(decoded(frame_of(LinkType::ethernet, cut(bytes, 14 + 20 + 3), 154)), "truncated");
}

TEST(DecodeTest, ReadsTheOtherTransports) {
  EXPECT_EQ(on_ethernet(0x0800, ipv4(17, udp(4000, 53, text("abc")))),
            "udp 10.0.0.1:4000 > 10.0.0.2:53, 3 bytes");
  EXPECT_EQ(on_ethernet(0x0800, ipv4(132, sctp(1, 2, text("abcd")))),
            "sctp 10.0.0.1:1 > 10.0.0.2:2, 4 bytes");
  EXPECT_EQ(on_ethernet(0x0800, ipv4(1, icmp(8, 0, text("ping")))), "icmp 10.0.0.1 > 10.0.0.2, 4 bytes");
  EXPECT_EQ(on_ethernet(0x86dd, ipv6(58, icmp(135, 0, zeros(16)))),
            "icmpv6 2001:db8::1 > 2001:db8::2, 16 bytes");
  EXPECT_EQ(on_ethernet(0x0800, ipv4(89, zeros(44))), "89 10.0.0.1 > 10.0.0.2, 44 bytes");
  EXPECT_EQ(on_ethernet(0x0800, ipv4(50, zeros(30))), "50 10.0.0.1 > 10.0.0.2, 30 bytes");
}

TEST(DecodeTest, AnIcmpErrorIsNotThePacketItQuotes) {
  const Bytes bytes = ethernet(0x0800, ipv4(1, icmp(3, 1, ipv4(6, tcp(1, 2)))));
  const Packet packet = packet_of(frame_of(LinkType::ethernet, bytes));
  EXPECT_EQ(packet.tuple.protocol, protocol::icmp);
  EXPECT_EQ(packet.icmp_type, 3);
  EXPECT_EQ(packet.icmp_code, 1);
  EXPECT_EQ(packet.header_bytes, 8);
  EXPECT_EQ(packet.payload_bytes, 40u);
}

TEST(DecodeTest, PassesOverOptionsAndExtensionHeaders) {
  Ip4 say;
  say.options = hex("94040000 01010101");
  EXPECT_EQ(on_ethernet(0x0800, ipv4(17, udp(1, 2), say)), "udp 10.0.0.1:1 > 10.0.0.2:2, 0 bytes");
  EXPECT_EQ(on_ethernet(0x0800, ipv4(51, hex("06 04 0000") + zeros(20) + tcp(1, 2))),
            "tcp 10.0.0.1:1 > 10.0.0.2:2, 0 bytes");
  for (const std::uint8_t header : {0, 43, 60, 135, 139, 140}) {
    EXPECT_EQ(on_ethernet(0x86dd, ipv6(header, extension(17, udp(1, 2, text("x")), 2))),
              "udp [2001:db8::1]:1 > [2001:db8::2]:2, 1 bytes");
  }
  EXPECT_EQ(
      on_ethernet(
          0x86dd,
          ipv6(0, extension(43, extension(60, extension(51, hex("06040000") + zeros(20) + tcp(1, 2)))))),
      "tcp [2001:db8::1]:1 > [2001:db8::2]:2, 0 bytes");
  EXPECT_EQ(on_ethernet(0x86dd, ipv6(44, fragment6(17, 0, false, 9, udp(1, 2)))),
            "udp [2001:db8::1]:1 > [2001:db8::2]:2, 0 bytes");
}

TEST(DecodeTest, ManyExtensionHeadersHideNothing) {
  Bytes inside = extension(17, udp(1, 2));
  for (int i = 0; i < 100; ++i) inside = extension(60, inside);
  EXPECT_EQ(on_ethernet(0x86dd, ipv6(60, inside)), "udp [2001:db8::1]:1 > [2001:db8::2]:2, 0 bytes");
}

TEST(DecodeTest, SignallingWithoutPayloadKeepsItsProtocol) {
  EXPECT_EQ(on_ethernet(0x86dd, ipv6(135, extension(59, {}, 1))), "135 2001:db8::1 > 2001:db8::2, 0 bytes");
  EXPECT_EQ(on_ethernet(0x86dd, ipv6(60, extension(59, {}))), "59 2001:db8::1 > 2001:db8::2, 0 bytes");
}

TEST(DecodeTest, LengthsThatLieAreFaults) {
  Ip4 say;
  say.total = 100;
  EXPECT_EQ(on_ethernet(0x0800, ipv4(17, udp(1, 2), say)), "bad_length");
  say.total = 19;
  EXPECT_EQ(on_ethernet(0x0800, ipv4(17, udp(1, 2), say)), "bad_length");
  say.total = -1;
  say.first = 0x44;
  EXPECT_EQ(on_ethernet(0x0800, ipv4(17, udp(1, 2), say)), "bad_length");
  say.first = 0x4f;
  EXPECT_EQ(on_ethernet(0x0800, ipv4(17, udp(1, 2), say)), "bad_length");
  say.first = 0x55;
  EXPECT_EQ(on_ethernet(0x0800, ipv4(17, udp(1, 2), say)), "bad_version");
  EXPECT_EQ(on_ethernet(0x86dd, ipv6(17, udp(1, 2), 9)), "bad_length");
  EXPECT_EQ(on_ethernet(0x86dd, ipv6(60, extension(17, udp(1, 2)) + Bytes{}, 16)),
            "udp [2001:db8::1]:1 > [2001:db8::2]:2, 0 bytes");
  EXPECT_EQ(on_ethernet(0x86dd, ipv6(60, u8(17) + u8(9) + zeros(6))), "bad_length");
  EXPECT_EQ(on_ethernet(0x0800, ipv4(6, zeros(19))), "bad_length");
  EXPECT_EQ(on_ethernet(0x0800, ipv4(17, zeros(7))), "bad_length");
  EXPECT_EQ(on_ethernet(0x0800, ipv4(132, zeros(11))), "bad_length");
}

TEST(DecodeTest, TransportLengthsThatLieAreCountedAndOverruled) {
  Decoder decoder;
  Packet packet;
  const auto decode = [&](const Bytes& bytes) {
    return decoder.decode(frame_of(LinkType::ethernet, bytes), packet);
  };
  EXPECT_EQ(decode(ethernet(0x0800, ipv4(17, udp(1, 2, text("abc"), 500)))), Fault::none);
  EXPECT_EQ(packet.payload_bytes, 3u);
  EXPECT_EQ(decode(ethernet(0x0800, ipv4(17, udp(1, 2, text("abc"), 3)))), Fault::none);
  EXPECT_EQ(packet.payload_bytes, 3u);
  EXPECT_EQ(decoder.counts().of(Oddity::transport_length), 2u);
  // A shorter one is the truth: what follows is a trailer.
  EXPECT_EQ(decode(ethernet(0x0800, ipv4(17, udp(1, 2, text("abc"), 9)))), Fault::none);
  EXPECT_EQ(packet.payload_bytes, 1u);
  EXPECT_EQ(decoder.counts().of(Oddity::transport_length), 2u);

  Tcp say;
  say.offset_words = 6;
  EXPECT_EQ(decode(ethernet(0x0800, ipv4(6, tcp(1, 2, {}, say)))), Fault::none);
  EXPECT_EQ(packet.header_bytes, 20);
  EXPECT_EQ(packet.payload_bytes, 0u);
  say.offset_words = 4;
  EXPECT_EQ(decode(ethernet(0x0800, ipv4(6, tcp(1, 2, text("x"), say)))), Fault::none);
  EXPECT_EQ(packet.header_bytes, 20);
  EXPECT_EQ(packet.payload_bytes, 1u);
  EXPECT_EQ(decoder.counts().of(Oddity::transport_length), 4u);
}

TEST(DecodeTest, LengthZeroMeansAllThatIsThere) {
  Ip4 say;
  say.total = 0;
  const Bytes offloaded = ethernet(0x0800, ipv4(6, tcp(1, 2, zeros(3000)), say));
  const Packet packet = packet_of(frame_of(LinkType::ethernet, offloaded));
  EXPECT_EQ(packet.payload_bytes, 3000u);
  EXPECT_EQ(packet.ip_bytes, 3040u);
  EXPECT_EQ(packet.marks, Packet::zero_ip_length);
  EXPECT_EQ(on_ethernet(0x86dd, ipv6(6, tcp(1, 2, zeros(50)), 0)),
            "tcp [2001:db8::1]:1 > [2001:db8::2]:2, 50 bytes");
  // With another protocol an empty IPv6 packet is just that, and the rest is padding.
  EXPECT_EQ(on_ethernet(0x86dd, ipv6(99, zeros(6), 0)), "99 2001:db8::1 > 2001:db8::2, 0 bytes");
}

TEST(DecodeTest, WhatIsNotIpIsAFaultOfItsKind) {
  EXPECT_EQ(on_ethernet(0x0806, zeros(28)), "arp");
  EXPECT_EQ(on_ethernet(0x88cc, zeros(28)), "not_ip");
  EXPECT_EQ(on_ethernet(0x0026, hex("424203") + zeros(35)), "not_ip");  // spanning tree
  EXPECT_EQ(on_ethernet(0x0800, hex("")), "bad_length");
  EXPECT_EQ(decoded(static_cast<LinkType>(9999), zeros(60)), "unsupported_link");
}

TEST(DecodeTest, ArpIsKeptOnRequestAsCicFlowMeterSeesIt) {
  DecodeOptions options;
  options.keep_arp = true;
  const Bytes bytes = ethernet(0x0806, zeros(28));
  Packet packet;
  ASSERT_EQ(decode_headers(frame_of(LinkType::ethernet, bytes), options, packet), Fault::none);
  EXPECT_EQ(packet.marks, Packet::arp);
  EXPECT_EQ(text_of(packet), "0 8.6.0.1 > 8.0.6.4, 0 bytes");
}

TEST(DecodeTest, CountsWhatItDecided) {
  Decoder decoder;
  Packet packet;
  decoder.decode(frame_of(LinkType::ethernet, ethernet(0x0800, ipv4(17, udp(1, 2)))), packet);
  decoder.decode(frame_of(LinkType::ethernet, ethernet(0x0806, zeros(28))), packet);
  decoder.decode(frame_of(LinkType::ethernet, zeros(3)), packet);
  DecodeCounts sum = decoder.counts();
  sum += decoder.counts();
  EXPECT_EQ(sum.packets, 2u);
  EXPECT_EQ(sum.of(Fault::arp), 2u);
  EXPECT_EQ(sum.of(Fault::truncated), 2u);
}

}  // namespace
}  // namespace nidus::net
