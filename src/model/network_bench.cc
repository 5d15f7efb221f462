#include "model/network.h"

#include <benchmark/benchmark.h>

#include <cmath>

#include "base/random.h"
#include "model/reconstruction.h"

namespace {

using namespace nidus;
using model::Activation;
using model::Network;

std::vector<double> drawn(Random& random, std::size_t count, double size) {
  std::vector<double> out(count);
  for (auto& value : out) value = (random.unit() * 2 - 1) * size;
  return out;
}

// Dense layers with ReLU between them, and `last` at the end.
Network perceptron(const std::vector<std::size_t>& sizes, Activation::Kind last,
                   Network::Precision precision) {
  Random random(1);
  Network::Parts parts;
  parts.input = {1, sizes[0]};
  parts.precision = precision;
  for (std::size_t i = 0; i + 1 < sizes.size(); ++i) {
    const double size = 1.7 / std::sqrt(static_cast<double>(sizes[i]));
    parts.layers.push_back(model::layer::Dense{sizes[i], sizes[i + 1],
                                               drawn(random, sizes[i] * sizes[i + 1], size),
                                               drawn(random, sizes[i + 1], 0.1)});
    if (i + 2 < sizes.size()) parts.layers.push_back(model::layer::Activate{Activation::relu()});
  }
  parts.layers.push_back(model::layer::Activate{Activation::of(last)});
  return *Network::make(std::move(parts));
}

Network sequence(model::layer::Cell::Kind kind, std::size_t steps = 10, std::size_t inputs = 16,
                 std::size_t units = 64) {
  Random random(2);
  model::layer::Cell cell;
  cell.kind = kind;
  cell.inputs = inputs;
  cell.units = units;
  cell.kernel = drawn(random, inputs * cell.gates() * units, 0.2);
  cell.recurrent = drawn(random, units * cell.gates() * units, 0.1);
  Network::Parts parts;
  parts.input = {steps, inputs};
  parts.layers = {model::layer::Recurrence{std::move(cell), {}, false},
                  model::layer::Dense{units, 1, drawn(random, units, 0.2), {}},
                  model::layer::Activate{Activation::of(Activation::Kind::sigmoid)}};
  return *Network::make(std::move(parts));
}

// Time is that of a row; arguments: rows scored at once, and which kernel.
void score(benchmark::State& state, const model::Model& model) {
  const auto rows = static_cast<std::size_t>(state.range(0));
  Random random(3);
  std::vector<float> given(rows * model.inputs());
  for (auto& value : given) value = static_cast<float>(random.unit());
  std::vector<double> scores(rows * model.outputs());
  for (auto _ : state) {
    model.score(given, rows, scores);
    benchmark::DoNotOptimize(scores.data());
  }
  state.counters["ns/row"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * static_cast<double>(rows) / 1e9,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void perceptron_69_512_256_128_64_32_1(benchmark::State& state) {
  const auto network =
      perceptron({69, 512, 256, 128, 64, 32, 1}, Activation::Kind::sigmoid,
                 state.range(2) != 0 ? Network::Precision::wide : Network::Precision::single);
  score(state, network.with_kernel(static_cast<std::size_t>(state.range(1)) % Network::kernels()));
}
BENCHMARK(perceptron_69_512_256_128_64_32_1)->ArgsProduct({{1, 1024}, {0, 1}, {0, 1}});

void autoencoder_70_64_16_64_70(benchmark::State& state) {
  const auto network = perceptron({70, 64, 16, 64, 70}, Activation::Kind::linear, Network::Precision::single);
  const auto inner = std::make_shared<const Network>(
      network.with_kernel(static_cast<std::size_t>(state.range(1)) % Network::kernels()));
  score(state, *model::Reconstruction::make(inner, model::Reconstruction::Measure::squared));
}
BENCHMARK(autoencoder_70_64_16_64_70)->ArgsProduct({{1, 1024}, {0, 1}});

void lstm_10x16_64(benchmark::State& state) { score(state, sequence(model::layer::Cell::Kind::lstm)); }
BENCHMARK(lstm_10x16_64)->Arg(1)->Arg(1024);

// What `nidus train --model lstm` makes of the first packets of a flow.
void lstm_32x4_32(benchmark::State& state) {
  score(state, sequence(model::layer::Cell::Kind::lstm, 32, 4, 32));
}
BENCHMARK(lstm_32x4_32)->Arg(1)->Arg(1024);

// The bundled packets-sequence: a convolution over three packets and an LSTM behind it.
void cnn_lstm_32x4_64(benchmark::State& state) {
  constexpr std::size_t kSteps = 32, kChannels = 4, kUnits = 64, kSize = 3;
  Random random(2);
  model::layer::Conv1d convolution;
  convolution.inputs = kChannels;
  convolution.filters = kUnits;
  convolution.size = kSize;
  convolution.pad_before = convolution.pad_after = kSize / 2;
  convolution.kernel = drawn(random, kSize * kChannels * kUnits, 0.3);
  convolution.bias = drawn(random, kUnits, 0.1);
  model::layer::Cell cell;
  cell.kind = model::layer::Cell::Kind::lstm;
  cell.inputs = cell.units = kUnits;
  cell.kernel = drawn(random, kUnits * cell.gates() * kUnits, 0.1);
  cell.recurrent = drawn(random, kUnits * cell.gates() * kUnits, 0.1);
  Network::Parts parts;
  parts.input = {kSteps, kChannels};
  parts.layers = {std::move(convolution), model::layer::Activate{Activation::relu()},
                  model::layer::Recurrence{std::move(cell), {}, false},
                  model::layer::Dense{kUnits, 1, drawn(random, kUnits, 0.2), {}},
                  model::layer::Activate{Activation::of(Activation::Kind::sigmoid)}};
  score(state, *Network::make(std::move(parts)));
}
BENCHMARK(cnn_lstm_32x4_64)->Arg(1)->Arg(1024);

void gru_10x16_64(benchmark::State& state) {
  score(state, sequence(model::layer::Cell::Kind::gru_reset_after));
}
BENCHMARK(gru_10x16_64)->Arg(1)->Arg(1024);

}  // namespace
