#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "data/internal/byte_reader.h"

namespace nidus::data::internal {
namespace {

constexpr std::size_t kInputBytes = 256u << 10;

class FileBytes final : public ByteReader {
 public:
  explicit FileBytes(int descriptor) : descriptor_(descriptor) {}
  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;
  ~FileBytes() override {
    if (descriptor_ > 0) ::close(descriptor_);
  }

  Result<std::size_t> read(char* out, std::size_t size) override {
    for (;;) {
      const auto got = ::read(descriptor_, out, size);
      if (got >= 0) return static_cast<std::size_t>(got);
      if (errno != EINTR) return Error{Errc::io, std::string("cannot read: ") + std::strerror(errno)};
    }
  }

 private:
  int descriptor_;
};

class MemoryBytes final : public ByteReader {
 public:
  explicit MemoryBytes(std::string_view bytes) : bytes_(bytes) {}

  Result<std::size_t> read(char* out, std::size_t size) override {
    const std::size_t n = std::min(size, bytes_.size());
    std::copy_n(bytes_.data(), n, out);
    bytes_.remove_prefix(n);
    return n;
  }

 private:
  std::string_view bytes_;
};

// Gives out bytes that were read to look at them, then the rest.
class ReplayedBytes final : public ByteReader {
 public:
  ReplayedBytes(std::string head, std::unique_ptr<ByteReader> rest)
      : head_(std::move(head)), rest_(std::move(rest)) {}

  Result<std::size_t> read(char* out, std::size_t size) override {
    if (given_ == head_.size()) return rest_->read(out, size);
    const std::size_t n = std::min(size, head_.size() - given_);
    std::copy_n(head_.data() + given_, n, out);
    given_ += n;
    return n;
  }

 private:
  std::string head_;
  std::size_t given_ = 0;
  std::unique_ptr<ByteReader> rest_;
};

// Members of a gzip file follow each other and are read as one stream; zero bytes behind the last are
// padding.
class GzipBytes final : public ByteReader {
 public:
  explicit GzipBytes(std::unique_ptr<ByteReader> packed) : packed_(std::move(packed)), input_(kInputBytes) {
    ready_ = inflateInit2(&stream_, 15 + 16) == Z_OK;
  }
  GzipBytes(const GzipBytes&) = delete;
  GzipBytes& operator=(const GzipBytes&) = delete;
  ~GzipBytes() override {
    if (ready_) inflateEnd(&stream_);
  }

  Result<std::size_t> read(char* out, std::size_t size) override {
    if (!ready_) return Error{Errc::exhausted, "no memory for decompression"};
    size = std::min<std::size_t>(size, 1u << 30);
    stream_.next_out = reinterpret_cast<Bytef*>(out);
    stream_.avail_out = static_cast<uInt>(size);
    while (stream_.avail_out == size) {
      if (stream_.avail_in == 0) {
        auto got = packed_->read(input_.data(), input_.size());
        if (!got) return std::move(got).error();
        if (*got == 0) {
          if (between_members_) return std::size_t{0};
          return Error{Errc::corrupt, "the gzip stream stops early"};
        }
        stream_.next_in = reinterpret_cast<Bytef*>(input_.data());
        stream_.avail_in = static_cast<uInt>(*got);
      }
      if (between_members_) {
        if (*stream_.next_in == 0) {
          ++stream_.next_in;
          --stream_.avail_in;
          continue;
        }
        between_members_ = false;
        inflateReset(&stream_);
      }
      const int outcome = inflate(&stream_, Z_NO_FLUSH);
      if (outcome == Z_STREAM_END) {
        between_members_ = true;
      } else if (outcome != Z_OK && outcome != Z_BUF_ERROR) {
        return Error{Errc::corrupt, std::string("broken gzip stream: ") +
                                        (stream_.msg != nullptr ? stream_.msg : "unknown fault")};
      }
    }
    return size - stream_.avail_out;
  }

 private:
  std::unique_ptr<ByteReader> packed_;
  std::vector<char> input_;
  z_stream stream_{};
  bool ready_ = false;
  bool between_members_ = false;
};

class ZstdBytes final : public ByteReader {
 public:
  explicit ZstdBytes(std::unique_ptr<ByteReader> packed)
      : packed_(std::move(packed)), input_(kInputBytes), stream_(ZSTD_createDStream(), &ZSTD_freeDStream) {}

  Result<std::size_t> read(char* out, std::size_t size) override {
    if (stream_ == nullptr) return Error{Errc::exhausted, "no memory for decompression"};
    ZSTD_outBuffer output{out, size, 0};
    while (output.pos == 0) {
      if (source_.pos == source_.size && !more_inside_) {
        auto got = packed_->read(input_.data(), input_.size());
        if (!got) return std::move(got).error();
        if (*got == 0) {
          if (between_frames_) return std::size_t{0};
          return Error{Errc::corrupt, "the zstd stream stops early"};
        }
        source_ = {input_.data(), *got, 0};
      }
      const std::size_t outcome = ZSTD_decompressStream(stream_.get(), &output, &source_);
      if (ZSTD_isError(outcome) != 0) {
        return Error{Errc::corrupt, std::string("broken zstd stream: ") + ZSTD_getErrorName(outcome)};
      }
      between_frames_ = outcome == 0;
      more_inside_ = output.pos == output.size && outcome != 0;
    }
    return output.pos;
  }

 private:
  std::unique_ptr<ByteReader> packed_;
  std::vector<char> input_;
  std::unique_ptr<ZSTD_DStream, decltype(&ZSTD_freeDStream)> stream_;
  ZSTD_inBuffer source_{nullptr, 0, 0};
  bool between_frames_ = false;
  bool more_inside_ = false;  // the decoder may hold output that did not fit
};

Result<OpenBytes> unpack(std::unique_ptr<ByteReader> raw, std::uint64_t size) {
  std::string head(4, '\0');
  std::size_t filled = 0;
  while (filled < head.size()) {
    auto got = raw->read(head.data() + filled, head.size() - filled);
    if (!got) return std::move(got).error();
    if (*got == 0) break;
    filled += *got;
  }
  head.resize(filled);
  const bool gzip = head.starts_with("\x1f\x8b");
  const bool zstd = head.starts_with("\x28\xb5\x2f\xfd");
  std::unique_ptr<ByteReader> bytes = std::make_unique<ReplayedBytes>(std::move(head), std::move(raw));
  if (gzip) return OpenBytes{std::make_unique<GzipBytes>(std::move(bytes)), "gzip", 0};
  if (zstd) return OpenBytes{std::make_unique<ZstdBytes>(std::move(bytes)), "zstd", 0};
  return OpenBytes{std::move(bytes), "none", size};
}

}  // namespace

Result<OpenBytes> open_bytes(const std::filesystem::path& path) {
  if (path == "-") return unpack(std::make_unique<FileBytes>(STDIN_FILENO), 0);
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    return Error{errno == ENOENT ? Errc::not_found : Errc::io,
                 std::string("cannot open: ") + std::strerror(errno)};
  }
  struct stat status {};
  const bool known = ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0;
  return unpack(std::make_unique<FileBytes>(descriptor),
                known ? static_cast<std::uint64_t>(status.st_size) : 0);
}

Result<OpenBytes> open_bytes(std::string_view memory) {
  return unpack(std::make_unique<MemoryBytes>(memory), memory.size());
}

}  // namespace nidus::data::internal
