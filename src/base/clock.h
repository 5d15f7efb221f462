#pragma once

#include <chrono>
#include <cstdint>

namespace nidus {

// What the system's clock says: microseconds since 1970, UTC. It may jump.
inline std::int64_t now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace nidus
