#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace nidus {

// SHA-256 as 64 lower-case hexadecimal digits.
std::string sha256_hex(std::span<const std::byte> bytes);

// SHA-1, for Community ID only; not a protection against anybody.
std::array<std::uint8_t, 20> sha1(std::span<const std::uint8_t> bytes);

// Standard alphabet, with padding.
std::string base64(std::span<const std::uint8_t> bytes);

// Checksum of our own files: FNV-1a over 8-byte little-endian words, finalised by splitmix64. Finds
// accidents, not attackers.
std::uint64_t checksum64(std::span<const std::byte> bytes);

}  // namespace nidus
