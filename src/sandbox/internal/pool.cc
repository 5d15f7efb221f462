#include "sandbox/internal/pool.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <string>
#include <utility>

#include "sandbox/child.h"
#include "sandbox/internal/wire.h"

namespace nidus::sandbox::internal {
namespace {

// A program starts in milliseconds; on a machine that swaps, in seconds.
constexpr int kStartMilliseconds = 20000;

// While one waits another has time: whoever just got his is to have the processors for himself.
constexpr std::chrono::seconds kNextLater{1};

// All of `into`, from a pipe that does not block.
Result<void> read_slowly(int fd, std::span<std::byte> into) {
  while (!into.empty()) {
    pollfd waiting{fd, POLLIN, 0};
    const int ready = ::poll(&waiting, 1, kStartMilliseconds);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return Error{Errc::io, "the sandboxed process did not start in time"};
    const ssize_t got = ::read(fd, into.data(), into.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) return Error{Errc::io, "the sandboxed process did not start"};
    into = into.subspan(static_cast<std::size_t>(got));
  }
  return {};
}

}  // namespace

Pool::Pool(Options options) : options_(std::move(options)) {}

Pool::~Pool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  taken_.notify_all();
  if (keeper_.joinable()) keeper_.join();
}

Result<void> Pool::start() {
  std::signal(SIGPIPE, SIG_IGN);  // a child that is gone is a failed write
  auto first = spawn();
  if (!first) return std::move(first).error();
  waiting_.push_back(std::move(*first));
  keeper_ = std::thread([this] { keep(); });
  return {};
}

Result<Process> Pool::spawn() {
  auto process = Process::start(options_.program, {kChildVerb, std::to_string(options_.memory_bytes_max),
                                                   std::to_string(options_.cpu_time_max.count()),
                                                   options_.filter_required ? "filter" : "any"});
  if (!process) return process;
  const int output = process->output();
  MessageReader reader([&](std::span<std::byte> into) { return read_slowly(output, into); });
  auto hello = reader.next();
  if (!hello) return std::move(hello).error();
  if (hello->tag == Tag::failure) return error_of(hello->bytes);
  if (hello->tag != Tag::ready) return Error{Errc::io, "the sandboxed process did not start as it should"};
  const std::lock_guard lock(mutex_);
  filters_ = hello->bytes[0] != std::byte{0};
  ++counts_.started;
  return process;
}

void Pool::keep() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (waiting_.size() >= options_.warm) {
      taken_.wait(lock);
      continue;
    }
    taken_.wait_for(lock, kNextLater, [this] { return stopping_ || waiting_.empty(); });
    if (stopping_) return;
    lock.unlock();
    auto process = spawn();
    lock.lock();
    if (process) {
      waiting_.push_back(std::move(*process));
    } else {
      // Whoever needs a child tries for himself and is told.
      taken_.wait_for(lock, std::chrono::seconds(1));
    }
  }
}

Result<Process> Pool::take() {
  {
    std::unique_lock lock(mutex_);
    while (!waiting_.empty()) {
      Process process = std::move(waiting_.back());
      waiting_.pop_back();
      taken_.notify_one();
      // One that somebody killed while it waited.
      pollfd there{process.output(), POLLIN, 0};
      if (::poll(&there, 1, 0) == 0) return process;
    }
  }
  return spawn();
}

Counts Pool::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

void Pool::count_end(bool crashed) {
  const std::lock_guard lock(mutex_);
  ++(crashed ? counts_.crashed : counts_.stopped);
}

}  // namespace nidus::sandbox::internal
