#include "flow/end_order.h"

#include <algorithm>

namespace nidus::flow {

bool EndOrder::after(const Place& a, const Place& b) const {
  if (a.last_us != b.last_us) return a.last_us > b.last_us;
  const FlowRecord &x = slots_[a.slot], &y = slots_[b.slot];
  const bool early_x = x.end_reason == EndReason::partial, early_y = y.end_reason == EndReason::partial;
  if (early_x != early_y) return early_y;
  return earlier(y, x);
}

void EndOrder::add(const FlowRecord& record) {
  late_ += record.last_us < left_us_;
  std::uint32_t slot;
  if (free_.empty()) {
    slot = static_cast<std::uint32_t>(slots_.size());
    slots_.push_back(record);
  } else {
    slot = free_.back();
    free_.pop_back();
    slots_[slot] = record;
  }
  FlowRecord& held = slots_[slot];
  held.context = nullptr;
  if (held.steps != nullptr) {
    if (steps_.size() <= slot) steps_.resize(slots_.size());
    std::copy_n(held.steps, std::min<std::size_t>(held.sequence_packets, kSequenceMax), steps_[slot].begin());
    held.steps = steps_[slot].data();
  }
  heap_.push_back({record.last_us, slot});
  std::push_heap(heap_.begin(), heap_.end(), [this](const Place& a, const Place& b) { return after(a, b); });
}

std::span<FlowRecord* const> EndOrder::take(std::int64_t watermark_us, std::size_t most) {
  free_.insert(free_.end(), leaving_.begin(), leaving_.end());
  leaving_.clear();
  taken_.clear();
  while (!heap_.empty() && taken_.size() < most) {
    const Place first = heap_.front();
    const bool due = first.last_us <= watermark_us;
    if (!due && heap_.size() <= capacity_) break;
    forced_ += !due;
    std::pop_heap(heap_.begin(), heap_.end(), [this](const Place& a, const Place& b) { return after(a, b); });
    heap_.pop_back();
    left_us_ = std::max(left_us_, first.last_us);
    leaving_.push_back(first.slot);
    taken_.push_back(&slots_[first.slot]);
  }
  return taken_;
}

}  // namespace nidus::flow
