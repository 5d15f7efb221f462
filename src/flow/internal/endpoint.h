#pragma once

#include <cstdint>

#include "flow/record.h"

namespace nidus::flow {

// Zeek's states of a TCP endpoint (features specification, 13.1). For UDP only inactive and established are
// used.
enum class Endpoint : std::uint8_t { inactive, syn_sent, syn_ack_sent, partial, established, closed, reset };

// Letters of Zeek's history; the bit of a letter in DirectionCounters::history_seen.
enum class Letter : std::uint8_t { s, h, a, d, f, r, t, w, i, q, g };
inline constexpr char kLetters[] = "shadfrtwiqg";

inline void note(FlowRecord& record, Direction direction, Letter letter) {
  auto& side = record.direction[static_cast<int>(direction)];
  const auto bit = static_cast<std::uint16_t>(1u << static_cast<unsigned>(letter));
  if (side.history_seen & bit) return;
  side.history_seen = static_cast<std::uint16_t>(side.history_seen | bit);
  if (record.history_length == kHistoryLength) return;
  const char lower = kLetters[static_cast<unsigned>(letter)];
  record.history[record.history_length++] =
      direction == Direction::forward ? static_cast<char>(lower - 'a' + 'A') : lower;
}

// Moves the two endpoint states by one TCP packet.
void track_endpoints(FlowRecord& record, Direction direction, std::uint8_t flags,
                     std::uint32_t payload_bytes);

}  // namespace nidus::flow
