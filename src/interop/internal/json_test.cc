#include "interop/internal/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>

namespace nidus::interop::internal {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

Error fault_of(std::string_view text) {
  auto read = JsonDocument::read_text(bytes_of(text));
  EXPECT_FALSE(read) << text;
  return read ? Error{} : read.error();
}

// UBJSON: lengths of eight bytes, as XGBoost writes them.
std::string length(std::int64_t n) {
  std::string out = "L";
  for (int shift = 56; shift >= 0; shift -= 8)
    out += static_cast<char>(static_cast<std::uint64_t>(n) >> shift);
  return out;
}
std::string key(const std::string& name) { return length(static_cast<std::int64_t>(name.size())) + name; }
std::string bits32(std::uint32_t bits) {
  return {static_cast<char>(bits >> 24), static_cast<char>(bits >> 16), static_cast<char>(bits >> 8),
          static_cast<char>(bits)};
}
std::string operator""_b(const char* text, std::size_t size) { return {text, size}; }

TEST(Json, EveryKindOfValue) {
  const std::string text = R"( {"a": [1, [2.5, -3e2], {"b": null}, "t\u00e9\n\ud83d\ude00\"x"],
    "yes": true, "no": false, "empty": [], "none": {}, "a\u0062": 7} )";
  const auto json = JsonDocument::read_text(bytes_of(text));
  ASSERT_TRUE(json) << json.error().message;
  const auto root = json->root();
  ASSERT_TRUE(root.is_object());
  EXPECT_EQ(root.size(), 6u);
  const auto a = root.find("a");
  ASSERT_TRUE(a && a->is_array());
  const auto parts = a->elements();
  ASSERT_EQ(parts.size(), 4u);
  EXPECT_EQ(parts[0].integer(), 1);
  EXPECT_EQ(parts[1].doubles(), (std::vector<double>{2.5, -300}));
  EXPECT_TRUE(parts[2].find("b")->is_null());
  EXPECT_EQ(parts[3].text(), "t\u00e9\n\U0001f600\"x");
  EXPECT_EQ(root.find("yes")->boolean(), true);
  EXPECT_EQ(root.find("no")->boolean(), false);
  EXPECT_EQ(root.find("empty")->floats(), std::vector<float>());
  EXPECT_EQ(root.find("empty")->texts(), std::vector<std::string>());
  EXPECT_EQ(root.find("none")->members().size(), 0u);
  EXPECT_EQ(root.find("ab")->integer(), 7);
  EXPECT_FALSE(root.find("c"));
  EXPECT_FALSE(a->find("b"));
  EXPECT_FALSE(root.find("yes")->number());
  EXPECT_EQ(root.members()[5].first, "ab");
  EXPECT_EQ(text[a->offset()], '[');
}

TEST(Json, TheLastOfTwoMembersCounts) {
  const std::string text = R"({"a":1,"b":{"a":2},"a":3})";
  const auto json = JsonDocument::read_text(bytes_of(text));
  ASSERT_TRUE(json);
  EXPECT_EQ(json->root().find("a")->integer(), 3);
  EXPECT_EQ(json->root().find("b", "a")->integer(), 2);
  EXPECT_FALSE(json->root().find("a", "a"));
}

TEST(Json, NumbersAreExactInTheTypeAskedFor) {
  // Between two floats, closer to the upper one than a double can tell: rounding twice goes down.
  const std::string text =
      "[1.00000017881393432617187499, 1.00000017881393432617187501, 16777217, 1e-45, 1e-60, -1e60, 5E-1, "
      "-0E0,"
      " NaN, Infinity, -Infinity, nan, 0.1, 9007199254740993]";
  const auto json = JsonDocument::read_text(bytes_of(text));
  ASSERT_TRUE(json) << json.error().message;
  const auto floats = json->root().floats();
  ASSERT_TRUE(floats);
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ((*floats)[0], 1.00000011920928955078125f);
  EXPECT_EQ((*floats)[1], 1.0000002384185791015625f);
  EXPECT_EQ((*floats)[2], 16777216.0f);
  EXPECT_EQ((*floats)[3], std::numeric_limits<float>::denorm_min());
  EXPECT_EQ((*floats)[4], 0.0f);
  EXPECT_EQ((*floats)[5], -inf);
  EXPECT_EQ((*floats)[6], 0.5f);
  EXPECT_TRUE((*floats)[7] == 0 && std::signbit((*floats)[7]));
  EXPECT_TRUE(std::isnan((*floats)[8]));
  EXPECT_EQ((*floats)[9], inf);
  EXPECT_EQ((*floats)[10], -inf);
  EXPECT_TRUE(std::isnan((*floats)[11]));
  EXPECT_EQ(json->root().doubles()->at(12), 0.1);
  EXPECT_EQ(json->root().elements()[13].integer(), 9007199254740993);
  EXPECT_EQ(json->root().elements()[13].number_as_float(), 9007199254740992.0f);
  EXPECT_FALSE(json->root().integers());
}

TEST(Json, WholeNumbersAndTruthValues) {
  const std::string text = "[[true,false, 1,0],[3.0,3E0,-2],[1.5],[true,null],[99999999999999999999]]";
  const auto json = JsonDocument::read_text(bytes_of(text));
  ASSERT_TRUE(json);
  const auto rows = json->root().elements();
  EXPECT_EQ(rows[0].integers(), (std::vector<std::int64_t>{1, 0, 1, 0}));
  EXPECT_FALSE(rows[0].floats());
  EXPECT_EQ(rows[0].elements()[0].boolean(), true);
  EXPECT_EQ(rows[0].elements()[1].boolean(), false);
  EXPECT_EQ(rows[1].integers(), (std::vector<std::int64_t>{3, 3, -2}));
  EXPECT_FALSE(rows[2].integers());
  EXPECT_FALSE(rows[3].integers());
  EXPECT_EQ(rows[3].elements()[1].is_null(), true);
  EXPECT_FALSE(rows[4].integers());
  EXPECT_EQ(rows[4].doubles()->at(0), 1e20);
}

TEST(Json, RefusesWhatIsNone) {
  for (const std::string_view text : {"",        " ",           "{",          "[",
                                      "[1",      "[1,",         "[1,]",       "[1 2]",
                                      "{\"a\"}", "{\"a\":}",    "{\"a\":1,}", "{1:2}",
                                      "[01]",    "[1.]",        "[.5]",       "[+1]",
                                      "[1e]",    "tru",         "nul",        "\"abc",
                                      "\"\\x\"", "\"\\u12g4\"", "\"a\nb\"",   "1 2",
                                      "[1}",     "{\"a\":1]",   "[Nan]",      "--1",
                                      "[1,[2]",  "]",           "{\"a\" 1}",  "[\"a\" \"b\"]"}) {
    EXPECT_EQ(fault_of(text).code, Errc::corrupt) << text;
  }
  EXPECT_EQ(fault_of("{\"a\": [1, 2, x]}").message, "byte 13: a value is expected");
  EXPECT_EQ(fault_of(std::string(65, '[')).code, Errc::exhausted);
  const std::string deep = std::string(64, '[') + std::string(64, ']');
  EXPECT_TRUE(JsonDocument::read_text(bytes_of(deep)));
  const std::string many = "[[],[],[],[]]";
  EXPECT_FALSE(JsonDocument::read_text(bytes_of(many), {.values = 4}));
  EXPECT_TRUE(JsonDocument::read_text(bytes_of(many), {.values = 5}));
  // However many numbers, they are one value.
  std::string numbers = "[0";
  for (int i = 0; i < 1000; ++i) numbers += ",1";
  numbers += "]";
  EXPECT_TRUE(JsonDocument::read_text(bytes_of(numbers), {.values = 1}));
}

TEST(Ubjson, EveryKindOfValue) {
  const std::string text =
      "{" + key("i") + "i\xfe" + key("U") + "U\xfe" + key("I") + "I\xff\x00"_b + key("l") + "l" +
      bits32(0x80000000) + key("L") + length(-5) + key("d") + "d" + bits32(0x3fc00000) + key("D") +
      "D\x40\x09\x21\xfb\x54\x44\x2d\x18" + key("t") + "T" + key("f") + "F" + key("z") + "Z" + key("s") +
      "S" + key("caf\xc3\xa9") + key("c") + "Cx" + key("floats") + "[$d#" + length(2) + bits32(0x3f800000) +
      bits32(0xff800000) + key("bytes") + "[$U#" + length(3) + "\x00\x01\xff"_b + key("mixed") + "[#" +
      length(3) + "i\x01"_b + "T" + "I\x01\x00"_b + key("open") + "[NU\x07S" + key("y") + "]" + key("none") +
      "[#" + length(0) + key("object") + "{#" + length(1) + key("k") + "Z" + "N}";
  const auto json = JsonDocument::read_ubjson(bytes_of(text));
  ASSERT_TRUE(json) << json.error().message;
  const auto root = json->root();
  EXPECT_EQ(root.size(), 18u);
  EXPECT_EQ(root.find("i")->integer(), -2);
  EXPECT_EQ(root.find("U")->integer(), 254);
  EXPECT_EQ(root.find("I")->integer(), -256);
  EXPECT_EQ(root.find("l")->integer(), -2147483648);
  EXPECT_EQ(root.find("L")->integer(), -5);
  EXPECT_EQ(root.find("d")->number_as_float(), 1.5f);
  EXPECT_EQ(root.find("D")->number(), 0x1.921fb54442d18p+1);
  EXPECT_EQ(root.find("t")->boolean(), true);
  EXPECT_EQ(root.find("f")->boolean(), false);
  EXPECT_TRUE(root.find("z")->is_null());
  EXPECT_EQ(root.find("s")->text(), "caf\xc3\xa9");
  EXPECT_EQ(root.find("c")->text(), "x");
  EXPECT_EQ(root.find("floats")->floats(), (std::vector<float>{1, -std::numeric_limits<float>::infinity()}));
  EXPECT_EQ(root.find("bytes")->integers(), (std::vector<std::int64_t>{0, 1, 255}));
  EXPECT_EQ(root.find("mixed")->integers(), (std::vector<std::int64_t>{1, 1, 256}));
  EXPECT_EQ(root.find("mixed")->elements()[1].boolean(), true);
  EXPECT_EQ(root.find("open")->elements()[1].text(), "y");
  EXPECT_EQ(root.find("none")->integers(), std::vector<std::int64_t>());
  EXPECT_TRUE(root.find("object", "k")->is_null());

  // A document cut anywhere is none.
  for (std::size_t size = 0; size < text.size(); ++size) {
    const auto cut = JsonDocument::read_ubjson(bytes_of(std::string_view(text).substr(0, size)));
    ASSERT_FALSE(cut) << size;
    EXPECT_EQ(cut.error().code, Errc::corrupt);
  }
}

TEST(Ubjson, RefusesLengthsThatLie) {
  const auto fault = [](const std::string& text) {
    const auto read = JsonDocument::read_ubjson(bytes_of(text));
    EXPECT_FALSE(read);
    return read ? Errc::invalid : read.error().code;
  };
  EXPECT_EQ(fault("[$d#" + length(std::int64_t{1} << 62)), Errc::corrupt);
  EXPECT_EQ(fault("[$D#" + length(2) + std::string(15, '\0')), Errc::corrupt);
  EXPECT_EQ(fault("[#" + length(-1)), Errc::corrupt);
  EXPECT_EQ(fault("[#" + length(3) + "TT"), Errc::corrupt);
  EXPECT_EQ(fault("S" + length(1000) + "abc"), Errc::corrupt);
  EXPECT_EQ(fault("[$d"), Errc::corrupt);
  EXPECT_EQ(fault("TT"), Errc::corrupt);
  EXPECT_EQ(fault(std::string(65, '[')), Errc::exhausted);
  EXPECT_EQ(fault("[$S#" + length(0)), Errc::unsupported);
  EXPECT_EQ(fault("{$d#" + length(0)), Errc::unsupported);
  EXPECT_EQ(fault("Hi\x01\x31"), Errc::unsupported);
}

}  // namespace
}  // namespace nidus::interop::internal
