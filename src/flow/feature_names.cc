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
    {Feature::flow_duration, "flow_duration", "us", "last packet minus first, both directions",
     "Flow Duration", "Flow Duration", "Flow Duration"},
    {Feature::fwd_pkts, "fwd_pkts", "packets", "packets forward", "Total Fwd Packets", "Tot Fwd Pkts",
     "Total Fwd Packet"},
    {Feature::bwd_pkts, "bwd_pkts", "packets", "packets in reverse", "Total Backward Packets", "Tot Bwd Pkts",
     "Total Bwd packets"},
    {Feature::fwd_bytes, "fwd_bytes", "bytes", "payload forward", "Total Length of Fwd Packets",
     "TotLen Fwd Pkts", "Total Length of Fwd Packet"},
    {Feature::bwd_bytes, "bwd_bytes", "bytes", "payload in reverse", "Total Length of Bwd Packets",
     "TotLen Bwd Pkts", "Total Length of Bwd Packet"},
    {Feature::fwd_len_max, "fwd_len_max", "bytes", "largest payload of a forward packet; 0 if there is none",
     "Fwd Packet Length Max", "Fwd Pkt Len Max", "Fwd Packet Length Max"},
    {Feature::fwd_len_min, "fwd_len_min", "bytes", "smallest payload of a forward packet; 0 if there is none",
     "Fwd Packet Length Min", "Fwd Pkt Len Min", "Fwd Packet Length Min"},
    {Feature::fwd_len_mean, "fwd_len_mean", "bytes", "mean payload of the forward packets",
     "Fwd Packet Length Mean", "Fwd Pkt Len Mean", "Fwd Packet Length Mean"},
    {Feature::fwd_len_std, "fwd_len_std", "bytes",
     "sample deviation of the payload of the forward packets; 0 for one packet", "Fwd Packet Length Std",
     "Fwd Pkt Len Std", "Fwd Packet Length Std"},
    {Feature::bwd_len_max, "bwd_len_max", "bytes", "largest payload of a reverse packet; 0 if there is none",
     "Bwd Packet Length Max", "Bwd Pkt Len Max", "Bwd Packet Length Max"},
    {Feature::bwd_len_min, "bwd_len_min", "bytes", "smallest payload of a reverse packet; 0 if there is none",
     "Bwd Packet Length Min", "Bwd Pkt Len Min", "Bwd Packet Length Min"},
    {Feature::bwd_len_mean, "bwd_len_mean", "bytes", "mean payload of the reverse packets",
     "Bwd Packet Length Mean", "Bwd Pkt Len Mean", "Bwd Packet Length Mean"},
    {Feature::bwd_len_std, "bwd_len_std", "bytes",
     "sample deviation of the payload of the reverse packets; 0 for one packet", "Bwd Packet Length Std",
     "Bwd Pkt Len Std", "Bwd Packet Length Std"},
    {Feature::flow_bytes_s, "flow_bytes_s", "bytes/s",
     "payload of both directions over the duration; 0 if that is 0", "Flow Bytes/s", "Flow Byts/s",
     "Flow Bytes/s"},
    {Feature::flow_pkts_s, "flow_pkts_s", "packets/s",
     "packets of both directions over the duration; 0 if that is 0", "Flow Packets/s", "Flow Pkts/s",
     "Flow Packets/s"},
    {Feature::flow_iat_mean, "flow_iat_mean", "us",
     "mean gap between consecutive packets of either direction", "Flow IAT Mean", "Flow IAT Mean",
     "Flow IAT Mean"},
    {Feature::flow_iat_std, "flow_iat_std", "us", "sample deviation of those gaps", "Flow IAT Std",
     "Flow IAT Std", "Flow IAT Std"},
    {Feature::flow_iat_max, "flow_iat_max", "us", "longest of those gaps", "Flow IAT Max", "Flow IAT Max",
     "Flow IAT Max"},
    {Feature::flow_iat_min, "flow_iat_min", "us", "shortest of those gaps", "Flow IAT Min", "Flow IAT Min",
     "Flow IAT Min"},
    {Feature::fwd_iat_total, "fwd_iat_total", "us", "last minus first forward packet", "Fwd IAT Total",
     "Fwd IAT Tot", "Fwd IAT Total"},
    {Feature::fwd_iat_mean, "fwd_iat_mean", "us",
     "mean gap between forward packets; 0 below two packets, and so the next three", "Fwd IAT Mean",
     "Fwd IAT Mean", "Fwd IAT Mean"},
    {Feature::fwd_iat_std, "fwd_iat_std", "us", "sample deviation of the gaps between forward packets",
     "Fwd IAT Std", "Fwd IAT Std", "Fwd IAT Std"},
    {Feature::fwd_iat_max, "fwd_iat_max", "us", "longest gap between forward packets", "Fwd IAT Max",
     "Fwd IAT Max", "Fwd IAT Max"},
    {Feature::fwd_iat_min, "fwd_iat_min", "us", "shortest gap between forward packets", "Fwd IAT Min",
     "Fwd IAT Min", "Fwd IAT Min"},
    {Feature::bwd_iat_total, "bwd_iat_total", "us", "last minus first reverse packet", "Bwd IAT Total",
     "Bwd IAT Tot", "Bwd IAT Total"},
    {Feature::bwd_iat_mean, "bwd_iat_mean", "us",
     "mean gap between reverse packets; 0 below two packets, and so the next three", "Bwd IAT Mean",
     "Bwd IAT Mean", "Bwd IAT Mean"},
    {Feature::bwd_iat_std, "bwd_iat_std", "us", "sample deviation of the gaps between reverse packets",
     "Bwd IAT Std", "Bwd IAT Std", "Bwd IAT Std"},
    {Feature::bwd_iat_max, "bwd_iat_max", "us", "longest gap between reverse packets", "Bwd IAT Max",
     "Bwd IAT Max", "Bwd IAT Max"},
    {Feature::bwd_iat_min, "bwd_iat_min", "us", "shortest gap between reverse packets", "Bwd IAT Min",
     "Bwd IAT Min", "Bwd IAT Min"},
    {Feature::fwd_psh, "fwd_psh", "packets", "forward packets with PSH", "Fwd PSH Flags", "Fwd PSH Flags",
     "Fwd PSH Flags"},
    {Feature::bwd_psh, "bwd_psh", "packets", "reverse packets with PSH", "Bwd PSH Flags", "Bwd PSH Flags",
     "Bwd PSH Flags"},
    {Feature::fwd_urg, "fwd_urg", "packets", "forward packets with URG", "Fwd URG Flags", "Fwd URG Flags",
     "Fwd URG Flags"},
    {Feature::bwd_urg, "bwd_urg", "packets", "reverse packets with URG", "Bwd URG Flags", "Bwd URG Flags",
     "Bwd URG Flags"},
    {Feature::fwd_rst, "fwd_rst", "packets", "forward packets with RST", "", "", "Fwd RST Flags"},
    {Feature::bwd_rst, "bwd_rst", "packets", "reverse packets with RST", "", "", "Bwd RST Flags"},
    {Feature::fwd_hdr_bytes, "fwd_hdr_bytes", "bytes", "transport headers of the forward packets",
     "Fwd Header Length", "Fwd Header Len", "Fwd Header Length"},
    {Feature::bwd_hdr_bytes, "bwd_hdr_bytes", "bytes", "transport headers of the reverse packets",
     "Bwd Header Length", "Bwd Header Len", "Bwd Header Length"},
    {Feature::fwd_pkts_s, "fwd_pkts_s", "packets/s", "forward packets over the duration; 0 if that is 0",
     "Fwd Packets/s", "Fwd Pkts/s", "Fwd Packets/s"},
    {Feature::bwd_pkts_s, "bwd_pkts_s", "packets/s", "reverse packets over the duration; 0 if that is 0",
     "Bwd Packets/s", "Bwd Pkts/s", "Bwd Packets/s"},
    {Feature::len_min, "len_min", "bytes", "smallest payload of a packet of either direction",
     "Min Packet Length", "Pkt Len Min", "Packet Length Min"},
    {Feature::len_max, "len_max", "bytes", "largest payload", "Max Packet Length", "Pkt Len Max",
     "Packet Length Max"},
    {Feature::len_mean, "len_mean", "bytes", "mean payload", "Packet Length Mean", "Pkt Len Mean",
     "Packet Length Mean"},
    {Feature::len_std, "len_std", "bytes", "sample deviation of the payload", "Packet Length Std",
     "Pkt Len Std", "Packet Length Std"},
    {Feature::len_var, "len_var", "bytes2", "sample variance of the payload", "Packet Length Variance",
     "Pkt Len Var", "Packet Length Variance"},
    {Feature::fin_cnt, "fin_cnt", "packets", "packets with FIN", "FIN Flag Count", "FIN Flag Cnt",
     "FIN Flag Count"},
    {Feature::syn_cnt, "syn_cnt", "packets", "packets with SYN", "SYN Flag Count", "SYN Flag Cnt",
     "SYN Flag Count"},
    {Feature::rst_cnt, "rst_cnt", "packets", "packets with RST", "RST Flag Count", "RST Flag Cnt",
     "RST Flag Count"},
    {Feature::psh_cnt, "psh_cnt", "packets", "packets with PSH", "PSH Flag Count", "PSH Flag Cnt",
     "PSH Flag Count"},
    {Feature::ack_cnt, "ack_cnt", "packets", "packets with ACK", "ACK Flag Count", "ACK Flag Cnt",
     "ACK Flag Count"},
    {Feature::urg_cnt, "urg_cnt", "packets", "packets with URG", "URG Flag Count", "URG Flag Cnt",
     "URG Flag Count"},
    {Feature::cwr_cnt, "cwr_cnt", "packets", "packets with CWR", "CWE Flag Count", "CWE Flag Count",
     "CWR Flag Count"},
    {Feature::ece_cnt, "ece_cnt", "packets", "packets with ECE", "ECE Flag Count", "ECE Flag Cnt",
     "ECE Flag Count"},
    {Feature::down_up_ratio, "down_up_ratio", "ratio",
     "reverse packets over forward packets; 0 if there is none forward", "Down/Up Ratio", "Down/Up Ratio",
     "Down/Up Ratio"},
    {Feature::pkt_size_avg, "pkt_size_avg", "bytes", "payload over packets; the same as len_mean",
     "Average Packet Size", "Pkt Size Avg", "Average Packet Size"},
    {Feature::fwd_seg_avg, "fwd_seg_avg", "bytes", "payload over packets, forward; the same as fwd_len_mean",
     "Avg Fwd Segment Size", "Fwd Seg Size Avg", "Fwd Segment Size Avg"},
    {Feature::bwd_seg_avg, "bwd_seg_avg", "bytes", "payload over packets, reverse; the same as bwd_len_mean",
     "Avg Bwd Segment Size", "Bwd Seg Size Avg", "Bwd Segment Size Avg"},
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
     "Bwd Avg Bytes/Bulk", "Bwd Byts/b Avg", "Bwd Bytes/Bulk Avg"},
    {Feature::bwd_bulk_pkts_avg, "bwd_bulk_pkts_avg", "packets", "mean packets of a reverse bulk",
     "Bwd Avg Packets/Bulk", "Bwd Pkts/b Avg", "Bwd Packet/Bulk Avg"},
    {Feature::bwd_bulk_rate_avg, "bwd_bulk_rate_avg", "bytes/s",
     "payload of the reverse bulks over the time they took", "Bwd Avg Bulk Rate", "Bwd Blk Rate Avg",
     "Bwd Bulk Rate Avg"},
    {Feature::subflow_fwd_pkts, "subflow_fwd_pkts", "packets",
     "forward packets over subflows; a gap over 1 s begins a new subflow", "Subflow Fwd Packets",
     "Subflow Fwd Pkts", "Subflow Fwd Packets"},
    {Feature::subflow_fwd_bytes, "subflow_fwd_bytes", "bytes", "forward payload over subflows",
     "Subflow Fwd Bytes", "Subflow Fwd Byts", "Subflow Fwd Bytes"},
    {Feature::subflow_bwd_pkts, "subflow_bwd_pkts", "packets",
     "reverse packets over subflows; a gap over 1 s begins a new subflow", "Subflow Bwd Packets",
     "Subflow Bwd Pkts", "Subflow Bwd Packets"},
    {Feature::subflow_bwd_bytes, "subflow_bwd_bytes", "bytes", "reverse payload over subflows",
     "Subflow Bwd Bytes", "Subflow Bwd Byts", "Subflow Bwd Bytes"},
    {Feature::fwd_init_win, "fwd_init_win", "number",
     "TCP window, unscaled, of the first forward packet; -1 if there is none", "Init_Win_bytes_forward",
     "Init Fwd Win Byts", "FWD Init Win Bytes"},
    {Feature::bwd_init_win, "bwd_init_win", "number",
     "TCP window, unscaled, of the first reverse packet; -1 if there is none", "Init_Win_bytes_backward",
     "Init Bwd Win Byts", "Bwd Init Win Bytes"},
    {Feature::fwd_act_data_pkts, "fwd_act_data_pkts", "packets", "forward packets with payload",
     "act_data_pkt_fwd", "Fwd Act Data Pkts", "Fwd Act Data Pkts"},
    {Feature::bwd_act_data_pkts, "bwd_act_data_pkts", "packets", "reverse packets with payload", "", "",
     "Bwd Act Data Pkts"},
    {Feature::fwd_seg_min, "fwd_seg_min", "bytes",
     "shortest transport header of a forward packet; 0 if there is none", "min_seg_size_forward",
     "Fwd Seg Size Min", "Fwd Seg Size Min"},
    {Feature::bwd_seg_min, "bwd_seg_min", "bytes",
     "shortest transport header of a reverse packet; 0 if there is none", "", "", "Bwd Seg Size Min"},
    {Feature::active_mean, "active_mean", "us",
     "mean: time between pauses of more than 5 s, the last such period included; 0 if there was none",
     "Active Mean", "Active Mean", "Active Mean"},
    {Feature::active_std, "active_std", "us",
     "sample deviation of: time between pauses of more than 5 s, the last such period included; 0 if there "
     "was none",
     "Active Std", "Active Std", "Active Std"},
    {Feature::active_max, "active_max", "us",
     "longest: time between pauses of more than 5 s, the last such period included; 0 if there was none",
     "Active Max", "Active Max", "Active Max"},
    {Feature::active_min, "active_min", "us",
     "shortest: time between pauses of more than 5 s, the last such period included; 0 if there was none",
     "Active Min", "Active Min", "Active Min"},
    {Feature::idle_mean, "idle_mean", "us", "mean: pauses of more than 5 s; 0 if there was none", "Idle Mean",
     "Idle Mean", "Idle Mean"},
    {Feature::idle_std, "idle_std", "us", "sample deviation of: pauses of more than 5 s; 0 if there was none",
     "Idle Std", "Idle Std", "Idle Std"},
    {Feature::idle_max, "idle_max", "us", "longest: pauses of more than 5 s; 0 if there was none", "Idle Max",
     "Idle Max", "Idle Max"},
    {Feature::idle_min, "idle_min", "us", "shortest: pauses of more than 5 s; 0 if there was none",
     "Idle Min", "Idle Min", "Idle Min"},
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
    // Those of the cleaned copies of CIC-IDS2017 and 2018 that people train on, as Parquet files.
    map->emplace("fwd packets length total", Feature::fwd_bytes);
    map->emplace("bwd packets length total", Feature::bwd_bytes);
    map->emplace("avg packet size", Feature::pkt_size_avg);
    map->emplace("init fwd win bytes", Feature::fwd_init_win);
    map->emplace("init bwd win bytes", Feature::bwd_init_win);
    map->emplace("fwd act data packets", Feature::fwd_act_data_pkts);
    map->emplace("fwd seg size min", Feature::fwd_seg_min);
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
