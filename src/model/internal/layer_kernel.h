#pragma once

#include <cstddef>
#include <span>

#include "model/layers.h"

// The loops of neural networks that are worth an instruction set of their own. All kernels are compiled from
// one text, internal/layer_kernel_text.h, and give the same bits: lanes are outputs, never terms of a sum,
// and nothing is fused.
namespace nidus::model::internal {

// A matrix as products want it: panels of so many of its columns, each with its rows one behind the other,
// filled up with zeros to whole panels. A row of a panel is one cache line.
template <class T>
inline constexpr std::size_t kPanel = 64 / sizeof(T);

// Terms of a sum that are added one to the other before their sum is added to the rest. Shorter runs round
// less: of n terms the error grows with 64 + n / 64 in place of n.
inline constexpr std::size_t kRun = 64;

// y = x W + bias, for rows of x and y that lie so many numbers apart.
template <class T>
struct Product {
  const T* x = nullptr;
  std::size_t x_stride = 0, rows = 0;
  const T* panels = nullptr;
  std::size_t depth = 0, units = 0;  // of W, before it was filled up
  const T* bias = nullptr;           // as many as the panels have columns
  T* y = nullptr;
  std::size_t y_stride = 0;
  bool add = false;  // the product is added to what stands in y
  // Of the panels. Who multiplies by the same matrix again and again takes turns: what the last product read
  // last is then still in the nearest cache. The numbers are the same.
  bool last_first = false;
};

template <class T>
struct LayerKernelOf {
  void (*multiply)(const Product<T>& product);
  // In place; any activation but softmax.
  void (*activate)(const Activation& function, T* values, std::size_t count);
  // In place, over all values.
  void (*softmax)(T* values, std::size_t count);
};

struct LayerKernel {
  const char* name;
  LayerKernelOf<float> single;
  LayerKernelOf<double> wide;

  template <class T>
  const LayerKernelOf<T>& of() const {
    if constexpr (sizeof(T) == sizeof(float)) {
      return single;
    } else {
      return wide;
    }
  }
};

extern const LayerKernel kBaselineLayerKernel;
// Null on machines and compilers without it.
const LayerKernel* avx2_layer_kernel();

// Every kernel this machine runs, the best last.
std::span<const LayerKernel* const> layer_kernels();

}  // namespace nidus::model::internal
