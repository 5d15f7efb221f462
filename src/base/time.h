#pragma once

#include <chrono>
#include <compare>
#include <cstdint>

namespace nidus {

// A moment as a capture stamped it: nanoseconds since 1970-01-01 UTC. Covers the years 1677 to 2262; readers
// clamp what lies outside.
struct Timestamp {
  std::int64_t ns = 0;

  // Rounds towards the past, so that microseconds of equal moments are equal.
  std::int64_t microseconds() const { return ns >= 0 ? ns / 1000 : -((-ns + 999) / 1000); }

  friend auto operator<=>(Timestamp, Timestamp) = default;
  friend Timestamp operator+(Timestamp t, std::chrono::nanoseconds d) { return {t.ns + d.count()}; }
  friend std::chrono::nanoseconds operator-(Timestamp a, Timestamp b) {
    return std::chrono::nanoseconds(a.ns - b.ns);
  }
};

}  // namespace nidus
