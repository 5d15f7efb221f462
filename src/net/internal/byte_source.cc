#include "net/internal/byte_source.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace nidus::net::internal {
namespace {

// 200 ms: short enough for a person to see flows end, long enough to cost nothing.
constexpr int kIdleMilliseconds = 200;

class MemorySource final : public ByteSource {
 public:
  explicit MemorySource(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  Got read(std::span<std::uint8_t> into, std::size_t& count) override {
    count = std::min(into.size(), bytes_.size() - done_);
    if (count == 0) return Got::end;
    std::memcpy(into.data(), bytes_.data() + done_, count);
    done_ += count;
    return Got::bytes;
  }
  std::uint64_t consumed() const override { return done_; }
  const Error& error() const override { return error_; }

 private:
  std::span<const std::uint8_t> bytes_;
  std::size_t done_ = 0;
  Error error_;
};

class DescriptorSource final : public ByteSource {
 public:
  explicit DescriptorSource(int fd) : fd_(fd) {}
  DescriptorSource(const DescriptorSource&) = delete;
  DescriptorSource& operator=(const DescriptorSource&) = delete;
  ~DescriptorSource() override {
    if (fd_ != STDIN_FILENO) ::close(fd_);
  }

  Got read(std::span<std::uint8_t> into, std::size_t& count) override {
    if (state_ != Got::bytes) return state_;
    pollfd waiting{fd_, POLLIN, 0};
    const int ready = ::poll(&waiting, 1, kIdleMilliseconds);
    if (ready == 0 || (ready < 0 && errno == EINTR)) return Got::idle;
    if (ready < 0) return failed("cannot wait for input");
    const ssize_t got = ::read(fd_, into.data(), into.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return Got::idle;
    if (got < 0) return failed("cannot read");
    if (got == 0) return state_ = Got::end;
    count = static_cast<std::size_t>(got);
    consumed_ += count;
    return Got::bytes;
  }
  std::uint64_t consumed() const override { return consumed_; }
  const Error& error() const override { return error_; }

 private:
  Got failed(const char* what) {
    error_ = {Errc::io, std::string(what) + ": " + std::strerror(errno)};
    return state_ = Got::failed;
  }

  int fd_;
  Got state_ = Got::bytes;
  std::uint64_t consumed_ = 0;
  Error error_;
};

class PatientSource final : public ByteSource {
 public:
  explicit PatientSource(int fd) : fd_(fd) {}

  Got read(std::span<std::uint8_t> into, std::size_t& count) override {
    while (state_ == Got::bytes) {
      const ssize_t got = ::read(fd_, into.data(), into.size());
      if (got > 0) {
        count = static_cast<std::size_t>(got);
        consumed_ += count;
        return Got::bytes;
      }
      if (got == 0) {
        state_ = Got::end;
      } else if (errno != EINTR) {
        error_ = {Errc::io, std::string("cannot read: ") + std::strerror(errno)};
        state_ = Got::failed;
      }
    }
    return state_;
  }
  std::uint64_t consumed() const override { return consumed_; }
  const Error& error() const override { return error_; }

 private:
  int fd_;
  Got state_ = Got::bytes;
  std::uint64_t consumed_ = 0;
  Error error_;
};

}  // namespace

std::unique_ptr<ByteSource> memory_source(std::span<const std::uint8_t> bytes) {
  return std::make_unique<MemorySource>(bytes);
}

std::unique_ptr<ByteSource> descriptor_source(int fd) { return std::make_unique<DescriptorSource>(fd); }

std::unique_ptr<ByteSource> patient_source(int fd) { return std::make_unique<PatientSource>(fd); }

}  // namespace nidus::net::internal
