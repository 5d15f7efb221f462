#include "serve/json_reader.h"

#include <emmintrin.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/utf8.h"

namespace nidus::serve {
namespace {

// The first byte from `p` on that is a quote, a backslash, a control character or not ASCII.
const char* plain_until(const char* p, const char* end) {
  const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), space = _mm_set1_epi8(' ');
  for (; end - p >= 16; p += 16) {
    __m128i bytes;
    std::memcpy(&bytes, p, 16);
    // As signed bytes what is not ASCII is below the space, too.
    const __m128i odd = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, slash)),
                                     _mm_cmplt_epi8(bytes, space));
    const int mask = _mm_movemask_epi8(odd);
    if (mask != 0) return p + __builtin_ctz(static_cast<unsigned>(mask));
  }
  while (p != end && *p != '"' && *p != '\\' && static_cast<signed char>(*p) >= ' ') ++p;
  return p;
}

// Four hexadecimal digits, or nothing that is below 65536.
std::uint32_t hex4(const char* p, const char* end) {
  constexpr std::uint32_t kNone = 0xffffffffu;
  if (end - p < 4) return kNone;
  std::uint32_t code = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = p[i];
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return kNone;
    code = code << 4 | static_cast<std::uint32_t>(digit);
  }
  return code;
}

// Whether a number as JSON writes it, not 0, is less than 1 in magnitude, which from_chars does not say of
// one that is beyond double.
bool is_below_one(std::string_view text) {
  const auto e = text.find_first_of("eE");
  std::int64_t exponent = 0;
  if (e != std::string_view::npos) {
    constexpr std::int64_t kLarge = std::int64_t{1} << 40;  // more than a text has digits
    const bool negative = text[e + 1] == '-';
    for (const char c : text.substr(e + 1)) {
      if (c >= '0' && c <= '9' && exponent < kLarge) exponent = exponent * 10 + (c - '0');
    }
    if (negative) exponent = -exponent;
    text = text.substr(0, e);
  }
  const auto first = static_cast<std::int64_t>(text.find_first_of("123456789"));
  const auto point = static_cast<std::int64_t>(std::min(text.find('.'), text.size()));
  // first < point: so many digits stand before the point. Else so many zeros behind it, and one.
  return (first < point ? point - first : point - first + 1) + exponent <= 0;
}

}  // namespace

JsonReader::Kind JsonReader::peek_slowly() const {
  if (at_ == end_) return Kind::none;
  const bool more = end_ - at_ > 1;
  switch (*at_) {
    case '{':
      return Kind::object;
    case '[':
      return Kind::array;
    case '"':
      return Kind::text;
    case 't':
    case 'f':
      return Kind::truth;
    case 'n':
      return more && at_[1] == 'u' ? Kind::null : more && at_[1] == 'a' ? Kind::not_finite : Kind::none;
    case 'N':
    case 'I':
      return Kind::not_finite;
    case '-':
      return more && at_[1] == 'I' ? Kind::not_finite : Kind::number;
    default:
      return Kind::none;  // no digit: the caller has looked
  }
}

bool JsonReader::enter(char bracket) {
  skip_blanks();
  if (!at(bracket)) return fail(bracket == '{' ? "expected an object" : "expected a list");
  if (depth_ == kDepthMax) return fail("nested too deeply");
  ++depth_;
  ++at_;
  need_comma_ = false;
  return true;
}

bool JsonReader::leave() {
  ++at_;
  --depth_;
  need_comma_ = true;
  return false;
}

bool JsonReader::comma() {
  if (!need_comma_) return true;
  if (!at(',')) return fail("expected ','");
  ++at_;
  skip_blanks();
  need_comma_ = false;
  return true;
}

bool JsonReader::next_key(std::string_view& key) {
  skip_blanks();
  if (at('}')) return leave();
  const char* const start = at_;
  if (!comma()) return false;
  if (!at('"')) return fail("expected a key in quotes");
  ++at_;
  if (!string(key_scratch_, key)) return false;
  skip_blanks();
  if (!at(':')) return fail("expected ':'");
  ++at_;
  skip_blanks();
  written_member_ = {start, static_cast<std::size_t>(at_ - start)};
  return true;
}

bool JsonReader::next_element() {
  skip_blanks();
  if (at(']')) return leave();
  if (!comma()) return false;
  if (at_ == end_) return fail("the text ends within a list");
  if (at(']')) return fail("expected a value");
  return true;
}

bool JsonReader::number_digit_by_digit(const char* start, const char* digits, double& number) {
  // Powers of ten that a double holds exactly (Clinger, 1990): one rounding, so the nearest double.
  static constexpr double kPowers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                       1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  constexpr std::uint64_t kExact = std::uint64_t{1} << 53;
  const char* p = digits;
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
  number = digits != start ? -value : value;
  at_ = p;
  need_comma_ = true;
  return true;
}

bool JsonReader::number_slowly(const char* start, double& number) {
  const char* p = start;
  const auto digits = [&] {
    while (p != end_ && *p >= '0' && *p <= '9') ++p;
  };
  if (*p == '-') ++p;
  digits();  // the caller has seen that there are some, and a digit behind a point
  if (p != end_ && *p == '.') {
    ++p;
    digits();
  }
  if (p != end_ && (*p == 'e' || *p == 'E')) {
    ++p;
    if (p != end_ && (*p == '+' || *p == '-')) ++p;
    const char* const exponent = p;
    digits();
    if (p == exponent) return fail("no digit in the exponent");
  }
  const auto [end, code] = std::from_chars(start, p, number);
  if (code == std::errc::result_out_of_range) {
    number = is_below_one({start, static_cast<std::size_t>(p - start)})
                 ? 0
                 : std::numeric_limits<double>::infinity();
    if (*start == '-') number = -number;
  } else if (code != std::errc() || end != p) {
    return fail("expected a number");
  }
  at_ = p;
  need_comma_ = true;
  return true;
}

bool JsonReader::unescape(std::string& scratch) {
  if (at_ == end_) return fail("the text ends within a string");
  const char c = *at_++;
  switch (c) {
    case '"':
    case '\\':
    case '/':
      scratch += c;
      return true;
    case 'b':
      scratch += '\b';
      return true;
    case 'f':
      scratch += '\f';
      return true;
    case 'n':
      scratch += '\n';
      return true;
    case 'r':
      scratch += '\r';
      return true;
    case 't':
      scratch += '\t';
      return true;
    case 'u': {
      std::uint32_t code = hex4(at_, end_);
      if (code > 0xffff) return fail("expected four hexadecimal digits");
      at_ += 4;
      if (code >= 0xdc00 && code <= 0xdfff) return fail("half of a surrogate pair");
      if (code >= 0xd800 && code <= 0xdbff) {
        const std::uint32_t low =
            end_ - at_ >= 6 && at_[0] == '\\' && at_[1] == 'u' ? hex4(at_ + 2, end_) : 0;
        if (low < 0xdc00 || low > 0xdfff) return fail("half of a surrogate pair");
        at_ += 6;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
      }
      append_utf8(scratch, code);
      return true;
    }
    default:
      return fail("an escape that JSON does not have");
  }
}

bool JsonReader::string(std::string& scratch, std::string_view& text) {
  const char* start = at_;
  bool is_copied = false;
  for (;;) {
    at_ = plain_until(at_, end_);
    if (at_ == end_) return fail("the text ends within a string");
    if (*at_ == '"') {
      const std::string_view last(start, static_cast<std::size_t>(at_ - start));
      ++at_;
      if (is_copied) {
        scratch += last;
        text = scratch;
      } else {
        text = last;
      }
      return true;
    }
    if (*at_ == '\\') {
      if (!is_copied) scratch.clear();
      is_copied = true;
      scratch.append(start, at_);
      ++at_;
      if (!unescape(scratch)) return false;
      start = at_;
      continue;
    }
    const std::size_t length = static_cast<unsigned char>(*at_) < 0x80 ? 0 : utf8_length(at_, end_);
    if (length == 0)
      return fail(static_cast<unsigned char>(*at_) < 0x80 ? "a control character in a string" : "not UTF-8");
    at_ += length;
  }
}

bool JsonReader::read_text(std::string_view& text) {
  skip_blanks();
  if (!at('"')) return fail("expected a text in quotes");
  ++at_;
  if (!string(text_scratch_, text)) return false;
  need_comma_ = true;
  return true;
}

bool JsonReader::literal(std::string_view word) {
  if (static_cast<std::size_t>(end_ - at_) < word.size() || std::memcmp(at_, word.data(), word.size()) != 0)
    return fail("expected a value");
  at_ += word.size();
  need_comma_ = true;
  return true;
}

bool JsonReader::read_truth(bool& truth) {
  skip_blanks();
  truth = at('t');
  return literal(truth ? "true" : "false");
}

bool JsonReader::read_null() {
  skip_blanks();
  return literal("null");
}

bool JsonReader::skip() {
  std::string_view raw;
  return skip_as(raw);
}

bool JsonReader::skip_as(std::string_view& raw) {
  skip_blanks();
  const char* const start = at_;
  static_assert(kDepthMax < 64);
  std::uint64_t objects = 0;  // a bit for each level entered here: whether it is an object
  const int outside = depth_;
  std::string_view text;
  double number = 0;
  bool truth = false;
  for (;;) {
    bool done = false;
    switch (peek()) {
      case Kind::object:
        done = enter_object();
        objects = objects << 1 | 1;
        break;
      case Kind::array:
        done = enter_array();
        objects <<= 1;
        break;
      case Kind::text:
        done = read_text(text);
        break;
      case Kind::number:
        done = read_number(number);
        break;
      case Kind::truth:
        done = read_truth(truth);
        break;
      case Kind::null:
        done = read_null();
        break;
      case Kind::not_finite:
      case Kind::none:
        return fail("expected a value");
    }
    if (!done) return false;
    // On to the next value, out of everything that ends here.
    while (depth_ > outside && !((objects & 1) != 0 ? next_key(text) : next_element())) {
      if (failed()) return false;
      objects >>= 1;
    }
    if (depth_ == outside) break;
  }
  raw = {start, static_cast<std::size_t>(at_ - start)};
  return true;
}

bool JsonReader::finish() {
  skip_blanks();
  if (failed()) return false;
  return at_ == end_ || fail("something behind the end");
}

std::string JsonReader::problem() const {
  return failed() ? fmt::format("byte {}: {}", at_ - begin_, problem_) : std::string();
}

}  // namespace nidus::serve
