#include "serve/json_reader.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "base/random.h"

namespace nidus::serve {
namespace {

using Json = nlohmann::json;

// The plain twin: what the reader says, built into a document.
bool build(JsonReader& reader, Json& out) {
  switch (reader.peek()) {
    case JsonReader::Kind::object: {
      out = Json::object();
      if (!reader.enter_object()) return false;
      std::string_view key;
      while (reader.next_key(key)) {
        const std::string name(key);
        Json value;
        if (!build(reader, value)) return false;
        out[name] = std::move(value);
      }
      return !reader.failed();
    }
    case JsonReader::Kind::array: {
      out = Json::array();
      if (!reader.enter_array()) return false;
      while (reader.next_element()) {
        Json value;
        if (!build(reader, value)) return false;
        out.push_back(std::move(value));
      }
      return !reader.failed();
    }
    case JsonReader::Kind::text: {
      std::string_view text;
      if (!reader.read_text(text)) return false;
      out = std::string(text);
      return true;
    }
    case JsonReader::Kind::number: {
      double number = 0;
      if (!reader.read_number(number)) return false;
      out = number;
      return true;
    }
    case JsonReader::Kind::truth: {
      bool truth = false;
      if (!reader.read_truth(truth)) return false;
      out = truth;
      return true;
    }
    case JsonReader::Kind::null:
      out = nullptr;
      return reader.read_null();
    case JsonReader::Kind::not_finite:
    case JsonReader::Kind::none:
      break;
  }
  return false;
}

bool read(const std::string& text, Json& out) {
  JsonReader reader(text);
  return build(reader, out) && reader.finish();
}

bool skips(const std::string& text) {
  JsonReader reader(text);
  return reader.skip() && reader.finish();
}

// Numbers as doubles, as the reader has them.
Json with_doubles(const Json& json) {
  if (json.is_number()) return json.get<double>();
  if (!json.is_structured()) return json;
  Json out = json;
  for (auto& element : out) element = with_doubles(element);
  return out;
}

void expect_as_nlohmann(const std::string& text) {
  const Json theirs = Json::parse(text, nullptr, false);
  Json ours;
  const bool good = read(text, ours);
  EXPECT_EQ(good, skips(text)) << text;
  if (theirs.is_discarded()) {
    EXPECT_FALSE(good) << text;
  } else if (good) {
    EXPECT_EQ(ours, with_doubles(theirs)) << text;
  } else {
    // What it refuses beyond nlohmann: depth, and numbers that nlohmann refuses, too.
    ADD_FAILURE() << text;
  }
}

TEST(JsonReader, ReadsWhatNlohmannReads) {
  for (const char* text : {"{}",
                           "[]",
                           "0",
                           "-0",
                           "-0.0",
                           "1.5e3",
                           "[1,2,3]",
                           " { \"a\" : [ true , false , null ] } ",
                           "\"\"",
                           "\"a\\n\\u00e9\\ud83d\\ude00\\\"\"",
                           "\"\xc3\xa9\"",
                           "{\"a\":{\"b\":{}}}",
                           "[[],[[]]]",
                           "1e-400",
                           "123456789012345678901234567890",
                           "0.1",
                           "9007199254740993",
                           "1e22",
                           "1e23",
                           "3.141592653589793",
                           "5e-324",
                           "2.2250738585072011e-308",
                           "{\"\":1}",
                           "[1e5,1E5,1e+5,1e-5]",
                           "1.7976931348623157e308"})
    expect_as_nlohmann(text);
}

TEST(JsonReader, RefusesWhatIsNoJson) {
  for (const char* text : {"",
                           " ",
                           "{",
                           "[",
                           "}",
                           "]",
                           "{]",
                           "[}",
                           "[1,]",
                           "[,1]",
                           "{,}",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"a\":1,}",
                           "{a:1}",
                           "01",
                           "-",
                           "+1",
                           ".5",
                           "1.",
                           "1.e3",
                           "1e",
                           "1e+",
                           "tru",
                           "nul",
                           "truee",
                           "\"",
                           "\"\\\"",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\ud800\"",
                           "\"\\ude00\"",
                           "\"\n\"",
                           "\"\xff\"",
                           "\"\xc3\"",
                           "\"\xed\xa0\x80\"",
                           "1 2",
                           "[1 2]",
                           "{\"a\":1 \"b\":2}",
                           "NaN",
                           "Infinity",
                           "-Infinity",
                           "[NaN]",
                           "'a'",
                           "{\"a\":1}}",
                           "[1]]",
                           "// x\n1",
                           "\xef\xbb\xbf{"})
    EXPECT_FALSE(read(text, *std::make_unique<Json>())) << text;
}

TEST(JsonReader, AgreesWithNlohmannOnBrokenPiecesOfDocuments) {
  const std::string whole =
      "{\"features\":{\"Flow "
      "Duration\":12.50,\"x\\u0041\":-3e-7,\"t\":true,\"n\":null,\"s\":\"\\\\\xc3\xa9\"},\"l\":[0,[],{}]}";
  expect_as_nlohmann(whole);
  for (std::size_t i = 0; i < whole.size(); ++i) expect_as_nlohmann(whole.substr(0, i));
  Random random(20261121);
  constexpr std::string_view kBytes = "{}[]\",:0123456789.eE+-tfn \\u\x80\n";
  for (int round = 0; round < 5000; ++round) {
    std::string text = whole;
    for (std::uint64_t n = 1 + random.below(3); n-- > 0;) {
      const auto at = random.below(text.size());
      const char byte = kBytes[random.below(kBytes.size())];
      if (random.below(3) == 0) {
        text.erase(at, 1);
      } else if (random.below(2) == 0) {
        text.insert(at, 1, byte);
      } else {
        text[at] = byte;
      }
    }
    expect_as_nlohmann(text);
  }
}

TEST(JsonReader, NumbersAreTheNearestDoubles) {
  Random random(7);
  for (int i = 0; i < 20000; ++i) {
    std::string text = random.below(2) == 0 ? "-" : "";
    text += std::to_string(random.below(10));
    const auto digits = [&](std::uint64_t most) {
      for (auto n = random.below(most); n-- > 0;) text += static_cast<char>('0' + random.below(10));
    };
    if (text.back() != '0') digits(20);
    if (random.below(2) == 0) {
      text += "." + std::to_string(random.below(10));
      digits(25);
    }
    if (random.below(3) == 0) text += fmt::format("e{}", static_cast<int>(random.below(600)) - 300);
    double number = 0;
    JsonReader reader(text);
    ASSERT_TRUE(reader.read_number(number) && reader.finish()) << text;
    EXPECT_EQ(number, std::strtod(text.c_str(), nullptr)) << text;
  }
}

TEST(JsonReader, MagnitudesBeyondDoubleAreInfiniteOrNothing) {
  const auto number_of = [](const std::string& text) {
    double number = 1;
    JsonReader reader(text);
    EXPECT_TRUE(reader.read_number(number) && reader.finish()) << text;
    return number;
  };
  EXPECT_EQ(number_of("1e400"), std::numeric_limits<double>::infinity());
  EXPECT_EQ(number_of("-1e999999999999999999999"), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(number_of("1e-400"), 0);
  EXPECT_EQ(number_of("1" + std::string(400, '0') + "e-5"), std::numeric_limits<double>::infinity());
  EXPECT_EQ(number_of("0." + std::string(400, '0') + "1e+5"), 0);
  EXPECT_EQ(number_of("0e999999"), 0);
}

TEST(JsonReader, DepthIsLimited) {
  const auto nested = [](std::size_t n) { return std::string(n, '[') + std::string(n, ']'); };
  EXPECT_TRUE(skips(nested(JsonReader::kDepthMax)));
  EXPECT_FALSE(skips(nested(JsonReader::kDepthMax + 1)));
  EXPECT_FALSE(skips(std::string(1'000'000, '[')));
  EXPECT_FALSE(skips(std::string(1'000'000, '{')));
}

TEST(JsonReader, TellsKeysThatAreExpectedFromOthers) {
  JsonReader reader(R"({"a": 1, "ab":2 ,"c":3})");
  double number = 0;
  std::string_view key;
  ASSERT_TRUE(reader.enter_object());
  ASSERT_TRUE(reader.next_key_is("\"a\""));
  ASSERT_TRUE(reader.read_number(number));
  EXPECT_FALSE(reader.next_key_is("\"a\""));
  ASSERT_TRUE(reader.next_key(key));
  EXPECT_EQ(key, "ab");
  EXPECT_EQ(reader.written_member(), ", \"ab\":");
  ASSERT_TRUE(reader.read_number(number));
  ASSERT_TRUE(reader.next_key_is("\"c\""));
  ASSERT_TRUE(reader.read_number(number));
  EXPECT_EQ(number, 3);
  EXPECT_FALSE(reader.next_key_is("\"c\""));
  EXPECT_FALSE(reader.next_key(key));
  EXPECT_TRUE(reader.finish());
}

TEST(JsonReader, TellsMembersThatAreExpectedFromOthers) {
  constexpr const char* kFirst = "{ \"a fairly long key\" :\n 1 , \"b\": 2}";
  JsonReader first(kFirst);
  std::string_view key;
  double number = 0;
  ASSERT_TRUE(first.enter_object());
  ASSERT_TRUE(first.next_key(key));
  const std::string a(first.written_member());
  EXPECT_EQ(a, "\"a fairly long key\" :\n ");
  ASSERT_TRUE(first.read_number(number));
  ASSERT_TRUE(first.next_key(key));
  const std::string b(first.written_member());
  EXPECT_EQ(b, ", \"b\": ");

  JsonReader again(kFirst);
  ASSERT_TRUE(again.enter_object());
  EXPECT_FALSE(again.next_member_is(b));
  ASSERT_TRUE(again.next_member_is(a));
  EXPECT_EQ(again.written_member(), a);
  ASSERT_TRUE(again.read_number(number));
  EXPECT_EQ(number, 1);
  EXPECT_FALSE(again.next_member_is(a));
  ASSERT_TRUE(again.next_member_is(b));
  ASSERT_TRUE(again.read_number(number));
  EXPECT_EQ(number, 2);
  EXPECT_FALSE(again.next_member_is(b));
  EXPECT_FALSE(again.next_key(key));
  EXPECT_TRUE(again.finish());

  // A comma too many or too few is one, whatever was expected; and every byte of a long key counts.
  for (std::string text :
       {std::string("{, \"b\": 2}"), std::string("{\"x\":1 \"a fairly long key\" :\n 1}")}) {
    JsonReader wrong(text);
    ASSERT_TRUE(wrong.enter_object());
    if (text[1] == '"') {
      ASSERT_TRUE(wrong.next_key(key) && wrong.read_number(number));
    }
    EXPECT_FALSE(wrong.next_member_is(a)) << text;
    EXPECT_FALSE(wrong.next_member_is(b)) << text;
    EXPECT_FALSE(wrong.next_key(key)) << text;
    EXPECT_TRUE(wrong.failed()) << text;
  }
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::string other = "{" + a + "1, \"b\": 2}";
    ++other[i + 1];
    JsonReader reader(other);
    ASSERT_TRUE(reader.enter_object());
    EXPECT_FALSE(reader.next_member_is(a)) << other;
  }
}

// What stands behind a number says whether it is read eight digits at once or one by one.
TEST(JsonReader, NumbersAreTheSameWhateverStandsBehindThem) {
  std::mt19937_64 random(7);
  const auto digits = [&](std::size_t count) {
    std::string out;
    for (std::size_t i = 0; i < count; ++i) out += static_cast<char>('0' + random() % 10);
    return out;
  };
  for (int round = 0; round < 20000; ++round) {
    std::string text = random() % 4 == 0 ? "-" : "";
    std::string whole = digits(1 + random() % 10);
    if (whole.size() > 1 && whole[0] == '0') whole[0] = '1';
    text += whole;
    if (random() % 2 == 0) text += "." + digits(1 + random() % 10);
    if (random() % 8 == 0) text += "e-2";
    const double expected = std::strtod(text.c_str(), nullptr);
    for (const std::string& behind : {std::string(), std::string(","), std::string("                    "),
                                      std::string(", \"Feature\": 123456789"), std::string(20, '\xff'),
                                      std::string(20, ':'), std::string(20, '/')}) {
      const std::string all = text + behind;
      JsonReader reader(all);
      double number = 0;
      ASSERT_TRUE(reader.read_number(number)) << all;
      ASSERT_EQ(std::bit_cast<std::uint64_t>(number), std::bit_cast<std::uint64_t>(expected)) << all;
    }
  }
  for (const char* const wrong : {"-", "-x", "01", "00.5", "1.", "1.x", "-01.5", "1e", "x"}) {
    for (const std::string& behind : {std::string(), std::string(40, ' ')}) {
      const std::string all = wrong + behind;
      JsonReader reader(all);
      double number = 0;
      EXPECT_FALSE(reader.read_number(number)) << all;
      EXPECT_TRUE(reader.failed()) << all;
    }
  }
}

TEST(JsonReader, SaysWhereItFailed) {
  JsonReader reader("{\"a\" 1}");
  EXPECT_FALSE(reader.skip());
  EXPECT_EQ(reader.problem(), "byte 5: expected ':'");
}

}  // namespace
}  // namespace nidus::serve
