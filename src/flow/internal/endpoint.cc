#include "flow/internal/endpoint.h"

namespace nidus::flow {

void track_endpoints(FlowRecord& record, Direction direction, std::uint8_t flags,
                     std::uint32_t payload_bytes) {
  using namespace net::tcp_flag;
  auto& sender = record.direction[static_cast<int>(direction)];
  auto& peer = record.direction[1 - static_cast<int>(direction)];
  const auto get = [](const DirectionCounters& side) { return static_cast<Endpoint>(side.state); };
  const auto set = [](DirectionCounters& side, Endpoint e) {
    side.state = static_cast<std::uint8_t>(e) & 7u;
  };
  const bool originator = direction == Direction::forward;

  if ((flags & syn) && (flags & (fin | rst))) note(record, direction, Letter::q);
  if ((flags & fin) && (flags & rst)) note(record, direction, Letter::i);

  if (flags & syn) {
    note(record, direction, flags & ack ? Letter::h : Letter::s);
    if (originator) {
      const Endpoint now = get(sender);
      if (flags & ack) {
        if (now == Endpoint::inactive) set(sender, Endpoint::syn_ack_sent);
      } else if (now == Endpoint::inactive || (now == Endpoint::partial && get(peer) == Endpoint::inactive)) {
        set(sender, Endpoint::syn_sent);
      }
    } else {
      if (get(sender) < Endpoint::closed) set(sender, Endpoint::established);
      if (get(peer) == Endpoint::syn_sent) set(peer, Endpoint::established);
    }
  }
  if (payload_bytes > 0) {
    note(record, direction, Letter::d);
  } else if ((flags & ack) && !(flags & (syn | fin | rst))) {
    note(record, direction, Letter::a);
  }
  if (!(flags & (syn | rst)) && get(sender) == Endpoint::inactive && (payload_bytes > 0 || (flags & ack))) {
    const bool refused_probe = !originator && payload_bytes == 0 && get(peer) == Endpoint::syn_sent;
    if ((flags & ack) && get(peer) == Endpoint::established) {
      set(sender, Endpoint::established);
    } else if (!refused_probe) {
      set(sender, Endpoint::partial);
    }
  }
  if (flags & fin) {
    note(record, direction, Letter::f);
    if (get(sender) < Endpoint::closed) set(sender, Endpoint::closed);
  }
  if (flags & rst) {
    note(record, direction, Letter::r);
    if (!(get(sender) == Endpoint::closed && get(peer) == Endpoint::closed)) set(sender, Endpoint::reset);
  }
}

}  // namespace nidus::flow
