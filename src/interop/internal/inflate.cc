#include "interop/internal/inflate.h"

#include <bzlib.h>
#include <lz4frame.h>
#include <lzma.h>
#include <zlib.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>
#include <memory>

#include "base/text.h"

namespace nidus::interop::internal {
namespace {

constexpr std::size_t kZfileHeader = 2 + 19;  // "ZF" and a field as wide as hex(2**64)

bool begins(std::span<const std::byte> bytes, std::string_view with) {
  return bytes.size() >= with.size() && std::memcmp(bytes.data(), with.data(), with.size()) == 0;
}

Error damaged(const char* what) {
  return {Errc::corrupt, std::string("the ") + what + " data are damaged or cut off"};
}

// Where the bytes go: a string that doubles up to its limit.
class Room {
 public:
  Room(std::size_t packed, std::size_t limit) : limit_(std::min(limit, unpacked_bytes_max(packed))) {
    out_.resize(std::min(limit_, std::max<std::size_t>(4 * packed, 1 << 16)));
  }

  // Room for more, as much as can be had at once; null if the limit is reached.
  char* next(std::size_t& size) {
    if (used_ == out_.size() && out_.size() < limit_) out_.resize(std::min(limit_, 2 * out_.size()));
    size = std::min<std::size_t>(out_.size() - used_, 1u << 30);
    return size == 0 ? nullptr : out_.data() + used_;
  }
  void took(std::size_t size) { used_ += size; }

  Error full() const {
    return {Errc::exhausted, "packed data that become more than " + with_thousands(limit_) + " bytes"};
  }
  std::string take() && {
    out_.resize(used_);
    return std::move(out_);
  }

 private:
  std::size_t limit_, used_ = 0;
  std::string out_;
};

// --- each library: hands over what is packed in pieces of at most 1 GiB and takes what comes

Result<std::string> from_zlib(std::span<const std::byte> bytes, Room room, int window, const char* what) {
  z_stream stream = {};
  if (inflateInit2(&stream, window) != Z_OK) return Error{Errc::exhausted, "no memory to inflate"};
  const std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&stream, inflateEnd);
  for (;;) {
    if (stream.avail_in == 0) {
      const std::size_t some = std::min<std::size_t>(bytes.size(), 1u << 30);
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data()));
      stream.avail_in = static_cast<uInt>(some);
      bytes = bytes.subspan(some);
    }
    std::size_t size = 0;
    char* const to = room.next(size);
    if (to == nullptr) return room.full();
    stream.next_out = reinterpret_cast<Bytef*>(to);
    stream.avail_out = static_cast<uInt>(size);
    const int state = ::inflate(&stream, Z_NO_FLUSH);
    room.took(size - stream.avail_out);
    if (state == Z_STREAM_END) return std::move(room).take();
    if (state != Z_OK || (stream.avail_out != 0 && stream.avail_in == 0 && bytes.empty()))
      return damaged(what);
  }
}

Result<std::string> from_bzip2(std::span<const std::byte> bytes, Room room) {
  bz_stream stream = {};
  if (BZ2_bzDecompressInit(&stream, 0, 0) != BZ_OK) return Error{Errc::exhausted, "no memory to inflate"};
  const std::unique_ptr<bz_stream, int (*)(bz_stream*)> guard(&stream, BZ2_bzDecompressEnd);
  for (;;) {
    if (stream.avail_in == 0) {
      const std::size_t some = std::min<std::size_t>(bytes.size(), 1u << 30);
      stream.next_in = reinterpret_cast<char*>(const_cast<std::byte*>(bytes.data()));
      stream.avail_in = static_cast<unsigned>(some);
      bytes = bytes.subspan(some);
    }
    std::size_t size = 0;
    char* const to = room.next(size);
    if (to == nullptr) return room.full();
    stream.next_out = to;
    stream.avail_out = static_cast<unsigned>(size);
    const int state = BZ2_bzDecompress(&stream);
    room.took(size - stream.avail_out);
    if (state == BZ_STREAM_END) return std::move(room).take();
    if (state != BZ_OK || (stream.avail_out != 0 && stream.avail_in == 0 && bytes.empty()))
      return damaged("bzip2");
  }
}

Result<std::string> from_lzma(std::span<const std::byte> bytes, Room room, bool alone) {
  constexpr std::uint64_t kMemoryMax = std::uint64_t{512} << 20;  // the dictionary of any preset has 64 MiB
  lzma_stream stream = LZMA_STREAM_INIT;
  const lzma_ret begun =
      alone ? lzma_alone_decoder(&stream, kMemoryMax) : lzma_stream_decoder(&stream, kMemoryMax, 0);
  if (begun != LZMA_OK) return Error{Errc::exhausted, "no memory to inflate"};
  const std::unique_ptr<lzma_stream, void (*)(lzma_stream*)> guard(&stream, lzma_end);
  stream.next_in = reinterpret_cast<const std::uint8_t*>(bytes.data());
  stream.avail_in = bytes.size();
  for (;;) {
    std::size_t size = 0;
    char* const to = room.next(size);
    if (to == nullptr) return room.full();
    stream.next_out = reinterpret_cast<std::uint8_t*>(to);
    stream.avail_out = size;
    const lzma_ret state = lzma_code(&stream, LZMA_FINISH);
    room.took(size - stream.avail_out);
    if (state == LZMA_STREAM_END) return std::move(room).take();
    if (state == LZMA_MEMLIMIT_ERROR)
      return Error{Errc::exhausted, "an lzma dictionary of more than 512 MiB"};
    if (state != LZMA_OK) return damaged(alone ? "lzma" : "xz");
  }
}

Result<std::string> from_lz4(std::span<const std::byte> bytes, Room room) {
  LZ4F_dctx* made = nullptr;
  if (LZ4F_isError(LZ4F_createDecompressionContext(&made, LZ4F_VERSION)) != 0) {
    return Error{Errc::exhausted, "no memory to inflate"};
  }
  const std::unique_ptr<LZ4F_dctx, std::size_t (*)(LZ4F_dctx*)> context(made, LZ4F_freeDecompressionContext);
  for (;;) {
    std::size_t size = 0, taken = bytes.size();
    char* const to = room.next(size);
    if (to == nullptr) return room.full();
    const std::size_t offered = size;
    const std::size_t wanted = LZ4F_decompress(context.get(), to, &size, bytes.data(), &taken, nullptr);
    if (LZ4F_isError(wanted) != 0) return damaged("lz4");
    room.took(size);
    bytes = bytes.subspan(taken);
    if (wanted == 0) return std::move(room).take();
    if (bytes.empty() && size < offered) return damaged("lz4");
  }
}

}  // namespace

std::string_view name(Packing packing) {
  switch (packing) {
    case Packing::none:
      return "none";
    case Packing::zlib:
      return "zlib";
    case Packing::gzip:
      return "gzip";
    case Packing::bzip2:
      return "bzip2";
    case Packing::xz:
      return "xz";
    case Packing::lzma:
      return "lzma";
    case Packing::lz4:
      return "lz4";
    case Packing::zfile:
      return "zlib of an old joblib";
  }
  return "";
}

Packing packing_of(std::span<const std::byte> bytes) {
  using namespace std::string_view_literals;
  if (begins(bytes, "\x1f\x8b"sv)) return Packing::gzip;
  if (begins(bytes, "BZh"sv)) return Packing::bzip2;
  if (begins(bytes,
             "\xfd"
             "7zXZ\0"sv))
    return Packing::xz;
  if (begins(bytes, "\x5d\0\0"sv)) return Packing::lzma;
  if (begins(bytes, "\x04\x22\x4d\x18"sv)) return Packing::lz4;
  if (begins(bytes, "ZF0x"sv)) return Packing::zfile;
  // The header of zlib is a multiple of 31.
  if (begins(bytes, "\x78"sv) && bytes.size() > 1 &&
      (0x7800 + std::to_integer<unsigned>(bytes[1])) % 31 == 0) {
    return Packing::zlib;
  }
  return Packing::none;
}

std::size_t unpacked_bytes_max(std::size_t packed) {
  constexpr std::size_t kTimes = 100, kAlways = std::size_t{64} << 20;
  constexpr std::size_t kMost = std::numeric_limits<std::size_t>::max();
  return packed > (kMost - kAlways) / kTimes ? kMost : kTimes * packed + kAlways;
}

Result<std::string> inflate(std::span<const std::byte> bytes, std::size_t limit) {
  constexpr int kZlib = 15, kGzip = 15 + 16;  // the largest window; the wrapping that is expected
  switch (packing_of(bytes)) {
    case Packing::none:
      return Error{Errc::unsupported, "the data are not packed in a way that is known"};
    case Packing::zlib:
      return from_zlib(bytes, Room(bytes.size(), limit), kZlib, "zlib");
    case Packing::gzip:
      return from_zlib(bytes, Room(bytes.size(), limit), kGzip, "gzip");
    case Packing::bzip2:
      return from_bzip2(bytes, Room(bytes.size(), limit));
    case Packing::xz:
      return from_lzma(bytes, Room(bytes.size(), limit), false);
    case Packing::lzma:
      return from_lzma(bytes, Room(bytes.size(), limit), true);
    case Packing::lz4:
      return from_lz4(bytes, Room(bytes.size(), limit));
    case Packing::zfile:
      break;
  }
  if (bytes.size() <= kZfileHeader) return damaged("zlib");
  const std::string_view digits(reinterpret_cast<const char*>(bytes.data()) + 4, kZfileHeader - 4);
  std::uint64_t size = 0;
  const auto [end, bad] = std::from_chars(digits.data(), digits.data() + digits.size(), size, 16);
  if (bad != std::errc()) return damaged("zlib");
  // Python 2 wrote the field one blank wider; no zlib stream begins with one.
  auto rest = bytes.subspan(kZfileHeader);
  if (rest.front() == std::byte{' '}) rest = rest.subspan(1);
  auto out = from_zlib(rest, Room(rest.size(), limit), kZlib, "zlib");
  if (out && out->size() != size) return damaged("zlib");
  return out;
}

}  // namespace nidus::interop::internal
