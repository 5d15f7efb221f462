#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <unordered_set>
#include <vector>

#include "flow/internal/flow_index.h"
#include "flow/internal/pool.h"
#include "flow/internal/remainders.h"
#include "flow/internal/rules.h"
#include "flow/internal/timer_wheel.h"
#include "flow/meter.h"

namespace nidus::flow {

// One shard of the meter: its live flows and the records of those that ended since clear_ended().
//
// Flows are of two kinds. Most flows of a scan or a flood never get a second packet, so the first packet
// alone is kept (Single), and the flow becomes a full one (Live) when the second comes. Both kinds stand in
// one index and one timer wheel; a slot number with kSingle set is of the first kind.
//
// Lists say who goes first when there is no room: singles in order of arrival; closed connections in order of
// closing; open flows by when they were last seen, to the second (a flow is moved at its first packet of a
// second, so most packets move nothing).
class FlowTable {
 public:
  // The options are the whole meter's; the limits below are this shard's.
  FlowTable(const MeterOptions& options, const Rules& rules, std::uint64_t seed, std::size_t flows_max,
            std::size_t singles_max, std::size_t remainders_max);

  void add(std::span<const net::Packet* const> packets);
  // End flows that are due, or any, the oldest first, while `left` is not 0; each counts it down.
  void advance(std::int64_t now_us, std::size_t& left);
  void finish(std::size_t& left);

  const std::vector<FlowRecord>& ended() const { return ended_; }
  void attach_steps();  // to the records that ended, which then stay where they are until clear_ended()
  void clear_ended();
  void add_to(MeterStatistics& statistics) const;

 private:
  struct Live {
    FlowRecord record;
    std::uint32_t older, newer;  // list of open or of closed flows; `older` chains free slots
    TimerLinks timer;
  };
  // The first packet of a flow that has had one.
  struct Single {
    net::FiveTuple tuple;  // as the packet went
    std::int64_t start_us;
    std::uint32_t payload_bytes, ip_bytes, frame_bytes, sequence, acknowledgement;
    std::uint32_t older, newer;
    TimerLinks timer;
    std::uint16_t window;
    std::uint8_t header_bytes, tcp_flags, icmp_type, icmp_code, marks;
  };
  static_assert(sizeof(Live) <= 512);
  static_assert(sizeof(Single) <= 96);
  static constexpr std::uint32_t kSingle = 1u << 31;

  struct Match {
    std::uint32_t slot;
    Direction direction;
  };

  Match find(std::uint64_t hash, const net::FiveTuple& tuple) const;
  void add_one(const net::Packet& packet, std::uint64_t hash);
  void count_in(Live& flow, std::uint32_t slot, const net::Packet& packet, Direction direction,
                std::uint64_t hash);
  void open(const net::Packet& packet, std::uint64_t hash);
  void open_continuation(const net::Packet& packet, std::uint64_t hash, const Remainder& remainder);
  void store_live(const FlowRecord& record, const net::Packet& packet, std::uint64_t hash);
  std::uint32_t take_live();
  void promote(std::uint32_t single, const net::Packet& packet, Direction direction, std::uint64_t hash);
  void begin_from(FlowRecord& record, const net::Packet& packet) const;
  net::Packet packet_of(const Single& single) const;
  FlowRecord record_of(const Single& single) const;

  void end_live(std::uint32_t slot, EndReason reason, std::uint64_t hash);
  void end_single(std::uint32_t slot, EndReason reason, std::uint64_t hash);
  void remember(const FlowRecord& record);
  void emit(const FlowRecord& record, EndReason reason, std::uint32_t slot);
  void note_step(Live& flow, std::uint32_t slot, const net::Packet& packet, Direction direction);
  bool repeats(const net::Packet& packet);
  void forget_segments(const net::FiveTuple& tuple);

  List& list_of(const FlowRecord& record);
  TimerLinks& timer_of(std::uint32_t slot) {
    return slot & kSingle ? singles_[slot & ~kSingle].timer : lives_[slot].timer;
  }
  auto links() {
    return [this](std::uint32_t slot) -> TimerLinks& { return timer_of(slot); };
  }
  // The last moment at which a packet may still join the flow; and how long it may be silent (0 = for ever).
  std::int64_t deadline_us(const FlowRecord& record) const;
  std::int64_t deadline_us(const Single& single) const;
  std::int64_t deadline_us(std::int64_t start_us, std::int64_t last_us, std::int64_t idle_limit,
                           bool closed) const;
  EndReason reason_of(std::int64_t start_us, std::int64_t deadline_us) const;
  std::int64_t idle_limit_us(const FlowRecord& record) const;
  std::int64_t idle_limit_us(std::uint8_t protocol, bool unanswered_syn) const;
  std::uint64_t hash_of_slot(std::uint32_t slot) const;

  const MeterOptions& options_;
  const Rules& rules_;
  std::int64_t active_us_, idle_us_, linger_us_;  // 0 = never
  bool one_deadline_;  // the active timeout alone decides, so a deadline never moves
  Pool<Live> lives_;
  Pool<Single> singles_;
  std::unique_ptr<Pool<std::array<PacketStep, kSequenceMax>>> sequences_;  // beside lives_, same slots
  FlowIndex index_;
  List open_, closed_, arrived_;
  TimerWheel timers_;
  Remainders remainders_;
  // Segments seen, for the one profile that counts repetitions: by connection, the pieces that timeouts cut
  // included. At most kSeenMax for each, and as many connections as there is room for flows and remainders.
  static constexpr std::size_t kSeenMax = 4096;
  std::map<net::FiveTuple, std::unordered_set<std::uint64_t>> seen_;
  std::size_t seen_connections_max_;
  std::vector<FlowRecord> ended_;
  std::vector<PacketStep> steps_;
  MeterStatistics counted_;
};

}  // namespace nidus::flow
