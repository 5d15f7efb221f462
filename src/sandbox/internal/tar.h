#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace nidus::sandbox::internal {

// Whether the bytes are a tar archive, by the header of its first member.
bool is_tar(std::span<const std::byte> bytes);

// What gzip packed. Errc::corrupt for damaged data, Errc::exhausted beyond `bytes_max`.
Result<std::vector<std::byte>> gunzip(std::span<const std::byte> bytes, std::uint64_t bytes_max);

// A regular file in an archive. Its name is without the folders before it.
struct TarMember {
  std::string name;
  std::span<const std::byte> bytes;  // of the archive
};

// The regular files of an archive (ustar, with the long names of GNU tar and pax), folders left out. Links
// and devices are refused, and so are two files with one name, checksums that are wrong, and more than 256
// files.
Result<std::vector<TarMember>> read_tar(std::span<const std::byte> archive);

}  // namespace nidus::sandbox::internal
