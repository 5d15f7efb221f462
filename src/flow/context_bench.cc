// Time for one flow in the ordered stage behind the meter: put into order, and counted in its windows.
#include <benchmark/benchmark.h>

#include <cstring>

#include "flow/context.h"
#include "flow/testing.h"

namespace nidus::flow {
namespace {

// Flows in a steady stream, from so many sources to a hundred services; one in eight comes to nothing.
std::vector<FlowRecord> flows(std::uint32_t sources, std::int64_t per_second) {
  Random random(1);
  std::vector<FlowRecord> out(1u << 17);
  for (std::size_t i = 0; i < out.size(); ++i) {
    FlowRecord& r = out[i];
    r.tuple = tcp(0, host(1, 4000), host(static_cast<int>(random.below(50)), 443), "S").tuple;
    const auto source = static_cast<std::uint32_t>(random.below(sources));
    std::memcpy(r.tuple.source.bytes.data(), &source, sizeof source);
    r.tuple.destination_port = random.below(2) == 0 ? 443 : 80;
    r.last_us = 1'000'000'000 + static_cast<std::int64_t>(i) * 1'000'000 / per_second -
                static_cast<std::int64_t>(random.below(100'000));
    r.start_us = r.last_us - 5000;
    r.direction[0].packets = 9;
    r.direction[0].payload_bytes = 900;
  }
  return out;
}

void count_in_windows(benchmark::State& state) {
  auto all = flows(static_cast<std::uint32_t>(state.range(0)), state.range(1));
  const std::int64_t lap_us = static_cast<std::int64_t>(all.size()) * 1'000'000 / state.range(1);
  ContextFeatures features(ContextOptions{}.flows_max);
  FlowContext context;
  std::size_t i = 0;
  for (auto _ : state) {
    features.compute(all[i], context);
    benchmark::DoNotOptimize(context);
    all[i].last_us += lap_us;
    i = (i + 1) % all.size();
  }
  state.counters["MB"] = static_cast<double>(features.bytes_in_use()) / 1e6;
}

void whole_stage(benchmark::State& state) {
  const auto all = flows(static_cast<std::uint32_t>(state.range(0)), state.range(1));
  for (auto _ : state) {
    ContextStage stage;
    std::size_t seen = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
      stage.add(all[i]);
      if (i % 512 != 0) continue;
      while (true) {
        const auto some = stage.take(all[i].last_us - 130'000'000);
        if (some.empty()) break;
        seen += some.size();
      }
    }
    for (auto some = stage.take(INT64_MAX); !some.empty(); some = stage.take(INT64_MAX)) seen += some.size();
    benchmark::DoNotOptimize(seen);
  }
  state.counters["flow"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * static_cast<double>(all.size()),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

BENCHMARK(count_in_windows)
    ->ArgNames({"sources", "per_s"})
    ->Args({200, 100})
    ->Args({200, 5000})
    ->Args({1 << 30, 100'000});
BENCHMARK(whole_stage)
    ->ArgNames({"sources", "per_s"})
    ->Args({200, 100})
    ->Args({200, 5000})
    ->Args({1 << 30, 100'000})
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace nidus::flow
