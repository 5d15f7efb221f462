#pragma once

#include <cstdint>

#include "flow/profile.h"

namespace nidus::flow {

// What distinguishes the profiles while packets are counted; what distinguishes them afterwards is in
// features.cc.
struct Rules {
  // Which packets, and which of their bytes (features specification, section 2).
  bool ipv4_only = false;
  enum class Payload : std::uint8_t { stated, captured, captured_with_padding } payload = Payload::stated;
  enum class Protocols : std::uint8_t {
    all,          // the IP protocol number
    fork,         // TCP, UDP, ICMP, IGMP, SCTP; all others become 0
    tcp_udp_only  // all others become 0
  } protocols = Protocols::all;
  bool stale_udp_header = false;  // a UDP header has the length of the last TCP header seen
  bool arp_is_flow = false;
  bool icmp_types_as_ports = false;
  bool fragments_attributed = true;

  // Direction and identity (3.1).
  bool direction_by_address = false;  // ports do not matter
  bool swap_syn_ack = false;          // a flow that opens with SYN+ACK was opened by the other side
  bool split_icmp = false;            // a message with another type and another code is another flow

  // Ends (3.3, 3.4, 3.5).
  bool first_fin_ends = false;         // and RST is nothing
  bool opening_packet_closes = false;  // the table of teardown states applies to the first packet too
  bool opening_flags_uncounted = false;
  bool one_packet_flows_written = true;
  bool continuation_counts_forward = false;  // its first packet is forward whoever sent it
  bool syn_ack_continues = false;
  enum class Continues : std::uint8_t { tcp, tcp_and_recent_udp, all } continues = Continues::tcp;

  enum class ReverseWindow : std::uint8_t {
    first,
    first_not_zero,
    last
  } reverse_window = ReverseWindow::first;
  bool retransmissions_by_repetition = false;  // the same segment seen before, wherever it lies

  std::int64_t active_timeout_us = 120'000'000;
  std::int64_t linger_us = 0;      // 0 = until the active timeout
  bool timeouts_by_state = false;  // 11.1: 120 s after an unanswered SYN, 300 s TCP, 180 s UDP, 30 s ICMP
};

inline Rules rules_of(Profile profile) {
  Rules r;
  switch (profile) {
    case Profile::native:
      r.icmp_types_as_ports = true;
      r.swap_syn_ack = true;
      r.opening_packet_closes = true;
      r.continues = Rules::Continues::tcp_and_recent_udp;
      return r;
    case Profile::cic2017:
    case Profile::cic2018:
      r.ipv4_only = true;
      r.payload =
          profile == Profile::cic2017 ? Rules::Payload::captured_with_padding : Rules::Payload::captured;
      r.stale_udp_header = profile == Profile::cic2017;
      r.protocols = Rules::Protocols::tcp_udp_only;
      r.arp_is_flow = true;
      r.fragments_attributed = false;
      r.direction_by_address = true;
      r.first_fin_ends = true;
      r.one_packet_flows_written = false;
      r.continuation_counts_forward = true;
      r.continues = Rules::Continues::all;
      r.reverse_window = Rules::ReverseWindow::last;
      return r;
    case Profile::cns2022:
    case Profile::cic_fixed:
      r.ipv4_only = true;
      r.payload = Rules::Payload::captured;
      r.protocols = Rules::Protocols::fork;
      r.arp_is_flow = true;
      r.fragments_attributed = false;
      r.direction_by_address = true;
      r.split_icmp = true;
      if (profile == Profile::cns2022) {
        r.opening_flags_uncounted = true;
        r.syn_ack_continues = true;
        r.reverse_window = Rules::ReverseWindow::last;
      } else {
        r.swap_syn_ack = true;
        r.continues = Rules::Continues::tcp_and_recent_udp;
        r.reverse_window = Rules::ReverseWindow::first_not_zero;
        r.retransmissions_by_repetition = true;
      }
      return r;
    case Profile::nsl_kdd:
      r.swap_syn_ack = true;
      r.opening_packet_closes = true;
      r.icmp_types_as_ports = true;
      r.active_timeout_us = 0;
      r.linger_us = 5'000'000;
      r.timeouts_by_state = true;
      return r;
  }
  return r;
}

}  // namespace nidus::flow
