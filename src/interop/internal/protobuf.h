#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

// The wire format of Protocol Buffers, read and written without a schema:
// https://protobuf.dev/programming-guides/encoding. A message is a sequence of fields, each a number, a wire
// type and a value; what a number means is the caller's to know.
namespace nidus::interop::internal {

// Walks the fields of one message. Keeps views of its bytes, which must outlive it. After the first fault
// next() is false and error() says what and at which byte of the file. Work and memory are bounded by the
// size of the message; a message within it is read by a reader of its own, so nesting goes as deep as the
// code that asks for it and no deeper.
class ProtoReader {
 public:
  enum class Wire : std::uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

  // `offset`: where the bytes begin in the file, for messages about faults.
  explicit ProtoReader(std::span<const std::byte> message, std::size_t offset = 0)
      : message_(message), offset_(offset) {}

  // To the next field; false behind the last, or after a fault. Groups are a fault: nobody writes them.
  bool next();

  std::uint32_t field() const { return field_; }
  Wire wire() const { return wire_; }

  // The value of the field, whose wire type must fit: a fault if it does not, and then nothing or zero.
  std::uint64_t varint();
  std::int64_t integer() { return static_cast<std::int64_t>(varint()); }
  float f32();
  std::span<const std::byte> bytes();
  std::string_view text();
  ProtoReader message();

  // Of a repeated field of numbers, which comes one at a time or packed into one field.
  void append(std::vector<std::int64_t>& out);
  void append(std::vector<float>& out);
  void append(std::vector<double>& out);

  bool ok() const { return !failed_; }
  Error error() const { return error_; }
  // Notes the fault at this place, unless there was one before. Always false.
  bool fail(const std::string& what);
  // Takes over the fault of a reader of a message within this one, if it has one.
  void take_fault(const ProtoReader& inner);

 private:
  bool read_varint(std::size_t& at, std::size_t end, std::uint64_t& value);
  bool expect(Wire wire);

  std::span<const std::byte> message_;
  std::size_t offset_ = 0;
  std::size_t position_ = 0;  // behind the field
  std::uint32_t field_ = 0;
  Wire wire_ = Wire::varint;
  std::uint64_t number_ = 0;         // of varint and fixed
  std::size_t begin_ = 0, end_ = 0;  // of bytes
  bool failed_ = false;
  Error error_{Errc::corrupt, {}};
};

// Appends fields to a message. Default values are the caller's to leave out.
class ProtoWriter {
 public:
  void varint(std::uint32_t field, std::uint64_t value);
  void integer(std::uint32_t field, std::int64_t value) { varint(field, static_cast<std::uint64_t>(value)); }
  void f32(std::uint32_t field, float value);
  void bytes(std::uint32_t field, std::string_view value);
  void message(std::uint32_t field, const ProtoWriter& value) { bytes(field, value.bytes_); }
  // Packed.
  void integers(std::uint32_t field, std::span<const std::int64_t> values);
  void floats(std::uint32_t field, std::span<const float> values);

  const std::string& str() const { return bytes_; }
  std::string take() { return std::move(bytes_); }

 private:
  void raw_varint(std::uint64_t value);
  void key(std::uint32_t field, ProtoReader::Wire wire) {
    raw_varint(std::uint64_t{field} << 3 | static_cast<std::uint64_t>(wire));
  }
  std::string bytes_;
};

}  // namespace nidus::interop::internal
