#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace nidus {

// A regular file mapped read-only. The bytes live as long as the object. A file that another process
// truncates while it is mapped raises SIGBUS on access, as with every mapped file.
class MappedFile {
 public:
  static Result<MappedFile> open(const std::filesystem::path& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }

  // Tells the kernel that the bytes will be read once, front to back.
  void expect_sequential_reading() const;

 private:
  MappedFile(const std::byte* data, std::size_t size) : data_(data), size_(size) {}

  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// The whole file. Errc::exhausted beyond `limit` bytes.
Result<std::string> read_file(const std::filesystem::path& path, std::size_t limit = 1u << 30);

// Writes beside the target and renames, so that a reader sees the old file or the new one, never half. With
// `on_disk` so does who looks after a loss of power, and what was written has been there before this returns.
enum class Durability : std::uint8_t { cached, on_disk };
Result<void> write_file(const std::filesystem::path& path, std::string_view bytes,
                        Durability durability = Durability::cached);

}  // namespace nidus
