#include "net/internal/window.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace nidus::net::internal {
namespace {

constexpr std::size_t kReadChunk = std::size_t{1} << 17;
constexpr std::size_t kBufferBytes = Window::kLookAheadMax + kReadChunk;

}  // namespace

Window::Window(std::span<const std::uint8_t> memory)
    : at_(memory.data()), end_(memory.data() + memory.size()), base_(memory.data()) {}

Window::Window(std::unique_ptr<ByteSource> source)
    : source_(std::move(source)), buffer_(std::make_unique_for_overwrite<std::uint8_t[]>(kBufferBytes)) {
  at_ = end_ = base_ = buffer_.get();
}

Window::Have Window::more(std::size_t count) {
  CHECK(count <= kLookAheadMax);
  if (!source_) return Have::end;

  passed_ = offset();
  const std::size_t kept = visible();
  if (kept > 0) std::memmove(buffer_.get(), at_, kept);
  at_ = base_ = buffer_.get();
  end_ = at_ + kept;
  while (visible() < count) {
    const std::size_t filled = visible();
    std::size_t got = 0;
    switch (source_->read({buffer_.get() + filled, kReadChunk}, got)) {
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

Window::Have Window::skip_far(std::uint64_t& count) {
  for (;;) {
    const std::size_t now = static_cast<std::size_t>(std::min<std::uint64_t>(count, visible()));
    skip(now);
    count -= now;
    if (count == 0) return Have::enough;
    const Have some = have(1);
    if (some != Have::enough) return some;
  }
}

void Window::unpack(Packing packing, UnpackLimits limits) {
  if (source_) {
    source_ = unpacking_source(packing, std::span(at_, visible()), std::move(source_), limits);
  } else {
    source_ = unpacking_source(packing, {}, memory_source({at_, visible()}), limits);
    buffer_ = std::make_unique_for_overwrite<std::uint8_t[]>(kBufferBytes);
  }
  at_ = end_ = base_ = buffer_.get();
  passed_ = 0;
}

}  // namespace nidus::net::internal
