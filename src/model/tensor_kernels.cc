#include "model/internal/tensor_kernels.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/check.h"

namespace nidus::model::internal {
namespace {

using Step = TensorProgram::Step;
using Op = Step::Op;

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

template <class Function>
void each(std::span<const Operand> operands, std::size_t size, std::size_t count, double* out,
          Function function) {
  for (std::size_t row = 0; row < count; ++row) {
    const double* x = operands[0].data + row * operands[0].stride;
    for (std::size_t i = 0; i < size; ++i) *out++ = function(x[i]);
  }
}

template <class Function>
void each_two(std::span<const Operand> operands, std::size_t size, std::size_t count, double* out,
              Function function) {
  const Operand &a = operands[0], &b = operands[1];
  for (std::size_t row = 0; row < count; ++row, out += size) {
    const double *x = a.data + row * a.stride, *y = b.data + row * b.stride;
    if (a.size == size && b.size == size) {
      for (std::size_t i = 0; i < size; ++i) out[i] = function(x[i], y[i]);
    } else {
      for (std::size_t i = 0; i < size; ++i) out[i] = function(x[i % a.size], y[i % b.size]);
    }
  }
}

// fold(inner numbers, distance apart) of each outer and inner index.
template <class Fold>
void along(const Step& step, const Operand& operand, std::size_t count, double* out, Fold fold) {
  for (std::size_t row = 0; row < count; ++row) {
    const double* x = operand.data + row * operand.stride;
    for (std::size_t o = 0; o < step.outer; ++o) {
      for (std::size_t i = 0; i < step.inner; ++i) *out++ = fold(x + o * step.length * step.inner + i);
    }
  }
}

template <class Take>
void fold(const Step& step, const Operand& operand, std::size_t count, double* out, double begin, Take take) {
  along(step, operand, count, out, [&](const double* x) {
    double so_far = begin;
    for (std::size_t k = 0; k < step.length; ++k) so_far = take(so_far, x[k * step.inner]);
    return so_far;
  });
}

template <class Better>
void index_of(const Step& step, const Operand& operand, std::size_t count, double* out, Better better) {
  along(step, operand, count, out, [&](const double* x) {
    std::size_t best = 0;
    for (std::size_t k = 1; k < step.length; ++k) {
      if (better(x[k * step.inner], x[best * step.inner])) best = k;
    }
    return static_cast<double>(best);
  });
}

void softmax(const Step& step, const Operand& operand, std::size_t count, double* out) {
  const bool logarithm = step.op == Op::log_softmax;
  const std::size_t apart = step.inner;
  for (std::size_t row = 0; row < count; ++row, out += step.size) {
    const double* from = operand.data + row * operand.stride;
    for (std::size_t o = 0; o < step.outer; ++o) {
      for (std::size_t i = 0; i < step.inner; ++i) {
        const std::size_t first = o * step.length * apart + i;
        const double* x = from + first;
        double* y = out + first;
        double highest = x[0], sum = 0;
        for (std::size_t k = 1; k < step.length; ++k) highest = std::max(highest, x[k * apart]);
        for (std::size_t k = 0; k < step.length; ++k) sum += y[k * apart] = std::exp(x[k * apart] - highest);
        for (std::size_t k = 0; k < step.length; ++k)
          y[k * apart] = logarithm ? x[k * apart] - highest - std::log(sum) : y[k * apart] / sum;
      }
    }
  }
}

void pick(const Step& step, std::span<const Operand> operands, const std::uint32_t* picks, std::size_t count,
          double* out) {
  for (std::size_t row = 0; row < count; ++row, out += step.size) {
    if (operands.size() == 1) {
      const double* x = operands[0].data + row * operands[0].stride;
      for (std::size_t i = 0; i < step.size; ++i) out[i] = x[picks[i]];
      continue;
    }
    std::size_t at = 0;  // most picks go to the operand of the pick before
    std::size_t begin = 0;
    for (std::size_t i = 0; i < step.size; ++i) {
      if (picks[i] < begin) at = begin = 0;
      while (picks[i] - begin >= operands[at].size) begin += operands[at++].size;
      out[i] = operands[at].data[row * operands[at].stride + picks[i] - begin];
    }
  }
}

void rank(const Step& step, std::span<const Operand> operands, const std::uint32_t* picks, std::size_t count,
          double* out) {
  for (std::size_t row = 0; row < count; ++row) {
    for (std::size_t i = 0; i < step.size; ++i) {
      const double x = operands[0].data[row * operands[0].stride + picks[3 * i]];
      const double *begin = operands[1].data + picks[3 * i + 1], *end = operands[1].data + picks[3 * i + 2];
      *out++ = x != x ? kMissing : static_cast<double>(std::lower_bound(begin, end, x) - begin);
    }
  }
}

void lookup(const Step& step, std::span<const Operand> operands, std::size_t count, double* out) {
  const double *keys = operands[1].data, *end = keys + operands[1].size;
  for (std::size_t row = 0; row < count; ++row) {
    const double* values = operands[2].data + row * operands[2].stride;
    for (std::size_t i = 0; i < step.size; ++i) {
      const double x = operands[0].data[row * operands[0].stride + i];
      const double* found = std::lower_bound(keys, end, x);
      *out++ = x != x ? step.b : found != end && *found == x ? values[found - keys] : step.a;
    }
  }
}

void walk(const Step& step, const Operand& operand, std::size_t count, double* out) {
  const TreeSet& trees = *step.trees;
  const std::size_t wide = std::size_t{step.outer} * trees.inputs();
  std::vector<float> rows(count * wide);
  for (std::size_t row = 0; row < count; ++row) {
    const double* x = operand.data + row * operand.stride;
    for (std::size_t i = 0; i < wide; ++i) rows[row * wide + i] = static_cast<float>(x[i]);
  }
  std::fill_n(out, count * step.size, 0.0);
  const auto groups = step.inner == 1 ? std::span<const std::uint32_t>() : step.groups.span();
  trees.add_leaves(rows.data(), count * step.outer, groups, step.inner, out);
}

float error_function_inverse(float x) {
  // Winitzki's approximation with the constants of ONNX Runtime, in floats as there.
  const float sign = x < 0 ? -1.0f : 1.0f;
  const float log = std::log((1 - x) * (1 + x));
  const float v = 2 / (3.14159f * 0.147f) + 0.5f * log;
  const float v2 = 1 / 0.147f * log;
  return sign * std::sqrt(-v + std::sqrt(v * v - v2));
}

double truth(bool value) { return value ? 1.0 : 0.0; }

template <class Weight>
void multiply_row(const Step& step, const double* left, const Weight* weights, double* out) {
  const std::size_t length = step.length, inner = step.inner;
  for (std::size_t o = 0; o < step.outer; ++o, left += length, out += inner) {
    std::fill_n(out, inner, 0.0);
    std::size_t k = 0;
    // Four weights for each number that is fetched and put back, in the same order of sums.
    for (; k + 4 <= length; k += 4) {
      const Weight *w0 = weights + k * inner, *w1 = w0 + inner, *w2 = w1 + inner, *w3 = w2 + inner;
      const double x0 = left[k], x1 = left[k + 1], x2 = left[k + 2], x3 = left[k + 3];
      for (std::size_t i = 0; i < inner; ++i) {
        double sum = out[i] + x0 * static_cast<double>(w0[i]);
        sum += x1 * static_cast<double>(w1[i]);
        sum += x2 * static_cast<double>(w2[i]);
        out[i] = sum + x3 * static_cast<double>(w3[i]);
      }
    }
    for (; k < length; ++k) {
      const Weight* w = weights + k * inner;
      for (std::size_t i = 0; i < inner; ++i) out[i] += left[k] * static_cast<double>(w[i]);
    }
  }
}

}  // namespace

void multiply(const Step& step, const Operand& left, const float* weights, std::size_t count, double* out) {
  for (std::size_t row = 0; row < count; ++row)
    multiply_row(step, left.data + row * left.stride, weights, out + row * step.size);
}

void multiply(const Step& step, const Operand& left, const Operand& right, std::size_t count, double* out) {
  for (std::size_t row = 0; row < count; ++row) {
    multiply_row(step, left.data + row * left.stride, right.data + row * right.stride, out + row * step.size);
  }
}

void run_step(const Step& step, std::span<const Operand> operands, const std::uint32_t* picks,
              std::size_t count, double* out) {
  const double a = step.a, b = step.b;
  const auto one = [&](auto function) { each(operands, step.size, count, out, function); };
  const auto two = [&](auto function) { each_two(operands, step.size, count, out, function); };
  switch (step.op) {
    case Op::pick:
      return pick(step, operands, picks, count, out);
    case Op::rank:
      return rank(step, operands, picks, count, out);
    case Op::lookup:
      return lookup(step, operands, count, out);
    case Op::matmul:
      CHECK(false);
      return;
    case Op::trees:
      return walk(step, operands[0], count, out);
    case Op::select:
      for (std::size_t row = 0; row < count; ++row) {
        for (std::size_t i = 0; i < step.size; ++i) {
          const auto at = [&](std::size_t k) {
            return operands[k].data[row * operands[k].stride + i % operands[k].size];
          };
          *out++ = at(0) != 0 ? at(1) : at(2);
        }
      }
      return;
    case Op::add:
      return two([](double x, double y) { return x + y; });
    case Op::subtract:
      return two([](double x, double y) { return x - y; });
    case Op::multiply:
      return two([](double x, double y) { return x * y; });
    case Op::divide:
      return two([](double x, double y) { return x / y; });
    case Op::power:
      return two([](double x, double y) { return std::pow(x, y); });
    case Op::minimum:
      return two([](double x, double y) { return x != x ? x : y != y ? y : std::min(x, y); });
    case Op::maximum:
      return two([](double x, double y) { return x != x ? x : y != y ? y : std::max(x, y); });
    case Op::less:
      return two([](double x, double y) { return truth(x < y); });
    case Op::less_or_equal:
      return two([](double x, double y) { return truth(x <= y); });
    case Op::equal:
      return two([](double x, double y) { return truth(x == y); });
    case Op::logical_and:
      return two([](double x, double y) { return truth(x != 0 && y != 0); });
    case Op::logical_or:
      return two([](double x, double y) { return truth(x != 0 || y != 0); });
    case Op::prelu:
      return two([](double x, double y) { return x < 0 ? x * y : x; });
    case Op::copy:
      return one([](double x) { return x; });
    case Op::truncate:
      return one([](double x) { return std::trunc(x); });
    case Op::is_true:
      return one([](double x) { return truth(x != 0); });
    case Op::logical_not:
      return one([](double x) { return truth(x == 0); });
    case Op::is_missing:
      return one([](double x) { return truth(x != x); });
    case Op::negate:
      return one([](double x) { return -x; });
    case Op::absolute:
      return one([](double x) { return std::abs(x); });
    case Op::reciprocal:
      return one([](double x) { return 1 / x; });
    case Op::square_root:
      return one([](double x) { return std::sqrt(x); });
    case Op::exponential:
      return one([](double x) { return std::exp(x); });
    case Op::logarithm:
      return one([](double x) { return std::log(x); });
    case Op::floor:
      return one([](double x) { return std::floor(x); });
    case Op::ceiling:
      return one([](double x) { return std::ceil(x); });
    case Op::round:
      return one([](double x) { return std::nearbyint(x); });
    case Op::sign:
      return one([](double x) { return x > 0 ? 1.0 : x < 0 ? -1.0 : x; });
    case Op::error_function:
      return one([](double x) { return std::erf(x); });
    case Op::relu:
      return one([](double x) { return x < 0 ? 0.0 : x; });
    case Op::elu:
      return one([a](double x) { return x < 0 ? a * std::expm1(x) : x; });
    case Op::selu:
      return one([a, b](double x) { return b * (x < 0 ? a * std::expm1(x) : x); });
    case Op::leaky_relu:
      return one([a](double x) { return x < 0 ? a * x : x; });
    case Op::hard_sigmoid:
      return one([a, b](double x) { return x != x ? x : std::clamp(a * x + b, 0.0, 1.0); });
    case Op::sigmoid:
      return one([](double x) { return 1 / (1 + std::exp(-x)); });
    case Op::tanh:
      return one([](double x) { return std::tanh(x); });
    case Op::softplus:
      return one([](double x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); });
    case Op::softsign:
      return one([](double x) { return x / (1 + std::abs(x)); });
    case Op::probit:
      return one([](double x) {
        return static_cast<double>(1.41421356f * error_function_inverse(2 * static_cast<float>(x) - 1));
      });
    case Op::sum:
      return fold(step, operands[0], count, out, 0, [](double sum, double x) { return sum + x; });
    case Op::mean:
      fold(step, operands[0], count, out, 0, [](double sum, double x) { return sum + x; });
      for (std::size_t i = 0; i < count * step.size; ++i) out[i] /= step.length;
      return;
    case Op::product:
      return fold(step, operands[0], count, out, 1, [](double so_far, double x) { return so_far * x; });
    case Op::highest:
      return fold(step, operands[0], count, out, -HUGE_VAL,
                  [](double so_far, double x) { return x > so_far || x != x ? x : so_far; });
    case Op::lowest:
      return fold(step, operands[0], count, out, HUGE_VAL,
                  [](double so_far, double x) { return x < so_far || x != x ? x : so_far; });
    case Op::sum_of_absolutes:
      return fold(step, operands[0], count, out, 0, [](double sum, double x) { return sum + std::abs(x); });
    case Op::sum_of_squares:
      return fold(step, operands[0], count, out, 0, [](double sum, double x) { return sum + x * x; });
    case Op::index_of_highest:
      return index_of(step, operands[0], count, out, [](double x, double y) { return x > y; });
    case Op::index_of_lowest:
      return index_of(step, operands[0], count, out, [](double x, double y) { return x < y; });
    case Op::softmax:
    case Op::log_softmax:
      return softmax(step, operands[0], count, out);
  }
}

}  // namespace nidus::model::internal
