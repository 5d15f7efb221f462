#pragma once

#include <array>
#include <cstdint>
#include <vector>

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

  TimerWheel() { spokes_.fill(kNone); }

  template <class Links>
  void insert(std::uint32_t slot, std::int64_t deadline_us, Links links) {
    const std::int64_t second = second_of(deadline_us);
    if (!started_) {
      started_ = true;
      now_second_ = second > kSpokes / 2 ? second - kSpokes / 2 : 0;
    }
    const std::int64_t ahead = second - now_second_;
    const auto spoke = static_cast<std::uint32_t>((now_second_ + (ahead < 0          ? 0
                                                                  : ahead >= kSpokes ? kSpokes - 1
                                                                                     : ahead)) &
                                                  (kSpokes - 1));
    TimerLinks& mine = links(slot);
    mine.previous = kNone;
    mine.next = spokes_[spoke];
    mine.spoke = spoke;
    if (mine.next != kNone) links(mine.next).previous = slot;
    spokes_[spoke] = slot;
  }

  template <class Links>
  void remove(std::uint32_t slot, Links links) {
    const TimerLinks mine = links(slot);
    if (mine.previous == kNone) {
      spokes_[mine.spoke] = mine.next;
    } else {
      links(mine.previous).next = mine.next;
    }
    if (mine.next != kNone) links(mine.next).previous = mine.previous;
  }

  // Calls due(slot) for every flow whose spoke has come by `now_us`; it must remove the flow, or remove and
  // insert it again. `scratch` is reused from call to call.
  template <class Due>
  void advance(std::int64_t now_us, Due due, auto links) {
    const std::int64_t to = second_of(now_us);
    if (!started_ || to < now_second_) return;
    // A long silence turns the wheel at most once.
    const std::int64_t first = to - now_second_ >= kSpokes ? to - kSpokes + 1 : now_second_;
    now_second_ = to;
    for (std::int64_t second = first; second <= to; ++second) {
      scratch_.clear();
      for (std::uint32_t at = spokes_[static_cast<std::size_t>(second & (kSpokes - 1))]; at != kNone;
           at = links(at).next) {
        scratch_.push_back(at);
      }
      // The newest entry stands first; the oldest is to end first.
      for (auto it = scratch_.rbegin(); it != scratch_.rend(); ++it) due(*it);
    }
  }

 private:
  static constexpr std::int64_t kSpokes = 512;

  static std::int64_t second_of(std::int64_t us) {
    return us >= 0 ? us / 1'000'000 : (us - 999'999) / 1'000'000;
  }

  std::array<std::uint32_t, static_cast<std::size_t>(kSpokes)> spokes_;
  std::int64_t now_second_ = 0;
  bool started_ = false;
  std::vector<std::uint32_t> scratch_;
};

}  // namespace nidus::flow
