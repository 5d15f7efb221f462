#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "model/internal/layer_kernel.h"
#include "model/layers.h"

// How a network computes: one step for each layer, with the weights laid out for the kernels.
namespace nidus::model::internal {

// Memory on a cache line, which panels want.
template <class T>
class Aligned {
 public:
  explicit Aligned(std::size_t size)
      : values_(static_cast<T*>(::operator new[](size * sizeof(T), std::align_val_t(64)))) {
    for (std::size_t i = 0; i < size; ++i) values_.get()[i] = T{};
  }
  T* data() { return values_.get(); }
  const T* data() const { return values_.get(); }

 private:
  struct Free {
    void operator()(T* values) const { ::operator delete[](values, std::align_val_t(64)); }
  };
  std::unique_ptr<T, Free> values_;
};

// What some layer does to `rows` rows of its shape. Immutable.
template <class T>
class Step {
 public:
  virtual ~Step() = default;
  // `in` and `out` are the same where in_place(); `room` has room(rows) numbers to write into.
  virtual void run(const LayerKernelOf<T>& kernel, const T* in, std::size_t rows, T* out, T* room) const = 0;
  virtual bool in_place() const { return false; }
  virtual std::size_t room(std::size_t rows) const {
    (void)rows;
    return 0;
  }
};

// The layer fits the shape and its sizes fit its weights: network.cc has seen to that.
template <class T>
std::unique_ptr<const Step<T>> make_step(const Layer& layer, Shape in, Shape out);

extern template std::unique_ptr<const Step<float>> make_step(const Layer&, Shape, Shape);
extern template std::unique_ptr<const Step<double>> make_step(const Layer&, Shape, Shape);

// Where a window of `size` taps, `dilation` apart and `stride` further each time, ends up: the steps that
// come out of a convolution or pooling, 0 if not even one window fits.
constexpr std::size_t windows(std::size_t steps, std::size_t before, std::size_t after, std::size_t size,
                              std::size_t dilation, std::size_t stride) {
  const std::size_t all = steps + before + after, reach = (size - 1) * dilation + 1;
  return all < reach ? 0 : (all - reach) / stride + 1;
}

}  // namespace nidus::model::internal
