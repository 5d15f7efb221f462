#include "serve/json_stream.h"

#include <gtest/gtest.h>

#include <string>

namespace nidus::serve {
namespace {

// Writes down what it is told.
class Notes final : public JsonSink {
 public:
  bool begin(char bracket) override { return note({&bracket, 1}); }
  bool end(char bracket) override { return note({&bracket, 1}); }
  bool key(std::string_view name) override { return note("<" + std::string(name) + ">"); }
  bool text(std::string_view piece) override {
    held += piece;
    return true;
  }
  bool text_end() override {
    note("'" + held + "'");
    held.clear();
    return true;
  }
  bool scalar(std::string_view written) override { return note("(" + std::string(written) + ")"); }

  std::string said, held;

 private:
  bool note(std::string_view what) {
    said += what;
    return true;
  }
};

// What is read in pieces of this size, or the problem.
std::string read(std::string_view json, std::size_t piece = 1000) {
  Notes notes;
  JsonStream stream(notes);
  for (std::size_t at = 0; at < json.size(); at += piece) {
    if (!stream.feed(json.substr(at, piece))) return stream.problem();
  }
  return stream.finish() ? notes.said : stream.problem();
}

TEST(JsonStreamTest, ReadsEveryKindOfValueInAnyPieces) {
  const std::string json =
      " {\"a\" : [1, -2.5e+3,true,null, "
      "{}],\"\\u0062\\n\":\"x\\/\\ud83d\\ude00\\u00e9\" , \"c\":[]}\n";
  for (std::size_t piece = 1; piece < 20; ++piece) {
    EXPECT_EQ(read(json, piece),
              "{<a>[(1)(-2.5e+3)(true)(null){}]<b\n>'x/"
              "\xf0\x9f\x98\x80\xc3\xa9'<c>[]}")
        << piece;
  }
  EXPECT_EQ(read("12"), "(12)");
  EXPECT_EQ(read("\"\""), "''");
}

TEST(JsonStreamTest, WhatIsNoJsonIsRefusedWithItsPlace) {
  EXPECT_EQ(read(""), "byte 0: there is nothing");
  EXPECT_EQ(read(" \n"), "byte 2: there is nothing");
  EXPECT_EQ(read("{\"a\" 1}"), "byte 5: expected ':'");
  EXPECT_EQ(read("{\"a\":1"), "byte 6: ends too early");
  EXPECT_EQ(read("[1 2]"), "byte 3: expected ',' or ']'");
  for (const char* const wrong : {"{",           "[",
                                  "]",           "}",
                                  "[1,]",        "{\"a\":1,}",
                                  "{,}",         "[,]",
                                  "{1:2}",       "01",
                                  "1.",          ".5",
                                  "1e",          "+1",
                                  "--1",         "NaN",
                                  "Infinity",    "tru",
                                  "nul",         "truex",
                                  "'a'",         "\"",
                                  "\"\\x\"",     "\"\\u12g4\"",
                                  "\"\\ud800\"", "\"\\ud800x\"",
                                  "\"\\udc00\"", "\"\n\"",
                                  "[1]]",        "1 2",
                                  "{\"a\":1}x",  "[[[[[[[[[]]]]]]]]]",
                                  "{\"a\"}",     "{\"a\":}"}) {
    for (const std::size_t piece : {1, 2, 1000}) {
      const std::string said = read(wrong, piece);
      EXPECT_TRUE(said.starts_with("byte ")) << wrong << " in pieces of " << piece << ": " << said;
    }
  }
  EXPECT_TRUE(read("{\"" + std::string(257, 'k') + "\":1}").starts_with("byte "));
  EXPECT_TRUE(read(std::string(65, '1')).starts_with("byte "));
}

TEST(JsonStreamTest, WhatTheSinkDoesNotWantEndsIt) {
  class Picky final : public JsonSink {
   public:
    bool begin(char) override { return true; }
    bool end(char) override { return true; }
    bool key(std::string_view name) override { return name != "no"; }
    bool text(std::string_view) override { return false; }
    bool text_end() override { return true; }
    bool scalar(std::string_view) override { return true; }
  } picky;
  JsonStream one(picky), other(picky);
  EXPECT_FALSE(one.feed("{\"yes\":1,\"no\":2}"));
  EXPECT_EQ(one.problem(), "");
  EXPECT_FALSE(one.feed("x"));
  EXPECT_FALSE(one.finish());
  EXPECT_FALSE(other.feed("[\"text\"]"));
}

}  // namespace
}  // namespace nidus::serve
