#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text.h"
#include "interop/internal/json.h"
#include "interop/internal/json_notation.h"

namespace nidus::interop::internal {
namespace {

Error wrong(std::size_t byte, const std::string& what) {
  return {Errc::corrupt, "byte " + with_thousands(byte) + ": " + what};
}

}  // namespace

// What both notations share: the values so far, and which arrays and objects are still open.
class JsonReader {
 public:
  JsonReader(std::span<const std::byte> bytes, JsonDocument::Limits limits)
      : text_(as_text(bytes)), limits_(limits) {
    document_.bytes_ = bytes;
  }

 protected:
  using Kind = JsonDocument::Kind;
  struct Open {
    std::uint32_t cell = 0;
    bool is_object = false;
    bool is_counted = false;  // UBJSON says how many there are
    std::size_t left = 0;     // and so many are to come
  };

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  std::vector<JsonDocument::Cell>& cells() { return document_.cells_; }

  Result<void> add(Kind kind, std::size_t begin, std::size_t count, char type = 0) {
    if (cells().size() >= limits_.values) {
      return Error{Errc::exhausted, "byte " + with_thousands(begin) + ": more than " +
                                        with_thousands(limits_.values) + " values"};
    }
    cells().push_back({begin, count, static_cast<std::uint32_t>(cells().size() + 1), kind, type});
    return {};
  }

  // The array or object that begins there, whose values come next.
  Result<void> enter(Open open, std::size_t begin) {
    if (open_.size() >= limits_.depth) {
      return Error{Errc::exhausted, "byte " + with_thousands(begin) + ": more than " +
                                        std::to_string(limits_.depth) + " levels"};
    }
    open.cell = static_cast<std::uint32_t>(cells().size());
    open_.push_back(open);
    return add(open.is_object ? Kind::object : Kind::array, begin, 0);
  }
  void leave() {
    cells()[open_.back().cell].next = static_cast<std::uint32_t>(cells().size());
    open_.pop_back();
  }

  std::string_view text_;
  JsonDocument::Limits limits_;
  std::size_t at_ = 0;
  std::vector<Open> open_;
  JsonDocument document_;
};

class TextReader : private JsonReader {
 public:
  using JsonReader::JsonReader;

  Result<JsonDocument> read() && {
    if (text_.starts_with("\xef\xbb\xbf")) at_ = 3;
    skip_blanks();
    do {
      if (auto good = read_value(); !good) return std::move(good).error();
      if (auto good = close(); !good) return std::move(good).error();
    } while (!open_.empty());
    if (at_ != text_.size()) return wrong(at_, "something behind the end of the document");
    return std::move(document_);
  }

 private:
  void skip_blanks() {
    while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
  }
  bool skip(char c) {
    if (peek() != c) return false;
    ++at_;
    skip_blanks();
    return true;
  }

  // A value up to its end, or up to the first element of an array or member of an object that has some.
  Result<void> read_value() {
    const std::size_t begin = at_;
    switch (peek()) {
      case '{':
      case '[':
        return read_container();
      case '"':
        return read_string();
      case 't':
      case 'f':
      case 'n':
        for (const std::string_view word : {"true", "false", "null"}) {
          if (text_.substr(at_, word.size()) != word) continue;
          at_ += word.size();
          return add(word == "null" ? Kind::null : Kind::boolean, begin, word.size());
        }
        break;
      default:
        break;
    }
    at_ = end_of_number(text_, begin);
    if (at_ == begin) return wrong(begin, at_ < text_.size() ? "a value is expected" : "the file ends early");
    return add(Kind::number, begin, at_ - begin);
  }

  Result<void> read_container() {
    const bool is_object = peek() == '{';
    const std::size_t begin = at_++;
    skip_blanks();
    if (!is_object) {
      if (const std::size_t first = at_, count = skip_numbers(); count > 0) {
        return add(Kind::numbers, first, count);
      }
    }
    if (auto good = enter({.is_object = is_object}, begin); !good) return good;
    if (peek() == (is_object ? '}' : ']')) {
      ++at_;
      leave();
      return {};
    }
    entered_ = true;
    return is_object ? read_key() : Result<void>();
  }

  // Past an array that holds numbers or truth values alone, with its bracket; says how many. Otherwise
  // nothing happens, and 0.
  std::size_t skip_numbers() {
    const std::size_t first = at_;
    std::size_t count = 0;
    do {
      std::size_t end = end_of_number(text_, at_);
      if (end == at_) {
        if (text_.substr(at_, 4) == "true") end = at_ + 4;
        if (text_.substr(at_, 5) == "false") end = at_ + 5;
      }
      if (end == at_) {
        at_ = first;
        return 0;
      }
      at_ = end;
      ++count;
      skip_blanks();
    } while (skip(','));
    if (peek() == ']') {
      ++at_;
      return count;
    }
    at_ = first;
    return 0;
  }

  Result<void> read_string() {
    const std::size_t begin = ++at_;
    char type = 0;
    std::string unused;
    for (;;) {
      if (at_ >= text_.size()) return wrong(begin, "a text without an end");
      const char c = text_[at_];
      if (c == '"') break;
      if (static_cast<unsigned char>(c) < 0x20) return wrong(at_, "a control character in a text");
      ++at_;
      if (c != '\\') continue;
      type = '\\';
      unused.clear();
      if (!read_escape(text_, at_, unused)) return wrong(at_, "an escape that is none");
    }
    const std::size_t length = at_++ - begin;
    return add(Kind::text, begin, length, type);
  }

  Result<void> read_key() {
    if (peek() != '"') return wrong(at_, "the name of a member is expected");
    if (auto good = read_string(); !good) return good;
    skip_blanks();
    if (!skip(':')) return wrong(at_, "a colon is expected");
    return {};
  }

  // What follows a value: the end of what it lies in, or the next one's beginning.
  Result<void> close() {
    if (entered_) {
      entered_ = false;
      return {};
    }
    for (;;) {
      skip_blanks();
      if (open_.empty()) return {};
      const Open open = open_.back();
      ++cells()[open.cell].count;
      if (skip(',')) return open.is_object ? read_key() : Result<void>();
      if (peek() != (open.is_object ? '}' : ']')) {
        return wrong(at_, at_ >= text_.size() ? "the file ends early"
                          : open.is_object    ? "a comma or } is expected"
                                              : "a comma or ] is expected");
      }
      ++at_;
      leave();
    }
  }

  bool entered_ = false;  // the last value was an array or object whose first element comes next
};

class BinaryReader : private JsonReader {
 public:
  using JsonReader::JsonReader;

  Result<JsonDocument> read() && {
    do {
      bool entered = false;
      if (auto good = read_value(entered); !good) return std::move(good).error();
      if (!entered) value_ended();
      if (auto good = go_on(); !good) return std::move(good).error();
    } while (!open_.empty());
    if (at_ != text_.size()) return wrong(at_, "something behind the end of the document");
    return std::move(document_);
  }

 private:
  std::size_t left() const { return text_.size() - at_; }
  void skip_nothings() {
    while (peek() == 'N') ++at_;
  }

  Result<void> read_value(bool& entered) {
    skip_nothings();
    const std::size_t mark = at_;
    if (left() == 0) return wrong(mark, "the file ends early");
    const char type = text_[at_++];
    if (const std::size_t size = size_of_type(type); size > 0) {
      if (left() < size) return wrong(mark, "the file ends within a number");
      at_ += size;
      return add(Kind::number, mark + 1, size, type);
    }
    switch (type) {
      case 'Z':
        return add(Kind::null, mark, 1, type);
      case 'T':
      case 'F':
        return add(Kind::boolean, mark, 1, type);
      case 'C':
        if (left() == 0) return wrong(mark, "the file ends within a character");
        return add(Kind::text, at_++, 1, type);
      case 'S':
        return read_string();
      case '[':
      case '{':
        return read_container(type == '{', entered);
      case 'H':
        return Error{Errc::unsupported, "byte " + with_thousands(mark) + ": a number written as a text"};
      default:
        return wrong(mark, "no value of UBJSON begins with this byte");
    }
  }

  // A length: a mark for its type, and the number.
  Result<std::size_t> read_length() {
    const std::size_t mark = at_;
    const char type = peek();
    const std::size_t size = size_of_type(type);
    if (size == 0 || type == 'd' || type == 'D') return wrong(mark, "a length is expected");
    if (left() < 1 + size) return wrong(mark, "the file ends within a length");
    const std::int64_t length = integer_at(text_.data() + at_ + 1, type);
    at_ += 1 + size;
    if (length < 0 || static_cast<std::uint64_t>(length) > left()) {
      return wrong(mark, "a length of " + std::to_string(length) + ", and " + with_thousands(left()) +
                             " bytes are left");
    }
    return static_cast<std::size_t>(length);
  }

  Result<void> read_string() {
    const auto length = read_length();
    if (!length) return length.error();
    const std::size_t begin = at_;
    at_ += *length;
    return add(Kind::text, begin, *length, 'S');
  }

  Result<void> read_container(bool is_object, bool& entered) {
    const std::size_t begin = at_ - 1;
    char type = 0;
    if (peek() == '$') {
      if (++at_ == text_.size()) return wrong(at_, "the file ends early");
      type = peek();
      if (is_object || size_of_type(type) == 0) {
        return Error{Errc::unsupported, "byte " + with_thousands(begin) +
                                            ": values of one type that are not an array of numbers"};
      }
      ++at_;
      if (peek() != '#') return wrong(at_, "values of one type without their number");
    }
    Open open = {.is_object = is_object};
    if (peek() == '#') {
      ++at_;
      const auto length = read_length();
      if (!length) return length.error();
      open.is_counted = true;
      open.left = *length;
    }
    if (type != 0) {
      if (open.left > left() / size_of_type(type)) {
        return wrong(
            begin, with_thousands(open.left) + " numbers, and " + with_thousands(left()) + " bytes are left");
      }
      const std::size_t first = at_;
      at_ += open.left * size_of_type(type);
      return add(Kind::numbers, first, open.left, type);
    }
    if (!is_object) {
      if (const std::size_t first = at_, count = skip_numbers(open); count > 0)
        return add(Kind::numbers, first, count, kMarked);
    }
    entered = true;
    return enter(open, begin);
  }

  // As TextReader's.
  std::size_t skip_numbers(const Open& open) {
    const std::size_t first = at_;
    std::size_t count = 0;
    for (; !open.is_counted || count < open.left; ++count) {
      if (!open.is_counted && peek() == ']') {
        ++at_;
        return count;
      }
      const std::size_t size = size_of_type(peek());
      if ((size == 0 && peek() != 'T' && peek() != 'F') || left() < 1 + size) {
        at_ = first;
        return 0;
      }
      at_ += 1 + size;
    }
    return count;
  }

  void value_ended() {
    if (open_.empty()) return;
    ++cells()[open_.back().cell].count;
    if (open_.back().is_counted) --open_.back().left;
  }

  // Closes what is full and reads the next key.
  Result<void> go_on() {
    while (!open_.empty()) {
      const Open open = open_.back();
      if (!open.is_counted || open.left > 0) skip_nothings();
      const bool ended = open.is_counted ? open.left == 0 : peek() == (open.is_object ? '}' : ']');
      if (!ended) return open.is_object ? read_string() : Result<void>();
      if (!open.is_counted) ++at_;
      leave();
      value_ended();
    }
    return {};
  }
};

Result<JsonDocument> JsonDocument::read_text(std::span<const std::byte> bytes, Limits limits) {
  return TextReader(bytes, limits).read();
}

Result<JsonDocument> JsonDocument::read_ubjson(std::span<const std::byte> bytes, Limits limits) {
  return BinaryReader(bytes, limits).read();
}

}  // namespace nidus::interop::internal
