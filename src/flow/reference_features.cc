#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "flow/reference_flow.h"

namespace nidus::flow::reference {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Statistics {
  double sum = 0, mean = 0, variance = 0, std = 0, max = 0, min = 0;
};

Statistics statistics(const std::vector<std::int64_t>& values) {
  Statistics s;
  if (values.empty()) return s;
  long double sum = 0;
  for (const auto v : values) sum += static_cast<long double>(v);
  const long double mean = sum / static_cast<long double>(values.size());
  long double squares = 0;
  for (const auto v : values)
    squares += (static_cast<long double>(v) - mean) * (static_cast<long double>(v) - mean);
  s.sum = static_cast<double>(sum);
  s.mean = static_cast<double>(mean);
  if (values.size() > 1)
    s.variance = static_cast<double>(squares / static_cast<long double>(values.size() - 1));
  s.std = std::sqrt(s.variance);
  s.max = static_cast<double>(*std::max_element(values.begin(), values.end()));
  s.min = static_cast<double>(*std::min_element(values.begin(), values.end()));
  return s;
}

double over(double a, double b) { return b == 0 ? 0 : a / b; }

struct Bulk {
  double bulks = 0, packets = 0, bytes = 0, duration = 0;
};

// 6.2
Bulk bulk_of(const Flow& flow, bool forward) {
  Bulk bulk;
  bool open = false;
  std::int64_t start = 0, last = 0, count = 0, size = 0;
  std::optional<std::int64_t> other_payload;
  for (const Seen& p : flow.packets) {
    if (p.forward != forward) {
      if (p.length > 0) other_payload = p.time;
      continue;
    }
    if (other_payload && *other_payload > start) open = false;
    if (p.length == 0) continue;
    if (!open || p.time - last > kSecond) {
      open = true;
      start = p.time;
      count = 1;
      size = p.length;
    } else {
      ++count;
      size += p.length;
      if (count == 4) {
        bulk.bulks += 1;
        bulk.packets += 4;
        bulk.bytes += static_cast<double>(size);
        bulk.duration += static_cast<double>(p.time - start);
      } else if (count > 4) {
        bulk.packets += 1;
        bulk.bytes += static_cast<double>(p.length);
        bulk.duration += static_cast<double>(p.time - last);
      }
    }
    last = p.time;
  }
  return bulk;
}

// 6.5
int retransmissions(const Flow& flow, bool forward) {
  int count = 0;
  std::optional<std::uint32_t> next;
  for (const Seen& p : flow.packets) {
    if (p.forward != forward || !p.has_tcp_header) continue;
    const auto length = static_cast<std::uint32_t>(p.length);
    const std::uint32_t end = p.sequence + length + (p.has(syn) ? 1 : 0) + (p.has(fin) ? 1 : 0);
    const bool beyond = !next || static_cast<std::int32_t>(end - *next) > 0;
    if (beyond) {
      next = end;
    } else if (length > 0) {
      const bool keep_alive = length == 1 && p.sequence == *next - 1;
      count += !keep_alive;
    }
  }
  return count;
}

class Computation {
 public:
  Computation(Profile profile, const Flow& flow, FeatureRow& row)
      : profile_(profile), flow_(flow), packets_(flow.packets), row_(row), tcp_(flow.protocol == 6) {
    for (const Seen& p : packets_) (p.forward ? forward_ : backward_).push_back(p);
    gaps_ = gaps_between(packets_);
    duration_ = packets_.back().time - packets_.front().time;
  }

  void run() {
    identity();
    lengths_and_rates();
    arrivals();
    flags();
    windows();
    bulks();
    subflows();
    activity();
    extras();
  }

 private:
  void set(Feature feature, double value) { row_[static_cast<std::size_t>(feature)] = value; }
  void set_flag(Feature feature, bool value) { set(feature, value ? 1 : 0); }

  static std::vector<std::int64_t> gaps_between(const std::vector<Seen>& packets) {
    std::vector<std::int64_t> gaps;
    for (std::size_t i = 1; i < packets.size(); ++i) gaps.push_back(packets[i].time - packets[i - 1].time);
    return gaps;
  }
  static std::vector<std::int64_t> lengths_of(const std::vector<Seen>& packets) {
    std::vector<std::int64_t> lengths;
    for (const Seen& p : packets) lengths.push_back(p.length);
    return lengths;
  }
  static double headers_of(const std::vector<Seen>& packets) {
    double sum = 0;
    for (const Seen& p : packets) sum += static_cast<double>(p.header);
    return sum;
  }
  static double shortest_header(const std::vector<Seen>& packets) {
    double shortest = packets.empty() ? 0 : kInfinity;
    for (const Seen& p : packets) shortest = std::min(shortest, static_cast<double>(p.header));
    return shortest;
  }
  static double with_payload(const std::vector<Seen>& packets) {
    return static_cast<double>(
        std::count_if(packets.begin(), packets.end(), [](const Seen& p) { return p.length >= 1; }));
  }
  static double with_flag(const std::vector<Seen>& packets, int flag) {
    return static_cast<double>(
        std::count_if(packets.begin(), packets.end(), [&](const Seen& p) { return p.has(flag); }));
  }

  void identity() {
    const auto port = [](int p) { return static_cast<double>(p >= kOneWay ? p - kOneWay : p); };
    set(Feature::src_port, port(flow_.source.port));
    set(Feature::dst_port, port(flow_.destination.port));
    set(Feature::protocol, flow_.protocol);
  }

  void lengths_and_rates() {
    const double n = static_cast<double>(packets_.size());
    const double nf = static_cast<double>(forward_.size()), nb = static_cast<double>(backward_.size());
    const Statistics f = statistics(lengths_of(forward_)), b = statistics(lengths_of(backward_));
    const Statistics all = statistics(lengths_of(packets_));
    const double seconds = static_cast<double>(duration_) / 1e6;
    set(Feature::flow_duration, static_cast<double>(duration_));
    set(Feature::fwd_pkts, nf);
    set(Feature::bwd_pkts, nb);
    set(Feature::fwd_bytes, f.sum);
    set(Feature::bwd_bytes, b.sum);
    set(Feature::fwd_len_max, f.max);
    set(Feature::fwd_len_min, f.min);
    set(Feature::fwd_len_mean, f.mean);
    set(Feature::fwd_len_std, f.std);
    set(Feature::bwd_len_max, b.max);
    set(Feature::bwd_len_min, b.min);
    set(Feature::bwd_len_mean, b.mean);
    set(Feature::bwd_len_std, b.std);
    double bytes_rate = over(all.sum, seconds), packets_rate = over(n, seconds);
    if (duration_ == 0) {
      if (published(profile_) || profile_ == Profile::cns2022) {
        bytes_rate = all.sum > 0 ? kInfinity : kNaN;
        packets_rate = kInfinity;
      } else if (profile_ == Profile::cic_fixed) {
        bytes_rate = packets_rate = -1;
      }
    }
    set(Feature::flow_bytes_s, bytes_rate);
    set(Feature::flow_pkts_s, packets_rate);
    set(Feature::fwd_pkts_s, over(nf, seconds));
    set(Feature::bwd_pkts_s, over(nb, seconds));
    set(Feature::fwd_hdr_bytes, headers_of(forward_));
    set(Feature::bwd_hdr_bytes, headers_of(backward_));
    set(Feature::len_min, all.min);
    set(Feature::len_max, all.max);
    auto entered = lengths_of(packets_);
    if (published(profile_)) entered.push_back(packets_.front().length);  // B4
    const Statistics e = statistics(entered);
    set(Feature::len_mean, e.mean);
    set(Feature::len_var, e.variance);
    set(Feature::len_std, e.std);
    set(Feature::pkt_size_avg, e.sum / n);  // B5
    const double down_up = over(nb, nf);
    set(Feature::down_up_ratio, published(profile_) ? std::floor(down_up) : down_up);  // B6
    set(Feature::fwd_seg_avg, f.mean);
    set(Feature::bwd_seg_avg, b.mean);
    const bool turned = fork(profile_) && flow_.first_is_backward();
    set(Feature::fwd_seg_min, turned ? 0 : shortest_header(forward_));  // B21
    const bool stuck = fork(profile_) && !flow_.first_is_backward();
    set(Feature::bwd_seg_min, stuck ? 0 : shortest_header(backward_));  // B22
    double act = with_payload(forward_);
    const bool first_missed = published(profile_) || profile_ == Profile::cns2022;  // B23
    if (first_missed && packets_.front().forward && packets_.front().length >= 1) act -= 1;
    set(Feature::fwd_act_data_pkts, act);
    set(Feature::bwd_act_data_pkts, with_payload(backward_));
  }

  void arrivals() {
    const Statistics all = statistics(gaps_);
    const bool undefined = profile_ == Profile::cns2022 && packets_.size() == 1;
    set(Feature::flow_iat_mean, undefined ? kNaN : all.mean);
    set(Feature::flow_iat_std, undefined ? kNaN : all.std);
    set(Feature::flow_iat_max, undefined ? kNaN : all.max);
    set(Feature::flow_iat_min, undefined ? kNaN : all.min);
    const Statistics f = statistics(gaps_between(forward_)), b = statistics(gaps_between(backward_));
    set(Feature::fwd_iat_total, f.sum);
    set(Feature::fwd_iat_mean, f.mean);
    set(Feature::fwd_iat_std, f.std);
    set(Feature::fwd_iat_max, f.max);
    set(Feature::fwd_iat_min, f.min);
    set(Feature::bwd_iat_total, b.sum);
    set(Feature::bwd_iat_mean, b.mean);
    set(Feature::bwd_iat_std, b.std);
    set(Feature::bwd_iat_max, b.max);
    set(Feature::bwd_iat_min, b.min);
  }

  void flags() {
    if (published(profile_)) {
      // Of the first packet, each under another's heading (5.3).
      const Seen& first = packets_.front();
      set_flag(Feature::fwd_psh, first.forward && first.has(psh));
      set_flag(Feature::fwd_urg, first.forward && first.has(urg));
      set(Feature::bwd_psh, 0);
      set(Feature::bwd_urg, 0);
      set_flag(Feature::fin_cnt, first.has(rst));
      set_flag(Feature::syn_cnt, first.has(psh));
      set_flag(Feature::rst_cnt, first.has(ece));
      set_flag(Feature::psh_cnt, first.has(syn));
      set_flag(Feature::ack_cnt, first.has(ack));
      set_flag(Feature::urg_cnt, first.has(fin));
      set_flag(Feature::cwr_cnt, first.has(urg));
      set_flag(Feature::ece_cnt, first.has(cwr));
      return;
    }
    set(Feature::fwd_psh, with_flag(forward_, psh));
    set(Feature::bwd_psh, with_flag(backward_, psh));
    set(Feature::fwd_urg, with_flag(forward_, urg));
    set(Feature::bwd_urg, with_flag(backward_, urg));
    const int missing = flow_.opening_rst_missing;
    set(Feature::fwd_rst, with_flag(forward_, rst) - (packets_.front().forward ? missing : 0));
    set(Feature::bwd_rst, with_flag(backward_, rst) - (packets_.front().forward ? 0 : missing));
    set(Feature::fin_cnt, with_flag(packets_, fin));
    set(Feature::syn_cnt, with_flag(packets_, syn));
    set(Feature::rst_cnt, with_flag(packets_, rst));
    set(Feature::psh_cnt, with_flag(packets_, psh));
    set(Feature::ack_cnt, with_flag(packets_, ack));
    set(Feature::urg_cnt, with_flag(packets_, urg));
    set(Feature::cwr_cnt, with_flag(packets_, cwr));
    set(Feature::ece_cnt, with_flag(packets_, ece));
  }

  void windows() {
    const auto first_with_header = [](const std::vector<Seen>& packets) {
      const auto found =
          std::find_if(packets.begin(), packets.end(), [](const Seen& p) { return p.has_tcp_header; });
      return found == packets.end() ? -1 : found->window;
    };
    double f = -1, b = -1;
    if (published(profile_)) {
      if (tcp_) f = packets_.front().window;
      if (tcp_ && !backward_.empty()) b = backward_.back().window;  // B20
    } else if (fork(profile_)) {
      f = b = 0;
      if (tcp_ && packets_.front().forward) f = packets_.front().window;
      if (tcp_ && profile_ == Profile::cns2022 && !backward_.empty()) b = backward_.back().window;
      if (tcp_ && profile_ == Profile::cic_fixed) {
        const auto found =
            std::find_if(backward_.begin(), backward_.end(), [](const Seen& p) { return p.window != 0; });
        if (found != backward_.end()) b = found->window;
      }
    } else if (tcp_) {
      f = first_with_header(forward_);
      b = first_with_header(backward_);
    }
    set(Feature::fwd_init_win, f);
    set(Feature::bwd_init_win, b);
  }

  void bulks() {
    const auto put = [&](bool forward, Feature bytes, Feature packets, Feature rate) {
      const Bulk bulk = published(profile_) ? Bulk() : bulk_of(flow_, forward);  // B7
      const auto shown = [&](double v) { return profile_ == Profile::cns2022 ? std::floor(v) : v; };
      set(bytes, shown(over(bulk.bytes, bulk.bulks)));
      set(packets, shown(over(bulk.packets, bulk.bulks)));
      set(rate, shown(over(bulk.bytes, bulk.duration / 1e6)));
    };
    put(true, Feature::fwd_bulk_bytes_avg, Feature::fwd_bulk_pkts_avg, Feature::fwd_bulk_rate_avg);
    put(false, Feature::bwd_bulk_bytes_avg, Feature::bwd_bulk_pkts_avg, Feature::bwd_bulk_rate_avg);
  }

  void subflows() {
    const double long_gaps = static_cast<double>(
        std::count_if(gaps_.begin(), gaps_.end(), [](std::int64_t g) { return g > kSecond; }));
    const auto share = [&](double total) {
      if (published(profile_)) return total;  // B10
      if (profile_ == Profile::cns2022) return std::floor(total / static_cast<double>(packets_.size()));
      if (profile_ == Profile::cic_fixed) return over(total, long_gaps);  // B12
      return total / (long_gaps + 1);
    };
    set(Feature::subflow_fwd_pkts, share(static_cast<double>(forward_.size())));
    set(Feature::subflow_fwd_bytes, share(statistics(lengths_of(forward_)).sum));
    set(Feature::subflow_bwd_pkts, share(static_cast<double>(backward_.size())));
    set(Feature::subflow_bwd_bytes, share(statistics(lengths_of(backward_)).sum));
  }

  // 6.3
  void activity() {
    std::vector<std::int64_t> active, idle;
    std::int64_t active_start = packets_.front().time, active_end = active_start;
    for (std::size_t i = 1; i < packets_.size(); ++i) {
      if (flow_.closed_by_first_fin && i + 1 == packets_.size()) break;  // B14
      const std::int64_t t = packets_[i].time;
      if (t - packets_[i - 1].time > 5 * kSecond) {
        if (active_end > active_start) active.push_back(active_end - active_start);
        idle.push_back(t - active_end);
        active_start = t;
      }
      active_end = t;
    }
    if (ours(profile_) && active_end > active_start) active.push_back(active_end - active_start);
    const Statistics a = statistics(active), i = statistics(idle);
    set(Feature::active_mean, a.mean);
    set(Feature::active_std, a.std);
    set(Feature::active_max, a.max);
    set(Feature::active_min, a.min);
    set(Feature::idle_mean, i.mean);
    set(Feature::idle_std, i.std);
    set(Feature::idle_max, i.max);
    set(Feature::idle_min, i.min);
  }

  void extras() {
    const bool icmp = flow_.protocol == 1 || flow_.protocol == 58;
    set(Feature::icmp_code, icmp ? packets_.front().icmp_code : -1);
    set(Feature::icmp_type, icmp ? packets_.front().icmp_type : -1);
    const bool repeats = profile_ == Profile::cic_fixed;
    const double f = repeats ? flow_.forward_repeats : retransmissions(flow_, true);
    const double b = repeats ? flow_.backward_repeats : retransmissions(flow_, false);
    set(Feature::fwd_retrans, f);
    set(Feature::bwd_retrans, b);
    set(Feature::total_retrans, f + b);
    double time = static_cast<double>(flow_.last() - flow_.connection_start);
    if (profile_ == Profile::cns2022 && !tcp_) time = 0;
    if (profile_ == Profile::cic_fixed && !tcp_ && flow_.protocol != 17) time = 0;
    set(Feature::connection_time, time);
    set_flag(Feature::zero_duration, duration_ == 0);
    double ip[2] = {}, frame[2] = {};
    for (const Seen& p : packets_) {
      ip[p.forward ? 0 : 1] += static_cast<double>(p.ip_bytes);
      frame[p.forward ? 0 : 1] += static_cast<double>(p.frame_bytes);
    }
    set(Feature::fwd_ip_bytes, ip[0]);
    set(Feature::bwd_ip_bytes, ip[1]);
    set(Feature::fwd_frame_bytes, frame[0]);
    set(Feature::bwd_frame_bytes, frame[1]);
  }

  Profile profile_;
  const Flow& flow_;
  const std::vector<Seen>& packets_;
  FeatureRow& row_;
  bool tcp_;
  std::vector<Seen> forward_, backward_;
  std::vector<std::int64_t> gaps_;
  std::int64_t duration_ = 0;
};

}  // namespace

void compute(Profile profile, const Flow& flow, FeatureRow& row) { Computation(profile, flow, row).run(); }

}  // namespace nidus::flow::reference
