#pragma once

// What the two halves of the reference meter share. For tests only.

#include <compare>
#include <cstdint>
#include <set>
#include <tuple>
#include <vector>

#include "flow/features.h"

namespace nidus::flow::reference {

using namespace net::tcp_flag;

inline constexpr std::int64_t kSecond = 1'000'000;

// Added to the code of a one-way ICMP message where it stands for a port, so that nothing answers it.
inline constexpr int kOneWay = 100'000;

struct End {
  net::Address address;
  int port = 0;
  friend auto operator<=>(const End&, const End&) = default;
};

// A packet as the profile's tool sees it.
struct Seen {
  std::int64_t time = 0;  // microseconds
  End from, to;
  int protocol = 0;
  net::IpVersion version = net::IpVersion::v4;
  std::int64_t length = 0;
  std::int64_t header = 0;
  std::int64_t ip_bytes = 0, frame_bytes = 0;
  int flags = 0;
  int window = 0;
  std::uint32_t sequence = 0, acknowledgement = 0;
  int icmp_type = 0, icmp_code = 0;
  bool has_tcp_header = false;
  bool forward = true;

  bool has(int flag) const { return (flags & flag) != 0; }
};

enum class State { open, fin1, fin2, ready };

struct Flow {
  End source, destination;
  int protocol = 0;
  net::IpVersion version = net::IpVersion::v4;
  std::vector<Seen> packets;
  std::int64_t connection_start = 0;
  State state = State::open;
  bool reset = false;
  int forward_fins = 0, backward_fins = 0;  // as far as the tool counted them
  int opening_rst_missing = 0;
  bool closed_by_first_fin = false;
  using Segment = std::tuple<net::Address, std::uint32_t, std::uint32_t, std::int64_t, int>;
  std::set<Segment> segments;
  int forward_repeats = 0, backward_repeats = 0;

  std::int64_t start() const { return packets.front().time; }
  std::int64_t last() const { return packets.back().time; }
  bool first_is_backward() const { return !packets.front().forward; }
};

inline bool published(Profile p) { return p == Profile::cic2017 || p == Profile::cic2018; }
inline bool fork(Profile p) { return p == Profile::cns2022 || p == Profile::cic_fixed; }
inline bool ours(Profile p) { return p == Profile::native || p == Profile::nsl_kdd; }

// Sections 5 and 7: the features of one flow, from its packets.
void compute(Profile profile, const Flow& flow, FeatureRow& row);

}  // namespace nidus::flow::reference
