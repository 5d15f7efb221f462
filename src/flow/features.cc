// From counters to features. The published profiles reproduce their tools' defects on purpose; the numbers in
// parentheses are those of the bug register in docs/features.md.
#include "flow/features.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "flow/internal/icmp.h"

namespace nidus::flow {
namespace {

__extension__ using uint128 = unsigned __int128;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

double real(std::uint64_t n) { return static_cast<double>(n); }
double ratio(double a, double b) { return b == 0 ? 0 : a / b; }

// Sample variance from integer sums: (n Σx² - (Σx)²) / (n (n - 1)), the numerator exact in 128 bits, so the
// result does not depend on the order of the packets.
double variance(std::uint64_t n, std::uint64_t sum, std::uint64_t sum_of_squares) {
  if (n < 2) return 0;
  const uint128 whole = static_cast<uint128>(n) * sum_of_squares;
  const uint128 square = static_cast<uint128>(sum) * sum;
  if (whole <= square) return 0;
  return static_cast<double>(whole - square) / (real(n) * real(n - 1));
}

struct Spread {
  double mean, std, max, min;
};

Spread spread(std::uint64_t n, std::uint64_t sum, std::uint64_t squared, std::uint32_t min,
              std::uint32_t max) {
  if (n == 0) return {0, 0, 0, 0};
  return {real(sum) / real(n), std::sqrt(variance(n, sum, squared)), real(max), real(min)};
}

Spread spread(const DurationSums& d) { return spread(d.count, d.sum, d.squared, d.min, d.max); }

class Row {
 public:
  explicit Row(FeatureRow& row) : row_(row) {}
  double& operator[](Feature feature) { return row_[static_cast<std::size_t>(feature)]; }

  // Fills four neighbours: mean, std, max, min.
  void spread_at(Feature mean, const Spread& s) {
    const auto at = static_cast<std::size_t>(mean);
    row_[at] = s.mean;
    row_[at + 1] = s.std;
    row_[at + 2] = s.max;
    row_[at + 3] = s.min;
  }
  // Fills four neighbours: max, min, mean, std.
  void lengths_at(Feature max, const Spread& s) {
    const auto at = static_cast<std::size_t>(max);
    row_[at] = s.max;
    row_[at + 1] = s.min;
    row_[at + 2] = s.mean;
    row_[at + 3] = s.std;
  }

 private:
  FeatureRow& row_;
};

struct Sums {
  std::uint64_t packets, bytes, squared;
  std::uint32_t min, max;
};

Sums sums_of(const FlowRecord& r) {
  const auto &f = r.forward(), &b = r.reverse();
  return {r.packets(), f.payload_bytes + b.payload_bytes, f.payload_bytes_squared + b.payload_bytes_squared,
          std::min(f.payload_bytes_min, b.payload_bytes_min),
          std::max(f.payload_bytes_max, b.payload_bytes_max)};
}

Spread gaps_of(const DirectionCounters& d) {
  if (d.packets < 2) return {0, 0, 0, 0};
  return spread(d.packets - 1, d.last_us - d.first_us, d.gap_us_squared, d.gap_us_min, d.gap_us_max);
}

void fill_direction(Row& row, const DirectionCounters& d, Feature len_max, Feature iat_total, Feature psh,
                    Feature urg, Feature rst, Feature header) {
  row.lengths_at(len_max, spread(d.packets, d.payload_bytes, d.payload_bytes_squared, d.payload_bytes_min,
                                 d.payload_bytes_max));
  row[iat_total] = d.packets < 2 ? 0 : real(d.last_us - d.first_us);
  row.spread_at(static_cast<Feature>(static_cast<int>(iat_total) + 1), gaps_of(d));
  row[psh] = d.psh;
  row[urg] = d.urg;
  row[rst] = d.rst;
  row[header] = real(d.header_bytes);
}

void fill_bulk(Row& row, const DirectionCounters& d, Feature bytes, Feature packets, Feature rate) {
  row[bytes] = ratio(real(d.bulk_bytes), d.bulks);
  row[packets] = ratio(d.bulk_packets, d.bulks);
  row[rate] = ratio(real(d.bulk_bytes), d.bulk_us * 1e-6);
}

void fill_subflow(Row& row, const FlowRecord& r, double divisor, bool whole) {
  const double values[] = {real(r.forward().packets), real(r.forward().payload_bytes),
                           real(r.reverse().packets), real(r.reverse().payload_bytes)};
  for (int i = 0; i < 4; ++i) {
    const double share = ratio(values[i], divisor);
    row[static_cast<Feature>(static_cast<int>(Feature::subflow_fwd_pkts) + i)] =
        whole ? std::trunc(share) : share;
  }
}

// All of it as native defines it.
void compute_native(const FlowRecord& r, Row& row) {
  const auto &f = r.forward(), &b = r.reverse();
  const Sums all = sums_of(r);
  const double seconds = static_cast<double>(r.duration_us()) * 1e-6;
  const bool tcp = r.tuple.protocol == net::protocol::tcp;

  row[Feature::src_port] = r.tuple.source_port & ~(is_icmp(r.tuple.protocol) ? kIcmpOneWay : 0);
  row[Feature::dst_port] = r.tuple.destination_port & ~(is_icmp(r.tuple.protocol) ? kIcmpOneWay : 0);
  row[Feature::protocol] = r.tuple.protocol;
  row[Feature::flow_duration] = static_cast<double>(r.duration_us());
  row[Feature::fwd_pkts] = f.packets;
  row[Feature::bwd_pkts] = b.packets;
  row[Feature::fwd_bytes] = real(f.payload_bytes);
  row[Feature::bwd_bytes] = real(b.payload_bytes);
  fill_direction(row, f, Feature::fwd_len_max, Feature::fwd_iat_total, Feature::fwd_psh, Feature::fwd_urg,
                 Feature::fwd_rst, Feature::fwd_hdr_bytes);
  fill_direction(row, b, Feature::bwd_len_max, Feature::bwd_iat_total, Feature::bwd_psh, Feature::bwd_urg,
                 Feature::bwd_rst, Feature::bwd_hdr_bytes);
  row[Feature::flow_bytes_s] = ratio(real(all.bytes), seconds);
  row[Feature::flow_pkts_s] = ratio(real(all.packets), seconds);
  row[Feature::fwd_pkts_s] = ratio(f.packets, seconds);
  row[Feature::bwd_pkts_s] = ratio(b.packets, seconds);
  row.spread_at(Feature::flow_iat_mean, spread(all.packets - 1, static_cast<std::uint64_t>(r.duration_us()),
                                               r.gap_us_squared, r.gap_us_min, r.gap_us_max));
  row[Feature::len_min] = all.min;
  row[Feature::len_max] = all.max;
  row[Feature::len_mean] = real(all.bytes) / real(all.packets);
  row[Feature::len_var] = variance(all.packets, all.bytes, all.squared);
  row[Feature::len_std] = std::sqrt(row[Feature::len_var]);
  row[Feature::fin_cnt] = real(std::uint64_t{f.fin} + b.fin);
  row[Feature::syn_cnt] = r.syn;
  row[Feature::rst_cnt] = real(std::uint64_t{f.rst} + b.rst);
  row[Feature::psh_cnt] = real(std::uint64_t{f.psh} + b.psh);
  row[Feature::ack_cnt] = r.ack;
  row[Feature::urg_cnt] = real(std::uint64_t{f.urg} + b.urg);
  row[Feature::cwr_cnt] = r.cwr;
  row[Feature::ece_cnt] = r.ece;
  row[Feature::down_up_ratio] = ratio(b.packets, f.packets);
  row[Feature::pkt_size_avg] = row[Feature::len_mean];
  row[Feature::fwd_seg_avg] = row[Feature::fwd_len_mean];
  row[Feature::bwd_seg_avg] = row[Feature::bwd_len_mean];
  fill_bulk(row, f, Feature::fwd_bulk_bytes_avg, Feature::fwd_bulk_pkts_avg, Feature::fwd_bulk_rate_avg);
  fill_bulk(row, b, Feature::bwd_bulk_bytes_avg, Feature::bwd_bulk_pkts_avg, Feature::bwd_bulk_rate_avg);
  fill_subflow(row, r, real(std::uint64_t{r.long_gaps} + 1), false);
  row[Feature::fwd_init_win] = tcp && f.has_window ? f.window : -1;
  row[Feature::bwd_init_win] = tcp && b.has_window ? b.window : -1;
  row[Feature::fwd_act_data_pkts] = f.data_packets;
  row[Feature::bwd_act_data_pkts] = b.data_packets;
  row[Feature::fwd_seg_min] = f.packets == 0 ? 0 : f.header_bytes_min;
  row[Feature::bwd_seg_min] = b.packets == 0 ? 0 : b.header_bytes_min;
  DurationSums active = r.active;
  const auto end_us = static_cast<std::uint32_t>(std::min<std::int64_t>(r.duration_us(), UINT32_MAX));
  if (end_us > r.active_start_us) active.add(end_us - r.active_start_us);
  row.spread_at(Feature::active_mean, spread(active));
  row.spread_at(Feature::idle_mean, spread(r.idle));
  const bool icmp = is_icmp(r.tuple.protocol);
  row[Feature::icmp_code] = icmp ? r.icmp_code : -1;
  row[Feature::icmp_type] = icmp ? r.icmp_type : -1;
  row[Feature::fwd_retrans] = f.retransmissions;
  row[Feature::bwd_retrans] = b.retransmissions;
  row[Feature::total_retrans] = real(std::uint64_t{f.retransmissions} + b.retransmissions);
  row[Feature::connection_time] = static_cast<double>(r.last_us - r.connection_start_us);
  row[Feature::zero_duration] = r.duration_us() == 0;
  row[Feature::fwd_ip_bytes] = real(f.ip_bytes);
  row[Feature::bwd_ip_bytes] = real(b.ip_bytes);
  row[Feature::fwd_frame_bytes] = real(f.frame_bytes);
  row[Feature::bwd_frame_bytes] = real(b.frame_bytes);
}

// Rates over a duration of 0 (B25).
void divide_by_zero_as_java(const FlowRecord& r, Row& row) {
  if (r.duration_us() != 0) return;
  row[Feature::flow_bytes_s] = row[Feature::fwd_bytes] + row[Feature::bwd_bytes] > 0 ? kInfinity : kNaN;
  row[Feature::flow_pkts_s] = kInfinity;
}

void compute_published(const FlowRecord& r, Row& row) {
  const auto &f = r.forward(), &b = r.reverse();
  const Sums all = sums_of(r);
  const std::uint64_t first = r.first_payload_bytes;
  const bool tcp = r.tuple.protocol == net::protocol::tcp;
  divide_by_zero_as_java(r, row);
  // The first packet enters the length statistics twice (B4, B5).
  row[Feature::len_mean] = real(all.bytes + first) / real(all.packets + 1);
  row[Feature::len_var] = variance(all.packets + 1, all.bytes + first, all.squared + first * first);
  row[Feature::len_std] = std::sqrt(row[Feature::len_var]);
  row[Feature::pkt_size_avg] = real(all.bytes + first) / real(all.packets);
  row[Feature::down_up_ratio] = f.packets == 0 ? 0 : b.packets / f.packets;  // B6
  // Flags of the first packet only (B2, B3), under one another's headings (B1).
  using namespace net::tcp_flag;
  const auto has = [&](std::uint8_t flag) { return tcp && (r.first_flags & flag) ? 1.0 : 0.0; };
  row[Feature::fwd_psh] = has(psh);
  row[Feature::fwd_urg] = has(urg);
  row[Feature::bwd_psh] = row[Feature::bwd_urg] = 0;
  row[Feature::fin_cnt] = has(rst);
  row[Feature::syn_cnt] = has(psh);
  row[Feature::rst_cnt] = has(ece);
  row[Feature::psh_cnt] = has(syn);
  row[Feature::ack_cnt] = has(ack);
  row[Feature::urg_cnt] = has(fin);
  row[Feature::cwr_cnt] = has(urg);
  row[Feature::ece_cnt] = has(cwr);
  for (const Feature dead :
       {Feature::fwd_bulk_bytes_avg, Feature::fwd_bulk_pkts_avg, Feature::fwd_bulk_rate_avg,
        Feature::bwd_bulk_bytes_avg, Feature::bwd_bulk_pkts_avg, Feature::bwd_bulk_rate_avg}) {
    row[dead] = 0;  // B7
  }
  fill_subflow(row, r, 1, false);  // B10
  // B23. The first packet of a published flow always counts as forward.
  row[Feature::fwd_act_data_pkts] = f.data_packets - (first > 0 ? 1 : 0);
  row.spread_at(Feature::active_mean, spread(r.active));  // B15
}

void compute_fork(Profile profile, const FlowRecord& r, Row& row) {
  const auto &f = r.forward(), &b = r.reverse();
  const bool tcp = r.tuple.protocol == net::protocol::tcp;
  const bool cns = profile == Profile::cns2022;
  row.spread_at(Feature::active_mean, spread(r.active));  // B15
  const bool no_window = !tcp || r.first_is_reverse;      // B21
  row[Feature::fwd_init_win] = no_window || !f.has_window ? 0 : f.window;
  row[Feature::bwd_init_win] = tcp && b.has_window ? b.window : 0;
  if (r.first_is_reverse) row[Feature::fwd_seg_min] = 0;
  if (!r.first_is_reverse) row[Feature::bwd_seg_min] = 0;  // B22
  if (!tcp) row[Feature::total_retrans] = row[Feature::fwd_retrans] = row[Feature::bwd_retrans] = 0;
  if (cns) {
    divide_by_zero_as_java(r, row);
    if (r.packets() == 1) row.spread_at(Feature::flow_iat_mean, {kNaN, kNaN, kNaN, kNaN});
    fill_subflow(row, r, real(r.packets()), true);  // B11
    for (const Feature bulk :
         {Feature::fwd_bulk_bytes_avg, Feature::fwd_bulk_pkts_avg, Feature::fwd_bulk_rate_avg,
          Feature::bwd_bulk_bytes_avg, Feature::bwd_bulk_pkts_avg, Feature::bwd_bulk_rate_avg}) {
      row[bulk] = std::trunc(row[bulk]);
    }
    if (!r.first_is_reverse && r.first_payload_bytes > 0) row[Feature::fwd_act_data_pkts] -= 1;  // B23
    // The opening packet's FIN and RST are in the totals, not in the directions (B37).
    row[Feature::fin_cnt] += tcp && (r.first_flags & net::tcp_flag::fin) ? 1 : 0;
    row[Feature::rst_cnt] += tcp && (r.first_flags & net::tcp_flag::rst) ? 1 : 0;
    if (!tcp) row[Feature::connection_time] = 0;
  } else {
    if (r.duration_us() == 0) row[Feature::flow_bytes_s] = row[Feature::flow_pkts_s] = -1;
    fill_subflow(row, r, r.long_gaps, false);  // B12
    if (!tcp && r.tuple.protocol != net::protocol::udp) row[Feature::connection_time] = 0;
  }
}

}  // namespace

void compute_features(Profile profile, const FlowRecord& record, FeatureRow& values) {
  Row row(values);
  compute_native(record, row);
  switch (profile) {
    case Profile::native:
    case Profile::nsl_kdd:
      return;
    case Profile::cic2017:
    case Profile::cic2018:
      compute_published(record, row);
      if (record.tuple.protocol != net::protocol::tcp) {
        row[Feature::fwd_init_win] = row[Feature::bwd_init_win] = -1;
      }
      return;
    case Profile::cns2022:
    case Profile::cic_fixed:
      compute_fork(profile, record, row);
      return;
  }
}

}  // namespace nidus::flow
