#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

// The compressions that joblib and people put around files, recognised by their first bytes.
namespace nidus::interop::internal {

enum class Packing : std::uint8_t {
  none,
  zlib,
  gzip,
  bzip2,
  xz,
  lzma,   // the older format of one stream
  lz4,    // frames
  zfile,  // joblib until 0.9: "ZF", the size in hexadecimal, zlib
};

// "gzip".
std::string_view name(Packing packing);

Packing packing_of(std::span<const std::byte> bytes);

// How much this many packed bytes may become: 100 times as much and 64 MiB. Models pack to a tenth or so of
// their size; what packs to a thousandth is made to fill a memory.
std::size_t unpacked_bytes_max(std::size_t packed);

// What was packed. Errc::corrupt if the stream is damaged or cut off; Errc::exhausted beyond `limit` bytes,
// or beyond unpacked_bytes_max.
Result<std::string> inflate(std::span<const std::byte> bytes, std::size_t limit = std::size_t{4} << 30);

}  // namespace nidus::interop::internal
