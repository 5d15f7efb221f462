#include "flow/kdd_order.h"

#include <algorithm>

namespace nidus::flow {

KddOrder::KddOrder(std::size_t capacity, Sink sink)
    : capacity_(std::max<std::size_t>(1, capacity)), sink_(std::move(sink)) {}

bool KddOrder::after(std::uint32_t a, std::uint32_t b) const {
  const FlowRecord &x = slots_[a], &y = slots_[b];
  if (x.last_us != y.last_us) return x.last_us > y.last_us;
  return earlier(y, x);
}

void KddOrder::add(const FlowRecord& record) {
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
  heap_.push_back(slot);
  std::push_heap(heap_.begin(), heap_.end(),
                 [this](std::uint32_t a, std::uint32_t b) { return after(a, b); });
  if (heap_.size() > capacity_) {
    ++forced_;
    pop();
  }
}

void KddOrder::pop() {
  std::pop_heap(heap_.begin(), heap_.end(), [this](std::uint32_t a, std::uint32_t b) { return after(a, b); });
  const std::uint32_t slot = heap_.back();
  heap_.pop_back();
  left_us_ = std::max(left_us_, slots_[slot].last_us);
  sink_(slots_[slot]);
  free_.push_back(slot);
}

void KddOrder::release(std::int64_t watermark_us) {
  while (!heap_.empty() && slots_[heap_.front()].last_us <= watermark_us) pop();
}

}  // namespace nidus::flow
