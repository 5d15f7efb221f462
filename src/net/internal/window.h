#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "net/internal/byte_source.h"

namespace nidus::net::internal {

// A view that moves over the bytes of a capture: over memory, or over a buffer that is refilled from a
// source. Either way the bytes from at() on can be looked at in one piece, as many as have() was asked for.
//
// Files are read into the buffer and not mapped. Measured on a warm file of 800-byte frames, per frame,
// walking the headers only: 267 ns mapped whatever the advice to the kernel (MADV_POPULATE_READ,
// MADV_SEQUENTIAL, MAP_POPULATE), 140 to 152 ns read in pieces of 64 to 256 KiB, which stay in the
// second-level cache until they are decoded. A page that is mapped costs more than one that is copied. And a
// file that shrinks is an end, not a SIGBUS.
class Window {
 public:
  enum class Have : std::uint8_t {
    enough,
    end,     // there are fewer than that left; visible() says how many
    idle,    // not yet
    failed,  // error() says why
  };

  explicit Window(std::span<const std::uint8_t> memory);
  explicit Window(std::unique_ptr<ByteSource> source);

  // Tries to make `count` bytes visible, at most kLookAheadMax. Moves what at() points at.
  Have have(std::size_t count) {
    if (visible() >= count) [[likely]]
      return Have::enough;
    return more(count);
  }

  const std::uint8_t* at() const { return at_; }
  std::size_t visible() const { return static_cast<std::size_t>(end_ - at_); }
  void skip(std::size_t visible_bytes) { at_ += visible_bytes; }

  // Starts loading the next header and the front of its frame into the first-level cache, while the caller
  // works on this one. The rest of the buffer is in the second-level cache already: asking for all of it
  // costs 10 to 30 ns a frame and gains nothing.
  void load_ahead() const {
    __builtin_prefetch(at_);
    __builtin_prefetch(at_ + 64);
  }

  // Skips any number of bytes, lowering `count` by what has been skipped so far.
  Have skip_far(std::uint64_t& count);

  std::uint64_t offset() const { return passed_ + static_cast<std::uint64_t>(at_ - base_); }
  std::uint64_t consumed() const { return source_ ? source_->consumed() : offset(); }
  const Error& error() const { return source_->error(); }

  // From here on, what the bytes unpack to. Offsets start again at 0.
  void unpack(Packing packing, UnpackLimits limits);

  static constexpr std::size_t kLookAheadMax = (1 << 20) + 64;

 private:
  Have more(std::size_t count);

  const std::uint8_t* at_ = nullptr;
  const std::uint8_t* end_ = nullptr;
  const std::uint8_t* base_ = nullptr;  // at_ when passed_ was counted
  std::uint64_t passed_ = 0;            // bytes skipped before base_

  std::unique_ptr<ByteSource> source_;  // none: the memory is all there is
  // If there is a source. Not cleared: pages that are never touched cost nothing.
  std::unique_ptr<std::uint8_t[]> buffer_;
};

}  // namespace nidus::net::internal
