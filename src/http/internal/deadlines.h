#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace nidus::http::internal {

using Clock = std::chrono::steady_clock;

// A place in a Deadlines, part of what has the deadline.
struct Deadline {
  Clock::time_point at = Clock::time_point::max();

  Deadline* previous = nullptr;
  Deadline* next = nullptr;  // null: in no list
  std::uint64_t tick = 0;    // when it is looked at
};

// Many deadlines, one timer. A wheel of lists, one for each tenth of a second; a deadline that moves into the
// future stays in its list and is only moved when its list is looked at, so that setting it costs nothing for
// the connection whose every request sets it anew. Not thread-safe.
class Deadlines {
 public:
  static constexpr std::chrono::milliseconds kTick{100};

  explicit Deadlines(Clock::time_point now) : origin_(now) {
    for (Deadline& head : lists_) head.previous = head.next = &head;
  }
  Deadlines(const Deadlines&) = delete;
  Deadlines& operator=(const Deadlines&) = delete;

  void set(Deadline& deadline, Clock::time_point at) {
    deadline.at = at;
    const std::uint64_t tick = tick_of(at);
    if (deadline.next != nullptr) {
      if (deadline.tick <= tick) return;
      unlink(deadline);
    }
    link(deadline, tick);
  }

  void remove(Deadline& deadline) {
    if (deadline.next != nullptr) unlink(deadline);
  }

  // Calls reached(deadline) for each that is over, after removing it. It may set and remove any.
  template <class Reached>
  void sweep(Clock::time_point now, Reached&& reached) {
    const auto current = static_cast<std::uint64_t>((now - origin_) / kTick);
    while (swept_ < current) {
      ++swept_;
      Deadline due;  // taken out first: what is set meanwhile cannot come into the way
      Deadline& head = lists_[swept_ % kLists];
      if (head.next == &head) continue;
      due.next = head.next;
      due.previous = head.previous;
      due.next->previous = due.previous->next = &due;
      head.previous = head.next = &head;
      while (due.next != &due) {
        Deadline& one = *due.next;
        unlink(one);
        if (one.at <= now) {
          reached(one);
        } else {
          link(one, tick_of(one.at));
        }
      }
    }
  }

 private:
  static constexpr std::size_t kLists = 1024;  // 102 s; what is later waits there and is looked at again

  std::uint64_t tick_of(Clock::time_point at) const {
    // The first tick that is not before the deadline, in the future, and not a whole turn ahead.
    const std::uint64_t last = swept_ + kLists - 1;
    if (at >= origin_ + static_cast<std::int64_t>(last) * kTick) return last;
    const auto tick = at <= origin_ ? 0 : static_cast<std::uint64_t>((at - origin_) / kTick) + 1;
    return tick <= swept_ ? swept_ + 1 : tick;
  }

  void link(Deadline& deadline, std::uint64_t tick) {
    Deadline& head = lists_[tick % kLists];
    deadline.tick = tick;
    deadline.next = &head;
    deadline.previous = head.previous;
    head.previous->next = &deadline;
    head.previous = &deadline;
  }

  static void unlink(Deadline& deadline) {
    deadline.previous->next = deadline.next;
    deadline.next->previous = deadline.previous;
    deadline.next = deadline.previous = nullptr;
  }

  Clock::time_point origin_;
  std::uint64_t swept_ = 0;  // every list up to that of this tick was looked at
  std::array<Deadline, kLists> lists_;
};

}  // namespace nidus::http::internal
