#include "base/number.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "base/random.h"

namespace nidus {
namespace {

std::string text_of(double value) {
  std::string out;
  append_number(out, value);
  return out;
}

TEST(Number, WholeNumbersHaveNoFraction) {
  EXPECT_EQ(text_of(0), "0");
  EXPECT_EQ(text_of(-7), "-7");
  EXPECT_EQ(text_of(120000000), "120000000");
  EXPECT_EQ(text_of(0.1), "0.1");
}

TEST(Number, ExtremesOfIntegers) {
  std::string out;
  append_number(out, std::numeric_limits<std::int64_t>::min());
  append_number(out, std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(out, "-922337203685477580818446744073709551615");
}

TEST(Number, EveryDoubleReadsBackTheSame) {
  Random random(7);
  for (int i = 0; i < 100'000; ++i) {
    const std::uint64_t bits = random.next();
    double value;
    std::memcpy(&value, &bits, sizeof value);
    if (std::isnan(value)) continue;
    const std::string text = text_of(value);
    ASSERT_LE(text.size(), kNumberLengthMax);
    ASSERT_EQ(parse_number(text), value) << text;
  }
  EXPECT_TRUE(std::signbit(*parse_number(text_of(-0.0))));
}

TEST(Number, ReadsWhatDataSetsContain) {
  EXPECT_EQ(parse_number(" 1.5\r"), 1.5);
  EXPECT_EQ(parse_number("+3"), 3.0);
  EXPECT_EQ(parse_number("1e3"), 1000.0);
  EXPECT_TRUE(std::isinf(*parse_number("Infinity")));
  EXPECT_TRUE(std::isinf(*parse_number("-inf")));
  EXPECT_TRUE(std::isnan(*parse_number("NaN")));
  EXPECT_TRUE(std::isinf(*parse_number("1e999")));
  EXPECT_EQ(parse_number("1e-999"), 0.0);
}

TEST(Number, RefusesWhatIsNotANumber) {
  for (const char* text : {"", " ", "tcp", "1.2.3", "1 2", "0x10", "--1", "+-1", "1,5", "e5"}) {
    EXPECT_EQ(parse_number(text), std::nullopt) << text;
  }
  EXPECT_EQ(parse_integer("12a"), std::nullopt);
  EXPECT_EQ(parse_integer("9223372036854775808"), std::nullopt);
  EXPECT_EQ(parse_integer(" 12 "), 12);
}

}  // namespace
}  // namespace nidus
