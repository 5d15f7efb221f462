#include "model/internal/layer_kernel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/random.h"

namespace nidus::model::internal {
namespace {

using Kind = Activation::Kind;

// The truth, in more digits than what is compared with it.
long double truth(Kind kind, long double x) {
  switch (kind) {
    case Kind::exponential:
      return std::exp(x);
    case Kind::sigmoid:
      return 1 / (1 + std::exp(-x));
    default:
      return std::tanh(x);
  }
}

// How far `value` is from the truth, in steps between neighbours of its type there.
template <class T>
double ulps(T value, long double wanted) {
  if (std::isnan(wanted)) return std::isnan(value) ? 0 : INFINITY;
  constexpr auto kMost = std::numeric_limits<T>::max();
  if (std::isinf(value)) return std::abs(wanted) > kMost && (value > 0) == (wanted > 0) ? 0 : INFINITY;
  const int exponent =
      std::max(wanted == 0 ? -20000 : std::ilogb(wanted), std::numeric_limits<T>::min_exponent - 1);
  const long double step = std::ldexp(1.0L, exponent - (std::numeric_limits<T>::digits - 1));
  return static_cast<double>(std::abs(static_cast<long double>(value) - wanted) / step);
}

template <class T>
std::vector<T> activated(const LayerKernel& kernel, Kind kind, std::vector<T> values) {
  kernel.of<T>().activate(Activation::of(kind), values.data(), values.size());
  return values;
}

// The largest error of all, and that every kernel says the same.
template <class T>
double largest_error(Kind kind, const std::vector<T>& given) {
  const auto first = activated(*layer_kernels()[0], kind, given);
  for (const LayerKernel* kernel : layer_kernels())
    EXPECT_EQ(std::memcmp(activated(*kernel, kind, given).data(), first.data(), first.size() * sizeof(T)), 0)
        << kernel->name;
  double most = 0;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const double error = ulps(first[i], truth(kind, static_cast<long double>(given[i])));
    most = std::max(most, error);
  }
  return most;
}

constexpr Kind kKinds[] = {Kind::exponential, Kind::sigmoid, Kind::tanh};

// Every 4,099th of all bit patterns, infinities, NaN and subnormals among them, and what stands near the
// ends.
TEST(LayerKernel, FunctionsOfFloatsAreRightlyRounded) {
  std::vector<float> given = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, -NAN, 1e-45f, -1e-45f, 1.17549435e-38f};
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 4099)
    given.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  for (const float end :
       {0.17328680f, 0.34657359f, 9.01f, 16.6f, 87.33655f, 88.72284f, 103.2789f, 103.9721f, 700.0f}) {
    for (float x = end * 0.9999f; x < end * 1.0001f; x = std::nextafter(x, INFINITY)) {
      given.push_back(x);
      given.push_back(-x);
    }
  }
  for (const Kind kind : kKinds) {
    SCOPED_TRACE(static_cast<int>(kind));
    const double most = largest_error(kind, given);
    RecordProperty("ulps_" + std::to_string(static_cast<int>(kind)), std::to_string(most));
    EXPECT_LE(most, 0.5001);
  }
}

TEST(LayerKernel, FunctionsOfDoublesAreWithinAFewSteps) {
  Random random(5);
  std::vector<double> given = {0.0, -0.0, INFINITY, -INFINITY, NAN, 5e-324, -5e-324, 2.2250738585072014e-308,
                               700, -700};
  // A NaN whose lower bits look like an exponent.
  for (const std::uint64_t low : {0x001u, 0x3ffu, 0x400u, 0x401u, 0x7ffu, 0xfffu})
    given.push_back(std::bit_cast<double>(std::uint64_t{0x7ff8000000000000} + low));
  for (int i = 0; i < 300'000; ++i) {
    const double sign = random.unit() < 0.5 ? -1 : 1;
    given.push_back(sign * 700 * random.unit());
    given.push_back(sign * std::ldexp(1 + random.unit(), static_cast<int>(random.unit() * 1080) - 1071));
  }
  for (const Kind kind : kKinds) {
    SCOPED_TRACE(static_cast<int>(kind));
    std::vector<double> some = given;
    // e^±700 is where they end: 1e-304, not 0.
    if (kind != Kind::tanh) std::erase_if(some, [](double x) { return std::abs(x) > 700; });
    const double most = largest_error(kind, some);
    RecordProperty("ulps_" + std::to_string(static_cast<int>(kind)), std::to_string(most));
    EXPECT_LE(most, 3);
  }
}

// Wherever a number stands, and whatever stands beside it.
template <class T>
void expect_same_anywhere() {
  Random random(6);
  std::vector<T> given(75);
  for (T& value : given) value = static_cast<T>((random.unit() * 2 - 1) * 12);
  given[7] = static_cast<T>(NAN);
  given[40] = static_cast<T>(-INFINITY);
  for (const LayerKernel* kernel : layer_kernels()) {
    for (const Kind kind :
         {Kind::elu, Kind::selu, Kind::gelu, Kind::gelu_tanh, Kind::silu, Kind::softplus, Kind::softsign,
          Kind::tanh, Kind::sigmoid, Kind::exponential, Kind::mish, Kind::relu}) {
      const auto whole = activated(*kernel, kind, given);
      for (std::size_t count = 1; count <= given.size(); ++count) {
        const std::size_t first = given.size() - count;
        const auto part = activated(
            *kernel, kind, std::vector<T>(given.begin() + static_cast<std::ptrdiff_t>(first), given.end()));
        for (std::size_t i = 0; i < count; ++i) {  // which NaN is not said
          ASSERT_TRUE(std::memcmp(&part[i], &whole[first + i], sizeof(T)) == 0 ||
                      (std::isnan(part[i]) && std::isnan(whole[first + i])))
              << kernel->name << " " << static_cast<int>(kind) << " " << count << " " << given[first + i];
        }
      }
    }
  }
}

TEST(LayerKernel, ANumberGetsTheSameValueWhereverItStands) {
  expect_same_anywhere<float>();
  expect_same_anywhere<double>();
}

TEST(LayerKernel, ProductsAreTheSameInEitherOrderOfPanels) {
  Random random(7);
  constexpr std::size_t kDepth = 70;
  for (const std::size_t units : {std::size_t{1}, std::size_t{16}, std::size_t{90}, std::size_t{256}}) {
    const std::size_t columns = (units + kPanel<float> - 1) / kPanel<float> * kPanel<float>;
    std::vector<float> panels(columns * kDepth), bias(columns), x(8 * kDepth);
    for (auto* values : {&panels, &bias, &x})
      for (float& value : *values) value = static_cast<float>(random.unit() * 2 - 1);
    for (const std::size_t rows : {std::size_t{1}, std::size_t{5}, std::size_t{8}}) {
      for (const LayerKernel* kernel : layer_kernels()) {
        std::vector<float> y(rows * units, 0.25f), z = y;
        Product<float> product{x.data(),    kDepth,   rows,  panels.data(), kDepth, units,
                               bias.data(), y.data(), units, true,          false};
        kernel->single.multiply(product);
        product.y = z.data();
        product.last_first = true;
        kernel->single.multiply(product);
        EXPECT_EQ(y, z) << kernel->name << " " << units << " " << rows;
        EXPECT_NE(y.back(), 0.25f);
      }
    }
  }
}

}  // namespace
}  // namespace nidus::model::internal
