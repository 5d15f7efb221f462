#include <benchmark/benchmark.h>

#include "base/random.h"
#include "learn/boost_trainer.h"
#include "learn/forest_trainer.h"
#include "learn/network_trainer.h"

namespace {

using namespace nidus;

// Rows of 40 numbers of which ten matter, with a tenth of the labels wrong.
learn::Dataset drawn(std::size_t rows) {
  Random random(1);
  learn::Dataset out;
  out.schema.resize(40);
  for (std::size_t i = 0; i < 40; ++i) out.schema[i].name = "x" + std::to_string(i);
  out.classes = {"benign", "attack"};
  for (std::size_t row = 0; row < rows; ++row) {
    double sum = 0;
    for (int i = 0; i < 40; ++i) {
      const double value = random.unit();
      if (i < 10) sum += value;
      out.values.push_back(static_cast<float>(value));
    }
    const bool attack = sum > 5;
    out.labels.push_back(attack != (random.below(10) == 0) ? 1 : 0);
  }
  return out;
}

// Time for one full-depth tree on one core; the argument is the number of rows.
void grow_tree(benchmark::State& state) {
  const auto data = drawn(static_cast<std::size_t>(state.range(0)));
  learn::ForestOptions options;
  options.trees = 4;
  options.threads = 1;
  for (auto _ : state) benchmark::DoNotOptimize(learn::fit_forest(data, options));
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * 4);
  state.SetLabel("items are trees");
}
BENCHMARK(grow_tree)->Arg(10'000)->Arg(100'000)->Unit(benchmark::kMillisecond);

// Two epochs on one core in batches of 256; items are rows. What they say again are 70 columns.
void train_network(benchmark::State& state, bool encodes) {
  Random random(1);
  learn::Dataset data;
  data.schema.resize(70);
  data.classes = {"benign", "attack"};
  for (std::size_t row = 0; row < 20'480; ++row) {
    for (int i = 0; i < 70; ++i) data.values.push_back(static_cast<float>(random.unit() * 2 - 1));
    data.labels.push_back(data.values[row * 70] > 0 ? 1 : 0);
  }
  learn::NetworkOptions options;
  options.epochs = 2;
  options.threads = 1;
  std::vector<learn::LearningLayer> layers =
      learn::perceptron(std::vector<std::size_t>{512, 256, 128, 64, 32}, 1, 0.2);
  if (encodes) {
    options.goal = learn::NetworkOptions::Goal::reconstruction;
    layers = learn::autoencoder(std::vector<std::size_t>{64, 16, 64}, 70);
  }
  for (auto _ : state) {
    const auto fitted = learn::fit_network(data, nullptr, {1, 70}, layers, options);
    if (!fitted) return state.SkipWithError("does not train");
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * data.rows() * options.epochs));
}
BENCHMARK_CAPTURE(train_network, perceptron_70_512_256_128_64_32_1, false)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(train_network, autoencoder_70_64_16_64_70, true)->Unit(benchmark::kMillisecond);

// Ten rounds of depth 6 on one core, binning included; items are rows x rounds. The peers are in
// bench/training_peers.py.
void boost(benchmark::State& state) {
  const auto data = drawn(100'000);
  learn::BoostOptions options;
  options.rounds = 10;
  options.threads = 1;
  for (auto _ : state) benchmark::DoNotOptimize(learn::fit_boost(data, nullptr, options));
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * data.rows() * options.rounds));
}
BENCHMARK(boost)->Unit(benchmark::kMillisecond);

}  // namespace
