#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "model/transform.h"

namespace nidus::model {

// Columns of the first packets of a flow as steps for a network that reads them one after the other. For each
// packet, in their order, the columns of its size (payload bytes, negative from responder to initiator) and
// of the time since the packet before, in microseconds. A packet whose size is missing is not there.
struct PacketColumns {
  std::size_t inputs = 0;                // of the row
  std::vector<std::uint32_t> size, gap;  // as many of each

  static constexpr std::size_t kChannels = 4, kPacketsMax = 1024;
};

// A step is four numbers: size / 1500, log(1 + gap) / 10, the direction (1, or -1 from the responder), and 1
// as what says that there is a packet. A size of nothing counts as forward. The packets that are there stand
// at the end, so that the last step is the last packet; the steps before them are 0. Sizes are held within
// ±65,535 and gaps between 0 and 2^53; a gap that is missing is 0. Errc::corrupt for columns beyond the
// inputs, none, or more than kPacketsMax.
Result<std::shared_ptr<const Transform>> make_packet_steps(PacketColumns columns);

}  // namespace nidus::model
