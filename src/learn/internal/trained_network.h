#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/parallel.h"
#include "base/random.h"
#include "learn/internal/trained_layers.h"

namespace nidus::learn::internal {

// Of Adam, for one step.
struct AdamSettings {
  double learning_rate = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
};

// A network while it learns: its layers, weights and slices. Once made it allocates nothing.
template <class T>
class TrainedNetwork {
 public:
  static constexpr std::size_t kSlices = 4;
  using Layers = std::vector<std::unique_ptr<TrainedLayer<T>>>;
  // Called for each slice by some thread: fills values[0] of its rows, which begin at `first` of the batch.
  using Fill = std::function<void(Slice<T>& slice, std::size_t first)>;
  // Reads values.back(), sets gradients.back() unless `learning` is false, and returns the sum of the losses.
  using Loss = std::function<double(Slice<T>& slice, std::size_t first, bool learning)>;

  // Shapes of the layers are set; the rest is laid out here.
  TrainedNetwork(Layers layers, std::size_t rows_most, const NetworkKernel<T>& kernel)
      : layers_(std::move(layers)), kernel_(kernel), loss_(kSlices) {
    const std::size_t slice_rows = (rows_most + kSlices - 1) / kSlices;
    model::Shape shape = layers_.front()->in;
    std::vector<std::size_t> sizes = {shape.steps * stride_of<T>(shape.channels)}, rooms;
    std::size_t at = 0;
    stages_.push_back(0);
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      TrainedLayer<T>& layer = *layers_[i];
      layer.place_in = layer.place_out = sizes.size() - 1;
      if (!layer.in_place()) {
        sizes.push_back(layer.out.steps * stride_of<T>(layer.out.channels));
        layer.place_out = sizes.size() - 1;
      }
      layer.first_room = rooms.size();
      for (const auto numbers : layer.rooms(slice_rows)) rooms.push_back(numbers);
      wants_input_.push_back(at > 0);
      layer.place(at, at > 0);
      if (layer.looks_at_all()) stages_.push_back(i);
      for (auto* const matrix : layer.matrices()) plan(at, matrix);
      at += layer.weights();
      plan(at, nullptr);
    }
    stages_.push_back(layers_.size());
    weights_ = Numbers<T>(at);
    first_ = Numbers<T>(at);
    second_ = Numbers<T>(at);
    // Slices a few cache lines further than a power of two.
    gradient_stride_ = at + 5 * kPanel<T>;
    gradients_ = Numbers<T>(gradient_stride_ * kSlices);
    for (const auto& layer : layers_) layer->initialise(weights_.data());
    for (std::size_t i = 0; i < kSlices; ++i) {
      Slice<T>& slice = slices_[i];
      slice.number = i;
      for (const auto size : sizes) {
        slice.values.emplace_back(size * slice_rows);
        slice.gradients.emplace_back(size * slice_rows);
      }
      for (const auto size : rooms) slice.room.emplace_back(size);
      slice.weight_gradients = gradients_.data() + i * gradient_stride_;
    }
    transpose_all();
  }

  std::size_t input_stride() const { return stride_of<T>(layers_.front()->in.channels); }
  std::size_t output_stride() const { return stride_of<T>(layers_.back()->out.channels); }
  // How many rows a slice has room for, and weights of all layers.
  std::span<T> weights() { return weights_.span(); }
  std::span<T> first_moments() { return first_.span(); }
  std::span<T> second_moments() { return second_.span(); }
  std::vector<std::vector<double>*> states() {
    std::vector<std::vector<double>*> out;
    for (const auto& layer : layers_) {
      if (auto* const state = layer->state()) out.push_back(state);
    }
    return out;
  }
  // To be called when weights() were written to.
  void transpose_all() {
    for (const Piece& piece : pieces_) {
      if (piece.matrix != nullptr) transpose(piece);
    }
  }

  // The gradients of one batch; the sum of the losses of its rows.
  double gradients(Workers& workers, std::size_t rows, std::uint64_t key, const Fill& fill,
                   const Loss& loss) {
    divide(rows, key);
    fill_ = &fill;
    say_ = &loss;
    const std::size_t last = stages_.size() - 2;
    for (std::size_t stage = 0; stage <= last; ++stage) {
      if (stage > 0) layers_[stages_[stage]]->merge(std::span(rows_).first(active_));
      workers.run(active_, [this, stage](std::size_t i) { go_forward(slices_[i], stage); });
    }
    for (std::size_t stage = last; stage-- > 0;) {
      layers_[stages_[stage + 1]]->merge_back(weights_.data(), std::span(rows_).first(active_),
                                              gradients_.data());
      workers.run(active_, [this, stage](std::size_t i) { go_backward(slices_[i], stage); });
    }
    double sum = 0;
    for (std::size_t i = 0; i < active_; ++i) sum += loss_[i];
    return sum;
  }

  // Moves the weights by the gradients; `step` counts from 1.
  void move(Workers& workers, const AdamSettings& settings, std::uint64_t step) {
    adam_.beta1 = static_cast<T>(settings.beta1);
    adam_.beta2 = static_cast<T>(settings.beta2);
    const auto t = static_cast<double>(step);
    adam_.step = static_cast<T>(settings.learning_rate / (1 - std::pow(settings.beta1, t)));
    adam_.root = static_cast<T>(1 / std::sqrt(1 - std::pow(settings.beta2, t)));
    adam_.epsilon = static_cast<T>(settings.epsilon);
    adam_.slices = active_;
    adam_.slice_stride = gradient_stride_;
    keep_ = static_cast<T>(1 - settings.learning_rate * settings.weight_decay);
    workers.run(tasks_.size(), [this](std::size_t i) {
      for (std::size_t piece = i == 0 ? 0 : tasks_[i - 1]; piece < tasks_[i]; ++piece) move(pieces_[piece]);
    });
  }

  // From now on, until the next gradients(), as the fitted network will be.
  void freeze() {
    for (const auto& layer : layers_) layer->freeze();
  }
  // The sum of the losses of rows that are not learnt from; after freeze().
  double losses(Workers& workers, std::size_t rows, std::uint64_t key, const Fill& fill, const Loss& loss) {
    divide(rows, key);
    fill_ = &fill;
    say_ = &loss;
    workers.run(active_, [this](std::size_t i) {
      Slice<T>& slice = slices_[i];
      (*fill_)(slice, begins_[i]);
      for (const auto& layer : layers_) layer->forward(kernel_, weights_.data(), slice, false);
      loss_[i] = (*say_)(slice, begins_[i], false);
    });
    double sum = 0;
    for (std::size_t i = 0; i < active_; ++i) sum += loss_[i];
    return sum;
  }

  // The gradient of each weight as move() will add it up; for tests.
  std::vector<T> added_gradients() const {
    std::vector<T> out(weights_.size());
    for (std::size_t slice = 0; slice < active_; ++slice) {
      for (std::size_t i = 0; i < out.size(); ++i) out[i] += gradients_.data()[slice * gradient_stride_ + i];
    }
    return out;
  }

  std::vector<model::Layer> finish() const {
    std::vector<model::Layer> out;
    for (const auto& layer : layers_) layer->finish(weights_.data(), out);
    return out;
  }

 private:
  // What Adam does at once: a panel of a matrix, or numbers of none.
  struct Piece {
    std::size_t at = 0, count = 0;
    TrainedMatrix<T>* matrix = nullptr;
    std::size_t panel = 0;
  };

  // Adds the pieces of a matrix, or what lies between the last piece and `end`. Pieces that stand beside each
  // other are done by one thread until they are worth waking it for.
  void plan(std::size_t end, TrainedMatrix<T>* matrix) {
    if (matrix != nullptr) {
      const std::size_t each = matrix->depth * kPanel<T>;
      for (std::size_t panel = 0; panel < matrix->panels(); ++panel)
        add({matrix->at + panel * each, each, matrix, panel});
    } else if (planned_ < end) {
      add({planned_, end - planned_, nullptr, 0});
    }
  }
  void add(const Piece& piece) {
    constexpr std::size_t kTask = 16384;
    if (tasks_.empty() || task_ >= kTask) {
      tasks_.push_back(pieces_.size());
      task_ = 0;
    }
    pieces_.push_back(piece);
    tasks_.back() = pieces_.size();
    task_ += piece.count;
    planned_ = piece.at + piece.count;
  }

  void move(const Piece& piece) {
    AdamStep<T> adam = adam_;
    adam.weights = weights_.data() + piece.at;
    adam.first = first_.data() + piece.at;
    adam.second = second_.data() + piece.at;
    adam.gradient = gradients_.data() + piece.at;
    adam.count = piece.count;
    if (piece.matrix != nullptr) adam.keep = keep_;
    kernel_.adam(adam);
    if (piece.matrix != nullptr) transpose(piece);
  }
  void transpose(const Piece& piece) {
    auto& transposed = piece.matrix->transposed;
    if (transposed.size() == 0) return;
    kernel_.transpose(weights_.data() + piece.matrix->at, piece.matrix->depth, piece.matrix->units,
                      piece.panel, transposed.data());
  }

  void divide(std::size_t rows, std::uint64_t key) {
    active_ = std::min(kSlices, rows);
    for (std::size_t i = 0; i < active_; ++i) {
      begins_[i] = rows * i / active_;
      rows_[i] = rows * (i + 1) / active_ - begins_[i];
      slices_[i].rows = rows_[i];
      slices_[i].key = Random::mix(key + i + 1);
    }
  }

  void go_forward(Slice<T>& slice, std::size_t stage) {
    if (stage == 0) (*fill_)(slice, begins_[slice.number]);
    for (std::size_t i = stages_[stage]; i < stages_[stage + 1]; ++i)
      layers_[i]->forward(kernel_, weights_.data(), slice, true);
    if (stage + 2 < stages_.size()) return layers_[stages_[stage + 1]]->collect(kernel_, slice);
    loss_[slice.number] = (*say_)(slice, begins_[slice.number], true);
    go_back(slice, stage, layers_.size());
  }
  void go_backward(Slice<T>& slice, std::size_t stage) { go_back(slice, stage, stages_[stage + 1] + 1); }
  // The layers of a stage up to `end`; what the first of them must know of all rows is only said.
  void go_back(Slice<T>& slice, std::size_t stage, std::size_t end) {
    const std::size_t begin = stages_[stage] + (stage > 0 ? 1 : 0);
    for (std::size_t i = end; i-- > begin;)
      layers_[i]->backward(kernel_, weights_.data(), slice, wants_input_[i]);
    if (stage > 0) layers_[stages_[stage]]->collect_back(kernel_, slice);
  }

  Layers layers_;
  const NetworkKernel<T>& kernel_;
  std::vector<std::size_t>
      stages_;  // where each begins; all but the first with a layer that looks at all rows
  std::vector<std::uint8_t> wants_input_;
  Numbers<T> weights_, first_, second_, gradients_;
  std::size_t gradient_stride_ = 0;
  std::vector<Piece> pieces_;
  std::vector<std::size_t> tasks_;  // where each ends
  std::size_t task_ = 0, planned_ = 0;
  std::array<Slice<T>, kSlices> slices_;
  std::array<std::size_t, kSlices> rows_{}, begins_{};
  std::size_t active_ = 0;
  std::vector<double> loss_;
  const Fill* fill_ = nullptr;
  const Loss* say_ = nullptr;
  AdamStep<T> adam_;
  T keep_ = 1;
};

}  // namespace nidus::learn::internal
