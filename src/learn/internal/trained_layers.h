#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <vector>

#include "learn/internal/network_kernel.h"
#include "model/layers.h"

// Layers as they are while they learn: forward, backward, and the numbers that Adam moves.
//
// The rows of a batch are divided among a fixed number of slices, whatever the number of threads. A slice
// goes through the layers by itself and keeps gradients of its own, which are added up in the order of the
// slices: so the outcome does not depend on who computed what. Only batch normalisation looks at all rows;
// there the slices wait for each other (Layer::collect, merge).
//
// Within a slice the vector of a row at a step is a row of a matrix, step after step: step 0 of all rows,
// then step 1. So what a recurrence reads at once lies together.
namespace nidus::learn::internal {

template <class T>
class Numbers {  // on a cache line
 public:
  Numbers() = default;
  explicit Numbers(std::size_t size)
      : values_(static_cast<T*>(
            ::operator new[](std::max<std::size_t>(size, 1) * sizeof(T), std::align_val_t(64)))),
        size_(size) {
    std::fill_n(values_.get(), size, T{});
  }
  T* data() { return values_.get(); }
  const T* data() const { return values_.get(); }
  std::size_t size() const { return size_; }
  std::span<T> span() { return {values_.get(), size_}; }
  std::span<const T> span() const { return {values_.get(), size_}; }

 private:
  struct Free {
    void operator()(T* values) const { ::operator delete[](values, std::align_val_t(64)); }
  };
  std::unique_ptr<T, Free> values_;
  std::size_t size_ = 0;
};

// What one slice needs: what lies between the layers, its gradients there, the gradients of the weights, and
// room that layers asked for.
template <class T>
struct Slice {
  std::size_t number = 0, rows = 0;
  std::uint64_t key = 0;  // of this batch, for what is drawn
  std::vector<Numbers<T>> values, gradients;
  std::vector<Numbers<T>> room;
  T* weight_gradients = nullptr;  // at the same places as the weights
};

// A matrix of weights, where it lies among all, and its transpose, which the way back is computed with.
template <class T>
struct TrainedMatrix {
  std::size_t depth = 0, units = 0, at = 0;
  Numbers<T> transposed;  // empty if nobody asks for the gradient of what comes in

  std::size_t panels() const { return rounded_up(units, kPanel<T>) / kPanel<T>; }
  std::size_t size() const { return panels() * depth * kPanel<T>; }
  void make_transposed() { transposed = Numbers<T>(rounded_up(depth, kPanel<T>) * units); }
  void load(const std::vector<double>& from, std::size_t stride, T* all) const {
    for (std::size_t k = 0; k < depth; ++k) {
      for (std::size_t i = 0; i < units; ++i)
        all[at + (i / kPanel<T> * depth + k) * kPanel<T> + i % kPanel<T>] =
            static_cast<T>(from[k * stride + i]);
    }
  }
  std::vector<double> store(const T* all) const {
    std::vector<double> out(depth * units);
    for (std::size_t k = 0; k < depth; ++k) {
      for (std::size_t i = 0; i < units; ++i)
        out[k * units + i] =
            static_cast<double>(all[at + (i / kPanel<T> * depth + k) * kPanel<T> + i % kPanel<T>]);
    }
    return out;
  }
};

// One layer. Learnt numbers lie at [begin(), end()) among the weights of all.
template <class T>
class TrainedLayer {
 public:
  using Kernel = NetworkKernel<T>;
  virtual ~TrainedLayer() = default;

  model::Shape in, out;
  std::size_t place_in = 0, place_out = 0;  // which of Slice::values; equal if it works in place
  std::size_t first_room = 0;               // the first of its Slice::room

  virtual bool in_place() const { return false; }
  // Whether the way back looks at what came out, which a layer in place behind it would have changed.
  virtual bool needs_output() const { return false; }
  // How many numbers of room of each sort for so many rows.
  virtual std::vector<std::size_t> rooms(std::size_t rows) const {
    (void)rows;
    return {};
  }
  // How many weights; `place` tells it where they begin, and lays out what it was made of.
  virtual std::size_t weights() const { return 0; }
  virtual void place(std::size_t at, bool needs_input_gradient) { (void)at, (void)needs_input_gradient; }
  virtual void initialise(T* all) const { (void)all; }
  // The matrices among them, which decay and are transposed; biases are not.
  virtual std::vector<TrainedMatrix<T>*> matrices() { return {}; }

  // Sets values[place_out] from values[place_in]; while learning it keeps what the way back needs.
  virtual void forward(const Kernel& kernel, const T* all, Slice<T>& slice, bool learning) const = 0;
  // Sets gradients[place_in] (if wanted) from gradients[place_out], and its weights' gradients.
  virtual void backward(const Kernel& kernel, const T* all, Slice<T>& slice, bool wants_input) const = 0;

  // Of layers that look at all rows: what a slice has to say before forward and backward, and what follows of
  // it for all. `rows` are those of each slice.
  virtual bool looks_at_all() const { return false; }
  virtual void collect(const Kernel&, Slice<T>&) const {}
  virtual void merge(std::span<const std::size_t>) {}
  virtual void collect_back(const Kernel&, Slice<T>&) const {}
  virtual void merge_back(const T*, std::span<const std::size_t>, T*) {}
  // From now on, until the next merge(), by what was learnt instead of by the rows at hand.
  virtual void freeze() {}
  // What is learnt otherwise than by Adam.
  virtual std::vector<double>* state() { return nullptr; }

  // The layers that it has become.
  virtual void finish(const T* all, std::vector<model::Layer>& done) const = 0;

 protected:
  T* value(Slice<T>& slice, std::size_t which) const { return slice.values[which].data(); }
  T* gradient(Slice<T>& slice, std::size_t which) const { return slice.gradients[which].data(); }
  std::size_t in_stride() const { return stride_of<T>(in.channels); }
  std::size_t out_stride() const { return stride_of<T>(out.channels); }
};

// A bias in front of batch normalisation, which takes every mean away, has no gradient but rounding: it
// stays.
template <class T>
class TrainedDense final : public TrainedLayer<T> {
 public:
  using Kernel = NetworkKernel<T>;
  TrainedDense(model::layer::Dense given, bool bias_learns)
      : given_(std::move(given)), bias_learns_(bias_learns) {
    matrix_.depth = given_.inputs;
    matrix_.units = given_.units;
  }
  std::size_t weights() const override { return matrix_.size() + rounded_up(matrix_.units, kPanel<T>); }
  void place(std::size_t at, bool needs_input_gradient) override {
    matrix_.at = at;
    if (needs_input_gradient) matrix_.make_transposed();
  }
  void initialise(T* all) const override {
    matrix_.load(given_.kernel, given_.units, all);
    for (std::size_t i = 0; i < given_.bias.size(); ++i) all[bias() + i] = static_cast<T>(given_.bias[i]);
  }
  std::vector<TrainedMatrix<T>*> matrices() override { return {&matrix_}; }
  void forward(const Kernel& kernel, const T* all, Slice<T>& slice, bool) const override {
    kernel.multiply({this->value(slice, this->place_in), this->in_stride(), slice.rows * this->in.steps,
                     all + matrix_.at, matrix_.depth, matrix_.units, all + bias(),
                     this->value(slice, this->place_out), this->out_stride()});
  }
  void backward(const Kernel& kernel, const T*, Slice<T>& slice, bool wants_input) const override {
    const std::size_t rows = slice.rows * this->in.steps;
    T* const dy = this->gradient(slice, this->place_out);
    kernel.outer({this->value(slice, this->place_in), this->in_stride(), rows, dy, this->out_stride(),
                  matrix_.depth, matrix_.units, slice.weight_gradients + matrix_.at});
    if (bias_learns_)
      kernel.sum({dy, this->out_stride(), rows}, rounded_up(matrix_.units, kPanel<T>),
                 slice.weight_gradients + bias());
    if (wants_input) {
      kernel.multiply({dy, this->out_stride(), rows, matrix_.transposed.data(), matrix_.units, matrix_.depth,
                       zeros_of(matrix_.depth), this->gradient(slice, this->place_in), this->in_stride()});
    }
  }
  void finish(const T* all, std::vector<model::Layer>& done) const override {
    model::layer::Dense dense{given_.inputs, given_.units, matrix_.store(all), {}};
    for (std::size_t i = 0; i < given_.units; ++i) dense.bias.push_back(static_cast<double>(all[bias() + i]));
    done.push_back(std::move(dense));
  }
  // A bias of nothing.
  static const T* zeros_of(std::size_t columns) {
    static const Numbers<T> zeros(kZeros);
    return columns <= kZeros ? zeros.data() : nullptr;
  }
  static constexpr std::size_t kZeros = 65536 + 64;

 private:
  std::size_t bias() const { return matrix_.at + matrix_.size(); }
  model::layer::Dense given_;
  bool bias_learns_;
  TrainedMatrix<T> matrix_;
};

// A convolution is a dense layer on windows, which are gathered.
template <class T>
class TrainedConv1d final : public TrainedLayer<T> {
 public:
  using Kernel = NetworkKernel<T>;
  TrainedConv1d(model::layer::Conv1d given, bool bias_learns)
      : given_(std::move(given)), bias_learns_(bias_learns) {
    matrix_.depth = given_.size * given_.inputs;
    matrix_.units = given_.filters;
  }
  std::vector<std::size_t> rooms(std::size_t rows) const override {
    const std::size_t numbers = rows * this->out.steps * window_stride();
    return {numbers, numbers};
  }
  std::size_t weights() const override { return matrix_.size() + rounded_up(matrix_.units, kPanel<T>); }
  void place(std::size_t at, bool needs_input_gradient) override {
    matrix_.at = at;
    if (needs_input_gradient) matrix_.make_transposed();
  }
  void initialise(T* all) const override {
    matrix_.load(given_.kernel, given_.filters, all);
    for (std::size_t i = 0; i < given_.bias.size(); ++i) all[bias() + i] = static_cast<T>(given_.bias[i]);
  }
  std::vector<TrainedMatrix<T>*> matrices() override { return {&matrix_}; }
  void forward(const Kernel& kernel, const T* all, Slice<T>& slice, bool) const override {
    T* const windows = slice.room[this->first_room].data();
    const T* const x = this->value(slice, this->place_in);
    for_each_tap(slice.rows, [&](std::size_t window, std::size_t tap, std::ptrdiff_t source) {
      T* const to = windows + window * window_stride() + tap * given_.inputs;
      if (source < 0) {
        std::fill_n(to, given_.inputs, T{});
      } else {
        std::copy_n(x + static_cast<std::size_t>(source) * this->in_stride(), given_.inputs, to);
      }
    });
    kernel.multiply({windows, window_stride(), slice.rows * this->out.steps, all + matrix_.at, matrix_.depth,
                     matrix_.units, all + bias(), this->value(slice, this->place_out), this->out_stride()});
  }
  void backward(const Kernel& kernel, const T*, Slice<T>& slice, bool wants_input) const override {
    const std::size_t rows = slice.rows * this->out.steps;
    T* const dy = this->gradient(slice, this->place_out);
    kernel.outer({slice.room[this->first_room].data(), window_stride(), rows, dy, this->out_stride(),
                  matrix_.depth, matrix_.units, slice.weight_gradients + matrix_.at});
    if (bias_learns_)
      kernel.sum({dy, this->out_stride(), rows}, rounded_up(matrix_.units, kPanel<T>),
                 slice.weight_gradients + bias());
    if (!wants_input) return;
    T* const windows = slice.room[this->first_room + 1].data();
    kernel.multiply({dy, this->out_stride(), rows, matrix_.transposed.data(), matrix_.units, matrix_.depth,
                     TrainedDense<T>::zeros_of(matrix_.depth), windows, window_stride()});
    T* const dx = this->gradient(slice, this->place_in);
    std::fill_n(dx, slice.rows * this->in.steps * this->in_stride(), T{});
    for_each_tap(slice.rows, [&](std::size_t window, std::size_t tap, std::ptrdiff_t source) {
      if (source < 0) return;
      const T* const add = windows + window * window_stride() + tap * given_.inputs;
      T* const to = dx + static_cast<std::size_t>(source) * this->in_stride();
      for (std::size_t i = 0; i < given_.inputs; ++i) to[i] += add[i];
    });
  }
  void finish(const T* all, std::vector<model::Layer>& done) const override {
    model::layer::Conv1d conv = given_;
    conv.kernel = matrix_.store(all);
    conv.bias.clear();
    for (std::size_t i = 0; i < given_.filters; ++i)
      conv.bias.push_back(static_cast<double>(all[bias() + i]));
    done.push_back(std::move(conv));
  }

 private:
  std::size_t bias() const { return matrix_.at + matrix_.size(); }
  std::size_t window_stride() const { return stride_of<T>(matrix_.depth); }
  // Calls f(window, tap, source), where source is -1 beyond the ends.
  template <class F>
  void for_each_tap(std::size_t rows, const F& f) const {
    for (std::size_t step = 0; step < this->out.steps; ++step) {
      for (std::size_t tap = 0; tap < given_.size; ++tap) {
        const auto source = static_cast<std::ptrdiff_t>(step * given_.stride + tap * given_.dilation) -
                            static_cast<std::ptrdiff_t>(given_.pad_before);
        const bool inside = source >= 0 && source < static_cast<std::ptrdiff_t>(this->in.steps);
        for (std::size_t row = 0; row < rows; ++row)
          f(step * rows + row, tap,
            inside ? source * static_cast<std::ptrdiff_t>(rows) + static_cast<std::ptrdiff_t>(row) : -1);
      }
    }
  }
  model::layer::Conv1d given_;
  bool bias_learns_;
  TrainedMatrix<T> matrix_;
};

// Batch normalisation (Ioffe and Szegedy, 2015) over rows and steps, by channel. Running mean and variance as
// PyTorch keeps them: new = (1 - momentum) old + momentum now, the variance of n numbers by n - 1.
template <class T>
class TrainedBatchNorm final : public TrainedLayer<T> {
 public:
  using Kernel = NetworkKernel<T>;
  TrainedBatchNorm(std::size_t channels, double epsilon, double momentum, std::size_t slices)
      : channels_(channels),
        epsilon_(epsilon),
        momentum_(momentum),
        padded_(rounded_up(channels, kPanel<T>)),
        said_(slices * 2 * padded_),
        mean_(padded_),
        inverse_(padded_),
        factor_(padded_),
        mean_dy_(padded_),
        mean_product_(padded_),
        running_(2 * channels) {
    std::fill(running_.begin() + static_cast<std::ptrdiff_t>(channels), running_.end(), 1.0);
  }
  bool in_place() const override { return true; }
  bool looks_at_all() const override { return true; }
  std::vector<std::size_t> rooms(std::size_t rows) const override {
    return {rows * this->in.steps * this->in_stride()};
  }
  std::size_t weights() const override { return 2 * padded_; }
  void place(std::size_t at, bool) override { at_ = at; }
  void initialise(T* all) const override { std::fill_n(all + at_, channels_, T{1}); }

  void collect(const Kernel& kernel, Slice<T>& slice) const override {
    const Rows<const T> y{this->value(slice, this->place_in), this->in_stride(), slice.rows * this->in.steps};
    T* const sums = said(slice);
    kernel.sum(y, padded_, sums);
    const T n = static_cast<T>(y.rows);
    for (std::size_t i = 0; i < padded_; ++i) sums[i] /= n;
    kernel.sum_squares(y, sums, padded_, sums + padded_);
  }
  // Means and sums of squares of the slices are put together as Chan, Golub and LeVeque do, in their order.
  void merge(std::span<const std::size_t> rows) override {
    double all = 0;
    for (const auto some : rows) all += static_cast<double>(some * this->in.steps);
    count_ = all;
    for (std::size_t i = 0; i < channels_; ++i) {
      double n = 0, mean = 0, squares = 0;
      for (std::size_t slice = 0; slice < rows.size(); ++slice) {
        const T* const sums = said_.data() + slice * 2 * padded_;
        const auto more = static_cast<double>(rows[slice] * this->in.steps);
        const double off = static_cast<double>(sums[i]) - mean;
        mean += off * more / (n + more);
        squares += static_cast<double>(sums[padded_ + i]) + off * off * n * more / (n + more);
        n += more;
      }
      const double variance = squares / n;
      mean_.data()[i] = static_cast<T>(mean);
      inverse_.data()[i] = static_cast<T>(1 / std::sqrt(variance + epsilon_));
      double& running_mean = running_[i];
      double& running_variance = running_[channels_ + i];
      running_mean += momentum_ * (mean - running_mean);
      running_variance += momentum_ * (squares / std::max(1.0, n - 1) - running_variance);
    }
  }
  void freeze() override {
    for (std::size_t i = 0; i < channels_; ++i) {
      mean_.data()[i] = static_cast<T>(running_[i]);
      inverse_.data()[i] = static_cast<T>(1 / std::sqrt(running_[channels_ + i] + epsilon_));
    }
  }
  void forward(const Kernel& kernel, const T* all, Slice<T>& slice, bool) const override {
    const std::size_t rows = slice.rows * this->in.steps;
    kernel.normalise({this->value(slice, this->place_in), this->in_stride(), rows},
                     {slice.room[this->first_room].data(), this->in_stride(), rows}, padded_, mean_.data(),
                     inverse_.data(), all + at_, all + at_ + padded_);
  }
  void collect_back(const Kernel& kernel, Slice<T>& slice) const override {
    const std::size_t rows = slice.rows * this->in.steps;
    const Rows<const T> dy{this->gradient(slice, this->place_out), this->in_stride(), rows};
    T* const sums = said(slice);
    kernel.sum(dy, padded_, sums);
    kernel.sum_products(dy, {slice.room[this->first_room].data(), this->in_stride(), rows}, padded_,
                        sums + padded_);
  }
  // The gradients of gamma and beta are known for all rows here; those of the first slice become it.
  void merge_back(const T* all, std::span<const std::size_t> rows, T* first_gradients) override {
    for (std::size_t i = 0; i < channels_; ++i) {
      double dy = 0, product = 0;
      for (std::size_t slice = 0; slice < rows.size(); ++slice) {
        dy += static_cast<double>(said_.data()[slice * 2 * padded_ + i]);
        product += static_cast<double>(said_.data()[(slice * 2 + 1) * padded_ + i]);
      }
      mean_dy_.data()[i] = static_cast<T>(dy / count_);
      mean_product_.data()[i] = static_cast<T>(product / count_);
      factor_.data()[i] = all[at_ + i] * inverse_.data()[i];
      first_gradients[at_ + i] = static_cast<T>(product);
      first_gradients[at_ + padded_ + i] = static_cast<T>(dy);
    }
  }
  void backward(const Kernel& kernel, const T*, Slice<T>& slice, bool) const override {
    const std::size_t rows = slice.rows * this->in.steps;
    kernel.normalise_back({this->gradient(slice, this->place_out), this->in_stride(), rows},
                          {slice.room[this->first_room].data(), this->in_stride(), rows}, padded_,
                          factor_.data(), mean_dy_.data(), mean_product_.data());
  }
  std::vector<double>* state() override { return &running_; }
  void finish(const T* all, std::vector<model::Layer>& done) const override {
    std::vector<double> gamma, beta;
    for (std::size_t i = 0; i < channels_; ++i) {
      gamma.push_back(static_cast<double>(all[at_ + i]));
      beta.push_back(static_cast<double>(all[at_ + padded_ + i]));
    }
    const auto middle = running_.begin() + static_cast<std::ptrdiff_t>(channels_);
    done.push_back(
        model::batch_norm(gamma, beta, {running_.begin(), middle}, {middle, running_.end()}, epsilon_));
  }

 private:
  T* said(const Slice<T>& slice) const {
    return const_cast<T*>(said_.data()) + slice.number * 2 * padded_;  // each slice writes its own
  }
  std::size_t channels_;
  double epsilon_, momentum_;
  std::size_t padded_, at_ = 0;
  double count_ = 0;
  Numbers<T> said_, mean_, inverse_, factor_, mean_dy_, mean_product_;
  std::vector<double> running_;  // means, then variances
};

template <class T>
class TrainedActivate final : public TrainedLayer<T> {
 public:
  using Kernel = NetworkKernel<T>;
  TrainedActivate(model::Activation given, TrainedActivation kind) : given_(given), kind_(kind) {}
  bool in_place() const override { return true; }
  bool needs_output() const override { return true; }
  void forward(const Kernel& kernel, const T*, Slice<T>& slice, bool) const override {
    kernel.activate(kind_, static_cast<T>(given_.a), this->value(slice, this->place_in), count(slice));
  }
  void backward(const Kernel& kernel, const T*, Slice<T>& slice, bool) const override {
    kernel.activate_back(kind_, static_cast<T>(given_.a), this->value(slice, this->place_out),
                         this->gradient(slice, this->place_out), count(slice));
  }
  void finish(const T*, std::vector<model::Layer>& done) const override {
    done.push_back(model::layer::Activate{given_});
  }

 private:
  std::size_t count(const Slice<T>& slice) const { return slice.rows * this->in.steps * this->in_stride(); }
  model::Activation given_;
  TrainedActivation kind_;
};

// Dropout (Srivastava et al., 2014): while learning, numbers become 0 by chance, and the others larger.
template <class T>
class TrainedDropout final : public TrainedLayer<T> {
 public:
  using Kernel = NetworkKernel<T>;
  TrainedDropout(double rate, std::uint64_t number) : rate_(rate), number_(number) {}
  bool in_place() const override { return true; }
  void forward(const Kernel& kernel, const T*, Slice<T>& slice, bool learning) const override {
    if (learning) drop(kernel, slice, this->value(slice, this->place_in));
  }
  void backward(const Kernel& kernel, const T*, Slice<T>& slice, bool) const override {
    drop(kernel, slice, this->gradient(slice, this->place_out));
  }
  void finish(const T*, std::vector<model::Layer>&) const override {}

 private:
  void drop(const Kernel& kernel, Slice<T>& slice, T* values) const {
    kernel.drop(values, slice.rows * this->in.steps * this->in_stride(),
                slice.key + number_ * 0x9e3779b97f4a7c15u, static_cast<std::uint32_t>(rate_ * 4294967296.0),
                static_cast<T>(1 / (1 - rate_)));
  }
  double rate_;
  std::uint64_t number_;
};

// What came in, for a layer in place behind one that needs what it gave.
template <class T>
class TrainedCopy final : public TrainedLayer<T> {
 public:
  using Kernel = NetworkKernel<T>;
  void forward(const Kernel&, const T*, Slice<T>& slice, bool) const override {
    std::copy_n(this->value(slice, this->place_in), count(slice), this->value(slice, this->place_out));
  }
  void backward(const Kernel&, const T*, Slice<T>& slice, bool) const override {
    std::copy_n(this->gradient(slice, this->place_out), count(slice), this->gradient(slice, this->place_in));
  }
  void finish(const T*, std::vector<model::Layer>&) const override {}

 private:
  std::size_t count(const Slice<T>& slice) const { return slice.rows * this->in.steps * this->in_stride(); }
};

}  // namespace nidus::learn::internal
