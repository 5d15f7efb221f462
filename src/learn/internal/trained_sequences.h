#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "learn/internal/trained_layers.h"

// The layers that mix the steps of a row.
namespace nidus::learn::internal {

// A window of steps becomes one: its largest number by channel, or its mean. Global pooling is one window.
template <class T>
class TrainedPool final : public TrainedLayer<T> {
 public:
  using Kernel = NetworkKernel<T>;
  TrainedPool(model::layer::Pool given, model::Layer as) : given_(given), as_(std::move(as)) {}
  bool needs_output() const override { return is_max(); }
  void forward(const Kernel&, const T*, Slice<T>& slice, bool) const override {
    const T* const x = this->value(slice, this->place_in);
    T* const y = this->value(slice, this->place_out);
    for (std::size_t window = 0; window < this->out.steps; ++window) {
      const auto [first, last] = reach(window);
      for (std::size_t row = 0; row < slice.rows; ++row) {
        T* const to = y + (window * slice.rows + row) * this->out_stride();
        std::fill_n(to, this->in.channels, is_max() ? -std::numeric_limits<T>::infinity() : T{});
        for (std::size_t step = first; step < last; ++step) {
          const T* const from = x + (step * slice.rows + row) * this->in_stride();
          for (std::size_t i = 0; i < this->in.channels; ++i)
            to[i] = !is_max() ? to[i] + from[i] : from[i] > to[i] ? from[i] : to[i];
        }
        if (is_max()) continue;
        for (std::size_t i = 0; i < this->in.channels; ++i) to[i] /= divisor(first, last);
      }
    }
  }
  // The gradient of a largest number goes to the first step that has it.
  void backward(const Kernel&, const T*, Slice<T>& slice, bool wants_input) const override {
    if (!wants_input) return;
    const T* const x = this->value(slice, this->place_in);
    const T* const y = this->value(slice, this->place_out);
    const T* const dy = this->gradient(slice, this->place_out);
    T* const dx = this->gradient(slice, this->place_in);
    std::fill_n(dx, slice.rows * this->in.steps * this->in_stride(), T{});
    for (std::size_t window = 0; window < this->out.steps; ++window) {
      const auto [first, last] = reach(window);
      for (std::size_t row = 0; row < slice.rows; ++row) {
        const std::size_t at = (window * slice.rows + row) * this->out_stride();
        for (std::size_t i = 0; i < this->in.channels; ++i) {
          for (std::size_t step = first; step < last; ++step) {
            const std::size_t source = (step * slice.rows + row) * this->in_stride() + i;
            if (!is_max()) {
              dx[source] += dy[at + i] / divisor(first, last);
            } else if (x[source] == y[at + i]) {
              dx[source] += dy[at + i];
              break;
            }
          }
        }
      }
    }
  }
  void finish(const T*, std::vector<model::Layer>& done) const override { done.push_back(as_); }

 private:
  bool is_max() const { return given_.kind == model::layer::Pool::Kind::max; }
  std::pair<std::size_t, std::size_t> reach(std::size_t window) const {
    const std::size_t begin = window * given_.stride, end = begin + given_.size;
    return {std::max(begin, given_.pad_before) - given_.pad_before,
            std::min(std::max(end, given_.pad_before) - given_.pad_before, this->in.steps)};
  }
  T divisor(std::size_t first, std::size_t last) const {
    return static_cast<T>(given_.average_counts_padding ? given_.size
                                                        : std::max<std::size_t>(1, last - first));
  }
  model::layer::Pool given_;
  model::Layer as_;
};

// All steps side by side as one.
template <class T>
class TrainedFlatten final : public TrainedLayer<T> {
 public:
  using Kernel = NetworkKernel<T>;
  void forward(const Kernel&, const T*, Slice<T>& slice, bool) const override {
    const T* from = this->value(slice, this->place_in);
    for (std::size_t step = 0; step < this->in.steps; ++step) {
      for (std::size_t row = 0; row < slice.rows; ++row, from += this->in_stride())
        std::copy_n(
            from, this->in.channels,
            this->value(slice, this->place_out) + row * this->out_stride() + step * this->in.channels);
    }
  }
  void backward(const Kernel&, const T*, Slice<T>& slice, bool wants_input) const override {
    if (!wants_input) return;
    T* to = this->gradient(slice, this->place_in);
    for (std::size_t step = 0; step < this->in.steps; ++step) {
      for (std::size_t row = 0; row < slice.rows; ++row, to += this->in_stride())
        std::copy_n(
            this->gradient(slice, this->place_out) + row * this->out_stride() + step * this->in.channels,
            this->in.channels, to);
    }
  }
  void finish(const T*, std::vector<model::Layer>& done) const override {
    done.push_back(model::layer::Reshape{this->out});
  }
};

// An LSTM from the first step to the last, with tanh and the sigmoid. The products with what comes in are one
// for all steps; only those with what it remembers go step by step.
template <class T>
class TrainedLstm final : public TrainedLayer<T> {
 public:
  using Kernel = NetworkKernel<T>;
  TrainedLstm(model::layer::Cell given, bool sequences) : given_(std::move(given)), sequences_(sequences) {
    input_.depth = given_.inputs;
    recurrent_.depth = given_.units;
    input_.units = recurrent_.units = 4 * given_.units;
  }
  // Gates, c, tanh c and h of all steps; dh and dc of one.
  std::vector<std::size_t> rooms(std::size_t rows) const override {
    const std::size_t all = rows * this->in.steps;
    return {all * gate_stride(), all * stride(),  all * stride(),
            all * stride(),      rows * stride(), rows * stride()};
  }
  std::size_t weights() const override {
    return input_.size() + recurrent_.size() + rounded_up(input_.units, kPanel<T>);
  }
  void place(std::size_t at, bool needs_input_gradient) override {
    input_.at = at;
    recurrent_.at = at + input_.size();
    if (needs_input_gradient) input_.make_transposed();
    recurrent_.make_transposed();
  }
  void initialise(T* all) const override {
    input_.load(given_.kernel, input_.units, all);
    recurrent_.load(given_.recurrent, recurrent_.units, all);
    for (std::size_t i = 0; i < given_.bias.size(); ++i) all[bias() + i] = static_cast<T>(given_.bias[i]);
  }
  std::vector<TrainedMatrix<T>*> matrices() override { return {&input_, &recurrent_}; }
  void forward(const Kernel& kernel, const T* all, Slice<T>& slice, bool) const override {
    const Rooms at = rooms_of(slice);
    const std::size_t n = slice.rows;
    kernel.multiply({this->value(slice, this->place_in), this->in_stride(), n * this->in.steps,
                     all + input_.at, input_.depth, input_.units, all + bias(), at.gates, gate_stride()});
    for (std::size_t step = 0; step < this->in.steps; ++step) {
      T* const gates = at.gates + step * n * gate_stride();
      const std::size_t first = step * n * stride(), before = first - n * stride();
      if (step > 0) {
        kernel.multiply({at.h + before, stride(), n, all + recurrent_.at, recurrent_.depth, recurrent_.units,
                         nullptr, gates, gate_stride()});
      }
      for (std::size_t row = 0; row < n; ++row) {
        const std::size_t place = first + row * stride();
        kernel.lstm({gates + row * gate_stride(), step > 0 ? at.c + place - n * stride() : nullptr,
                     at.c + place, at.tanh_c + place, at.h + place, given_.units});
      }
    }
    const std::size_t said = sequences_ ? n * this->in.steps : n;
    std::copy_n(at.h + (n * this->in.steps - said) * stride(), said * stride(),
                this->value(slice, this->place_out));
  }
  void backward(const Kernel& kernel, const T*, Slice<T>& slice, bool wants_input) const override {
    const Rooms at = rooms_of(slice);
    const std::size_t n = slice.rows;
    const T* const dy = this->gradient(slice, this->place_out);
    std::fill_n(at.dc, n * stride(), T{});
    for (std::size_t step = this->in.steps; step-- > 0;) {
      T* const gates = at.gates + step * n * gate_stride();
      const bool last = step + 1 == this->in.steps;
      if (last) {
        std::copy_n(dy + (sequences_ ? step * n * stride() : 0), n * stride(), at.dh);
      } else {
        if (sequences_) std::copy_n(dy + step * n * stride(), n * stride(), at.dh);
        kernel.multiply({gates + n * gate_stride(), gate_stride(), n, recurrent_.transposed.data(),
                         recurrent_.units, recurrent_.depth,
                         sequences_ ? nullptr : TrainedDense<T>::zeros_of(recurrent_.depth), at.dh,
                         stride()});
      }
      for (std::size_t row = 0; row < n; ++row) {
        const std::size_t place = (step * n + row) * stride();
        kernel.lstm_back({gates + row * gate_stride(), step > 0 ? at.c + place - n * stride() : nullptr,
                          at.tanh_c + place, at.dh + row * stride(), at.dc + row * stride(), given_.units});
      }
    }
    const std::size_t rows = n * this->in.steps;
    kernel.outer({this->value(slice, this->place_in), this->in_stride(), rows, at.gates, gate_stride(),
                  input_.depth, input_.units, slice.weight_gradients + input_.at});
    kernel.outer({at.h, stride(), rows - n, at.gates + n * gate_stride(), gate_stride(), recurrent_.depth,
                  recurrent_.units, slice.weight_gradients + recurrent_.at});
    kernel.sum({at.gates, gate_stride(), rows}, rounded_up(input_.units, kPanel<T>),
               slice.weight_gradients + bias());
    if (wants_input) {
      kernel.multiply({at.gates, gate_stride(), rows, input_.transposed.data(), input_.units, input_.depth,
                       TrainedDense<T>::zeros_of(input_.depth), this->gradient(slice, this->place_in),
                       this->in_stride()});
    }
  }
  void finish(const T* all, std::vector<model::Layer>& done) const override {
    model::layer::Cell cell = given_;
    cell.kernel = input_.store(all);
    cell.recurrent = recurrent_.store(all);
    cell.bias.clear();
    for (std::size_t i = 0; i < input_.units; ++i) cell.bias.push_back(static_cast<double>(all[bias() + i]));
    done.push_back(model::layer::Recurrence{std::move(cell), {}, sequences_});
  }

 private:
  struct Rooms {
    T *gates, *c, *tanh_c, *h, *dh, *dc;
  };
  Rooms rooms_of(Slice<T>& slice) const {
    const auto room = [&](std::size_t i) { return slice.room[this->first_room + i].data(); };
    return {room(0), room(1), room(2), room(3), room(4), room(5)};
  }
  std::size_t bias() const { return recurrent_.at + recurrent_.size(); }
  std::size_t stride() const { return stride_of<T>(given_.units); }
  std::size_t gate_stride() const { return stride_of<T>(4 * given_.units); }
  model::layer::Cell given_;
  bool sequences_;
  TrainedMatrix<T> input_, recurrent_;
};

}  // namespace nidus::learn::internal
