#include "model/network.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include "base/random.h"
#include "model/model_file.h"

namespace nidus::model {
namespace {

using ::testing::HasSubstr;
using Kind = Activation::Kind;

std::vector<double> drawn(Random& random, std::size_t count, double size = 1) {
  std::vector<double> out(count);
  // As floats, so that networks of both precisions have the same weights.
  for (auto& value : out) value = static_cast<double>(static_cast<float>((random.unit() * 2 - 1) * size));
  return out;
}

// The plain twin: the formulas of layers.h as they stand there, one number after the other, in double.
struct Signal {
  Shape shape;
  std::vector<double> values;
  double at(std::size_t step, std::size_t channel) const { return values[step * shape.channels + channel]; }
};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

double plain(const Activation& f, double x) {
  const double softplus = std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
  switch (f.kind) {
    case Kind::linear:
    case Kind::softmax:
      return x;
    case Kind::relu:
      return x >= f.b ? f.b : x >= f.c ? x : f.a * (x - f.c);
    case Kind::elu:
      return x > 0 ? x : f.a * std::expm1(x);
    case Kind::selu:
      return 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * std::expm1(x));
    case Kind::gelu:
      return x * 0.5 * std::erfc(-x / std::sqrt(2.0));
    case Kind::gelu_tanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * std::pow(x, 3))));
    case Kind::silu:
      return x * sigmoid(x);
    case Kind::softplus:
      return softplus;
    case Kind::softsign:
      return x / (1 + std::abs(x));
    case Kind::tanh:
      return std::tanh(x);
    case Kind::sigmoid:
      return sigmoid(x);
    case Kind::hard_sigmoid:
      return std::clamp(f.a * x + f.b, 0.0, 1.0);
    case Kind::clip:
      return std::clamp(x, f.a, f.b);
    case Kind::exponential:
      return std::exp(x);
    case Kind::mish:
      return x * std::tanh(softplus);
  }
  return 0;
}

double entry(const std::vector<double>& values, std::size_t i) { return values.empty() ? 0 : values[i]; }

struct Twin {
  Signal in;

  Signal made(Shape shape, const std::function<double(std::size_t, std::size_t)>& value) const {
    Signal out{shape, {}};
    for (std::size_t step = 0; step < shape.steps; ++step)
      for (std::size_t i = 0; i < shape.channels; ++i) out.values.push_back(value(step, i));
    return out;
  }

  Signal operator()(const layer::Dense& l) const {
    return made({in.shape.steps, l.units}, [&](std::size_t step, std::size_t j) {
      double sum = entry(l.bias, j);
      for (std::size_t k = 0; k < l.inputs; ++k) sum += in.at(step, k) * l.kernel[k * l.units + j];
      return sum;
    });
  }
  Signal operator()(const layer::Normalise& l) const {
    return made(in.shape, [&](std::size_t step, std::size_t i) {
      return (in.at(step, i) - l.mean[i]) * l.scale[i] + l.shift[i];
    });
  }
  Signal operator()(const layer::LayerNorm& l) const {
    return made(in.shape, [&](std::size_t step, std::size_t i) {
      double mean = 0, variance = 0;
      const auto n = static_cast<double>(in.shape.channels);
      for (std::size_t k = 0; k < in.shape.channels; ++k) mean += in.at(step, k) / n;
      for (std::size_t k = 0; k < in.shape.channels; ++k) variance += std::pow(in.at(step, k) - mean, 2) / n;
      return (in.at(step, i) - mean) / std::sqrt(variance + l.epsilon) * (l.gamma.empty() ? 1 : l.gamma[i]) +
             entry(l.beta, i);
    });
  }
  Signal operator()(const layer::Activate& l) const {
    return made(in.shape, [&](std::size_t step, std::size_t i) {
      if (l.function.kind != Kind::softmax) return plain(l.function, in.at(step, i));
      double sum = 0;
      for (std::size_t k = 0; k < in.shape.channels; ++k) sum += std::exp(in.at(step, k) - in.at(step, i));
      return 1 / sum;
    });
  }
  Signal operator()(const layer::Prelu& l) const {
    return made(in.shape, [&](std::size_t step, std::size_t i) {
      const double x = in.at(step, i);
      return x < 0 ? x * l.slopes[(step * in.shape.channels + i) % l.slopes.size()] : x;
    });
  }
  Signal operator()(const layer::Conv1d& l) const {
    const std::size_t within = l.inputs / l.groups, each = l.filters / l.groups;
    const std::size_t steps =
        (in.shape.steps + l.pad_before + l.pad_after - (l.size - 1) * l.dilation - 1) / l.stride + 1;
    return made({steps, l.filters}, [&](std::size_t step, std::size_t f) {
      double sum = entry(l.bias, f);
      for (std::size_t tap = 0; tap < l.size; ++tap) {
        const std::size_t padded = step * l.stride + tap * l.dilation;
        if (padded < l.pad_before || padded >= l.pad_before + in.shape.steps) continue;
        for (std::size_t c = 0; c < within; ++c) {
          sum += in.at(padded - l.pad_before, f / each * within + c) *
                 l.kernel[(tap * within + c) * l.filters + f];
        }
      }
      return sum;
    });
  }
  Signal operator()(const layer::Pool& l) const {
    const std::size_t steps = (in.shape.steps + l.pad_before + l.pad_after - l.size) / l.stride + 1;
    return made({steps, in.shape.channels}, [&](std::size_t step, std::size_t i) {
      double most = -INFINITY, sum = 0, seen = 0;
      for (std::size_t padded = step * l.stride; padded < step * l.stride + l.size; ++padded) {
        if (padded < l.pad_before || padded >= l.pad_before + in.shape.steps) continue;
        const double x = in.at(padded - l.pad_before, i);
        most = std::max(most, x);
        sum += x;
        seen += 1;
      }
      if (l.kind == layer::Pool::Kind::max) return most;
      return sum / (l.average_counts_padding ? static_cast<double>(l.size) : std::max(seen, 1.0));
    });
  }
  Signal operator()(const layer::GlobalPool& l) const {
    return (*this)(layer::Pool{l.kind, in.shape.steps, 1, 0, 0, false});
  }
  Signal operator()(const layer::Reshape& l) const { return {l.to, in.values}; }
  Signal operator()(const layer::Transpose&) const {
    return made({in.shape.channels, in.shape.steps},
                [&](std::size_t step, std::size_t i) { return in.at(i, step); });
  }
  Signal operator()(const layer::Repeat& l) const {
    return made({in.shape.steps * l.times, in.shape.channels}, [&](std::size_t step, std::size_t i) {
      return in.at(l.each ? step / l.times : step % in.shape.steps, i);
    });
  }
  Signal operator()(const layer::Slice& l) const {
    return made({l.steps, l.channels}, [&](std::size_t step, std::size_t i) {
      return in.at(l.first_step + step, l.first_channel + i);
    });
  }

  // All steps of one cell, in the order of time.
  Signal run(const layer::Cell& cell, bool backward) const {
    using CellKind = layer::Cell::Kind;
    const std::size_t u = cell.units, wide = cell.gates() * u, steps = in.shape.steps;
    std::vector<double> h(u), c(u);
    Signal out{{steps, u}, std::vector<double>(steps * u)};
    for (std::size_t turn = 0; turn < steps; ++turn) {
      const std::size_t step = backward ? steps - 1 - turn : turn;
      const auto x_part = [&](std::size_t j) {
        double sum = entry(cell.bias, j);
        for (std::size_t k = 0; k < cell.inputs; ++k) sum += in.at(step, k) * cell.kernel[k * wide + j];
        return sum;
      };
      const auto h_part = [&](std::size_t j, const std::vector<double>& state) {
        double sum = entry(cell.recurrent_bias, j);
        for (std::size_t k = 0; k < u; ++k) sum += state[k] * cell.recurrent[k * wide + j];
        return sum;
      };
      const auto s = [&](std::size_t j) { return plain(cell.gate, x_part(j) + h_part(j, h)); };
      const auto t = [&](double value) { return plain(cell.activation, value); };
      std::vector<double> next(u), reset(u);
      for (std::size_t j = 0; j < u && cell.gates() == 3; ++j) reset[j] = s(u + j) * h[j];
      for (std::size_t j = 0; j < u; ++j) {
        switch (cell.kind) {
          case CellKind::simple:
            next[j] = t(x_part(j) + h_part(j, h));
            break;
          case CellKind::lstm:
            c[j] = s(u + j) * c[j] + s(j) * t(x_part(2 * u + j) + h_part(2 * u + j, h));
            next[j] = s(3 * u + j) * t(c[j]);
            break;
          case CellKind::gru_reset_before:
            next[j] = s(j) * h[j] + (1 - s(j)) * t(x_part(2 * u + j) + h_part(2 * u + j, reset));
            break;
          case CellKind::gru_reset_after:
            next[j] = s(j) * h[j] + (1 - s(j)) * t(x_part(2 * u + j) + s(u + j) * h_part(2 * u + j, h));
            break;
        }
      }
      h = next;
      std::copy(h.begin(), h.end(), out.values.begin() + static_cast<std::ptrdiff_t>(step * u));
    }
    return out;
  }
  Signal operator()(const layer::Recurrence& l) const {
    std::vector<Signal> said;
    std::vector<bool> backward;
    if (l.forward) said.push_back(run(*l.forward, false)), backward.push_back(false);
    if (l.backward) said.push_back(run(*l.backward, true)), backward.push_back(true);
    std::size_t wide = 0;
    for (const auto& one : said) wide += one.shape.channels;
    return made({l.sequences ? in.shape.steps : 1, wide}, [&](std::size_t step, std::size_t i) {
      std::size_t which = 0;
      while (i >= said[which].shape.channels) i -= said[which++].shape.channels;
      return said[which].at(l.sequences ? step : backward[which] ? 0 : in.shape.steps - 1, i);
    });
  }
  Signal operator()(const layer::Branches& l) const {
    using Join = layer::Branches::Join;
    std::vector<Signal> ends;
    std::size_t channels = 0;
    for (const layer::Branch& branch : l.branches) {
      Signal& end = ends.emplace_back(in);
      for (const Layer& one : branch.layers) end = std::visit(Twin{end}, one);
      channels += end.shape.channels;
    }
    const Shape one = ends[0].shape;
    if (l.join == Join::concatenate) {
      return made({one.steps, channels}, [&](std::size_t step, std::size_t i) {
        std::size_t which = 0;
        while (i >= ends[which].shape.channels) i -= ends[which++].shape.channels;
        return ends[which].at(step, i);
      });
    }
    return made(one, [&](std::size_t step, std::size_t i) {
      double out = ends[0].at(step, i);
      for (std::size_t k = 1; k < ends.size(); ++k) {
        const double x = ends[k].at(step, i);
        out = l.join == Join::multiply  ? out * x
              : l.join == Join::maximum ? std::max(out, x)
              : l.join == Join::minimum ? std::min(out, x)
                                        : out + x;
      }
      return l.join == Join::average ? out / static_cast<double>(ends.size()) : out;
    });
  }
};

Signal twin(const Network::Parts& parts, std::span<const double> row) {
  Signal signal{parts.input, {row.begin(), row.end()}};
  for (const Layer& given : parts.layers) signal = std::visit(Twin{signal}, given);
  return signal;
}

// The network agrees with its twin, and with itself: alone and among others, with every kernel, saved and
// loaded, as far as the last bit.
void expect_right(Network::Parts parts, double size = 1) {
  for (const auto precision : {Network::Precision::wide, Network::Precision::single}) {
    parts.precision = precision;
    const auto made = Network::make(parts);
    ASSERT_TRUE(made) << made.error().message;
    Random random(11);
    constexpr std::size_t kCount = 23;
    const std::size_t inputs = made->inputs(), outputs = made->outputs();
    const auto rows = drawn(random, kCount * inputs, size);
    const auto scores = all_scores(*made, std::span<const double>(rows), kCount);
    const double tolerance = precision == Network::Precision::wide ? 1e-12 : 2e-6;
    for (std::size_t row = 0; row < kCount; ++row) {
      const auto given = std::span(rows).subspan(row * inputs, inputs);
      const auto wanted = twin(parts, given);
      ASSERT_EQ(wanted.values.size(), outputs);
      std::vector<double> alone(outputs);
      made->score_wide(given, 1, alone);
      ASSERT_EQ(std::memcmp(alone.data(), &scores[row * outputs], outputs * sizeof(double)), 0);
      for (std::size_t i = 0; i < outputs; ++i) {
        ASSERT_NEAR(alone[i], wanted.values[i], tolerance * std::max(1.0, std::abs(wanted.values[i])))
            << "row " << row << ", output " << i << ", precision " << static_cast<int>(precision);
      }
    }
    const auto same = [&](const Model& other) {
      const auto again = all_scores(other, std::span<const double>(rows), kCount);
      EXPECT_EQ(std::memcmp(again.data(), scores.data(), scores.size() * sizeof(double)), 0);
    };
    for (std::size_t kernel = 0; kernel < Network::kernels(); ++kernel) same(made->with_kernel(kernel));
    const auto again = Network::make(made->parts());
    ASSERT_TRUE(again) << again.error().message;
    same(*again);
    ModelFile file;
    file.schema.resize(inputs);
    for (std::size_t i = 0; i < inputs; ++i) file.schema[i].name = "x" + std::to_string(i);
    file.classes.resize(outputs == 1 ? 2 : outputs);
    file.model = std::make_shared<const Network>(*made);
    const auto bytes = serialise(file);
    ASSERT_TRUE(bytes) << bytes.error().message;
    const auto loaded = parse_model(std::as_bytes(std::span(*bytes)));
    ASSERT_TRUE(loaded) << loaded.error().message;
    same(*loaded->model);
    EXPECT_EQ(loaded->model->describe(), made->describe());
    EXPECT_EQ(*serialise(*loaded), *bytes);
  }
}

layer::Dense dense(Random& random, std::size_t inputs, std::size_t units) {
  return {inputs, units, drawn(random, inputs * units, 1 / std::sqrt(static_cast<double>(inputs))),
          drawn(random, units, 0.5)};
}

layer::Conv1d conv(Random& random, layer::Conv1d shape) {
  const std::size_t depth = shape.size * shape.inputs / shape.groups;
  shape.kernel = drawn(random, depth * shape.filters, 1 / std::sqrt(static_cast<double>(depth)));
  shape.bias = drawn(random, shape.filters, 0.5);
  return shape;
}

layer::Cell cell(Random& random, layer::Cell::Kind kind, std::size_t inputs, std::size_t units) {
  layer::Cell out;
  out.kind = kind;
  out.inputs = inputs;
  out.units = units;
  const std::size_t wide = out.gates() * units;
  out.kernel = drawn(random, inputs * wide, 0.4);
  out.recurrent = drawn(random, units * wide, 0.4);
  out.bias = drawn(random, wide, 0.3);
  out.recurrent_bias = drawn(random, wide, 0.3);
  return out;
}

TEST(Network, BranchesAreJoined) {
  using Join = layer::Branches::Join;
  Random random(21);
  for (const Join join :
       {Join::concatenate, Join::add, Join::multiply, Join::average, Join::maximum, Join::minimum}) {
    SCOPED_TRACE(static_cast<int>(join));
    layer::Branches inner{Join::add, {{{dense(random, 7, 7)}}, {}}};
    layer::Branches joined{join,
                           {{{dense(random, 6, 7), layer::Activate{Activation::relu()}, inner}},
                            {{dense(random, 6, 9), dense(random, 9, 7)}},
                            {{layer::Slice{0, 4, 1, 5}, dense(random, 5, 7)}}}};
    Network::Parts parts;
    parts.input = {4, 6};
    parts.layers = {
        layer::Branches(joined), layer::Activate{Activation::of(Activation::Kind::tanh)},
        layer::Branches{Join::concatenate, {{{layer::GlobalPool{}}}, {{layer::Slice{3, 1, 0, 7}}}}}};
    if (join == Join::concatenate)
      std::get<layer::Slice>(std::get<layer::Branches>(parts.layers[2]).branches[1].layers[0]).channels = 21;
    expect_right(parts);
  }
}

TEST(Network, BranchesThatDoNotFitAreRefused) {
  using Join = layer::Branches::Join;
  Random random(22);
  Network::Parts parts;
  parts.input = {1, 3};
  const auto refused = [&](layer::Branches branches) {
    parts.layers = {std::move(branches)};
    const auto made = Network::make(parts);
    return made ? std::string() : made.error().message;
  };
  EXPECT_THAT(refused({Join::add, {}}), ::testing::HasSubstr("0 branches"));
  EXPECT_THAT(refused({Join::add, {{}, {{dense(random, 3, 4)}}}}), ::testing::HasSubstr("cannot be joined"));
  EXPECT_THAT(refused({Join::concatenate, {{}, {{dense(random, 4, 4)}}}}),
              ::testing::HasSubstr("branch 1: layer 0 (dense)"));
  layer::Branches deep{Join::add, {{}}};
  for (std::size_t i = 0; i <= Network::kNestingMax; ++i) deep = {Join::add, {{{deep}}}};
  EXPECT_THAT(refused(deep), ::testing::HasSubstr("nested too deep"));
}

TEST(Network, DenseLayersOfAllSizesAgreeWithTheirTwin) {
  Random random(1);
  for (const std::size_t inputs : {1, 7, 64, 65, 200}) {
    for (const std::size_t units : {1, 15, 16, 17, 33, 65, 130}) {
      Network::Parts parts;
      parts.input = {1, inputs};
      parts.layers = {dense(random, inputs, units)};
      expect_right(parts);
    }
  }
}

TEST(Network, EveryActivationAgreesWithItsTwin) {
  for (const Activation function :
       {Activation::of(Kind::linear), Activation::relu(), Activation::relu(0.3),
        Activation::relu(0.1, 6, 0.5), Activation::elu(), Activation::elu(0.4), Activation::of(Kind::selu),
        Activation::of(Kind::gelu), Activation::of(Kind::gelu_tanh), Activation::of(Kind::silu),
        Activation::of(Kind::softplus), Activation::of(Kind::softsign), Activation::of(Kind::tanh),
        Activation::of(Kind::sigmoid), Activation::hard_sigmoid(0.2, 0.5), Activation::of(Kind::softmax),
        Activation::clip(-1, 2), Activation::of(Kind::exponential), Activation::of(Kind::mish)}) {
    Network::Parts parts;
    parts.input = {2, 13};
    parts.layers = {layer::Activate{function}};
    for (const double size : {0.001, 1.0, 8.0, 60.0}) {
      SCOPED_TRACE(std::to_string(static_cast<int>(function.kind)) + " up to " + std::to_string(size));
      expect_right(parts, size);
    }
  }
}

TEST(Network, ActivationsOfExtremesAreThoseOfTheLimit) {
  const auto value = [](Activation function, double x) {
    Network::Parts parts;
    parts.input = {1, 1};
    parts.precision = Network::Precision::wide;
    parts.layers = {layer::Activate{function}};
    double out = 0;
    Network::make(parts)->score_wide(std::span(&x, 1), 1, std::span(&out, 1));
    return out;
  };
  EXPECT_EQ(value(Activation::of(Kind::sigmoid), INFINITY), 1);
  EXPECT_NEAR(value(Activation::of(Kind::sigmoid), -INFINITY), 0, 1e-300);
  EXPECT_EQ(value(Activation::of(Kind::tanh), INFINITY), 1);
  EXPECT_EQ(value(Activation::of(Kind::tanh), -INFINITY), -1);
  EXPECT_EQ(value(Activation::of(Kind::tanh), -1e-300), -1e-300);
  EXPECT_EQ(value(Activation::relu(), -INFINITY), 0);
  EXPECT_EQ(value(Activation::relu(), INFINITY), INFINITY);
  EXPECT_EQ(value(Activation::relu(0, 6), INFINITY), 6);
  EXPECT_EQ(value(Activation::elu(), -INFINITY), -1);
  EXPECT_EQ(value(Activation::of(Kind::softplus), 1000), 1000);
  for (int kind = 0; kind <= static_cast<int>(Kind::mish); ++kind)
    EXPECT_TRUE(std::isnan(value({static_cast<Kind>(kind), 0.1, 0.9, 0}, std::nan("")))) << kind;
}

TEST(Network, LayersOfEveryKindAgreeWithTheirTwin) {
  Random random(2);
  const auto expect = [&](Shape input, std::vector<Layer> layers) {
    Network::Parts parts;
    parts.input = input;
    parts.layers = std::move(layers);
    expect_right(parts);
  };
  expect({3, 5}, {batch_norm(drawn(random, 5), drawn(random, 5), drawn(random, 5),
                             std::vector<double>{0.5, 1, 2, 0.25, 0}, 1e-3)});
  expect({3, 5}, {layer::LayerNorm{1e-5, drawn(random, 5), drawn(random, 5)}, layer::LayerNorm{}});
  for (const std::size_t slopes : {1, 5, 15}) expect({3, 5}, {layer::Prelu{drawn(random, slopes)}});
  expect({3, 5}, {layer::Transpose{}, dense(random, 3, 4), layer::Reshape{{1, 20}}, layer::Repeat{3, false},
                  layer::Repeat{2, true}, layer::Slice{1, 2, 4, 9}});
  for (const auto kind : {layer::Pool::Kind::max, layer::Pool::Kind::average}) {
    expect({9, 4}, {layer::GlobalPool{kind}});
    expect({9, 4}, {layer::Pool{kind, 2, 2, 0, 0, false}});
    expect({9, 4}, {layer::Pool{kind, 3, 2, 1, 1, false}});
    expect({9, 4}, {layer::Pool{kind, 4, 1, 2, 3, true}});
  }
}

TEST(Network, ConvolutionsAgreeWithTheirTwin) {
  Random random(3);
  for (const layer::Conv1d& shape :
       {layer::Conv1d{6, 8, 3, 1, 1, 1, 0, 0, {}, {}}, layer::Conv1d{6, 20, 1, 2, 1, 1, 0, 0, {}, {}},
        layer::Conv1d{6, 8, 4, 2, 1, 1, 1, 2, {}, {}}, layer::Conv1d{6, 9, 3, 1, 4, 3, 8, 0, {}, {}},
        layer::Conv1d{6, 12, 2, 3, 2, 6, 5, 5, {}, {}}}) {
    Network::Parts parts;
    parts.input = {130, 6};
    parts.layers = {conv(random, shape), layer::Activate{Activation::relu()}};
    expect_right(parts);
  }
}

TEST(Network, RecurrencesAgreeWithTheirTwin) {
  Random random(4);
  using CellKind = layer::Cell::Kind;
  for (const auto kind :
       {CellKind::simple, CellKind::lstm, CellKind::gru_reset_before, CellKind::gru_reset_after}) {
    for (const bool sequences : {false, true}) {
      for (int directions = 1; directions <= 3; ++directions) {
        layer::Recurrence recurrence;
        if ((directions & 1) != 0) recurrence.forward = cell(random, kind, 5, 19);
        if ((directions & 2) != 0) recurrence.backward = cell(random, kind, 5, 3);
        recurrence.sequences = sequences;
        Network::Parts parts;
        parts.input = {7, 5};
        parts.layers = {recurrence};
        SCOPED_TRACE(std::to_string(static_cast<int>(kind)) + " " + std::to_string(directions));
        expect_right(parts);
      }
    }
  }
}

TEST(Network, NormalisationBehindDenseAndConvolutionIsFolded) {
  Random random(5);
  const auto normal = [&] {
    return batch_norm(drawn(random, 8), drawn(random, 8), drawn(random, 8),
                      std::vector<double>{1, 2, 3, 4, 0.5, 0.25, 1, 2}, 1e-3);
  };
  Network::Parts parts;
  parts.input = {12, 4};
  parts.layers = {conv(random, {4, 8, 3, 1, 1, 2, 1, 1, {}, {}}),
                  normal(),
                  layer::Activate{Activation::relu()},
                  normal(),
                  dense(random, 8, 8),
                  normal(),
                  normal()};
  expect_right(parts);
  EXPECT_EQ(Network::make(parts)->parts().layers.size(), 4u);
}

TEST(Network, AnswersForManyRowsAndLargeLayersAreThoseOfOneRow) {
  Random random(6);
  Network::Parts parts;
  parts.input = {1, 300};
  parts.layers = {dense(random, 300, 500), layer::Activate{Activation::relu()}, dense(random, 500, 3),
                  layer::Activate{Activation::of(Kind::softmax)}};
  parts.scale = Scale::probability;
  const auto network = Network::make(parts);
  ASSERT_TRUE(network) << network.error().message;
  constexpr std::size_t kCount = 1000;
  const auto wide = drawn(random, kCount * 300);
  const std::vector<float> rows(wide.begin(), wide.end());
  const auto scores = all_scores(*network, rows, kCount);
  for (std::size_t row = 0; row < kCount; row += 37) {
    std::vector<double> alone(3);
    network->score(std::span(rows).subspan(row * 300, 300), 1, alone);
    ASSERT_EQ(std::memcmp(alone.data(), &scores[row * 3], sizeof(double) * 3), 0) << row;
    EXPECT_NEAR(alone[0] + alone[1] + alone[2], 1, 1e-6);
  }
}

TEST(Network, WhatDoesNotFitIsRefusedByNameOfTheLayer) {
  Random random(7);
  const auto error = [](Network::Parts parts) {
    const auto made = Network::make(std::move(parts));
    return made ? std::string("made") : made.error().message;
  };
  Network::Parts parts;
  parts.input = {1, 4};
  parts.layers = {dense(random, 4, 3), dense(random, 4, 2)};
  EXPECT_EQ(error(parts), "neural network: layer 1 (dense): takes 4 numbers a step and is given 3");
  parts.layers = {layer::Dense{4, 3, drawn(random, 11), {}}};
  EXPECT_EQ(error(parts), "neural network: layer 0 (dense): kernel has 11 numbers, not 4 × 3");
  parts.layers = {layer::Dense{4, 1, {1, 2, INFINITY, 4}, {}}};
  EXPECT_THAT(error(parts), HasSubstr("not finite"));
  parts.layers = {layer::Dense{4, 1, {1, 2, 1e39, 4}, {}}};
  EXPECT_THAT(error(parts), HasSubstr("not finite"));
  parts.precision = Network::Precision::wide;
  EXPECT_EQ(error(parts), "made");
  parts.layers = {layer::Reshape{{std::size_t{1} << 33, std::size_t{1} << 33}}};
  EXPECT_THAT(error(parts), HasSubstr("a size of"));
  parts.layers = {layer::Repeat{1 << 20, false}};
  EXPECT_THAT(error(parts), HasSubstr("numbers come out"));
  parts.layers = {layer::Repeat{1 << 18, false}, layer::Dense{4, 4, drawn(random, 16), {}},
                  layer::Dense{4, 260, drawn(random, 1040), {}}};
  EXPECT_EQ(Network::make(parts).error().code, Errc::exhausted);
  parts.layers = {dense(random, 4, 1)};
  parts.scale = Scale::probability;
  EXPECT_EQ(Network::make(parts).error().code, Errc::invalid);
  parts.layers.push_back(layer::Activate{Activation::of(Kind::sigmoid)});
  EXPECT_EQ(error(parts), "made");
}

}  // namespace
}  // namespace nidus::model
