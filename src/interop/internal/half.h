#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

namespace nidus::interop::internal {

// IEEE 754 binary16.
inline double half_to_double(std::uint16_t half) {
  const double sign = (half & 0x8000) != 0 ? -1 : 1;
  const int exponent = (half >> 10) & 31, mantissa = half & 1023;
  if (exponent == 31)
    return mantissa != 0 ? std::numeric_limits<double>::quiet_NaN()
                         : sign * std::numeric_limits<double>::infinity();
  return sign * (exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25));
}

}  // namespace nidus::interop::internal
