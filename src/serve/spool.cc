#include "serve/spool.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

namespace nidus::serve {
namespace {

constexpr std::string_view kNoRoom = "there is no room on the disk";

Error no_room() { return {Errc::exhausted, std::string(kNoRoom)}; }
bool is_no_room(int code) { return code == ENOSPC || code == EDQUOT || code == EFBIG; }

constexpr std::size_t kPieceBytes = std::size_t{1} << 18;

// A file that nobody finds and nothing is left of.
int nameless_file(const std::filesystem::path& folder) {
  const int fd = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR)) return fd;
  std::string name = (folder / "nidus-XXXXXX").string();
  const int named = ::mkostemp(name.data(), O_CLOEXEC);
  if (named >= 0) ::unlink(name.c_str());
  return named;
}

}  // namespace

bool is_disk_full(const Error& error) {
  return error.code == Errc::exhausted && error.message.ends_with(kNoRoom);
}

Spool::Spool(std::filesystem::path folder, SpoolLimits limits)
    : folder_(std::move(folder)), limits_(limits) {}

Spool::Spool(Spool&& other) noexcept
    : folder_(std::move(other.folder_)),
      named_(std::exchange(other.named_, {})),
      limits_(other.limits_),
      held_(std::move(other.held_)),
      filed_(std::exchange(other.filed_, 0)),
      fd_(std::exchange(other.fd_, -1)) {}

Spool::~Spool() {
  if (fd_ >= 0) ::close(fd_);
  if (!named_.empty()) ::unlink(named_.c_str());
}

Result<Spool> Spool::at(const std::filesystem::path& file, SpoolLimits limits) {
  Spool spool(file.parent_path(), limits);
  spool.fd_ = ::open(file.c_str(), O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (spool.fd_ < 0 && is_no_room(errno)) return no_room();
  if (spool.fd_ < 0)
    return Error{Errc::io, fmt::format("{}: cannot be written: {}", file.string(), std::strerror(errno))};
  spool.named_ = file;
  return spool;
}

Result<Spool> Spool::open(const std::filesystem::path& file) {
  Spool spool(file.parent_path());
  spool.fd_ = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  const off_t size = spool.fd_ < 0 ? -1 : ::lseek(spool.fd_, 0, SEEK_END);
  if (size < 0)
    return Error{errno == ENOENT ? Errc::not_found : Errc::io,
                 fmt::format("{}: cannot be read: {}", file.string(), std::strerror(errno))};
  spool.filed_ = static_cast<std::uint64_t>(size);
  return spool;
}

Result<void> Spool::keep() {
  if (auto done = this->file(); !done) return done;
  // The folder too, or the file may be there without a name.
  const int folder = ::open(folder_.c_str(), O_DIRECTORY | O_RDONLY | O_CLOEXEC);
  const bool good = ::fsync(fd_) == 0 && folder >= 0 && ::fsync(folder) == 0;
  const int why = errno;
  if (folder >= 0) ::close(folder);
  if (!good && is_no_room(why)) return no_room();
  if (!good)
    return Error{Errc::io, fmt::format("{}: cannot write: {}", folder_.string(), std::strerror(why))};
  named_.clear();
  return {};
}

Result<void> Spool::append(std::string_view text) {
  if (text.size() > limits_.bytes_max - size())
    return Error{Errc::exhausted,
                 fmt::format("the answer is longer than the limit of {} bytes", limits_.bytes_max)};
  held_ += text;
  return held_.size() > limits_.memory_bytes ? file() : Result<void>();
}

Result<void> Spool::file() {
  if (fd_ < 0) {
    std::error_code ec;
    if (folder_.empty()) folder_ = std::filesystem::temp_directory_path(ec);
    fd_ = nameless_file(folder_);
    if (fd_ < 0 && is_no_room(errno)) return no_room();
    if (fd_ < 0)
      return Error{Errc::io,
                   fmt::format("{}: no temporary file: {}", folder_.string(), std::strerror(errno))};
  }
  for (std::string_view rest = held_; !rest.empty();) {
    const ssize_t put = ::pwrite(fd_, rest.data(), rest.size(), static_cast<off_t>(filed_));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && is_no_room(errno)) return no_room();
    if (put < 0)
      return Error{Errc::io, fmt::format("{}: cannot write: {}", folder_.string(), std::strerror(errno))};
    rest.remove_prefix(static_cast<std::size_t>(put));
    filed_ += static_cast<std::uint64_t>(put);
  }
  held_.clear();
  return {};
}

Result<std::size_t> Spool::read_at(std::uint64_t at, std::span<char> into) const {
  if (at >= filed_) {
    const std::string_view rest =
        std::string_view(held_).substr(std::min<std::uint64_t>(at - filed_, held_.size()));
    return rest.copy(into.data(), into.size());
  }
  for (;;) {
    const std::size_t most = static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), filed_ - at));
    const ssize_t got = ::pread(fd_, into.data(), most, static_cast<off_t>(at));
    if (got > 0) return static_cast<std::size_t>(got);
    if (got == 0 || errno != EINTR) return Error{Errc::io, "a temporary file cannot be read back"};
  }
}

Result<void> Spool::read(const std::function<Result<void>(std::string_view)>& take) const {
  std::vector<char> piece(std::min<std::uint64_t>(size(), kPieceBytes));
  for (std::uint64_t at = 0; at < size();) {
    const auto got = read_at(at, piece);
    if (!got) return got.error();
    if (auto taken = take({piece.data(), *got}); !taken) return taken;
    at += *got;
  }
  return {};
}

}  // namespace nidus::serve
