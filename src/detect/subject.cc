#include "detect/subject.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <type_traits>

#include "base/number.h"
#include "base/text.h"
#include "flow/features.h"
#include "net/address.h"

namespace nidus::detect {
namespace {

const data::Column* find(const data::Table& table, flow::Feature feature) {
  for (std::size_t i = 0; i < table.columns(); ++i) {
    if (flow::feature_from_name(table.column(i).name) == feature) return &table.column(i);
  }
  return nullptr;
}

const data::Column* find(const data::Table& table, std::initializer_list<std::string_view> names) {
  for (const auto name : names) {
    const auto* const column = table.get(name);
    if (column != nullptr && column->kind == data::Kind::text) return column;
  }
  return nullptr;
}

std::vector<std::optional<net::IpAddress>> parse_all(const data::Column* column) {
  std::vector<std::optional<net::IpAddress>> out;
  if (column == nullptr) return out;
  for (const auto& text : column->vocabulary) out.push_back(net::parse_address(trim(text)));
  return out;
}

// `count` digits, or nothing.
std::optional<int> digits(std::string_view text, std::size_t at, std::size_t count) {
  if (at + count > text.size()) return std::nullopt;
  int value = 0;
  for (const char c : text.substr(at, count)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  return value;
}

}  // namespace

bool has_ports(std::uint8_t protocol) {
  return protocol == net::protocol::tcp || protocol == net::protocol::udp || protocol == net::protocol::sctp;
}

std::string protocol_text(std::uint8_t protocol) {
  switch (protocol) {
    case net::protocol::tcp:
      return "TCP";
    case net::protocol::udp:
      return "UDP";
    case net::protocol::icmp:
      return "ICMP";
    case net::protocol::icmpv6:
      return "IPv6-ICMP";
    case net::protocol::sctp:
      return "SCTP";
    case net::protocol::igmp:
      return "IGMP";
    case net::protocol::gre:
      return "GRE";
    default:
      return std::to_string(protocol);
  }
}

std::optional<std::uint8_t> protocol_from_text(std::string_view name) {
  name = trim(name);
  for (const auto number :
       {net::protocol::tcp, net::protocol::udp, net::protocol::icmp, net::protocol::icmpv6,
        net::protocol::sctp, net::protocol::igmp, net::protocol::gre}) {
    if (equal_ignoring_case(name, protocol_text(number))) return number;
  }
  return std::nullopt;
}

std::string endpoint_text(const net::Address& address, net::IpVersion version,
                          std::optional<std::uint16_t> port) {
  const std::string text = net::address_text(address, version);
  if (!port) return text;
  return version == net::IpVersion::v6 ? fmt::format("[{}]:{}", text, *port)
                                       : fmt::format("{}:{}", text, *port);
}

namespace {

std::string end_text(const Subject& s, const net::Address& address, std::uint16_t port, bool has_port) {
  const bool ports = has_port && s.has_ports();
  if (!s.has_addresses) return ports ? fmt::format("-:{}", port) : "-";
  return endpoint_text(address, s.tuple.version, ports ? std::optional(port) : std::nullopt);
}

}  // namespace

bool Subject::has_ports() const { return has_protocol && detect::has_ports(tuple.protocol); }

std::string source_text(const Subject& s) {
  return end_text(s, s.tuple.source, s.tuple.source_port, s.has_port[0]);
}
std::string destination_text(const Subject& s) {
  return end_text(s, s.tuple.destination, s.tuple.destination_port, s.has_port[1]);
}

Subject subject_of(const flow::FlowRecord& record, std::string_view input, std::uint64_t number) {
  Subject subject;
  subject.input = input;
  subject.number = number;
  subject.has_addresses = true;
  subject.tuple = record.tuple;
  subject.icmp_type = record.icmp_type;
  subject.icmp_code = record.icmp_code;
  subject.start_us = record.start_us;
  subject.last_us = record.last_us;
  for (int way = 0; way < 2; ++way) {
    subject.packets[way] = record.direction[way].packets;
    subject.bytes[way] = record.direction[way].payload_bytes;
    subject.ip_bytes[way] = record.direction[way].ip_bytes;
  }
  return subject;
}

TableSubjects::TableSubjects(const data::Table& table, std::string_view input)
    : table_(table), input_(input) {
  using flow::Feature;
  source_ = find(table, {"src_ip", "Src IP", "Source IP", "id.orig_h", "IPV4_SRC_ADDR", "srcip"});
  destination_ = find(table, {"dst_ip", "Dst IP", "Destination IP", "id.resp_h", "IPV4_DST_ADDR", "dstip"});
  timestamp_ = find(table, {"timestamp"});
  sources_ = parse_all(source_);
  destinations_ = parse_all(destination_);
  source_port_ = numbers_of(find(table, Feature::src_port));
  destination_port_ = numbers_of(find(table, Feature::dst_port));
  const data::Column* protocol = find(table, Feature::protocol);
  if (protocol == nullptr) protocol = find(table, {"proto", "protocol_type"});  // Zeek, UNSW-NB15; NSL-KDD
  protocol_ = numbers_of(protocol);
  for (std::size_t i = 0; i < protocol_.values.size(); ++i) {
    if (const auto number = protocol_from_text(protocol_.column->vocabulary[i]))
      protocol_.values[i] = *number;
  }
  duration_us_ = numbers_of(find(table, Feature::flow_duration));
  packets_[0] = numbers_of(find(table, Feature::fwd_pkts));
  packets_[1] = numbers_of(find(table, Feature::bwd_pkts));
  bytes_[0] = numbers_of(find(table, Feature::fwd_bytes));
  bytes_[1] = numbers_of(find(table, Feature::bwd_bytes));
  ip_bytes_[0] = numbers_of(find(table, Feature::fwd_ip_bytes));
  ip_bytes_[1] = numbers_of(find(table, Feature::bwd_ip_bytes));
  icmp_type_ = numbers_of(find(table, Feature::icmp_type));
  icmp_code_ = numbers_of(find(table, Feature::icmp_code));
}

TableSubjects::Numbers TableSubjects::numbers_of(const data::Column* column) {
  Numbers numbers{column, {}};
  if (column == nullptr || column->kind == data::Kind::numeric) return numbers;
  for (const auto& text : column->vocabulary) {
    numbers.values.push_back(parse_number(text).value_or(std::numeric_limits<double>::quiet_NaN()));
  }
  return numbers;
}

std::optional<std::uint64_t> TableSubjects::Numbers::at(std::size_t row) const {
  if (column == nullptr || column->missing(row)) return std::nullopt;
  const double value =
      column->kind == data::Kind::numeric ? column->numbers[row] : values[column->codes[row]];
  if (!(value >= 0 && value < 1e18)) return std::nullopt;
  return static_cast<std::uint64_t>(value);
}

Subject TableSubjects::at(std::size_t row) const {
  Subject subject;
  subject.input = input_;
  subject.number = row + 1;
  const auto address = [&](const data::Column* column,
                           const Addresses& parsed) -> std::optional<net::IpAddress> {
    if (column == nullptr || column->codes[row] == data::kMissing) return std::nullopt;
    return parsed[column->codes[row]];
  };
  const auto source = address(source_, sources_), destination = address(destination_, destinations_);
  if (source && destination && source->version == destination->version) {
    subject.has_addresses = true;
    subject.tuple.source = source->address;
    subject.tuple.destination = destination->address;
    subject.tuple.version = source->version;
  }
  const auto take = [row](const Numbers& from, auto& to) {
    const auto number = from.at(row);
    to = static_cast<std::remove_reference_t<decltype(to)>>(number.value_or(0));
    return number.has_value();
  };
  subject.has_port[0] = take(source_port_, subject.tuple.source_port);
  subject.has_port[1] = take(destination_port_, subject.tuple.destination_port);
  subject.has_protocol = take(protocol_, subject.tuple.protocol);
  take(icmp_type_, subject.icmp_type);
  take(icmp_code_, subject.icmp_code);
  for (int way = 0; way < 2; ++way) {
    subject.has_packets[way] = take(packets_[way], subject.packets[way]);
    subject.has_bytes[way] = take(bytes_[way], subject.bytes[way]);
    take(ip_bytes_[way], subject.ip_bytes[way]);
  }
  if (timestamp_ != nullptr) subject.start_us = parse_iso8601(timestamp_->text_at(row));
  if (subject.start_us)
    subject.last_us = *subject.start_us + static_cast<std::int64_t>(duration_us_.at(row).value_or(0));
  return subject;
}

std::optional<std::int64_t> parse_iso8601(std::string_view text) {
  text = trim(text);
  const auto year = digits(text, 0, 4), month = digits(text, 5, 2), day = digits(text, 8, 2);
  const auto hour = digits(text, 11, 2), minute = digits(text, 14, 2), second = digits(text, 17, 2);
  if (!year || !month || !day || !hour || !minute || !second) return std::nullopt;
  if (text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != ' ') || text[13] != ':' ||
      text[16] != ':') {
    return std::nullopt;
  }
  const std::chrono::year_month_day date(std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day)));
  if (!date.ok() || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  std::int64_t us = 0;
  std::size_t at = 19;
  if (at < text.size() && text[at] == '.') {
    std::int64_t unit = 100'000;
    for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, unit /= 10)
      us += unit * (text[at] - '0');
  }
  if (at < text.size() && text.substr(at) != "Z") return std::nullopt;
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  return ((days * 24 + *hour) * 60 + *minute) * 60'000'000 + *second * 1'000'000 + us;
}

}  // namespace nidus::detect
