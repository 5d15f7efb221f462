#include "data/internal/number_cell.h"
#include "base/number.h"

namespace nidus::data::internal {
namespace {

__extension__ using uint128 = unsigned __int128;

constexpr std::array<std::uint64_t, 20> kWholePowers = [] {
  std::array<std::uint64_t, 20> powers{};
  std::uint64_t power = 1;
  for (auto& entry : powers) {
    entry = power;
    power *= 10;
  }
  return powers;
}();

// Whole numbers below it are exact doubles.
constexpr std::uint64_t kExactBelow = std::uint64_t{1} << 53;

// high:0 / divisor, where high < divisor; the remainder only as zero or not.
std::uint64_t divide(std::uint64_t high, std::uint64_t low, std::uint64_t divisor, bool& rest) {
#ifdef __x86_64__
  std::uint64_t quotient = 0, remainder = 0;
  asm("divq %4" : "=a"(quotient), "=d"(remainder) : "0"(low), "1"(high), "r"(divisor) : "cc");
  rest = remainder != 0;
  return quotient;
#else
  const uint128 dividend = (static_cast<uint128>(high) << 64) | low;
  rest = dividend % divisor != 0;
  return static_cast<std::uint64_t>(dividend / divisor);
#endif
}

// digits / 10^power, rounded to nearest even; power is at most 19.
double quotient_of(std::uint64_t digits, unsigned power) {
  if (digits == 0) return 0;
  const std::uint64_t divisor = kWholePowers[power];
  const int up = std::countl_zero(digits), up_divisor = std::countl_zero(divisor);
  const std::uint64_t normal = digits << up;
  // The dividend is normal * 2^63, so its high half is below the divisor, and the quotient has 63 or 64 bits
  // but for the one that a divisor just above the dividend costs.
  bool rest = false;
  const std::uint64_t quotient = divide(normal >> 1, normal << 63, divisor << up_divisor, rest);
  const double rounded = static_cast<double>(quotient | (rest ? 1u : 0u));
  // Scaling by a power of two is exact: the result is between 10^-19 and 10^20.
  const int exponent = up_divisor - up - 63;
  return rounded * std::bit_cast<double>(static_cast<std::uint64_t>(1023 + exponent) << 52);
}

// Digits from `at` on, appended to `digits`; returns how many, and stops before one that would be the 20th.
int take_digits(const char*& at, const char* end, std::uint64_t& digits, int have) {
  int taken = 0;
  if constexpr (std::endian::native == std::endian::little) {
    while (end - at >= 8 && have + taken <= 11) {
      const std::uint64_t word = load_word(at) ^ 0x3030303030303030u;
      if (no_digits(word) != 0) break;
      digits = digits * 100'000'000 + eight_digits(word);
      at += 8;
      taken += 8;
    }
  }
  for (; at != end && have + taken < 19; ++at, ++taken) {
    const auto digit = static_cast<unsigned>(*at - '0');
    if (digit > 9) break;
    digits = digits * 10 + digit;
  }
  return taken;
}

// 17 to 24 characters, as doubles are written to the last bit: digits, 19 of them significant at most, and a
// point. As the shorter forms in the header, with three words instead of two; false for anything else.
bool read_three_words(const char* at, const char* end, double& magnitude) {
  constexpr std::uint64_t kZeros = 0x3030303030303030u;
  const auto length = static_cast<std::size_t>(end - at);
  std::uint64_t first = (load_word(at) ^ kZeros) << (192 - 8 * length);
  std::uint64_t second = load_word(end - 16) ^ kZeros, third = load_word(end - 8) ^ kZeros;
  const std::uint64_t odd_first = no_digits(first), odd_second = no_digits(second),
                      odd_third = no_digits(third);
  unsigned fraction = 0;
  if ((odd_first | odd_second | odd_third) != 0) {
    const std::uint64_t in_first = up_to_first(odd_first);
    const std::uint64_t in_second = odd_first != 0 ? 0 : up_to_first(odd_second);
    const std::uint64_t in_third = (odd_first | odd_second) != 0 ? 0 : up_to_first(odd_third);
    third = (((third << 8) | (second >> 56)) & in_third) | (third & ~in_third);
    second = (((second << 8) | (first >> 56)) & in_second) | (second & ~in_second);
    first = ((first << 8) & in_first) | (first & ~in_first);
    int place = 16 + std::countr_zero(odd_third | kHighestBit) / 8;
    if (odd_second != 0) place = 8 + std::countr_zero(odd_second) / 8;
    if (odd_first != 0) place = std::countr_zero(odd_first) / 8;
    fraction = static_cast<unsigned>(23 - place);
    if (*(end - 1 - fraction) != '.') return false;
    if ((no_digits(first) | no_digits(second) | no_digits(third)) != 0) return false;
  }
  const std::uint64_t leading = eight_digits(first);
  if (leading > 1843) return false;  // beyond 64 bits, or nearly
  const std::uint64_t digits =
      (leading * 100'000'000 + eight_digits(second)) * 100'000'000 + eight_digits(third);
  if (fraction == 0) {
    magnitude = static_cast<double>(digits);
  } else if (digits < kExactBelow && fraction <= 22) {
    magnitude = static_cast<double>(digits) / kPowersOfTen[fraction];
  } else if (fraction <= 19) {
    magnitude = quotient_of(digits, fraction);
  } else {
    return false;
  }
  return true;
}

}  // namespace

bool read_long_number(const char* begin, const char* end, double& value) {
  const char* at = begin;
  const bool negative = at != end && *at == '-';
  if (negative) ++at;
  if constexpr (std::endian::native == std::endian::little) {
    if (end - at >= 17 && end - at <= 24 && read_three_words(at, end, value)) {
      if (negative) value = -value;
      return true;
    }
  }
  std::uint64_t digits = 0;
  int count = take_digits(at, end, digits, 0);
  int power = 0;
  if (at != end && *at == '.') {
    ++at;
    power = -take_digits(at, end, digits, count);
    count -= power;
  }
  if (count > 0 && at != end && (*at == 'e' || *at == 'E')) {
    const char* exponent = at + 1;
    const bool down = exponent != end && *exponent == '-';
    if (exponent != end && (*exponent == '-' || *exponent == '+')) ++exponent;
    std::uint64_t size = 0;
    if (const int taken = take_digits(exponent, end, size, 0); taken > 0 && taken < 4 && exponent == end) {
      power += down ? -static_cast<int>(size) : static_cast<int>(size);
      at = end;
    }
  }
  if (count > 0 && at == end) {
    const bool exact = digits < kExactBelow;
    double magnitude = 0;
    bool done = true;
    if (power == 0) {
      magnitude = static_cast<double>(digits);
    } else if (exact && power < 0 && power >= -22) {
      magnitude = static_cast<double>(digits) / kPowersOfTen[static_cast<std::size_t>(-power)];
    } else if (exact && power > 0 && power <= 22) {
      magnitude = static_cast<double>(digits) * kPowersOfTen[static_cast<std::size_t>(power)];
    } else if (power < 0 && power >= -19) {
      magnitude = quotient_of(digits, static_cast<unsigned>(-power));
    } else {
      done = false;
    }
    if (done) {
      value = negative ? -magnitude : magnitude;
      return true;
    }
  }
  const auto number = parse_number({begin, static_cast<std::size_t>(end - begin)});
  if (!number) return false;
  value = *number;
  return true;
}

}  // namespace nidus::data::internal
