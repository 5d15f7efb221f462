#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "flow/record.h"

namespace nidus::flow {

// Puts records into the order of their last packet, for stages that look at what happened before a flow. A
// meter gives a record when the flow has ended, which for a silent flow is minutes after its last packet; so
// records are held until the caller says that no earlier one can come (Meter::complete_until_us()).
//
// Bounded: beyond `capacity` the earliest leave before their time. A record that comes after a later one has
// left is counted as late and leaves next. The order depends on the records and, where some came late or left
// early, on when add() and take() were called; on nothing else. Equal times: early (partial) records first,
// then earlier().
//
// Not thread-safe.
class EndOrder {
 public:
  // Memory: about 600 bytes for each record held, and 256 more where they have steps; taken as they come.
  explicit EndOrder(std::size_t capacity) : capacity_(capacity) {}

  // Copies the record and its steps. Until take() is called more than `capacity` may be held.
  void add(const FlowRecord& record);

  // The next records to leave, in order, at most `most`: those that ended at or before `watermark_us`, and
  // the earliest of those beyond capacity. INT64_MAX: all. They stay where they are until the next take().
  // None: there is nothing more to leave.
  std::span<FlowRecord* const> take(std::int64_t watermark_us, std::size_t most);

  std::size_t held() const { return heap_.size(); }
  std::uint64_t late() const { return late_; }
  std::uint64_t forced() const { return forced_; }  // left before their time, for want of room

 private:
  struct Place {
    std::int64_t last_us;
    std::uint32_t slot;
  };
  bool after(const Place& a, const Place& b) const;

  std::size_t capacity_;
  std::deque<FlowRecord> slots_;
  std::deque<std::array<PacketStep, kSequenceMax>> steps_;  // beside slots_, as far as any record had some
  std::vector<std::uint32_t> free_, leaving_;
  std::vector<Place> heap_;  // earliest end on top
  std::vector<FlowRecord*> taken_;
  std::int64_t left_us_ = INT64_MIN;
  std::uint64_t late_ = 0, forced_ = 0;
};

}  // namespace nidus::flow
