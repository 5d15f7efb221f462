#include <benchmark/benchmark.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "base/testing.h"
#include "detect/detector.h"
#include "model/forest.h"
#include "model/grown_trees.h"

namespace {

using namespace nidus;

// A whole detector with a forest of a million nodes: its manifest, the digest and the load of its model file,
// four golden rows scored. What the parts cost is in model_bench. Argument: bins, see load_bench.cc there.
void load_detector(benchmark::State& state) {
  constexpr std::size_t kInputs = 80;
  auto trees = model::testing::grown_trees(kInputs, 53, 10000, 64, static_cast<std::size_t>(state.range(0)));
  const std::size_t nodes = trees.nodes();
  const std::vector<std::shared_ptr<const model::Model>> members = {
      std::make_shared<const model::Forest>(*model::Forest::make(std::move(trees)))};
  detect::Manifest manifest;
  manifest.name = "million";
  manifest.labels = {"benign", "attack"};
  manifest.members.resize(1);
  for (std::size_t i = 0; i < kInputs; ++i)
    manifest.schema.push_back({"c" + std::to_string(i), model::Column::Kind::numeric, {}, ""});
  manifest.golden.resize(4);
  for (auto& golden : manifest.golden) golden.row.assign(kInputs, 0.5f);
  const TemporaryFolder folder;
  if (!detect::Detector::save(manifest, members, folder / "detector"))
    return state.SkipWithError("not saved");
  for (auto _ : state) {
    const auto loaded = detect::Detector::load(folder / "detector");
    if (!loaded) return state.SkipWithError(loaded.error().message.c_str());
    benchmark::DoNotOptimize(&loaded->model());
  }
  state.counters["nodes"] = static_cast<double>(nodes);
}
BENCHMARK(load_detector)
    ->Arg(255)
    ->Arg(0)
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime();

}  // namespace
