#pragma once

#include <cstdint>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

#include "base/check.h"

namespace nidus {

// Six codes, each standing for a different reaction of the caller; everything else goes into the message.
enum class Errc : std::uint8_t {
  invalid,      // what was asked for makes no sense: the caller's to correct
  not_found,    // a file, column or name that is not there
  unsupported,  // well formed, but of a kind or version we do not read
  corrupt,      // foreign bytes that contradict their own format
  io,           // the system refused
  exhausted,    // a stated limit was reached
};

struct Error {
  Errc code = Errc::invalid;
  // What a person needs to fix it: which file, which line, what was expected.
  std::string message;

  // The same error with a noun in front: "forest.bin: tree 12: …".
  Error within(const std::string& noun) && { return {code, noun + ": " + message}; }
};

// A T or an Error, with the member names of C++23's std::expected so that it can become one. Written out
// rather than made of std::variant, which costs each source that uses it a good part of its compile time.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)), ok_(true) {}       // NOLINT: implicit by design
  Result(Error error) : error_(std::move(error)), ok_(false) {}  // NOLINT: implicit by design
  Result(const Result& other) requires std::is_copy_constructible_v<T> { take(other); }
  Result(Result&& other) noexcept { take(std::move(other)); }
  Result& operator=(Result other) noexcept {
    drop();
    take(std::move(other));
    return *this;
  }
  ~Result() { drop(); }

  bool has_value() const { return ok_; }
  explicit operator bool() const { return ok_; }

  T& value() & {
    CHECK(ok_);
    return value_;
  }
  const T& value() const& {
    CHECK(ok_);
    return value_;
  }
  T&& value() && {
    CHECK(ok_);
    return std::move(value_);
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  Error& error() & {
    CHECK(!ok_);
    return error_;
  }
  const Error& error() const& {
    CHECK(!ok_);
    return error_;
  }
  Error&& error() && {
    CHECK(!ok_);
    return std::move(error_);
  }

 private:
  template <class Other>
  void take(Other&& other) {
    ok_ = other.ok_;
    if (ok_) {
      new (&value_) T(std::forward<Other>(other).value_);
    } else {
      new (&error_) Error(std::forward<Other>(other).error_);
    }
  }
  void drop() {
    if (ok_) {
      value_.~T();
    } else {
      error_.~Error();
    }
  }

  union {
    T value_;
    Error error_;
  };
  bool ok_;
};

// Success without a value, or an Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)), ok_(false) {}  // NOLINT: implicit by design

  bool has_value() const { return ok_; }
  explicit operator bool() const { return ok_; }
  Error& error() & {
    CHECK(!ok_);
    return error_;
  }
  const Error& error() const& {
    CHECK(!ok_);
    return error_;
  }
  Error&& error() && {
    CHECK(!ok_);
    return std::move(error_);
  }

 private:
  Error error_;
  bool ok_ = true;
};

}  // namespace nidus
