#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "net/internal/byte_source.h"
#include "net/internal/bytes.h"

namespace nidus::net::internal {
namespace {

// 2^27 = 128 MiB: the largest window that zstd's own tool unpacks without being told to (its level 19 uses 8
// MiB).
constexpr int kZstdWindowLogMax = 27;
constexpr std::size_t kInputBytes = 1 << 17;

// The part that gzip and zstd have in common: feeding packed bytes, counting, the limit, how it ends.
class Unpacker : public ByteSource {
 public:
  Unpacker(std::span<const std::uint8_t> head, std::unique_ptr<ByteSource> inner, UnpackLimits limits)
      : inner_(std::move(inner)), limits_(limits), input_(std::max(kInputBytes, head.size())) {
    std::copy(head.begin(), head.end(), input_.begin());
    filled_ = head.size();
  }

  Got read(std::span<std::uint8_t> into, std::size_t& count) final {
    while (state_ == Got::bytes) {
      if (used_ == filled_ && !wants_no_input()) {
        const Got got = refill();
        if (got != Got::bytes) return got;
        if (state_ != Got::bytes) break;
      }
      count = unpack(into);
      if (count > limits_.bytes_max - made_) {
        return fail(Errc::exhausted,
                    "unpacks to more than the limit of " + std::to_string(limits_.bytes_max) + " bytes");
      }
      made_ += count;
      if (limits_.ratio_max != 0 && made_ > kRatioFreeBytes &&
          made_ / limits_.ratio_max > inner_->consumed() - (filled_ - used_)) {
        return fail(Errc::exhausted, "unpacks to more than " + std::to_string(limits_.ratio_max) +
                                         " bytes for each of its own, which is the limit");
      }
      if (count > 0) return Got::bytes;
    }
    return state_;
  }
  std::uint64_t consumed() const final { return inner_->consumed(); }
  const Error& error() const final { return error_; }

 protected:
  // Turns input() into bytes; returns how many. Calls took() and, when all is lost, fail().
  virtual std::size_t unpack(std::span<std::uint8_t> into) = 0;
  // Whether the input may end here.
  virtual bool at_boundary() const = 0;
  // Whether output is still held back that needs no further input.
  virtual bool wants_no_input() const = 0;

  std::span<std::uint8_t> input() { return std::span(input_).subspan(used_, filled_ - used_); }
  void took(std::size_t bytes) { used_ += bytes; }
  Got fail(Errc code, const std::string& what) {
    const std::uint64_t at = inner_->consumed() - (filled_ - used_);
    error_ = {code, "compressed byte " + std::to_string(at) + ": " + what};
    return state_ = Got::failed;
  }

 private:
  Got refill() {
    std::size_t count = 0;
    switch (inner_->read(input_, count)) {
      case Got::bytes:
        used_ = 0;
        filled_ = count;
        return Got::bytes;
      case Got::idle:
        return Got::idle;
      case Got::end:
        if (!at_boundary()) return fail(Errc::corrupt, "the compressed data ends early");
        return state_ = Got::end;
      case Got::failed:
        error_ = inner_->error();
        return state_ = Got::failed;
    }
    return state_;
  }

  static constexpr std::uint64_t kRatioFreeBytes = 1u << 20;

  std::unique_ptr<ByteSource> inner_;
  UnpackLimits limits_;
  std::uint64_t made_ = 0;
  std::vector<std::uint8_t> input_;
  std::size_t used_ = 0;
  std::size_t filled_ = 0;
  Got state_ = Got::bytes;
  Error error_;
};

class GzipSource final : public Unpacker {
 public:
  using Unpacker::Unpacker;
  GzipSource(const GzipSource&) = delete;
  GzipSource& operator=(const GzipSource&) = delete;
  ~GzipSource() override {
    if (ready_) inflateEnd(&stream_);
  }

 private:
  std::size_t unpack(std::span<std::uint8_t> into) override {
    if (!ready_) {
      if (inflateInit2(&stream_, 15 + 16) != Z_OK) {  // 32 KiB window, gzip header and trailer
        fail(Errc::exhausted, "no memory for zlib");
        return 0;
      }
      ready_ = true;
    }
    const auto in = input();
    const std::size_t room = std::min<std::size_t>(into.size(), 1u << 30);
    stream_.next_in = in.data();
    stream_.avail_in = static_cast<uInt>(in.size());
    stream_.next_out = into.data();
    stream_.avail_out = static_cast<uInt>(room);
    const int answer = inflate(&stream_, Z_NO_FLUSH);
    took(in.size() - stream_.avail_in);
    full_ = stream_.avail_out == 0 && answer == Z_OK;
    inside_ = true;
    if (answer == Z_STREAM_END) {
      inflateReset(&stream_);
      inside_ = false;
    } else if (answer != Z_OK && answer != Z_BUF_ERROR) {
      fail(Errc::corrupt,
           std::string("damaged gzip data (") + (stream_.msg ? stream_.msg : "zlib gave up") + ")");
    }
    return room - stream_.avail_out;
  }
  bool at_boundary() const override { return !inside_; }
  bool wants_no_input() const override { return full_; }

  z_stream stream_{};
  bool ready_ = false;
  bool inside_ = false;  // a member has begun and has not ended
  bool full_ = false;    // the last call filled its output: there may be more without further input
};

class ZstdSource final : public Unpacker {
 public:
  using Unpacker::Unpacker;
  ZstdSource(const ZstdSource&) = delete;
  ZstdSource& operator=(const ZstdSource&) = delete;
  ~ZstdSource() override { ZSTD_freeDStream(stream_); }

 private:
  std::size_t unpack(std::span<std::uint8_t> into) override {
    if (stream_ == nullptr) {
      stream_ = ZSTD_createDStream();
      if (stream_ == nullptr) {
        fail(Errc::exhausted, "no memory for zstd");
        return 0;
      }
      ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, kZstdWindowLogMax);
    }
    const auto in = input();
    ZSTD_inBuffer from{in.data(), in.size(), 0};
    ZSTD_outBuffer to{into.data(), into.size(), 0};
    const std::size_t answer = ZSTD_decompressStream(stream_, &to, &from);
    took(from.pos);
    if (ZSTD_isError(answer)) {
      fail(Errc::corrupt, std::string("damaged zstd data (") + ZSTD_getErrorName(answer) + ")");
    }
    inside_ = answer != 0;
    full_ = to.pos == to.size && inside_;
    return to.pos;
  }
  bool at_boundary() const override { return !inside_; }
  bool wants_no_input() const override { return full_; }

  ZSTD_DStream* stream_ = nullptr;
  bool inside_ = false;
  bool full_ = false;
};

}  // namespace

Packing recognise_packing(std::span<const std::uint8_t> head) {
  if (head.size() >= 2 && head[0] == 0x1f && head[1] == 0x8b) return Packing::gzip;
  if (head.size() >= 4 && load_le32(head.data()) == 0xfd2fb528) return Packing::zstd;
  return Packing::none;
}

std::unique_ptr<ByteSource> unpacking_source(Packing packing, std::span<const std::uint8_t> head,
                                             std::unique_ptr<ByteSource> inner, UnpackLimits limits) {
  switch (packing) {
    case Packing::none:
      break;
    case Packing::gzip:
      return std::make_unique<GzipSource>(head, std::move(inner), limits);
    case Packing::zstd:
      return std::make_unique<ZstdSource>(head, std::move(inner), limits);
  }
  return inner;
}

}  // namespace nidus::net::internal
