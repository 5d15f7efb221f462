#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "base/result.h"

namespace nidus::net::internal {

// Where the bytes of a capture come from, one after the other.
class ByteSource {
 public:
  enum class Got : std::uint8_t { bytes, end, idle, failed };

  virtual ~ByteSource() = default;

  // Writes at least one byte to the front of `into` (not empty) and sets `count`, if the answer is
  // Got::bytes. After end or failed every further call answers the same.
  virtual Got read(std::span<std::uint8_t> into, std::size_t& count) = 0;

  // Bytes taken from the outermost source, that is, of the file as it lies on disk.
  virtual std::uint64_t consumed() const = 0;

  // After Got::failed. The message names no file.
  virtual const Error& error() const = 0;
};

// Bytes in memory, which must outlive it.
std::unique_ptr<ByteSource> memory_source(std::span<const std::uint8_t> bytes);

// A file descriptor, closed in the end unless it is standard input. Idle after 200 ms without anything to
// read, or when a signal arrives.
std::unique_ptr<ByteSource> descriptor_source(int fd);

// A file descriptor that stays the caller's and is waited for as long as it takes: never idle.
std::unique_ptr<ByteSource> patient_source(int fd);

enum class Packing : std::uint8_t { none, gzip, zstd };

// By the first four bytes.
Packing recognise_packing(std::span<const std::uint8_t> head);

// How much may come out of packed bytes.
struct UnpackLimits {
  std::uint64_t bytes_max = UINT64_MAX;
  // Bytes out for each byte in, once a MiB came out: what is small compresses as it likes. 0: any number.
  std::uint64_t ratio_max = 0;
};

// Unpacks `head` followed by what `inner` gives: any number of gzip members or zstd frames in a row. Fails on
// damaged or truncated data, and at the limits.
std::unique_ptr<ByteSource> unpacking_source(Packing packing, std::span<const std::uint8_t> head,
                                             std::unique_ptr<ByteSource> inner, UnpackLimits limits);

}  // namespace nidus::net::internal
