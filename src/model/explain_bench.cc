#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>

#include "model/explain.h"
#include "model/explained_model.h"

// Explains the rows of the models whose paths stand in NIDUS_EXPLAIN_MODELS, between colons.
// bench/explain_peers.py makes such models and lets others explain the same rows.
namespace {

using namespace nidus;

// One row at a time, or all in a batch. Items are rows.
void explain(benchmark::State& state, const std::string& path, bool batch) {
  const auto given = model::testing::read_explained(path);
  if (given.model == nullptr) return state.SkipWithError("no such model");
  const auto explainer = model::Explainer::make(given.model, model::Explainer::Unit::margin);
  if (!explainer) return state.SkipWithError(explainer.error().message.c_str());
  const std::size_t inputs = given.model->inputs(), count = batch ? given.count : 1;
  std::vector<double> weights(given.model->outputs()), out(count * (inputs + 1));
  weights.back() = 1;
  std::size_t row = 0;
  for (auto _ : state) {
    explainer->explain(std::span(given.rows).subspan(row * inputs), count, weights, out);
    benchmark::DoNotOptimize(out.data());
    row = batch ? 0 : (row + 1) % given.count;
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(count));
}

const bool registered = [] {
  const char* const given = std::getenv("NIDUS_EXPLAIN_MODELS");
  std::string paths = given == nullptr ? "" : given;
  while (!paths.empty()) {
    const auto end = std::min(paths.find(':'), paths.size());
    const std::string path = paths.substr(0, end);
    paths.erase(0, end + 1);
    const std::string name = path.substr(path.rfind('/') + 1);
    for (const bool batch : {false, true}) {
      benchmark::RegisterBenchmark(("explain/" + name + (batch ? "/batch" : "/one_row")).c_str(),
                                   [path, batch](benchmark::State& state) { explain(state, path, batch); })
          ->Unit(benchmark::kMicrosecond);
    }
  }
  return true;
}();

}  // namespace
