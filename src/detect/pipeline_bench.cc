// The whole road: a capture in memory to rows of all features, and to the text of a CSV file. Packets of
// about 800 bytes from a fixed seed. For figures on a large file see bench/.
#include <benchmark/benchmark.h>

#include "detect/pipeline.h"
#include "detect/testing.h"
#include "flow/features.h"
#include "flow/record_writer.h"

namespace nidus::detect {
namespace {

constexpr std::size_t kPackets = 200'000;

constexpr std::size_t kPacketsPerFlow = 30;  // as in the usual captures of campus networks
constexpr std::size_t kFlowsAtOnce = 2000;

// Whole TCP connections, many at once: opened, data mostly from the server, closed.
CaptureBuilder connections(std::uint64_t seed) {
  CaptureBuilder capture;
  Random random(seed);
  struct Live {
    std::string client, server;
    std::uint16_t port = 0;
    std::size_t packets = kPacketsPerFlow;
  };
  std::vector<Live> live(kFlowsAtOnce);
  for (auto& flow : live) flow.packets = 3 + random.below(kPacketsPerFlow - 3);
  for (std::size_t i = 0; i < kPackets; ++i) {
    Live& flow = live[random.below(live.size())];
    if (flow.client.empty() || flow.packets == kPacketsPerFlow) {
      flow.client = "10.1." + std::to_string(random.below(64)) + "." + std::to_string(random.below(256));
      flow.server = "192.168.0." + std::to_string(random.below(100));
      flow.port = static_cast<std::uint16_t>(1024 + random.below(60000));
      flow.packets = 0;
    }
    const std::size_t at = flow.packets++;
    const bool opening = at < 2, closing = at + 3 >= kPacketsPerFlow,
               reverse = at == 1 || (!opening && at % 3 != 0);
    const std::string_view flags = at == 0 ? "S" : at == 1 ? "SA" : closing ? "FA" : "PA";
    const std::size_t payload = opening || closing ? 0 : reverse ? 1200 : 200;
    capture.at(1'700'000'000'000'000 + static_cast<std::int64_t>(i) * 20);
    if (reverse) {
      capture.tcp(flow.server, 443, flow.client, flow.port, flags, payload);
    } else {
      capture.tcp(flow.client, flow.port, flow.server, 443, flags, payload);
    }
  }
  return capture;
}

const CaptureBuilder& capture() {
  static const CaptureBuilder built = connections(1);
  return built;
}

template <class Take>
void run(benchmark::State& state, Take&& take) {
  PipelineOptions options;
  options.threads = static_cast<std::size_t>(state.range(0));
  Pipeline pipeline(options);
  std::uint64_t flows = 0;
  for (auto _ : state) {
    auto opened = net::Capture::open_memory(capture().span(), "memory");
    flows = pipeline.run(*opened, take).meter.flows;
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * kPackets));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * capture().bytes().size()));
  state.counters["flows"] = static_cast<double>(flows);
}

void decode_only(benchmark::State& state) {
  for (auto _ : state) {
    auto opened = net::Capture::open_memory(capture().span(), "memory");
    net::Decoder decoder;
    net::Frame frame;
    net::Packet packet;
    while (opened->next(frame) == net::Next::frame) benchmark::DoNotOptimize(decoder.decode(frame, packet));
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * kPackets));
}
BENCHMARK(decode_only)->Unit(benchmark::kMillisecond);

void to_rows(benchmark::State& state) {
  flow::FeatureRow row;
  run(state, [&](std::span<const flow::FlowRecord* const> records) {
    for (const auto* record : records) {
      flow::compute_features(flow::Profile::native, *record, row);
      benchmark::DoNotOptimize(row);
    }
    return true;
  });
}
BENCHMARK(to_rows)->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond)->UseRealTime();

void to_csv(benchmark::State& state) {
  flow::RecordWriter writer({});
  std::string text;
  run(state, [&](std::span<const flow::FlowRecord* const> records) {
    text.clear();
    for (const auto* record : records) writer.row(*record, text);
    benchmark::DoNotOptimize(text.data());
    return true;
  });
}
BENCHMARK(to_csv)->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace nidus::detect
