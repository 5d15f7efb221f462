#pragma once

#include <cstddef>
#include <cstdint>

// The loops of training networks that are worth an instruction set of their own: one text,
// internal/network_kernel_text.h, compiled for each. Unlike scoring, training fuses products into sums where
// the machine can, so weights differ by rounding between kinds of processor, as those of every library do.
namespace nidus::learn::internal {

// Matrices of weights lie in panels of so many of their columns, each with its rows one behind the other,
// filled up with zeros. A row of a panel is one cache line.
template <class T>
inline constexpr std::size_t kPanel = 64 / sizeof(T);

constexpr std::size_t rounded_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

// How far rows of `columns` numbers lie apart: whole cache lines, and an odd number of them, since columns
// that lie a power of two apart would all want the same place in the cache.
template <class T>
constexpr std::size_t stride_of(std::size_t columns) {
  const std::size_t lines = rounded_up(columns, kPanel<T>) / kPanel<T>;
  return (lines > 2 && lines % 2 == 0 ? lines + 1 : lines) * kPanel<T>;
}

// y = x W + bias, or y += x W where there is no bias. W is depth × units; whole panels of y are written.
template <class T>
struct Product {
  const T* x = nullptr;
  std::size_t x_stride = 0, rows = 0;
  const T* panels = nullptr;
  std::size_t depth = 0, units = 0;
  const T* bias = nullptr;  // filled up to whole panels; null: y is added to
  T* y = nullptr;
  std::size_t y_stride = 0;
};

// The panels of x' dy, depth × units, are set to the sum over the rows: the gradient of W.
template <class T>
struct OuterProduct {
  const T* x = nullptr;
  std::size_t x_stride = 0, rows = 0;
  const T* dy = nullptr;
  std::size_t dy_stride = 0;
  std::size_t depth = 0, units = 0;
  T* panels = nullptr;
};

// Adam (Kingma and Ba, 2015) as PyTorch computes it, with the decay of AdamW (Loshchilov and Hutter, 2019).
// The gradient is the sum of those of `slices` slices, which lie `slice_stride` apart.
template <class T>
struct AdamStep {
  T *weights = nullptr, *first = nullptr, *second = nullptr;  // the moments
  const T* gradient = nullptr;
  std::size_t slices = 1, slice_stride = 0, count = 0;
  T beta1 = 0, beta2 = 0;
  T step = 0;     // learning rate / (1 - beta1^t)
  T root = 0;     // 1 / sqrt(1 - beta2^t)
  T epsilon = 0;  // added to the root of the second moment
  T keep = 1;     // what decay leaves of a weight
};

// Rows of numbers, `stride` apart.
template <class T>
struct Rows {
  T* data = nullptr;
  std::size_t stride = 0, rows = 0;
};

enum class TrainedActivation : std::uint8_t { relu, elu, tanh, sigmoid };

// One step of an LSTM for one row; gates i, f, g, o lie `units` apart, before and behind their activations.
template <class T>
struct LstmStep {
  T* gates = nullptr;
  const T* c_before = nullptr;  // null: 0
  T *c = nullptr, *tanh_c = nullptr, *h = nullptr;
  std::size_t units = 0;
};
// The way back: dh and dc are the gradients of what the step gave; dc becomes that of c_before, and the gates
// that of what went into them.
template <class T>
struct LstmBack {
  T* gates = nullptr;
  const T *c_before = nullptr, *tanh_c = nullptr, *dh = nullptr;
  T* dc = nullptr;
  std::size_t units = 0;
};

template <class T>
struct NetworkKernel {
  const char* name;
  void (*multiply)(const Product<T>&);
  void (*outer)(const OuterProduct<T>&);
  // Panel `panel` of W, depth × units, into the panels of its transpose.
  void (*transpose)(const T* panels, std::size_t depth, std::size_t units, std::size_t panel, T* transposed);
  void (*adam)(const AdamStep<T>&);
  // Sums over the rows by column, set: of y; of the squared distances from `mean`; of the products y z.
  void (*sum)(Rows<const T> y, std::size_t columns, T* sums);
  void (*sum_squares)(Rows<const T> y, const T* mean, std::size_t columns, T* sums);
  void (*sum_products)(Rows<const T> y, Rows<const T> z, std::size_t columns, T* sums);
  // Batch normalisation: normal = (y - mean) inverse; y = normal gamma + beta. And the way back:
  // dy = factor (dy - mean_dy - normal mean_product).
  void (*normalise)(Rows<T> y, Rows<T> normal, std::size_t columns, const T* mean, const T* inverse,
                    const T* gamma, const T* beta);
  void (*normalise_back)(Rows<T> dy, Rows<const T> normal, std::size_t columns, const T* factor,
                         const T* mean_dy, const T* mean_product);
  // In place; `slope` is that of relu below 0 or the alpha of elu. The way back needs what came out.
  void (*activate)(TrainedActivation kind, T slope, T* y, std::size_t count);
  void (*activate_back)(TrainedActivation kind, T slope, const T* y, T* dy, std::size_t count);
  // Numbers whose place draws, under the key, less than `limit` of 2^32 become 0, the others `scale` times.
  void (*drop)(T* y, std::size_t count, std::uint64_t key, std::uint32_t limit, T scale);
  void (*lstm)(const LstmStep<T>&);
  void (*lstm_back)(const LstmBack<T>&);
};

// The best this machine runs.
const NetworkKernel<float>& network_kernel();

extern const NetworkKernel<float> kBaselineNetworkKernel;
// Null on machines and compilers without it.
const NetworkKernel<float>* avx2_network_kernel();

}  // namespace nidus::learn::internal
