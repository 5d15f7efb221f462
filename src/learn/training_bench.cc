#include <benchmark/benchmark.h>
#include <xgboost/c_api.h>

#include <limits>

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

void ours(benchmark::State& state) {
  const auto data = drawn(20'000);
  learn::BoostOptions options;
  options.rounds = 100;
  options.threads = 1;
  const auto fitted = learn::fit_boost(data, nullptr, options);
  if (!fitted) return state.SkipWithError("does not train");
  std::vector<float> margins(data.rows());
  for (auto _ : state) fitted->model.margins(data.values, data.rows(), margins);
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * data.rows() * 100));
  state.SetLabel("items are rows x trees");
}
BENCHMARK(ours)->Name("boost_margins/ours")->Unit(benchmark::kMillisecond);

void theirs(benchmark::State& state) {
  const auto data = drawn(20'000);
  DMatrixHandle matrix = nullptr;
  BoosterHandle booster = nullptr;
  const std::vector<float> labels(data.labels.begin(), data.labels.end());
  bool good = XGDMatrixCreateFromMat(data.values.data(), data.rows(), 40,
                                     std::numeric_limits<float>::quiet_NaN(), &matrix) == 0;
  good = good && XGDMatrixSetFloatInfo(matrix, "label", labels.data(), labels.size()) == 0;
  good = good && XGBoosterCreate(&matrix, 1, &booster) == 0;
  for (const auto& [name, value] :
       {std::pair("objective", "binary:logistic"), std::pair("tree_method", "hist"),
        std::pair("nthread", "1"), std::pair("verbosity", "0")}) {
    good = good && XGBoosterSetParam(booster, name, value) == 0;
  }
  for (int round = 0; round < 100; ++round)
    good = good && XGBoosterUpdateOneIter(booster, round, matrix) == 0;
  DMatrixHandle rows = nullptr;
  for (auto _ : state) {
    // A fresh matrix, since the library keeps the margins of one it has seen.
    state.PauseTiming();
    if (rows != nullptr) XGDMatrixFree(rows);
    good = good && XGDMatrixCreateFromMat(data.values.data(), data.rows(), 40,
                                          std::numeric_limits<float>::quiet_NaN(), &rows) == 0;
    state.ResumeTiming();
    bst_ulong length = 0;
    const float* margins = nullptr;
    good = good && XGBoosterPredict(booster, rows, 1, 0, 0, &length, &margins) == 0;
    benchmark::DoNotOptimize(margins);
  }
  if (!good) state.SkipWithError("libxgboost refused");
  if (rows != nullptr) XGDMatrixFree(rows);
  XGBoosterFree(booster);
  XGDMatrixFree(matrix);
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * data.rows() * 100));
  state.SetLabel("items are rows x trees");
}
BENCHMARK(theirs)->Name("boost_margins/libxgboost")->Unit(benchmark::kMillisecond);

}  // namespace
