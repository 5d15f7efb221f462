#include "flow/end_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "flow/testing.h"

namespace nidus::flow {
namespace {

using testing::ElementsAre;

FlowRecord record(std::int64_t last_us, int port = 80) {
  FlowRecord out;
  out.tuple.destination_port = static_cast<std::uint16_t>(port);
  out.start_us = 1;
  out.last_us = last_us;
  return out;
}

std::vector<std::int64_t> ends(std::span<FlowRecord* const> records) {
  std::vector<std::int64_t> out;
  for (const FlowRecord* r : records) out.push_back(r->last_us);
  return out;
}

TEST(EndOrderTest, RecordsLeaveInTheOrderOfTheirEnd) {
  EndOrder order(100);
  for (const int end : {50, 10, 40, 20}) order.add(record(end));
  EXPECT_THAT(ends(order.take(20, 9)), ElementsAre(10, 20));
  EXPECT_THAT(ends(order.take(20, 9)), ElementsAre());
  order.add(record(30));
  EXPECT_THAT(ends(order.take(INT64_MAX, 2)), ElementsAre(30, 40));
  EXPECT_THAT(ends(order.take(INT64_MAX, 2)), ElementsAre(50));
  EXPECT_EQ(order.late(), 0u);
  EXPECT_EQ(order.held(), 0u);
}

TEST(EndOrderTest, ARecordThatComesTooLateIsCountedAndLeavesNext) {
  EndOrder order(100);
  order.add(record(50));
  order.add(record(55));
  EXPECT_THAT(ends(order.take(50, 9)), ElementsAre(50));
  order.add(record(10));
  EXPECT_THAT(ends(order.take(INT64_MAX, 9)), ElementsAre(10, 55));
  EXPECT_EQ(order.late(), 1u);
}

TEST(EndOrderTest, BeyondItsRoomTheEarliestGo) {
  EndOrder order(2);
  for (const int end : {30, 20, 10, 40}) order.add(record(end));
  EXPECT_THAT(ends(order.take(INT64_MIN, 9)), ElementsAre(10, 20));
  EXPECT_EQ(order.held(), 2u);
  EXPECT_EQ(order.forced(), 2u);
}

TEST(EndOrderTest, EqualTimesAreOrderedByWhoTheyAreWhateverCameFirst) {
  FlowRecord early = record(10, 2);
  early.end_reason = EndReason::partial;
  const FlowRecord a = record(10, 1), b = record(10, 2);
  std::vector<const FlowRecord*> all = {&a, &b, &early};
  std::sort(all.begin(), all.end());
  do {
    EndOrder order(9);
    for (const FlowRecord* r : all) order.add(*r);
    const auto taken = order.take(INT64_MAX, 9);
    ASSERT_EQ(taken.size(), 3u);
    EXPECT_EQ(taken[0]->end_reason, EndReason::partial);
    EXPECT_EQ(taken[1]->tuple.destination_port, 1);
    EXPECT_EQ(taken[2]->tuple.destination_port, 2);
  } while (std::next_permutation(all.begin(), all.end()));
}

TEST(EndOrderTest, StepsAreKeptWithTheirRecord) {
  EndOrder order(9);
  for (std::uint32_t i = 1; i <= 3; ++i) {
    std::vector<PacketStep> steps(i, PacketStep{100 * i, i, 0});
    FlowRecord r = record(10 - static_cast<int>(i));
    r.sequence_packets = static_cast<std::uint8_t>(i);
    if (i != 2) r.steps = steps.data();
    order.add(r);
  }
  const auto taken = order.take(INT64_MAX, 9);
  ASSERT_EQ(taken.size(), 3u);
  EXPECT_EQ(taken[0]->steps[2].payload_bytes, 300u);
  EXPECT_EQ(taken[1]->steps, nullptr);
  EXPECT_EQ(taken[2]->steps[0].payload_bytes, 100u);
}

}  // namespace
}  // namespace nidus::flow
