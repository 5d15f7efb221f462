#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "net/internal/byte_source.h"

namespace nidus::net::internal {

// A view that moves over the bytes of a capture. Over a map it is the map; over a source it is a buffer that
// is refilled. Either way the bytes from at() on can be looked at in one piece, as many as have() was asked
// for.
//
// Invariant: begin of what is visible = at_, its end = end_; offset() counts all bytes skipped so far.
class Window {
 public:
  enum class Have : std::uint8_t {
    enough,
    end,     // there are fewer than that left; visible() says how many
    idle,    // not yet
    failed,  // error() says why
  };

  // Over bytes in memory. With `mapped` the kernel is told what is needed next and what no more.
  Window(std::span<const std::uint8_t> bytes, bool mapped);
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

  // Skips any number of bytes, lowering `count` by what has been skipped so far.
  Have skip_far(std::uint64_t& count);

  std::uint64_t offset() const { return passed_ + static_cast<std::uint64_t>(at_ - base_); }
  std::uint64_t consumed() const { return source_ ? source_->consumed() : offset(); }
  const Error& error() const { return source_->error(); }

  // From here on, what the bytes unpack to. Offsets start again at 0.
  void unpack(Packing packing, std::uint64_t bytes_max);

  static constexpr std::size_t kLookAheadMax = (1 << 20) + 64;

 private:
  Have more(std::size_t count);
  Have more_of_memory(std::size_t count);

  const std::uint8_t* at_ = nullptr;
  const std::uint8_t* end_ = nullptr;
  const std::uint8_t* base_ = nullptr;  // at_ when passed_ was counted
  std::uint64_t passed_ = 0;            // bytes skipped before base_

  std::span<const std::uint8_t> memory_;  // everything, if there is no source
  bool mapped_ = false;
  std::size_t released_ = 0;  // of memory_, told to the kernel as no longer needed

  std::unique_ptr<ByteSource> source_;
  std::vector<std::uint8_t> buffer_;
};

}  // namespace nidus::net::internal
