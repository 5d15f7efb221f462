#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>

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

// A T or an Error, with the member names of C++23's std::expected so that it can become one.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit by design
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit by design

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  T& value() & {
    CHECK(has_value());
    return std::get<0>(state_);
  }
  const T& value() const& {
    CHECK(has_value());
    return std::get<0>(state_);
  }
  T&& value() && {
    CHECK(has_value());
    return std::get<0>(std::move(state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  Error& error() & {
    CHECK(!has_value());
    return std::get<1>(state_);
  }
  const Error& error() const& {
    CHECK(!has_value());
    return std::get<1>(state_);
  }
  Error&& error() && {
    CHECK(!has_value());
    return std::get<1>(std::move(state_));
  }

 private:
  std::variant<T, Error> state_;
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
