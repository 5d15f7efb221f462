#include "net/internal/fragment_table.h"

#include <algorithm>
#include <bit>

#include "base/random.h"

namespace nidus::net {
namespace {

std::uint64_t hash(const FiveTuple& key, std::uint32_t id) {
  std::uint64_t state = Random::mix(std::uint64_t{id} << 16 | std::uint64_t{key.protocol} << 8 |
                                    static_cast<std::uint64_t>(key.version));
  for (const Address* address : {&key.source, &key.destination}) {
    for (std::size_t half = 0; half < 16; half += 8) {
      state = Random::mix(state + internal::load_native<std::uint64_t>(address->bytes.data() + half));
    }
  }
  return state;
}

}  // namespace

FragmentTable::FragmentTable(std::size_t capacity, std::chrono::nanoseconds timeout)
    : buckets_(std::bit_ceil(std::max(capacity, kWays) / kWays)), timeout_ns_(timeout.count()) {}

bool FragmentTable::Coverage::add(std::uint16_t from, std::uint16_t to) {
  int grown = -1;  // the run that took in the new one
  for (std::size_t i = 0; i < runs; ++i) {
    if (from < end[i] && begin[i] < to) return false;
  }
  for (std::size_t i = 0; i < runs; ++i) {
    if (end[i] != from && begin[i] != to) continue;
    begin[i] = std::min(begin[i], from);
    end[i] = std::max(end[i], to);
    if (grown < 0) {
      grown = static_cast<int>(i);
      from = begin[i];
      to = end[i];
      continue;
    }
    // The new run closed the gap between two.
    const auto first = static_cast<std::size_t>(grown);
    begin[first] = begin[i];
    end[first] = end[i];
    --runs;
    begin[i] = begin[runs];
    end[i] = end[runs];
    return true;
  }
  if (grown < 0 && runs < kRuns) {
    begin[runs] = from;
    end[runs] = to;
    ++runs;
  }
  return true;
}

bool FragmentTable::expired(const Datagram& datagram, Timestamp now) const {
  // Unsigned, so that no two moments are too far apart to subtract.
  const auto age = static_cast<std::uint64_t>(now.ns) - static_cast<std::uint64_t>(datagram.last_ns);
  return now.ns > datagram.last_ns && age > static_cast<std::uint64_t>(timeout_ns_);
}

FragmentTable::Datagram& FragmentTable::find(const internal::FragmentPart& part, Timestamp now,
                                             bool& evicted) {
  FiveTuple key = part.tuple;
  key.source_port = key.destination_port = 0;
  auto& bucket = buckets_[hash(key, part.id) & (buckets_.size() - 1)];
  Datagram* room = &bucket.front();
  for (Datagram& datagram : bucket) {
    if (datagram.used && expired(datagram, now)) datagram.used = false;
    if (datagram.used && datagram.id == part.id && datagram.key == key) return datagram;
    if (room->used && (!datagram.used || datagram.last_ns < room->last_ns)) room = &datagram;
  }
  evicted = room->used;
  *room = {};
  room->used = true;
  room->key = key;
  room->id = part.id;
  room->last_ns = now.ns;
  return *room;
}

void FragmentTable::place(const internal::FragmentPart& part, Packet& packet, bool& evicted) {
  Datagram& datagram = find(part, packet.time, evicted);
  datagram.last_ns = std::max(datagram.last_ns, packet.time.ns);

  const bool first = part.offset == 0;
  if (first) {
    datagram.ports_known = true;
    datagram.source_port = part.tuple.source_port;
    datagram.destination_port = part.tuple.destination_port;
    datagram.protocol = part.protocol;
    datagram.icmp_type = part.icmp_type;
    datagram.icmp_code = part.icmp_code;
  } else if (datagram.ports_known) {
    packet.marks |= Packet::fragment_attributed;
    packet.tuple.source_port = datagram.source_port;
    packet.tuple.destination_port = datagram.destination_port;
    packet.tuple.protocol = datagram.protocol;
    packet.icmp_type = datagram.icmp_type;
    packet.icmp_code = datagram.icmp_code;
  }

  // A datagram has at most 65,535 bytes, and only its last fragment may end off a multiple of eight.
  const std::uint32_t end = part.offset + (part.bytes + 7) / 8;
  bool good = part.bytes > 0 && part.offset * 8u + part.bytes <= 0xffff && (part.last || part.bytes % 8 == 0);
  if (good) {
    const auto end16 = static_cast<std::uint16_t>(end);
    good = !datagram.end_known || (part.last ? end16 == datagram.end : end16 <= datagram.end);
    if (part.last && !datagram.end_known) {
      datagram.end_known = true;
      datagram.end = end16;
      for (std::size_t i = 0; i < datagram.coverage.runs; ++i) good &= datagram.coverage.end[i] <= end16;
    }
    good &= datagram.coverage.add(part.offset, end16);
  }
  if (!good) packet.marks |= Packet::bad_fragment;

  const Coverage& coverage = datagram.coverage;
  const bool complete =
      datagram.end_known && coverage.runs == 1 && coverage.begin[0] == 0 && coverage.end[0] == datagram.end;
  if (complete) datagram.used = false;
}

}  // namespace nidus::net
