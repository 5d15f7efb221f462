#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "flow/record.h"

namespace nidus::flow {

// Puts records into the order of their last packet, for KddFeatures. A meter gives a record when the flow has
// ended, which for a silent flow is minutes after its last packet; so records are held until the caller says
// that no earlier one can come.
//
// Bounded: beyond `capacity` records the earliest leaves before its time. A record that comes after a later
// one has left is counted as late and leaves next. The order depends on the records and on when add() and
// release() are called, on nothing else; equal times are ordered by earlier().
//
// Not thread-safe.
class KddOrder {
 public:
  using Sink = std::function<void(const FlowRecord&)>;

  // Memory: about 500 bytes for each record held.
  explicit KddOrder(std::size_t capacity, Sink sink);

  void add(const FlowRecord& record);

  // No record that ended at or before this time will come: those held leave, in order.
  void release(std::int64_t watermark_us);

  // All leave, in order.
  void flush() { release(INT64_MAX); }

  std::size_t held() const { return heap_.size(); }
  std::uint64_t late() const { return late_; }
  std::uint64_t forced() const { return forced_; }  // left before their time, for want of room

 private:
  void pop();
  bool after(std::uint32_t a, std::uint32_t b) const;

  std::size_t capacity_;
  Sink sink_;
  std::vector<FlowRecord> slots_;
  std::vector<std::uint32_t> free_;
  std::vector<std::uint32_t> heap_;  // of slots, earliest end on top
  std::int64_t left_us_ = INT64_MIN;
  std::uint64_t late_ = 0, forced_ = 0;
};

}  // namespace nidus::flow
