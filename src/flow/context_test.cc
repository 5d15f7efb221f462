#include "flow/context.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <set>

#include "flow/columns.h"
#include "flow/conn_state.h"
#include "flow/testing.h"

namespace nidus::flow {
namespace {

constexpr std::int64_t kSecond = 1'000'000;

FlowRecord udp_flow(std::int64_t end_us, int from, int to, int port, std::uint64_t sent,
                    std::uint64_t answered) {
  FlowRecord record;
  record.tuple = udp(0, host(from, 4000), host(to, port), 0).tuple;
  record.start_us = end_us - 1000;
  record.last_us = end_us;
  record.direction[0].packets = 1;
  record.direction[0].payload_bytes = sent;
  record.direction[1].packets = answered > 0;
  record.direction[1].payload_bytes = answered;
  record.end_reason = EndReason::idle;
  return record;
}

std::map<std::string, double> by_key(const FlowContext& context) {
  std::map<std::string, double> out;
  for (std::size_t i = 0; i < kContextFeatures; ++i) {
    out[std::string(context_features()[i].key)] = context.values[i];
  }
  return out;
}

class ContextTest : public testing::Test {
 protected:
  std::map<std::string, double> compute(const FlowRecord& record) {
    FlowContext context;
    features_.compute(record, context);
    return by_key(context);
  }
  ContextFeatures features_{1000};
};

TEST_F(ContextTest, AFlowAloneHasItselfAround) {
  auto alone = compute(udp_flow(kSecond, 1, 2, 53, 40, 100));
  for (const auto* const window : {"_2s", "_10s", "_60s"}) {
    for (const auto* const scope : {"ctx_src", "ctx_dst", "ctx_pair", "ctx_srv"}) {
      EXPECT_EQ(alone[std::string(scope) + "_flows" + window], 1);
      EXPECT_EQ(alone[std::string(scope) + "_failures" + window], 0);
      EXPECT_EQ(alone[std::string(scope) + "_bytes" + window], 140);
    }
    EXPECT_EQ(alone[std::string("ctx_src_ports") + window], 1);
    EXPECT_EQ(alone[std::string("ctx_dst_hosts") + window], 1);
  }
  EXPECT_EQ(alone["ctx_link_gap"], 60 * kSecond);
  EXPECT_EQ(alone["ctx_link_gap_change"], 60 * kSecond);
}

// Host 1 asks two hosts on two ports, host 9 asks one of them; worked out on paper.
TEST_F(ContextTest, CountsWhatFlowsHaveInCommon) {
  compute(udp_flow(1 * kSecond, 1, 2, 53, 10, 0));
  compute(udp_flow(5 * kSecond, 1, 2, 53, 20, 1));
  compute(udp_flow(6 * kSecond, 9, 2, 53, 40, 1));
  compute(udp_flow(6 * kSecond, 1, 3, 99, 80, 0));
  auto last = compute(udp_flow(6 * kSecond + 500'000, 1, 2, 54, 160, 1));
  EXPECT_EQ(last["ctx_src_flows_2s"], 3);  // at 5, 6 and now
  EXPECT_EQ(last["ctx_src_flows_10s"], 4);
  EXPECT_EQ(last["ctx_src_failures_2s"], 1);
  EXPECT_EQ(last["ctx_src_failures_10s"], 2);
  EXPECT_EQ(last["ctx_src_ports_2s"], 3);
  EXPECT_EQ(last["ctx_src_hosts_10s"], 2);
  EXPECT_EQ(last["ctx_src_bytes_60s"], 10 + 21 + 80 + 161);
  EXPECT_EQ(last["ctx_dst_flows_2s"], 3);
  EXPECT_EQ(last["ctx_dst_hosts_2s"], 2);
  EXPECT_EQ(last["ctx_dst_ports_2s"], 2);
  EXPECT_EQ(last["ctx_pair_flows_10s"], 3);
  EXPECT_EQ(last["ctx_pair_ports_10s"], 2);
  EXPECT_EQ(last["ctx_srv_flows_10s"], 1);
  auto next = compute(udp_flow(7 * kSecond, 9, 2, 53, 0, 1));
  EXPECT_EQ(next["ctx_srv_flows_2s"], 2);  // that at 5 came 2 s before: outside
  EXPECT_EQ(next["ctx_srv_hosts_2s"], 1);
  EXPECT_EQ(next["ctx_srv_flows_10s"], 4);
  EXPECT_EQ(next["ctx_srv_hosts_10s"], 2);
  EXPECT_EQ(next["ctx_srv_failures_10s"], 1);
}

TEST_F(ContextTest, ABeatIsKnownByItsGaps) {
  std::map<std::string, double> beat;
  for (int i = 0; i < 5; ++i)
    beat = compute(udp_flow(100 * kSecond + i * 7 * kSecond + i % 2 * 1000, 1, 2, 443, 1, 1));
  EXPECT_EQ(beat["ctx_link_gap"], 7 * kSecond - 1000);
  EXPECT_EQ(beat["ctx_link_gap_change"], 2000);
  auto other = compute(udp_flow(130 * kSecond, 1, 2, 444, 1, 1));
  EXPECT_EQ(other["ctx_link_gap"], 60 * kSecond);
  auto after_a_pause = compute(udp_flow(300 * kSecond, 1, 2, 443, 1, 1));
  EXPECT_EQ(after_a_pause["ctx_link_gap"], 60 * kSecond);
  auto second = compute(udp_flow(301 * kSecond, 1, 2, 443, 1, 1));
  EXPECT_EQ(second["ctx_link_gap"], kSecond);
  EXPECT_EQ(second["ctx_link_gap_change"], 60 * kSecond);
}

TEST_F(ContextTest, AnEarlyRecordSeesButIsNotSeen) {
  compute(udp_flow(1 * kSecond, 1, 2, 53, 1, 1));
  FlowRecord early = udp_flow(2 * kSecond, 1, 2, 53, 1, 1);
  early.end_reason = EndReason::partial;
  auto at_first = compute(early);
  EXPECT_EQ(at_first["ctx_pair_flows_10s"], 2);
  EXPECT_EQ(at_first["ctx_link_gap"], kSecond);
  early.tuple.destination_port = 77;  // of a link that nobody else speaks of
  compute(early);
  auto at_last = compute(udp_flow(3 * kSecond, 1, 2, 53, 1, 1));
  EXPECT_EQ(at_last["ctx_pair_flows_10s"], 2);
  EXPECT_EQ(at_last["ctx_pair_ports_10s"], 1);
  EXPECT_EQ(at_last["ctx_link_gap"], 2 * kSecond);
}

// The definition, flow by flow, with nothing kept.
FlowContext plainly(const std::vector<FlowRecord>& all, std::size_t at, std::size_t flows_max) {
  FlowContext out;
  double* value = out.values.data();
  const net::FiveTuple& me = all[at].tuple;
  std::vector<std::int64_t> times;  // never earlier than that of the one before
  for (std::size_t i = 0; i <= at; ++i) {
    times.push_back(std::max(i == 0 ? INT64_MIN : times.back(), all[i].last_us));
  }
  const auto time = [&](std::size_t i) { return times[i]; };
  const std::int64_t now = time(at);
  // Early records are nobody's neighbours.
  std::vector<std::size_t> seen;
  for (std::size_t i = 0; i <= at; ++i) {
    if (i == at || all[i].end_reason != EndReason::partial) seen.push_back(i);
  }
  const std::size_t from = seen.size() > flows_max ? seen.size() - flows_max : 0;
  std::vector<std::int64_t> ends;  // of my link, in the longest window
  for (const std::int64_t window : kWindowsUs) {
    ends.clear();
    struct Sum {
      double flows = 0, failures = 0, bytes = 0;
      std::set<std::tuple<int, int>> ports;
      std::set<net::Address> others;
    } src, dst, pair, srv;
    for (std::size_t s = from; s < seen.size(); ++s) {
      const FlowRecord& r = all[seen[s]];
      if (now - time(seen[s]) >= window) continue;
      const net::FiveTuple& t = r.tuple;
      const bool same_source = t.source == me.source && t.version == me.version;
      const bool same_target = t.destination == me.destination && t.version == me.version;
      const bool same_port = t.destination_port == me.destination_port && t.protocol == me.protocol;
      const auto add = [&](bool counts, Sum& sum, const net::Address& other) {
        if (!counts) return;
        ++sum.flows;
        sum.failures += failed(r);
        sum.bytes += static_cast<double>(r.direction[0].payload_bytes + r.direction[1].payload_bytes);
        sum.ports.insert({t.destination_port, t.protocol});
        sum.others.insert(other);
      };
      add(same_source, src, t.destination);
      add(same_target, dst, t.source);
      add(same_source && same_target, pair, t.source);
      add(same_target && same_port, srv, t.source);
      if (same_source && same_target && same_port) ends.push_back(time(seen[s]));
    }
    for (const Sum* sum : {&src, &dst}) {
      for (const double v : {sum->flows, sum->failures, static_cast<double>(sum->ports.size()),
                             static_cast<double>(sum->others.size()), sum->bytes}) {
        *value++ = v;
      }
    }
    for (const double v : {pair.flows, pair.failures, static_cast<double>(pair.ports.size()), pair.bytes,
                           srv.flows, srv.failures, static_cast<double>(srv.others.size()), srv.bytes}) {
      *value++ = v;
    }
  }
  const std::size_t n = ends.size();
  *value++ = n > 1 ? static_cast<double>(ends[n - 1] - ends[n - 2]) : 60e6;
  return out;
}

void hold_against_the_definition(std::size_t flows_max, std::uint64_t seed) {
  MeterOptions options;
  options.hash_seed = seed;
  options.partial_after_packets = 3;
  options.idle_timeout = std::chrono::seconds(20);
  auto records = meter_all(options, random_traffic(seed, 2500, true));
  ContextStage stage;
  for (const FlowRecord& record : records) stage.add(record);
  std::vector<FlowRecord> ordered;
  for (auto some = stage.take(INT64_MAX); !some.empty(); some = stage.take(INT64_MAX)) {
    for (const FlowRecord* record : some) ordered.push_back(*record);
  }
  ASSERT_EQ(ordered.size(), records.size());
  ASSERT_GT(ordered.size(), 300u);
  ContextFeatures features(flows_max);
  FlowContext context;
  for (std::size_t i = 0; i < ordered.size(); ++i) {
    features.compute(ordered[i], context);
    const FlowContext expected = plainly(ordered, i, flows_max);
    for (std::size_t v = 0; v + 1 < kContextFeatures; ++v) {
      ASSERT_EQ(context.values[v], expected.values[v]) << context_features()[v].key << " of flow " << i;
    }
  }
  EXPECT_EQ(features.forgotten() > 0, flows_max < 100);
}

TEST(ContextReferenceTest, RandomTrafficIsCountedAsTheDefinitionSays) {
  hold_against_the_definition(1000, 1);
}

TEST(ContextReferenceTest, SoItIsWhenThereIsNoRoom) { hold_against_the_definition(9, 2); }

TEST(ContextBoundTest, AFloodOfNewSourcesStaysInsideItsRoomAndIsCounted) {
  constexpr std::size_t kRoom = 1 << 10, kFlood = 100'000;
  ContextFeatures features(kRoom);
  FlowContext context;
  std::size_t full = 0;
  for (std::uint32_t i = 0; i < kFlood; ++i) {
    FlowRecord record = udp_flow(kSecond + i, 1, 2, static_cast<int>(i % 60'000), 1, 0);
    std::memcpy(record.tuple.source.bytes.data(), &i, sizeof i);
    if (i % 3 == 0) std::memcpy(record.tuple.destination.bytes.data(), &i, sizeof i);
    features.compute(record, context);
    if (i == 4 * kRoom) full = features.bytes_in_use();
  }
  EXPECT_EQ(features.forgotten(), kFlood - kRoom);
  EXPECT_EQ(features.bytes_in_use(), full);
  EXPECT_LE(full, kRoom * 1000);
}

// A full connection, one that was refused and one that nobody answered.
TEST(FailedTest, WhatNeverBecameAConnectionHasFailed) {
  const Host a = host(1, 4000), b = host(2, 22);
  const auto record_of = [](const std::vector<net::Packet>& packets) { return meter_all({}, packets).at(0); };
  EXPECT_FALSE(failed(record_of({tcp(0, a, b, "S"), tcp(1, b, a, "SA"), tcp(2, a, b, "A")})));
  EXPECT_TRUE(failed(record_of({tcp(0, a, b, "S"), tcp(1, b, a, "RA")})));
  EXPECT_TRUE(failed(record_of({tcp(0, a, b, "S")})));
  EXPECT_TRUE(failed(record_of({udp(0, a, b, 9)})));
  EXPECT_FALSE(failed(record_of({udp(0, a, b, 9), udp(1, b, a, 9)})));
}

}  // namespace
}  // namespace nidus::flow
