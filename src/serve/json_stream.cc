#include "serve/json_stream.h"

#include "base/utf8.h"

namespace nidus::serve {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Whether the whole text is a JSON number.
bool is_number(std::string_view text) {
  std::size_t at = 0;
  const auto digits = [&] {
    const std::size_t first = at;
    while (at < text.size() && is_digit(text[at])) ++at;
    return at - first;
  };
  if (at < text.size() && text[at] == '-') ++at;
  const bool zero = at < text.size() && text[at] == '0';
  const std::size_t whole = digits();
  if (whole == 0 || (zero && whole > 1)) return false;
  if (at < text.size() && text[at] == '.') {
    ++at;
    if (digits() == 0) return false;
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
    if (digits() == 0) return false;
  }
  return at == text.size();
}

}  // namespace

bool JsonStream::fail(const char* problem) {
  problem_ = problem;
  state_ = State::failed;
  return false;
}

std::string JsonStream::problem() const {
  if (problem_ == nullptr) return "";
  return "byte " + std::to_string(problem_at_) + ": " + problem_;
}

bool JsonStream::feed(std::string_view piece) {
  const char* const begin = piece.data();
  const char* const end = begin + piece.size();
  for (const char* at = begin; at != end;) {
    if (state_ == State::failed) return false;
    const char* const next = step(at, end);
    if (next == nullptr) {
      problem_at_ = passed_ + static_cast<std::uint64_t>(at - begin);
      state_ = State::failed;
      return false;
    }
    at = next;
  }
  passed_ += piece.size();
  return state_ != State::failed;
}

bool JsonStream::finish() {
  if (state_ == State::failed) return false;
  problem_at_ = passed_;
  if (state_ == State::in_scalar && !end_scalar()) return false;
  if (state_ == State::behind_value && open_.empty()) return true;
  return fail(begun_ ? "ends too early" : "there is nothing");
}

const char* JsonStream::step(const char* at, const char* end) {
  const char c = *at;
  const auto behind = [&](bool good) { return good ? at + 1 : nullptr; };
  switch (state_) {
    case State::in_text:
      return read_text(at, end);
    case State::escape: {
      state_ = State::in_text;
      constexpr std::string_view kEscapes = "\"\\/bfnrt", kMeant = "\"\\/\b\f\n\r\t";
      const auto which = kEscapes.find(c);
      if (which != std::string_view::npos) return behind(give_text(kMeant.substr(which, 1)));
      if (c != 'u') return behind(fail("an escape that is none"));
      state_ = State::unicode;
      unicode_ = 0;
      unicode_digits_ = 0;
      return at + 1;
    }
    case State::unicode:
      return behind(unicode_digit(c));
    case State::in_scalar:
      if (is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '+' ||
          c == '-') {
        if (held_.size() == kScalarBytesMax) return behind(fail("a number of that length is none"));
        held_ += c;
        return at + 1;
      }
      return end_scalar() ? at : nullptr;
    case State::failed:
      return nullptr;
    case State::value:
    case State::first_element:
    case State::first_key:
    case State::next_key:
    case State::colon:
    case State::behind_value:
      break;
  }
  if (is_blank(c)) return at + 1;
  begun_ = true;
  switch (state_) {
    case State::first_element:
      if (c == ']') return behind(close(c));
      return behind(begin_value(c));
    case State::value:
      return behind(begin_value(c));
    case State::first_key:
      if (c == '}') return behind(close(c));
      [[fallthrough]];
    case State::next_key:
      if (c != '"') return behind(fail("expected a name in quotes"));
      is_key_ = true;
      held_.clear();
      state_ = State::in_text;
      return at + 1;
    case State::colon:
      if (c != ':') return behind(fail("expected ':'"));
      state_ = State::value;
      return at + 1;
    case State::behind_value:
      if (open_.empty()) return behind(fail("something behind the end"));
      if (c == ',') {
        state_ = open_.back() == '{' ? State::next_key : State::value;
        return at + 1;
      }
      if (c == (open_.back() == '{' ? '}' : ']')) return behind(close(c));
      return behind(fail(open_.back() == '{' ? "expected ',' or '}'" : "expected ',' or ']'"));
    case State::in_text:
    case State::escape:
    case State::unicode:
    case State::in_scalar:
    case State::failed:
      break;
  }
  return nullptr;
}

bool JsonStream::begin_value(char c) {
  if (c == '{' || c == '[') {
    if (open_.size() == kDepthMax) return fail("too deep");
    open_ += c;
    state_ = c == '{' ? State::first_key : State::first_element;
    return sink_.begin(c);
  }
  held_.clear();
  if (c == '"') {
    is_key_ = false;
    state_ = State::in_text;
    return true;
  }
  if (!is_digit(c) && c != '-' && (c < 'a' || c > 'z')) return fail("expected a value");
  held_ += c;
  state_ = State::in_scalar;
  return true;
}

bool JsonStream::close(char bracket) {
  open_.pop_back();
  state_ = State::behind_value;
  return sink_.end(bracket);
}

bool JsonStream::end_scalar() {
  if (held_ != "true" && held_ != "false" && held_ != "null" && !is_number(held_))
    return fail("neither a number nor true, false or null");
  state_ = State::behind_value;
  return sink_.scalar(held_);
}

bool JsonStream::end_text() {
  if (high_surrogate_ != 0) return fail("half a character");
  if (is_key_) {
    state_ = State::colon;
    return sink_.key(held_);
  }
  state_ = State::behind_value;
  return sink_.text_end();
}

bool JsonStream::give_text(std::string_view piece) {
  if (high_surrogate_ != 0) return fail("half a character");
  if (!is_key_) return sink_.text(piece);
  if (held_.size() + piece.size() > kKeyBytesMax) return fail("a name of that length is none");
  held_ += piece;
  return true;
}

const char* JsonStream::read_text(const char* at, const char* end) {
  const char* p = at;
  while (p != end && *p != '"' && *p != '\\' && static_cast<unsigned char>(*p) >= 0x20) ++p;
  if (p != at) return give_text({at, static_cast<std::size_t>(p - at)}) ? p : nullptr;
  if (*p == '\\') {
    state_ = State::escape;
    return p + 1;
  }
  if (*p == '"') return end_text() ? p + 1 : nullptr;
  fail("a control character in a text");
  return nullptr;
}

bool JsonStream::unicode_digit(char c) {
  const std::uint32_t value = is_digit(c)            ? static_cast<std::uint32_t>(c - '0')
                              : c >= 'a' && c <= 'f' ? static_cast<std::uint32_t>(c - 'a') + 10
                              : c >= 'A' && c <= 'F' ? static_cast<std::uint32_t>(c - 'A') + 10
                                                     : 16;
  if (value == 16) return fail("an escape that is none");
  unicode_ = unicode_ << 4 | value;
  if (++unicode_digits_ < 4) return true;
  state_ = State::in_text;
  if (unicode_ >= 0xd800 && unicode_ < 0xdc00 && high_surrogate_ == 0) {
    high_surrogate_ = unicode_;
    return true;
  }
  if (unicode_ >= 0xdc00 && unicode_ < 0xe000) {
    if (high_surrogate_ == 0) return fail("half a character");
    unicode_ = 0x10000 + ((high_surrogate_ - 0xd800) << 10) + (unicode_ - 0xdc00);
    high_surrogate_ = 0;
  }
  std::string text;
  append_utf8(text, unicode_);
  return give_text(text);
}

}  // namespace nidus::serve
