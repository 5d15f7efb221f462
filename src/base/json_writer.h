#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace nidus {

// Appends JSON to a string, commas included. The caller keeps the nesting right; invalid UTF-8 is replaced by
// U+FFFD and non-finite numbers become null, so that the output is always valid JSON.
//
//   JsonWriter json(out);
//   json.begin_object();
//   json.field("flows", 12);
//   json.key("classes"); json.begin_array(); json.value("dos"); json.end_array();
//   json.end_object();
class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}

  void begin_object() { open('{'); }
  void end_object() { close('}'); }
  void begin_array() { open('['); }
  void end_array() { close(']'); }

  void key(std::string_view name);
  void value(std::string_view text);
  void value(const char* text) { value(std::string_view(text)); }
  void value(double number);
  void value(bool truth);
  void value(std::integral auto number) {
    if constexpr (std::is_signed_v<decltype(number)>) {
      integer(static_cast<std::int64_t>(number));
    } else {
      integer(static_cast<std::uint64_t>(number));
    }
  }
  void null();
  void raw(std::string_view json);  // a value that is JSON already

  template <class T>
  void field(std::string_view name, T&& content) {
    key(name);
    value(std::forward<T>(content));
  }

 private:
  void open(char bracket);
  void close(char bracket);
  void separate();
  void integer(std::int64_t number);
  void integer(std::uint64_t number);

  std::string& out_;
  bool need_comma_ = false;
};

// Appends the text between quotes, escaped.
void append_json_string(std::string& out, std::string_view text);

}  // namespace nidus
