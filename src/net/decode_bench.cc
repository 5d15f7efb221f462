// Nanoseconds per frame. "Warm" frames stay in the first-level cache: what the instructions cost, without
// memory.
#include <benchmark/benchmark.h>

#include "base/random.h"
#include "net/decode.h"
#include "net/testing/frames.h"

namespace nidus::net {
namespace {

using namespace testing;

void decode_all(benchmark::State& state, LinkType link, const std::vector<Bytes>& frames) {
  Decoder decoder;
  Packet packet;
  Frame frame;
  frame.link = link;
  std::size_t at = 0;
  for (auto _ : state) {
    frame.bytes = frames[at];
    frame.wire_bytes = static_cast<std::uint32_t>(frame.bytes.size());
    at = at + 1 == frames.size() ? 0 : at + 1;
    benchmark::DoNotOptimize(decoder.decode(frame, packet));
    benchmark::DoNotOptimize(packet);
  }
  state.SetItemsProcessed(state.iterations());
}

Bytes tcp4() { return ipv4(6, tcp(4000, 80, zeros(700))); }
Bytes tcp6() { return ipv6(6, tcp(4000, 80, zeros(700))); }

void ethernet_ipv4_tcp(benchmark::State& state) {
  decode_all(state, LinkType::ethernet, {ethernet(0x0800, tcp4())});
}
BENCHMARK(ethernet_ipv4_tcp);

void ethernet_ipv4_udp(benchmark::State& state) {
  decode_all(state, LinkType::ethernet, {ethernet(0x0800, ipv4(17, udp(4000, 53, zeros(60))))});
}
BENCHMARK(ethernet_ipv4_udp);

void ethernet_ipv6_tcp(benchmark::State& state) {
  decode_all(state, LinkType::ethernet, {ethernet(0x86dd, tcp6())});
}
BENCHMARK(ethernet_ipv6_tcp);

void ethernet_vlan_ipv4_tcp(benchmark::State& state) {
  decode_all(state, LinkType::ethernet, {ethernet(0x8100, vlan(7, 0x0800, tcp4()))});
}
BENCHMARK(ethernet_vlan_ipv4_tcp);

void vxlan_ethernet_ipv4_tcp(benchmark::State& state) {
  const Bytes inner = hex("08000000 00000100") + ethernet(0x0800, tcp4());
  decode_all(state, LinkType::ethernet, {ethernet(0x0800, ipv4(17, udp(40000, 4789, inner)))});
}
BENCHMARK(vxlan_ethernet_ipv4_tcp);

void arp(benchmark::State& state) { decode_all(state, LinkType::ethernet, {ethernet(0x0806, zeros(46))}); }
BENCHMARK(arp);

// Versions, transports, tags and lengths in random order: branches are predicted badly.
void a_mixture(benchmark::State& state) {
  Random random(1);
  std::vector<Bytes> frames;
  for (int i = 0; i < 4096; ++i) {
    const auto payload = zeros(random.below(200));
    const auto port = static_cast<std::uint16_t>(random.below(60000));
    const Bytes transport = random.below(4) == 0 ? udp(port, 53, payload) : tcp(port, 443, payload);
    const std::uint8_t number = transport.size() == 8 + payload.size() ? 17 : 6;
    const bool six = random.below(4) == 0;
    const Bytes datagram = six ? ipv6(number, transport) : ipv4(number, transport);
    const std::uint16_t type = six ? 0x86dd : 0x0800;
    frames.push_back(random.below(4) == 0 ? ethernet(0x8100, vlan(7, type, datagram))
                                          : ethernet(type, datagram));
  }
  decode_all(state, LinkType::ethernet, frames);
}
BENCHMARK(a_mixture);

// A flood of first fragments that never end: each one evicts another.
void fragment_flood(benchmark::State& state) {
  Random random(1);
  std::vector<Bytes> frames;
  for (int i = 0; i < 20000; ++i) {
    Ip4 say;
    say.source = static_cast<std::uint32_t>(random.next());
    say.fragment = 0x2000;
    frames.push_back(ethernet(0x0800, ipv4(17, udp(1, 2, zeros(16)), say)));
  }
  decode_all(state, LinkType::ethernet, frames);
}
BENCHMARK(fragment_flood);

}  // namespace
}  // namespace nidus::net
