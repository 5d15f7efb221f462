// One test for each link type and for each thing that may stand between the link and IP.
#include "net/testing/decoding.h"

namespace nidus::net {
namespace {

using namespace testing;

const char* const kUdp4 = "udp 10.0.0.1:4000 > 10.0.0.2:53, 3 bytes";
const char* const kUdp6 = "udp [2001:db8::1]:4000 > [2001:db8::2]:53, 3 bytes";

Bytes datagram4() { return ipv4(17, udp(4000, 53, text("abc"))); }
Bytes datagram6() { return ipv6(17, udp(4000, 53, text("abc"))); }

std::string on_ethernet(std::uint16_t type, const Bytes& payload) {
  return decoded(LinkType::ethernet, ethernet(type, payload));
}

TEST(LinkTest, Ethernet) {
  EXPECT_EQ(on_ethernet(0x0800, datagram4()), kUdp4);
  EXPECT_EQ(on_ethernet(0x86dd, datagram6()), kUdp6);
}

TEST(LinkTest, EthernetWithLlc) {
  const Bytes snapped = snap(0x0800, datagram4());
  EXPECT_EQ(on_ethernet(static_cast<std::uint16_t>(snapped.size()), snapped + zeros(10)), kUdp4);
  const Bytes tunnelled = hex("aaaa03 0000f8 0800") + datagram4();
  EXPECT_EQ(on_ethernet(static_cast<std::uint16_t>(tunnelled.size()), tunnelled), kUdp4);
  const Bytes bare = hex("060603") + datagram4();
  EXPECT_EQ(on_ethernet(static_cast<std::uint16_t>(bare.size()), bare), kUdp4);
  EXPECT_EQ(on_ethernet(60, hex("aaaa03 00000c 2000") + zeros(52)), "not_ip");  // Cisco discovery
  EXPECT_EQ(on_ethernet(60, hex("ffff") + zeros(58)), "not_ip");                // IPX
}

TEST(LinkTest, LinuxCooked) {
  const Bytes header = hex("0000 0001 0006 020000000001 0000");
  EXPECT_EQ(decoded(LinkType::linux_sll, header + be16(0x0800) + datagram4()), kUdp4);
  EXPECT_EQ(decoded(LinkType::linux_sll, header + be16(0x86dd) + datagram6()), kUdp6);
  EXPECT_EQ(decoded(LinkType::linux_sll, header + be16(4) + snap(0x0800, datagram4())), kUdp4);
  EXPECT_EQ(decoded(LinkType::linux_sll, header + be16(0x000c) + zeros(16)), "not_ip");  // CAN
  const Bytes rest = hex("0000 00000002 0001 00 06 0200000000010000");
  EXPECT_EQ(decoded(LinkType::linux_sll2, be16(0x0800) + rest + datagram4()), kUdp4);
  EXPECT_EQ(decoded(LinkType::linux_sll2, be16(0x8100) + rest + vlan(5, 0x86dd, datagram6())),
            std::string(kUdp6) + ", vlan 5");
}

TEST(LinkTest, RawIp) {
  for (const int number : {12, 14, 101, 228, 229}) {
    EXPECT_EQ(decoded(static_cast<LinkType>(number), datagram4()), kUdp4);
    EXPECT_EQ(decoded(static_cast<LinkType>(number), datagram6()), kUdp6);
  }
  EXPECT_EQ(decoded(LinkType::raw_ip, hex("50") + zeros(40)), "bad_version");
}

TEST(LinkTest, BsdNullAndLoopInBothByteOrders) {
  for (const LinkType link : {LinkType::bsd_null, LinkType::bsd_loop}) {
    EXPECT_EQ(decoded(link, le32(2) + datagram4()), kUdp4);
    EXPECT_EQ(decoded(link, be32(2) + datagram4()), kUdp4);
    for (const std::uint32_t family : {10u, 23u, 24u, 28u, 30u}) {
      EXPECT_EQ(decoded(link, le32(family) + datagram6()), kUdp6);
      EXPECT_EQ(decoded(link, be32(family) + datagram6()), kUdp6);
    }
    EXPECT_EQ(decoded(link, le32(7) + zeros(40)), "not_ip");
  }
}

TEST(LinkTest, Ppp) {
  for (const LinkType link : {LinkType::ppp, LinkType::ppp_hdlc}) {
    EXPECT_EQ(decoded(link, hex("ff03 0021") + datagram4()), kUdp4);
    EXPECT_EQ(decoded(link, hex("0021") + datagram4()), kUdp4);
    EXPECT_EQ(decoded(link, hex("21") + datagram4()), kUdp4);
    EXPECT_EQ(decoded(link, hex("ff03 0057") + datagram6()), kUdp6);
    EXPECT_EQ(decoded(link, hex("ff03 0281") + mpls(3, true, datagram4())), kUdp4);
    EXPECT_EQ(decoded(link, hex("ff03 c021") + zeros(8)), "not_ip");
    EXPECT_EQ(decoded(link, hex("ff03 00fd") + zeros(8)), "unsupported_protocol");
    EXPECT_EQ(decoded(link, hex("ff03 0053") + zeros(8)), "encrypted");
    EXPECT_EQ(decoded(link, hex("0f00 0800") + datagram4()), kUdp4);
  }
  EXPECT_EQ(decoded(LinkType::ppp_with_direction, hex("01 03 0021") + datagram4()), kUdp4);
  EXPECT_EQ(decoded(LinkType::ppp_with_direction, hex("00 0021") + datagram4()), kUdp4);
  EXPECT_EQ(decoded(LinkType::pppoe, pppoe(0x0021, datagram4())), kUdp4);
  EXPECT_EQ(decoded(LinkType::cisco_hdlc, hex("8f00 86dd") + datagram6()), kUdp6);
}

TEST(LinkTest, PppoeOnEthernet) {
  EXPECT_EQ(on_ethernet(0x8864, pppoe(0x0021, datagram4())), kUdp4);
  EXPECT_EQ(on_ethernet(0x8864, pppoe(0x0057, datagram6())), kUdp6);
  EXPECT_EQ(on_ethernet(0x8864, hex("1109 0001 0004 0000 0000")), "not_ip");
  EXPECT_EQ(on_ethernet(0x8864, hex("2100 0001 0004 0021 0000")), "bad_version");
  EXPECT_EQ(on_ethernet(0x8863, hex("1109 0000 0004 0101 0000")), "not_ip");
}

TEST(LinkTest, FrameRelay) {
  EXPECT_EQ(decoded(LinkType::frame_relay, hex("1841 03 cc") + datagram4()), kUdp4);
  EXPECT_EQ(decoded(LinkType::frame_relay, hex("184041 03 00 8e") + datagram6()), kUdp6);
  EXPECT_EQ(decoded(LinkType::frame_relay, hex("1841 03 00 80 000000 0800") + datagram4()), kUdp4);
  EXPECT_EQ(decoded(LinkType::frame_relay, hex("1841 0800") + datagram4()), kUdp4);
  EXPECT_EQ(decoded(LinkType::frame_relay, hex("1840404040") + zeros(20)), "bad_length");
}

TEST(LinkTest, OldAndRareLinks) {
  EXPECT_EQ(decoded(LinkType::slip, zeros(16) + datagram4()), kUdp4);
  EXPECT_EQ(decoded(LinkType::openbsd_enc, zeros(12) + datagram4()), kUdp4);
  EXPECT_EQ(decoded(LinkType::pflog, hex("3d") + zeros(63) + datagram6()), kUdp6);
  EXPECT_EQ(decoded(LinkType::atm_rfc1483, snap(0x0800, datagram4())), kUdp4);
  EXPECT_EQ(decoded(LinkType::atm_rfc1483, hex("fefe03 cc") + datagram4()), kUdp4);
  EXPECT_EQ(decoded(LinkType::atm_clip, datagram4()), kUdp4);
  EXPECT_EQ(decoded(LinkType::token_ring, hex("1040") + zeros(12) + snap(0x0800, datagram4())), kUdp4);
  EXPECT_EQ(decoded(LinkType::token_ring,
                    hex("1040 000000000000 800000000000 06300000 0000") + snap(0x0800, datagram4())),
            kUdp4);
  EXPECT_EQ(decoded(LinkType::fddi, zeros(13) + snap(0x0800, datagram4())), kUdp4);
  EXPECT_EQ(decoded(LinkType::arcnet_linux, hex("01020000 d4 00 0001") + datagram4()), kUdp4);
  EXPECT_EQ(decoded(LinkType::arcnet_linux, hex("01020000 f0") + datagram4()), kUdp4);
  EXPECT_EQ(decoded(LinkType::arcnet_linux, hex("01020000 d4 03 0001") + datagram4()),
            "unsupported_protocol");
}

TEST(LinkTest, NetfilterLog) {
  const Bytes mark = hex("0800 0300 00000001");
  const auto attribute = [](const Bytes& payload) { return le16(payload.size() + 4) + le16(9) + payload; };
  EXPECT_EQ(decoded(LinkType::nflog, hex("02000000") + mark + attribute(datagram4())), kUdp4);
  EXPECT_EQ(decoded(LinkType::nflog, hex("02000000 0008 0003 00000001") + be16(4 + datagram4().size()) +
                                         be16(9) + datagram4()),
            kUdp4);
  EXPECT_EQ(decoded(LinkType::nflog, hex("02000000") + mark), "not_ip");
  EXPECT_EQ(decoded(LinkType::nflog, hex("02000000 0300 0300")), "bad_length");
}

TEST(LinkTest, VlanTags) {
  EXPECT_EQ(on_ethernet(0x8100, vlan(7, 0x0800, datagram4())), std::string(kUdp4) + ", vlan 7");
  for (const std::uint16_t outer : {0x88a8, 0x9100, 0x9200}) {
    EXPECT_EQ(on_ethernet(outer, vlan(100, 0x8100, vlan(7, 0x86dd, datagram6()))),
              std::string(kUdp6) + ", vlan 100");
  }
  EXPECT_EQ(on_ethernet(0x8100, vlan(0xe000, 0x0800, datagram4())), kUdp4);  // a priority tag
  EXPECT_EQ(on_ethernet(0x8100, vlan(7, 60, snap(0x0800, datagram4()))), std::string(kUdp4) + ", vlan 7");
}

TEST(LinkTest, OtherTags) {
  EXPECT_EQ(on_ethernet(0x8926, hex("00000000 0800") + datagram4()), kUdp4);
  EXPECT_EQ(on_ethernet(0x8909, hex("0101 0001 0064 0800") + datagram4()), kUdp4);
  EXPECT_EQ(on_ethernet(0x893f, hex("1000 00d3 0000 0800") + datagram4()), kUdp4);
  EXPECT_EQ(on_ethernet(0x88e7, hex("00000123") + ethernet(0x0800, datagram4())), kUdp4);
  EXPECT_EQ(on_ethernet(0x8903, hex("0401") + ethernet(0x0800, datagram4())), kUdp4);
  EXPECT_EQ(on_ethernet(0x894f, hex("0002 02 01 00000100") + datagram4()), kUdp4);
  EXPECT_EQ(on_ethernet(0x894f, hex("0002 02 02 00000100") + datagram6()), kUdp6);
  EXPECT_EQ(on_ethernet(0x894f, hex("0006 01 03 00000100") + zeros(16) + ethernet(0x0800, datagram4())),
            kUdp4);
  EXPECT_EQ(on_ethernet(0x88e5, hex("20 00 00000004 0102030405060708 0800") + datagram4() + zeros(16)),
            kUdp4);
  EXPECT_EQ(on_ethernet(0x88e5, hex("00 00 00000004 0800") + datagram4() + zeros(16)), kUdp4);
  EXPECT_EQ(on_ethernet(0x88e5, hex("2c 00 00000004 0102030405060708") + zeros(64)), "encrypted");
}

TEST(LinkTest, TagsWithoutEndAreTooDeep) {
  Bytes inside = vlan(1, 0x0800, datagram4());
  for (int i = 1; i < kLayersMax; ++i) inside = vlan(1, 0x8100, inside);
  EXPECT_EQ(on_ethernet(0x8100, inside), std::string(kUdp4) + ", vlan 1");
  EXPECT_EQ(on_ethernet(0x8100, vlan(1, 0x8100, inside)), "too_deep");
}

TEST(LinkTest, Mpls) {
  EXPECT_EQ(on_ethernet(0x8847, mpls(16, true, datagram4())), kUdp4);
  EXPECT_EQ(on_ethernet(0x8848, mpls(16, false, mpls(17, true, datagram6()))), kUdp6);
  EXPECT_EQ(on_ethernet(0x8847, mpls(16, true, hex("10000000") + zeros(8))), "not_ip");
}

TEST(LinkTest, MplsPseudoWires) {
  EXPECT_EQ(on_ethernet(0x8847, mpls(16, true, zeros(4) + ethernet(0x0800, datagram4()))), kUdp4);
  EXPECT_EQ(on_ethernet(0x8847, mpls(16, true, ethernet(0x0800, datagram4()))), kUdp4);
  // Hardware addresses that look like the first byte of IP.
  EXPECT_EQ(on_ethernet(0x8847, mpls(16, true, hex("46123456789a 020000000001 0800") + datagram4())), kUdp4);
  EXPECT_EQ(on_ethernet(0x8847, mpls(16, true, hex("62123456789a 020000000001 86dd") + datagram6())), kUdp6);
}

TEST(LinkTest, Ieee80211) {
  const Bytes addresses = zeros(20) + le16(0x0010);  // duration, three addresses, sequence 1
  const Bytes llc = snap(0x0800, datagram4());
  const LinkType link = LinkType::ieee80211;
  EXPECT_EQ(decoded(link, hex("0801") + addresses + llc), kUdp4);
  EXPECT_EQ(decoded(link, hex("0803") + addresses + zeros(6) + llc), kUdp4);     // four addresses
  EXPECT_EQ(decoded(link, hex("8802") + addresses + hex("0000") + llc), kUdp4);  // quality of service
  EXPECT_EQ(decoded(link, hex("8882") + addresses + hex("0000") + zeros(4) + llc), kUdp4);  // high throughput
  EXPECT_EQ(
      decoded(link, hex("8802") + addresses + hex("8000") + zeros(12) + be16(llc.size()) + llc + zeros(30)),
      kUdp4);  // several frames in one
  EXPECT_EQ(decoded(link, hex("0841") + addresses + zeros(40)), "encrypted");
  EXPECT_EQ(decoded(link, hex("4801") + addresses), "not_ip");  // a null frame
  EXPECT_EQ(decoded(link, hex("8000") + addresses + zeros(40)), "not_ip");
  EXPECT_EQ(decoded(link, hex("0805") + addresses + llc), "unsupported_protocol");  // a fragment
  EXPECT_EQ(decoded(link, hex("0901") + addresses + llc), "bad_version");
}

TEST(LinkTest, Ieee80211WithCaptureHeaders) {
  const Bytes frame = hex("0801") + zeros(20) + le16(0x0010) + snap(0x86dd, datagram6());
  EXPECT_EQ(decoded(LinkType::ieee80211_radiotap, hex("0000 0800 00000000") + frame), kUdp6);
  EXPECT_EQ(decoded(LinkType::ieee80211_radiotap, hex("0000 0900 02000000 10") + frame + zeros(4)), kUdp6);
  const Bytes quality = hex("8801") + zeros(20) + le16(0x0010) + hex("0000");
  const Bytes llc = snap(0x0800, datagram4());
  EXPECT_EQ(decoded(LinkType::ieee80211_radiotap, hex("0000 0900 02000000 20") + quality + zeros(2) + llc),
            kUdp4);
  // The flags come after a second bitmap and the timer.
  EXPECT_EQ(decoded(LinkType::ieee80211_radiotap, hex("0000 1900 03000080 00000000 00000000") + zeros(8) +
                                                      hex("20") + quality + zeros(2) + llc),
            kUdp4);
  EXPECT_EQ(decoded(LinkType::ieee80211_radiotap, hex("0100 0800 00000000") + frame), "bad_version");
  EXPECT_EQ(decoded(LinkType::ieee80211_radiotap, hex("0000 0700 00000000") + frame), "bad_length");
  EXPECT_EQ(decoded(LinkType::ieee80211_prism, hex("44000000 90000000") + zeros(136) + frame), kUdp6);
  EXPECT_EQ(decoded(LinkType::ieee80211_prism, hex("00000044 00000090") + zeros(136) + frame), kUdp6);
  EXPECT_EQ(decoded(LinkType::ieee80211_avs, hex("80211001 00000040") + zeros(56) + frame), kUdp6);
  EXPECT_EQ(decoded(LinkType::ppi, hex("0000 0800") + le32(105) + frame), kUdp6);
  Bytes nested = frame;
  for (int i = 0; i < 40; ++i) nested = hex("0000 0800") + le32(192) + nested;
  EXPECT_EQ(decoded(LinkType::ppi, nested), "too_deep");
}

}  // namespace
}  // namespace nidus::net
