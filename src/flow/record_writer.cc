#include "flow/record_writer.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/json_writer.h"
#include "base/number.h"
#include "base/random.h"
#include "base/text.h"
#include "flow/community_id.h"
#include "flow/conn_state.h"
#include "flow/internal/icmp.h"

namespace nidus::flow {
namespace {

// No cell but the label and the profile is longer: a flow id has two addresses of 45 characters and 17 of
// numbers.
constexpr std::size_t kCellBytesMax = 128;

constexpr std::string_view kNoLabel = "NeedManualLabel";

char* put(char* out, std::string_view text) {
  std::memcpy(out, text.data(), text.size());
  return out + text.size();
}

char* put(char* out, std::uint64_t number) { return write_number(out, number); }

// An address as text, written once for a row however many cells show it.
struct AddressText {
  char text[48];
  std::size_t length;

  AddressText(const net::Address& address, net::IpVersion version, std::string& scratch) {
    char* at = text;
    if (version == net::IpVersion::v4) {
      for (int i = 0; i < 4; ++i) {
        if (i > 0) *at++ = '.';
        at = put(at, std::uint64_t{address.bytes[static_cast<std::size_t>(i)]});
      }
    } else {
      scratch.clear();
      net::append_address(scratch, address, version);
      at = put(at, scratch);
    }
    length = static_cast<std::size_t>(at - text);
  }
  operator std::string_view() const { return {text, length}; }  // NOLINT: it is text
};

// The published tools put the lower address first, and compare its bytes as Java does: signed.
bool published_order(const net::FiveTuple& tuple) {
  for (std::size_t i = 0; i < tuple.source.bytes.size(); ++i) {
    const auto a = static_cast<std::int8_t>(tuple.source.bytes[i]);
    const auto b = static_cast<std::int8_t>(tuple.destination.bytes[i]);
    if (a != b) return a < b;
  }
  return true;
}

void append_zeek(std::string& out, std::string_view text) {
  if (text.empty()) out += '-';
  for (const char c : text) {
    if (c == '\t') {
      out += "\\x09";
    } else if (c == '\n') {
      out += "\\x0a";
    } else {
      out += c;
    }
  }
}

void append_text_cell(std::string& out, std::string_view text, RecordFormat format) {
  switch (format) {
    case RecordFormat::csv:
      append_csv_cell(out, text);
      return;
    case RecordFormat::ndjson:
      append_json_string(out, text);
      return;
    case RecordFormat::zeek:
      append_zeek(out, text);
      return;
  }
}

// Seconds with six digits, as Zeek writes times and intervals.
char* put_seconds(char* out, std::int64_t us) {
  if (us < 0) {
    *out++ = '-';
    us = -us;
  }
  out = put(out, static_cast<std::uint64_t>(us / 1'000'000));
  *out++ = '.';
  auto fraction = static_cast<std::uint32_t>(us % 1'000'000);
  for (int i = 5; i >= 0; --i) {
    out[i] = static_cast<char>('0' + fraction % 10);
    fraction /= 10;
  }
  return out + 6;
}

// Like Zeek's uids, but the same for the same flow in every run.
char* put_uid(char* out, const FlowRecord& record) {
  constexpr char kDigits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  std::uint64_t words[6];
  std::memcpy(words, record.tuple.source.bytes.data(), 16);
  std::memcpy(words + 2, record.tuple.destination.bytes.data(), 16);
  words[4] = std::uint64_t{record.tuple.source_port} << 40 |
             std::uint64_t{record.tuple.destination_port} << 24 | std::uint64_t{record.tuple.protocol} << 16 |
             record.tuple.vlan;
  words[5] = static_cast<std::uint64_t>(record.start_us);
  std::uint64_t low = 1, high = 2;
  for (const std::uint64_t word : words) {
    low = Random::mix(low + word);
    high = Random::mix(high ^ (word * 0x9e3779b97f4a7c15u + low));
  }
  *out++ = 'C';
  for (int i = 0; i < 17; ++i) {
    std::uint64_t& part = i < 9 ? low : high;
    *out++ = kDigits[part % 62];
    part /= 62;
  }
  return out;
}

std::string_view zeek_protocol(std::uint8_t protocol) {
  switch (protocol) {
    case net::protocol::tcp:
      return "tcp";
    case net::protocol::udp:
      return "udp";
    case net::protocol::icmp:
    case net::protocol::icmpv6:
      return "icmp";
    default:
      return "unknown_transport";
  }
}

bool is_tool(Profile profile) { return profile != Profile::native && profile != Profile::nsl_kdd; }

}  // namespace

struct RecordWriter::Row {
  const FlowRecord& record;
  const FeatureRow& features;
  std::string_view source, destination, label;
};

RecordWriter::RecordWriter(RecordWriterOptions options)
    : options_(std::move(options)), naming_(options_.naming.value_or(naming_of(options_.profile))) {
  if (options_.description.empty()) options_.description = name(options_.profile);
  append_text_cell(description_, options_.description, options_.format);
  if (options_.format == RecordFormat::zeek) {
    choose_zeek();
  } else if (is_tool(options_.profile)) {
    choose_tool();
  } else {
    choose_native();
  }
  for (Column& column : columns_) {
    if (options_.format == RecordFormat::ndjson) {
      column.before = row_bytes_max_ == 0 ? "{" : ",";
      append_json_string(column.before, column.name);
      column.before += ':';
    } else if (row_bytes_max_ != 0) {
      column.before = options_.format == RecordFormat::zeek ? "\t" : ",";
    }
    row_bytes_max_ += column.before.size() + kCellBytesMax;
  }
  row_bytes_max_ += description_.size() + 2;
}

void RecordWriter::add(Cell cell, std::string_view name, std::string_view type) {
  columns_.push_back({cell, {}, std::string(name), type, {}});
}

void RecordWriter::add(Feature feature, std::string_view name, std::string_view type) {
  std::string text(name);
  if (text.empty()) text = feature_name(feature, naming_);
  if (text.empty()) text = key(feature);
  columns_.push_back(
      {Cell::feature, {Group::flow, static_cast<std::uint16_t>(feature)}, std::move(text), type, {}});
}

void RecordWriter::add(Group group, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const FlowColumn column{group, static_cast<std::uint16_t>(i)};
    columns_.push_back({Cell::beside, column, key(column), {}, {}});
  }
}

void RecordWriter::choose_native() {
  add(Cell::flow_id, "flow_id");
  add(Cell::source_ip, "src_ip");
  add(Cell::destination_ip, "dst_ip");
  add(Cell::timestamp, "timestamp");
  for (const Feature feature : features_of(options_.profile)) {
    if (options_.features) add(feature);
  }
  if (options_.context) add(Group::context, kContextFeatures);
  add(Group::sequence, 2 * std::min<std::size_t>(options_.sequence_packets, kSequenceMax));
  add(Cell::end_reason, "end_reason");
  add(Cell::conn_state, "conn_state");
  add(Cell::history, "history");
  if (options_.community_id) add(Cell::community_id, "community_id");
  add(Cell::partial, "partial");
  add(Cell::profile, "profile");
  if (options_.label) add(Cell::label, "label");
}

void RecordWriter::choose_tool() {
  const Profile profile = options_.profile;
  const bool cic2017 = profile == Profile::cic2017;
  const bool cns2022 = profile == Profile::cns2022;
  const bool whole = !options_.short_form || !(cic2017 || profile == Profile::cic2018);
  const auto identity = [&](Cell cell, std::string_view in_2017, std::string_view elsewhere) {
    std::string text(naming_ == Naming::cic2017 ? in_2017 : elsewhere);
    if (naming_ == Naming::canonical || naming_ == Naming::python) {
      text = to_lower(elsewhere);
      for (char& c : text) c = c == ' ' ? '_' : c;
    }
    add(cell, text);
  };

  if (cns2022) add(Cell::row_number, "id");
  if (whole) identity(Cell::flow_id, "Flow ID", "Flow ID");
  if (whole) identity(Cell::source_ip, "Source IP", "Src IP");
  for (const Feature feature : features_of(profile)) {
    if (feature == Feature::src_port && !whole) continue;
    if (feature == Feature::dst_port && whole) identity(Cell::destination_ip, "Destination IP", "Dst IP");
    if (feature == Feature::protocol) {
      if (whole || !cic2017) {
        add(feature);
        identity(Cell::timestamp, "Timestamp", "Timestamp");
      }
      continue;
    }
    const bool tcp_time = cns2022 && feature == Feature::connection_time && naming_ == Naming::cic2020;
    add(feature, tcp_time ? "Total TCP Flow Time" : "");
    // The files of 2017 have this column twice, under one name; an object cannot.
    if (cic2017 && feature == Feature::bwd_seg_avg && options_.format == RecordFormat::csv) {
      add(Feature::fwd_hdr_bytes);
    }
  }
  identity(Cell::label, "Label", "Label");
  if (cns2022) identity(Cell::attempted_category, "Attempted Category", "Attempted Category");
}

void RecordWriter::choose_zeek() {
  add(Cell::ts, "ts", "time");
  add(Cell::uid, "uid", "string");
  add(Cell::source_ip, "id.orig_h", "addr");
  add(Feature::src_port, "id.orig_p", "port");
  add(Cell::destination_ip, "id.resp_h", "addr");
  add(Feature::dst_port, "id.resp_p", "port");
  add(Cell::proto, "proto", "enum");
  add(Cell::unset, "service", "string");
  add(Cell::duration, "duration", "interval");
  add(Cell::orig_bytes, "orig_bytes", "count");
  add(Cell::resp_bytes, "resp_bytes", "count");
  add(Cell::conn_state, "conn_state", "string");
  add(Cell::unset, "local_orig", "bool");
  add(Cell::unset, "local_resp", "bool");
  add(Cell::missed_bytes, "missed_bytes", "count");
  add(Cell::history, "history", "string");
  add(Feature::fwd_pkts, "orig_pkts", "count");
  add(Feature::fwd_ip_bytes, "orig_ip_bytes", "count");
  add(Feature::bwd_pkts, "resp_pkts", "count");
  add(Feature::bwd_ip_bytes, "resp_ip_bytes", "count");
  add(Cell::unset, "tunnel_parents", "set[string]");
  if (options_.community_id) add(Cell::community_id, "community_id", "string");
  if (options_.label) add(Cell::label, "label", "string");
}

std::vector<std::string> RecordWriter::columns() const {
  std::vector<std::string> names;
  for (const Column& column : columns_) names.push_back(column.name);
  return names;
}

void RecordWriter::header(std::string& out) const {
  switch (options_.format) {
    case RecordFormat::ndjson:
      return;
    case RecordFormat::csv:
      for (const Column& column : columns_) {
        out += column.before;
        append_csv_cell(out, column.name);
      }
      break;
    case RecordFormat::zeek:
      out +=
          "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n#fields";
      for (const Column& column : columns_) (out += '\t') += column.name;
      out += "\n#types";
      for (const Column& column : columns_) (out += '\t') += column.type;
      break;
  }
  out += '\n';
}

// The texts of ndjson are quoted; those written here hold nothing to escape.
bool RecordWriter::is_text(Cell cell) const {
  switch (cell) {
    case Cell::flow_id:
    case Cell::source_ip:
    case Cell::destination_ip:
    case Cell::timestamp:
    case Cell::end_reason:
    case Cell::conn_state:
    case Cell::history:
    case Cell::community_id:
    case Cell::uid:
    case Cell::proto:
      return true;
    case Cell::feature:
    case Cell::beside:
    case Cell::row_number:
    case Cell::partial:
    case Cell::profile:  // quoted already
    case Cell::label:
    case Cell::attempted_category:
    case Cell::ts:
    case Cell::duration:
    case Cell::missed_bytes:
    case Cell::orig_bytes:
    case Cell::resp_bytes:
    case Cell::unset:
      return false;
  }
  return false;
}

std::string_view RecordWriter::label_cell(std::string_view label) {
  label_.clear();
  if (label.empty() && is_tool(options_.profile)) label = kNoLabel;
  append_text_cell(label_, label, options_.format);
  return label_;
}

char* RecordWriter::write_timestamp(char* out, std::int64_t us) {
  scratch_.clear();
  append_iso8601(scratch_, us);
  const std::string_view iso = scratch_;  // 2017-07-03T11:57:41.826651Z
  switch (options_.profile) {
    case Profile::native:
    case Profile::nsl_kdd:
      return put(out, iso);
    case Profile::cns2022:
    case Profile::cic_fixed:
      out = put(out, iso.substr(0, 10));
      *out++ = ' ';
      return put(out, iso.substr(11, 15));
    case Profile::cic2017:
    case Profile::cic2018: {
      // 03/07/2017 11:57:41, on a clock of twelve hours that does not tell morning from evening (B31).
      out = put(out, iso.substr(8, 2));
      *out++ = '/';
      out = put(out, iso.substr(5, 2));
      *out++ = '/';
      out = put(out, iso.substr(0, 4));
      *out++ = ' ';
      const int hour = (iso[11] - '0') * 10 + (iso[12] - '0');
      const int twelve = hour % 12 == 0 ? 12 : hour % 12;
      *out++ = static_cast<char>('0' + twelve / 10);
      *out++ = static_cast<char>('0' + twelve % 10);
      return put(out, iso.substr(13, 6));
    }
  }
  return out;
}

char* RecordWriter::write(char* out, const Column& column, const Row& row) {
  const FlowRecord& record = row.record;
  switch (column.cell) {
    case Cell::feature: {
      const double value = row.features[column.flow.index];
      if (options_.format == RecordFormat::ndjson && !std::isfinite(value)) return put(out, "null");
      return write_number(out, value);
    }
    case Cell::beside: {
      const double value = value_beside(column.flow, record);
      if (std::isfinite(value)) return write_number(out, value);
      return options_.format == RecordFormat::ndjson ? put(out, "null") : out;
    }
    case Cell::row_number:
      return put(out, rows_);
    case Cell::flow_id: {
      const bool published = options_.profile == Profile::cic2017 || options_.profile == Profile::cic2018;
      const bool turn = published && !published_order(record.tuple);
      const std::uint16_t mask =
          is_icmp(record.tuple.protocol) ? static_cast<std::uint16_t>(~kIcmpOneWay) : 0xffff;
      const std::uint64_t source_port = record.tuple.source_port & mask;
      const std::uint64_t destination_port = record.tuple.destination_port & mask;
      out = put(out, turn ? row.destination : row.source);
      *out++ = '-';
      out = put(out, turn ? row.source : row.destination);
      *out++ = '-';
      out = put(out, turn ? destination_port : source_port);
      *out++ = '-';
      out = put(out, turn ? source_port : destination_port);
      *out++ = '-';
      return put(out, std::uint64_t{record.tuple.protocol});
    }
    case Cell::source_ip:
      return put(out, row.source);
    case Cell::destination_ip:
      return put(out, row.destination);
    case Cell::timestamp:
      return write_timestamp(out, record.start_us);
    case Cell::end_reason:
      return put(out, name(record.end_reason));
    case Cell::conn_state:
      return put(out, conn_state(record));
    case Cell::history:
      scratch_.clear();
      append_history(scratch_, record);
      return put(
          out, scratch_.empty() && options_.format == RecordFormat::zeek ? std::string_view("-") : scratch_);
    case Cell::community_id:
      scratch_.clear();
      append_community_id(scratch_, record, options_.community_id_seed);
      return put(out, scratch_);
    case Cell::partial:
      return put(out, record.end_reason == EndReason::partial ? "1" : "0");
    case Cell::profile:
      return put(out, description_);
    case Cell::label:
      return put(out, row.label);
    case Cell::attempted_category:
      return put(out, "-1");
    case Cell::ts:
      return put_seconds(out, record.start_us);
    case Cell::uid:
      return put_uid(out, record);
    case Cell::proto:
      return put(out, zeek_protocol(record.tuple.protocol));
    case Cell::duration:
      return record.packets() > 1 ? put_seconds(out, record.duration_us()) : put(out, "-");
    case Cell::missed_bytes:
      return put(out, "0");
    case Cell::orig_bytes:
      return put(out, record.forward().payload_bytes);
    case Cell::resp_bytes:
      return put(out, record.reverse().payload_bytes);
    case Cell::unset:
      return put(out, "-");
  }
  return out;
}

void RecordWriter::row(const FlowRecord& record, std::string& out, std::string_view label) {
  FeatureRow features;
  compute_features(options_.profile, record, features);
  const AddressText source(record.tuple.source, record.tuple.version, scratch_);
  const AddressText destination(record.tuple.destination, record.tuple.version, scratch_);
  const Row row{record, features, source, destination, label_cell(label)};
  ++rows_;

  if (row_.size() < row_bytes_max_ + row.label.size()) row_.resize(row_bytes_max_ + row.label.size());
  char* at = row_.data();
  const bool quote = options_.format == RecordFormat::ndjson;
  for (const Column& column : columns_) {
    if (column.before.size() == 1) {
      *at++ = column.before[0];
    } else {
      at = put(at, column.before);
    }
    const bool text = quote && is_text(column.cell);
    if (text) *at++ = '"';
    at = write(at, column, row);
    if (text) *at++ = '"';
  }
  if (quote) *at++ = '}';
  *at++ = '\n';
  out.append(row_.data(), static_cast<std::size_t>(at - row_.data()));
}

}  // namespace nidus::flow
