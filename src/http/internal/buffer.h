#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

#include "base/check.h"
#include "http/message.h"

namespace nidus::http::internal {

// What was read from a connection. From its begin on lie the request that is under way (its header, and what
// was kept of its body), then, after a gap, the bytes that nobody has looked at. kBodyPadding bytes behind
// all may be read.
class InputBuffer {
 public:
  InputBuffer() = default;
  InputBuffer(const InputBuffer&) = delete;
  InputBuffer& operator=(const InputBuffer&) = delete;

  // Where bytes go that are read next. From pin() until filled() nothing moves: the system is writing there.
  std::span<char> room() { return {bytes_.get() + end_, capacity_ - end_}; }
  void pin() { pinned_ = true; }
  bool is_pinned() const { return pinned_; }
  void filled(std::size_t count) {
    pinned_ = false;
    end_ += count;
  }

  char* kept() { return bytes_.get() + begin_; }
  std::size_t kept_size() const { return kept_end_ - begin_; }
  std::string_view unseen() const { return {bytes_.get() + unseen_, end_ - unseen_}; }
  // All, for who has kept nothing yet.
  std::span<char> all() { return {bytes_.get() + begin_, end_ - begin_}; }
  bool empty() const { return begin_ == end_; }
  std::size_t capacity() const { return capacity_; }

  // The first `count` unseen bytes are kept.
  void keep(std::size_t count) {
    if (kept_end_ != unseen_) std::memmove(bytes_.get() + kept_end_, bytes_.get() + unseen_, count);
    kept_end_ += count;
    unseen_ += count;
  }
  // The first `count` unseen bytes are dropped.
  void skip(std::size_t count) {
    unseen_ += count;
    if (unseen_ == end_ && !pinned_) unseen_ = end_ = kept_end_;
  }
  // What was kept is done with; the unseen bytes become the next request's.
  void forget_kept() {
    begin_ = kept_end_ = unseen_;
    if (begin_ == end_ && !pinned_) begin_ = kept_end_ = unseen_ = end_ = 0;
  }

  // Not while pinned.
  void clear() {
    CHECK(!pinned_);
    begin_ = kept_end_ = unseen_ = end_ = 0;
  }

  // Moves the unseen bytes up to the kept ones. Not while pinned.
  void close_gap() {
    CHECK(!pinned_);
    std::memmove(bytes_.get() + kept_end_, bytes_.get() + unseen_, end_ - unseen_);
    end_ -= unseen_ - kept_end_;
    unseen_ = kept_end_;
  }

  // Makes room for `capacity` bytes in all, no fewer than there are. Then calls moved(from, to, count), as
  // memcpy was called, while the old memory is still there, so that views of kept bytes can follow. Not while
  // pinned.
  template <class Moved>
  void set_capacity(std::size_t capacity, Moved&& moved) {
    if (capacity_ > 0) close_gap();
    const std::size_t size = end_ - begin_;
    CHECK(!pinned_ && capacity >= size);
    auto bytes = std::make_unique_for_overwrite<char[]>(capacity + kBodyPadding);
    if (size > 0) std::memcpy(bytes.get(), bytes_.get() + begin_, size);
    moved(static_cast<const char*>(bytes_.get()) + begin_, static_cast<const char*>(bytes.get()), size);
    bytes_ = std::move(bytes);
    capacity_ = capacity;
    kept_end_ = unseen_ = kept_end_ - begin_;
    begin_ = 0;
    end_ = size;
  }

 private:
  std::unique_ptr<char[]> bytes_;
  std::size_t capacity_ = 0;
  bool pinned_ = false;
  // begin_ <= kept_end_ <= unseen_ <= end_ <= capacity_
  std::size_t begin_ = 0, kept_end_ = 0, unseen_ = 0, end_ = 0;
};

}  // namespace nidus::http::internal
