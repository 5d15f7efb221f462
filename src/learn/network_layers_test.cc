// What layers learn by: kernels against plain loops, gradients against differences in double, and whole steps
// of training against PyTorch's.

#include <gmock/gmock.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <vector>

#include "base/random.h"
#include "learn/internal/build_network.h"

namespace nidus::learn::internal {
namespace {

#define TRAIN_TARGET
#define TRAIN_NAME "test"
#define TRAIN_VECTOR 16
#include "learn/internal/network_kernel_text.h"

using model::Activation;
using model::Layer;
using model::Shape;
namespace layer = model::layer;

template <class T>
std::vector<T> drawn(Random& random, std::size_t count) {
  std::vector<T> out(count);
  for (T& value : out) value = static_cast<T>(random.unit() * 2 - 1);
  return out;
}

std::vector<const NetworkKernel<float>*> kernels() {
  std::vector<const NetworkKernel<float>*> out = {&kBaselineNetworkKernel};
  if (avx2_network_kernel() != nullptr) out.push_back(avx2_network_kernel());
  return out;
}

TEST(NetworkKernel, ProductsAreThoseOfPlainLoops) {
  Random random(3);
  for (const auto* kernel : kernels()) {
    for (int turn = 0; turn < 60; ++turn) {
      const std::size_t rows = 1 + random.below(turn < 50 ? 20 : 300),
                        depth = 1 + random.below(turn < 50 ? 40 : 600), units = 1 + random.below(70);
      const std::size_t x_stride = stride_of<float>(depth), y_stride = stride_of<float>(units);
      const auto x = drawn<float>(random, rows * x_stride), w = drawn<float>(random, depth * units);
      TrainedMatrix<float> matrix;
      matrix.depth = depth;
      matrix.units = units;
      Numbers<float> panels(matrix.size()), bias(rounded_up(units, 16)), y(rows * y_stride),
          gradient(matrix.size());
      matrix.load(std::vector<double>(w.begin(), w.end()), units, panels.data());
      for (std::size_t i = 0; i < units; ++i) bias.data()[i] = static_cast<float>(random.unit());
      kernel->multiply(
          {x.data(), x_stride, rows, panels.data(), depth, units, bias.data(), y.data(), y_stride});
      const std::vector<float> once(y.data(), y.data() + y.size());
      kernel->multiply({x.data(), x_stride, rows, panels.data(), depth, units, nullptr, y.data(), y_stride});
      kernel->outer({x.data(), x_stride, rows, y.data(), y_stride, depth, units, gradient.data()});
      const auto got = matrix.store(gradient.data());
      matrix.make_transposed();
      for (std::size_t panel = 0; panel < matrix.panels(); ++panel)
        kernel->transpose(panels.data(), depth, units, panel, matrix.transposed.data());
      TrainedMatrix<float> other;
      other.depth = units;
      other.units = depth;
      const auto transposed = other.store(matrix.transposed.data());
      for (std::size_t i = 0; i < units; ++i) {
        for (std::size_t row = 0; row < rows; ++row) {
          double sum = 0;
          for (std::size_t k = 0; k < depth; ++k)
            sum += static_cast<double>(x[row * x_stride + k]) * static_cast<double>(w[k * units + i]);
          const auto with_bias = sum + static_cast<double>(bias.data()[i]);
          ASSERT_NEAR(once[row * y_stride + i], with_bias, 1e-4)
              << kernel->name << rows << ' ' << depth << ' ' << units;
          ASSERT_NEAR(y.data()[row * y_stride + i], with_bias + sum, 2e-4);
        }
        for (std::size_t k = 0; k < depth; ++k) {
          double sum = 0;
          for (std::size_t row = 0; row < rows; ++row)
            sum += static_cast<double>(x[row * x_stride + k]) *
                   static_cast<double>(y.data()[row * y_stride + i]);
          ASSERT_NEAR(got[k * units + i], sum, 1e-3 * std::sqrt(static_cast<double>(rows))) << kernel->name;
          ASSERT_EQ(transposed[i * depth + k], static_cast<double>(w[k * units + i]));
        }
      }
    }
  }
}

TEST(NetworkKernel, ActivationsAreTheTrueFunctions) {
  for (const auto* kernel : kernels()) {
    std::vector<float> given;
    for (int i = -2000; i <= 2000; ++i) given.push_back(static_cast<float>(i) / 17);
    for (const auto kind : {TrainedActivation::relu, TrainedActivation::elu, TrainedActivation::tanh,
                            TrainedActivation::sigmoid}) {
      auto said = given;
      kernel->activate(kind, 0.5f, said.data(), said.size());
      for (std::size_t i = 0; i < given.size(); ++i) {
        const auto x = static_cast<double>(given[i]);
        const double truth = kind == TrainedActivation::relu   ? (x < 0 ? 0.5 * x : x)
                             : kind == TrainedActivation::elu  ? (x < 0 ? 0.5 * std::expm1(x) : x)
                             : kind == TrainedActivation::tanh ? std::tanh(x)
                                                               : 1 / (1 + std::exp(-x));
        ASSERT_NEAR(said[i], truth, 3e-7 * std::max(1.0, std::abs(truth))) << kernel->name << ' ' << x;
      }
    }
  }
}

TEST(NetworkKernel, DropoutKeepsItsRateAndWhatIsKeptOnAverage) {
  for (const auto* kernel : kernels()) {
    std::vector<float> ones(100'000, 1.0f), again = ones, others = ones;
    kernel->drop(ones.data(), ones.size(), 77, 0x40000000u, 4.0f / 3);
    kernel->drop(again.data(), again.size(), 77, 0x40000000u, 4.0f / 3);
    kernel->drop(others.data(), others.size(), 78, 0x40000000u, 4.0f / 3);
    EXPECT_EQ(ones, again);
    const auto dropped = std::count(ones.begin(), ones.end(), 0.0f);
    EXPECT_NEAR(static_cast<double>(dropped), 25'000, 600);  // four deviations
    std::size_t both = 0;
    for (std::size_t i = 0; i < ones.size(); ++i) both += ones[i] == 0 && others[i] == 0 ? 1 : 0;
    EXPECT_NEAR(static_cast<double>(both), 6'250, 400);
  }
}

// A network in double with rows of its own, and the loss as a function of its weights.
struct Checked {
  Shape input;
  NetworkOptions::Goal goal;
  std::size_t outputs;
  std::vector<double> rows;
  std::vector<std::uint32_t> labels;
  std::vector<double> weights;  // of rows
  std::unique_ptr<TrainedNetwork<double>> network;
  LossOf loss;
  Workers workers{2};

  Checked(Shape shape, std::vector<LearningLayer> layers, NetworkOptions::Goal which, std::size_t classes,
          std::size_t count, std::uint64_t seed)
      : input(shape), goal(which) {
    Random random(seed);
    rows = drawn<double>(random, count * shape.size());
    for (std::size_t i = 0; i < count; ++i) {
      labels.push_back(static_cast<std::uint32_t>(random.below(classes)));
      weights.push_back(0.5 + random.unit());
    }
    outputs = which == NetworkOptions::Goal::reconstruction ? shape.size() : classes == 2 ? 1 : classes;
    EXPECT_TRUE(complete(layers, shape, seed));
    network =
        std::make_unique<TrainedNetwork<double>>(make_layers<double>(layers, shape), count, kKernel<double>);
    // Gammas away from where a mistake would not show.
    for (double& weight : network->weights()) weight += weight == 1 ? 0.3 * random.unit() - 0.1 : 0;
    network->transpose_all();
    loss.goal = which;
    loss.outputs = outputs;
    loss.weight_of_batch = 0;
    for (const double weight : weights) loss.weight_of_batch += weight;
  }

  double gradients() {
    const TrainedNetwork<double>::Fill fill = [&](Slice<double>& slice, std::size_t first) {
      for (std::size_t i = 0; i < slice.rows; ++i) {
        for (std::size_t step = 0; step < input.steps; ++step) {
          std::copy_n(rows.data() + ((first + i) * input.steps + step) * input.channels, input.channels,
                      slice.values[0].data() + (step * slice.rows + i) * stride_of<double>(input.channels));
        }
      }
    };
    const TrainedNetwork<double>::Loss say = [&](Slice<double>& slice, std::size_t first, bool) {
      double sum = 0;
      for (std::size_t i = 0; i < slice.rows; ++i) {
        const std::size_t row = first + i, stride = stride_of<double>(outputs);
        sum += loss(slice.values.back().data() + i * stride, rows.data() + row * input.size(), labels[row],
                    weights[row], slice.gradients.back().data() + i * stride);
      }
      return sum;
    };
    return network->gradients(workers, labels.size(), 5, fill, say) / loss.weight_of_batch;
  }
};

void expect_gradients(Shape shape, const std::vector<LearningLayer>& layers, NetworkOptions::Goal goal,
                      std::size_t classes) {
  for (const std::size_t rows : {3, 10}) {
    Checked checked(shape, layers, goal, classes, rows, 11 + rows);
    checked.gradients();
    const auto told = checked.network->added_gradients();
    const auto weights = checked.network->weights();
    double largest = 0;
    std::size_t moved = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const double kept = weights[i], step = 1e-6;
      weights[i] = kept + step;
      checked.network->transpose_all();
      const double above = checked.gradients();
      weights[i] = kept - step;
      checked.network->transpose_all();
      const double below = checked.gradients();
      weights[i] = kept;
      const double truth = (above - below) / (2 * step);
      ASSERT_NEAR(told[i], truth, 2e-8 + 1e-6 * std::abs(truth))
          << "weight " << i << " of " << weights.size();
      largest = std::max(largest, std::abs(truth));
      moved += truth != 0 ? 1 : 0;
    }
    EXPECT_GT(largest, 1e-3);
    EXPECT_GT(moved, weights.size() / 8);  // the rest fills panels up
  }
}

std::vector<double> biases(std::size_t units) {
  Random random(units);
  return drawn<double>(random, units);
}
Layer dense(std::size_t units) { return layer::Dense{0, units, {}, biases(units)}; }
Layer activate(Activation function) { return layer::Activate{function}; }
Layer lstm(std::size_t units, bool sequences) {
  layer::Cell cell;
  cell.units = units;
  return layer::Recurrence{cell, {}, sequences};
}
Layer conv(std::size_t filters, std::size_t size, std::size_t stride, std::size_t dilation,
           std::size_t before, std::size_t after) {
  layer::Conv1d out;
  out.filters = filters;
  out.bias = biases(filters);
  out.size = size;
  out.stride = stride;
  out.dilation = dilation;
  out.pad_before = before;
  out.pad_after = after;
  return out;
}

constexpr auto kLabel = NetworkOptions::Goal::label;
constexpr auto kReconstruction = NetworkOptions::Goal::reconstruction;

TEST(NetworkGradients, OfDenseLayersAndActivations) {
  expect_gradients({1, 5},
                   {dense(7), activate(Activation::of(Activation::Kind::tanh)), dense(9),
                    activate(Activation::elu(0.7)), dense(4), activate(Activation::relu(0.1)), dense(3),
                    activate(Activation::of(Activation::Kind::sigmoid)), dense(1)},
                   kLabel, 2);
  expect_gradients({1, 5}, {dense(7), activate(Activation::relu()), dense(3)}, kLabel, 3);
}

TEST(NetworkGradients, OfAutoencoders) {
  expect_gradients(
      {1, 9}, {dense(6), activate(Activation::relu()), dense(2), activate(Activation::relu(0.2)), dense(9)},
      kReconstruction, 2);
}

TEST(NetworkGradients, OfBatchNormalisation) {
  expect_gradients({1, 5},
                   {BatchNorm{}, dense(7), BatchNorm{1e-3, 0.2},
                    activate(Activation::of(Activation::Kind::tanh)), BatchNorm{}, dense(1)},
                   kLabel, 2);
  expect_gradients(
      {4, 3},
      {conv(5, 2, 1, 1, 1, 0), BatchNorm{}, activate(Activation::elu()), layer::Reshape{{0, 0}}, dense(3)},
      kLabel, 3);
}

TEST(NetworkGradients, OfDropout) {
  expect_gradients({1, 6},
                   {Dropout{0.2}, dense(11), activate(Activation::of(Activation::Kind::tanh)), Dropout{0.4},
                    dense(8), activate(Activation::relu()), Dropout{0.5}, dense(1)},
                   kLabel, 2);
}

TEST(NetworkGradients, OfConvolutionsAndPools) {
  layer::Pool average;
  average.kind = layer::Pool::Kind::average;
  average.size = 3;
  average.stride = 2;
  average.pad_before = 1;
  average.pad_after = 1;
  layer::Pool most;
  most.size = 2;
  most.stride = 2;
  expect_gradients({9, 3},
                   {conv(6, 3, 1, 1, 1, 1), activate(Activation::elu()), average, conv(4, 2, 1, 2, 0, 1),
                    layer::GlobalPool{layer::Pool::Kind::average}, dense(1)},
                   kLabel, 2);
  expect_gradients({9, 3},
                   {conv(6, 3, 2, 1, 2, 1), most, activate(Activation::of(Activation::Kind::tanh)),
                    layer::GlobalPool{layer::Pool::Kind::max}, dense(3)},
                   kLabel, 3);
}

TEST(NetworkGradients, OfLstms) {
  expect_gradients({6, 3}, {lstm(5, true), lstm(4, false), dense(1)}, kLabel, 2);
  expect_gradients({7, 2},
                   {conv(5, 3, 1, 1, 1, 1), activate(Activation::elu()), lstm(9, true),
                    layer::GlobalPool{layer::Pool::Kind::max}, dense(3)},
                   kLabel, 3);
}

using Json = nlohmann::json;

std::vector<double> numbers(const Json& from, const char* name) {
  return from.contains(name) ? from[name].get<std::vector<double>>() : std::vector<double>{};
}

LearningLayer layer_of(const Json& from) {
  const std::string kind = from["kind"];
  if (kind == "dense")
    return Layer(layer::Dense{0, from["units"], numbers(from, "kernel"), numbers(from, "bias")});
  if (kind == "conv") {
    layer::Conv1d out;
    out.filters = from["filters"];
    out.size = from["size"];
    out.stride = from["stride"];
    out.dilation = from["dilation"];
    out.pad_before = out.pad_after = from["padding"];
    out.kernel = numbers(from, "kernel");
    out.bias = numbers(from, "bias");
    return Layer(out);
  }
  if (kind == "lstm") {
    layer::Cell cell;
    cell.units = from["units"];
    cell.kernel = numbers(from, "kernel");
    cell.recurrent = numbers(from, "recurrent");
    cell.bias = numbers(from, "bias");
    return Layer(layer::Recurrence{cell, {}, from["sequences"]});
  }
  if (kind == "max_pool" || kind == "average_pool") {
    layer::Pool out;
    out.kind = kind == "max_pool" ? layer::Pool::Kind::max : layer::Pool::Kind::average;
    out.size = out.stride = from["size"];
    return Layer(out);
  }
  if (kind == "global_max") return Layer(layer::GlobalPool{layer::Pool::Kind::max});
  if (kind == "global_average") return Layer(layer::GlobalPool{layer::Pool::Kind::average});
  if (kind == "relu") return activate(Activation::relu());
  if (kind == "leaky_relu") return activate(Activation::relu(0.01));
  if (kind == "elu") return activate(Activation::elu());
  if (kind == "tanh") return activate(Activation::of(Activation::Kind::tanh));
  if (kind == "sigmoid") return activate(Activation::of(Activation::Kind::sigmoid));
  if (kind == "flatten") return Layer(layer::Reshape{{0, 0}});
  if (kind == "batch_norm") return BatchNorm{};
  ADD_FAILURE() << "a layer of kind " << kind;
  return BatchNorm{};
}

// The weights of finished layers, one behind the other, by the names of the fixture.
void expect_near(const std::vector<double>& got, const Json& wanted, const char* name) {
  const auto truth = wanted.get<std::vector<double>>();
  ASSERT_EQ(got.size(), truth.size()) << name;
  for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], truth[i], 1e-5) << name << ' ' << i;
}

// The fixture comes from PyTorch 2.6.0: tests/networks/fixtures.py.
TEST(NetworkTraining, IsThatOfPyTorch) {
  std::ifstream file(NIDUS_SOURCE_DIR "/tests/networks/training.json");
  const Json fixture = Json::parse(file);
  ASSERT_GE(fixture["cases"].size(), 7u);
  for (const auto* kernel : kernels()) {
    for (const Json& given : fixture["cases"]) {
      SCOPED_TRACE(given["name"].get<std::string>() + ", " + kernel->name);
      const Shape input{given["steps"], given["channels"]};
      std::vector<LearningLayer> layers;
      for (const Json& each : given["layers"]) layers.push_back(layer_of(each));
      ASSERT_TRUE(complete(layers, input, 1));
      const std::size_t batch = given["batch"], outputs = given["goal"] == "reconstruction" ? input.size()
                                                          : given["classes"] == 2
                                                              ? 1
                                                              : given["classes"].get<std::size_t>();
      TrainedNetwork<float> network(make_layers<float>(layers, input), batch, *kernel);
      std::vector<float> rows;
      for (const int value : given["rows"]) rows.push_back(static_cast<float>(value) / 64);
      const auto labels = given["labels"].get<std::vector<std::uint32_t>>();
      LossOf loss;
      loss.goal = given["goal"] == "reconstruction" ? kReconstruction : kLabel;
      loss.outputs = outputs;
      loss.weight_of_batch = static_cast<double>(batch);
      Workers workers(2);
      AdamSettings adam;
      adam.learning_rate = given["rate"];
      adam.weight_decay = given["decay"];
      for (std::size_t begin = 0, step = 1; begin < labels.size(); begin += batch, ++step) {
        const TrainedNetwork<float>::Fill fill = [&](Slice<float>& slice, std::size_t first) {
          for (std::size_t i = 0; i < slice.rows; ++i) {
            for (std::size_t at = 0; at < input.steps; ++at) {
              std::copy_n(rows.data() + ((begin + first + i) * input.steps + at) * input.channels,
                          input.channels,
                          slice.values[0].data() + (at * slice.rows + i) * stride_of<float>(input.channels));
            }
          }
        };
        const TrainedNetwork<float>::Loss say = [&](Slice<float>& slice, std::size_t first, bool) {
          double sum = 0;
          for (std::size_t i = 0; i < slice.rows; ++i) {
            const std::size_t row = begin + first + i, stride = stride_of<float>(outputs);
            sum += loss(slice.values.back().data() + i * stride, rows.data() + row * input.size(),
                        labels[row], 1.0, slice.gradients.back().data() + i * stride);
          }
          return sum;
        };
        const double said = network.gradients(workers, batch, step, fill, say) / static_cast<double>(batch);
        EXPECT_NEAR(said, given["losses"][step - 1].get<double>(), 1e-5);
        network.move(workers, adam, step);
      }
      const auto done = network.finish();
      ASSERT_EQ(done.size(), given["after"].size());
      for (std::size_t i = 0; i < done.size(); ++i) {
        SCOPED_TRACE("layer " + std::to_string(i));
        const Json& after = given["after"][i];
        if (const auto* dense = std::get_if<layer::Dense>(&done[i])) {
          expect_near(dense->kernel, after["kernel"], "kernel");
          expect_near(dense->bias, after["bias"], "bias");
        } else if (const auto* conv = std::get_if<layer::Conv1d>(&done[i])) {
          expect_near(conv->kernel, after["kernel"], "kernel");
          expect_near(conv->bias, after["bias"], "bias");
        } else if (const auto* recurrence = std::get_if<layer::Recurrence>(&done[i])) {
          expect_near(recurrence->forward->kernel, after["kernel"], "kernel");
          expect_near(recurrence->forward->recurrent, after["recurrent"], "recurrent");
          expect_near(recurrence->forward->bias, after["bias"], "bias");
        } else if (const auto* norm = std::get_if<layer::Normalise>(&done[i])) {
          const auto wanted = model::batch_norm(numbers(after, "gamma"), numbers(after, "beta"),
                                                numbers(after, "mean"), numbers(after, "variance"), 1e-5);
          expect_near(norm->mean, Json(wanted.mean), "mean");
          expect_near(norm->scale, Json(wanted.scale), "scale");
          expect_near(norm->shift, Json(wanted.shift), "shift");
        }
      }
      // And as a network that scores.
      const auto scorer =
          model::Network::make({input, done, model::Network::Precision::single, model::Scale::margin});
      ASSERT_TRUE(scorer);
      const auto said = given["said"].get<std::vector<double>>();
      const auto scores = model::all_scores(*scorer, std::span<const float>(rows).first(8 * input.size()), 8);
      ASSERT_EQ(scores.size(), said.size());
      for (std::size_t i = 0; i < said.size(); ++i) EXPECT_NEAR(scores[i], said[i], 5e-5) << i;
    }
  }
}

}  // namespace
}  // namespace nidus::learn::internal
