#include "flow/reference_meter.h"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include "flow/reference_flow.h"

namespace nidus::flow {
namespace reference {
namespace {

constexpr std::int64_t kLimit = 120 * kSecond;

std::optional<int> answering_type(int protocol, int type) {
  static constexpr int kPairs4[][2] = {{8, 0}, {13, 14}, {15, 16}, {17, 18}, {10, 9}};
  static constexpr int kPairs6[][2] = {{128, 129}, {133, 134}, {135, 136},
                                       {130, 131}, {139, 140}, {144, 145}};
  const auto search = [&](const auto& pairs) -> std::optional<int> {
    for (const auto& pair : pairs) {
      if (pair[0] == type) return pair[1];
      if (pair[1] == type) return pair[0];
    }
    return std::nullopt;
  };
  return protocol == 1 ? search(kPairs4) : search(kPairs6);
}

// Section 2. Nothing if the profile does not read the packet.
class Decoder {
 public:
  explicit Decoder(Profile profile) : profile_(profile) {}

  std::optional<Seen> see(const net::Packet& packet) {
    Seen seen;
    seen.time = packet.time.microseconds();
    seen.from = {packet.tuple.source, packet.tuple.source_port};
    seen.to = {packet.tuple.destination, packet.tuple.destination_port};
    seen.protocol = packet.tuple.protocol;
    seen.version = packet.tuple.version;
    seen.length = packet.payload_bytes;
    seen.header = packet.header_bytes;
    seen.ip_bytes = packet.ip_bytes;
    seen.frame_bytes = packet.frame_bytes;
    seen.icmp_type = packet.icmp_type;
    seen.icmp_code = packet.icmp_code;
    const bool later_fragment = packet.marks & net::Packet::non_first_fragment;
    if (packet.tuple.protocol == 6 && !later_fragment) {
      seen.has_tcp_header = true;
      seen.flags = packet.tcp_flags;
      seen.window = packet.window;
      seen.sequence = packet.sequence;
      seen.acknowledgement = packet.acknowledgement;
    }
    if (ours(profile_)) {
      if (packet.marks & net::Packet::arp) return std::nullopt;
      const bool known = !later_fragment || (packet.marks & net::Packet::fragment_attributed);
      if ((seen.protocol == 1 || seen.protocol == 58) && known) {
        const auto answer = answering_type(seen.protocol, seen.icmp_type);
        seen.from.port = seen.icmp_type;
        seen.to.port = answer ? *answer : kOneWay + seen.icmp_code;
      }
      return seen;
    }
    if (packet.marks & net::Packet::arp) return seen;
    if (seen.version == net::IpVersion::v6) return std::nullopt;
    const bool tcp = seen.protocol == 6, udp = seen.protocol == 17;
    if ((!tcp && !udp) || later_fragment) {
      const bool known_to_fork = seen.protocol == 1 || seen.protocol == 2 || seen.protocol == 132;
      if (published(profile_) || !known_to_fork || later_fragment) seen.protocol = 0;
      seen.from.port = seen.to.port = 0;
      seen.length = seen.header = 0;
      return seen;
    }
    seen.length = packet.captured_payload_bytes;
    if (profile_ == Profile::cic2017) {
      seen.length += packet.padding_bytes;
      if (tcp) last_tcp_header_ = seen.header;
      if (udp) seen.header = last_tcp_header_;
    }
    return seen;
  }

 private:
  Profile profile_;
  std::int64_t last_tcp_header_ = 8;
};

class ReferenceMeter {
 public:
  explicit ReferenceMeter(Profile profile) : profile_(profile), decoder_(profile) {}

  void add(const net::Packet& packet) {
    const auto seen = decoder_.see(packet);
    if (!seen) return;
    const Key key{seen->protocol, seen->version, std::min(seen->from, seen->to),
                  std::max(seen->from, seen->to)};
    const auto found = live_.find(key);
    if (found == live_.end()) {
      live_.emplace(key, fresh(*seen));
    } else if (published(profile_)) {
      add_published(key, found->second, *seen);
    } else {
      add_corrected(found->second, *seen);
    }
  }

  std::vector<Flow> finish() {
    for (const auto& [key, flow] : live_) write(flow, EndReason::end_of_input);
    live_.clear();
    return std::move(written_);
  }

  const std::vector<EndReason>& reasons() const { return reasons_; }

 private:
  using Key = std::tuple<int, net::IpVersion, End, End>;

  // 3.4, first rule.
  void add_published(const Key& key, Flow& flow, Seen seen) {
    if (seen.time - flow.start() > kLimit) {
      write(flow, EndReason::active);
      Flow next = empty_like(flow);
      seen.forward = true;  // B18
      count(next, seen);
      flow = std::move(next);
      return;
    }
    seen.forward = is_forward(flow, seen);
    count(flow, seen);
    if (seen.has(fin)) {
      flow.closed_by_first_fin = true;
      write(flow, EndReason::fin);
      live_.erase(key);
    }
  }

  // 3.4, the table.
  void add_corrected(Flow& flow, const Seen& seen) {
    const bool reopens = flow.state == State::ready && seen.has(syn);
    const bool continued_by_syn_ack = profile_ == Profile::cns2022 && seen.has(ack);
    if (timed_out(flow, seen)) {
      write(flow, seen.time - flow.start() > kLimit && profile_ != Profile::nsl_kdd ? EndReason::active
                                                                                    : EndReason::idle);
      const bool new_connection = reopens && !continued_by_syn_ack;
      flow = !new_connection && inherits(flow, seen) ? continuation(flow, seen) : fresh(seen);
    } else if (reopens) {
      write(flow, EndReason::fin);
      flow = continued_by_syn_ack ? continuation(flow, seen) : fresh(seen);
    } else if (fork(profile_) && flow.protocol == 1 && seen.icmp_type != flow.packets.front().icmp_type &&
               seen.icmp_code != flow.packets.front().icmp_code) {  // B35
      write(flow, EndReason::idle);
      flow = fresh(seen);
    } else {
      add_to(flow, seen, false);
    }
  }

  // 3.2, and 11.1 for the connections of KDD.
  bool timed_out(const Flow& flow, const Seen& seen) const {
    if (profile_ != Profile::nsl_kdd) return seen.time - flow.start() > kLimit;
    const std::int64_t silence = seen.time - flow.last();
    if (flow.protocol == 6) {
      if (flow.state == State::ready && silence > 5 * kSecond) return true;
      const bool answered =
          std::any_of(flow.packets.begin(), flow.packets.end(), [](const Seen& p) { return !p.forward; });
      const bool unanswered_syn = flow.packets.front().has(syn) && !answered;
      return silence > (unanswered_syn ? 120 : 300) * kSecond;
    }
    return silence > (flow.protocol == 17 ? 180 : 30) * kSecond;
  }

  // 3.3
  bool inherits(const Flow& flow, const Seen& seen) const {
    if (flow.protocol == 6) return true;
    if (flow.protocol == 17) return profile_ != Profile::cns2022 && seen.time - flow.last() <= kLimit;
    return false;
  }

  bool is_forward(const Flow& flow, const Seen& seen) const {
    if (!ours(profile_)) return seen.from.address == flow.source.address;
    return seen.from == flow.source;
  }

  static Flow empty_like(const Flow& flow) {
    Flow next;
    next.source = flow.source;
    next.destination = flow.destination;
    next.protocol = flow.protocol;
    next.version = flow.version;
    next.connection_start = flow.connection_start;
    return next;
  }

  Flow fresh(const Seen& seen) const {
    Flow flow;
    const bool answer = seen.has(syn) && seen.has(ack);
    const bool swapped = answer && (ours(profile_) || profile_ == Profile::cic_fixed);
    flow.source = swapped ? seen.to : seen.from;
    flow.destination = swapped ? seen.from : seen.to;
    flow.protocol = seen.protocol;
    flow.version = seen.version;
    flow.connection_start = seen.time;
    add_to(flow, seen, true);
    return flow;
  }

  Flow continuation(const Flow& flow, const Seen& seen) const {
    Flow next = empty_like(flow);
    next.segments = flow.segments;
    add_to(next, seen, true);
    return next;
  }

  void add_to(Flow& flow, Seen seen, bool opening) const {
    seen.forward = is_forward(flow, seen);
    // 3.6: a gap is never negative.
    if (!flow.packets.empty()) seen.time = std::max(seen.time, flow.last());
    count(flow, seen);
    if (published(profile_) || !seen.has_tcp_header) return;

    const Flow::Segment segment{seen.from.address, seen.sequence, seen.acknowledgement, seen.length,
                                seen.window};
    if (!flow.segments.insert(segment).second)
      ++(seen.forward ? flow.forward_repeats : flow.backward_repeats);

    const bool missed = opening && profile_ == Profile::cns2022;  // B37
    if (missed) {
      flow.opening_rst_missing = seen.has(rst);
    } else if (seen.has(fin)) {
      ++(seen.forward ? flow.forward_fins : flow.backward_fins);
    }
    if (opening && fork(profile_)) return;  // B36
    if (flow.state == State::ready) return;
    if (seen.has(fin)) {
      const bool both = flow.forward_fins > 0 && flow.backward_fins > 0;
      if (flow.state == State::open) {
        flow.state = State::fin1;
      } else if (flow.state == State::fin1 && both) {
        flow.state = State::fin2;
      }
    }
    if (seen.has(rst)) {
      flow.state = State::ready;
      flow.reset = true;
    } else if (flow.state == State::fin2 && seen.has(ack) && !seen.has(fin)) {
      flow.state = State::ready;
    }
  }

  static void count(Flow& flow, const Seen& seen) { flow.packets.push_back(seen); }

  void write(const Flow& flow, EndReason reason) {
    if (published(profile_) && flow.packets.size() < 2) return;
    if (!published(profile_) && flow.state == State::ready)
      reason = flow.reset ? EndReason::rst : EndReason::fin;
    written_.push_back(flow);
    reasons_.push_back(reason);
  }

  Profile profile_;
  Decoder decoder_;
  std::map<Key, Flow> live_;
  std::vector<Flow> written_;
  std::vector<EndReason> reasons_;
};

}  // namespace
}  // namespace reference

std::vector<ReferenceFlow> reference_flows(Profile profile, std::span<const net::Packet> packets) {
  using namespace reference;
  ReferenceMeter meter(profile);
  for (const net::Packet& packet : packets) meter.add(packet);
  const std::vector<Flow> flows = meter.finish();
  std::vector<ReferenceFlow> out;
  for (std::size_t i = 0; i < flows.size(); ++i) {
    const Flow& flow = flows[i];
    ReferenceFlow r;
    const auto port = [](const End& end) {
      return static_cast<std::uint16_t>(end.port >= kOneWay ? end.port - kOneWay : end.port);
    };
    r.tuple.source = flow.source.address;
    r.tuple.destination = flow.destination.address;
    r.tuple.source_port = port(flow.source);
    r.tuple.destination_port = port(flow.destination);
    r.tuple.protocol = static_cast<std::uint8_t>(flow.protocol);
    r.tuple.version = flow.version;
    r.start_us = flow.start();
    r.last_us = flow.last();
    r.packets = flow.packets.size();
    r.end_reason = meter.reasons()[i];
    compute(profile, flow, r.features);
    out.push_back(r);
  }
  std::sort(out.begin(), out.end(), [](const ReferenceFlow& a, const ReferenceFlow& b) {
    return std::tie(a.start_us, a.tuple, a.last_us, a.packets) <
           std::tie(b.start_us, b.tuple, b.last_us, b.packets);
  });
  return out;
}

}  // namespace nidus::flow
