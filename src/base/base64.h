#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nidus {

// Base64 (RFC 4648, the standard alphabet) piece by piece, as it arrives. Strict: padding has to be there,
// bits that are dropped have to be zero, nothing comes after the padding. Line ends (CR, LF) are skipped,
// since MIME's encoders put them in.
class Base64Decoder {
 public:
  // Appends what the piece holds. False at the first character that does not belong there; the decoder is
  // then of no further use.
  bool feed(std::string_view piece, std::vector<std::byte>& out);
  // Whether the text may end here.
  bool complete() const { return !wrong_ && held_ == 0; }
  // How many characters were taken, the wrong one not among them.
  std::uint64_t taken() const { return taken_; }

 private:
  bool slowly(char c, std::vector<std::byte>& out);

  std::uint32_t group_ = 0;  // of the characters held, and how many they are
  int held_ = 0;
  int padding_ = 0;  // '=' of the last group
  bool ended_ = false, wrong_ = false;
  std::uint64_t taken_ = 0;
};

}  // namespace nidus
