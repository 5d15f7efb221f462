#include "detect/label_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nidus::detect {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view kHeader = "capture,from,to,a,a_port,b,b_port,protocol,label,attack,group\n";

// The label file with these lines, and what it says about flows of day.pcap.
class LabelRulesTest : public testing::Test {
 protected:
  void given(std::string_view lines) {
    auto parsed = LabelRules::parse(std::string(kHeader) + std::string(lines), "labels.csv");
    ASSERT_TRUE(parsed) << parsed.error().message;
    rules_ = std::make_unique<LabelRules>(std::move(*parsed));
  }

  std::string complaint(std::string_view lines) {
    const auto parsed = LabelRules::parse(std::string(kHeader) + std::string(lines), "labels.csv");
    return parsed ? "none" : parsed.error().message;
  }

  // The label of a flow "10.0.0.1:4000 > 10.0.0.2:80" that began so many seconds after 1970.
  std::string label(std::string_view from, std::uint16_t from_port, std::string_view to,
                    std::uint16_t to_port, std::uint8_t protocol = net::protocol::tcp, double seconds = 100) {
    flow::FlowRecord record;
    const auto source = net::parse_address(from), destination = net::parse_address(to);
    record.tuple = {source->address, destination->address, from_port, to_port, protocol, source->version, 0};
    record.start_us = static_cast<std::int64_t>(seconds * 1e6);
    const auto* const capture = rules_->of("/somewhere/day.pcap");
    const LabelRule* const rule = capture == nullptr ? nullptr : capture->match(record);
    return rule == nullptr ? "none" : rule->label;
  }

  std::unique_ptr<LabelRules> rules_;
};

TEST_F(LabelRulesTest, TheFirstRuleInTheOrderOfTheFileWins) {
  given(
      "day.pcap,,,,,10.0.0.2,80,tcp,web,,\n"
      "day.pcap,,,10.0.0.1,,,,,scan,,\n"
      "day.pcap,,,,,,,,benign,,\n");
  EXPECT_EQ(label("10.0.0.1", 4000, "10.0.0.2", 80), "web");
  EXPECT_EQ(label("10.0.0.1", 4000, "10.0.0.2", 81), "scan");
  EXPECT_EQ(label("10.0.0.3", 4000, "10.0.0.2", 81), "benign");
}

TEST_F(LabelRulesTest, BothDirectionsMatchButTheEndsStayTogether) {
  given("day.pcap,,,10.0.0.1,,10.0.0.2,80,,web,,\n");
  EXPECT_EQ(label("10.0.0.1", 4000, "10.0.0.2", 80), "web");
  EXPECT_EQ(label("10.0.0.2", 80, "10.0.0.1", 4000), "web");
  EXPECT_EQ(label("10.0.0.1", 80, "10.0.0.2", 4000), "none");
}

TEST_F(LabelRulesTest, TheStartOfTheFlowDecidesAndBothEndsOfTheTimeAreIn) {
  given("day.pcap,100.5,200.25,,,,,,scan,,\nday.pcap,300,,,,,,,late,,\n");
  EXPECT_EQ(label("10.0.0.1", 1, "10.0.0.2", 2, 6, 100.499999), "none");
  EXPECT_EQ(label("10.0.0.1", 1, "10.0.0.2", 2, 6, 100.5), "scan");
  EXPECT_EQ(label("10.0.0.1", 1, "10.0.0.2", 2, 6, 200.25), "scan");
  EXPECT_EQ(label("10.0.0.1", 1, "10.0.0.2", 2, 6, 200.250001), "none");
  EXPECT_EQ(label("10.0.0.1", 1, "10.0.0.2", 2, 6, 1e6), "late");
}

TEST_F(LabelRulesTest, NetworksOfBothVersionsMatch) {
  given("day.pcap,,,10.1.0.0/16,,,,,four,,\nday.pcap,,,2001:db8::/32,,,,,six,,\n");
  EXPECT_EQ(label("10.1.200.3", 1, "8.8.8.8", 2), "four");
  EXPECT_EQ(label("10.2.200.3", 1, "8.8.8.8", 2), "none");
  EXPECT_EQ(label("2001:db9::1", 1, "2001:db8:5::1", 2), "six");
}

TEST_F(LabelRulesTest, IcmpCoversBothVersionsAndHasNoPorts) {
  given("day.pcap,,,,8,,,,echo,,\nday.pcap,,,,,,,icmp,ping,,\nday.pcap,,,,,,,47,gre,,\n");
  EXPECT_EQ(label("10.0.0.1", 8, "10.0.0.2", 0, net::protocol::icmp), "ping");
  EXPECT_EQ(label("fe80::1", 128, "fe80::2", 129, net::protocol::icmpv6), "ping");
  EXPECT_EQ(label("10.0.0.1", 0, "10.0.0.2", 0, net::protocol::gre), "gre");
  EXPECT_EQ(label("10.0.0.1", 8, "10.0.0.2", 53, net::protocol::udp), "echo");
}

TEST_F(LabelRulesTest, ARuleIsAboutOneCaptureWhereverItLiesAndHoweverItIsPacked) {
  given("day.pcap,,,,,,,,benign,,monday\nother.pcap,,,,,,,,scan,,\n");
  EXPECT_EQ(rules_->of("/x/day.pcap")->capture(), "day.pcap");
  EXPECT_EQ(rules_->of("day.pcap.zst")->capture(), "day.pcap");
  EXPECT_EQ(rules_->of("day.pcap.gz")->capture(), "day.pcap");
  EXPECT_EQ(rules_->of("night.pcap"), nullptr);
  EXPECT_THAT(rules_->captures(), ElementsAre("day.pcap", "other.pcap"));
  EXPECT_EQ(rules_->rules()[0].group, "monday");
}

TEST_F(LabelRulesTest, RulesAboutHostsAreFoundInTheOrderOfTheFileToo) {
  std::string lines;
  for (int i = 0; i < 200; ++i) lines += "day.pcap,,,10.0.0." + std::to_string(i) + ",,,22,tcp,host,,\n";
  lines += "day.pcap,,,10.0.0.0/24,,,,tcp,net,,\nday.pcap,,,10.0.0.7,,,,tcp,behind,,\n";
  given(lines);
  EXPECT_EQ(label("192.0.2.1", 22, "10.0.0.7", 5555), "host");
  EXPECT_EQ(label("192.0.2.1", 23, "10.0.0.7", 5555), "net");
  EXPECT_EQ(label("10.0.0.250", 23, "10.0.0.7", 5555), "net");
}

TEST_F(LabelRulesTest, EveryFaultNamesFileRuleAndCell) {
  EXPECT_EQ(complaint("day.pcap,soon,,,,,,,scan,,\n"),
            "labels.csv: rule 1: from: 'soon' is not seconds since 1970");
  EXPECT_THAT(complaint("day.pcap,,,,,,,,x,,\nday.pcap,,,10.0.0.300,,,,,x,,\n"),
              HasSubstr("rule 2: a: '10.0.0.300' is not an address"));
  EXPECT_THAT(complaint("day.pcap,,,,70000,,,,x,,\n"), HasSubstr("a_port: '70000'"));
  EXPECT_THAT(complaint("day.pcap,,,,,,,quic,x,,\n"), HasSubstr("protocol: 'quic'"));
  EXPECT_THAT(complaint("day.pcap,9,8,,,,,,x,,\n"), HasSubstr("from lies behind to"));
  EXPECT_THAT(complaint("day.pcap,,,,,,,,,scan,\n"), HasSubstr("label: empty"));
  EXPECT_THAT(complaint(",,,,,,,,x,,\n"), HasSubstr("capture: empty"));
  const auto parsed = LabelRules::parse("capture,from,until\na,,\n", "labels.csv");
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().code, Errc::corrupt);
  EXPECT_THAT(parsed.error().message, HasSubstr("'to'"));
}

}  // namespace
}  // namespace nidus::detect
