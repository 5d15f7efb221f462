// The text of every kernel of training. Included once by each source that defines
//   TRAIN_NAME     a string
//   TRAIN_VECTOR   how many bytes a vector register has: 16 or 32
//   TRAIN_TARGET   the attribute that lets the compiler use the instructions
// The loops over matrices are written for the registers; the others are plain, for the compiler to widen.

#define TRAIN_INLINE TRAIN_TARGET inline __attribute__((always_inline))

template <class T>
struct Vectors {
  using V __attribute__((vector_size(TRAIN_VECTOR))) = T;
  using Anywhere __attribute__((vector_size(TRAIN_VECTOR), aligned(sizeof(T)), may_alias)) = T;
  static constexpr std::size_t kLanes = TRAIN_VECTOR / sizeof(T), kEach = 64 / TRAIN_VECTOR;
};

// Rows of a tile: with the vectors of a panel as many sums as fit into the registers, beside the factors.
inline constexpr std::size_t kTileRows = TRAIN_VECTOR == 32 ? 6 : 3;
// Terms of a sum at once, so that their panel stays in the nearest cache.
inline constexpr std::size_t kDepthAtOnce = 256, kRowsAtOnce = 128;

// kRows rows of the product with one panel, over the terms first to end.
template <class T, std::size_t kRows>
TRAIN_INLINE void multiply_tile(const Product<T>& p, std::size_t row, std::size_t panel, std::size_t first,
                                std::size_t end) {
  using V = typename Vectors<T>::V;
  using Anywhere = typename Vectors<T>::Anywhere;
  constexpr std::size_t kEach = Vectors<T>::kEach, kLanes = Vectors<T>::kLanes;
  const T* const w = p.panels + panel * p.depth * kPanel<T>;
  const T* x[kRows];
#pragma GCC unroll 8
  for (std::size_t r = 0; r < kRows; ++r) x[r] = p.x + (row + r) * p.x_stride;
  V sum[kRows][kEach];
  const bool begin = first == 0 && p.bias != nullptr;
#pragma GCC unroll 8
  for (std::size_t r = 0; r < kRows; ++r) {
    const T* const from =
        begin ? p.bias + panel * kPanel<T> : p.y + (row + r) * p.y_stride + panel * kPanel<T>;
#pragma GCC unroll 8
    for (std::size_t c = 0; c < kEach; ++c) sum[r][c] = *reinterpret_cast<const Anywhere*>(from + c * kLanes);
  }
  for (std::size_t k = first; k < end; ++k) {
    V factor[kEach];
#pragma GCC unroll 8
    for (std::size_t c = 0; c < kEach; ++c)
      factor[c] = *reinterpret_cast<const Anywhere*>(w + k * kPanel<T> + c * kLanes);
#pragma GCC unroll 8
    for (std::size_t r = 0; r < kRows; ++r) {
      const V value = x[r][k] - V{};  // in all lanes
#pragma GCC unroll 8
      for (std::size_t c = 0; c < kEach; ++c) sum[r][c] += value * factor[c];
    }
  }
#pragma GCC unroll 8
  for (std::size_t r = 0; r < kRows; ++r) {
    T* const to = p.y + (row + r) * p.y_stride + panel * kPanel<T>;
#pragma GCC unroll 8
    for (std::size_t c = 0; c < kEach; ++c) *reinterpret_cast<Anywhere*>(to + c * kLanes) = sum[r][c];
  }
}

template <class T>
TRAIN_TARGET void multiply(const Product<T>& p) {
  const std::size_t panels = rounded_up(p.units, kPanel<T>) / kPanel<T>;
  for (std::size_t first = 0; first < p.depth; first += kDepthAtOnce) {
    const std::size_t end = p.depth - first < kDepthAtOnce ? p.depth : first + kDepthAtOnce;
    for (std::size_t panel = 0; panel < panels; ++panel) {
      std::size_t row = 0;
      for (; row + kTileRows <= p.rows; row += kTileRows)
        multiply_tile<T, kTileRows>(p, row, panel, first, end);
      if (TRAIN_VECTOR == 32 && row + 3 <= p.rows) {
        multiply_tile<T, 3>(p, row, panel, first, end);
        row += 3;
      }
      if (row + 2 <= p.rows) {
        multiply_tile<T, 2>(p, row, panel, first, end);
        row += 2;
      }
      if (row < p.rows) multiply_tile<T, 1>(p, row, panel, first, end);
    }
  }
}

// kTall rows of a panel of the outer product, over the rows first to end.
template <class T, std::size_t kTall>
TRAIN_INLINE void outer_tile(const OuterProduct<T>& p, std::size_t k, std::size_t panel, std::size_t first,
                             std::size_t end) {
  using V = typename Vectors<T>::V;
  using Anywhere = typename Vectors<T>::Anywhere;
  constexpr std::size_t kEach = Vectors<T>::kEach, kLanes = Vectors<T>::kLanes;
  T* const to = p.panels + (panel * p.depth + k) * kPanel<T>;
  const T* const dy = p.dy + panel * kPanel<T>;
  const T* const x = p.x + k;
  V sum[kTall][kEach];
#pragma GCC unroll 8
  for (std::size_t r = 0; r < kTall; ++r) {
#pragma GCC unroll 8
    for (std::size_t c = 0; c < kEach; ++c)
      sum[r][c] = first == 0 ? V{} : *reinterpret_cast<const Anywhere*>(to + r * kPanel<T> + c * kLanes);
  }
  for (std::size_t row = first; row < end; ++row) {
    V factor[kEach];
#pragma GCC unroll 8
    for (std::size_t c = 0; c < kEach; ++c)
      factor[c] = *reinterpret_cast<const Anywhere*>(dy + row * p.dy_stride + c * kLanes);
#pragma GCC unroll 8
    for (std::size_t r = 0; r < kTall; ++r) {
      const V value = x[row * p.x_stride + r] - V{};
#pragma GCC unroll 8
      for (std::size_t c = 0; c < kEach; ++c) sum[r][c] += value * factor[c];
    }
  }
#pragma GCC unroll 8
  for (std::size_t r = 0; r < kTall; ++r) {
#pragma GCC unroll 8
    for (std::size_t c = 0; c < kEach; ++c)
      *reinterpret_cast<Anywhere*>(to + r * kPanel<T> + c * kLanes) = sum[r][c];
  }
}

template <class T>
TRAIN_TARGET void outer(const OuterProduct<T>& p) {
  const std::size_t panels = rounded_up(p.units, kPanel<T>) / kPanel<T>;
  for (std::size_t first = 0; first == 0 || first < p.rows; first += kRowsAtOnce) {
    const std::size_t end = p.rows - first < kRowsAtOnce ? p.rows : first + kRowsAtOnce;
    for (std::size_t panel = 0; panel < panels; ++panel) {
      std::size_t k = 0;
      for (; k + kTileRows <= p.depth; k += kTileRows) outer_tile<T, kTileRows>(p, k, panel, first, end);
      for (; k < p.depth; ++k) outer_tile<T, 1>(p, k, panel, first, end);
    }
  }
}

template <class T>
TRAIN_TARGET void transpose(const T* panels, std::size_t depth, std::size_t units, std::size_t panel,
                            T* transposed) {
  const T* const from = panels + panel * depth * kPanel<T>;
  const std::size_t first = panel * kPanel<T>, some = units - first < kPanel<T> ? units - first : kPanel<T>;
  for (std::size_t k = 0; k < depth; ++k) {
    T* const to = transposed + (k / kPanel<T> * units + first) * kPanel<T> + k % kPanel<T>;
    for (std::size_t i = 0; i < some; ++i) to[i * kPanel<T>] = from[k * kPanel<T> + i];
  }
}

template <class T>
TRAIN_TARGET void adam(const AdamStep<T>& p) {
  constexpr std::size_t kAtOnce = 256;
  T sum[kAtOnce];
  for (std::size_t first = 0; first < p.count; first += kAtOnce) {
    const std::size_t some = p.count - first < kAtOnce ? p.count - first : kAtOnce;
    const T* g = p.gradient + first;
    for (std::size_t i = 0; i < some; ++i) sum[i] = g[i];
    for (std::size_t slice = 1; slice < p.slices; ++slice) {
      g += p.slice_stride;
      for (std::size_t i = 0; i < some; ++i) sum[i] += g[i];
    }
    T* const __restrict w = p.weights + first;
    T* const __restrict m = p.first + first;
    T* const __restrict v = p.second + first;
    for (std::size_t i = 0; i < some; ++i) {
      m[i] = p.beta1 * m[i] + (1 - p.beta1) * sum[i];
      v[i] = p.beta2 * v[i] + (1 - p.beta2) * sum[i] * sum[i];
      w[i] = w[i] * p.keep - p.step * m[i] / (std::sqrt(v[i]) * p.root + p.epsilon);
    }
  }
}

template <class T>
TRAIN_TARGET void sum(Rows<const T> y, std::size_t columns, T* __restrict sums) {
  for (std::size_t i = 0; i < columns; ++i) sums[i] = 0;
  for (std::size_t row = 0; row < y.rows; ++row) {
    const T* const __restrict from = y.data + row * y.stride;
    for (std::size_t i = 0; i < columns; ++i) sums[i] += from[i];
  }
}
template <class T>
TRAIN_TARGET void sum_squares(Rows<const T> y, const T* __restrict mean, std::size_t columns,
                              T* __restrict sums) {
  for (std::size_t i = 0; i < columns; ++i) sums[i] = 0;
  for (std::size_t row = 0; row < y.rows; ++row) {
    const T* const __restrict from = y.data + row * y.stride;
    for (std::size_t i = 0; i < columns; ++i) sums[i] += (from[i] - mean[i]) * (from[i] - mean[i]);
  }
}
template <class T>
TRAIN_TARGET void sum_products(Rows<const T> y, Rows<const T> z, std::size_t columns, T* __restrict sums) {
  for (std::size_t i = 0; i < columns; ++i) sums[i] = 0;
  for (std::size_t row = 0; row < y.rows; ++row) {
    const T* const __restrict a = y.data + row * y.stride;
    const T* const __restrict b = z.data + row * z.stride;
    for (std::size_t i = 0; i < columns; ++i) sums[i] += a[i] * b[i];
  }
}

template <class T>
TRAIN_TARGET void normalise(Rows<T> y, Rows<T> normal, std::size_t columns, const T* __restrict mean,
                            const T* __restrict inverse, const T* __restrict gamma,
                            const T* __restrict beta) {
  for (std::size_t row = 0; row < y.rows; ++row) {
    T* const __restrict at = y.data + row * y.stride;
    T* const __restrict keep = normal.data + row * normal.stride;
    for (std::size_t i = 0; i < columns; ++i) {
      keep[i] = (at[i] - mean[i]) * inverse[i];
      at[i] = keep[i] * gamma[i] + beta[i];
    }
  }
}
template <class T>
TRAIN_TARGET void normalise_back(Rows<T> dy, Rows<const T> normal, std::size_t columns,
                                 const T* __restrict factor, const T* __restrict mean_dy,
                                 const T* __restrict mean_product) {
  for (std::size_t row = 0; row < dy.rows; ++row) {
    T* const __restrict at = dy.data + row * dy.stride;
    const T* const __restrict kept = normal.data + row * normal.stride;
    for (std::size_t i = 0; i < columns; ++i)
      at[i] = factor[i] * (at[i] - mean_dy[i] - kept[i] * mean_product[i]);
  }
}

// e^x = 2^k e^r with |r| <= ln 2 / 2 and e^r by its Taylor series, the next term of which is below 6e-9 of 8
// terms and 5e-18 of 14. Held to what floats can say.
template <class T>
TRAIN_INLINE T exponential(T x) {
  constexpr bool kSingle = sizeof(T) == 4;
  constexpr T kMost = kSingle ? T(87) : T(700);
  x = x < -kMost ? -kMost : x;
  x = x > kMost ? kMost : x;
  constexpr T kMagic = kSingle ? T(12582912.0) : T(6755399441055744.0);  // rounds to a whole number
  const T k = (x * T(1.44269504088896340736) + kMagic) - kMagic;
  const T r = (x - k * T(0.693145751953125)) - k * T(1.42860682030941723212e-6);
  T p = kSingle ? T(1.0 / 5040) : T(1.0 / 6227020800.0);
  if constexpr (!kSingle) {
    p = p * r + T(1.0 / 479001600);
    p = p * r + T(1.0 / 39916800);
    p = p * r + T(1.0 / 3628800);
    p = p * r + T(1.0 / 362880);
    p = p * r + T(1.0 / 40320);
    p = p * r + T(1.0 / 5040);
  }
  p = p * r + T(1.0 / 720);
  p = p * r + T(1.0 / 120);
  p = p * r + T(1.0 / 24);
  p = p * r + T(1.0 / 6);
  p = p * r + T(0.5);
  p = p * r + T(1);
  p = p * r + T(1);
  using Whole = std::conditional_t<kSingle, std::int32_t, std::int64_t>;
  constexpr Whole kBias = kSingle ? 127 : 1023, kBits = kSingle ? 23 : 52;
  // The whole number stands in the lower bits of the sum with the magic one.
  const Whole power = __builtin_bit_cast(Whole, k + kMagic) - __builtin_bit_cast(Whole, kMagic) + kBias;
  return p *
         __builtin_bit_cast(T, static_cast<Whole>(static_cast<std::make_unsigned_t<Whole>>(power) << kBits));
}
template <class T>
TRAIN_INLINE T sigmoid(T x) {
  return 1 / (1 + exponential<T>(-x));
}
template <class T>
TRAIN_INLINE T hyperbolic_tangent(T x) {
  return 1 - 2 / (1 + exponential<T>(2 * x));
}

template <class T>
TRAIN_TARGET void activate(TrainedActivation kind, T slope, T* __restrict y, std::size_t count) {
  switch (kind) {
    case TrainedActivation::relu:
      for (std::size_t i = 0; i < count; ++i) y[i] = y[i] < 0 ? slope * y[i] : y[i];
      return;
    case TrainedActivation::elu:
      for (std::size_t i = 0; i < count; ++i) y[i] = y[i] < 0 ? slope * (exponential<T>(y[i]) - 1) : y[i];
      return;
    case TrainedActivation::tanh:
      for (std::size_t i = 0; i < count; ++i) y[i] = hyperbolic_tangent<T>(y[i]);
      return;
    case TrainedActivation::sigmoid:
      for (std::size_t i = 0; i < count; ++i) y[i] = sigmoid<T>(y[i]);
      return;
  }
}
template <class T>
TRAIN_TARGET void activate_back(TrainedActivation kind, T slope, const T* __restrict y, T* __restrict dy,
                                std::size_t count) {
  switch (kind) {
    case TrainedActivation::relu:
      for (std::size_t i = 0; i < count; ++i) dy[i] = y[i] > 0 ? dy[i] : slope * dy[i];
      return;
    case TrainedActivation::elu:
      for (std::size_t i = 0; i < count; ++i) dy[i] = y[i] < 0 ? dy[i] * (y[i] + slope) : dy[i];
      return;
    case TrainedActivation::tanh:
      for (std::size_t i = 0; i < count; ++i) dy[i] *= 1 - y[i] * y[i];
      return;
    case TrainedActivation::sigmoid:
      for (std::size_t i = 0; i < count; ++i) dy[i] *= y[i] * (1 - y[i]);
      return;
  }
}

// The place is hashed as in MurmurHash3's finaliser, with the key in two places.
template <class T>
TRAIN_TARGET void drop(T* __restrict y, std::size_t count, std::uint64_t key, std::uint32_t limit, T scale) {
  const auto low = static_cast<std::uint32_t>(key), high = static_cast<std::uint32_t>(key >> 32);
  for (std::size_t i = 0; i < count; ++i) {
    std::uint32_t h = (static_cast<std::uint32_t>(i) ^ low) * 0x9e3779b1u;
    h = (h ^ (h >> 16) ^ high) * 0x85ebca6bu;
    h = (h ^ (h >> 13)) * 0xc2b2ae35u;
    h ^= h >> 16;
    y[i] = h < limit ? T(0) : y[i] * scale;
  }
}

template <class T>
TRAIN_TARGET void lstm(const LstmStep<T>& p) {
  const std::size_t u = p.units;
  T* const __restrict i = p.gates;
  T* const __restrict f = p.gates + u;
  T* const __restrict g = p.gates + 2 * u;
  T* const __restrict o = p.gates + 3 * u;
  T* const __restrict c = p.c;
  T* const __restrict tanh_c = p.tanh_c;
  T* const __restrict h = p.h;
  const T* const __restrict before = p.c_before;
  for (std::size_t k = 0; k < u; ++k) i[k] = sigmoid<T>(i[k]);
  for (std::size_t k = 0; k < u; ++k) f[k] = sigmoid<T>(f[k]);
  for (std::size_t k = 0; k < u; ++k) g[k] = hyperbolic_tangent<T>(g[k]);
  for (std::size_t k = 0; k < u; ++k) o[k] = sigmoid<T>(o[k]);
  if (before == nullptr) {
    for (std::size_t k = 0; k < u; ++k) c[k] = i[k] * g[k];
  } else {
    for (std::size_t k = 0; k < u; ++k) c[k] = f[k] * before[k] + i[k] * g[k];
  }
  for (std::size_t k = 0; k < u; ++k) {
    tanh_c[k] = hyperbolic_tangent<T>(c[k]);
    h[k] = o[k] * tanh_c[k];
  }
}
template <class T>
TRAIN_TARGET void lstm_back(const LstmBack<T>& p) {
  const std::size_t u = p.units;
  T* const __restrict i = p.gates;
  T* const __restrict f = p.gates + u;
  T* const __restrict g = p.gates + 2 * u;
  T* const __restrict o = p.gates + 3 * u;
  T* const __restrict dc = p.dc;
  const T* const __restrict tanh_c = p.tanh_c;
  const T* const __restrict dh = p.dh;
  const T* const __restrict before = p.c_before;
  for (std::size_t k = 0; k < u; ++k) {
    const T whole = dc[k] + dh[k] * o[k] * (1 - tanh_c[k] * tanh_c[k]);
    const T di = whole * g[k] * i[k] * (1 - i[k]);
    const T df = before == nullptr ? T(0) : whole * before[k] * f[k] * (1 - f[k]);
    const T dg = whole * i[k] * (1 - g[k] * g[k]);
    o[k] = dh[k] * tanh_c[k] * o[k] * (1 - o[k]);
    dc[k] = whole * f[k];
    i[k] = di;
    f[k] = df;
    g[k] = dg;
  }
}

template <class T>
constexpr NetworkKernel<T> kKernel = {
    TRAIN_NAME,  multiply<T>,      outer<T>,        transpose<T>, adam<T>,
    sum<T>,      sum_squares<T>,   sum_products<T>, normalise<T>, normalise_back<T>,
    activate<T>, activate_back<T>, drop<T>,         lstm<T>,      lstm_back<T>};
