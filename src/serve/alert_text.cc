#include "serve/alert_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "base/number.h"
#include "base/text.h"
#include "detect/subject.h"
#include "detect/verdict_writer.h"
#include "flow/community_id.h"
#include "net/address.h"
#include "net/packet.h"

namespace nidus::serve {
namespace {

constexpr std::array<std::pair<std::string_view, store::AlertState>, 5> kStates = {
    {{"new", store::AlertState::fresh},
     {"acknowledged", store::AlertState::acknowledged},
     {"escalated", store::AlertState::escalated},
     {"false_positive", store::AlertState::false_positive},
     {"resolved", store::AlertState::resolved}}};

constexpr std::array<std::pair<std::string_view, store::GroupBy>, 5> kGroups = {
    {{"label", store::GroupBy::label},
     {"source", store::GroupBy::source},
     {"target", store::GroupBy::target},
     {"state", store::GroupBy::state},
     {"detector", store::GroupBy::detector}}};

Error bad_question(std::string message) { return {Errc::invalid, std::move(message)}; }

template <class Table>
auto named(const Table& table, std::string_view name, const char* what)
    -> Result<typename Table::value_type::second_type> {
  std::vector<std::string> names;
  for (const auto& [known, value] : table) {
    if (known == name) return value;
    names.emplace_back(known);
  }
  return bad_question(
      fmt::format("'{}' is no {}: {}{}", name, what, fmt::join(names, ", "), did_you_mean(name, names)));
}

net::IpAddress ip_of(const store::Address& address) {
  net::IpAddress ip;
  static constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::equal(kMapped.begin(), kMapped.end(), address.begin())) {
    std::copy(address.begin() + 12, address.end(), ip.address.bytes.begin());
  } else {
    ip.version = net::IpVersion::v6;
    ip.address.bytes = address;
  }
  return ip;
}

net::FiveTuple tuple_of(const store::Alert& alert) {
  net::FiveTuple tuple;
  if (alert.source) tuple.source = ip_of(*alert.source).address;
  if (alert.target) tuple.destination = ip_of(*alert.target).address;
  tuple.version = alert.source   ? ip_of(*alert.source).version
                  : alert.target ? ip_of(*alert.target).version
                                 : net::IpVersion::v4;
  tuple.source_port = alert.source_port;
  tuple.destination_port = alert.target_port;
  tuple.protocol = alert.protocol;
  return tuple;
}

// Members that alerts and verdicts share.
template <class Thing>
void append_ends(JsonWriter& json, const Thing& thing) {
  if (thing.source) json.field("src_ip", address_text(thing.source));
  if (detect::has_ports(thing.protocol)) json.field("src_port", thing.source_port);
  if (thing.target) json.field("dst_ip", address_text(thing.target));
  if (detect::has_ports(thing.protocol)) json.field("dst_port", thing.target_port);
  json.field("protocol", thing.protocol);
}

std::string eve_moment(std::int64_t us) {
  std::string text = iso8601(us);
  if (!text.empty() && text.back() == 'Z') text.replace(text.size() - 1, 1, "+0000");
  return text;
}

Result<std::optional<store::AddressRange>> asked_range(const Ask& ask, std::string_view name) {
  const auto text = ask(name);
  if (!text) return std::optional<store::AddressRange>();
  const auto range = address_range(*text);
  if (!range) return bad_question(fmt::format("{}: '{}' is neither an address nor a network", name, *text));
  return range;
}

Result<std::optional<std::int64_t>> asked_time(const Ask& ask, std::string_view name) {
  const auto text = ask(name);
  if (!text) return std::optional<std::int64_t>();
  auto time = time_of(*text);
  if (!time) return std::move(time).error().within(std::string(name));
  return std::optional<std::int64_t>(*time);
}

// What both kinds of question have.
template <class Query>
Result<void> ask_common(const Ask& ask, Query& query) {
  if (auto text = ask("label")) query.label = std::move(*text);
  if (auto text = ask("detector")) query.detector = std::move(*text);
  for (auto [name, range] : {std::pair{"source", &query.source}, std::pair{"target", &query.target},
                             std::pair{"address", &query.either}}) {
    auto read = asked_range(ask, name);
    if (!read) return std::move(read).error();
    *range = *read;
  }
  for (auto [name, time] : {std::pair{"from", &query.from_us}, std::pair{"to", &query.to_us}}) {
    auto read = asked_time(ask, name);
    if (!read) return std::move(read).error();
    *time = *read;
  }
  return {};
}

// Spreadsheets run what begins like this as a formula.
std::string harmless(std::string_view text) {
  const bool is_formula =
      !text.empty() && std::string_view("=+-@\t\r").find(text[0]) != std::string_view::npos;
  return (is_formula ? "'" : "") + std::string(text);
}

}  // namespace

store::Address stored_address(const net::Address& address, net::IpVersion version) {
  if (version == net::IpVersion::v6) return address.bytes;
  store::Address out = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  std::copy(address.bytes.begin(), address.bytes.begin() + 4, out.begin() + 12);
  return out;
}

std::string address_text(const std::optional<store::Address>& address) {
  if (!address) return "-";
  const auto ip = ip_of(*address);
  return net::address_text(ip.address, ip.version);
}

std::optional<store::AddressRange> address_range(std::string_view text) {
  const auto network = net::parse_network(trim(text));
  if (!network) return std::nullopt;
  store::AddressRange range;
  range.first = range.last = stored_address(network->address, network->version);
  const std::size_t bits = network->prefix_bits + (network->version == net::IpVersion::v4 ? 96u : 0u);
  for (std::size_t bit = bits; bit < 128; ++bit) {
    range.last[bit / 8] = static_cast<std::uint8_t>(range.last[bit / 8] | (0x80u >> (bit % 8)));
  }
  return range;
}

std::string_view name_of(store::AlertState state) {
  for (const auto& [name, known] : kStates) {
    if (known == state) return name;
  }
  CHECK(false);
}

Result<store::AlertState> state_named(std::string_view name) { return named(kStates, name, "state"); }
Result<store::GroupBy> group_named(std::string_view name) { return named(kGroups, name, "way of grouping"); }

Result<std::int64_t> time_of(std::string_view text) {
  if (const auto time = detect::parse_iso8601(text)) return *time;
  const auto seconds = parse_number(text);
  // As far as microseconds reach.
  if (!seconds || !(std::abs(*seconds) < 9e12)) {
    return bad_question(
        fmt::format("'{}' is neither a time like 2026-11-21T11:41:29Z nor seconds since 1970", text));
  }
  return static_cast<std::int64_t>(*seconds * 1e6);
}

Result<store::AlertQuery> alert_query(const Ask& ask) {
  store::AlertQuery query;
  if (auto done = ask_common(ask, query); !done) return std::move(done).error();
  if (const auto text = ask("state")) {
    for (const auto word : split(*text, ',')) {
      auto state = state_named(trim(word));
      if (!state) return std::move(state).error();
      query.states.push_back(*state);
    }
  }
  if (const auto text = ask("score_min")) {
    const auto score = parse_number(*text);
    if (!score || std::isnan(*score))
      return bad_question(fmt::format("score_min: '{}' is not a number", *text));
    query.score_min = *score;
  }
  if (const auto text = ask("count_min")) {
    const auto count = parse_integer(*text);
    if (!count || *count < 0)
      return bad_question(fmt::format("count_min: '{}' is not a whole number", *text));
    query.count_min = static_cast<std::uint64_t>(*count);
  }
  return query;
}

Result<store::VerdictQuery> verdict_query(const Ask& ask) {
  store::VerdictQuery query;
  if (auto done = ask_common(ask, query); !done) return std::move(done).error();
  if (const auto text = ask("attack")) {
    if (*text != "true" && *text != "false") return bad_question("attack: must be true or false");
    query.attack = *text == "true";
  }
  if (const auto text = ask("alert")) {
    const auto id = parse_integer(*text);
    if (!id) return bad_question(fmt::format("alert: '{}' is not the number of an alert", *text));
    query.alert = *id;
  }
  return query;
}

Result<void> known_question(std::string_view name, bool of_alerts) {
  std::vector<std::string> known = {"label", "detector", "source", "target", "address", "from", "to"};
  if (of_alerts) {
    known.insert(known.end(), {"state", "score_min", "count_min"});
  } else {
    known.insert(known.end(), {"attack", "alert"});
  }
  if (std::find(known.begin(), known.end(), name) != known.end()) return {};
  return bad_question(fmt::format("nothing is known by '{}'{}", name, did_you_mean(name, known)));
}

std::string cursor_text(const store::AlertCursor& cursor) {
  return fmt::format("{}:{}", cursor.last_us, cursor.id);
}

Result<store::AlertCursor> cursor_of(std::string_view text) {
  const auto parts = split(text, ':');
  const auto last = parts.size() == 2 ? parse_integer(parts[0]) : std::nullopt;
  const auto id = parts.size() == 2 ? parse_integer(parts[1]) : std::nullopt;
  if (!last || !id) return bad_question("after: must be what `next` of the page before said");
  return store::AlertCursor{*last, *id};
}

void append_alert(JsonWriter& json, const store::Alert& alert) {
  json.begin_object();
  json.field("id", alert.id);
  json.field("state", name_of(alert.state));
  json.field("label", alert.label);
  append_ends(json, alert);
  json.field("first", iso8601(alert.first_us));
  json.field("last", iso8601(alert.last_us));
  json.field("count", alert.count);
  json.field("score", alert.score_max);
  json.field("severity", detect::severity(alert.score_max));
  json.field("detector", alert.detector);
  json.field("origin", alert.origin);
  json.field("changed", iso8601(alert.touched_us));
  if (!alert.flow.empty()) {
    json.key("flow");
    json.raw(alert.flow);
  }
  json.end_object();
}

void append_verdict(JsonWriter& json, const store::Verdict& verdict) {
  json.begin_object();
  json.field("id", verdict.id);
  json.field("time", iso8601(verdict.time_us));
  json.field("attack", verdict.attack);
  json.field("label", verdict.label);
  json.field("score", verdict.score);
  append_ends(json, verdict);
  json.field("detector", verdict.detector);
  json.field("origin", verdict.origin);
  if (verdict.alert != 0) json.field("alert", verdict.alert);
  if (!verdict.flow.empty()) {
    json.key("flow");
    json.raw(verdict.flow);
  }
  json.end_object();
}

void append_alert_eve(std::string& out, const store::Alert& alert) {
  JsonWriter json(out);
  json.begin_object();
  json.field("timestamp", eve_moment(alert.last_us));
  json.field("event_type", "alert");
  const bool ports = detect::has_ports(alert.protocol);
  if (alert.source) json.field("src_ip", address_text(alert.source));
  if (ports) json.field("src_port", alert.source_port);
  if (alert.target) json.field("dest_ip", address_text(alert.target));
  if (ports) json.field("dest_port", alert.target_port);
  json.field("proto", detect::protocol_text(alert.protocol));
  // Without type and code, ICMP has no id that other tools would agree with.
  if (alert.source && alert.target && ports) json.field("community_id", flow::community_id(tuple_of(alert)));
  json.key("alert");
  json.begin_object();
  json.field("action", "allowed");
  json.field("gid", 1);
  json.field("signature_id", detect::signature_id(alert.label));
  json.field("rev", 1);
  json.field("signature", fmt::format("nidus {}: {}", alert.detector, alert.label));
  json.field("category", detect::category_of(alert.label));
  json.field("severity", detect::severity(alert.score_max));
  json.end_object();
  json.key("nidus");
  json.begin_object();
  json.field("alert_id", alert.id);
  json.field("state", name_of(alert.state));
  json.field("detector", alert.detector);
  json.field("label", alert.label);
  json.field("score", alert.score_max);
  json.field("count", alert.count);
  json.field("first", eve_moment(alert.first_us));
  json.end_object();
  json.end_object();
  out += '\n';
}

const std::string_view kAlertCsvHeader =
    "id,state,label,src_ip,src_port,dst_ip,dst_port,protocol,first,last,count,score,detector\n";

void append_alert_csv(std::string& out, const store::Alert& alert) {
  const bool ports = detect::has_ports(alert.protocol);
  out += fmt::format("{},{},", alert.id, name_of(alert.state));
  append_csv_cell(out, harmless(alert.label));
  out += ',';
  if (alert.source) out += address_text(alert.source);
  out += ports ? fmt::format(",{},", alert.source_port) : ",,";
  if (alert.target) out += address_text(alert.target);
  out += ports ? fmt::format(",{},", alert.target_port) : ",,";
  out += fmt::format("{},{},{},{},", alert.protocol, iso8601(alert.first_us), iso8601(alert.last_us),
                     alert.count);
  append_number(out, alert.score_max);
  out += ',';
  append_csv_cell(out, harmless(alert.detector));
  out += '\n';
}

}  // namespace nidus::serve
