#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace nidus::net::internal {

// Numbers in foreign bytes, at any alignment. The caller has checked that they are there.
template <class T>
inline T load_native(const std::uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

inline std::uint16_t swap_bytes(std::uint16_t value) { return __builtin_bswap16(value); }
inline std::uint32_t swap_bytes(std::uint32_t value) { return __builtin_bswap32(value); }
inline std::uint64_t swap_bytes(std::uint64_t value) { return __builtin_bswap64(value); }

template <class T>
inline T load_ordered(const std::uint8_t* at, std::endian order) {
  const T value = load_native<T>(at);
  return order == std::endian::native ? value : swap_bytes(value);
}

inline std::uint16_t load_be16(const std::uint8_t* at) {
  return load_ordered<std::uint16_t>(at, std::endian::big);
}
inline std::uint32_t load_be32(const std::uint8_t* at) {
  return load_ordered<std::uint32_t>(at, std::endian::big);
}
inline std::uint16_t load_le16(const std::uint8_t* at) {
  return load_ordered<std::uint16_t>(at, std::endian::little);
}
inline std::uint32_t load_le32(const std::uint8_t* at) {
  return load_ordered<std::uint32_t>(at, std::endian::little);
}

// What is left of a frame from some header on: `captured` bytes at hand out of `wire` that were sent.
// Invariant: captured <= wire.
struct Rest {
  const std::uint8_t* at = nullptr;
  std::uint32_t captured = 0;
  std::uint32_t wire = 0;

  bool has(std::uint32_t bytes) const { return captured >= bytes; }
  // The caller has checked that `bytes` are captured.
  Rest after(std::uint32_t bytes) const { return {at + bytes, captured - bytes, wire - bytes}; }
  // Cut to `bytes` on the wire.
  Rest first(std::uint32_t bytes) const {
    return {at, captured < bytes ? captured : bytes, wire < bytes ? wire : bytes};
  }
};

}  // namespace nidus::net::internal
