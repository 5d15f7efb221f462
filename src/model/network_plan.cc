#include "model/internal/network_plan.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <type_traits>

#include "model/network.h"

namespace nidus::model::internal {
namespace {

using Kind = Activation::Kind;

// A matrix in panels, and its bias.
template <class T>
class Matrix {
 public:
  // Columns `first` to first + units of a row-major matrix of `depth` rows that lie `stride` apart. An empty
  // bias is 0; `bias` has an entry for each column of the whole matrix.
  Matrix(const double* values, std::size_t stride, std::size_t depth, std::size_t first, std::size_t units,
         const std::vector<double>& bias)
      : depth_(depth), units_(units), panels_(padded(units) * depth), bias_(padded(units)) {
    for (std::size_t column = 0; column < units; ++column) {
      const std::size_t panel = column / kPanel<T>, lane = column % kPanel<T>;
      T* to = panels_.data() + panel * depth * kPanel<T> + lane;
      for (std::size_t k = 0; k < depth; ++k)
        to[k * kPanel<T>] = static_cast<T>(values[k * stride + first + column]);
      if (!bias.empty()) bias_.data()[column] = static_cast<T>(bias[first + column]);
    }
  }

  std::size_t units() const { return units_; }

  void multiply(const LayerKernelOf<T>& kernel, const T* x, std::size_t x_stride, std::size_t rows, T* y,
                std::size_t y_stride, bool add = false, bool last_first = false) const {
    kernel.multiply(
        {x, x_stride, rows, panels_.data(), depth_, units_, bias_.data(), y, y_stride, add, last_first});
  }

 private:
  static std::size_t padded(std::size_t units) { return (units + kPanel<T> - 1) / kPanel<T> * kPanel<T>; }

  std::size_t depth_, units_;
  Aligned<T> panels_, bias_;
};

template <class T>
std::vector<T> rounded(const std::vector<double>& values) {
  std::vector<T> out(values.size());
  std::transform(values.begin(), values.end(), out.begin(), [](double x) { return static_cast<T>(x); });
  return out;
}

template <class T>
class DenseStep final : public Step<T> {
 public:
  DenseStep(const layer::Dense& layer, Shape in)
      : in_(in), matrix_(layer.kernel.data(), layer.units, layer.inputs, 0, layer.units, layer.bias) {}
  void run(const LayerKernelOf<T>& kernel, const T* in, std::size_t rows, T* out, T*) const override {
    matrix_.multiply(kernel, in, in_.channels, rows * in_.steps, out, matrix_.units());
  }

 private:
  Shape in_;
  Matrix<T> matrix_;
};

template <class T>
class NormaliseStep final : public Step<T> {
 public:
  NormaliseStep(const layer::Normalise& layer, Shape in)
      : in_(in),
        mean_(rounded<T>(layer.mean)),
        scale_(rounded<T>(layer.scale)),
        shift_(rounded<T>(layer.shift)) {}
  bool in_place() const override { return true; }
  void run(const LayerKernelOf<T>&, const T*, std::size_t rows, T* out, T*) const override {
    for (std::size_t step = 0; step < rows * in_.steps; ++step, out += in_.channels) {
      for (std::size_t i = 0; i < in_.channels; ++i) out[i] = (out[i] - mean_[i]) * scale_[i] + shift_[i];
    }
  }

 private:
  Shape in_;
  std::vector<T> mean_, scale_, shift_;
};

template <class T>
class LayerNormStep final : public Step<T> {
 public:
  LayerNormStep(const layer::LayerNorm& layer, Shape in) : in_(in), layer_(layer) {}
  bool in_place() const override { return true; }
  void run(const LayerKernelOf<T>&, const T*, std::size_t rows, T* out, T*) const override {
    const auto n = static_cast<double>(in_.channels);
    for (std::size_t step = 0; step < rows * in_.steps; ++step, out += in_.channels) {
      double mean = 0, variance = 0;
      for (std::size_t i = 0; i < in_.channels; ++i) mean += static_cast<double>(out[i]);
      mean /= n;
      for (std::size_t i = 0; i < in_.channels; ++i) {
        const double off = static_cast<double>(out[i]) - mean;
        variance += off * off;
      }
      const double deviation = std::sqrt(variance / n + layer_.epsilon);
      for (std::size_t i = 0; i < in_.channels; ++i) {
        double value = (static_cast<double>(out[i]) - mean) / deviation;
        if (!layer_.gamma.empty()) value *= layer_.gamma[i];
        if (!layer_.beta.empty()) value += layer_.beta[i];
        out[i] = static_cast<T>(value);
      }
    }
  }

 private:
  Shape in_;
  layer::LayerNorm layer_;
};

template <class T>
class ActivateStep final : public Step<T> {
 public:
  ActivateStep(const Activation& function, Shape in) : in_(in), function_(function) {}
  bool in_place() const override { return true; }
  void run(const LayerKernelOf<T>& kernel, const T*, std::size_t rows, T* out, T*) const override {
    if (function_.kind != Kind::softmax) return kernel.activate(function_, out, rows * in_.size());
    for (std::size_t step = 0; step < rows * in_.steps; ++step)
      kernel.softmax(out + step * in_.channels, in_.channels);
  }

 private:
  Shape in_;
  Activation function_;
};

template <class T>
class PreluStep final : public Step<T> {
 public:
  PreluStep(const layer::Prelu& layer, Shape in) : in_(in), slopes_(rounded<T>(layer.slopes)) {}
  bool in_place() const override { return true; }
  void run(const LayerKernelOf<T>&, const T*, std::size_t rows, T* out, T*) const override {
    const std::size_t period = slopes_.size();
    for (std::size_t at = 0; at < rows * in_.size(); at += period) {
      for (std::size_t i = 0; i < period; ++i) {
        const T x = out[at + i];
        out[at + i] = x < 0 ? slopes_[i] * x : x;
      }
    }
  }

 private:
  Shape in_;
  std::vector<T> slopes_;
};

template <class T>
class Conv1dStep final : public Step<T> {
 public:
  Conv1dStep(const layer::Conv1d& layer, Shape in, Shape out) : shape_(layer), in_(in), out_(out) {
    depth_ = layer.size * (layer.inputs / layer.groups);
    const std::size_t each = layer.filters / layer.groups;
    for (std::size_t group = 0; group < layer.groups; ++group)
      groups_.emplace_back(layer.kernel.data(), layer.filters, depth_, group * each, each, layer.bias);
    shape_.kernel.clear();
    shape_.bias.clear();
    in_place_ = layer.dilation == 1 && layer.groups == 1 && layer.pad_before == 0 && layer.pad_after == 0;
  }
  std::size_t room(std::size_t) const override { return in_place_ ? 0 : kWindows * depth_; }
  void run(const LayerKernelOf<T>& kernel, const T* in, std::size_t rows, T* out, T* room) const override {
    for (std::size_t row = 0; row < rows; ++row, in += in_.size(), out += out_.size()) {
      if (in_place_) {  // a window is a run of numbers as it lies there
        groups_[0].multiply(kernel, in, shape_.stride * in_.channels, out_.steps, out, out_.channels);
        continue;
      }
      for (std::size_t group = 0; group < groups_.size(); ++group) {
        for (std::size_t first = 0; first < out_.steps; first += kWindows) {
          const std::size_t some = std::min(kWindows, out_.steps - first);
          for (std::size_t i = 0; i < some; ++i) gather(in, group, first + i, room + i * depth_);
          groups_[group].multiply(kernel, room, depth_, some,
                                  out + first * out_.channels + group * groups_[group].units(),
                                  out_.channels);
        }
      }
    }
  }

 private:
  static constexpr std::size_t kWindows = 96;

  void gather(const T* in, std::size_t group, std::size_t window, T* to) const {
    const std::size_t channels = in_.channels / groups_.size();
    for (std::size_t tap = 0; tap < shape_.size; ++tap, to += channels) {
      const std::size_t padded = window * shape_.stride + tap * shape_.dilation;
      if (padded < shape_.pad_before || padded - shape_.pad_before >= in_.steps) {
        std::fill(to, to + channels, T{0});
      } else {
        const T* from = in + (padded - shape_.pad_before) * in_.channels + group * channels;
        std::copy(from, from + channels, to);
      }
    }
  }

  layer::Conv1d shape_;  // without its weights
  Shape in_, out_;
  std::size_t depth_ = 0;
  bool in_place_ = false;
  std::vector<Matrix<T>> groups_;
};

template <class T>
class PoolStep final : public Step<T> {
 public:
  PoolStep(const layer::Pool& layer, Shape in, Shape out) : layer_(layer), in_(in), out_(out) {}
  void run(const LayerKernelOf<T>&, const T* in, std::size_t rows, T* out, T*) const override {
    for (std::size_t row = 0; row < rows; ++row, in += in_.size()) {
      for (std::size_t window = 0; window < out_.steps; ++window, out += out_.channels) pool(in, window, out);
    }
  }

 private:
  void pool(const T* in, std::size_t window, T* out) const {
    const std::size_t begin = window * layer_.stride, end = begin + layer_.size;
    const std::size_t first = std::max(begin, layer_.pad_before) - layer_.pad_before,
                      last = std::min(end - std::min(end, layer_.pad_before), in_.steps);
    const bool is_max = layer_.kind == layer::Pool::Kind::max;
    std::fill(out, out + in_.channels, is_max ? -std::numeric_limits<T>::infinity() : T{0});
    for (std::size_t step = first; step < last; ++step) {
      const T* from = in + step * in_.channels;
      for (std::size_t i = 0; i < in_.channels; ++i) {
        if (!is_max) {
          out[i] += from[i];
        } else if (!(from[i] <= out[i])) {  // NaN is passed on
          out[i] = from[i];
        }
      }
    }
    if (is_max) return;
    const std::size_t seen = last > first ? last - first : 0;
    const auto count =
        static_cast<T>(layer_.average_counts_padding ? layer_.size : std::max<std::size_t>(seen, 1));
    for (std::size_t i = 0; i < in_.channels; ++i) out[i] /= count;
  }

  layer::Pool layer_;
  Shape in_, out_;
};

template <class T>
class CopyStep final : public Step<T> {
 public:
  using Copy = void (*)(const CopyStep& step, const T* in, T* out);
  CopyStep(Copy copy, Shape in, Shape out, layer::Slice slice = {})
      : copy_(copy), in_(in), out_(out), slice_(slice) {}
  void run(const LayerKernelOf<T>&, const T* in, std::size_t rows, T* out, T*) const override {
    for (std::size_t row = 0; row < rows; ++row, in += in_.size(), out += out_.size()) copy_(*this, in, out);
  }

  static void transpose(const CopyStep& step, const T* in, T* out) {
    const Shape shape = step.in_;
    for (std::size_t i = 0; i < shape.channels; ++i) {
      for (std::size_t k = 0; k < shape.steps; ++k) *out++ = in[k * shape.channels + i];
    }
  }
  static void repeat(const CopyStep& step, const T* in, T* out) {
    for (std::size_t at = 0; at < step.out_.size(); at += step.in_.size())
      std::copy(in, in + step.in_.size(), out + at);
  }
  static void repeat_each(const CopyStep& step, const T* in, T* out) {
    const std::size_t times = step.out_.steps / step.in_.steps, channels = step.in_.channels;
    for (std::size_t k = 0; k < step.out_.steps; ++k)
      std::copy(in + k / times * channels, in + (k / times + 1) * channels, out + k * channels);
  }
  static void slice(const CopyStep& step, const T* in, T* out) {
    in += step.slice_.first_step * step.in_.channels + step.slice_.first_channel;
    for (std::size_t k = 0; k < step.out_.steps; ++k, in += step.in_.channels, out += step.out_.channels)
      std::copy(in, in + step.out_.channels, out);
  }

 private:
  Copy copy_;
  Shape in_, out_;
  layer::Slice slice_;
};

// One direction of a recurrence.
template <class T>
class CellStep {
 public:
  CellStep(const layer::Cell& cell, Shape in, bool backward)
      : kind_(cell.kind),
        activation_(cell.activation),
        gate_(cell.gate),
        in_(in),
        units_(cell.units),
        gates_(cell.gates() * cell.units),
        backward_(backward),
        input_(cell.kernel.data(), gates_, cell.inputs, 0, gates_, added_bias(cell)),
        recurrent_(cell.recurrent.data(), gates_, units_, 0, is_gru() ? 2 * units_ : gates_, {}),
        candidate_(cell.recurrent.data(), gates_, units_, is_gru() ? 2 * units_ : 0, is_gru() ? units_ : 0,
                   cell.kind == layer::Cell::Kind::gru_reset_after ? cell.recurrent_bias : kNone) {}

  // h, the state of an LSTM, and the candidate of a GRU with what its product is taken of.
  std::size_t room(std::size_t rows) const { return rows * (in_.steps * gates_ + 3 * units_); }

  // Writes `units` numbers of each step (or of the last that is read) that lie `out_stride` apart.
  void run(const LayerKernelOf<T>& kernel, const T* in, std::size_t rows, bool sequences, T* out,
           std::size_t out_stride, T* room) const {
    T* const gates = room;
    T* const h = gates + rows * in_.steps * gates_;
    T* const c = h + rows * units_;
    T* const n = c + rows * units_;
    input_.multiply(kernel, in, in_.channels, rows * in_.steps, gates, gates_);
    std::fill(h, h + 3 * rows * units_, T{0});
    for (std::size_t turn = 0; turn < in_.steps; ++turn) {
      const std::size_t step = backward_ ? in_.steps - 1 - turn : turn;
      T* const now = gates + step * gates_;  // of the first row; the next is a whole sequence further
      const std::size_t apart = in_.steps * gates_;
      recurrent_.multiply(kernel, h, units_, rows, now, apart, true, turn % 2 != 0);
      if (kind_ == layer::Cell::Kind::gru_reset_after)
        candidate_.multiply(kernel, h, units_, rows, n, units_);
      for (std::size_t row = 0; row < rows; ++row)
        advance(kernel, now + row * apart, h + row * units_, c + row * units_, n + row * units_);
      if (kind_ == layer::Cell::Kind::gru_reset_before) {
        candidate_.multiply(kernel, c, units_, rows, now + 2 * units_, apart, true);
        for (std::size_t row = 0; row < rows; ++row) mix(kernel, now + row * apart, h + row * units_);
      }
      if (!sequences && turn + 1 < in_.steps) continue;
      for (std::size_t row = 0; row < rows; ++row) {
        const std::size_t at = sequences ? row * in_.steps + step : row;
        std::copy(h + row * units_, h + (row + 1) * units_, out + at * out_stride);
      }
    }
  }

  std::size_t units() const { return units_; }

 private:
  inline static const std::vector<double> kNone;

  bool is_gru() const {
    return kind_ == layer::Cell::Kind::gru_reset_before || kind_ == layer::Cell::Kind::gru_reset_after;
  }

  // The two biases are one, but for that within the reset.
  static std::vector<double> added_bias(const layer::Cell& cell) {
    std::vector<double> sum(cell.gates() * cell.units);
    const bool apart = cell.kind == layer::Cell::Kind::gru_reset_after;
    for (std::size_t i = 0; i < sum.size(); ++i) {
      if (!cell.bias.empty()) sum[i] += cell.bias[i];
      if (!cell.recurrent_bias.empty() && !(apart && i >= 2 * cell.units)) sum[i] += cell.recurrent_bias[i];
    }
    return sum;
  }

  void advance(const LayerKernelOf<T>& kernel, T* now, T* h, T* c, const T* n) const {
    const std::size_t u = units_;
    switch (kind_) {
      case layer::Cell::Kind::simple:
        kernel.activate(activation_, now, u);
        std::copy(now, now + u, h);
        return;
      case layer::Cell::Kind::lstm:
        kernel.activate(gate_, now, 2 * u);
        kernel.activate(activation_, now + 2 * u, u);
        kernel.activate(gate_, now + 3 * u, u);
        for (std::size_t i = 0; i < u; ++i) h[i] = c[i] = now[u + i] * c[i] + now[i] * now[2 * u + i];
        kernel.activate(activation_, h, u);
        for (std::size_t i = 0; i < u; ++i) h[i] *= now[3 * u + i];
        return;
      case layer::Cell::Kind::gru_reset_before:
        kernel.activate(gate_, now, 2 * u);
        for (std::size_t i = 0; i < u; ++i) c[i] = now[u + i] * h[i];
        return;
      case layer::Cell::Kind::gru_reset_after:
        kernel.activate(gate_, now, 2 * u);
        for (std::size_t i = 0; i < u; ++i) now[2 * u + i] += now[u + i] * n[i];
        mix(kernel, now, h);
        return;
    }
  }
  void mix(const LayerKernelOf<T>& kernel, T* now, T* h) const {
    const std::size_t u = units_;
    kernel.activate(activation_, now + 2 * u, u);
    for (std::size_t i = 0; i < u; ++i) h[i] = now[i] * h[i] + (1 - now[i]) * now[2 * u + i];
  }

  layer::Cell::Kind kind_;
  Activation activation_, gate_;
  Shape in_;
  std::size_t units_, gates_;
  bool backward_;
  Matrix<T> input_, recurrent_, candidate_;
};

template <class T>
class RecurrenceStep final : public Step<T> {
 public:
  RecurrenceStep(const layer::Recurrence& layer, Shape in, Shape out)
      : out_(out), sequences_(layer.sequences) {
    if (layer.forward) cells_.emplace_back(*layer.forward, in, false);
    if (layer.backward) cells_.emplace_back(*layer.backward, in, true);
  }
  std::size_t room(std::size_t rows) const override {
    std::size_t most = 0;
    for (const auto& cell : cells_) most = std::max(most, cell.room(rows));
    return most;
  }
  void run(const LayerKernelOf<T>& kernel, const T* in, std::size_t rows, T* out, T* room) const override {
    for (const auto& cell : cells_) {
      cell.run(kernel, in, rows, sequences_, out, out_.channels, room);
      out += cell.units();
    }
  }

 private:
  Shape out_;
  bool sequences_;
  std::vector<CellStep<T>> cells_;
};

template <class T>
class BranchesStep final : public Step<T> {
 public:
  BranchesStep(const layer::Branches& layer, Shape in, Shape out) : join_(layer.join), in_(in), out_(out) {
    for (const layer::Branch& branch : layer.branches) {
      Chain& chain = chains_.emplace_back();
      chain.out = in;
      widest_ = std::max(widest_, in.size());
      for (const Layer& one : branch.layers) {
        const Shape shape = *shape_after(one, chain.out);
        if (auto step = make_step<T>(one, chain.out, shape)) chain.steps.push_back(std::move(step));
        chain.out = shape;
        widest_ = std::max(widest_, shape.size());
      }
    }
  }
  std::size_t room(std::size_t rows) const override {
    std::size_t most = 0;
    for (const Chain& chain : chains_) {
      for (const auto& step : chain.steps) most = std::max(most, step->room(rows));
    }
    return 2 * rows * widest_ + most;
  }
  void run(const LayerKernelOf<T>& kernel, const T* in, std::size_t rows, T* out, T* room) const override {
    std::size_t channel = 0;
    for (std::size_t i = 0; i < chains_.size(); ++i) {
      const Chain& chain = chains_[i];
      T *now = room, *other = room + rows * widest_, *const free = room + 2 * rows * widest_;
      std::copy(in, in + rows * in_.size(), now);
      for (const auto& step : chain.steps) {
        step->run(kernel, now, rows, step->in_place() ? now : other, free);
        if (!step->in_place()) std::swap(now, other);
      }
      if (join_ == Join::concatenate) {
        const std::size_t channels = chain.out.channels;
        for (std::size_t step = 0; step < rows * out_.steps; ++step)
          std::copy(now + step * channels, now + (step + 1) * channels, out + step * out_.channels + channel);
        channel += channels;
      } else if (i == 0) {
        std::copy(now, now + rows * out_.size(), out);
      } else {
        join(now, rows * out_.size(), out);
      }
    }
    if (join_ != Join::average) return;
    for (std::size_t k = 0; k < rows * out_.size(); ++k) out[k] /= static_cast<T>(chains_.size());
  }

 private:
  using Join = layer::Branches::Join;
  struct Chain {
    std::vector<std::unique_ptr<const Step<T>>> steps;
    Shape out;
  };

  // NaN is passed on.
  void join(const T* from, std::size_t count, T* to) const {
    for (std::size_t k = 0; k < count; ++k) {
      const T x = to[k], y = from[k];
      switch (join_) {
        case Join::concatenate:
          break;
        case Join::add:
        case Join::average:
          to[k] = x + y;
          break;
        case Join::multiply:
          to[k] = x * y;
          break;
        case Join::maximum:
          to[k] = x != x || x >= y ? x : y;
          break;
        case Join::minimum:
          to[k] = x != x || x <= y ? x : y;
          break;
      }
    }
  }

  Join join_;
  Shape in_, out_;
  std::vector<Chain> chains_;
  std::size_t widest_ = 0;
};

}  // namespace

template <class T>
std::unique_ptr<const Step<T>> make_step(const Layer& layer, Shape in, Shape out) {
  using Made = std::unique_ptr<const Step<T>>;
  return std::visit(
      [&](const auto& given) -> Made {
        using L = std::decay_t<decltype(given)>;
        if constexpr (std::is_same_v<L, layer::Dense>) return std::make_unique<DenseStep<T>>(given, in);
        if constexpr (std::is_same_v<L, layer::Normalise>)
          return std::make_unique<NormaliseStep<T>>(given, in);
        if constexpr (std::is_same_v<L, layer::LayerNorm>)
          return std::make_unique<LayerNormStep<T>>(given, in);
        if constexpr (std::is_same_v<L, layer::Activate>)
          return std::make_unique<ActivateStep<T>>(given.function, in);
        if constexpr (std::is_same_v<L, layer::Prelu>) return std::make_unique<PreluStep<T>>(given, in);
        if constexpr (std::is_same_v<L, layer::Conv1d>)
          return std::make_unique<Conv1dStep<T>>(given, in, out);
        if constexpr (std::is_same_v<L, layer::Pool>) return std::make_unique<PoolStep<T>>(given, in, out);
        if constexpr (std::is_same_v<L, layer::GlobalPool>)
          return std::make_unique<PoolStep<T>>(layer::Pool{given.kind, in.steps, 1, 0, 0, false}, in, out);
        if constexpr (std::is_same_v<L, layer::Reshape>) return nullptr;
        if constexpr (std::is_same_v<L, layer::Transpose>)
          return std::make_unique<CopyStep<T>>(CopyStep<T>::transpose, in, out);
        if constexpr (std::is_same_v<L, layer::Repeat>)
          return std::make_unique<CopyStep<T>>(given.each ? CopyStep<T>::repeat_each : CopyStep<T>::repeat,
                                               in, out);
        if constexpr (std::is_same_v<L, layer::Slice>)
          return std::make_unique<CopyStep<T>>(CopyStep<T>::slice, in, out, given);
        if constexpr (std::is_same_v<L, layer::Recurrence>)
          return std::make_unique<RecurrenceStep<T>>(given, in, out);
        if constexpr (std::is_same_v<L, layer::Branches>)
          return std::make_unique<BranchesStep<T>>(given, in, out);
      },
      layer);
}

template std::unique_ptr<const Step<float>> make_step(const Layer&, Shape, Shape);
template std::unique_ptr<const Step<double>> make_step(const Layer&, Shape, Shape);

}  // namespace nidus::model::internal
