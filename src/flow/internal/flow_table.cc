#include "flow/internal/flow_table.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "flow/internal/hash.h"
#include "flow/internal/icmp.h"
#include "flow/internal/update.h"

namespace nidus::flow {
namespace {

// Packets that are looked up together, so that the cache lines of one arrive while others are counted.
// Measured here: 16 is enough for the loads in flight that a core sustains, 64 no better.
constexpr std::size_t kBatch = 32;

constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

// Two five-tuples are compared once for every packet, so word by word rather than field by field.
struct Words {
  std::uint64_t source[2], destination[2];
  std::uint32_t ports;
  std::uint32_t rest;  // protocol, version, VLAN
};
static_assert(sizeof(Words) == sizeof(net::FiveTuple));

Words words_of(const net::FiveTuple& tuple) {
  Words words;
  std::memcpy(&words, &tuple, sizeof words);
  return words;
}

bool same_direction(const net::FiveTuple& a, const net::FiveTuple& b) {
  const Words x = words_of(a), y = words_of(b);
  return ((x.source[0] ^ y.source[0]) | (x.source[1] ^ y.source[1]) | (x.destination[0] ^ y.destination[0]) |
          (x.destination[1] ^ y.destination[1]) | (x.ports ^ y.ports) | (x.rest ^ y.rest)) == 0;
}

bool opposite_direction(const net::FiveTuple& a, const net::FiveTuple& b) {
  const Words x = words_of(a), y = words_of(b);
  const std::uint32_t ports = y.ports >> 16 | y.ports << 16;
  return ((x.source[0] ^ y.destination[0]) | (x.source[1] ^ y.destination[1]) |
          (x.destination[0] ^ y.source[0]) | (x.destination[1] ^ y.source[1]) | (x.ports ^ ports) |
          (x.rest ^ y.rest)) == 0;
}

// The second of a list's order is one of 2^20 microseconds.
constexpr int kSecondShift = 20;

bool ready(const FlowRecord& record) {
  return record.tcp_state == static_cast<std::uint8_t>(Teardown::ready);
}

}  // namespace

FlowTable::FlowTable(const MeterOptions& options, const Rules& rules, std::uint64_t seed,
                     std::size_t flows_max, std::size_t singles_max, std::size_t remainders_max)
    : options_(options),
      rules_(rules),
      active_us_(options.active_timeout ? options.active_timeout->count() : rules.active_timeout_us),
      idle_us_(options.idle_timeout ? options.idle_timeout->count() : 0),
      linger_us_(options.tcp_linger ? options.tcp_linger->count() : rules.linger_us),
      one_deadline_(idle_us_ == 0 && linger_us_ == 0 && !rules.timeouts_by_state),
      lives_(flows_max),
      singles_(singles_max),
      index_(seed),
      remainders_(remainders_max, seed),
      seen_connections_max_(flows_max + remainders_max) {
  if (options.sequence_packets > 0) {
    sequences_ = std::make_unique<Pool<std::array<PacketStep, kSequenceMax>>>(flows_max);
  }
}

void FlowTable::add(std::span<const net::Packet* const> packets) {
  std::array<std::uint64_t, kBatch> hashes;
  for (std::size_t first = 0; first < packets.size(); first += kBatch) {
    const auto batch = packets.subspan(first, std::min(kBatch, packets.size() - first));
    for (std::size_t i = 0; i < batch.size(); ++i) {
      hashes[i] = hash_of(batch[i]->tuple, index_.seed());
      index_.prefetch(hashes[i]);
    }
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const std::uint32_t slot = index_.guess(hashes[i]);
      if (slot == FlowIndex::kNone) continue;
      if (slot & kSingle) {
        const char* at = reinterpret_cast<const char*>(&singles_[slot & ~kSingle]);
        __builtin_prefetch(at, 1);
        __builtin_prefetch(at + 64, 1);
      } else {
        const char* at = reinterpret_cast<const char*>(&lives_[slot]);
        for (std::size_t line = 0; line < sizeof(Live); line += 64) __builtin_prefetch(at + line, 1);
      }
    }
    for (std::size_t i = 0; i < batch.size(); ++i) add_one(*batch[i], hashes[i]);
  }
}

FlowTable::Match FlowTable::find(std::uint64_t hash, const net::FiveTuple& tuple) const {
  Direction direction = Direction::forward;
  const std::uint32_t slot = index_.find(hash, [&](std::uint32_t candidate) {
    const net::FiveTuple& there =
        candidate & kSingle ? singles_[candidate & ~kSingle].tuple : lives_[candidate].record.tuple;
    if (same_direction(there, tuple)) {
      direction = Direction::forward;
      return true;
    }
    if (opposite_direction(there, tuple)) {
      // Tools that compare addresses only take traffic between two ports of one host as forward.
      direction = rules_.direction_by_address && tuple.source == tuple.destination ? Direction::forward
                                                                                   : Direction::reverse;
      return true;
    }
    return false;
  });
  return {slot, direction};
}

void FlowTable::add_one(const net::Packet& packet, std::uint64_t hash) {
  ++counted_.packets;
  const auto [slot, direction] = find(hash, packet.tuple);
  if (slot == FlowIndex::kNone) {
    Remainder remainder;
    if (remainders_.empty() || !remainders_.take(packet.tuple, remainder)) {
      open(packet, hash);
    } else {
      open_continuation(packet, hash, remainder);
    }
    return;
  }
  const std::int64_t time_us = packet.time.microseconds();
  if (slot & kSingle) {
    const std::uint32_t at = slot & ~kSingle;
    const std::int64_t start_us = singles_[at].start_us;
    counted_.packets_out_of_order += time_us < start_us;
    if (const std::int64_t deadline = deadline_us(singles_[at]); time_us > deadline) {
      end_single(at, reason_of(start_us, deadline), hash);
      add_one(packet, hash);
      --counted_.packets;
      return;
    }
    promote(at, packet, direction, hash);
    return;
  }
  Live& flow = lives_[slot];
  FlowRecord& record = flow.record;
  counted_.packets_out_of_order += time_us < record.last_us;
  if (active_us_ != 0 && time_us - record.start_us > active_us_) {
    end_live(slot, reason_of(record.start_us, deadline_us(record)), hash);
    add_one(packet, hash);
    --counted_.packets;
    return;
  }
  if (!one_deadline_) {
    const std::int64_t silence = time_us - record.last_us;
    const std::int64_t idle_limit = idle_limit_us(record);
    const bool lingered = linger_us_ != 0 && ready(record) && silence > linger_us_;
    if (lingered || (idle_limit != 0 && silence > idle_limit)) {
      end_live(slot, EndReason::idle, hash);
      add_one(packet, hash);
      --counted_.packets;
      return;
    }
  }
  if (ready(record) && (packet.tcp_flags & net::tcp_flag::syn) && !rules_.first_fin_ends) {
    const bool continues = rules_.syn_ack_continues && (packet.tcp_flags & net::tcp_flag::ack);
    const Remainder rest{record.tuple, record.last_us, record.connection_start_us, false};
    end_live(slot, EndReason::fin, hash);
    if (continues) {
      open_continuation(packet, hash, rest);
    } else {
      Remainder unused;
      remainders_.take(packet.tuple, unused);
      open(packet, hash);
    }
    return;
  }
  if (rules_.split_icmp && packet.tuple.protocol == net::protocol::icmp &&
      packet.icmp_type != record.icmp_type && packet.icmp_code != record.icmp_code) {
    end_live(slot, EndReason::idle, hash);
    open(packet, hash);
    return;
  }
  count_in(flow, slot, packet, direction, hash);
}

void FlowTable::count_in(Live& flow, std::uint32_t slot, const net::Packet& packet, Direction direction,
                         std::uint64_t hash) {
  FlowRecord& record = flow.record;
  const std::int64_t second_before = record.last_us >> kSecondShift;
  const bool was_ready = ready(record);
  if (rules_.retransmissions_by_repetition && repeats(packet)) {
    ++record.direction[static_cast<int>(direction)].retransmissions;
  }
  if (sequences_) note_step(flow, slot, packet, direction);
  count(rules_, record, packet, direction, false);

  if (rules_.first_fin_ends && (packet.tcp_flags & net::tcp_flag::fin) &&
      record.tuple.protocol == net::protocol::tcp) {
    end_live(slot, EndReason::fin, hash);
    return;
  }
  if (ready(record) != was_ready) {
    open_.remove(lives_, slot, &Live::older, &Live::newer);
    closed_.push_back(lives_, slot, &Live::older, &Live::newer);
    if (linger_us_ != 0) {  // due sooner than when it was open
      timers_.remove(slot, links());
      timers_.insert(slot, deadline_us(record), links());
    }
  } else if (!was_ready && record.last_us >> kSecondShift != second_before) {
    open_.remove(lives_, slot, &Live::older, &Live::newer);
    open_.push_back(lives_, slot, &Live::older, &Live::newer);
  }
  if (options_.partial_after_packets != 0 && !record.partial_given &&
      record.packets() >= options_.partial_after_packets) {
    record.partial_given = 1;
    emit(record, EndReason::partial, slot);
  }
  constexpr std::uint32_t kPacketsMax = UINT32_MAX - 1;  // counters of packets are 32-bit
  if (record.forward().packets >= kPacketsMax || record.reverse().packets >= kPacketsMax) {
    end_live(slot, EndReason::active, hash);
  }
}

void FlowTable::open(const net::Packet& packet, std::uint64_t hash) {
  forget_segments(packet.tuple);
  if (singles_.full()) {
    if (arrived_.empty()) {  // no room for any: meter it as a full flow
      FlowRecord record;
      begin_from(record, packet);
      store_live(record, packet, hash);
      return;
    }
    const std::uint32_t oldest = arrived_.front;
    end_single(oldest, EndReason::evicted, hash_of_slot(oldest | kSingle));
  }
  const std::uint32_t at = singles_.take<&Single::older>();
  Single& single = singles_[at];
  single.tuple = packet.tuple;
  single.start_us = packet.time.microseconds();
  single.payload_bytes = packet.payload_bytes;
  single.ip_bytes = packet.ip_bytes;
  single.frame_bytes = packet.frame_bytes;
  single.sequence = packet.sequence;
  single.acknowledgement = packet.acknowledgement;
  single.window = packet.window;
  single.header_bytes = packet.header_bytes;
  single.tcp_flags = packet.tcp_flags;
  single.icmp_type = packet.icmp_type;
  single.icmp_code = packet.icmp_code;
  single.marks = packet.marks;
  arrived_.push_back(singles_, at, &Single::older, &Single::newer);
  timers_.insert(at | kSingle, deadline_us(single), links());
  index_.insert(hash, at | kSingle, [this](std::uint32_t slot) { return hash_of_slot(slot); });
}

// A continuation is stored as a full flow at once: it is rare, and its first packet may go backwards.
void FlowTable::open_continuation(const net::Packet& packet, std::uint64_t hash, const Remainder& remainder) {
  const std::int64_t time_us = packet.time.microseconds();
  const std::uint8_t protocol = packet.tuple.protocol;
  bool continues = false;
  switch (rules_.continues) {
    case Rules::Continues::tcp:
      continues = protocol == net::protocol::tcp;
      break;
    case Rules::Continues::tcp_and_recent_udp:
      continues = protocol == net::protocol::tcp ||
                  (protocol == net::protocol::udp && time_us - remainder.last_us <= rules_.active_timeout_us);
      break;
    case Rules::Continues::all:
      continues = true;
      break;
  }
  const bool new_connection = remainder.closed && (packet.tcp_flags & net::tcp_flag::syn) &&
                              !(rules_.syn_ack_continues && (packet.tcp_flags & net::tcp_flag::ack));
  if (!continues || (new_connection && !rules_.first_fin_ends)) {
    open(packet, hash);
    return;
  }
  const bool forward = rules_.continuation_counts_forward ||
                       (rules_.direction_by_address ? packet.tuple.source == remainder.tuple.source
                                                    : same_direction(remainder.tuple, packet.tuple));
  const Direction direction = forward ? Direction::forward : Direction::reverse;
  FlowRecord record;
  begin(rules_, record, remainder.tuple, packet, direction, true, remainder.connection_start_us);
  if (rules_.retransmissions_by_repetition && repeats(packet)) {
    ++record.direction[static_cast<int>(direction)].retransmissions;
  }
  store_live(record, packet, hash);
}

std::uint32_t FlowTable::take_live() {
  if (lives_.full()) {
    const std::uint32_t victim = closed_.empty() ? open_.front : closed_.front;
    end_live(victim, EndReason::evicted, hash_of_slot(victim));
  }
  return lives_.take<&Live::older>();
}

void FlowTable::store_live(const FlowRecord& record, const net::Packet& packet, std::uint64_t hash) {
  const std::uint32_t slot = take_live();
  Live& flow = lives_[slot];
  flow.record = record;
  list_of(flow.record).push_back(lives_, slot, &Live::older, &Live::newer);
  timers_.insert(slot, deadline_us(record), links());
  index_.insert(hash, slot, [this](std::uint32_t at) { return hash_of_slot(at); });
  if (sequences_) {
    note_step(flow, slot, packet, record.first_is_reverse ? Direction::reverse : Direction::forward);
  }
}

void FlowTable::promote(std::uint32_t single, const net::Packet& packet, Direction direction,
                        std::uint64_t hash) {
  const net::Packet first = packet_of(singles_[single]);
  const std::uint32_t slot = take_live();
  Live& flow = lives_[slot];
  begin_from(flow.record, first);
  // The single's tuple is its packet's; the flow's may point the other way.
  if (!same_direction(flow.record.tuple, first.tuple)) {
    const bool forward = rules_.direction_by_address ? packet.tuple.source == flow.record.tuple.source
                                                     : same_direction(flow.record.tuple, packet.tuple);
    direction = forward ? Direction::forward : Direction::reverse;
  }
  if (rules_.split_icmp && packet.tuple.protocol == net::protocol::icmp &&
      packet.icmp_type != first.icmp_type && packet.icmp_code != first.icmp_code) {
    lives_.give_back<&Live::older>(slot);
    end_single(single, EndReason::idle, hash);
    open(packet, hash);
    return;
  }
  if (ready(flow.record) && (packet.tcp_flags & net::tcp_flag::syn)) {
    lives_.give_back<&Live::older>(slot);
    end_single(single, EndReason::fin, hash);
    open(packet, hash);
    return;
  }
  timers_.remove(single | kSingle, links());
  arrived_.remove(singles_, single, &Single::older, &Single::newer);
  singles_.give_back<&Single::older>(single);
  index_.replace(hash, single | kSingle, slot);
  list_of(flow.record).push_back(lives_, slot, &Live::older, &Live::newer);
  timers_.insert(slot, deadline_us(flow.record), links());
  if (rules_.retransmissions_by_repetition) repeats(first);
  if (sequences_) {
    note_step(flow, slot, first, flow.record.first_is_reverse ? Direction::reverse : Direction::forward);
  }
  count_in(flow, slot, packet, direction, hash);
}

// A flow's first packet points forward, unless it is the answer to one that was not seen.
void FlowTable::begin_from(FlowRecord& record, const net::Packet& packet) const {
  constexpr std::uint8_t kSynAck = net::tcp_flag::syn | net::tcp_flag::ack;
  const bool answer = rules_.swap_syn_ack && packet.tuple.protocol == net::protocol::tcp &&
                      (packet.tcp_flags & kSynAck) == kSynAck;
  const net::FiveTuple tuple = answer ? reversed(packet.tuple) : packet.tuple;
  // A host that talks to itself answers in the forward direction, as far as its addresses (and ports) tell.
  const bool forward =
      rules_.direction_by_address ? packet.tuple.source == tuple.source : same_direction(packet.tuple, tuple);
  begin(rules_, record, tuple, packet, forward ? Direction::forward : Direction::reverse, false,
        packet.time.microseconds());
}

net::Packet FlowTable::packet_of(const Single& single) const {
  net::Packet packet;
  packet.time = {single.start_us * 1000};
  packet.tuple = single.tuple;
  packet.payload_bytes = single.payload_bytes;
  packet.ip_bytes = single.ip_bytes;
  packet.frame_bytes = single.frame_bytes;
  packet.sequence = single.sequence;
  packet.acknowledgement = single.acknowledgement;
  packet.window = single.window;
  packet.header_bytes = single.header_bytes;
  packet.tcp_flags = single.tcp_flags;
  packet.icmp_type = single.icmp_type;
  packet.icmp_code = single.icmp_code;
  packet.marks = single.marks;
  return packet;
}

FlowRecord FlowTable::record_of(const Single& single) const {
  FlowRecord record;
  begin_from(record, packet_of(single));
  return record;
}

void FlowTable::end_live(std::uint32_t slot, EndReason reason, std::uint64_t hash) {
  Live& flow = lives_[slot];
  if (reason == EndReason::active || reason == EndReason::idle) {
    remember(flow.record);
  } else {
    forget_segments(flow.record.tuple);
  }
  emit(flow.record, reason, slot);
  index_.erase(hash, slot);
  timers_.remove(slot, links());
  list_of(flow.record).remove(lives_, slot, &Live::older, &Live::newer);
  lives_.give_back<&Live::older>(slot);
}

void FlowTable::end_single(std::uint32_t at, EndReason reason, std::uint64_t hash) {
  const FlowRecord record = record_of(singles_[at]);
  if (reason == EndReason::active || reason == EndReason::idle) {
    if (rules_.retransmissions_by_repetition) repeats(packet_of(singles_[at]));
    remember(record);
  }
  emit(record, reason, FlowIndex::kNone);
  index_.erase(hash, at | kSingle);
  timers_.remove(at | kSingle, links());
  arrived_.remove(singles_, at, &Single::older, &Single::newer);
  singles_.give_back<&Single::older>(at);
}

void FlowTable::remember(const FlowRecord& record) {
  const std::uint8_t protocol = record.tuple.protocol;
  const bool useful =
      rules_.continues == Rules::Continues::all || protocol == net::protocol::tcp ||
      (rules_.continues == Rules::Continues::tcp_and_recent_udp && protocol == net::protocol::udp);
  if (!useful) return;
  remainders_.put({record.tuple, record.last_us, record.connection_start_us, ready(record)});
}

void FlowTable::emit(const FlowRecord& record, EndReason reason, std::uint32_t slot) {
  if (reason != EndReason::partial) {
    if (!rules_.one_packet_flows_written && record.packets() < 2) {
      ++counted_.flows_unwritten;
      return;
    }
    ++counted_.flows;
    if (reason == EndReason::evicted) ++counted_.flows_evicted;
  } else {
    ++counted_.flows_partial;
  }
  FlowRecord& out = ended_.emplace_back(record);
  out.end_reason = reason;
  if (reason != EndReason::partial && reason != EndReason::evicted && ready(record)) {
    out.end_reason = record.closed_by_rst ? EndReason::rst : EndReason::fin;
  }
  if (!sequences_) return;
  out.sequence_at = static_cast<std::uint32_t>(steps_.size());
  if (slot == FlowIndex::kNone) {
    out.sequence_packets = 1;
    steps_.push_back({record.first_payload_bytes, 0, record.first_is_reverse});
  } else {
    const auto& sequence = (*sequences_)[slot];
    steps_.insert(steps_.end(), sequence.begin(), sequence.begin() + record.sequence_packets);
  }
}

void FlowTable::attach_steps() {
  if (!sequences_) return;
  for (FlowRecord& record : ended_) record.steps = steps_.data() + record.sequence_at;
}

void FlowTable::note_step(Live& flow, std::uint32_t slot, const net::Packet& packet, Direction direction) {
  FlowRecord& record = flow.record;
  if (record.sequence_packets >= std::min<std::uint32_t>(options_.sequence_packets, kSequenceMax)) return;
  const std::int64_t gap =
      std::clamp<std::int64_t>(packet.time.microseconds() - record.last_us, 0, INT32_MAX);
  (*sequences_)[slot][record.sequence_packets++] = {
      packet.payload_bytes, static_cast<std::uint32_t>(gap) & 0x7fffffffu, direction == Direction::reverse};
}

bool FlowTable::repeats(const net::Packet& packet) {
  if (packet.tuple.protocol != net::protocol::tcp) return false;
  if (seen_.size() > seen_connections_max_) seen_.clear();
  auto& seen = seen_[std::min(packet.tuple, reversed(packet.tuple))];
  std::uint64_t word;
  std::memcpy(&word, packet.tuple.source.bytes.data(), 8);
  std::uint64_t hash = fold(word ^ index_.seed());
  hash = fold(hash ^ (std::uint64_t{packet.sequence} << 32 | packet.acknowledgement));
  hash = fold(hash ^ (std::uint64_t{packet.payload_bytes} << 16 | packet.window));
  if (seen.contains(hash)) return true;
  if (seen.size() < kSeenMax) seen.insert(hash);
  return false;
}

void FlowTable::forget_segments(const net::FiveTuple& tuple) {
  if (rules_.retransmissions_by_repetition) seen_.erase(std::min(tuple, reversed(tuple)));
}

List& FlowTable::list_of(const FlowRecord& record) { return ready(record) ? closed_ : open_; }

std::int64_t FlowTable::idle_limit_us(std::uint8_t protocol, bool unanswered_syn) const {
  if (!rules_.timeouts_by_state || options_.idle_timeout) return idle_us_;
  switch (protocol) {
    case net::protocol::tcp:
      return unanswered_syn ? 120'000'000 : 300'000'000;
    case net::protocol::udp:
      return 180'000'000;
    default:
      return 30'000'000;
  }
}

std::int64_t FlowTable::idle_limit_us(const FlowRecord& record) const {
  return idle_limit_us(record.tuple.protocol,
                       record.reverse().packets == 0 && (record.first_flags & net::tcp_flag::syn));
}

std::int64_t FlowTable::deadline_us(std::int64_t start_us, std::int64_t last_us, std::int64_t idle_limit,
                                    bool closed) const {
  std::int64_t deadline = active_us_ == 0 ? kNever : start_us + active_us_;
  if (one_deadline_) return deadline;
  if (idle_limit != 0) deadline = std::min(deadline, last_us + idle_limit);
  if (linger_us_ != 0 && closed) deadline = std::min(deadline, last_us + linger_us_);
  return deadline;
}

// Which of the limits it was, whenever that is noticed.
EndReason FlowTable::reason_of(std::int64_t start_us, std::int64_t deadline_us) const {
  return active_us_ != 0 && deadline_us == start_us + active_us_ ? EndReason::active : EndReason::idle;
}

std::int64_t FlowTable::deadline_us(const FlowRecord& record) const {
  return deadline_us(record.start_us, record.last_us, one_deadline_ ? 0 : idle_limit_us(record),
                     ready(record));
}

std::int64_t FlowTable::deadline_us(const Single& single) const {
  const bool tcp = single.tuple.protocol == net::protocol::tcp;
  const bool closed = tcp && rules_.opening_packet_closes && (single.tcp_flags & net::tcp_flag::rst);
  const bool answer = rules_.swap_syn_ack && (single.tcp_flags & net::tcp_flag::ack) &&
                      !same_direction(single.tuple, reversed(single.tuple));
  const bool unanswered_syn = tcp && !answer && (single.tcp_flags & net::tcp_flag::syn);
  return deadline_us(single.start_us, single.start_us, idle_limit_us(single.tuple.protocol, unanswered_syn),
                     closed);
}

std::uint64_t FlowTable::hash_of_slot(std::uint32_t slot) const {
  return hash_of(slot & kSingle ? singles_[slot & ~kSingle].tuple : lives_[slot].record.tuple, index_.seed());
}

void FlowTable::advance(std::int64_t now_us, std::size_t& left) {
  timers_.advance(now_us, [&](std::uint32_t slot) {
    const bool single = slot & kSingle;
    const std::int64_t start_us = single ? singles_[slot & ~kSingle].start_us : lives_[slot].record.start_us;
    const std::int64_t deadline =
        single ? deadline_us(singles_[slot & ~kSingle]) : deadline_us(lives_[slot].record);
    if (deadline >= now_us) {
      timers_.remove(slot, links());
      timers_.insert(slot, deadline, links());
      return true;
    }
    if (left == 0) return false;
    --left;
    const EndReason reason = reason_of(start_us, deadline);
    if (single) {
      end_single(slot & ~kSingle, reason, hash_of_slot(slot));
    } else {
      end_live(slot, reason, hash_of_slot(slot));
    }
    return true;
  });
}

void FlowTable::finish(std::size_t& left) {
  for (; left != 0 && !arrived_.empty(); --left) {
    const std::uint32_t at = arrived_.front;
    end_single(at, EndReason::end_of_input, hash_of_slot(at | kSingle));
  }
  for (List* list : {&closed_, &open_}) {
    for (; left != 0 && !list->empty(); --left) {
      end_live(list->front, EndReason::end_of_input, hash_of_slot(list->front));
    }
  }
}

void FlowTable::clear_ended() {
  ended_.clear();
  steps_.clear();
}

void FlowTable::add_to(MeterStatistics& s) const {
  s.packets += counted_.packets;
  s.packets_out_of_order += counted_.packets_out_of_order;
  s.flows += counted_.flows;
  s.flows_partial += counted_.flows_partial;
  s.flows_evicted += counted_.flows_evicted;
  s.flows_unwritten += counted_.flows_unwritten;
  s.remainders_dropped += remainders_.dropped();
  s.live_flows += lives_.live();
  s.live_one_packet_flows += singles_.live();
  s.bytes_in_use += lives_.bytes() + singles_.bytes() + index_.bytes() + remainders_.bytes();
}

}  // namespace nidus::flow
