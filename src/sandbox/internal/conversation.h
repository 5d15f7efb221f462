#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <span>
#include <string>

#include "base/result.h"
#include "sandbox/internal/process.h"
#include "sandbox/internal/wire.h"
#include "sandbox/sandbox.h"

namespace nidus::sandbox::internal {

// What is said to a child and heard from it, with a clock beside. One thread may write while another reads.
class Conversation {
 public:
  Conversation(Process process, const Options& options, const std::atomic<bool>* stop)
      : process_(std::move(process)),
        options_(options),
        stop_(stop),
        began_(Clock::now()),
        accepted_(began_.time_since_epoch().count()),
        reader_([this](std::span<std::byte> into) { return read(into); }) {}

  // Waits while the child is busy. False if it takes no more: next() knows why.
  bool write(std::span<const std::byte> bytes);
  // The same for bytes that the source writes itself, until it has no more of that kind.
  Result<bool> write_from(const std::function<Result<std::optional<std::size_t>>(int pipe)>& move);
  bool say(Tag tag, std::span<const std::byte> bytes);
  bool say(Tag tag, std::string_view text);
  void end_input();

  // What the child says next. An error is final; it is the child's own (Tag::failure), or says which limit it
  // met (Errc::exhausted) or that it crashed (Errc::io).
  Result<MessageReader::Message> next();

  // The child is to end. From any thread; whoever writes or reads notices within a tenth of a second.
  void kill();

  // Whoever writes need not: nothing more will be heard. From any thread.
  void stop_writing() { over_ = true; }

  enum class End : std::uint8_t { none, stopped, crashed };
  End end() const { return end_; }  // after next() failed

 private:
  using Clock = std::chrono::steady_clock;

  bool wait_to_write();
  Result<void> read(std::span<std::byte> into);
  bool stopped() const { return killed_ || (stop_ != nullptr && stop_->load(std::memory_order_relaxed)); }
  Error why_it_ended();

  Process process_;
  const Options& options_;
  const std::atomic<bool>* stop_;
  Clock::time_point began_;
  std::atomic<bool> offering_{false};  // bytes, which the child does not take
  std::atomic<bool> input_ended_{false};
  std::atomic<bool> killed_{false};
  std::atomic<bool> over_{false};     // nothing more will be heard
  std::atomic<Clock::rep> accepted_;  // when it last took bytes
  MessageReader reader_;
  std::string limit_;  // that was met; empty if none was
  End end_ = End::none;
};

}  // namespace nidus::sandbox::internal
