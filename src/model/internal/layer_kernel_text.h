// The text of every kernel. Included once by each source that defines
//   LAYER_NAME     a string
//   LAYER_VECTOR   how many bytes a vector register has: 16 or 32
//   LAYER_WIDEN    makes half a vector of floats one of doubles
//   LAYER_TARGET   the attribute that lets the compiler use the instructions
// and that is compiled with -ffp-contract=off.

// What is called from within must be part of its caller: vectors this wide have no other way in or out.
#define LAYER_INLINE LAYER_TARGET inline __attribute__((always_inline))

template <class T>
struct Vectors {
  using V __attribute__((vector_size(LAYER_VECTOR))) = T;
  using Anywhere __attribute__((vector_size(LAYER_VECTOR), aligned(sizeof(T)), may_alias)) = T;
};

// Rows × panels at once: as many sums as the registers hold (16 of them on x86), beside the factors.
inline constexpr std::size_t kTileRows = LAYER_VECTOR == 32 ? 6 : 3;
inline constexpr std::size_t kRowPanels = LAYER_VECTOR == 32 ? 4 : 2;

// The sums of one run of terms.
template <class T, std::size_t kRows, std::size_t kPanels, class V, std::size_t kAll>
LAYER_INLINE void sum_run(const T* const (&x)[kRows], const T* const (&w)[kPanels], std::size_t first,
                          std::size_t end, V (&sum)[kRows][kAll]) {
  using Anywhere = typename Vectors<T>::Anywhere;
  constexpr std::size_t kLanes = sizeof(V) / sizeof(T), kShare = kAll / kPanels;
#pragma GCC unroll 8
  for (std::size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (std::size_t c = 0; c < kAll; ++c) sum[r][c] = V{};
  }
  for (std::size_t k = first; k < end; ++k) {
    V factor[kAll];
#pragma GCC unroll 16
    for (std::size_t c = 0; c < kAll; ++c)
      factor[c] = *reinterpret_cast<const Anywhere*>(w[c / kShare] + k * kPanel<T> + (c % kShare) * kLanes);
#pragma GCC unroll 8
    for (std::size_t r = 0; r < kRows; ++r) {
      const V value = x[r][k] - V{};  // in all lanes
#pragma GCC unroll 16
      for (std::size_t c = 0; c < kAll; ++c) sum[r][c] += value * factor[c];
    }
  }
}

template <class T, std::size_t kRows, std::size_t kPanels>
LAYER_INLINE void multiply_tile(const Product<T>& p, std::size_t row, std::size_t panel) {
  using V = typename Vectors<T>::V;
  using Anywhere = typename Vectors<T>::Anywhere;
  constexpr std::size_t kLanes = sizeof(V) / sizeof(T), kAll = kPanels * kPanel<T> / kLanes;
  const T* x[kRows];
#pragma GCC unroll 8
  for (std::size_t r = 0; r < kRows; ++r) x[r] = p.x + (row + r) * p.x_stride;
  const T* w[kPanels];
#pragma GCC unroll 8
  for (std::size_t i = 0; i < kPanels; ++i) w[i] = p.panels + (panel + i) * p.depth * kPanel<T>;
  V total[kRows][kAll];
  sum_run<T, kRows, kPanels, V, kAll>(x, w, 0, p.depth < kRun ? p.depth : kRun, total);
  for (std::size_t first = kRun; first < p.depth; first += kRun) {
    V sum[kRows][kAll];
    sum_run<T, kRows, kPanels, V, kAll>(x, w, first, p.depth - first < kRun ? p.depth : first + kRun, sum);
#pragma GCC unroll 8
    for (std::size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
      for (std::size_t c = 0; c < kAll; ++c) total[r][c] += sum[r][c];
    }
  }
  const std::size_t at = panel * kPanel<T>;
  const T* const bias = p.bias + at;
#pragma GCC unroll 8
  for (std::size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (std::size_t c = 0; c < kAll; ++c)
      total[r][c] += *reinterpret_cast<const Anywhere*>(bias + c * kLanes);
  }
  if (at + kPanels * kPanel<T> <= p.units) {
#pragma GCC unroll 8
    for (std::size_t r = 0; r < kRows; ++r) {
      T* const y = p.y + (row + r) * p.y_stride + at;
#pragma GCC unroll 16
      for (std::size_t c = 0; c < kAll; ++c) {
        if (p.add) total[r][c] += *reinterpret_cast<const Anywhere*>(y + c * kLanes);
        *reinterpret_cast<Anywhere*>(y + c * kLanes) = total[r][c];
      }
    }
    return;
  }
  // The last panel reaches beyond the columns that there are.
  T spare[kRows][kPanels * kPanel<T>];
  std::memcpy(spare, total, sizeof spare);
  for (std::size_t r = 0; r < kRows; ++r) {
    T* const y = p.y + (row + r) * p.y_stride + at;
    for (std::size_t i = 0; at + i < p.units; ++i) y[i] = p.add ? spare[r][i] + y[i] : spare[r][i];
  }
}

template <class T>
LAYER_TARGET void multiply(const Product<T>& p) {
  const std::size_t panels = (p.units + kPanel<T> - 1) / kPanel<T>;
  if (p.rows == 1) {
    for (std::size_t done = 0; done < panels;) {
      const std::size_t some = panels - done < kRowPanels ? 1 : kRowPanels;
      const std::size_t panel = p.last_first ? panels - done - some : done;
      if (some == kRowPanels) {
        multiply_tile<T, 1, kRowPanels>(p, 0, panel);
      } else {
        multiply_tile<T, 1, 1>(p, 0, panel);
      }
      done += some;
    }
    return;
  }
  for (std::size_t done = 0; done < panels; ++done) {
    const std::size_t panel = p.last_first ? panels - 1 - done : done;
    std::size_t row = 0;
    for (; row + kTileRows <= p.rows; row += kTileRows) multiply_tile<T, kTileRows, 1>(p, row, panel);
    switch (p.rows - row) {
      case 1:
        multiply_tile<T, 1, 1>(p, row, panel);
        break;
      case 2:
        multiply_tile<T, 2, 1>(p, row, panel);
        break;
      case 3:
        multiply_tile<T, 3, 1>(p, row, panel);
        break;
      case 4:
        multiply_tile<T, 4, 1>(p, row, panel);
        break;
      case 5:
        multiply_tile<T, 5, 1>(p, row, panel);
        break;
      default:
        break;
    }
  }
}

// Functions of doubles, four vectors of them abreast: each operation is done for all before the next begins,
// since what waits for its own result leaves the processor idle. A float is widened first, so that what is
// rounded back is right unless the truth is all but halfway between two floats.
using Lanes = Vectors<double>::V;
using WholeLanes __attribute__((vector_size(LAYER_VECTOR))) = std::int64_t;
struct D {
  Lanes a, b, c, d;
};
inline constexpr std::size_t kEach = sizeof(Lanes) / sizeof(double), kWide = 4 * kEach;

LAYER_INLINE D operator+(D x, D y) { return {x.a + y.a, x.b + y.b, x.c + y.c, x.d + y.d}; }
LAYER_INLINE D operator-(D x, D y) { return {x.a - y.a, x.b - y.b, x.c - y.c, x.d - y.d}; }
LAYER_INLINE D operator*(D x, D y) { return {x.a * y.a, x.b * y.b, x.c * y.c, x.d * y.d}; }
LAYER_INLINE D operator/(D x, D y) { return {x.a / y.a, x.b / y.b, x.c / y.c, x.d / y.d}; }
LAYER_INLINE D operator-(D x) { return {-x.a, -x.b, -x.c, -x.d}; }
LAYER_INLINE D all(double x) {
  const Lanes lanes = x - Lanes{};
  return {lanes, lanes, lanes, lanes};
}
// x < y ? then : otherwise, number by number.
LAYER_INLINE D if_less(D x, D y, D then, D otherwise) {
  return {x.a < y.a ? then.a : otherwise.a, x.b < y.b ? then.b : otherwise.b,
          x.c < y.c ? then.c : otherwise.c, x.d < y.d ? then.d : otherwise.d};
}
LAYER_INLINE D if_at_least(D x, D y, D then, D otherwise) {
  return {x.a >= y.a ? then.a : otherwise.a, x.b >= y.b ? then.b : otherwise.b,
          x.c >= y.c ? then.c : otherwise.c, x.d >= y.d ? then.d : otherwise.d};
}

// x = k ln 2 + r with |r| <= ln 2 / 2, where k is the lower bits of `whole`. Beyond ±700 x stays.
struct Reduced {
  D r, whole;
};
template <class T>
LAYER_INLINE Reduced reduce(D x) {
  x = if_less(x, all(-700), all(-700), x);
  x = if_less(all(700), x, all(700), x);
  // Adding 1.5 × 2^52 rounds to a whole number, which then stands in the lower bits.
  const D magic = all(6755399441055744.0);
  const D whole = x * all(1.4426950408889634074) + magic;
  const D k = whole - magic;
  // Two parts of ln 2, those of fdlibm: the first has so few bits that its product with k is exact.
  if constexpr (sizeof(T) == sizeof(double))
    return {(x - k * all(6.93147180369123816490e-01)) - k * all(1.90821492927058770002e-10), whole};
  return {x - k * all(0.69314718055994530942), whole};  // for a float one is enough: within 2e-13
}

// y 2^k, for y between 1/2 and 2: k goes into the exponent, what is above its lower 12 bits falls out.
LAYER_INLINE Lanes scaled(Lanes y, Lanes whole) {
  WholeLanes bits, k;
  std::memcpy(&bits, &y, sizeof bits);
  std::memcpy(&k, &whole, sizeof k);
  bits += k << 52;
  std::memcpy(&y, &bits, sizeof y);
  return y;
}
LAYER_INLINE D scaled(D y, D whole) {
  return {scaled(y.a, whole.a), scaled(y.b, whole.b), scaled(y.c, whole.c), scaled(y.d, whole.d)};
}

// e^r - 1. A double: its Taylor series, whose next term would be below 4e-18. A float: r times the polynomial
// that is nearest to (e^r - 1) / r by Remez' exchange, within 5e-12 of it, and in an order that waits less.
template <class T>
LAYER_INLINE D expm1_near_0(D r) {
  if constexpr (sizeof(T) == sizeof(double)) {
    constexpr double kFactors[] = {1.0 / 6227020800.0, 1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0,
                                   1.0 / 362880.0,     1.0 / 40320.0,     1.0 / 5040.0,     1.0 / 720.0,
                                   1.0 / 120.0,        1.0 / 24.0,        1.0 / 6.0,        0.5};
    D rest = all(kFactors[0]);
#pragma GCC unroll 16
    for (std::size_t i = 1; i < sizeof kFactors / sizeof kFactors[0]; ++i) rest = rest * r + all(kFactors[i]);
    return r + r * (r * rest);
  } else {
    const D square = r * r;
    const D low = (all(0.9999999999955724399) + r * all(0.50000000001205379628)) +
                  square * (all(0.16666666785358139317) + r * all(0.041666665951411210897));
    const D high = (all(0.0083332837495564435089) + r * all(0.0013888978332912578618)) +
                   square * (all(0.00019907452429507705581) + r * all(0.000024801569886987657838));
    return r * (low + square * square * high);
  }
}

template <class T>
LAYER_INLINE D exp_of(D x) {
  const Reduced e = reduce<T>(x);
  const D rest = expm1_near_0<T>(e.r);
  if constexpr (sizeof(T) == sizeof(float)) return scaled(all(1) + rest, e.whole);
  // A NaN that was a float has lower bits of 0. Here they may be anything, and must not become an exponent.
  const D power = scaled(all(1), e.whole);
  return power + power * rest;
}
// e^x - 1, good near 0 as well.
template <class T>
LAYER_INLINE D expm1_of(D x) {
  const Reduced e = reduce<T>(x);
  const D power = scaled(all(1), e.whole);
  return power * expm1_near_0<T>(e.r) + (power - all(1));
}
template <class T>
LAYER_INLINE D sigmoid_of(D x) {
  return all(1) / (all(1) + exp_of<T>(-x));
}
template <class T>
LAYER_INLINE D tanh_of(D x) {
  const D e = expm1_of<T>(x + x);
  return e / (e + all(2));
}
LAYER_INLINE D abs_of(D x) { return if_less(x, all(0), -x, x); }

// log(1 + e^x) = max(x, 0) + log(1 + e^-|x|), and log(1 + y) = 2 artanh(y / (2 + y)), where s = y / (2 + y)
// is at most 1/3: 2 (s + s^3 / 3 + s^5 / 5 ...), whose 17th term is below 1e-17.
template <class T>
LAYER_INLINE D softplus_of(D x) {
  const D y = exp_of<T>(-abs_of(x));
  const D s = y / (all(2) + y), square = s * s;
  D sum = all(1.0 / 33);
#pragma GCC unroll 16
  for (int odd = 31; odd >= 3; odd -= 2) sum = sum * square + all(1.0 / odd);
  return if_less(x, all(0), all(0), x) + (s + s * square * sum) * all(2);
}

// erf(x) = 1 - e^(-x^2) f(t) above 0, t = (x - 3) / (x + 3), and f the Chebyshev interpolation of e^(x^2)
// erfc(x) at 21 points of 0 to 6.5, written in powers of (t + 6/19) × 19/13. It is within 1e-18 of f; beyond
// 6.5 the error function is 1.
template <class T>
LAYER_INLINE D erf_of(D x) {
  const D size = abs_of(x), near = if_less(all(6.5), size, all(6.5), size);
  const D u = ((near - all(3)) / (near + all(3)) + all(6.0 / 19.0)) * all(19.0 / 13.0);
  constexpr double kPowers[] = {
      1.3378411558150565745e-12,   3.5304275997041200376e-12, -1.6574034506012529874e-11,
      -8.8778755129987811737e-11,  5.6421085460354657092e-11, 1.4249926202380444647e-9,
      1.7351404795253343861e-9,    -1.9744515680694645049e-8, -5.4210295436782921148e-8,
      2.8714143042870265372e-7,    1.135842217927321379e-6,   -5.4456754283437180824e-6,
      -0.000019943387750470520287, 0.00014856199997569967411, 0.00010897654690088974739,
      -0.0044901296480684317396,   0.025283677310025759564,   -0.085619389134163012355,
      0.20549379966169886902,      -0.36713103122652765166,   0.312035241513324391};
  D f = all(kPowers[0]);
#pragma GCC unroll 32
  for (std::size_t i = 1; i < sizeof kPowers / sizeof kPowers[0]; ++i) f = f * u + all(kPowers[i]);
  const D value = all(1) - exp_of<double>(-(near * near)) * f;
  return if_less(x, all(0), -value, value);
}

template <class T>
LAYER_INLINE D apply(Activation::Kind kind, D a, D b, D c, D x) {
  const D zero = all(0), one = all(1), half = all(0.5);
  switch (kind) {
    case Activation::Kind::relu:
      return if_at_least(x, b, b, if_less(x, c, a * (x - c), x));
    case Activation::Kind::elu:
      return if_less(x, zero, a * expm1_of<T>(x), x);
    case Activation::Kind::selu:
      return all(1.0507009873554804934) * if_less(x, zero, all(1.6732632423543772848) * expm1_of<T>(x), x);
    case Activation::Kind::gelu:
      return half * x * (one + erf_of<T>(x * all(0.70710678118654752440)));
    case Activation::Kind::gelu_tanh:
      return half * x * (one + tanh_of<T>(all(0.79788456080286535588) * (x + all(0.044715) * (x * x * x))));
    case Activation::Kind::silu:
      return x * sigmoid_of<T>(x);
    case Activation::Kind::softplus:
      return softplus_of<T>(x);
    case Activation::Kind::softsign:
      return x / (one + abs_of(x));
    case Activation::Kind::tanh:
      return tanh_of<T>(x);
    case Activation::Kind::sigmoid:
      return sigmoid_of<T>(x);
    case Activation::Kind::hard_sigmoid: {
      const D y = a * x + b;
      return if_less(y, zero, zero, if_less(one, y, one, y));
    }
    case Activation::Kind::clip:
      return if_less(x, a, a, if_less(b, x, b, x));
    case Activation::Kind::exponential:
      return exp_of<T>(x);
    case Activation::Kind::mish:
      return x * tanh_of<T>(softplus_of<T>(x));
    case Activation::Kind::linear:
    case Activation::Kind::softmax:
      break;
  }
  return x;
}

LAYER_INLINE Lanes lanes_at(const double* from) {
  return *reinterpret_cast<const Vectors<double>::Anywhere*>(from);
}
LAYER_INLINE void put(Lanes value, double* to) { *reinterpret_cast<Vectors<double>::Anywhere*>(to) = value; }
using Half __attribute__((vector_size(LAYER_VECTOR / 2))) = float;
LAYER_INLINE Lanes lanes_at(const float* from) {
  Half half;
  std::memcpy(&half, from, sizeof half);
  return LAYER_WIDEN(half);
}
LAYER_INLINE void put(Lanes value, float* to) {
  const Half half = __builtin_convertvector(value, Half);
  std::memcpy(to, &half, sizeof half);
}
template <class T>
LAYER_INLINE D widen(const T* from) {
  return {lanes_at(from), lanes_at(from + kEach), lanes_at(from + 2 * kEach), lanes_at(from + 3 * kEach)};
}
template <class T>
LAYER_INLINE void narrow(D value, T* to) {
  put(value.a, to);
  put(value.b, to + kEach);
  put(value.c, to + 2 * kEach);
  put(value.d, to + 3 * kEach);
}

template <class T, Activation::Kind kKind>
LAYER_INLINE void activate_as(const Activation& function, T* values, std::size_t count) {
  const D a = all(function.a), b = all(function.b), c = all(function.c);
  std::size_t i = 0;
  for (; i + kWide <= count; i += kWide) narrow(apply<T>(kKind, a, b, c, widen(values + i)), values + i);
  if (i == count) return;
  T rest[kWide] = {};
  std::memcpy(rest, values + i, (count - i) * sizeof(T));
  narrow(apply<T>(kKind, a, b, c, widen(rest)), rest);
  std::memcpy(values + i, rest, (count - i) * sizeof(T));
}

// The commonest, without the way through doubles. NaN stays.
template <class T>
LAYER_INLINE void rectify(T* values, std::size_t count) {
  using V = typename Vectors<T>::V;
  using Anywhere = typename Vectors<T>::Anywhere;
  constexpr std::size_t kLanes = sizeof(V) / sizeof(T);
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const V x = *reinterpret_cast<const Anywhere*>(values + i);
    *reinterpret_cast<Anywhere*>(values + i) = x < V{} ? V{} : x;
  }
  for (; i < count; ++i) values[i] = values[i] < 0 ? 0 : values[i];
}

template <class T>
LAYER_TARGET void activate(const Activation& function, T* values, std::size_t count) {
  using Kind = Activation::Kind;
  switch (function.kind) {
    case Kind::linear:
    case Kind::softmax:
      return;
    case Kind::relu:
      if (function == Activation::relu()) return rectify(values, count);
      return activate_as<T, Kind::relu>(function, values, count);
    case Kind::elu:
      return activate_as<T, Kind::elu>(function, values, count);
    case Kind::selu:
      return activate_as<T, Kind::selu>(function, values, count);
    case Kind::gelu:
      return activate_as<T, Kind::gelu>(function, values, count);
    case Kind::gelu_tanh:
      return activate_as<T, Kind::gelu_tanh>(function, values, count);
    case Kind::silu:
      return activate_as<T, Kind::silu>(function, values, count);
    case Kind::softplus:
      return activate_as<T, Kind::softplus>(function, values, count);
    case Kind::softsign:
      return activate_as<T, Kind::softsign>(function, values, count);
    case Kind::tanh:
      return activate_as<T, Kind::tanh>(function, values, count);
    case Kind::sigmoid:
      return activate_as<T, Kind::sigmoid>(function, values, count);
    case Kind::hard_sigmoid:
      return activate_as<T, Kind::hard_sigmoid>(function, values, count);
    case Kind::clip:
      return activate_as<T, Kind::clip>(function, values, count);
    case Kind::exponential:
      return activate_as<T, Kind::exponential>(function, values, count);
    case Kind::mish:
      return activate_as<T, Kind::mish>(function, values, count);
  }
}

template <class T>
LAYER_TARGET void softmax(T* values, std::size_t count) {
  T most = values[0];
  for (std::size_t i = 1; i < count; ++i) most = values[i] > most ? values[i] : most;
  for (std::size_t i = 0; i < count; ++i) values[i] -= most;
  activate<T>(Activation::of(Activation::Kind::exponential), values, count);
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += static_cast<double>(values[i]);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<T>(static_cast<double>(values[i]) / sum);
}

constexpr LayerKernel kKernel = {LAYER_NAME,
                                 {multiply<float>, activate<float>, softmax<float>},
                                 {multiply<double>, activate<double>, softmax<double>}};
