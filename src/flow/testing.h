#pragma once

// The small language in which tests of this module are written. Not part of the program.

#include <chrono>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "flow/features.h"
#include "flow/meter.h"

namespace nidus::flow {

inline net::Address v4(int a, int b, int c, int d) {
  net::Address address;
  address.bytes = {static_cast<std::uint8_t>(a), static_cast<std::uint8_t>(b), static_cast<std::uint8_t>(c),
                   static_cast<std::uint8_t>(d)};
  return address;
}

struct Host {
  net::Address address;
  std::uint16_t port = 0;
};

inline Host host(int last, int port) { return {v4(10, 0, 0, last), static_cast<std::uint16_t>(port)}; }

// "SA" as SYN and ACK; '.' for none.
inline std::uint8_t flags_of(std::string_view letters) {
  std::uint8_t flags = 0;
  for (const char c : letters) {
    switch (c) {
      case 'F':
        flags |= net::tcp_flag::fin;
        break;
      case 'S':
        flags |= net::tcp_flag::syn;
        break;
      case 'R':
        flags |= net::tcp_flag::rst;
        break;
      case 'P':
        flags |= net::tcp_flag::psh;
        break;
      case 'A':
        flags |= net::tcp_flag::ack;
        break;
      case 'U':
        flags |= net::tcp_flag::urg;
        break;
      case 'E':
        flags |= net::tcp_flag::ece;
        break;
      case 'C':
        flags |= net::tcp_flag::cwr;
        break;
      default:
        break;
    }
  }
  return flags;
}

inline net::Packet packet(std::int64_t time_us, Host from, Host to, std::uint8_t protocol,
                          std::uint32_t payload, std::uint8_t header) {
  net::Packet p;
  p.time = {time_us * 1000};
  p.tuple.source = from.address;
  p.tuple.destination = to.address;
  p.tuple.source_port = from.port;
  p.tuple.destination_port = to.port;
  p.tuple.protocol = protocol;
  p.payload_bytes = p.captured_payload_bytes = payload;
  p.header_bytes = header;
  p.ip_bytes = 20u + header + payload;
  p.frame_bytes = 14u + p.ip_bytes;
  return p;
}

inline net::Packet tcp(std::int64_t time_us, Host from, Host to, std::string_view flags,
                       std::uint32_t payload = 0, std::uint8_t header = 20, std::uint16_t window = 1000) {
  net::Packet p = packet(time_us, from, to, net::protocol::tcp, payload, header);
  p.tcp_flags = flags_of(flags);
  p.window = window;
  return p;
}

inline net::Packet udp(std::int64_t time_us, Host from, Host to, std::uint32_t payload) {
  return packet(time_us, from, to, net::protocol::udp, payload, 8);
}

// Runs every shard, and again while there is more to end, and copies the records out.
inline std::vector<FlowRecord> ended(Meter& meter) {
  std::vector<FlowRecord> out;
  do {
    for (std::size_t shard = 0; shard < Meter::kShards; ++shard) meter.run(shard);
    for (const FlowRecord* record : meter.collect()) out.push_back(*record);
  } while (meter.behind());
  return out;
}

inline std::vector<FlowRecord> meter_all(const MeterOptions& options,
                                         const std::vector<net::Packet>& packets) {
  Meter meter(options);
  for (const auto& p : packets) meter.route(p);
  meter.finish();
  return ended(meter);
}

// Few hosts, few ports, every mix of flags, gaps up to 9 s, so that flows outlive the active timeout, are
// torn down in odd ways and come back. One packet in 50 is stamped earlier than its predecessor if
// `disorder`.
inline std::vector<net::Packet> random_traffic(std::uint64_t seed, std::size_t count, bool disorder = false) {
  Random random(seed);
  std::vector<net::Packet> packets;
  std::int64_t time_us = 1'600'000'000'000'000;
  for (std::size_t i = 0; i < count; ++i) {
    time_us +=
        static_cast<std::int64_t>(random.below(3) == 0 ? random.below(9'000'000) : random.below(20'000));
    const std::int64_t stamped = disorder && random.below(50) == 0
                                     ? time_us - static_cast<std::int64_t>(random.below(2'000'000))
                                     : time_us;
    const Host a = host(1 + static_cast<int>(random.below(6)), 1000 + static_cast<int>(random.below(2)));
    const Host b = host(1 + static_cast<int>(random.below(6)), 1000 + static_cast<int>(random.below(2)));
    const auto payload = static_cast<std::uint32_t>(random.below(2) == 0 ? 0 : random.below(1461));
    const auto kind = random.below(10);
    net::Packet p;
    if (kind < 6) {
      constexpr std::string_view kFlags[] = {"S", "SA", "A",  "A",  "PA",  "PA", "FA",
                                             "F", "R",  "RA", "UA", "SEC", "."};
      p = tcp(stamped, a, b, kFlags[random.below(std::size(kFlags))], payload,
              static_cast<std::uint8_t>(20 + 4 * random.below(11)),
              static_cast<std::uint16_t>(random.below(65536)));
      p.sequence = static_cast<std::uint32_t>(random.below(4) * 1000);
      p.acknowledgement = static_cast<std::uint32_t>(random.below(4) * 1000);
    } else if (kind < 9) {
      p = udp(stamped, a, b, payload);
    } else {
      p = packet(stamped, {a.address}, {b.address}, net::protocol::icmp, payload, 8);
      constexpr std::uint8_t kTypes[] = {0, 8, 3, 11};
      p.icmp_type = kTypes[random.below(4)];
      p.icmp_code = static_cast<std::uint8_t>(random.below(3));
    }
    packets.push_back(p);
  }
  return packets;
}

inline double value(Profile profile, const FlowRecord& record, Feature feature) {
  FeatureRow row;
  compute_features(profile, record, row);
  return row[static_cast<std::size_t>(feature)];
}

}  // namespace nidus::flow
