#include "base/base64.h"

#include <array>

namespace nidus {
namespace {

constexpr std::uint32_t kNone = 1u << 31;  // of what is no character of the alphabet

// What a character is worth at each of the four places of a group.
struct Tables {
  std::array<std::array<std::uint32_t, 256>, 4> place{};

  constexpr Tables() {
    constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (auto& table : place) {
      for (auto& value : table) value = kNone;
    }
    for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
      for (std::size_t p = 0; p < 4; ++p)
        place[p][static_cast<unsigned char>(kAlphabet[i])] = static_cast<std::uint32_t>(i) << (18 - 6 * p);
    }
  }
};
constexpr Tables kTables;

}  // namespace

bool Base64Decoder::slowly(char c, std::vector<std::byte>& out) {
  if (c == '\n' || c == '\r') return true;
  if (ended_) return false;
  if (c == '=') {
    if (held_ < 2) return false;
    ++padding_;
  } else {
    const std::uint32_t value = kTables.place[3][static_cast<unsigned char>(c)];
    if (value == kNone || padding_ != 0) return false;
    group_ |= value << (18 - 6 * held_);
  }
  if (++held_ < 4) return true;
  // The bits that padding leaves over.
  if (padding_ > 0 && (group_ & ((1u << (8 * padding_)) - 1)) != 0) return false;
  for (int i = 0; i < 3 - padding_; ++i) out.push_back(static_cast<std::byte>(group_ >> (16 - 8 * i) & 0xff));
  ended_ = padding_ > 0;
  group_ = 0;
  held_ = padding_ = 0;
  return true;
}

bool Base64Decoder::feed(std::string_view piece, std::vector<std::byte>& out) {
  if (wrong_) return false;
  std::size_t at = 0;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(piece[at + i]); };
  while (at < piece.size()) {
    if (held_ == 0 && !ended_) {
      // Whole groups, until one has something else in it.
      const std::size_t had = out.size();
      out.resize(had + (piece.size() - at) / 4 * 3);
      std::byte* to = out.data() + had;
      while (piece.size() - at >= 4) {
        const std::uint32_t group = kTables.place[0][byte(0)] | kTables.place[1][byte(1)] |
                                    kTables.place[2][byte(2)] | kTables.place[3][byte(3)];
        if ((group & kNone) != 0) break;
        *to++ = static_cast<std::byte>(group >> 16);
        *to++ = static_cast<std::byte>(group >> 8 & 0xff);
        *to++ = static_cast<std::byte>(group & 0xff);
        at += 4;
        taken_ += 4;
      }
      out.resize(static_cast<std::size_t>(to - out.data()));
      if (at == piece.size()) return true;
    }
    // Over the obstacle, character by character.
    do {
      if (!slowly(piece[at], out)) return wrong_ = true, false;
      ++at;
      ++taken_;
    } while (at < piece.size() && held_ != 0);
  }
  return true;
}

}  // namespace nidus
