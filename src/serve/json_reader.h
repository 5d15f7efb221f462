#pragma once

#include <emmintrin.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace nidus::serve {

// Reads JSON (RFC 8259) out of memory, value by value, as the caller asks for them; builds nothing. Strict:
// what it reads to the end was one JSON text in UTF-8, also where it was skipped. Never recurses.
//
// A method that returns false has met the end of an object or array where it says so, or a fault; failed()
// tells the two apart, and after a fault nothing more can be read. Views are good until the next call that
// returns one of the same kind, key or text, or into the text itself.
//
// Not simdjson, since the rows of a batch repeat their keys in the same order, and next_member_is() compares
// a key with the one that is expected instead of looking for its end; and here what was skipped has been
// checked, depth is limited, and NaN is told from nonsense. The two have not been measured beside each other.
class JsonReader {
 public:
  static constexpr int kDepthMax = 32;

  enum class Kind : std::uint8_t {
    object,
    array,
    text,
    number,
    truth,
    null,
    not_finite,  // NaN, Infinity, -Infinity: not JSON, but Python writes them
    none,        // nothing that begins a value
  };

  explicit JsonReader(std::string_view text) : begin_(text.data()), at_(begin_), end_(begin_ + text.size()) {}

  // What comes next. Does not check more than the first character or two.
  Kind peek() {
    skip_blanks();
    return at_ != end_ && *at_ >= '0' && *at_ <= '9' ? Kind::number : peek_slowly();
  }

  bool enter_object() { return enter('{'); }
  bool enter_array() { return enter('['); }
  // The next member of the object; its value must be read next. False at the end of the object.
  bool next_key(std::string_view& key);
  // If the next key is written exactly like `quoted`, quotes included, takes it as next_key does.
  bool next_key_is(std::string_view quoted);
  // What stood between the last value, or the object's beginning, and the next value, which is to be read
  // now: comma, key and colon as they were written; into the text.
  std::string_view written_member() const { return written_member_; }
  // If the next member begins exactly like one before, takes it as next_key does. `written` is what
  // written_member() was then.
  bool next_member_is(std::string_view written);
  // False at the end of the array.
  bool next_element();

  // A magnitude beyond double is an infinity.
  bool read_number(double& number);
  bool read_text(std::string_view& text);
  bool read_truth(bool& truth);
  bool read_null();
  bool skip();                          // a value of any kind
  bool skip_as(std::string_view& raw);  // and how it is written
  // True if nothing but blanks is left.
  bool finish();

  bool failed() const { return problem_ != nullptr; }
  // "byte 14: expected ':'". Empty without a fault.
  std::string problem() const;

 private:
  bool fail(const char* problem) {
    if (problem_ == nullptr) problem_ = problem;
    end_ = at_;
    return false;
  }
  void skip_blanks() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
  }
  bool at(char c) const { return at_ != end_ && *at_ == c; }
  Kind peek_slowly() const;
  bool literal(std::string_view word);
  bool enter(char bracket);
  bool leave();
  bool comma();
  // From the first digit on: digits, and a point and digits.
  bool number_digit_by_digit(const char* start, const char* digits, double& number);
  bool number_slowly(const char* start, double& number);
  // From behind the opening quote to behind the closing one.
  bool string(std::string& scratch, std::string_view& text);
  bool unescape(std::string& scratch);

  const char* begin_;
  const char* at_;
  const char* end_;
  const char* problem_ = nullptr;
  int depth_ = 0;
  bool need_comma_ = false;
  std::string_view written_member_;
  std::string key_scratch_, text_scratch_;
};

namespace internal {

// Whether `count` bytes are equal. Calling memcmp for a key costs as much as to compare it.
inline bool equal_bytes(const char* a, const char* b, std::size_t count) {
  constexpr std::size_t kTogether = sizeof(__m128i);
  if (count < kTogether) return std::memcmp(a, b, count) == 0;
  const auto equal = [&](std::size_t at) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(a + at));
    const __m128i y = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b + at));
    return _mm_movemask_epi8(_mm_cmpeq_epi8(x, y)) == 0xffff;
  };
  for (std::size_t at = 0; at + kTogether < count; at += kTogether) {
    if (!equal(at)) return false;
  }
  return equal(count - kTogether);
}

// The digits that eight characters begin with, all at once: a loop over two or six of them ends where the
// processor does not expect it.
struct Digits {
  unsigned count = 0;  // 8: there may be more behind them
  std::uint64_t value = 0;
};
inline Digits leading_digits(const char* eight) {
  static_assert(std::endian::native == std::endian::little);
  std::uint64_t bytes = 0;
  std::memcpy(&bytes, eight, sizeof bytes);
  bytes ^= 0x3030303030303030u;  // digits become 0 to 9
  // No carry leaves a byte: what is above 127 is looked at by itself.
  const std::uint64_t others =
      (((bytes & 0x7f7f7f7f7f7f7f7fu) + 0x7676767676767676u) | bytes) & 0x8080808080808080u;
  const unsigned count = others == 0 ? 8 : static_cast<unsigned>(std::countr_zero(others)) / 8;
  if (count == 0) return {};
  bytes <<= 64 - 8 * count;           // zeros in front
  bytes = bytes * 10 + (bytes >> 8);  // pairs, at every other byte
  constexpr std::uint64_t kPairs = 0x000000ff000000ffu;
  bytes = ((bytes & kPairs) * (100 + (std::uint64_t{1'000'000} << 32)) +
           (bytes >> 16 & kPairs) * (1 + (std::uint64_t{10'000} << 32))) >>
          32;
  return {count, bytes};
}

}  // namespace internal

inline bool JsonReader::next_key_is(std::string_view quoted) {
  const char* const before = at_;
  skip_blanks();
  const char* const start = at_;
  if (need_comma_) {
    if (!at(',')) return at_ = before, false;
    ++at_;
    skip_blanks();
  }
  if (static_cast<std::size_t>(end_ - at_) <= quoted.size() ||
      std::memcmp(at_, quoted.data(), quoted.size()) != 0) {
    at_ = before;
    return false;
  }
  at_ += quoted.size();
  skip_blanks();
  if (!at(':')) return fail("expected ':'");
  ++at_;
  skip_blanks();
  written_member_ = {start, static_cast<std::size_t>(at_ - start)};
  need_comma_ = false;
  return true;
}

inline bool JsonReader::next_member_is(std::string_view written) {
  skip_blanks();
  // What begins with a comma is a later member, what does not the first.
  if (static_cast<std::size_t>(end_ - at_) <= written.size() || (written.front() == ',') != need_comma_ ||
      !internal::equal_bytes(at_, written.data(), written.size())) {
    return false;
  }
  written_member_ = {at_, written.size()};
  at_ += written.size();
  need_comma_ = false;
  return true;
}

inline bool JsonReader::read_number(double& number) {
  // Powers of ten that a double holds exactly.
  static constexpr double kPowers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7};
  static constexpr std::uint64_t kWholePowers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000};
  skip_blanks();
  const char* const start = at_;
  const char* p = at_;
  const bool negative = p != end_ && *p == '-';
  if (negative) ++p;
  const char* const digits = p;
  // Up to seven digits on either side of a point, as almost all are: mantissa and power are exact, so one
  // rounding makes the nearest double (Clinger, 1990).
  if (end_ - p >= 17) {
    const internal::Digits whole = internal::leading_digits(p);
    if (whole.count == 0 || whole.count == 8 || (*p == '0' && whole.count > 1))
      return number_digit_by_digit(start, digits, number);
    p += whole.count;
    auto value = static_cast<double>(whole.value);
    if (*p == '.') {
      const internal::Digits part = internal::leading_digits(++p);
      if (part.count == 0 || part.count == 8) return number_digit_by_digit(start, digits, number);
      p += part.count;
      value = static_cast<double>(whole.value * kWholePowers[part.count] + part.value) / kPowers[part.count];
    }
    if (*p != 'e' && *p != 'E') {
      number = negative ? -value : value;
      at_ = p;
      need_comma_ = true;
      return true;
    }
  }
  return number_digit_by_digit(start, digits, number);
}

}  // namespace nidus::serve
