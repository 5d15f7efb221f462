#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <variant>
#include <vector>

// What neural networks are made of, as plain data: the shape of each layer and its weights. Whoever reads,
// trains or writes networks says what they are in these words; network.h makes them score.
namespace nidus::model {

// What flows from layer to layer, for one row: `steps` vectors of `channels` numbers, one vector behind the
// other. A plain vector is one step.
struct Shape {
  std::size_t steps = 1;
  std::size_t channels = 0;

  std::size_t size() const { return steps * channels; }
  bool operator==(const Shape&) const = default;
};

// A function of each number by itself; softmax alone looks at all channels of a step.
struct Activation {
  enum class Kind : std::uint8_t {
    linear,
    relu,       // x >= b: b; x >= c: x; else a (x - c). Slope a, largest b, threshold c
    elu,        // x above 0, a (e^x - 1) below
    selu,       // Klambauer et al., 2017
    gelu,       // x Phi(x) by the error function
    gelu_tanh,  // the approximation by tanh (Hendrycks and Gimpel, 2016)
    silu,       // x sigmoid(x), also called swish
    softplus,   // log(1 + e^x)
    softsign,   // x / (1 + |x|)
    tanh,
    sigmoid,
    hard_sigmoid,  // a x + b, held between 0 and 1
    softmax,
    clip,  // held between a and b
    exponential,
    mish,  // x tanh(softplus(x))
  };
  Kind kind = Kind::linear;
  double a = 0, b = 0, c = 0;

  static Activation of(Kind kind) { return {kind, 0, 0, 0}; }
  static Activation relu(double slope = 0, double most = std::numeric_limits<double>::infinity(),
                         double threshold = 0) {
    return {Kind::relu, slope, most, threshold};
  }
  static Activation elu(double alpha = 1) { return {Kind::elu, alpha, 0, 0}; }
  static Activation hard_sigmoid(double slope, double shift) { return {Kind::hard_sigmoid, slope, shift, 0}; }
  static Activation clip(double low, double high) { return {Kind::clip, low, high, 0}; }
  bool operator==(const Activation&) const = default;
};

// Matrices are row-major. A bias that is empty is 0.
namespace layer {

// y = x W + b at each step; W is inputs × units.
struct Dense {
  std::size_t inputs = 0, units = 0;
  std::vector<double> kernel, bias;
};

// y = (x - mean) scale + shift by channel: batch normalisation as it is after training, with
// scale = gamma / sqrt(variance + epsilon).
struct Normalise {
  std::vector<double> mean, scale, shift;
};

// Over the channels of each step (Ba et al., 2016): (x - mean) / sqrt(variance + epsilon) gamma + beta.
struct LayerNorm {
  double epsilon = 1e-5;
  std::vector<double> gamma, beta;
};

struct Activate {
  Activation function;
};

// x above 0, slope x below. One slope, one for each channel, or one for each number of the shape.
struct Prelu {
  std::vector<double> slopes;
};

// Cross-correlation along the steps. The kernel is size × (inputs / groups) × filters: tap, channel within
// the group, filter. Filters f / groups to the group they stand in. What lies beyond the ends is 0.
struct Conv1d {
  std::size_t inputs = 0, filters = 0, size = 1, stride = 1, dilation = 1, groups = 1;
  std::size_t pad_before = 0, pad_after = 0;  // steps
  std::vector<double> kernel, bias;
};

struct Pool {
  enum class Kind : std::uint8_t { max, average };
  Kind kind = Kind::max;
  std::size_t size = 2, stride = 2;
  std::size_t pad_before = 0, pad_after = 0;  // steps that no maximum sees
  bool average_counts_padding = false;        // as zeros
};

// All steps become one.
struct GlobalPool {
  Pool::Kind kind = Pool::Kind::max;
};

// The same numbers in the same order, of another shape.
struct Reshape {
  Shape to;
};

// Steps become channels and channels steps.
struct Transpose {};

// The whole shape again and again along the steps, or each step by itself.
struct Repeat {
  std::size_t times = 1;
  bool each = false;
};

struct Slice {
  std::size_t first_step = 0, steps = 1, first_channel = 0, channels = 1;
};

// What goes through the steps and remembers. For x the input of a step and h the output of the step before,
// s the gate function and t the activation, * elementwise:
//
//   simple     h' = t(x W + h U + b + r)
//   lstm       i, f, g, o = x W + h U + b + r;  c' = s(f) * c + s(i) * t(g);  h' = s(o) * t(c')
//              (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000)
//   gru        z, r, n as x W + h U + b + r;    h' = s(z) * h + (1 - s(z)) * n' (Cho et al. 2014), with
//              n' = t(xW_n + b_n + (s(r) * h) U_n + r_n)                  reset before the product
//              n' = t(xW_n + b_n + s(r) * (h U_n + r_n))                  reset after, as cuDNN does
//
// The columns of W (inputs × gates units), U (units × gates units), b and r lie gate behind gate, in the
// order in which the gates are named above. One of 1, 4 or 3 gates.
struct Cell {
  enum class Kind : std::uint8_t { simple, lstm, gru_reset_before, gru_reset_after };
  Kind kind = Kind::lstm;
  std::size_t inputs = 0, units = 0;
  Activation activation = Activation::of(Activation::Kind::tanh);
  Activation gate = Activation::of(Activation::Kind::sigmoid);
  std::vector<double> kernel, recurrent, bias, recurrent_bias;

  std::size_t gates() const { return kind == Kind::simple ? 1 : kind == Kind::lstm ? 4 : 3; }
};

// One cell that reads the steps from the first to the last, or another one that reads them from the last to
// the first, or both, whose outputs then stand side by side. With `sequences` the output has every step, and
// what the backward cell says at a step stands at that step; otherwise the last thing that each cell says.
struct Recurrence {
  std::optional<Cell> forward, backward;
  bool sequences = false;
};

struct Branch;

// What comes in goes through every branch, and what comes out of them is made one: number by number, or side
// by side along the channels. A branch without layers gives what came in.
struct Branches {
  enum class Join : std::uint8_t { concatenate, add, multiply, average, maximum, minimum };
  Join join = Join::concatenate;
  std::vector<Branch> branches;
};

}  // namespace layer

using Layer = std::variant<layer::Dense, layer::Normalise, layer::LayerNorm, layer::Activate, layer::Prelu,
                           layer::Conv1d, layer::Pool, layer::GlobalPool, layer::Reshape, layer::Transpose,
                           layer::Repeat, layer::Slice, layer::Recurrence, layer::Branches>;

// One layer behind the other.
struct layer::Branch {
  std::vector<Layer> layers;
};

// Of batch normalisation: gamma or beta that is empty is 1 or 0.
layer::Normalise batch_norm(const std::vector<double>& gamma, const std::vector<double>& beta,
                            const std::vector<double>& mean, const std::vector<double>& variance,
                            double epsilon);

}  // namespace nidus::model
