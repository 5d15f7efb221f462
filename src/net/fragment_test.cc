// Fragmented datagrams: who gets whose ports, what is impossible, what happens when there is no room.
#include "net/testing/decoding.h"

namespace nidus::net {
namespace {

using namespace testing;
using namespace std::chrono_literals;

class FragmentTest : public ::testing::Test {
 protected:
  // Decodes and says what came out, with the marks.
  std::string send(const Bytes& datagram) {
    Frame frame = frame_of(LinkType::raw_ip, datagram);
    frame.time = now_;
    Packet packet;
    if (decoder_.decode(frame, packet) != Fault::none) return "fault";
    std::string out = text_of(packet);
    if (packet.marks & Packet::non_first_fragment) out += ", later";
    if (packet.marks & Packet::fragment_attributed) out += ", attributed";
    if (packet.marks & Packet::bad_fragment) out += ", bad";
    return out;
  }
  // `offset` in bytes; the first holds a UDP header from 4000 to 53.
  static Bytes part(std::uint16_t id, std::uint16_t offset, std::size_t bytes, bool more,
                    std::uint8_t protocol = 17) {
    Ip4 say;
    say.id = id;
    say.fragment = static_cast<std::uint16_t>((more ? 0x2000 : 0) | offset / 8);
    return ipv4(protocol, cut(offset == 0 ? udp(4000, 53, zeros(bytes), 3000) : zeros(bytes), bytes), say);
  }
  void wait(std::chrono::nanoseconds time) { now_ = now_ + time; }
  std::uint64_t count(Oddity oddity) const { return decoder_.counts().of(oddity); }

  DecodeOptions options_;
  Decoder decoder_{options_};
  Timestamp now_{1'000'000'000};
};

constexpr const char* kFirst = "udp 10.0.0.1:4000 > 10.0.0.2:53, 792 bytes";
constexpr const char* kLater = "udp 10.0.0.1:4000 > 10.0.0.2:53, 800 bytes, later, attributed";
constexpr const char* kUnknown = "udp 10.0.0.1 > 10.0.0.2, 800 bytes, later";

TEST_F(FragmentTest, LaterFragmentsGetThePortsOfTheFirst) {
  EXPECT_EQ(send(part(1, 0, 800, true)), kFirst);
  EXPECT_EQ(send(part(1, 800, 800, true)), kLater);
  EXPECT_EQ(send(part(1, 1600, 100, false)), "udp 10.0.0.1:4000 > 10.0.0.2:53, 100 bytes, later, attributed");
  EXPECT_EQ(count(Oddity::bad_fragment), 0u);
  EXPECT_EQ(count(Oddity::transport_length), 0u);  // the UDP length speaks of the whole datagram
}

TEST_F(FragmentTest, AnotherIdProtocolOrDirectionIsAnotherDatagram) {
  send(part(1, 0, 800, true));
  EXPECT_EQ(send(part(2, 800, 800, true)), kUnknown);
  EXPECT_EQ(send(part(1, 800, 800, true, 6)), "tcp 10.0.0.1 > 10.0.0.2, 800 bytes, later");
  Ip4 back;
  back.id = 1;
  back.fragment = 100;
  back.source = 0x0a000002;
  back.destination = 0x0a000001;
  EXPECT_EQ(send(ipv4(17, zeros(8), back)), "udp 10.0.0.2 > 10.0.0.1, 8 bytes, later");
  EXPECT_EQ(count(Oddity::unattributed_fragment), 3u);
}

TEST_F(FragmentTest, OutOfOrderFragmentsAreFineOnceTheFirstHasCome) {
  EXPECT_EQ(send(part(1, 800, 800, true)), kUnknown);
  EXPECT_EQ(send(part(1, 0, 800, true)), kFirst);
  EXPECT_EQ(send(part(1, 2400, 8, false)), "udp 10.0.0.1:4000 > 10.0.0.2:53, 8 bytes, later, attributed");
  EXPECT_EQ(send(part(1, 1600, 800, true)), kLater);
  EXPECT_EQ(count(Oddity::bad_fragment), 0u);
}

TEST_F(FragmentTest, ACompleteDatagramIsForgottenSoThatItsIdCanBeUsedAgain) {
  send(part(1, 0, 800, true));
  send(part(1, 800, 800, false));
  EXPECT_EQ(send(part(1, 0, 800, true)), kFirst);
  EXPECT_EQ(send(part(1, 800, 800, false)), kLater);
}

TEST_F(FragmentTest, AnOldDatagramIsForgotten) {
  send(part(1, 0, 800, true));
  wait(30s);
  EXPECT_EQ(send(part(1, 800, 800, true)), kLater);
  wait(31s);
  EXPECT_EQ(send(part(1, 1600, 800, true)), kUnknown);
  EXPECT_EQ(count(Oddity::evicted_fragment), 0u);
}

TEST_F(FragmentTest, OverlapsAreMarked) {
  send(part(1, 0, 800, true));
  EXPECT_EQ(send(part(1, 792, 800, true)), std::string(kLater) + ", bad");
  EXPECT_EQ(send(part(1, 0, 800, true)), std::string(kFirst) + ", bad");
  EXPECT_EQ(send(part(1, 800, 800, true)), kLater);
  EXPECT_EQ(count(Oddity::bad_fragment), 2u);
}

TEST_F(FragmentTest, ImpossibleFragmentsAreMarked) {
  EXPECT_EQ(send(part(1, 65528, 16, false)),
            "udp 10.0.0.1 > 10.0.0.2, 16 bytes, later, bad");  // "ping of death"
  EXPECT_EQ(send(part(2, 800, 801, true)), "udp 10.0.0.1 > 10.0.0.2, 801 bytes, later, bad");
  EXPECT_EQ(send(part(3, 800, 0, true)), "udp 10.0.0.1 > 10.0.0.2, 0 bytes, later, bad");
  send(part(4, 800, 800, false));
  EXPECT_EQ(send(part(4, 1600, 800, true)), std::string(kUnknown) + ", bad");   // after the last
  EXPECT_EQ(send(part(4, 2400, 800, false)), std::string(kUnknown) + ", bad");  // another last
  send(part(5, 1600, 800, true));
  EXPECT_EQ(send(part(5, 800, 800, false)), std::string(kUnknown) + ", bad");  // a last before what was there
}

TEST_F(FragmentTest, TinyFirstFragmentsKeepTheirPorts) {
  Ip4 say;
  say.fragment = 0x2000;
  EXPECT_EQ(send(ipv4(6, cut(tcp(4000, 80), 8), say)), "tcp 10.0.0.1:4000 > 10.0.0.2:80, 0 bytes");
  say.fragment = 1;
  EXPECT_EQ(send(ipv4(6, zeros(32), say)), "tcp 10.0.0.1:4000 > 10.0.0.2:80, 32 bytes, later, attributed");
}

TEST_F(FragmentTest, IcmpFragmentsKeepTypeAndCode) {
  Ip4 say;
  say.fragment = 0x2000;
  send(ipv4(1, icmp(8, 3, zeros(792)), say));
  say.fragment = 100;
  const Bytes later = ipv4(1, zeros(8), say);
  Packet packet;
  Frame frame = frame_of(LinkType::raw_ip, later);
  frame.time = now_;
  decoder_.decode(frame, packet);
  EXPECT_EQ(packet.icmp_type, 8);
  EXPECT_EQ(packet.icmp_code, 3);
}

TEST_F(FragmentTest, Ipv6FragmentsLearnTheirTransportToo) {
  const Bytes whole = extension(17, udp(4000, 53, zeros(784), 3000));
  EXPECT_EQ(send(ipv6(44, fragment6(60, 0, true, 5, whole))),
            "udp [2001:db8::1]:4000 > [2001:db8::2]:53, 784 bytes");
  EXPECT_EQ(send(ipv6(44, fragment6(60, 100, false, 5, zeros(7)))),
            "udp [2001:db8::1]:4000 > [2001:db8::2]:53, 7 bytes, later, attributed");
  EXPECT_EQ(send(ipv6(44, fragment6(60, 100, false, 6, zeros(7)))),
            "60 2001:db8::1 > 2001:db8::2, 7 bytes, later");
}

TEST_F(FragmentTest, ATunnelInsideAFirstFragmentIsRead) {
  const Bytes inner = ethernet(0x0800, ipv4(6, tcp(4000, 80, zeros(1400)), {.source = 0xc0a80001}));
  const Bytes whole = udp(40000, 4789, hex("08000000 00000100") + inner);
  Ip4 say;
  say.fragment = 0x2000;
  EXPECT_EQ(send(ipv4(17, cut(whole, 800), say)), "tcp 192.168.0.1:4000 > 10.0.0.2:80, 1400 bytes, depth 1");
  say.fragment = 100;
  EXPECT_EQ(send(ipv4(17, zeros(8), say)), "udp 10.0.0.1:40000 > 10.0.0.2:4789, 8 bytes, later, attributed");
}

TEST_F(FragmentTest, WhenFullTheLongestSilentDatagramIsForgotten) {
  options_.fragment_capacity = 8;
  decoder_ = Decoder(options_);
  for (std::uint16_t id = 1; id <= 9; ++id) {
    send(part(id, 0, 800, true));
    wait(1s);
  }
  EXPECT_EQ(count(Oddity::evicted_fragment), 1u);
  EXPECT_EQ(send(part(2, 800, 800, true)), kLater);
  EXPECT_EQ(send(part(1, 800, 800, true)), kUnknown);
}

}  // namespace
}  // namespace nidus::net
