#include "data/schemas.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "base/number.h"
#include "base/text.h"

namespace nidus::data {
namespace {

struct Known {
  std::string_view column;
  Role role;
};

// In small letters.
constexpr Known kRoles[] = {
    {"label", Role::label},
    {"class", Role::label},
    {"attack", Role::label},
    {"attack_cat", Role::label},
    {"is_attack", Role::label},
    {"detailed-label", Role::label},
    {"detailedlabel", Role::label},
    {"detailed_label", Role::label},

    {"src_ip", Role::address},
    {"src ip", Role::address},
    {"source ip", Role::address},
    {"srcip", Role::address},
    {"dst_ip", Role::address},
    {"dst ip", Role::address},
    {"destination ip", Role::address},
    {"dstip", Role::address},
    {"dest_ip", Role::address},
    {"id.orig_h", Role::address},
    {"id.resp_h", Role::address},
    {"ipv4_src_addr", Role::address},
    {"ipv4_dst_addr", Role::address},
    {"tunnel_parents", Role::id},
    {"simillarhttp", Role::address},  // CIC-DDoS2019: addresses in a feature's clothes

    {"src_port", Role::port},
    {"src port", Role::port},
    {"source port", Role::port},
    {"sport", Role::port},
    {"id.orig_p", Role::port},
    {"l4_src_port", Role::port},

    {"timestamp", Role::time},
    {"ts", Role::time},
    {"start", Role::time},
    {"last", Role::time},
    {"stime", Role::time},
    {"ltime", Role::time},
    {"flow.start", Role::time},
    {"flow.end", Role::time},
    {"flow_start_milliseconds", Role::time},
    {"flow_end_milliseconds", Role::time},

    {"id", Role::id},
    {"uid", Role::id},
    {"flow_id", Role::id},
    {"flow id", Role::id},
    {"flowid", Role::id},
    {"community_id", Role::id},
    {"unnamed", Role::id},
    {"unnamed: 0", Role::id},
    {"group", Role::id},
    {"capture", Role::id},
    {"split", Role::id},
    {"dataset", Role::id},
    {"profile", Role::id},

    {"difficulty", Role::outcome},
    {"attempted category", Role::outcome},
    {"end_reason", Role::outcome},
    {"partial", Role::outcome},
    {"history", Role::outcome},
    {"conn_state", Role::outcome},
};

struct Recognition {
  DatasetSchema schema;
  // Columns that a table must have. One of a set is told from the next by what comes first in this list.
  std::vector<std::string_view> columns;
};

const std::vector<Recognition>& recognitions() {
  static const std::vector<Recognition> all = {
      {{"cns2022", "CIC-IDS2017 or CSE-CIC-IDS2018, improved (Liu et al., CNS 2022)", "Label", "",
        "Timestamp", "Src IP"},
       {"Total TCP Flow Time", "Flow Duration", "Label"}},
      {{"cic-fixed", "flows of the corrected CICFlowMeter (2024)", "Label", "", "Timestamp", "Src IP"},
       {"Total Connection Flow Time", "Flow Duration"}},
      {{"cse-cic-ids2018", "CSE-CIC-IDS2018", "Label", "", "Timestamp", "Src IP"},
       {"Tot Fwd Pkts", "TotLen Fwd Pkts", "Flow Byts/s", "Label"}},
      {{"cic-ids2017", "CIC-IDS2017", "Label", "", "Timestamp", "Source IP"},
       {"Init_Win_bytes_forward", "act_data_pkt_fwd", "min_seg_size_forward", "Flow Bytes/s", "Label"}},
      {{"cicflowmeter", "flows of CICFlowMeter from 2020 on, or the re-release of WTMC 2021", "Label", "",
        "Timestamp", "Src IP"},
       {"Total Fwd Packet", "FWD Init Win Bytes", "Flow Bytes/s"}},
      {{"nf-v3", "a NetFlow data set, version 3 (NF-*-v3)", "Attack", "Label", "FLOW_START_MILLISECONDS",
        "IPV4_SRC_ADDR"},
       {"FLOW_START_MILLISECONDS", "IN_BYTES", "L7_PROTO", "TCP_WIN_MAX_IN"}},
      {{"nf-v2", "a NetFlow data set, version 2 (NF-*-v2)", "Attack", "Label", "", "IPV4_SRC_ADDR"},
       {"IN_BYTES", "OUT_PKTS", "L7_PROTO", "TCP_WIN_MAX_IN", "FLOW_DURATION_MILLISECONDS"}},
      // The category of its benign rows is empty, so only the other column labels every row.
      {{"unsw-nb15-raw", "UNSW-NB15, one of the four raw files", "Label", "", "Stime", "srcip"},
       {"srcip", "Sload", "ct_state_ttl", "ct_dst_src_ltm", "attack_cat"}},
      {{"unsw-nb15", "UNSW-NB15, the training or testing partition", "attack_cat", "label", "", ""},
       {"ct_state_ttl", "ct_dst_src_ltm", "attack_cat", "label", "sttl"}},
      {{"nsl-kdd", "NSL-KDD", "label", "", "", ""},
       {"dst_host_srv_rerror_rate", "num_outbound_cmds", "label", "difficulty"}},
      {{"kdd99", "KDD Cup 1999, or NSL-KDD without its difficulty", "label", "", "", ""},
       {"dst_host_srv_rerror_rate", "num_outbound_cmds", "label"}},
      {{"kdd99", "KDD Cup 1999, or NSL-KDD without its difficulty", "class", "", "", ""},
       {"dst_host_srv_rerror_rate", "num_outbound_cmds", "class"}},
      {{"iot-23", "Zeek conn.log with the labels of IoT-23 or another Stratosphere set", "label", "", "ts",
        "id.orig_h", "detailed-label"},
       {"id.orig_h", "conn_state", "orig_ip_bytes", "label", "detailed-label"}},
      {{"zeek-conn-labelled", "Zeek conn.log with the labels of netflowlabeler", "label", "", "ts",
        "id.orig_h", "detailedlabel"},
       {"id.orig_h", "conn_state", "orig_ip_bytes", "label", "detailedlabel"}},
      {{"zeek-conn", "Zeek conn.log", "", "", "ts", "id.orig_h"},
       {"id.orig_h", "id.resp_h", "conn_state", "orig_pkts"}},
      {{"suricata-eve-flow", "Suricata EVE, flow events", "", "", "timestamp", "src_ip"},
       {"event_type", "flow_id", "flow.pkts_toserver"}},
  };
  return all;
}

bool is_number(std::string_view cell) { return parse_number(cell).has_value(); }

// The columns of the four raw files, by the list that comes with them (NUSW-NB15_features.csv).
constexpr std::array<const char*, 49> kRawUnsw = {"srcip",
                                                  "sport",
                                                  "dstip",
                                                  "dsport",
                                                  "proto",
                                                  "state",
                                                  "dur",
                                                  "sbytes",
                                                  "dbytes",
                                                  "sttl",
                                                  "dttl",
                                                  "sloss",
                                                  "dloss",
                                                  "service",
                                                  "Sload",
                                                  "Dload",
                                                  "Spkts",
                                                  "Dpkts",
                                                  "swin",
                                                  "dwin",
                                                  "stcpb",
                                                  "dtcpb",
                                                  "smeansz",
                                                  "dmeansz",
                                                  "trans_depth",
                                                  "res_bdy_len",
                                                  "Sjit",
                                                  "Djit",
                                                  "Stime",
                                                  "Ltime",
                                                  "Sintpkt",
                                                  "Dintpkt",
                                                  "tcprtt",
                                                  "synack",
                                                  "ackdat",
                                                  "is_sm_ips_ports",
                                                  "ct_state_ttl",
                                                  "ct_flw_http_mthd",
                                                  "is_ftp_login",
                                                  "ct_ftp_cmd",
                                                  "ct_srv_src",
                                                  "ct_srv_dst",
                                                  "ct_dst_ltm",
                                                  "ct_src_ltm",
                                                  "ct_src_dport_ltm",
                                                  "ct_dst_sport_ltm",
                                                  "ct_dst_src_ltm",
                                                  "attack_cat",
                                                  "Label"};

bool looks_like_kdd(std::span<const std::string> row) {
  if (row.size() < 42 || row.size() > 43) return false;
  const auto protocol = trim(row[1]);
  if (protocol != "tcp" && protocol != "udp" && protocol != "icmp") return false;
  for (std::size_t i = 0; i < 41; ++i) {
    if ((i < 1 || i > 3) && !is_number(row[i])) return false;
  }
  return !is_number(row[41]) && (row.size() == 42 || is_number(row[42]));
}

bool looks_like_raw_unsw(std::span<const std::string> row) {
  if (row.size() != kRawUnsw.size()) return false;
  const auto is_ipv4 = [](std::string_view text) {
    const auto parts = split(trim(text), '.');
    return parts.size() == 4 && std::all_of(parts.begin(), parts.end(), [](auto part) {
             const auto number = parse_integer(part);
             return number && *number >= 0 && *number <= 255;
           });
  };
  return is_ipv4(row[0]) && is_ipv4(row[2]) && is_number(row[6]) && is_number(row[28]) &&
         is_number(row[29]) && (trim(row[48]) == "0" || trim(row[48]) == "1");
}

}  // namespace

std::string_view name(Role role) {
  switch (role) {
    case Role::feature:
      return "feature";
    case Role::label:
      return "label";
    case Role::address:
      return "address";
    case Role::port:
      return "port";
    case Role::time:
      return "time";
    case Role::id:
      return "id";
    case Role::outcome:
      return "outcome";
  }
  return "";
}

Role role_of(std::string_view column) {
  const std::string name = to_lower(trim(column));
  const auto* const found = std::find_if(std::begin(kRoles), std::end(kRoles),
                                         [&](const Known& known) { return known.column == name; });
  return found == std::end(kRoles) ? Role::feature : found->role;
}

const DatasetSchema* recognise(std::span<const std::string> columns) {
  const auto has = [&](std::string_view wanted) {
    return std::any_of(columns.begin(), columns.end(),
                       [&](const auto& column) { return equal_ignoring_case(trim(column), wanted); });
  };
  for (const auto& known : recognitions()) {
    if (std::all_of(known.columns.begin(), known.columns.end(), has)) return &known.schema;
  }
  return nullptr;
}

std::vector<std::string> names_of_headerless(std::span<const std::string> first_row) {
  if (looks_like_kdd(first_row)) {
    const auto& names = nsl_kdd_names();
    return {names.begin(), names.begin() + static_cast<std::ptrdiff_t>(first_row.size())};
  }
  if (looks_like_raw_unsw(first_row)) return {kRawUnsw.begin(), kRawUnsw.end()};
  return {};
}

const std::vector<std::string>& nsl_kdd_names() {
  static const std::vector<std::string> names = {"duration",
                                                 "protocol_type",
                                                 "service",
                                                 "flag",
                                                 "src_bytes",
                                                 "dst_bytes",
                                                 "land",
                                                 "wrong_fragment",
                                                 "urgent",
                                                 "hot",
                                                 "num_failed_logins",
                                                 "logged_in",
                                                 "num_compromised",
                                                 "root_shell",
                                                 "su_attempted",
                                                 "num_root",
                                                 "num_file_creations",
                                                 "num_shells",
                                                 "num_access_files",
                                                 "num_outbound_cmds",
                                                 "is_host_login",
                                                 "is_guest_login",
                                                 "count",
                                                 "srv_count",
                                                 "serror_rate",
                                                 "srv_serror_rate",
                                                 "rerror_rate",
                                                 "srv_rerror_rate",
                                                 "same_srv_rate",
                                                 "diff_srv_rate",
                                                 "srv_diff_host_rate",
                                                 "dst_host_count",
                                                 "dst_host_srv_count",
                                                 "dst_host_same_srv_rate",
                                                 "dst_host_diff_srv_rate",
                                                 "dst_host_same_src_port_rate",
                                                 "dst_host_srv_diff_host_rate",
                                                 "dst_host_serror_rate",
                                                 "dst_host_srv_serror_rate",
                                                 "dst_host_rerror_rate",
                                                 "dst_host_srv_rerror_rate",
                                                 "label",
                                                 "difficulty"};
  return names;
}

}  // namespace nidus::data
