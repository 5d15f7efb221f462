#include "flow/columns.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "flow/context.h"

namespace nidus::flow {
namespace {

TEST(ColumnsTest, EachColumnIsFoundByItsNameAndNoNameIsThereTwice) {
  std::set<std::string> names;
  for (const Group group : {Group::flow, Group::context, Group::sequence}) {
    EXPECT_EQ(group_from_name(name(group)), group);
    for (std::size_t i = 0; i < columns_in(group); ++i) {
      const FlowColumn column{group, static_cast<std::uint16_t>(i)};
      EXPECT_TRUE(names.insert(key(column)).second) << key(column);
      EXPECT_EQ(column_from_name(key(column)), column) << key(column);
      EXPECT_FALSE(unit(column).empty());
    }
  }
  EXPECT_EQ(names.size(), kFeatures + 56 + 64);
  EXPECT_TRUE(column_from_name(" CTX_src_flows_10s "));
  for (const auto* const wrong : {"ctx_", "ctx_src_flows_3s", "ctx_pair_hosts_2s", "seq_size_0",
                                  "seq_size_33", "seq_size_01", "seq_size_", "seq_gap_-1", "seq_foo_1", ""}) {
    EXPECT_FALSE(column_from_name(wrong)) << wrong;
  }
}

TEST(ColumnsTest, AColumnAsksForWhatItNeeds) {
  MeterOptions options;
  ask_for(*column_from_name("fwd_pkts"), options);
  EXPECT_FALSE(options.context);
  EXPECT_EQ(options.sequence_packets, 0u);
  ask_for(*column_from_name("seq_gap_7"), options);
  ask_for(*column_from_name("seq_size_3"), options);
  ask_for(*column_from_name("ctx_link_gap"), options);
  EXPECT_TRUE(options.context);
  EXPECT_EQ(options.sequence_packets, 7u);
}

TEST(ColumnsTest, PacketsAreSignedByDirectionAndMissingOnesAreNoNumber) {
  const PacketStep steps[] = {{0, 0, 0}, {700, 1500, 1}, {20, 30, 0}};
  FlowRecord record;
  const auto value = [&](const char* name) { return value_beside(*column_from_name(name), record); };
  record.sequence_packets = 3;
  EXPECT_TRUE(std::isnan(value("seq_size_1")));  // not kept
  EXPECT_TRUE(std::isnan(value("ctx_src_flows_2s")));
  record.steps = steps;
  EXPECT_EQ(value("seq_size_1"), 0);
  EXPECT_EQ(value("seq_size_2"), -700);
  EXPECT_EQ(value("seq_gap_2"), 1500);
  EXPECT_EQ(value("seq_size_3"), 20);
  EXPECT_TRUE(std::isnan(value("seq_size_4")));
  EXPECT_TRUE(std::isnan(value("seq_gap_32")));
  FlowContext context;
  context.values[0] = 5;
  record.context = &context;
  EXPECT_EQ(value("ctx_src_flows_2s"), 5);
}

}  // namespace
}  // namespace nidus::flow
