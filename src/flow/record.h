#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "net/packet.h"

namespace nidus::flow {

// Why a flow ended. A TCP connection that had closed (FIN from both sides and its acknowledgement, or RST)
// says so whatever moved it out of the table afterwards.
enum class EndReason : std::uint8_t {
  fin,
  rst,
  active,        // older than the active timeout: cut, its continuation is another record
  idle,          // silent for longer than the idle timeout
  evicted,       // the table was full
  end_of_input,  // still open when the packets ended
  partial,       // not ended at all: an early look after the first packets
};
std::string_view name(EndReason reason);

enum class Direction : std::uint8_t { forward = 0, reverse = 1 };

// What is kept for each direction of a flow. Lengths are bytes, times whole microseconds; offsets count from
// the start of the flow. Sums are integers, so they do not depend on order, batches or threads (features.cc
// turns them into means and deviations).
struct DirectionCounters {
  std::uint64_t payload_bytes = 0;
  std::uint64_t payload_bytes_squared = 0;  // sum of squares
  std::uint64_t header_bytes = 0;           // transport headers
  std::uint64_t ip_bytes = 0;
  std::uint64_t frame_bytes = 0;
  std::uint64_t gap_us_squared = 0;  // sum of squares of the gaps between packets of this direction
  std::uint64_t bulk_bytes = 0;
  std::uint32_t packets = 0;
  std::uint32_t data_packets = 0;  // with at least one byte of payload
  std::uint32_t payload_bytes_min = UINT32_MAX;
  std::uint32_t payload_bytes_max = 0;
  std::uint32_t first_us = 0;  // offset of the first and the last packet
  std::uint32_t last_us = 0;
  std::uint32_t gap_us_min = UINT32_MAX;
  std::uint32_t gap_us_max = 0;
  std::uint32_t psh = 0, urg = 0, rst = 0, fin = 0;
  std::uint32_t retransmissions = 0;
  std::uint32_t next_sequence = 0;  // highest TCP sequence number seen, plus length
  // Bulk transfers: at least four packets with payload, no gap over a second, none from the other side
  // between.
  std::uint32_t bulk_start_us = 0;
  std::uint32_t bulk_last_us = 0;  // of any packet with payload, in a bulk or not
  std::uint32_t bulk_size = 0;
  std::uint32_t bulks = 0;
  std::uint32_t bulk_packets = 0;
  std::uint32_t bulk_us = 0;
  std::uint16_t window = 0;  // which packet's is the profile's choice
  std::uint8_t header_bytes_min = UINT8_MAX;
  std::uint8_t bulk_count = 0;  // packets of the open bulk, counted up to 5; 0 = none open
  std::uint8_t has_window : 1 = 0;
  std::uint8_t has_sequence : 1 = 0;
  std::uint8_t state : 3 = 0;  // Zeek's endpoint state, see conn_state.h
  std::uint8_t reserved = 0;
  std::uint16_t history_seen = 0;  // letters of Zeek's history already noted for this side
};

// Count, sum, sum of squares and extremes of a few durations in microseconds.
struct DurationSums {
  std::uint64_t squared = 0;
  std::uint32_t count = 0, sum = 0, min = UINT32_MAX, max = 0;

  void add(std::uint32_t us) {
    ++count;
    sum += us;
    squared += std::uint64_t{us} * us;
    if (us < min) min = us;
    if (us > max) max = us;
  }
};

// One step of a flow's packet sequence, for models that read the first packets.
struct PacketStep {
  std::uint32_t payload_bytes = 0;
  std::uint32_t gap_us : 31 = 0;  // since the flow's previous packet, saturating
  std::uint32_t reverse : 1 = 0;
};

inline constexpr std::size_t kSequenceMax = 32;  // steps of a flow

inline constexpr std::size_t kHistoryLength = 14;

// What happened around a flow, in the order of context_features() (context.h); all finite.
inline constexpr std::size_t kContextFeatures = 56;
struct FlowContext {
  std::array<double, kContextFeatures> values{};
};

// What remains of a flow: identity, counters, and why it ended. Features are computed from it (features.h).
// A value; two meters fed the same packets yield equal records.
struct FlowRecord {
  net::FiveTuple tuple;  // forward: from the initiator
  std::int64_t start_us = 0;
  std::int64_t last_us = 0;
  std::int64_t connection_start_us = 0;  // earlier than start_us if this continues a flow cut by a timeout
  DirectionCounters direction[2];        // indexed by Direction
  std::uint64_t gap_us_squared = 0;      // gaps between packets of either direction
  std::uint32_t gap_us_min = UINT32_MAX;
  std::uint32_t gap_us_max = 0;
  std::uint32_t syn = 0, ack = 0, ece = 0, cwr = 0;
  DurationSums active;
  DurationSums idle;
  std::uint32_t active_start_us = 0;  // offset
  std::uint32_t long_gaps = 0;        // gaps over one second
  std::uint32_t first_payload_bytes = 0;
  std::uint32_t sequence_at = 0;  // for the meter: where its steps begin
  std::uint8_t icmp_type = 0;     // of the first packet
  std::uint8_t icmp_code = 0;
  std::uint8_t first_flags = 0;  // TCP flags of the first packet
  std::uint8_t tcp_state = 0;    // teardown: see internal/update.h
  EndReason end_reason = EndReason::end_of_input;
  std::uint8_t sequence_packets = 0;
  std::uint8_t first_is_reverse : 1 = 0;
  std::uint8_t continues : 1 = 0;  // continues a flow that a timeout cut
  std::uint8_t closed_by_rst : 1 = 0;
  std::uint8_t partial_given : 1 = 0;
  std::uint8_t bad_fragments = 0;  // saturating
  std::uint8_t history_length = 0;
  char history[kHistoryLength] = {};  // Zeek's letters, cut when full

  // What stands beside a record while it is handed out, valid as long as the record is; null where it was not
  // asked for. Never part of what a process tells another.
  const PacketStep* steps = nullptr;  // the first packets: sequence_packets of them
  const FlowContext* context = nullptr;

  const DirectionCounters& forward() const { return direction[0]; }
  const DirectionCounters& reverse() const { return direction[1]; }
  std::int64_t duration_us() const { return last_us - start_us; }
  std::uint64_t packets() const { return std::uint64_t{forward().packets} + reverse().packets; }
};

// Order for output: by start, then by who talks to whom.
bool earlier(const FlowRecord& a, const FlowRecord& b);

}  // namespace nidus::flow
