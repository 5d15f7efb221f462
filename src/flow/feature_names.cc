#include <algorithm>
#include <array>
#include <cctype>
#include <unordered_map>

#include "base/check.h"
#include "base/text.h"
#include "flow/features.h"

namespace nidus::flow {
namespace {

// One line of code in the list, one row in docs/features.md, which is generated from it.
constexpr FeatureInfo kInfo[] = {
    {Feature::src_port, "src_port", "number", "port of the initiator; ICMP: its type", "Source Port",
     "Src Port", "Src Port"},
    {Feature::dst_port, "dst_port", "number",
     "port of the responder; ICMP: the answering type, or the code of a one-way message", "Destination Port",
     "Dst Port", "Dst Port"},
    {Feature::protocol, "protocol", "number", "IANA protocol number", "Protocol", "Protocol", "Protocol"},
    {Feature::flow_duration, "flow_duration", "us", "last packet minus first, both directions", "10066000",
     "10076000", "10086000"},
    {Feature::fwd_pkts, "fwd_pkts", "packets", "packets forward", "6", "6", "7"},
    {Feature::bwd_pkts, "bwd_pkts", "packets", "packets in reverse", "9", "10", "10"},
    {Feature::fwd_bytes, "fwd_bytes", "bytes", "payload forward", "150", "150", "150"},
    {Feature::bwd_bytes, "bwd_bytes", "bytes", "payload in reverse", "6200", "6200", "6200"},
    {Feature::fwd_len_max, "fwd_len_max", "bytes", "largest payload of a forward packet; 0 if there is none",
     "100", "100", "100"},
    {Feature::fwd_len_min, "fwd_len_min", "bytes", "smallest payload of a forward packet; 0 if there is none",
     "Fwd Packet Length Min", "Fwd Pkt Len Min", "Fwd Packet Length Min"},
    {Feature::fwd_len_mean, "fwd_len_mean", "bytes", "mean payload of the forward packets", "25", "25",
     "21.4285714"},
    {Feature::fwd_len_std, "fwd_len_std", "bytes",
     "sample deviation of the payload of the forward packets; 0 for one packet", "41.8330013", "41.8330013",
     "39.3397896"},
    {Feature::bwd_len_max, "bwd_len_max", "bytes", "largest payload of a reverse packet; 0 if there is none",
     "1400", "1400", "1400"},
    {Feature::bwd_len_min, "bwd_len_min", "bytes", "smallest payload of a reverse packet; 0 if there is none",
     "Bwd Packet Length Min", "Bwd Pkt Len Min", "Bwd Packet Length Min"},
    {Feature::bwd_len_mean, "bwd_len_mean", "bytes", "mean payload of the reverse packets", "688.888889",
     "620", "620"},
    {Feature::bwd_len_std, "bwd_len_std", "bytes",
     "sample deviation of the payload of the reverse packets; 0 for one packet", "686.375343", "682.804674",
     "682.804674"},
    {Feature::flow_bytes_s, "flow_bytes_s", "bytes/s",
     "payload of both directions over the duration; 0 if that is 0", "630.836479", "630.210401",
     "629.585564"},
    {Feature::flow_pkts_s, "flow_pkts_s", "packets/s",
     "packets of both directions over the duration; 0 if that is 0", "1.49016491", "1.58793172",
     "1.68550466"},
    {Feature::flow_iat_mean, "flow_iat_mean", "us",
     "mean gap between consecutive packets of either direction", "719000", "671733.333", "630375"},
    {Feature::flow_iat_std, "flow_iat_std", "us", "sample deviation of those gaps", "1976071.32",
     "1912969.29", "1855493.53"},
    {Feature::flow_iat_max, "flow_iat_max", "us", "longest of those gaps", "7000000", "7000000", "7000000"},
    {Feature::flow_iat_min, "flow_iat_min", "us", "shortest of those gaps", "1000", "1000", "1000"},
    {Feature::fwd_iat_total, "fwd_iat_total", "us", "last minus first forward packet", "10066000", "10066000",
     "10086000"},
    {Feature::fwd_iat_mean, "fwd_iat_mean", "us",
     "mean gap between forward packets; 0 below two packets, and so the next three", "2013200", "2013200",
     "1681000"},
    {Feature::fwd_iat_std, "fwd_iat_std", "us", "sample deviation of the gaps between forward packets",
     "3082878.31", "3082878.31", "2874969.91"},
    {Feature::fwd_iat_max, "fwd_iat_max", "us", "longest gap between forward packets", "7020000", "7020000",
     "7020000"},
    {Feature::fwd_iat_min, "fwd_iat_min", "us", "shortest gap between forward packets", "1000", "1000",
     "1000"},
    {Feature::bwd_iat_total, "bwd_iat_total", "us", "last minus first reverse packet", "10046000", "10066000",
     "10066000"},
    {Feature::bwd_iat_mean, "bwd_iat_mean", "us",
     "mean gap between reverse packets; 0 below two packets, and so the next three", "1255750", "1118444.44",
     "1118444.44"},
    {Feature::bwd_iat_std, "bwd_iat_std", "us", "sample deviation of the gaps between reverse packets",
     "2549666.13", "2420304.33", "2420304.33"},
    {Feature::bwd_iat_max, "bwd_iat_max", "us", "longest gap between reverse packets", "7000000", "7000000",
     "7000000"},
    {Feature::bwd_iat_min, "bwd_iat_min", "us", "shortest gap between reverse packets", "1000", "1000",
     "1000"},
    {Feature::fwd_psh, "fwd_psh", "packets", "forward packets with PSH", "0", "0", "2"},
    {Feature::bwd_psh, "bwd_psh", "packets", "reverse packets with PSH", "0", "0", "2"},
    {Feature::fwd_urg, "fwd_urg", "packets", "forward packets with URG", "Fwd URG Flags", "Fwd URG Flags",
     "Fwd URG Flags"},
    {Feature::bwd_urg, "bwd_urg", "packets", "reverse packets with URG", "Bwd URG Flags", "Bwd URG Flags",
     "Bwd URG Flags"},
    {Feature::fwd_rst, "fwd_rst", "packets", "forward packets with RST", "", "", "Fwd RST Flags"},
    {Feature::bwd_rst, "bwd_rst", "packets", "reverse packets with RST", "", "", "Bwd RST Flags"},
    {Feature::fwd_hdr_bytes, "fwd_hdr_bytes", "bytes", "transport headers of the forward packets", "200",
     "200", "232"},
    {Feature::bwd_hdr_bytes, "bwd_hdr_bytes", "bytes", "transport headers of the reverse packets", "296",
     "328", "328"},
    {Feature::fwd_pkts_s, "fwd_pkts_s", "packets/s", "forward packets over the duration; 0 if that is 0",
     "0.596065965", "0.595474395", "0.694031331"},
    {Feature::bwd_pkts_s, "bwd_pkts_s", "packets/s", "reverse packets over the duration; 0 if that is 0",
     "0.894098947", "0.992457324", "0.991473329"},
    {Feature::len_min, "len_min", "bytes", "smallest payload of a packet of either direction",
     "Min Packet Length", "Pkt Len Min", "Packet Length Min"},
    {Feature::len_max, "len_max", "bytes", "largest payload", "1400", "1400", "1400"},
    {Feature::len_mean, "len_mean", "bytes", "mean payload", "396.875", "373.529412", "373.529412"},
    {Feature::len_std, "len_std", "bytes", "sample deviation of the payload", "607.307926", "595.849616",
     "595.849616"},
    {Feature::len_var, "len_var", "bytes2", "sample variance of the payload", "368822.917", "355036.765",
     "355036.765"},
    {Feature::fin_cnt, "fin_cnt", "packets", "packets with FIN", "0", "2", "2"},
    {Feature::syn_cnt, "syn_cnt", "packets", "packets with SYN", "0", "2", "2"},
    {Feature::rst_cnt, "rst_cnt", "packets", "packets with RST", "RST Flag Count", "RST Flag Cnt",
     "RST Flag Count"},
    {Feature::psh_cnt, "psh_cnt", "packets", "packets with PSH", "1", "4", "4"},
    {Feature::ack_cnt, "ack_cnt", "packets", "packets with ACK", "0", "15", "16"},
    {Feature::urg_cnt, "urg_cnt", "packets", "packets with URG", "URG Flag Count", "URG Flag Cnt",
     "URG Flag Count"},
    {Feature::cwr_cnt, "cwr_cnt", "packets", "packets with CWR", "CWE Flag Count", "CWE Flag Count",
     "CWR Flag Count"},
    {Feature::ece_cnt, "ece_cnt", "packets", "packets with ECE", "ECE Flag Count", "ECE Flag Cnt",
     "ECE Flag Count"},
    {Feature::down_up_ratio, "down_up_ratio", "ratio",
     "reverse packets over forward packets; 0 if there is none forward", "1", "1", "1.42857143"},
    {Feature::pkt_size_avg, "pkt_size_avg", "bytes", "payload over packets; the same as len_mean",
     "423.333333", "396.875", "373.529412"},
    {Feature::fwd_seg_avg, "fwd_seg_avg", "bytes", "payload over packets, forward; the same as fwd_len_mean",
     "25", "25", "21.4285714"},
    {Feature::bwd_seg_avg, "bwd_seg_avg", "bytes", "payload over packets, reverse; the same as bwd_len_mean",
     "688.888889", "620", "620"},
    {Feature::fwd_bulk_bytes_avg, "fwd_bulk_bytes_avg", "bytes",
     "mean payload of a forward bulk: at least four packets with payload, no gap over 1 s, none from the "
     "other side between",
     "Fwd Avg Bytes/Bulk", "Fwd Byts/b Avg", "Fwd Bytes/Bulk Avg"},
    {Feature::fwd_bulk_pkts_avg, "fwd_bulk_pkts_avg", "packets", "mean packets of a forward bulk",
     "Fwd Avg Packets/Bulk", "Fwd Pkts/b Avg", "Fwd Packet/Bulk Avg"},
    {Feature::fwd_bulk_rate_avg, "fwd_bulk_rate_avg", "bytes/s",
     "payload of the forward bulks over the time they took", "Fwd Avg Bulk Rate", "Fwd Blk Rate Avg",
     "Fwd Bulk Rate Avg"},
    {Feature::bwd_bulk_bytes_avg, "bwd_bulk_bytes_avg", "bytes",
     "mean payload of a reverse bulk: at least four packets with payload, no gap over 1 s, none from the "
     "other side between",
     "0", "6100", "6000"},
    {Feature::bwd_bulk_pkts_avg, "bwd_bulk_pkts_avg", "packets", "mean packets of a reverse bulk", "0", "6",
     "5"},
    {Feature::bwd_bulk_rate_avg, "bwd_bulk_rate_avg", "bytes/s",
     "payload of the reverse bulks over the time they took", "0", "406666", "1500000"},
    {Feature::subflow_fwd_pkts, "subflow_fwd_pkts", "packets",
     "forward packets over subflows; a gap over 1 s begins a new subflow", "6", "3", "0"},
    {Feature::subflow_fwd_bytes, "subflow_fwd_bytes", "bytes", "forward payload over subflows", "150", "75",
     "8"},
    {Feature::subflow_bwd_pkts, "subflow_bwd_pkts", "packets",
     "reverse packets over subflows; a gap over 1 s begins a new subflow", "9", "5", "0"},
    {Feature::subflow_bwd_bytes, "subflow_bwd_bytes", "bytes", "reverse payload over subflows", "6200",
     "3100", "364"},
    {Feature::fwd_init_win, "fwd_init_win", "number",
     "TCP window, unscaled, of the first forward packet; -1 if there is none", "64240", "64240", "64240"},
    {Feature::bwd_init_win, "bwd_init_win", "number",
     "TCP window, unscaled, of the first reverse packet; -1 if there is none", "509", "509", "509"},
    {Feature::fwd_act_data_pkts, "fwd_act_data_pkts", "packets", "forward packets with payload", "2", "2",
     "2"},
    {Feature::bwd_act_data_pkts, "bwd_act_data_pkts", "packets", "reverse packets with payload", "", "",
     "Bwd Act Data Pkts"},
    {Feature::fwd_seg_min, "fwd_seg_min", "bytes",
     "shortest transport header of a forward packet; 0 if there is none", "32", "32", "32"},
    {Feature::bwd_seg_min, "bwd_seg_min", "bytes",
     "shortest transport header of a reverse packet; 0 if there is none", "", "", "Bwd Seg Size Min"},
    {Feature::active_mean, "active_mean", "us",
     "mean: time between pauses of more than 5 s, the last such period included; 0 if there was none",
     "3056000", "3056000", "3056000"},
    {Feature::active_std, "active_std", "us",
     "sample deviation of: time between pauses of more than 5 s, the last such period included; 0 if there "
     "was none",
     "0", "0", "0"},
    {Feature::active_max, "active_max", "us",
     "longest: time between pauses of more than 5 s, the last such period included; 0 if there was none",
     "3056000", "3056000", "3056000"},
    {Feature::active_min, "active_min", "us",
     "shortest: time between pauses of more than 5 s, the last such period included; 0 if there was none",
     "3056000", "3056000", "3056000"},
    {Feature::idle_mean, "idle_mean", "us", "mean: pauses of more than 5 s; 0 if there was none", "7000000",
     "7000000", "7000000"},
    {Feature::idle_std, "idle_std", "us", "sample deviation of: pauses of more than 5 s; 0 if there was none",
     "Idle Std", "Idle Std", "Idle Std"},
    {Feature::idle_max, "idle_max", "us", "longest: pauses of more than 5 s; 0 if there was none", "7000000",
     "7000000", "7000000"},
    {Feature::idle_min, "idle_min", "us", "shortest: pauses of more than 5 s; 0 if there was none", "7000000",
     "7000000", "7000000"},
    {Feature::icmp_code, "icmp_code", "number", "of the first packet; -1 if not ICMP", "", "", "ICMP Code"},
    {Feature::icmp_type, "icmp_type", "number", "of the first packet; -1 if not ICMP", "", "", "ICMP Type"},
    {Feature::fwd_retrans, "fwd_retrans", "packets",
     "forward TCP segments that end at or below the highest sequence number seen, keep-alives excepted", "",
     "", "Fwd TCP Retrans. Count"},
    {Feature::bwd_retrans, "bwd_retrans", "packets",
     "reverse TCP segments that end at or below the highest sequence number seen, keep-alives excepted", "",
     "", "Bwd TCP Retrans. Count"},
    {Feature::total_retrans, "total_retrans", "packets", "retransmissions of both directions", "", "",
     "Total TCP Retrans. Count"},
    {Feature::connection_time, "connection_time", "us",
     "since the first packet of the connection, earlier flows of it that a timeout cut included", "", "",
     "Total Connection Flow Time"},
    {Feature::zero_duration, "zero_duration", "0/1", "1 if the duration is 0, and rates therefore are", "",
     "", ""},
    {Feature::fwd_ip_bytes, "fwd_ip_bytes", "bytes", "IP datagrams of the forward packets, headers included",
     "", "", ""},
    {Feature::bwd_ip_bytes, "bwd_ip_bytes", "bytes", "IP datagrams of the reverse packets, headers included",
     "", "", ""},
    {Feature::fwd_frame_bytes, "fwd_frame_bytes", "bytes",
     "frames of the forward packets as they were on the wire", "", "", ""},
    {Feature::bwd_frame_bytes, "bwd_frame_bytes", "bytes",
     "frames of the reverse packets as they were on the wire", "", "", ""},
};
static_assert(std::size(kInfo) == kFeatures);

std::string snake_case(std::string_view name) {
  std::string out = to_lower(name);
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c == ' ' || c == '/'; }, '_');
  return out;
}

const std::unordered_map<std::string, Feature>& by_name() {
  static const auto* const kMap = [] {
    auto* map = new std::unordered_map<std::string, Feature>;
    for (const FeatureInfo& info : kInfo) {
      for (const auto& name : {to_lower(info.key), to_lower(info.cic2017), to_lower(info.cic2018),
                               to_lower(info.cic2020), snake_case(info.cic2018)}) {
        if (!name.empty()) map->emplace(name, info.feature);
      }
    }
    // Spellings that no tool's table has as such.
    map->emplace("fwd header length.1", Feature::fwd_hdr_bytes);
    map->emplace("total tcp flow time", Feature::connection_time);
    map->emplace("destination_port", Feature::dst_port);
    map->emplace("source_port", Feature::src_port);
    map->emplace("cwr_flag_count", Feature::cwr_cnt);
    map->emplace("cwr flag cnt", Feature::cwr_cnt);
    return map;
  }();
  return *kMap;
}

// What a profile's files hold and in which order: the published ones have the numbered columns of the
// specification, the corrected ones more.
std::vector<Feature> published_order() {
  std::vector<Feature> order;
  for (const FeatureInfo& info : kInfo) {
    if (!info.cic2018.empty()) order.push_back(info.feature);
  }
  return order;
}

void insert_after(std::vector<Feature>& order, Feature place, std::initializer_list<Feature> what) {
  const auto at = std::find(order.begin(), order.end(), place);
  CHECK(at != order.end());
  order.insert(at + 1, what);
}

std::vector<Feature> corrected_order(bool fixed) {
  std::vector<Feature> order = published_order();
  insert_after(order, Feature::bwd_urg, {Feature::fwd_rst, Feature::bwd_rst});
  insert_after(order, Feature::idle_min, {Feature::icmp_code, Feature::icmp_type});
  if (fixed) {
    insert_after(order, Feature::fwd_act_data_pkts, {Feature::bwd_act_data_pkts});
    insert_after(order, Feature::fwd_seg_min, {Feature::bwd_seg_min});
    insert_after(order, Feature::icmp_type,
                 {Feature::fwd_retrans, Feature::bwd_retrans, Feature::total_retrans});
  }
  order.push_back(Feature::connection_time);
  return order;
}

}  // namespace

std::span<const FeatureInfo> features() { return kInfo; }

Naming naming_of(Profile profile) {
  switch (profile) {
    case Profile::native:
    case Profile::nsl_kdd:
      return Naming::canonical;
    case Profile::cic2017:
      return Naming::cic2017;
    case Profile::cic2018:
      return Naming::cic2018;
    case Profile::cns2022:
    case Profile::cic_fixed:
      return Naming::cic2020;
  }
  return Naming::canonical;
}

std::string feature_name(Feature feature, Naming naming) {
  const FeatureInfo& info = kInfo[static_cast<std::size_t>(feature)];
  switch (naming) {
    case Naming::canonical:
      return std::string(info.key);
    case Naming::cic2017:
      return std::string(info.cic2017);
    case Naming::cic2018:
      return std::string(info.cic2018);
    case Naming::cic2020:
      return std::string(info.cic2020);
    case Naming::python:
      return snake_case(info.cic2018);
  }
  return {};
}

std::optional<Feature> feature_from_name(std::string_view column) {
  const auto found = by_name().find(to_lower(trim(column)));
  if (found == by_name().end()) return std::nullopt;
  return found->second;
}

std::span<const Feature> features_of(Profile profile) {
  static const std::vector<Feature> kPublished = published_order();
  static const std::vector<Feature> kCns = corrected_order(false);
  static const std::vector<Feature> kFixed = corrected_order(true);
  static const std::vector<Feature> kAll = [] {
    std::vector<Feature> all;
    for (const FeatureInfo& info : kInfo) all.push_back(info.feature);
    return all;
  }();
  switch (profile) {
    case Profile::cic2017:
    case Profile::cic2018:
      return kPublished;
    case Profile::cns2022:
      return kCns;
    case Profile::cic_fixed:
      return kFixed;
    case Profile::native:
    case Profile::nsl_kdd:
      return kAll;
  }
  return kAll;
}

}  // namespace nidus::flow
