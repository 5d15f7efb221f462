#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace nidus::serve {

// What JsonStream met. Each answers false if it does not want that here; the
// reading ends then.
class JsonSink {
 public:
  virtual ~JsonSink() = default;
  virtual bool begin(char bracket) = 0;  // '{' or '['
  virtual bool end(char bracket) = 0;    // '}' or ']'
  virtual bool key(std::string_view name) = 0;
  virtual bool text(std::string_view piece) = 0;  // the next piece of a text,
                                                  // without escapes; never empty
  virtual bool text_end() = 0;
  virtual bool scalar(std::string_view written) = 0;  // a number, true, false or
                                                      // null, as it is written
};

// Reads JSON (RFC 8259) as it arrives, in pieces cut anywhere, and holds none
// of it: a text of a gigabyte passes through. JsonReader is the one for JSON
// that is there as a whole.
//
// Strict, but that it does not look whether texts are UTF-8. Not thread-safe.
class JsonStream {
 public:
  static constexpr std::size_t kDepthMax = 8;
  static constexpr std::size_t kKeyBytesMax = 256;
  static constexpr std::size_t kScalarBytesMax = 64;

  explicit JsonStream(JsonSink& sink) : sink_(sink) {}

  // False if it is no JSON, or the sink did not want it; nothing more can be
  // read then.
  bool feed(std::string_view piece);
  // Whether that was one JSON text.
  bool finish();
  bool empty() const { return !begun_; }  // nothing but blanks so far

  // "byte 14: expected ':'"; empty if the sink refused, or nobody has.
  std::string problem() const;

 private:
  enum class State : std::uint8_t {
    value,
    first_element,  // or ]
    first_key,      // or }
    next_key,
    colon,
    behind_value,
    in_text,
    escape,
    unicode,
    in_scalar,
    failed,
  };

  const char* step(const char* at,
                   const char* end);  // from *at on; null after a fault
  const char* read_text(const char* at, const char* end);
  bool begin_value(char c);
  bool end_scalar();
  bool end_text();
  bool give_text(std::string_view piece);
  bool unicode_digit(char c);
  bool close(char bracket);
  bool fail(const char* problem);

  JsonSink& sink_;
  State state_ = State::value;
  bool begun_ = false;
  bool is_key_ = false;  // the text that is being read
  std::string open_;     // brackets
  std::string held_;     // a key or scalar so far
  std::uint32_t unicode_ = 0, high_surrogate_ = 0;
  int unicode_digits_ = 0;
  std::uint64_t passed_ = 0;  // bytes of earlier pieces
  std::uint64_t problem_at_ = 0;
  const char* problem_ = nullptr;
};

}  // namespace nidus::serve
