#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/time.h"
#include "flow/profile.h"
#include "flow/record.h"
#include "net/packet.h"

namespace nidus::flow {

struct MeterOptions {
  Profile profile = Profile::native;

  // A longer flow is cut here and its continuation metered as another. At most 4,294 s: offsets inside a flow
  // are 32-bit microseconds. 0 = never, which only nsl_kdd chooses. All profiles but that one: 120 s.
  std::optional<std::chrono::microseconds> active_timeout;

  // A flow silent for this long ends. 0 = never: the CIC tools have no such limit.
  std::optional<std::chrono::microseconds> idle_timeout;

  // A closed TCP connection waits this long for stragglers. Unset: until the active timeout, as the tools do
  // that read whole captures; a live sensor sets 5 s.
  std::optional<std::chrono::microseconds> tcp_linger;

  // Live flows held at once: 512 bytes each, and 96 for those that have had one packet. When full, the oldest
  // one-packet flow, the oldest closed connection or the flow idle for longest (to the second) ends with
  // EndReason::evicted and is counted. Memory is taken as flows arrive, never more.
  std::size_t flows_max = 1u << 20;
  std::size_t one_packet_flows_max = 1u << 21;

  // Flows cut by a timeout whose direction and connection start are remembered for a continuation.
  std::size_t remainders_max = 1u << 16;

  // An early record, with EndReason::partial, when a flow has had this many packets. 0 = none.
  std::uint32_t partial_after_packets = 0;

  // Packets of a flow kept as PacketSteps, at most kSequenceMax. 0 = none.
  std::uint32_t sequence_packets = 0;

  // For who runs the meter, which itself does the same either way: ContextStage comes behind it; and a flow
  // that had an early record is not handed out again when it has ended.
  bool context = false;
  bool once = false;

  bool separate_vlans = false;  // the outermost VLAN id is part of a flow's identity
  bool sweep = true;            // end flows as time passes, not only when their next packet comes

  // Against chosen collisions in the table of flows; does not influence any record. Unset: random.
  std::optional<std::uint64_t> hash_seed;
};

struct MeterStatistics {
  std::uint64_t packets = 0;          // counted into a flow
  std::uint64_t packets_ignored = 0;  // not of the profile's kind, e.g. IPv6 where it reads IPv4 only
  std::uint64_t packets_out_of_order = 0;
  std::uint64_t flows = 0;  // records given, partial ones not counted
  std::uint64_t flows_partial = 0;
  std::uint64_t flows_evicted = 0;
  std::uint64_t flows_unwritten = 0;  // one packet, in a profile that writes none of those
  std::uint64_t remainders_dropped = 0;
  std::uint64_t live_flows = 0;
  std::uint64_t live_one_packet_flows = 0;
  std::uint64_t bytes_in_use = 0;  // pools and index
};

// Groups packets into bidirectional flows and yields a FlowRecord when one ends.
//
// Packets come in blocks. Inside, flows are spread over a fixed number of shards by their five-tuple, so that
// several threads can work without sharing anything, and so that records, evictions included, are the same
// for any number of threads:
//
//   meter.route(block);                                        // one thread
//   do {
//     for (shard = 0 … kShards - 1) meter.run(shard);          // in parallel, if the caller likes
//     for (const FlowRecord* record : meter.collect()) …       // one thread; in order of start
//   } while (meter.behind());
//
// The only clock is the time of the packets, and that of advance(). A packet older than its predecessor is
// counted as if it had arrived at its flow's latest time.
class Meter {
 public:
  static constexpr std::size_t kShards = 16;

  explicit Meter(MeterOptions options);
  ~Meter();
  Meter(Meter&&) noexcept;

  // Packets of the next run(), in order. They are changed to what the profile's tool would have seen of them,
  // looked at where they are, and must stay there until every shard has run.
  void route(std::span<net::Packet> block);

  // The same for a single packet, which is copied.
  void route(const net::Packet& packet);

  // Time passes without packets: the next run() ends what is due by `now`.
  void advance(Timestamp now);

  // The next runs end every live flow.
  void finish();

  // Different shards may run at the same time.
  void run(std::size_t shard);

  // Whether more flows are to end than the last runs did. Millions of one-packet flows can be due in one
  // second, after a flood, and a record is five times as large as such a flow: so a run ends kEndedAtOnce of
  // its shard, besides those that its packets end.
  bool behind() const;
  static constexpr std::size_t kEndedAtOnce = 256;

  // Records that ended since the last collect(), valid until the next run().
  std::span<const FlowRecord* const> collect();

  // The records collected so far are all there will be of flows whose last packet was at or before this time,
  // unless packets come more than kDisorderUs out of order. INT64_MIN: nothing is known to be complete, as
  // before the first packet, or where flows may be silent for ever.
  std::int64_t complete_until_us() const;
  static constexpr std::int64_t kDisorderUs = 10'000'000;

  MeterStatistics statistics() const;
  const MeterOptions& options() const;

  // "native", or with the settings that differ from the profile's: "native active=60s". Stored with every
  // table.
  std::string description() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nidus::flow
