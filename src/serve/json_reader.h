#pragma once

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
// Not simdjson, since the rows of a batch repeat their keys in the same order, and next_key_is() compares a
// key with the one that is expected instead of looking for its end; and here what was skipped has been
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
  Kind peek();

  bool enter_object() { return enter('{'); }
  bool enter_array() { return enter('['); }
  // The next member of the object; its value must be read next. False at the end of the object.
  bool next_key(std::string_view& key);
  // If the next key is written exactly like `quoted`, quotes included, takes it as next_key does.
  bool next_key_is(std::string_view quoted);
  // The key just read as it is written, quotes included; into the text.
  std::string_view written_key() const { return written_key_; }
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
  bool literal(std::string_view word);
  bool enter(char bracket);
  bool leave();
  bool comma();
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
  std::string_view written_key_;
  std::string key_scratch_, text_scratch_;
};

inline bool JsonReader::next_key_is(std::string_view quoted) {
  const char* const before = at_;
  skip_blanks();
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
  written_key_ = {at_, quoted.size()};
  at_ += quoted.size();
  skip_blanks();
  if (!at(':')) return fail("expected ':'");
  ++at_;
  need_comma_ = false;
  return true;
}

inline bool JsonReader::read_number(double& number) {
  // Powers of ten that a double holds exactly (Clinger, 1990): one rounding, so the nearest double.
  static constexpr double kPowers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                       1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  constexpr std::uint64_t kExact = std::uint64_t{1} << 53;
  skip_blanks();
  const char* const start = at_;
  const char* p = at_;
  const bool negative = p != end_ && *p == '-';
  if (negative) ++p;
  const char* const digits = p;
  std::uint64_t mantissa = 0;
  while (p != end_ && static_cast<unsigned char>(*p - '0') < 10) {
    mantissa = mantissa * 10 + static_cast<std::uint64_t>(*p - '0');
    ++p;
  }
  std::ptrdiff_t count = p - digits;
  if (count == 0) return fail("expected a number");
  if (*digits == '0' && count > 1) return fail("a number that begins with 0");
  std::ptrdiff_t fraction = 0;
  if (p != end_ && *p == '.') {
    const char* const point = ++p;
    while (p != end_ && static_cast<unsigned char>(*p - '0') < 10) {
      mantissa = mantissa * 10 + static_cast<std::uint64_t>(*p - '0');
      ++p;
    }
    fraction = p - point;
    if (fraction == 0) return fail("no digit behind the point");
    count += fraction;
  }
  if (count > 18 || mantissa > kExact || fraction > 22 || (p != end_ && (*p == 'e' || *p == 'E')))
    return number_slowly(start, number);
  const double value = static_cast<double>(mantissa) / kPowers[fraction];
  number = negative ? -value : value;
  at_ = p;
  need_comma_ = true;
  return true;
}

}  // namespace nidus::serve
