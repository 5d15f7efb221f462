#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>
#include <span>
#include <string>

#include "base/digest.h"
#include "base/file.h"
#include "base/testing.h"
#include "model/forest.h"
#include "model/grown_trees.h"
#include "model/model_file.h"

// Loading a forest of a million nodes, and beside it what cannot be avoided: one pass over the bytes of its
// file. Argument: bins, so many thresholds a column as our own training has; 0: a threshold of its own at
// nearly every node.
namespace {

using namespace nidus;

constexpr std::size_t kInputs = 80;

// The file on disk, warm because it was written just now, and its bytes.
struct Written {
  explicit Written(std::size_t bins) {
    auto trees = model::testing::grown_trees(kInputs, 53, 10000, 64, bins);
    nodes = trees.nodes();
    model::ModelFile file;
    file.schema.resize(kInputs);
    for (std::size_t i = 0; i < kInputs; ++i) file.schema[i].name = "c" + std::to_string(i);
    file.classes = {"benign", "attack"};
    walk = trees.describe_walk();
    file.model = std::make_shared<const model::Forest>(*model::Forest::make(std::move(trees)));
    bytes = *model::serialise(file);
    path = folder / "million.nidus";
    if (!write_file(path, bytes)) std::abort();
  }

  TemporaryFolder folder;
  std::filesystem::path path;
  std::string bytes, walk;
  std::size_t nodes = 0;
};

const Written& written(const benchmark::State& state) {
  static const Written binned(255), any(0);
  return state.range(0) == 0 ? any : binned;
}

void report(benchmark::State& state, const Written& file) {
  state.counters["nodes"] = static_cast<double>(file.nodes);
  state.counters["MB"] = static_cast<double>(file.bytes.size()) / 1e6;
  state.SetLabel(file.walk);
}

std::uint64_t pass_over(std::span<const std::byte> bytes) {
  std::uint64_t sum = 0, word = 0;
  for (std::size_t i = 0; i + sizeof word <= bytes.size(); i += sizeof word) {
    std::memcpy(&word, bytes.data() + i, sizeof word);
    sum += word;
  }
  return sum;
}

void load_mapped(benchmark::State& state) {
  const Written& file = written(state);
  for (auto _ : state) {
    const auto loaded = model::load_model(file.path);
    if (!loaded) return state.SkipWithError(loaded.error().message.c_str());
    benchmark::DoNotOptimize(loaded->model.get());
  }
  report(state, file);
}
BENCHMARK(load_mapped)->Arg(255)->Arg(0)->Unit(benchmark::kMillisecond);

void load_from_memory(benchmark::State& state) {
  const Written& file = written(state);
  for (auto _ : state) {
    const auto loaded = model::parse_model(std::as_bytes(std::span(file.bytes)));
    if (!loaded) return state.SkipWithError(loaded.error().message.c_str());
    benchmark::DoNotOptimize(loaded->model.get());
  }
  report(state, file);
}
BENCHMARK(load_from_memory)->Arg(255)->Arg(0)->Unit(benchmark::kMillisecond);

void pass_over_mapped(benchmark::State& state) {
  const Written& file = written(state);
  for (auto _ : state) {
    const auto mapped = MappedFile::open(file.path);
    if (!mapped) return state.SkipWithError(mapped.error().message.c_str());
    benchmark::DoNotOptimize(pass_over(mapped->bytes()));
  }
  report(state, file);
}
BENCHMARK(pass_over_mapped)->Arg(255)->Unit(benchmark::kMillisecond);

void pass_over_memory(benchmark::State& state) {
  const Written& file = written(state);
  for (auto _ : state) benchmark::DoNotOptimize(pass_over(std::as_bytes(std::span(file.bytes))));
  report(state, file);
}
BENCHMARK(pass_over_memory)->Arg(255)->Unit(benchmark::kMillisecond);

// The checksum that is verified when a file is loaded, and the digest by which a detector knows its files.
void checksum_of_bytes(benchmark::State& state) {
  const Written& file = written(state);
  for (auto _ : state) benchmark::DoNotOptimize(checksum64(std::as_bytes(std::span(file.bytes))));
  report(state, file);
}
BENCHMARK(checksum_of_bytes)->Arg(255)->Unit(benchmark::kMillisecond);

void sha256_of_bytes(benchmark::State& state) {
  const Written& file = written(state);
  for (auto _ : state) benchmark::DoNotOptimize(sha256_hex(std::as_bytes(std::span(file.bytes))));
  report(state, file);
}
BENCHMARK(sha256_of_bytes)->Arg(255)->Unit(benchmark::kMillisecond);

}  // namespace
