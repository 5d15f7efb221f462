#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/text.h"
#include "interop/internal/hdf5.h"

// The structures of an HDF5 file, for hdf5.cc and hdf5_array.cc only. Chapters in brackets are those of the
// HDF5 File Format Specification 3.0.
namespace nidus::interop::internal {

inline constexpr std::uint64_t kNowhere = ~std::uint64_t{0};

// The bytes of a file and how much of it may still be looked at. After the first fault everything reads as 0
// or empty, and error() tells what was wrong and where.
class Source {
 public:
  explicit Source(std::span<const std::byte> bytes) : bytes_(bytes) {}

  bool ok() const { return !failed_; }
  Error error() const { return error_; }
  Error fail(Errc code, std::uint64_t at, const std::string& what) {
    if (!failed_) {
      failed_ = true;
      error_ = {code, "hdf5: byte " + with_thousands(at) + ": " + what};
    }
    return error_;
  }
  Error corrupt(std::uint64_t at, const std::string& what) { return fail(Errc::corrupt, at, what); }
  Error unsupported(std::uint64_t at, const std::string& what) { return fail(Errc::unsupported, at, what); }

  // Counts one structure.
  bool step(std::uint64_t at) {
    if (++steps_ > kStepsMax) fail(Errc::exhausted, at, "more structures than an answer may take");
    return ok();
  }

  // How many bytes arrays may yet become in memory: chunks that pack to nothing, or that many arrays share,
  // end here.
  std::uint64_t room = std::numeric_limits<std::uint64_t>::max();
  bool spend(std::uint64_t at, std::uint64_t bytes) {
    if (ok() && bytes > room) fail(Errc::exhausted, at, "arrays that become far more than the file");
    room -= std::min(room, bytes);
    return ok();
  }

  std::span<const std::byte> take(std::uint64_t at, std::uint64_t size) {
    if (failed_) return {};
    if (at > bytes_.size() || size > bytes_.size() - at) {
      corrupt(at, "needs " + with_thousands(size) + " bytes, which the file does not have there");
      return {};
    }
    return bytes_.subspan(at, size);
  }
  std::uint64_t size() const { return bytes_.size(); }

 private:
  static constexpr std::size_t kStepsMax = 1 << 20;
  std::span<const std::byte> bytes_;
  std::size_t steps_ = 0;
  bool failed_ = false;
  Error error_;
};

// Reads forward through a piece of the file.
class Cursor {
 public:
  Cursor(Source& source, std::uint64_t at, std::uint64_t size)
      : source_(source), at_(at), bytes_(source.take(at, size)) {}

  template <class T>
  T get() {
    T value{};
    const auto bytes = take(sizeof(T));
    if (!bytes.empty()) std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
  std::uint8_t u8() { return get<std::uint8_t>(); }
  std::uint16_t u16() { return get<std::uint16_t>(); }
  std::uint32_t u32() { return get<std::uint32_t>(); }
  std::uint64_t u64() { return get<std::uint64_t>(); }
  // A number of 1, 2, 4 or 8 bytes.
  std::uint64_t number(std::size_t bytes) {
    std::uint64_t value = 0;
    const auto taken = take(bytes);
    if (!taken.empty()) std::memcpy(&value, taken.data(), bytes);
    return value;
  }
  std::span<const std::byte> take(std::uint64_t size) {
    if (!source_.ok()) return {};
    if (size > bytes_.size() - next_) {
      source_.corrupt(position(), "a structure ends early");
      return {};
    }
    const auto out = bytes_.subspan(next_, size);
    next_ += size;
    return out;
  }
  void skip(std::uint64_t size) { take(size); }
  // To a multiple of 8 from the beginning of the piece, or its end.
  void align() { skip(std::min<std::uint64_t>((8 - next_ % 8) % 8, left())); }
  bool expect(std::string_view signature) {
    const std::uint64_t at = position();
    const auto bytes = take(signature.size());
    if (source_.ok() && std::memcmp(bytes.data(), signature.data(), signature.size()) != 0)
      source_.corrupt(at, "no " + std::string(signature) + " here");
    return source_.ok();
  }
  std::uint64_t position() const { return at_ + next_; }
  std::uint64_t left() const { return bytes_.size() - next_; }

 private:
  Source& source_;
  std::uint64_t at_;
  std::span<const std::byte> bytes_;
  std::uint64_t next_ = 0;
};

struct Datatype {
  enum class Class : std::uint8_t { whole, real, brain, text, texts, other };
  Class kind = Class::other;
  std::size_t size = 0;
  bool is_big_endian = false, is_signed = false;
  char padding = 0;  // what a text of fixed length is filled up with behind its end: NUL or a blank
  std::string name;  // of `other`
};

struct Message {
  std::uint16_t type = 0;
  std::uint64_t at = 0, size = 0;
};

enum MessageType : std::uint16_t {
  kDataspace = 0x01,
  kLinkInfo = 0x02,
  kDatatype = 0x03,
  kLink = 0x06,
  kExternalFiles = 0x07,
  kLayout = 0x08,
  kFilters = 0x0b,
  kAttribute = 0x0c,
  kContinuation = 0x10,
  kSymbolTable = 0x11,
  kAttributeInfo = 0x15,
};

// Of an object header [IV.A], those behind continuations included; shared ones are refused where they matter.
std::vector<Message> messages_of(Source& in, std::uint64_t at);
// Null if there is none.
const Message* find(const std::vector<Message>& messages, std::uint16_t type);

// `see` gets name and object header of each link, and says whether to go on.
using SeeLink = std::function<bool(std::string_view, std::uint64_t)>;
void for_each_link(Source& in, std::uint64_t header, const SeeLink& see);
// The object header that a path leads to, or kNowhere.
std::uint64_t header_of(Source& in, std::uint64_t root, std::string_view path);

Datatype datatype(Source& in, Cursor& c);                   // [IV.A.2.d]
std::vector<std::size_t> dataspace(Source& in, Cursor& c);  // [IV.A.2.b]
// The product, unless it is beyond Hdf5::kNumbersMax.
std::size_t count_of(Source& in, std::uint64_t at, const std::vector<std::size_t>& shape);

// The values of an array whose header has a layout, in out.shape.
void read_array(Source& in, const std::vector<Message>& messages, const Datatype& type, Hdf5::Numbers& out);

}  // namespace nidus::interop::internal
