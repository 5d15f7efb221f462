#pragma once

#include <algorithm>
#include <cstdint>

#include "flow/internal/endpoint.h"
#include "flow/internal/rules.h"
#include "flow/record.h"
#include "net/packet.h"

namespace nidus::flow {

// Teardown of a TCP connection (features specification, 3.4), kept in FlowRecord::tcp_state.
enum class Teardown : std::uint8_t { open, one_fin, both_fins, ready };

inline constexpr std::int64_t kSubflowGapUs = 1'000'000;
inline constexpr std::int64_t kActivityGapUs = 5'000'000;
inline constexpr std::int64_t kBulkGapUs = 1'000'000;
inline constexpr std::uint8_t kBulkPackets = 4;

inline std::uint32_t offset_us(std::int64_t us) {
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(us, 0, UINT32_MAX));
}

inline void count_extremes(std::uint32_t value, std::uint32_t& min, std::uint32_t& max) {
  min = std::min(min, value);
  max = std::max(max, value);
}

// Bulk state of one direction (6.2).
inline void count_bulk(DirectionCounters& mine, const DirectionCounters& other, std::uint32_t payload,
                       std::uint32_t at) {
  if (mine.bulk_count != 0 && other.bulk_last_us > mine.bulk_start_us) mine.bulk_count = 0;
  if (payload == 0) return;
  if (mine.bulk_count == 0 || at - mine.bulk_last_us > kBulkGapUs) {
    mine.bulk_count = 1;
    mine.bulk_start_us = at;
    mine.bulk_size = payload;
  } else if (mine.bulk_count < kBulkPackets) {
    mine.bulk_size += payload;
    if (++mine.bulk_count == kBulkPackets) {
      ++mine.bulks;
      mine.bulk_packets += kBulkPackets;
      mine.bulk_bytes += mine.bulk_size;
      mine.bulk_us += at - mine.bulk_start_us;
    }
  } else {
    mine.bulk_count = kBulkPackets + 1;
    ++mine.bulk_packets;
    mine.bulk_bytes += payload;
    mine.bulk_us += at - mine.bulk_last_us;
  }
  mine.bulk_last_us = at;
}

// TCP alone: flags, window, teardown, retransmissions, Zeek's states.
inline void count_tcp(const Rules& rules, FlowRecord& record, const net::Packet& packet, Direction direction,
                      bool opening) {
  using namespace net::tcp_flag;
  auto& mine = record.direction[static_cast<int>(direction)];
  const std::uint8_t flags = packet.tcp_flags;
  const std::uint32_t payload = packet.payload_bytes;

  record.syn += (flags & syn) != 0;
  record.ack += (flags & ack) != 0;
  record.ece += (flags & ece) != 0;
  record.cwr += (flags & cwr) != 0;
  mine.psh += (flags & psh) != 0;
  mine.urg += (flags & urg) != 0;
  if (!(opening && rules.opening_flags_uncounted)) {
    mine.fin += (flags & fin) != 0;
    mine.rst += (flags & rst) != 0;
  }

  if (!mine.has_window ||
      (direction == Direction::reverse &&
       (rules.reverse_window == Rules::ReverseWindow::last ||
        (rules.reverse_window == Rules::ReverseWindow::first_not_zero && mine.window == 0)))) {
    mine.window = packet.window;
    mine.has_window = 1;
  }

  // Highest sequence number seen; what ends at or below it was sent before. One byte at its end is a
  // keep-alive.
  const std::uint32_t end = packet.sequence + payload + ((flags & syn) ? 1 : 0) + ((flags & fin) ? 1 : 0);
  if (!mine.has_sequence) {
    mine.has_sequence = 1;
    mine.next_sequence = end;
  } else {
    const auto ahead = static_cast<std::int32_t>(end - mine.next_sequence);
    if (ahead > 0) {
      mine.next_sequence = end;
    } else if (payload > 0 && !rules.retransmissions_by_repetition &&
               !(payload == 1 && packet.sequence == mine.next_sequence - 1)) {
      ++mine.retransmissions;
      note(record, direction, Letter::t);
    }
  }
  if (packet.window == 0 && !(flags & rst)) note(record, direction, Letter::w);
  // Most packets of a flow carry data or a plain acknowledgement between two established sides and change
  // nothing.
  constexpr auto kEstablished = static_cast<std::uint8_t>(Endpoint::established);
  const auto letter =
      static_cast<std::uint16_t>(1u << static_cast<unsigned>(payload > 0 ? Letter::d : Letter::a));
  if ((flags & (syn | fin | rst)) || !(mine.history_seen & letter) || mine.state != kEstablished) {
    track_endpoints(record, direction, flags, payload);
  }

  // Tools that end a flow at its first FIN know no teardown, and no RST.
  if (rules.first_fin_ends || (opening && !rules.opening_packet_closes)) return;
  auto state = static_cast<Teardown>(record.tcp_state);
  if (state == Teardown::ready) return;
  if (flags & fin) {
    if (state == Teardown::open) {
      state = Teardown::one_fin;
    } else if (state == Teardown::one_fin && record.direction[0].fin > 0 && record.direction[1].fin > 0) {
      state = Teardown::both_fins;
    }
  }
  if (flags & rst) {
    state = Teardown::ready;
    record.closed_by_rst = 1;
  } else if (!(flags & fin) && (flags & ack) && state == Teardown::both_fins) {
    state = Teardown::ready;
  }
  record.tcp_state = static_cast<std::uint8_t>(state);
}

// Counts a packet into its flow. `opening`: it is the flow's first. Precondition: the record was begun.
inline void count(const Rules& rules, FlowRecord& record, const net::Packet& packet, Direction direction,
                  bool opening) {
  auto& mine = record.direction[static_cast<int>(direction)];
  auto& other = record.direction[1 - static_cast<int>(direction)];
  const std::uint32_t payload = packet.payload_bytes;
  const std::int64_t time_us = std::max(packet.time.microseconds(), record.last_us);
  const std::uint32_t at = offset_us(time_us - record.start_us);
  // A later fragment belongs to a TCP flow but has no TCP header to read.
  const bool of_tcp = packet.tuple.protocol == net::protocol::tcp;
  const bool tcp = of_tcp && !(packet.marks & net::Packet::non_first_fragment);

  if (!opening) {
    const std::uint32_t before = offset_us(record.last_us - record.start_us);
    const std::uint32_t gap = at - before;
    count_extremes(gap, record.gap_us_min, record.gap_us_max);
    record.gap_us_squared += std::uint64_t{gap} * gap;
    // The tools that end a flow at its first FIN leave that packet out of this step.
    const bool closing = rules.first_fin_ends && tcp && (packet.tcp_flags & net::tcp_flag::fin);
    if (gap > kSubflowGapUs && !closing) {
      ++record.long_gaps;
      if (gap > kActivityGapUs) {
        if (before > record.active_start_us) record.active.add(before - record.active_start_us);
        record.idle.add(gap);
        record.active_start_us = at;
      }
    }
    record.last_us = time_us;
  }

  if (mine.packets == 0) {
    mine.first_us = at;
  } else {
    const std::uint32_t gap = at - mine.last_us;
    count_extremes(gap, mine.gap_us_min, mine.gap_us_max);
    mine.gap_us_squared += std::uint64_t{gap} * gap;
  }
  mine.last_us = at;
  ++mine.packets;
  mine.data_packets += payload > 0;
  mine.payload_bytes += payload;
  mine.payload_bytes_squared += std::uint64_t{payload} * payload;
  count_extremes(payload, mine.payload_bytes_min, mine.payload_bytes_max);
  mine.header_bytes += packet.header_bytes;
  mine.header_bytes_min = std::min(mine.header_bytes_min, packet.header_bytes);
  mine.ip_bytes += packet.ip_bytes;
  mine.frame_bytes += packet.frame_bytes;
  count_bulk(mine, other, payload, at);

  if (tcp) {
    count_tcp(rules, record, packet, direction, opening);
  } else if (!of_tcp) {
    if (packet.tuple.protocol == net::protocol::udp) note(record, direction, Letter::d);
    mine.state = static_cast<std::uint8_t>(Endpoint::established) & 7u;
  }
  if (packet.marks & net::Packet::bad_fragment && record.bad_fragments < UINT8_MAX) ++record.bad_fragments;
}

// Starts a record with its first packet. `tuple` is the packet's, turned so that it points forward.
inline void begin(const Rules& rules, FlowRecord& record, const net::FiveTuple& tuple,
                  const net::Packet& packet, Direction direction, bool continues,
                  std::int64_t connection_start_us) {
  record = FlowRecord();
  record.tuple = tuple;
  record.start_us = record.last_us = packet.time.microseconds();
  record.connection_start_us = std::min(connection_start_us, record.start_us);
  record.first_payload_bytes = packet.payload_bytes;
  record.first_flags = packet.tcp_flags;
  record.icmp_type = packet.icmp_type;
  record.icmp_code = packet.icmp_code;
  record.first_is_reverse = direction == Direction::reverse;
  record.continues = continues;
  count(rules, record, packet, direction, true);
}

inline net::FiveTuple reversed(const net::FiveTuple& tuple) {
  net::FiveTuple out = tuple;
  std::swap(out.source, out.destination);
  std::swap(out.source_port, out.destination_port);
  return out;
}

}  // namespace nidus::flow
