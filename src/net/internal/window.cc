#include "net/internal/window.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace nidus::net::internal {
namespace {

// How much of a map is asked for, and let go, at a time.
constexpr std::size_t kMapChunk = std::size_t{4} << 20;
constexpr std::size_t kPage = 4096;

// How much is read from a source at a time: small enough to stay in the second-level cache until it is
// decoded.
constexpr std::size_t kReadChunk = std::size_t{1} << 18;

}  // namespace

Window::Window(std::span<const std::uint8_t> bytes, bool mapped)
    : at_(bytes.data()),
      end_(mapped ? bytes.data() : bytes.data() + bytes.size()),
      base_(bytes.data()),
      memory_(bytes),
      mapped_(mapped) {}

Window::Window(std::unique_ptr<ByteSource> source)
    : source_(std::move(source)), buffer_(kLookAheadMax + kReadChunk) {
  at_ = end_ = base_ = buffer_.data();
}

Window::Have Window::more(std::size_t count) {
  CHECK(count <= kLookAheadMax);
  if (!source_) return more_of_memory(count);

  passed_ = offset();
  const std::size_t kept = visible();
  if (kept > 0) std::memmove(buffer_.data(), at_, kept);
  at_ = base_ = buffer_.data();
  end_ = at_ + kept;
  while (visible() < count) {
    const std::size_t filled = visible();
    std::size_t got = 0;
    switch (source_->read(std::span(buffer_).subspan(filled, kReadChunk), got)) {
      case ByteSource::Got::bytes:
        end_ += got;
        break;
      case ByteSource::Got::end:
        return Have::end;
      case ByteSource::Got::idle:
        return Have::idle;
      case ByteSource::Got::failed:
        return Have::failed;
    }
  }
  return Have::enough;
}

Window::Have Window::more_of_memory(std::size_t count) {
  const std::uint8_t* const last = memory_.data() + memory_.size();
  if (end_ == last) return Have::end;
  const auto done = static_cast<std::size_t>(end_ - memory_.data());
  const auto behind = static_cast<std::size_t>(at_ - memory_.data());
  const std::size_t wanted = std::min(memory_.size(), std::max(done + kMapChunk, behind + count));
  end_ = memory_.data() + wanted;
  if (mapped_) {
    // One call instead of a page fault per 64 KiB. Kernels before 5.14 refuse, and then the faults come as
    // ever.
    const std::size_t from = done / kPage * kPage;
    ::madvise(const_cast<std::uint8_t*>(memory_.data()) + from, wanted - from, MADV_POPULATE_READ);
    const std::size_t gone = behind / kPage * kPage;
    if (gone > released_) {
      ::madvise(const_cast<std::uint8_t*>(memory_.data()) + released_, gone - released_, MADV_DONTNEED);
      released_ = gone;
    }
  }
  return visible() >= count ? Have::enough : Have::end;
}

Window::Have Window::skip_far(std::uint64_t& count) {
  if (!source_ && count > visible()) {
    const auto left = static_cast<std::size_t>(memory_.data() + memory_.size() - at_);
    const std::size_t jump = static_cast<std::size_t>(std::min<std::uint64_t>(count, left));
    at_ += jump;
    end_ = std::max(end_, at_);
    count -= jump;
    return count == 0 ? Have::enough : Have::end;
  }
  for (;;) {
    const std::size_t now = static_cast<std::size_t>(std::min<std::uint64_t>(count, visible()));
    skip(now);
    count -= now;
    if (count == 0) return Have::enough;
    const Have some = have(1);
    if (some != Have::enough) return some;
  }
}

void Window::unpack(Packing packing, std::uint64_t bytes_max) {
  if (source_) {
    source_ = unpacking_source(packing, std::span(at_, visible()), std::move(source_), bytes_max);
  } else {
    source_ = unpacking_source(packing, {}, memory_source(memory_), bytes_max);
    buffer_.resize(kLookAheadMax + kReadChunk);
  }
  at_ = end_ = base_ = buffer_.data();
  passed_ = 0;
}

}  // namespace nidus::net::internal
