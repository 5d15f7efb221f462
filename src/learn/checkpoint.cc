#include "learn/checkpoint.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/digest.h"
#include "base/file.h"

namespace nidus::learn {
namespace {

constexpr std::string_view kMagic = "nidusckp";
constexpr std::uint64_t kVersion = 1;
constexpr std::size_t kHeader = 24;

void append_number(std::string& out, std::uint64_t number) {
  out.append(reinterpret_cast<const char*>(&number), sizeof number);
}

std::uint64_t number_at(std::span<const std::byte> bytes, std::size_t offset) {
  std::uint64_t number = 0;
  std::memcpy(&number, bytes.data() + offset, sizeof number);
  return number;
}

Error system_error(const std::string& name) { return {Errc::io, name + ": " + std::strerror(errno)}; }

std::string header_of(std::uint64_t training) {
  std::string header(kMagic);
  append_number(header, kVersion);
  append_number(header, training);
  return header;
}

std::string record_head(std::uint64_t number, std::string_view bytes) {
  std::string head;
  append_number(head, number);
  append_number(head, bytes.size());
  append_number(head, checksum64(std::as_bytes(std::span(bytes.data(), bytes.size()))));
  return head;
}

bool write_all(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

}  // namespace

Result<CheckpointContent> parse_checkpoint(std::span<const std::byte> bytes) {
  if (bytes.size() < kHeader || std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0) {
    return Error{Errc::corrupt, "not a checkpoint"};
  }
  if (number_at(bytes, 8) != kVersion) return Error{Errc::unsupported, "a checkpoint of another version"};
  CheckpointContent out;
  out.training = number_at(bytes, 16);
  out.bytes = kHeader;
  while (bytes.size() - out.bytes >= kHeader) {
    const std::uint64_t number = number_at(bytes, out.bytes), length = number_at(bytes, out.bytes + 8);
    if (length > bytes.size() - out.bytes - kHeader) break;
    const auto body = bytes.subspan(out.bytes + kHeader, length);
    if (checksum64(body) != number_at(bytes, out.bytes + 16)) break;
    out.records.push_back({number, {reinterpret_cast<const char*>(body.data()), body.size()}});
    out.bytes += kHeader + length;
  }
  return out;
}

Result<Checkpoint> Checkpoint::open(const std::filesystem::path& path, std::uint64_t training) {
  Checkpoint out;
  out.name_ = path.string();
  out.training_ = training;
  out.file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (out.file_ < 0) return system_error(out.name_);
  if (::flock(out.file_, LOCK_EX | LOCK_NB) != 0) {
    return Error{Errc::io, out.name_ + ": another training is writing it"};
  }
  std::size_t keep = 0;
  {
    auto mapped = MappedFile::open(path);
    if (!mapped) return std::move(mapped).error();
    const auto bytes = mapped->bytes();
    // A kill may come before the header is written whole.
    const std::string_view begin(reinterpret_cast<const char*>(bytes.data()),
                                 std::min<std::size_t>(8, bytes.size()));
    if (bytes.size() >= kHeader || !kMagic.starts_with(begin)) {
      auto content = parse_checkpoint(bytes);
      if (!content) {
        return Error{Errc::invalid, out.name_ + ": " + content.error().message + ", so it is left alone"};
      }
      out.found_ = content->training == training ? Found::same_training : Found::other_training;
      if (out.found_ == Found::same_training) {
        keep = content->bytes;
        out.records_ = std::move(content->records);
      }
    }
  }
  if (::ftruncate(out.file_, static_cast<off_t>(keep)) != 0 ||
      ::lseek(out.file_, static_cast<off_t>(keep), SEEK_SET) < 0) {
    return system_error(out.name_);
  }
  if (keep == 0) {
    if (!write_all(out.file_, header_of(training))) return system_error(out.name_);
  }
  return out;
}

Checkpoint::Checkpoint(Checkpoint&& other) noexcept { *this = std::move(other); }

Checkpoint& Checkpoint::operator=(Checkpoint&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(found_, other.found_);
  std::swap(name_, other.name_);
  std::swap(training_, other.training_);
  std::swap(records_, other.records_);
  return *this;
}

Checkpoint::~Checkpoint() {
  if (file_ >= 0) ::close(file_);
}

Result<void> Checkpoint::append(std::uint64_t number, std::string_view bytes) {
  if (file_ < 0) return {};
  if (!write_all(file_, record_head(number, bytes)) || !write_all(file_, bytes)) return system_error(name_);
  return {};
}

Result<void> Checkpoint::replace(std::uint64_t number, std::string_view bytes) {
  if (file_ < 0) return {};
  const std::string beside = name_ + ".new";
  const int file = ::open(beside.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) return system_error(beside);
  // Locked before it has the name, so that whoever opens it finds it taken.
  if (::flock(file, LOCK_EX | LOCK_NB) != 0 || !write_all(file, header_of(training_)) ||
      !write_all(file, record_head(number, bytes)) || !write_all(file, bytes) ||
      ::rename(beside.c_str(), name_.c_str()) != 0) {
    const Error error = system_error(beside);
    ::close(file);
    ::unlink(beside.c_str());
    return error;
  }
  ::close(file_);
  file_ = file;
  return {};
}

}  // namespace nidus::learn
