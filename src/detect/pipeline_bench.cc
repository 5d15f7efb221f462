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

const CaptureBuilder& capture() {
  static const CaptureBuilder built = random_capture(1, kPackets, 300, 1600, 50);
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
