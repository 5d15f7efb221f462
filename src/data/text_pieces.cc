#include "data/internal/text_pieces.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/text.h"
#include "data/internal/number_cell.h"

namespace nidus::data::internal {
namespace {

// Enough for the header of a log, whose lines must all be in the first piece.
constexpr std::size_t kPeekBytes = 1u << 16;

}  // namespace

void TextPiece::reserve(std::size_t capacity) {
  if (capacity + kCellPadding <= capacity_) return;
  auto larger = std::make_unique_for_overwrite<char[]>(capacity + kCellPadding);
  if (filled_ > 0) std::memcpy(larger.get(), memory_.get(), filled_);
  memory_ = std::move(larger);
  capacity_ = capacity + kCellPadding;
}

TextPieces::TextPieces(OpenBytes bytes, std::size_t piece_bytes, std::size_t line_bytes_max,
                       std::uint64_t bytes_max)
    : source_(std::move(bytes)),
      piece_bytes_(std::clamp<std::size_t>(piece_bytes, 16, 1u << 30)),
      line_bytes_max_(std::min<std::size_t>(line_bytes_max, 1u << 30)),
      bytes_left_(bytes_max) {}

// Reads until the piece has `wanted` bytes or the stream ends.
Result<bool> TextPieces::fill(TextPiece& piece, std::size_t wanted) {
  piece.reserve(wanted + 1);  // a last line without an end gets one
  while (piece.filled_ < wanted && !at_end_) {
    auto got = source_.bytes->read(piece.memory_.get() + piece.filled_, wanted - piece.filled_);
    if (!got) return std::move(got).error();
    if (*got > bytes_left_) return Error{Errc::exhausted, "more bytes than the limit allows"};
    bytes_left_ -= *got;
    piece.filled_ += *got;
    at_end_ = *got == 0;
  }
  return !at_end_;
}

Result<std::string_view> TextPieces::peek() {
  TextPiece head;
  if (auto filled = fill(head, std::max(4 * piece_bytes_, kPeekBytes)); !filled) {
    return std::move(filled).error();
  }
  std::string_view text = head.text();
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  kept_ = text;
  started_ = true;
  return std::string_view(kept_);
}

Result<bool> TextPieces::next(TextPiece& piece) {
  if (!started_) {
    if (auto begun = peek(); !begun) return std::move(begun).error();
  }
  piece.filled_ = piece.skipped_ = 0;
  piece.reserve(std::max(piece_bytes_, kept_.size()) + 1);
  std::memcpy(piece.memory_.get(), kept_.data(), kept_.size());
  piece.filled_ = kept_.size();
  kept_.clear();
  std::size_t wanted = std::max(piece_bytes_, piece.filled_), whole = 0;
  for (;;) {
    if (auto filled = fill(piece, wanted); !filled) return std::move(filled).error();
    if (piece.filled_ == 0) return false;
    char* const text = piece.memory_.get();
    if (at_end_) {
      if (text[piece.filled_ - 1] != '\n') text[piece.filled_++] = '\n';
      whole = piece.filled_;
      piece.quoted_ = separator_ && std::memchr(text, '"', whole) != nullptr;
      break;
    }
    bool open = false;
    piece.quoted_ = separator_ && std::memchr(text, '"', piece.filled_) != nullptr;
    if (piece.quoted_) {
      whole = whole_records({text, piece.filled_}, *separator_, open);
    } else {
      const auto* const last = static_cast<const char*>(memrchr(text, '\n', piece.filled_));
      whole = last == nullptr ? 0 : static_cast<std::size_t>(last - text) + 1;
    }
    const std::size_t rest = piece.filled_ - whole;
    if (rest > line_bytes_max_ && open) {
      const auto* const line_end = static_cast<const char*>(std::memchr(text + whole, '\n', rest));
      if (line_end != nullptr) {
        whole = static_cast<std::size_t>(line_end - text) + 1;
        break;
      }
    }
    if (whole > 0) break;
    if (rest > line_bytes_max_) {
      return Error{Errc::exhausted, "a row longer than " + with_thousands(line_bytes_max_) + " bytes"};
    }
    wanted = std::min(piece.filled_ * 2, line_bytes_max_ + 1);
  }
  kept_.assign(piece.memory_.get() + whole, piece.filled_ - whole);
  piece.filled_ = whole;
  std::memset(piece.memory_.get() + whole, 0, kCellPadding);
  return true;
}

std::size_t whole_records(std::string_view text, char separator, bool& open) {
  const char* at = text.data();
  const char* const end = at + text.size();
  const char* whole = at;
  bool cell_start = true;
  open = false;
  while (at != end) {
    if (*at == '"' && cell_start) {
      for (++at;;) {
        at = static_cast<const char*>(std::memchr(at, '"', static_cast<std::size_t>(end - at)));
        if (at == nullptr) {
          open = true;
          return static_cast<std::size_t>(whole - text.data());
        }
        ++at;
        if (at == end || *at != '"') break;
        ++at;
      }
      cell_start = false;
      continue;
    }
    const char c = *at++;
    cell_start = c == separator || c == '\n';
    if (c == '\n') whole = at;
  }
  return static_cast<std::size_t>(whole - text.data());
}

}  // namespace nidus::data::internal
