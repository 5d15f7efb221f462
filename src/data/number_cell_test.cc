#include "data/internal/number_cell.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <optional>
#include <string>

#include "base/number.h"
#include "base/random.h"

namespace nidus::data::internal {
namespace {

std::optional<double> read(const std::string& cell) {
  std::string padded = "9" + cell;  // what stands before and behind a cell must not matter
  padded.append(kCellPadding, '7');
  double value = 0;
  if (!read_number(padded.data() + 1, padded.data() + 1 + cell.size(), value)) return std::nullopt;
  return value;
}

// Equal to the last bit to what the C library reads, or no number just as base says.
void check(const std::string& cell) {
  const auto ours = read(cell);
  const auto base = parse_number(cell);
  ASSERT_EQ(ours.has_value(), base.has_value()) << "'" << cell << "'";
  if (!ours) return;
  const double theirs = std::strtod(cell.c_str(), nullptr);
  if (std::isnan(theirs)) {
    EXPECT_TRUE(std::isnan(*ours)) << cell;
  } else {
    EXPECT_EQ(*ours, theirs) << cell;
    EXPECT_EQ(std::signbit(*ours), std::signbit(theirs)) << cell;
  }
}

TEST(NumberCell, DecimalsOfEveryLengthAndPlaceOfThePoint) {
  Random random(1);
  for (int round = 0; round < 400; ++round) {
    for (std::size_t length = 1; length <= 24; ++length) {
      std::string digits;
      for (std::size_t i = 0; i < length; ++i) digits += static_cast<char>('0' + random.below(10));
      check(digits);
      check("-" + digits);
      const auto point = random.below(length + 1);
      check(digits.substr(0, point) + "." + digits.substr(point));
      check("-" + digits.substr(0, point) + "." + digits.substr(point));
      const auto exponent = std::to_string(static_cast<int>(random.below(60)) - 30);
      check(digits.substr(0, point) + "." + digits.substr(point) + "e" + exponent);
    }
  }
}

TEST(NumberCell, DoublesComeBackFromTheirShortestText) {
  Random random(2);
  for (int round = 0; round < 200000; ++round) {
    const double value = std::ldexp(random.unit() - 0.5, static_cast<int>(random.below(80)) - 40);
    std::string text;
    append_number(text, value);
    const auto ours = read(text);
    ASSERT_TRUE(ours) << text;
    ASSERT_EQ(*ours, value) << text;
  }
}

// Quotients that lie exactly between two doubles, or next to that: where rounding goes wrong first.
TEST(NumberCell, TiesAndTheirNeighbours) {
  Random random(3);
  for (int round = 0; round < 20000; ++round) {
    const std::uint64_t odd = (std::uint64_t{1} << 53) + 2 * random.below(1u << 20) + 1;
    for (const int shift : {0, 1, 2, 3}) {
      const std::string whole = std::to_string(odd >> shift);
      const char* const fraction = shift == 0 ? "" : (odd & 1) != 0 && shift == 1 ? ".5" : ".25";
      check(whole + fraction);
      check(std::to_string(odd) + ".000");
      check(std::to_string(odd) + ".001");
      check(std::to_string(odd - 1) + ".999");
    }
  }
}

TEST(NumberCell, TextsOfAllKindsAreNoNumbers) {
  Random random(4);
  const std::string letters = "0123456789.-+eE xnaif:/";
  for (int round = 0; round < 300000; ++round) {
    std::string cell;
    const auto length = random.below(20);
    for (std::uint64_t i = 0; i < length; ++i) {
      cell +=
          random.below(4) == 0 ? static_cast<char>(random.below(256)) : letters[random.below(letters.size())];
    }
    if (cell.find('\0') == std::string::npos) {
      const auto ours = read(cell);
      const auto base = parse_number(cell);
      ASSERT_EQ(ours.has_value(), base.has_value()) << "'" << cell << "'";
      if (ours && !std::isnan(*ours)) {
        ASSERT_EQ(*ours, *base) << "'" << cell << "'";
      }
    }
  }
  for (const char* cell :
       {"", "-", ".", "-.", "+", "1..2", "1.2.3", "12345678.12345.7", "1e", "1e5.", "e5"}) {
    EXPECT_FALSE(read(cell)) << cell;
  }
}

TEST(NumberCell, NamedNumbersAndSpaces) {
  for (const char* cell : {"inf", "-Infinity", "NaN", " 5", "5 ", "+7", "1e400", "-1e-400", "1e5", "1E+05"}) {
    check(cell);
  }
}

}  // namespace
}  // namespace nidus::data::internal
