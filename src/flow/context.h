#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "flow/end_order.h"
#include "flow/record.h"

// What happened around a flow: how many flows the same source, target, pair or service had in the last
// seconds, how many of them failed, to how many ports and hosts they went. A single flow of a flood or of
// somebody who guesses passwords looks like any session; their number gives them away.
namespace nidus::flow {

// A window of W holds the flows whose last packet came less than W before this flow's last packet, this flow
// among them. In each, flows are counted by whom they have in common with this one:
//
//   src   the same initiator                        flows failures ports hosts bytes
//   dst   the same responder                        flows failures ports hosts bytes
//   pair  these two, in this direction              flows failures ports       bytes
//   srv   the same port (and protocol) of the responder
//                                                   flows failures       hosts bytes
//
// failures: those that failed() (conn_state.h). ports: different ones of the responder, by protocol. hosts:
// different ones at the other end. bytes: payload of both directions. VLAN and IP version are part of an
// address.
inline constexpr std::array<std::int64_t, 3> kWindowsUs = {2'000'000, 10'000'000, 60'000'000};

struct ContextInfo {
  std::string_view key, unit, meaning;
};

// The 18 counts above for each window, the shortest first; then two of rhythm, for the flows of this source
// to this service: how long ago the one before ended, and by how much that differs from the pause before it;
// 60 s if there is none in the longest window.
inline constexpr std::size_t kContextCounts = 18;
static_assert(kContextFeatures == kContextCounts * kWindowsUs.size() + 2);
std::span<const ContextInfo> context_features();

struct ContextOptions {
  // Flows in the longest window: at worst, when no two have an end in common, about 850 bytes each. When
  // there are more in 60 s, the oldest leaves its windows early and is counted.
  std::size_t flows_max = 1u << 16;

  // Flows waiting for those that ended before them (EndOrder).
  std::size_t waiting_max = 1u << 17;
};

struct ContextStatistics {
  std::uint64_t forgotten = 0;  // flows that left their windows early, for want of room
  std::uint64_t late = 0;       // came after one that ended later; counted as if at the same time
  std::uint64_t forced = 0;     // did not wait for those before them, for want of room
};

// The counts alone, for records that come in the order of their last packet.
//
// Exact, not sketched: a ring holds the flows of the last 60 s, and each host, pair, service and port that
// one of them names has a counter for each window, raised when a flow comes and lowered when it leaves. How
// many different hosts or ports there are is how many such counters are not 0. So the cost of a flow is the
// same whatever the number of hosts, and memory is bounded by the ring.
//
// Not thread-safe. No allocation for a flow, once there has been room for as many.
class ContextFeatures {
 public:
  explicit ContextFeatures(std::size_t flows_max);
  ~ContextFeatures();
  ContextFeatures(ContextFeatures&&) noexcept;

  // An early (partial) record is told what is around its flow, but is not itself part of what later ones see:
  // its flow will be, when it has ended.
  void compute(const FlowRecord& record, FlowContext& context);

  std::uint64_t forgotten() const;
  std::size_t bytes_in_use() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The ordered stage behind a meter: takes records as they end, gives them back in the order of their last
// packet with FlowRecord::context. What it computes depends on the packets alone as long as nothing was late
// or forced: not on threads, not on blocks, not on whether they were live.
//
//   for (record : meter.collect()) stage.add(*record);
//   while (!(records = stage.take(meter.complete_until_us())).empty()) …
//
// Not thread-safe.
class ContextStage {
 public:
  explicit ContextStage(const ContextOptions& options = {});

  void add(const FlowRecord& record) { order_.add(record); }

  // Some of the records that ended at or before this time, in order; INT64_MAX: of all. Valid until the next
  // take(). None: there are no more.
  std::span<const FlowRecord* const> take(std::int64_t complete_until_us);

  ContextStatistics statistics() const;

 private:
  static constexpr std::size_t kAtOnce = 2048;

  EndOrder order_;
  ContextFeatures features_;
  std::vector<FlowContext> contexts_;
  std::vector<const FlowRecord*> taken_;
};

}  // namespace nidus::flow
