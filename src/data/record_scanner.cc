#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/text.h"
#include "data/internal/record_scanner.h"

// A line without a quote, which is nearly every line, is found by memchr and cut sixteen bytes at a time. A
// line with one goes through a plain state machine that also knows records of several lines.
//
// Limits: the length of a record with its quoted line ends, the cells of a record, the bytes of the whole.
// Broken quotes spoil only their record: text behind a closing quote is noted at the end of that record. A
// quote that is never closed takes all that follows with it, to the end or to the limit of a record.
namespace nidus::data::internal {
namespace {

constexpr std::size_t kBufferBytes = 1u << 20;

}  // namespace

RecordScanner::RecordScanner(std::unique_ptr<ByteReader> bytes, char separator, std::size_t line_bytes_max,
                             std::size_t cells_max, std::uint64_t bytes_max)
    : bytes_(std::move(bytes)),
      separator_(separator),
      line_bytes_max_(line_bytes_max),
      cells_max_(cells_max),
      bytes_left_(bytes_max),
      buffer_(std::min(kBufferBytes, line_bytes_max + 2)) {}

RecordScanner::Outcome RecordScanner::fail(Errc code, std::string message) {
  failed_ = true;
  error_ = {code, std::move(message)};
  return Outcome::failed;
}

// Brings in more bytes behind those of the unfinished record, which moves to the front. False when the stream
// failed or the record outgrew the limit; at_end_ is set when there is nothing more.
bool RecordScanner::fill() {
  if (position_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + position_, filled_ - position_);
    filled_ -= position_;
    position_ = 0;
  }
  if (filled_ == buffer_.size()) {
    if (buffer_.size() >= line_bytes_max_ + 2) {
      fail(Errc::exhausted, "a row longer than " + with_thousands(line_bytes_max_) + " bytes");
      return false;
    }
    buffer_.resize(std::min(buffer_.size() * 2, line_bytes_max_ + 2));
  }
  auto got = bytes_->read(buffer_.data() + filled_, buffer_.size() - filled_);
  if (!got) {
    fail(got.error().code, got.error().message);
    return false;
  }
  if (*got > bytes_left_) {
    fail(Errc::exhausted, "more bytes than the limit allows");
    return false;
  }
  bytes_left_ -= *got;
  filled_ += *got;
  at_end_ = *got == 0;
  return true;
}

bool RecordScanner::split_plain(const char* begin, const char* end) {
  cells_.clear();
  const char* cell = begin;
  const char* at = begin;
#ifdef __SSE2__
  const __m128i separators = _mm_set1_epi8(separator_);
  for (; end - at >= 16; at += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    auto found = static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, separators)));
    for (; found != 0; found &= found - 1) {
      const char* here = at + std::countr_zero(found);
      cells_.emplace_back(cell, static_cast<std::size_t>(here - cell));
      cell = here + 1;
    }
  }
#endif
  for (; at != end; ++at) {
    if (*at != separator_) continue;
    cells_.emplace_back(cell, static_cast<std::size_t>(at - cell));
    cell = at + 1;
  }
  cells_.emplace_back(cell, static_cast<std::size_t>(end - cell));
  return cells_.size() <= cells_max_;
}

RecordScanner::Outcome RecordScanner::next() {
  if (failed_) return Outcome::failed;
  if (!started_) {
    started_ = true;
    while (filled_ < 3 && !at_end_) {
      if (!fill()) return Outcome::failed;
    }
    if (filled_ >= 3 && std::memcmp(buffer_.data(), "\xef\xbb\xbf", 3) == 0) position_ = 3;
  }
  for (;;) {
    line_ = next_line_;
    std::size_t searched = position_;
    const char* line_end = nullptr;
    for (;;) {
      if (filled_ > searched) {
        line_end = static_cast<const char*>(std::memchr(buffer_.data() + searched, '\n', filled_ - searched));
      }
      if (line_end != nullptr || at_end_) break;
      const std::size_t kept = filled_ - position_;
      if (!fill()) return Outcome::failed;
      searched = position_ + kept;
    }
    if (line_end == nullptr && position_ == filled_) return Outcome::end;
    const char* begin = buffer_.data() + position_;
    const bool last = line_end == nullptr;
    const char* end = last ? buffer_.data() + filled_ : line_end;
    if (static_cast<std::size_t>(end - begin) > line_bytes_max_) {
      return fail(Errc::exhausted, "a row longer than " + with_thousands(line_bytes_max_) + " bytes");
    }
    if (std::memchr(begin, '"', static_cast<std::size_t>(end - begin)) != nullptr) return take_quoted();
    position_ = static_cast<std::size_t>(end - buffer_.data()) + (last ? 0 : 1);
    ++next_line_;
    if (end != begin && end[-1] == '\r') --end;
    if (end == begin) continue;
    if (!split_plain(begin, end)) {
      return fail(Errc::exhausted, "more than " + with_thousands(cells_max_) + " cells in a row");
    }
    return Outcome::row;
  }
}

RecordScanner::Outcome RecordScanner::take_quoted() {
  enum class State : std::uint8_t { cell_start, plain, quoted, quote_in_quoted, behind_quote };
  State state = State::cell_start;
  std::vector<std::size_t> ends;  // of each cell in unquoted_
  unquoted_.clear();
  problem_.clear();
  std::uint64_t lines = 1;
  std::size_t offset = 0;  // from position_, which fill() may move
  bool finished = false;
  while (!finished) {
    if (position_ + offset == filled_) {
      if (!at_end_ && !fill()) return Outcome::failed;
      if (at_end_) {
        if (state == State::quoted) problem_ = "a quote is opened and never closed";
        break;
      }
      continue;
    }
    if (offset > line_bytes_max_) {
      return fail(Errc::exhausted, "a row longer than " + with_thousands(line_bytes_max_) + " bytes");
    }
    const char c = buffer_[position_ + offset];
    ++offset;
    if (state == State::quoted) {
      if (c == '"') {
        state = State::quote_in_quoted;
      } else {
        if (c == '\n') ++lines;
        unquoted_ += c;
      }
    } else if (c == separator_) {
      ends.push_back(unquoted_.size());
      state = State::cell_start;
    } else if (c == '\n') {
      finished = true;
    } else if (state == State::cell_start) {
      state = c == '"' ? State::quoted : State::plain;
      if (c != '"') unquoted_ += c;
    } else if (state == State::quote_in_quoted && c == '"') {
      unquoted_ += c;
      state = State::quoted;
    } else if (state == State::plain) {
      unquoted_ += c;
    } else {
      // Behind a closing quote only a carriage return and blanks may stand.
      state = State::behind_quote;
      if (c != '\r' && c != ' ' && problem_.empty()) {
        problem_ = "cell " + std::to_string(ends.size() + 1) + " has text behind its closing quote";
      }
    }
  }
  if (state == State::plain && !unquoted_.empty() && unquoted_.back() == '\r') unquoted_.pop_back();
  ends.push_back(unquoted_.size());
  position_ += offset;
  next_line_ += lines;
  if (ends.size() > cells_max_) {
    return fail(Errc::exhausted, "more than " + with_thousands(cells_max_) + " cells in a row");
  }
  if (!problem_.empty()) return Outcome::bad;
  cells_.clear();
  std::size_t begin = 0;
  for (const auto end : ends) {
    cells_.push_back(std::string_view(unquoted_).substr(begin, end - begin));
    begin = end;
  }
  return Outcome::row;
}

}  // namespace nidus::data::internal
