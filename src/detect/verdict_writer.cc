#include "detect/verdict_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>

#include "base/digest.h"
#include "base/json_writer.h"
#include "base/number.h"
#include "base/text.h"
#include "flow/community_id.h"
#include "net/address.h"

namespace nidus::detect {
namespace {

constexpr std::string_view kRed = "\x1b[31m", kYellow = "\x1b[33m", kPlain = "\x1b[0m";

// As Suricata writes it: with an offset and not with a Z.
std::string eve_time(std::int64_t us) {
  std::string text = iso8601(us);
  if (!text.empty() && text.back() == 'Z') text.replace(text.size() - 1, 1, "+0000");
  return text;
}

void address_fields(JsonWriter& json, const Subject& s, std::string_view source, std::string_view source_port,
                    std::string_view destination, std::string_view destination_port) {
  const bool ports = s.has_ports();
  if (s.has_addresses) json.field(source, net::address_text(s.tuple.source, s.tuple.version));
  if (ports && s.has_port[0]) json.field(source_port, s.tuple.source_port);
  if (s.has_addresses) json.field(destination, net::address_text(s.tuple.destination, s.tuple.version));
  if (ports && s.has_port[1]) json.field(destination_port, s.tuple.destination_port);
}

}  // namespace

int severity(double score) { return score >= 0.9 ? 1 : score >= 0.6 ? 2 : 3; }
int severity(const Verdict& verdict) { return severity(verdict.score); }

// Suricata's classtypes for what our classes usually are; anything else is its plainest word.
std::string_view category_of(std::string_view label) {
  struct Known {
    std::string_view part, category;
  };
  static constexpr Known kKnown[] = {
      {"scan", "Detection of a Network Scan"},
      {"probe", "Detection of a Network Scan"},
      {"dos", "Attempted Denial of Service"},
      {"flood", "Attempted Denial of Service"},
      {"brute", "Attempted User Privilege Gain"},
      {"web", "Web Application Attack"},
      {"botnet", "Malware Command and Control Activity Detected"},
      {"c2", "Malware Command and Control Activity Detected"},
      {"exfiltration", "Potential Corporate Privacy Violation"},
  };
  for (const auto& known : kKnown) {
    if (label.find(known.part) != std::string_view::npos) return known.category;
  }
  return "Potentially Bad Traffic";
}

// In a range that no published rule set uses; the same for a label in every detector.
std::uint32_t signature_id(std::string_view label) {
  const auto digest = checksum64(std::as_bytes(std::span(label.data(), label.size())));
  return 97'000'000u + static_cast<std::uint32_t>(digest % 1'000'000u);
}

std::uint64_t flow_number(const Subject& s) {
  std::array<std::byte, 48> bytes{};
  std::byte* at = bytes.data();
  const auto put = [&](const void* from, std::size_t size) {
    std::memcpy(at, from, size);
    at += size;
  };
  put(s.tuple.source.bytes.data(), 16);
  put(s.tuple.destination.bytes.data(), 16);
  put(&s.tuple.source_port, 2);
  put(&s.tuple.destination_port, 2);
  put(&s.tuple.protocol, 1);
  const std::int64_t start = s.start_us.value_or(static_cast<std::int64_t>(s.number));
  put(&start, 8);
  return checksum64(bytes) >> 11;
}

VerdictWriter::VerdictWriter(VerdictWriterOptions options, const Detector& detector)
    : options_(options), detector_(detector), threshold_(detector.manifest().threshold.value) {
  for (const auto& label : detector.manifest().labels) label_width_ = std::max(label_width_, label.size());
}

void VerdictWriter::header(std::string& out) const {
  switch (options_.format) {
    case VerdictFormat::table:
      fmt::format_to(std::back_inserter(out), "{:<26} {:<{}} {:<{}} {:<5} {:>8} {:>10}  {:<{}} {:>5}\n",
                     "start (UTC)", "source", source_width_, "destination", destination_width_, "proto",
                     "packets", "bytes", "label", label_width_, "score");
      return;
    case VerdictFormat::csv:
      out +=
          "input,number,start,src_ip,src_port,dst_ip,dst_port,protocol,fwd_pkts,bwd_pkts,fwd_bytes,bwd_bytes,"
          "label,"
          "label_score,score,threshold,detector,version";
      if (detector_.manifest().unknown.alpha > 0) out += ",unknown";
      out += options_.reasons != nullptr ? ",base,reasons\n" : "\n";
      return;
    case VerdictFormat::ndjson:
    case VerdictFormat::eve:
      return;
  }
}

bool VerdictWriter::writes(const Verdict& verdict) const {
  switch (options_.format) {
    case VerdictFormat::table:
    case VerdictFormat::eve:
      return verdict.is_attack();
    case VerdictFormat::csv:
    case VerdictFormat::ndjson:
      return verdict.is_attack() || !options_.attacks_only;
  }
  return false;
}

void VerdictWriter::verdict(const Subject& subject, const Verdict& verdict, std::string& out,
                            const Explanation* explanation) {
  if (!writes(verdict)) return;
  if (options_.reasons == nullptr) explanation = nullptr;
  switch (options_.format) {
    case VerdictFormat::table:
      return write_table(subject, verdict, explanation, out);
    case VerdictFormat::csv:
      return write_csv(subject, verdict, explanation, out);
    case VerdictFormat::ndjson:
      return write_ndjson(subject, verdict, explanation, out);
    case VerdictFormat::eve:
      return write_eve(subject, verdict, explanation, out);
  }
}

void VerdictWriter::write_table(const Subject& s, const Verdict& v, const Explanation* why,
                                std::string& out) {
  const std::string source = source_text(s), destination = destination_text(s);
  source_width_ = std::max(source_width_, source.size());
  destination_width_ = std::max(destination_width_, destination.size());
  std::string start = s.start_us ? iso8601(*s.start_us) : fmt::format("row {}", s.number);
  if (s.start_us) {
    start[10] = ' ';
    start.pop_back();
  }
  const std::string_view colour = !options_.colours ? "" : severity(v) == 1 ? kRed : kYellow;
  const auto known = [](bool is, std::uint64_t number) { return is ? std::to_string(number) : "-"; };
  fmt::format_to(
      std::back_inserter(out), "{:<26} {:<{}} {:<{}} {:<5} {:>8} {:>10}  {}{:<{}}{} {:5.3f}\n", start, source,
      source_width_, destination, destination_width_, s.has_protocol ? protocol_text(s.tuple.protocol) : "-",
      known(s.has_any_packets(), s.packets_both()), known(s.has_any_bytes(), s.bytes_both()), colour,
      detector_.manifest().labels[v.label], label_width_, options_.colours ? kPlain : "", v.score);
  if (why == nullptr) return;
  for (const Reason& reason : why->reasons) {
    fmt::format_to(std::back_inserter(out), "  {:+.3f}  {}\n", reason.contribution,
                   options_.reasons->text(reason));
  }
}

void VerdictWriter::write_csv(const Subject& s, const Verdict& v, const Explanation* why,
                              std::string& out) const {
  const auto number = [&out](auto value) {
    append_number(out, value);
    out += ',';
  };
  append_csv_cell(out, s.input);
  out += ',';
  number(s.number);
  if (s.start_us) append_iso8601(out, *s.start_us);
  out += ',';
  if (s.has_addresses) net::append_address(out, s.tuple.source, s.tuple.version);
  out += ',';
  const bool ports = s.has_ports();
  if (ports && s.has_port[0]) append_number(out, std::uint64_t{s.tuple.source_port});
  out += ',';
  if (s.has_addresses) net::append_address(out, s.tuple.destination, s.tuple.version);
  out += ',';
  if (ports && s.has_port[1]) append_number(out, std::uint64_t{s.tuple.destination_port});
  out += ',';
  const auto number_if = [&out](bool is_known, std::uint64_t value) {
    if (is_known) append_number(out, value);
    out += ',';
  };
  number_if(s.has_protocol, s.tuple.protocol);
  for (int way = 0; way < 2; ++way) number_if(s.has_packets[way], s.packets[way]);
  for (int way = 0; way < 2; ++way) number_if(s.has_bytes[way], s.bytes[way]);
  const Manifest& manifest = detector_.manifest();
  append_csv_cell(out, manifest.labels[v.label]);
  out += ',';
  number(v.label_score);
  number(v.score);
  number(threshold_);
  append_csv_cell(out, manifest.name);
  out += ',';
  append_csv_cell(out, manifest.version);
  if (manifest.unknown.alpha > 0) out += v.is_unknown ? ",1" : ",0";
  if (options_.reasons != nullptr) {
    out += ',';
    if (why != nullptr) append_number(out, why->base);
    out += ',';
    if (why != nullptr) append_csv_cell(out, options_.reasons->text(*why));
  }
  out += '\n';
}

void VerdictWriter::write_ndjson(const Subject& s, const Verdict& v, const Explanation* why,
                                 std::string& out) const {
  const Manifest& manifest = detector_.manifest();
  JsonWriter json(out);
  json.begin_object();
  json.field("input", s.input);
  json.field("number", s.number);
  if (s.start_us) json.field("start", iso8601(*s.start_us));
  if (s.last_us) json.field("last", iso8601(*s.last_us));
  address_fields(json, s, "src_ip", "src_port", "dst_ip", "dst_port");
  if (s.has_protocol) json.field("protocol", std::uint64_t{s.tuple.protocol});
  if (s.has_packets[0]) json.field("fwd_pkts", s.packets[0]);
  if (s.has_packets[1]) json.field("bwd_pkts", s.packets[1]);
  if (s.has_bytes[0]) json.field("fwd_bytes", s.bytes[0]);
  if (s.has_bytes[1]) json.field("bwd_bytes", s.bytes[1]);
  json.field("label", manifest.labels[v.label]);
  json.field("label_score", v.label_score);
  json.field("score", v.score);
  json.field("threshold", threshold_);
  json.field("detector", manifest.name);
  json.field("version", manifest.version);
  if (manifest.unknown.alpha > 0) json.field("unknown", v.is_unknown);
  if (why != nullptr) {
    json.key("explanation");
    options_.reasons->json(*why, json);
  }
  json.end_object();
  out += '\n';
}

void VerdictWriter::write_eve(const Subject& s, const Verdict& v, const Explanation* why,
                              std::string& out) const {
  const Manifest& manifest = detector_.manifest();
  const std::string& label = manifest.labels[v.label];
  JsonWriter json(out);
  json.begin_object();
  if (const auto at = s.last_us ? s.last_us : s.start_us) json.field("timestamp", eve_time(*at));
  json.field("flow_id", flow_number(s));
  json.field("pcap_filename", s.input);
  json.field("event_type", "alert");
  address_fields(json, s, "src_ip", "src_port", "dest_ip", "dest_port");
  if (s.has_protocol) json.field("proto", protocol_text(s.tuple.protocol));
  if (s.tuple.protocol == net::protocol::icmp || s.tuple.protocol == net::protocol::icmpv6) {
    json.field("icmp_type", std::uint64_t{s.icmp_type});
    json.field("icmp_code", std::uint64_t{s.icmp_code});
  }
  if (s.has_addresses && s.has_protocol && (!s.has_ports() || (s.has_port[0] && s.has_port[1]))) {
    flow::FlowRecord record;
    record.tuple = s.tuple;
    record.icmp_type = s.icmp_type;
    record.icmp_code = s.icmp_code;
    json.field("community_id", flow::community_id(record));
  }
  json.key("alert");
  json.begin_object();
  json.field("action", "allowed");
  json.field("gid", 1);
  json.field("signature_id", signature_id(label));
  json.field("rev", 1);
  json.field("signature", fmt::format("nidus {}: {}", manifest.name, label));
  json.field("category", category_of(label));
  json.field("severity", severity(v));
  json.key("metadata");
  json.begin_object();
  json.key("nidus_label");
  json.begin_array();
  json.value(label);
  json.end_array();
  json.end_object();
  json.end_object();
  json.key("flow");
  json.begin_object();
  constexpr std::string_view kPackets[] = {"pkts_toserver", "pkts_toclient"},
                             kBytes[] = {"bytes_toserver", "bytes_toclient"};
  for (int way = 0; way < 2; ++way) {
    if (s.has_packets[way]) json.field(kPackets[way], s.packets[way]);
  }
  for (int way = 0; way < 2; ++way) {
    if (s.ip_bytes[way] != 0) {
      json.field(kBytes[way], s.ip_bytes[way]);
    } else if (s.has_bytes[way]) {
      json.field(kBytes[way], s.bytes[way]);
    }
  }
  if (s.start_us) json.field("start", eve_time(*s.start_us));
  json.end_object();
  json.key("nidus");
  json.begin_object();
  json.field("detector", manifest.name);
  json.field("version", manifest.version);
  json.field("label", label);
  json.field("label_score", v.label_score);
  json.field("score", v.score);
  json.field("threshold", threshold_);
  if (manifest.unknown.alpha > 0) json.field("unknown", v.is_unknown);
  if (why != nullptr) {
    json.key("explanation");
    options_.reasons->json(*why, json);
  }
  json.end_object();
  json.end_object();
  out += '\n';
}

}  // namespace nidus::detect
