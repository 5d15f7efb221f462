#include "sandbox/internal/conversation.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "sandbox/child.h"

namespace nidus::sandbox::internal {
namespace {

// How often somebody who waits looks at the clock.
constexpr int kTickMilliseconds = 100;

// No child takes more: 4 bytes a nanosecond.
constexpr int kBytesTakenPerMicrosecond = 4000;

double seconds(std::chrono::milliseconds time) { return static_cast<double>(time.count()) / 1000; }

}  // namespace

bool Conversation::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    if (over_ || stopped()) return false;
    const ssize_t put = ::write(process_.input(), bytes.data(), bytes.size());
    if (put > 0) {
      accepted_ = Clock::now().time_since_epoch().count();
      bytes = bytes.subspan(static_cast<std::size_t>(put));
      continue;
    }
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && errno != EAGAIN) return false;
    if (!wait_to_write()) return false;
  }
  return true;
}

Result<bool> Conversation::write_from(
    const std::function<Result<std::optional<std::size_t>>(int pipe)>& move) {
  for (;;) {
    if (over_ || stopped()) return false;
    const auto moved = move(process_.input());
    if (!moved) return moved.error();
    if (!*moved) return true;
    if (**moved > 0) {
      accepted_ = Clock::now().time_since_epoch().count();
      continue;
    }
    // The system says that a pipe takes more as soon as one page of it is free. On one processor the child
    // would be interrupted for each.
    if (int held = 0; ::ioctl(process_.input(), FIONREAD, &held) == 0)
      std::this_thread::sleep_for(std::chrono::microseconds(held / kBytesTakenPerMicrosecond));
    if (!wait_to_write()) return false;
  }
}

// For a while. False if the child is gone.
bool Conversation::wait_to_write() {
  offering_ = true;
  pollfd waiting{process_.input(), POLLOUT, 0};
  ::poll(&waiting, 1, kTickMilliseconds);
  offering_ = false;
  return (waiting.revents & POLLERR) == 0;
}

bool Conversation::say(Tag tag, std::span<const std::byte> bytes) {
  const Header header{static_cast<std::uint32_t>(tag), static_cast<std::uint32_t>(bytes.size())};
  return write(std::as_bytes(std::span(&header, 1))) && write(bytes);
}

bool Conversation::say(Tag tag, std::string_view text) {
  return say(tag, std::as_bytes(std::span(text.data(), text.size())));
}

void Conversation::end_input() {
  input_ended_ = true;
  process_.close_input();
}

void Conversation::kill() { killed_ = true; }

Result<void> Conversation::read(std::span<std::byte> into) {
  auto waits_since = Clock::time_point::max();
  while (!into.empty()) {
    const ssize_t got = ::read(process_.output(), into.data(), into.size());
    if (got > 0) {
      into = into.subspan(static_cast<std::size_t>(got));
      waits_since = Clock::time_point::max();
      continue;
    }
    if (got == 0) return Error{Errc::io, "it ended"};
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return Error{Errc::io, "cannot be heard"};
    if (stopped()) return Error{Errc::invalid, "was told to stop"};
    pollfd waiting{process_.output(), POLLIN, 0};
    const auto now = Clock::now();
    waits_since = std::min(waits_since, now);
    if (::poll(&waiting, 1, kTickMilliseconds) != 0) continue;
    if (now - began_ > options_.time_max) {
      limit_ = fmt::format("took longer than {:g} s, which is the limit", seconds(options_.time_max));
      return Error{Errc::exhausted, limit_};
    }
    // Nothing to hear is no fault of a child that nobody tells anything.
    const Clock::time_point accepted{Clock::duration(accepted_.load())};
    if ((offering_ || input_ended_) && now - std::max(waits_since, accepted) > options_.patience) {
      limit_ = fmt::format("made no progress for {:g} s, which is the limit", seconds(options_.patience));
      return Error{Errc::exhausted, limit_};
    }
  }
  return {};
}

Result<MessageReader::Message> Conversation::next() {
  auto message = reader_.next();
  if (message && message->tag != Tag::failure) return message;
  over_ = true;
  if (message) return error_of(message->bytes);
  const bool nonsense = message.error().code == Errc::corrupt;
  if (nonsense || !limit_.empty() || stopped()) process_.kill();
  if (stopped()) return Error{Errc::invalid, "stopped"};
  if (nonsense) {
    end_ = End::crashed;
    return Error{Errc::io, "the sandboxed process said " + message.error().message};
  }
  return why_it_ended();
}

Error Conversation::why_it_ended() {
  const int status = process_.reap();
  end_ = End::stopped;
  if (!limit_.empty()) return {Errc::exhausted, limit_};
  if (WIFEXITED(status) && WEXITSTATUS(status) == kChildOutOfMemory) {
    return {Errc::exhausted, fmt::format("needs more than {} MiB of memory, which is the limit",
                                         options_.memory_bytes_max >> 20)};
  }
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU) {
    return {Errc::exhausted, fmt::format("took more than {} s of processor time, which is the limit",
                                         options_.cpu_time_max.count())};
  }
  end_ = End::crashed;
  if (WIFSIGNALED(status))
    return {Errc::io, fmt::format("the sandboxed process was ended by signal {}", WTERMSIG(status))};
  return {Errc::io, fmt::format("the sandboxed process ended with status {}", WEXITSTATUS(status))};
}

}  // namespace nidus::sandbox::internal
