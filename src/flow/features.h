#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "flow/profile.h"
#include "flow/record.h"

namespace nidus::flow {

// Every number that a flow record can be asked for. The order is that of native tables.
enum class Feature : std::uint8_t {
  src_port,
  dst_port,
  protocol,
  flow_duration,
  fwd_pkts,
  bwd_pkts,
  fwd_bytes,
  bwd_bytes,
  fwd_len_max,
  fwd_len_min,
  fwd_len_mean,
  fwd_len_std,
  bwd_len_max,
  bwd_len_min,
  bwd_len_mean,
  bwd_len_std,
  flow_bytes_s,
  flow_pkts_s,
  flow_iat_mean,
  flow_iat_std,
  flow_iat_max,
  flow_iat_min,
  fwd_iat_total,
  fwd_iat_mean,
  fwd_iat_std,
  fwd_iat_max,
  fwd_iat_min,
  bwd_iat_total,
  bwd_iat_mean,
  bwd_iat_std,
  bwd_iat_max,
  bwd_iat_min,
  fwd_psh,
  bwd_psh,
  fwd_urg,
  bwd_urg,
  fwd_rst,
  bwd_rst,
  fwd_hdr_bytes,
  bwd_hdr_bytes,
  fwd_pkts_s,
  bwd_pkts_s,
  len_min,
  len_max,
  len_mean,
  len_std,
  len_var,
  fin_cnt,
  syn_cnt,
  rst_cnt,
  psh_cnt,
  ack_cnt,
  urg_cnt,
  cwr_cnt,
  ece_cnt,
  down_up_ratio,
  pkt_size_avg,
  fwd_seg_avg,
  bwd_seg_avg,
  fwd_bulk_bytes_avg,
  fwd_bulk_pkts_avg,
  fwd_bulk_rate_avg,
  bwd_bulk_bytes_avg,
  bwd_bulk_pkts_avg,
  bwd_bulk_rate_avg,
  subflow_fwd_pkts,
  subflow_fwd_bytes,
  subflow_bwd_pkts,
  subflow_bwd_bytes,
  fwd_init_win,
  bwd_init_win,
  fwd_act_data_pkts,
  bwd_act_data_pkts,
  fwd_seg_min,
  bwd_seg_min,
  active_mean,
  active_std,
  active_max,
  active_min,
  idle_mean,
  idle_std,
  idle_max,
  idle_min,
  icmp_code,
  icmp_type,
  fwd_retrans,
  bwd_retrans,
  total_retrans,
  connection_time,
  zero_duration,
  fwd_ip_bytes,
  bwd_ip_bytes,
  fwd_frame_bytes,
  bwd_frame_bytes,
};
inline constexpr std::size_t kFeatures = static_cast<std::size_t>(Feature::bwd_frame_bytes) + 1;

using FeatureRow = std::array<double, kFeatures>;

// How a feature is called, where. Empty: it has no name there.
struct FeatureInfo {
  Feature feature;
  std::string_view key;  // canonical, what detectors use
  std::string_view unit;
  std::string_view meaning;  // in native
  std::string_view cic2017, cic2018,
      cic2020;  // CIC-IDS2017 files; 2018 files; tools since 2020 and re-releases
};
std::span<const FeatureInfo> features();
inline std::string_view key(Feature feature) { return features()[static_cast<std::size_t>(feature)].key; }

// The naming schemes in which feature names are read and written. python: snake case of the 2018 names, as
// the Python extractor writes them.
enum class Naming : std::uint8_t { canonical, cic2017, cic2018, cic2020, python };
Naming naming_of(Profile profile);
std::string feature_name(Feature feature, Naming naming);

// The feature that this column holds, in whichever scheme it is written; names are trimmed and compared
// without case. "Fwd Header Length.1" is the repeated column of CIC-IDS2017 and means fwd_hdr_bytes.
std::optional<Feature> feature_from_name(std::string_view column);

// The features a profile's records have, in the order its files have them.
std::span<const Feature> features_of(Profile profile);

// Fills all features as the profile defines them; those it does not know are computed as in native.
// native: every value is finite. Published profiles: NaN and infinities where their tools write them.
void compute_features(Profile profile, const FlowRecord& record, FeatureRow& row);

}  // namespace nidus::flow
