#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

#include "base/result.h"

namespace nidus::data::internal {

// A stream of bytes, decompressed on the way when it begins like gzip or zstd. Needs the object alone.
class ByteReader {
 public:
  virtual ~ByteReader() = default;
  // At least one byte and at most `size`, or 0 at the end. Errc::corrupt for a compressed stream that is
  // broken or stops early, after the good part has been given out.
  virtual Result<std::size_t> read(char* out, std::size_t size) = 0;
};

struct OpenBytes {
  std::unique_ptr<ByteReader> bytes;
  std::string_view compression;  // "none", "gzip", "zstd"
  std::uint64_t size = 0;        // of what read() will give in all; 0 if that is not known
};

// "-" is standard input.
Result<OpenBytes> open_bytes(const std::filesystem::path& path);
// The memory must outlive the reader.
Result<OpenBytes> open_bytes(std::string_view memory);

}  // namespace nidus::data::internal
