#include "interop/internal/protobuf.h"

#include <cstring>
#include <utility>

#include "base/text.h"

namespace nidus::interop::internal {
namespace {

// Numbers are little-endian on the wire, as they are on the machines that we run on.
template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

}  // namespace

bool ProtoReader::fail(const std::string& what) {
  if (!failed_) error_ = {Errc::corrupt, "byte " + with_thousands(offset_ + position_) + ": " + what};
  failed_ = true;
  return false;
}

void ProtoReader::take_fault(const ProtoReader& inner) {
  if (failed_ || !inner.failed_) return;
  failed_ = true;
  error_ = inner.error_;
}

bool ProtoReader::read_varint(std::size_t& at, std::size_t end, std::uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (at >= end) return fail("a number that is cut off");
    const auto byte = std::to_integer<std::uint64_t>(message_[at++]);
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return fail("a number of more than ten bytes");
}

bool ProtoReader::next() {
  if (failed_ || position_ == message_.size()) return false;
  std::uint64_t key = 0;
  std::size_t at = position_;
  if (!read_varint(at, message_.size(), key)) return false;
  if (key >> 3 == 0 || key >> 3 > 0x1fffffff) return fail("a field without a number");
  field_ = static_cast<std::uint32_t>(key >> 3);
  wire_ = static_cast<Wire>(key & 7);
  switch (wire_) {
    case Wire::varint:
      if (!read_varint(at, message_.size(), number_)) return false;
      break;
    case Wire::fixed64:
      if (message_.size() - at < 8) return fail("a number of eight bytes that is cut off");
      number_ = load<std::uint64_t>(&message_[at]);
      at += 8;
      break;
    case Wire::fixed32:
      if (message_.size() - at < 4) return fail("a number of four bytes that is cut off");
      number_ = load<std::uint32_t>(&message_[at]);
      at += 4;
      break;
    case Wire::bytes: {
      std::uint64_t size = 0;
      if (!read_varint(at, message_.size(), size)) return false;
      if (size > message_.size() - at) {
        return fail("a field of " + with_thousands(size) + " bytes where " +
                    with_thousands(message_.size() - at) + " are left");
      }
      begin_ = at;
      at += static_cast<std::size_t>(size);
      end_ = at;
      break;
    }
    default:
      return fail("a field of wire type " + std::to_string(key & 7));
  }
  position_ = at;
  return true;
}

bool ProtoReader::expect(Wire wire) {
  return wire_ == wire || fail("field " + std::to_string(field_) + " is of another type than it should be");
}

std::uint64_t ProtoReader::varint() { return expect(Wire::varint) ? number_ : 0; }

float ProtoReader::f32() {
  return expect(Wire::fixed32) ? std::bit_cast<float>(static_cast<std::uint32_t>(number_)) : 0;
}

std::span<const std::byte> ProtoReader::bytes() {
  return expect(Wire::bytes) ? message_.subspan(begin_, end_ - begin_) : std::span<const std::byte>();
}

std::string_view ProtoReader::text() {
  const auto view = bytes();
  return {reinterpret_cast<const char*>(view.data()), view.size()};
}

ProtoReader ProtoReader::message() { return ProtoReader(bytes(), offset_ + begin_); }

void ProtoReader::append(std::vector<std::int64_t>& out) {
  if (wire_ != Wire::bytes) {
    const auto value = integer();
    if (ok()) out.push_back(value);
    return;
  }
  for (std::size_t at = begin_; at < end_;) {
    std::uint64_t value = 0;
    if (!read_varint(at, end_, value)) return;
    out.push_back(static_cast<std::int64_t>(value));
  }
}

void ProtoReader::append(std::vector<float>& out) {
  if (wire_ != Wire::bytes) {
    const auto value = f32();
    if (ok()) out.push_back(value);
    return;
  }
  if ((end_ - begin_) % 4 != 0) {
    fail("packed floats that end within one");
    return;
  }
  const auto before = out.size();
  out.resize(before + (end_ - begin_) / 4);
  if (end_ > begin_) std::memcpy(out.data() + before, &message_[begin_], end_ - begin_);
}

void ProtoReader::append(std::vector<double>& out) {
  if (wire_ != Wire::bytes) {
    if (expect(Wire::fixed64)) out.push_back(std::bit_cast<double>(number_));
    return;
  }
  if ((end_ - begin_) % 8 != 0) {
    fail("packed doubles that end within one");
    return;
  }
  const auto before = out.size();
  out.resize(before + (end_ - begin_) / 8);
  if (end_ > begin_) std::memcpy(out.data() + before, &message_[begin_], end_ - begin_);
}

void ProtoWriter::raw_varint(std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) bytes_.push_back(static_cast<char>(value | 0x80));
  bytes_.push_back(static_cast<char>(value));
}

void ProtoWriter::varint(std::uint32_t field, std::uint64_t value) {
  key(field, ProtoReader::Wire::varint);
  raw_varint(value);
}

void ProtoWriter::f32(std::uint32_t field, float value) {
  key(field, ProtoReader::Wire::fixed32);
  bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void ProtoWriter::bytes(std::uint32_t field, std::string_view value) {
  key(field, ProtoReader::Wire::bytes);
  raw_varint(value.size());
  bytes_.append(value);
}

void ProtoWriter::integers(std::uint32_t field, std::span<const std::int64_t> values) {
  ProtoWriter packed;
  for (const auto value : values) packed.raw_varint(static_cast<std::uint64_t>(value));
  bytes(field, packed.bytes_);
}

void ProtoWriter::floats(std::uint32_t field, std::span<const float> values) {
  bytes(field, {reinterpret_cast<const char*>(values.data()), values.size_bytes()});
}

}  // namespace nidus::interop::internal
