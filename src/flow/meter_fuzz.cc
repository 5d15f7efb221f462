// Any sequence of packets against the meter: every packet is in exactly one record, byte counts add up,
// native features are finite, the room is never exceeded. The first byte chooses the profile, each 16 bytes a
// packet.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "flow/features.h"
#include "flow/meter.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace nidus;
  using namespace nidus::flow;
  if (size < 2) return 0;
  MeterOptions options;
  options.profile = kProfiles[data[0] % std::size(kProfiles)];
  options.flows_max = 16u << (data[1] & 3);
  options.one_packet_flows_max = 16u << (data[1] >> 2 & 3);
  options.remainders_max = 16u << (data[1] >> 4 & 3);
  options.sequence_packets = data[1] >> 6;
  options.hash_seed = 1;
  Meter meter(options);
  std::uint64_t routed = 0, bytes_in = 0, packets_out = 0, bytes_out = 0;
  std::int64_t time_us = 1'000'000'000;
  FeatureRow row;
  const auto take = [&] {
    do {
      for (std::size_t shard = 0; shard < Meter::kShards; ++shard) meter.run(shard);
      for (const FlowRecord* record : meter.collect()) {
        packets_out += record->packets();
        bytes_out += record->forward().frame_bytes + record->reverse().frame_bytes;
        compute_features(options.profile, *record, row);
        if (record->duration_us() < 0 || record->history_length > kHistoryLength) std::abort();
        if (record->sequence_packets > options.sequence_packets + 1u) std::abort();
        if ((record->steps != nullptr) != (options.sequence_packets > 0)) std::abort();
        if (options.profile != Profile::native) continue;
        for (const double value : row) {
          if (!std::isfinite(value) || value < -1) std::abort();
        }
      }
    } while (meter.behind());
  };
  for (std::size_t at = 2; at + 16 <= size; at += 16) {
    const std::uint8_t* d = data + at;
    net::Packet p;
    std::int16_t step;
    std::memcpy(&step, d, 2);
    time_us += std::int64_t{step} * (d[2] & 1 ? 10'000 : 1);
    p.time = {time_us * 1000};
    p.tuple.source.bytes[0] = d[3] & 7;
    p.tuple.destination.bytes[0] = d[3] >> 5;
    p.tuple.source_port = d[4] & 3;
    p.tuple.destination_port = d[4] >> 6;
    constexpr std::uint8_t kProtocols[] = {6, 17, 1, 58, 132, 0, 47, 6};
    p.tuple.protocol = kProtocols[d[5] & 7];
    p.tuple.version = d[5] & 8 ? net::IpVersion::v6 : net::IpVersion::v4;
    p.marks = d[6];
    p.tcp_flags = d[7];
    std::memcpy(&p.payload_bytes, d + 8, 2);
    p.captured_payload_bytes = p.payload_bytes;
    p.header_bytes = d[10];
    p.icmp_type = d[10];
    p.icmp_code = d[11];
    std::memcpy(&p.window, d + 11, 2);
    p.sequence = d[13] * 0x01000000u;
    p.acknowledgement = d[14] * 0x01000000u;
    p.frame_bytes = d[15];
    meter.route(p);
    ++routed;
    if (meter.statistics().packets_ignored == 0) bytes_in += p.frame_bytes;
    if (d[2] & 2) take();
  }
  meter.finish();
  take();
  const MeterStatistics statistics = meter.statistics();
  if (statistics.packets + statistics.packets_ignored != routed) std::abort();
  if (statistics.live_flows != 0 || statistics.live_one_packet_flows != 0) std::abort();
  if (packets_out + statistics.flows_unwritten != statistics.packets) std::abort();
  if (statistics.packets_ignored == 0 && statistics.flows_unwritten == 0 && bytes_out != bytes_in)
    std::abort();
  return 0;
}
