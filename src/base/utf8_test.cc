#include "base/utf8.h"

#include <gtest/gtest.h>

namespace nidus {
namespace {

std::size_t length_of(std::string_view text) { return utf8_length(text.data(), text.data() + text.size()); }

TEST(Utf8Test, EveryCharacterIsReadAsItWasWritten) {
  for (std::uint32_t character = 0; character <= 0x10ffff; ++character) {
    if (character >= 0xd800 && character < 0xe000) continue;
    std::string text;
    append_utf8(text, character);
    ASSERT_EQ(length_of(text), text.size()) << character;
    ASSERT_EQ(text.size(), character < 0x80 ? 1u : character < 0x800 ? 2u : character < 0x10000 ? 3u : 4u);
  }
}

TEST(Utf8Test, WhatIsNoCharacterIsReplaced) {
  for (const std::uint32_t none : {0xd800u, 0xdfffu, 0x110000u, 0xffffffffu}) {
    std::string text;
    append_utf8(text, none);
    EXPECT_EQ(text, "\xef\xbf\xbd") << none;
  }
}

TEST(Utf8Test, IllFormedSequencesHaveNoLength) {
  for (const std::string_view text :
       {"\x80", "\xc0\x80", "\xc1\xbf", "\xc3", "\xc3(", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xe2\x82",
        "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf0\x9f\x98", "\xf5\x80\x80\x80", "\xff"}) {
    EXPECT_EQ(length_of(text), 0u) << text;
  }
  EXPECT_EQ(length_of("\xf0\x9f\x98\x80 and more"), 4u);
}

}  // namespace
}  // namespace nidus
