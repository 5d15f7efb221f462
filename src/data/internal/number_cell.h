#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

// Numbers out of cells, to the nearest double, without a branch for each character.
//
// Eight characters are taken as one word and moved so that the last stands in the highest byte and zeros fill
// what is free; then the digits are checked and added up side by side in three multiplications (the technique
// is that of J. Muła and of D. Lemire, "Number parsing at a gigabyte per second", 2021). A decimal point is
// taken out of the word by moving the digits before it up by one. Up to 15 digits and a power of ten up to 22
// are exact doubles, so one division of the two is exact to the last bit (Clinger 1990). More digits, up to
// 19, are divided as integers with 62 to 64 bits of quotient and the rest as a sticky bit, from which the
// conversion to double rounds correctly.
namespace nidus::data::internal {

// How many bytes behind a cell must be readable.
inline constexpr std::size_t kCellPadding = 64;

// Bytes of the word are characters xor '0'. The high bit of each that is no digit; right in the lowest such
// byte, those above it may be wrong.
inline std::uint64_t no_digits(std::uint64_t word) {
  return ((word + 0x7676767676767676u) | word) & 0x8080808080808080u;
}

// The bytes up to and with the lowest whose high bit is set; all of them if there is none.
inline std::uint64_t up_to_first(std::uint64_t odd) { return odd ^ (odd - 1); }
inline constexpr std::uint64_t kHighestBit = std::uint64_t{1} << 63;

// Eight digits, the first in the lowest byte.
inline std::uint64_t eight_digits(std::uint64_t word) {
  word = word * 10 + (word >> 8);
  constexpr std::uint64_t kMask = 0x000000ff000000ffu;
  return ((word & kMask) * 0x000f424000000064u + ((word >> 16) & kMask) * 0x0000271000000001u) >> 32;
}

inline std::uint64_t load_word(const char* at) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, 8);
  return word;
}

inline constexpr std::array<double, 23> kPowersOfTen = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                        1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                        1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

// Everything that the short forms below do not take: more characters, exponents, signs, inf and nan, and
// texts. False if the cell is no number.
bool read_long_number(const char* begin, const char* end, double& value);

// The cell as a number; false if it is none, blank cells included. As parse_number() of base reads it.
inline bool read_number(const char* begin, const char* end, double& value) {
  if constexpr (std::endian::native != std::endian::little) return read_long_number(begin, end, value);
  const char* at = begin;
  const bool negative = at != end && *at == '-';
  if (negative) ++at;
  const auto length = static_cast<std::size_t>(end - at);
  if (length - 1 >= 16) return read_long_number(begin, end, value);  // none, or more than 16
  constexpr std::uint64_t kZeros = 0x3030303030303030u;
  constexpr std::uint64_t kPoint = '.' ^ '0';
  double magnitude = 0;
  if (length <= 8) {
    std::uint64_t word = (load_word(at) ^ kZeros) << (64 - 8 * length);
    if (const std::uint64_t odd = no_digits(word); odd == 0) {
      magnitude = static_cast<double>(eight_digits(word));
    } else {
      const auto bit = static_cast<unsigned>(std::countr_zero(odd)) - 7;  // where the point begins
      const std::uint64_t below = (std::uint64_t{1} << bit) - 1;
      if (((word >> bit) & 0xff) != kPoint || length == 1) return read_long_number(begin, end, value);
      word = ((word & below) << 8) | (word & ~below & ~(std::uint64_t{0xff} << bit));
      if (no_digits(word) != 0) return read_long_number(begin, end, value);
      magnitude = static_cast<double>(eight_digits(word)) / kPowersOfTen[7 - bit / 8];
    }
  } else {
    std::uint64_t high = load_word(end - 8) ^ kZeros;
    std::uint64_t low = (load_word(at) ^ kZeros) << (128 - 8 * length);
    const std::uint64_t odd_low = no_digits(low), odd_high = no_digits(high);
    std::size_t fraction = 0;
    if ((odd_low | odd_high) != 0) {
      // Where the point stands differs from cell to cell, so it is taken out without a branch.
      const std::uint64_t in_low = up_to_first(odd_low), in_high = odd_low != 0 ? 0 : up_to_first(odd_high);
      high = (((high << 8) | (low >> 56)) & in_high) | (high & ~in_high);
      low = ((low << 8) & in_low) | (low & ~in_low);
      const int place =
          odd_low != 0 ? std::countr_zero(odd_low) / 8 : 8 + std::countr_zero(odd_high | kHighestBit) / 8;
      fraction = static_cast<std::size_t>(15 - place);
      if (end[-1 - static_cast<std::ptrdiff_t>(fraction)] != '.' || (no_digits(low) | no_digits(high)) != 0) {
        return read_long_number(begin, end, value);
      }
    }
    const std::uint64_t digits = eight_digits(low) * 100'000'000 + eight_digits(high);
    magnitude = static_cast<double>(digits) / kPowersOfTen[fraction];
  }
  // The sign is set as a bit: half of a column may have one.
  value = std::bit_cast<double>(std::bit_cast<std::uint64_t>(magnitude) | (std::uint64_t{negative} << 63));
  return true;
}

}  // namespace nidus::data::internal
