#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "flow/record.h"
#include "net/address.h"

namespace nidus::detect {

// One line of a label file: which flows of a capture it is about, and what they are. What is not set matches
// all.
struct LabelRule {
  std::string capture;                  // file name, without folders
  std::optional<std::int64_t> from_us;  // of the flow's start, since 1970, both ends included
  std::optional<std::int64_t> to_us;
  std::optional<net::Network> a, b;             // the two ends, in either direction
  std::optional<std::uint16_t> a_port, b_port;  // never of a protocol without ports
  std::optional<std::uint8_t> protocol;
  bool icmp = false;  // "icmp": that of IPv4 or IPv6

  std::string label;   // the class: "benign", "port_scan"
  std::string attack;  // more exactly, may be empty: "syn_scan"
  std::string group;   // what must not be torn apart by a split; may be empty

  // Whatever capture the record is from.
  bool matches(const flow::FlowRecord& record) const;
};

// Who did what in which capture: a CSV table with the columns capture, from, to, a, a_port, b, b_port,
// protocol, label, attack, group in any order. Times are seconds since 1970 with up to six decimals; a and b
// addresses or networks; protocol tcp, udp, icmp or a number; a blank cell matches everything. A flow belongs
// to the first rule in the order of the file that matches.
//
// A value, safe to use from several threads at once.
class LabelRules {
 public:
  // Beyond this the file is refused with Errc::exhausted.
  static constexpr std::size_t kRulesMax = 1u << 20;

  // Errc::corrupt names file, rule and cell.
  static Result<LabelRules> load(const std::filesystem::path& path);
  static Result<LabelRules> parse(std::string_view csv, const std::string& name);

  // The rules of one capture, by its file name; "x.pcap.zst" also goes by the name of "x.pcap". Null if the
  // file says nothing about it.
  class OfCapture;
  const OfCapture* of(const std::filesystem::path& capture) const;

  const std::vector<LabelRule>& rules() const { return *rules_; }
  std::vector<std::string> captures() const;

 private:
  explicit LabelRules(std::vector<LabelRule> rules);

  std::shared_ptr<const std::vector<LabelRule>> rules_;
  std::shared_ptr<const std::vector<OfCapture>> captures_;  // by name
};

class LabelRules::OfCapture {
 public:
  // Null if no rule matches. Rules that name a single host are found by its address, so that the time does
  // not grow with the number of hosts.
  const LabelRule* match(const flow::FlowRecord& record) const;

  const std::string& capture() const { return capture_; }

 private:
  friend class LabelRules;
  struct Keyed {
    net::Address address;
    std::vector<std::uint32_t> rules;  // ascending
  };
  void index();
  void first_of(const std::vector<std::uint32_t>& candidates, const flow::FlowRecord& record,
                std::uint32_t& best) const;

  std::string capture_;
  std::shared_ptr<const std::vector<LabelRule>> all_;
  std::vector<std::uint32_t> general_;  // ascending
  std::vector<Keyed> hosts_;            // by address
};

}  // namespace nidus::detect
