// Packets of memory to records with all features, one core. The traffic: connections of about 31 packets,
// many at once, as in the survey that the figures of docs/performance.md are compared with.
#include <benchmark/benchmark.h>

#include "base/random.h"
#include "flow/features.h"
#include "flow/testing.h"

namespace nidus::flow {
namespace {

constexpr std::size_t kBlock = 2048;  // as in the pipeline

// `concurrent` connections advance in random turns until `count` packets are made.
std::vector<net::Packet> conversation_mix(std::size_t count, std::size_t concurrent, std::uint64_t seed) {
  struct Connection {
    Host client, server;
    std::uint32_t sequence[2];
    std::uint32_t left;
    bool udp, fresh;
  };
  Random random(seed);
  std::uint32_t next = 0;
  const auto open = [&] {
    Connection c;
    ++next;
    c.client = {v4(10, static_cast<int>(next >> 14 & 63), static_cast<int>(next >> 6 & 255),
                   static_cast<int>(next & 63)),
                static_cast<std::uint16_t>(1024 + random.below(60000))};
    c.server = {v4(192, 168, static_cast<int>(random.below(4)), static_cast<int>(random.below(250))), 443};
    c.sequence[0] = static_cast<std::uint32_t>(random.next());
    c.sequence[1] = static_cast<std::uint32_t>(random.next());
    c.left = static_cast<std::uint32_t>(2 + random.below(60));
    c.udp = random.below(4) == 0;
    c.fresh = true;
    return c;
  };
  std::vector<Connection> connections;
  for (std::size_t i = 0; i < concurrent; ++i) connections.push_back(open());
  std::vector<net::Packet> packets;
  packets.reserve(count);
  std::int64_t time_us = 1'000'000'000;
  while (packets.size() < count) {
    Connection& c = connections[random.below(connections.size())];
    time_us += static_cast<std::int64_t>(random.below(12));
    const bool back = !c.fresh && random.below(2) == 0;
    const std::uint32_t payload = c.fresh ? 0
                                  : back  ? static_cast<std::uint32_t>(random.below(1461))
                                          : static_cast<std::uint32_t>(random.below(300));
    const Host &from = back ? c.server : c.client, &to = back ? c.client : c.server;
    net::Packet p = c.udp ? udp(time_us, from, to, payload)
                          : tcp(time_us, from, to,
                                c.fresh       ? "S"
                                : c.left == 1 ? "FA"
                                : payload > 0 ? "PA"
                                              : "A",
                                payload, 32);
    p.sequence = c.sequence[back];
    c.sequence[back] += payload;
    p.acknowledgement = c.sequence[!back];
    c.fresh = false;
    packets.push_back(p);
    if (--c.left == 0) c = open();
  }
  return packets;
}

void meter_packets(benchmark::State& state, Profile profile) {
  // Metered again and again: what a profile makes of a TCP or UDP packet, it makes of it a second time.
  auto packets = conversation_mix(1'000'000, static_cast<std::size_t>(state.range(0)), 1);
  std::uint64_t records = 0;
  for (auto _ : state) {
    MeterOptions options;
    options.profile = profile;
    options.hash_seed = 1;
    Meter meter(options);
    FeatureRow row;
    const auto take = [&] {
      do {
        for (std::size_t shard = 0; shard < Meter::kShards; ++shard) meter.run(shard);
        for (const FlowRecord* record : meter.collect()) {
          compute_features(profile, *record, row);
          benchmark::DoNotOptimize(row);
          ++records;
        }
      } while (meter.behind());
    };
    for (std::size_t at = 0; at < packets.size(); at += kBlock) {
      meter.route(std::span(packets).subspan(at, std::min(kBlock, packets.size() - at)));
      take();
    }
    meter.finish();
    take();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(packets.size()));
  state.counters["records"] = static_cast<double>(records) / static_cast<double>(state.iterations());
}

BENCHMARK_CAPTURE(meter_packets, native, Profile::native)
    ->Arg(1000)
    ->Arg(10'000)
    ->Arg(100'000)
    ->Arg(500'000)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(meter_packets, cic2018, Profile::cic2018)->Arg(10'000)->Unit(benchmark::kMillisecond);

// Sources that never come back: every packet opens a flow, and most end one by eviction.
void syn_flood(benchmark::State& state) {
  Random random(2);
  std::vector<net::Packet> packets;
  for (int i = 0; i < 1'000'000; ++i) {
    const auto r = random.next();
    packets.push_back(tcp(i,
                          {v4(static_cast<int>(r & 255), static_cast<int>(r >> 8 & 255),
                              static_cast<int>(r >> 16 & 255), static_cast<int>(r >> 24 & 255)),
                           static_cast<std::uint16_t>(r >> 32)},
                          host(1, 80), "S"));
  }
  for (auto _ : state) {
    MeterOptions options;
    options.hash_seed = 1;
    options.one_packet_flows_max = 1 << 17;
    Meter meter(options);
    for (std::size_t at = 0; at < packets.size(); at += kBlock) {
      meter.route(std::span(packets).subspan(at, std::min(kBlock, packets.size() - at)));
      for (std::size_t shard = 0; shard < Meter::kShards; ++shard) meter.run(shard);
      benchmark::DoNotOptimize(meter.collect());
    }
    state.counters["evicted"] = static_cast<double>(meter.statistics().flows_evicted);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(packets.size()));
}
BENCHMARK(syn_flood)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace nidus::flow
