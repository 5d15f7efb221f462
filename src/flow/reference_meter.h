#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "flow/features.h"

namespace nidus::flow {

// The slow twin of the meter, for tests only: a list of packets for every flow, and each feature computed
// from that list the way the features specification words it (sections 2, 3, 5, 6 and 7). It shares no code
// with the meter: no sums, no timers, no table, no limits, no profile switches but its own.
struct ReferenceFlow {
  net::FiveTuple tuple;  // forward
  std::int64_t start_us = 0;
  std::int64_t last_us = 0;
  std::uint64_t packets = 0;
  EndReason end_reason = EndReason::end_of_input;
  FeatureRow features{};  // all those of the profile; others are 0
};

// Every flow that the profile writes of these packets, sorted by start, tuple and end.
std::vector<ReferenceFlow> reference_flows(Profile profile, std::span<const net::Packet> packets);

}  // namespace nidus::flow
