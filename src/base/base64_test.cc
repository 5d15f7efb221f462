#include "base/base64.h"

#include <gtest/gtest.h>

#include <cstring>
#include <optional>
#include <string>

#include "base/digest.h"
#include "base/random.h"

namespace nidus {
namespace {

// Nothing if the text is refused.
std::optional<std::string> decode(std::string_view text, std::size_t piece = 1000) {
  Base64Decoder decoder;
  std::vector<std::byte> out;
  for (std::size_t at = 0; at < text.size(); at += piece) {
    if (!decoder.feed(text.substr(at, piece), out)) return std::nullopt;
  }
  if (!decoder.complete()) return std::nullopt;
  return std::string(reinterpret_cast<const char*>(out.data()), out.size());
}

TEST(Base64Test, TheVectorsOfTheStandard) {
  EXPECT_EQ(decode(""), "");
  EXPECT_EQ(decode("Zg=="), "f");
  EXPECT_EQ(decode("Zm8="), "fo");
  EXPECT_EQ(decode("Zm9v"), "foo");
  EXPECT_EQ(decode("Zm9vYg=="), "foob");
  EXPECT_EQ(decode("Zm9vYmE="), "fooba");
  EXPECT_EQ(decode("Zm9vYmFy"), "foobar");
}

TEST(Base64Test, WhatIsWrongIsRefused) {
  for (const char* const text : {"Z", "Zg", "Zg=", "Zg===", "=Zg=", "====", "Z===", "Zg==Zg==", "Zm9v=",
                                 "Zm 9", "Zm9-", "Zm9_", "Zh==", "Zm9=", "Zm9vZ", "Zm9v\x80mFy", "Zm=v"}) {
    EXPECT_FALSE(decode(text)) << text;
    EXPECT_FALSE(decode(text, 1)) << text;
  }
}

TEST(Base64Test, LineEndsAreSkippedAnywhere) {
  EXPECT_EQ(decode("Zm9v\r\nYm\nFy\n"), "foobar");
  EXPECT_EQ(decode("\nZ\ng\n=\n=\n"), "f");
}

TEST(Base64Test, AnyBytesInAnyPiecesComeBack) {
  Random random(7);
  for (std::size_t size = 0; size < 200; ++size) {
    std::string bytes(size, '\0');
    for (char& c : bytes) c = static_cast<char>(random.next());
    std::string text = base64({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
    for (const std::size_t piece : {1, 2, 3, 4, 5, 7, 64, 1000})
      ASSERT_EQ(decode(text, piece), bytes) << size;
    for (std::size_t at = 76; at < text.size(); at += 77) text.insert(at, "\n");
    for (const std::size_t piece : {1, 3, 1000}) ASSERT_EQ(decode(text, piece), bytes) << size;
  }
}

TEST(Base64Test, SaysWhereItStopped) {
  Base64Decoder decoder;
  std::vector<std::byte> out;
  EXPECT_TRUE(decoder.feed("Zm9v", out));
  EXPECT_FALSE(decoder.feed("Ym!y", out));
  EXPECT_EQ(decoder.taken(), 6u);
}

}  // namespace
}  // namespace nidus
