#pragma once

#include <cstddef>
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

// "-" is standard input.
Result<std::unique_ptr<ByteReader>> open_bytes(const std::filesystem::path& path);
Result<std::unique_ptr<ByteReader>> open_bytes(std::string_view memory);

}  // namespace nidus::data::internal
