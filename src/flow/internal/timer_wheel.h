#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace nidus::flow {

// Where a flow stands in the wheel; kept inside the flow.
struct TimerLinks {
  std::uint32_t previous, next;
  std::uint32_t spoke;
};

// Flows by the second of their deadline. A deadline beyond the horizon, or one that has moved on since, is
// looked at when its spoke comes round and filed again. Nothing is scanned that is not due.
//
// `links(slot)` gives the TimerLinks of a flow.
class TimerWheel {
 public:
  static constexpr std::uint32_t kNone = UINT32_MAX;

  template <class Links>
  void insert(std::uint32_t slot, std::int64_t deadline_us, Links links) {
    const std::int64_t second = second_of(deadline_us);
    if (!started_) {
      started_ = true;
      now_second_ = second > kSpokes / 2 ? second - kSpokes / 2 : 0;
    }
    const std::int64_t ahead = std::clamp<std::int64_t>(second - now_second_, 0, kSpokes - 1);
    const auto at = static_cast<std::uint32_t>((now_second_ + ahead) & (kSpokes - 1));
    Spoke& spoke = spokes_[at];
    links(slot) = {spoke.back, kNone, at};
    (spoke.back == kNone ? spoke.front : links(spoke.back).next) = slot;
    spoke.back = slot;
  }

  template <class Links>
  void remove(std::uint32_t slot, Links links) {
    const TimerLinks mine = links(slot);
    Spoke& spoke = spokes_[mine.spoke];
    (mine.previous == kNone ? spoke.front : links(mine.previous).next) = mine.next;
    (mine.next == kNone ? spoke.back : links(mine.next).previous) = mine.previous;
  }

  // Calls due(slot) for every flow whose spoke has come by `now_us`, the oldest of a spoke first. It must
  // remove the flow, or remove and insert it again, and answer true; or leave it and answer false, which ends
  // the round: the next one begins there.
  template <class Due>
  void advance(std::int64_t now_us, Due due) {
    const std::int64_t to = second_of(now_us);
    if (!started_ || to < now_second_) return;
    // A long silence turns the wheel at most once.
    const std::int64_t first = to - now_second_ >= kSpokes ? to - kSpokes + 1 : now_second_;
    now_second_ = to;
    for (std::int64_t second = first; second <= to; ++second) {
      Spoke& spoke = spokes_[static_cast<std::size_t>(second & (kSpokes - 1))];
      // Those that are filed again in this spoke come behind the last.
      const std::uint32_t last = spoke.back;
      for (std::uint32_t at = kNone; at != last;) {
        at = spoke.front;
        if (!due(at)) {
          now_second_ = second;
          return;
        }
      }
    }
  }

 private:
  static constexpr std::int64_t kSpokes = 512;

  struct Spoke {
    std::uint32_t front = kNone, back = kNone;
  };

  static std::int64_t second_of(std::int64_t us) {
    return us >= 0 ? us / 1'000'000 : (us - 999'999) / 1'000'000;
  }

  std::array<Spoke, static_cast<std::size_t>(kSpokes)> spokes_;
  std::int64_t now_second_ = 0;
  bool started_ = false;
};

}  // namespace nidus::flow
