// Time for one row of text, features included.
#include <benchmark/benchmark.h>

#include "flow/community_id.h"
#include "flow/kdd.h"
#include "flow/record_writer.h"
#include "flow/testing.h"

namespace nidus::flow {
namespace {

// Flows as they are met: half of one or two packets, the others longer, with gaps of all sizes.
std::vector<FlowRecord> records(Profile profile) {
  MeterOptions options;
  options.profile = profile;
  options.hash_seed = 1;
  Random random(1);
  std::vector<net::Packet> packets;
  std::int64_t time_us = 1'600'000'000'000'000;
  for (int flow = 0; flow < 4000; ++flow) {
    const Host client = host(1 + static_cast<int>(random.below(200)), 1024 + flow), server = host(250, 443);
    const std::uint64_t count = random.below(2) == 0 ? 2 : 4 + random.below(60);
    for (std::uint64_t i = 0; i < count; ++i) {
      const bool forward = i == 0 || random.below(2) == 0;
      time_us += static_cast<std::int64_t>(random.below(3000));
      packets.push_back(tcp(time_us, forward ? client : server, forward ? server : client,
                            i == 0   ? "S"
                            : i == 1 ? "A"
                                     : "PA",
                            static_cast<std::uint32_t>(random.below(1461)), 32));
    }
  }
  return meter_all(options, packets);
}

void write_rows(benchmark::State& state, RecordFormat format, Profile profile, bool community_id) {
  const auto all = records(profile);
  RecordWriterOptions options;
  options.format = format;
  options.profile = profile;
  options.community_id = community_id;
  RecordWriter writer(options);
  std::string out;
  std::size_t bytes = 0;
  for (auto _ : state) {
    for (const FlowRecord& record : all) {
      writer.row(record, out);
      if (out.size() > 60'000) {
        bytes += out.size();
        out.clear();
      }
    }
  }
  const double rows = static_cast<double>(state.iterations()) * static_cast<double>(all.size());
  state.counters["row"] = benchmark::Counter(rows, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
}

BENCHMARK_CAPTURE(write_rows, native_csv, RecordFormat::csv, Profile::native, false);
BENCHMARK_CAPTURE(write_rows, native_csv_community_id, RecordFormat::csv, Profile::native, true);
BENCHMARK_CAPTURE(write_rows, native_ndjson, RecordFormat::ndjson, Profile::native, false);
BENCHMARK_CAPTURE(write_rows, native_zeek, RecordFormat::zeek, Profile::native, false);
BENCHMARK_CAPTURE(write_rows, cic2018_csv, RecordFormat::csv, Profile::cic2018, false);
BENCHMARK_CAPTURE(write_rows, cns2022_csv, RecordFormat::csv, Profile::cns2022, false);

void compute_rows(benchmark::State& state) {
  const auto all = records(Profile::native);
  FeatureRow row;
  for (auto _ : state) {
    for (const FlowRecord& record : all) {
      compute_features(Profile::native, record, row);
      benchmark::DoNotOptimize(row);
    }
  }
  const double rows = static_cast<double>(state.iterations()) * static_cast<double>(all.size());
  state.counters["row"] = benchmark::Counter(rows, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(compute_rows);

void kdd_rows(benchmark::State& state) {
  const auto all = records(Profile::nsl_kdd);
  KddFeatures features;
  KddRow row;
  for (auto _ : state) {
    for (const FlowRecord& record : all) {
      features.compute(record, row);
      benchmark::DoNotOptimize(row);
    }
  }
  const double rows = static_cast<double>(state.iterations()) * static_cast<double>(all.size());
  state.counters["row"] = benchmark::Counter(rows, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(kdd_rows);

}  // namespace
}  // namespace nidus::flow
