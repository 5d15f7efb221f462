#include "detect/label_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "base/number.h"
#include "base/text.h"
#include "data/table_reader.h"
#include "detect/subject.h"

namespace nidus::detect {
namespace {

constexpr std::uint32_t kNone = UINT32_MAX;

bool is_host(const std::optional<net::Network>& network) {
  return network && network->prefix_bits == (network->version == net::IpVersion::v4 ? 32 : 128);
}

// Reads the cells of one rule; remembers the first that cannot be read.
class RuleReader {
 public:
  RuleReader(std::size_t row, const std::vector<const data::Column*>& columns)
      : row_(row), columns_(columns) {}

  std::string text(std::size_t column) const { return std::string(trim(columns_[column]->cell(row_))); }

  std::optional<std::int64_t> microseconds(std::size_t column) {
    return read<std::int64_t>(column, "seconds since 1970",
                              [](const std::string& cell) -> std::optional<std::int64_t> {
                                const auto seconds = parse_number(cell);
                                if (!seconds || !(std::abs(*seconds) < 9e12)) return std::nullopt;
                                return std::llround(*seconds * 1e6);
                              });
  }

  std::optional<net::Network> network(std::size_t column) {
    return read<net::Network>(column, "an address or network",
                              [](const std::string& cell) { return net::parse_network(cell); });
  }

  std::optional<std::uint16_t> port(std::size_t column) {
    return read<std::uint16_t>(column, "a port", [](const std::string& cell) -> std::optional<std::uint16_t> {
      const auto number = parse_integer(cell);
      if (!number || *number < 0 || *number > 65535) return std::nullopt;
      return static_cast<std::uint16_t>(*number);
    });
  }

  std::optional<std::uint8_t> protocol(std::size_t column) {
    return read<std::uint8_t>(column, "tcp, udp, icmp or a number",
                              [](const std::string& cell) -> std::optional<std::uint8_t> {
                                if (equal_ignoring_case(cell, "tcp")) return net::protocol::tcp;
                                if (equal_ignoring_case(cell, "udp")) return net::protocol::udp;
                                if (equal_ignoring_case(cell, "icmp")) return net::protocol::icmp;
                                const auto number = parse_integer(cell);
                                if (!number || *number < 0 || *number > 255) return std::nullopt;
                                return static_cast<std::uint8_t>(*number);
                              });
  }

  const std::string& wrong() const { return wrong_; }

 private:
  template <class T, class Parse>
  std::optional<T> read(std::size_t column, const char* what, Parse&& parse) {
    const std::string cell = text(column);
    if (cell.empty()) return std::nullopt;
    const std::optional<T> value = parse(cell);
    if (!value && wrong_.empty())
      wrong_ = fmt::format("{}: '{}' is not {}", columns_[column]->name, cell, what);
    return value;
  }

  std::size_t row_;
  const std::vector<const data::Column*>& columns_;
  std::string wrong_;
};

Result<std::vector<LabelRule>> rules_of(const data::Table& table, const std::string& name) {
  enum : std::size_t { capture, from, to, a, a_port, b, b_port, protocol, label, attack, group };
  constexpr const char* kNames[] = {"capture", "from",     "to",    "a",      "a_port", "b",
                                    "b_port",  "protocol", "label", "attack", "group"};
  std::vector<const data::Column*> columns;
  for (const char* const wanted : kNames) {
    const auto column = table.require(wanted);
    if (!column) return Error{Errc::corrupt, fmt::format("{}: {}", name, column.error().message)};
    columns.push_back(*column);
  }
  std::vector<LabelRule> rules;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    RuleReader cells(row, columns);
    LabelRule rule;
    rule.capture = cells.text(capture);
    rule.from_us = cells.microseconds(from);
    rule.to_us = cells.microseconds(to);
    rule.a = cells.network(a);
    rule.a_port = cells.port(a_port);
    rule.b = cells.network(b);
    rule.b_port = cells.port(b_port);
    rule.protocol = cells.protocol(protocol);
    rule.icmp = equal_ignoring_case(cells.text(protocol), "icmp");
    rule.label = cells.text(label);
    rule.attack = cells.text(attack);
    rule.group = cells.text(group);
    std::string wrong = cells.wrong();
    if (wrong.empty() && rule.capture.empty()) wrong = "capture: empty";
    if (wrong.empty() && rule.label.empty()) wrong = "label: empty";
    if (wrong.empty() && rule.from_us && rule.to_us && *rule.from_us > *rule.to_us)
      wrong = "from lies behind to";
    if (!wrong.empty()) return Error{Errc::corrupt, fmt::format("{}: rule {}: {}", name, row + 1, wrong)};
    rules.push_back(std::move(rule));
  }
  return rules;
}

data::TableOptions table_options() {
  data::TableOptions options;
  options.separator = ',';
  options.strict = true;  // a rule that cannot be read must not be passed over
  options.rows_max = LabelRules::kRulesMax;
  options.columns_max = 64;
  return options;
}

}  // namespace

bool LabelRule::matches(const flow::FlowRecord& record) const {
  if (from_us && record.start_us < *from_us) return false;
  if (to_us && record.start_us > *to_us) return false;
  const net::FiveTuple& tuple = record.tuple;
  if (icmp) {
    if (tuple.protocol != net::protocol::icmp && tuple.protocol != net::protocol::icmpv6) return false;
  } else if (protocol && tuple.protocol != *protocol) {
    return false;
  }
  if ((a_port || b_port) && !has_ports(tuple.protocol)) return false;
  const auto end_is = [&](const std::optional<net::Network>& network,
                          const std::optional<std::uint16_t>& port, const net::Address& address,
                          std::uint16_t its_port) {
    return (!network || network->contains(address, tuple.version)) && (!port || *port == its_port);
  };
  return (end_is(a, a_port, tuple.source, tuple.source_port) &&
          end_is(b, b_port, tuple.destination, tuple.destination_port)) ||
         (end_is(a, a_port, tuple.destination, tuple.destination_port) &&
          end_is(b, b_port, tuple.source, tuple.source_port));
}

void LabelRules::OfCapture::index() {
  std::map<net::Address, std::vector<std::uint32_t>> hosts;
  std::vector<std::uint32_t> general;
  for (const std::uint32_t i : general_) {
    const LabelRule& rule = (*all_)[i];
    if (is_host(rule.a)) {
      hosts[rule.a->address].push_back(i);
    } else if (is_host(rule.b)) {
      hosts[rule.b->address].push_back(i);
    } else {
      general.push_back(i);
    }
  }
  general_ = std::move(general);
  for (auto& [address, rules] : hosts) hosts_.push_back({address, std::move(rules)});
}

void LabelRules::OfCapture::first_of(const std::vector<std::uint32_t>& candidates,
                                     const flow::FlowRecord& record, std::uint32_t& best) const {
  for (const std::uint32_t i : candidates) {
    if (i >= best) return;
    if ((*all_)[i].matches(record)) {
      best = i;
      return;
    }
  }
}

const LabelRule* LabelRules::OfCapture::match(const flow::FlowRecord& record) const {
  std::uint32_t best = kNone;
  for (const net::Address* address : {&record.tuple.source, &record.tuple.destination}) {
    const auto host = std::lower_bound(
        hosts_.begin(), hosts_.end(), *address,
        [](const Keyed& keyed, const net::Address& wanted) { return keyed.address < wanted; });
    if (host != hosts_.end() && host->address == *address) first_of(host->rules, record, best);
  }
  first_of(general_, record, best);
  return best == kNone ? nullptr : &(*all_)[best];
}

Result<LabelRules> LabelRules::load(const std::filesystem::path& path) {
  const auto table = data::read_table(path, table_options());
  if (!table) return table.error();
  auto rules = rules_of(*table, path.string());
  if (!rules) return std::move(rules).error();
  return LabelRules(std::move(*rules));
}

Result<LabelRules> LabelRules::parse(std::string_view csv, const std::string& name) {
  const auto table = data::parse_table(csv, name, table_options());
  if (!table) return table.error();
  auto rules = rules_of(*table, name);
  if (!rules) return std::move(rules).error();
  return LabelRules(std::move(*rules));
}

LabelRules::LabelRules(std::vector<LabelRule> rules)
    : rules_(std::make_shared<const std::vector<LabelRule>>(std::move(rules))) {
  std::map<std::string, std::vector<std::uint32_t>, std::less<>> by_capture;
  for (std::uint32_t i = 0; i < rules_->size(); ++i) by_capture[(*rules_)[i].capture].push_back(i);
  std::vector<OfCapture> captures;
  for (auto& [name, indices] : by_capture) {
    OfCapture& capture = captures.emplace_back();
    capture.capture_ = name;
    capture.all_ = rules_;
    capture.general_ = std::move(indices);
    capture.index();
  }
  captures_ = std::make_shared<const std::vector<OfCapture>>(std::move(captures));
}

const LabelRules::OfCapture* LabelRules::of(const std::filesystem::path& capture) const {
  const auto find = [&](const std::string& name) -> const OfCapture* {
    const auto found =
        std::lower_bound(captures_->begin(), captures_->end(), name,
                         [](const OfCapture& c, const std::string& n) { return c.capture_ < n; });
    return found != captures_->end() && found->capture_ == name ? &*found : nullptr;
  };
  const std::filesystem::path name = capture.filename();
  if (const OfCapture* exact = find(name.string())) return exact;
  if (name.extension() != ".zst" && name.extension() != ".gz") return nullptr;
  return find(name.stem().string());
}

std::vector<std::string> LabelRules::captures() const {
  std::vector<std::string> names;
  for (const OfCapture& capture : *captures_) names.push_back(capture.capture_);
  return names;
}

}  // namespace nidus::detect
