#include "flow/meter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "flow/testing.h"

namespace nidus::flow {
namespace {

using std::chrono::seconds;

// A record as text that says everything, so that sets of records can be compared and differences read.
std::string text_of(Profile profile, const FlowRecord& r) {
  std::string out = std::to_string(r.start_us) + ' ' + address_text(r.tuple.source, r.tuple.version) + ':' +
                    std::to_string(r.tuple.source_port) + '>' +
                    address_text(r.tuple.destination, r.tuple.version) + ':' +
                    std::to_string(r.tuple.destination_port) + '/' + std::to_string(r.tuple.protocol) + ' ' +
                    std::string(name(r.end_reason)) + ' ' + std::string(r.history, r.history_length);
  FeatureRow row;
  compute_features(profile, r, row);
  for (std::size_t i = 0; i < kFeatures; ++i) {
    out += ' ' + std::string(features()[i].key) + '=' + std::to_string(row[i]);
  }
  return out;
}

std::vector<std::string> texts(Profile profile, const std::vector<FlowRecord>& records) {
  std::vector<std::string> out;
  for (const auto& r : records) out.push_back(text_of(profile, r));
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<FlowRecord> meter_in_blocks(const MeterOptions& options, const std::vector<net::Packet>& packets,
                                        std::size_t block) {
  Meter meter(options);
  std::vector<FlowRecord> out;
  const auto take = [&] {
    for (const auto& r : ended(meter)) out.push_back(r);
  };
  for (std::size_t i = 0; i < packets.size(); ++i) {
    meter.route(packets[i]);
    if ((i + 1) % block == 0) take();
  }
  meter.finish();
  take();
  return out;
}

MeterOptions with(Profile profile) {
  MeterOptions options;
  options.profile = profile;
  return options;
}

const Host kA = host(1, 4000), kB = host(2, 80);

TEST(Meter, RecordsDoNotDependOnBlocksOrOnTheHashSeed) {
  const auto packets = random_traffic(1, 4000);
  for (const Profile profile : kProfiles) {
    SCOPED_TRACE(name(profile));
    MeterOptions options = with(profile);
    options.hash_seed = 1;
    const auto expected = texts(profile, meter_in_blocks(options, packets, 4096));
    EXPECT_GT(expected.size(), 100u);
    for (const std::size_t block : {1u, 7u, 100'000u}) {
      options.hash_seed = block;
      EXPECT_EQ(texts(profile, meter_in_blocks(options, packets, block)), expected) << "blocks of " << block;
    }
  }
}

TEST(Meter, EndingFlowsAsTimePassesChangesNoRecord) {
  const auto packets = random_traffic(2, 6000);
  for (const Profile profile : kProfiles) {
    // Flows that go on after a pause end as "active" or "idle" when swept and may end by the end of input
    // when not.
    if (profile == Profile::nsl_kdd) continue;
    SCOPED_TRACE(name(profile));
    MeterOptions options = with(profile);
    const auto swept = meter_in_blocks(options, packets, 64);
    options.sweep = false;
    const auto lazy = meter_in_blocks(options, packets, 64);
    ASSERT_EQ(swept.size(), lazy.size());
    auto a = swept, b = lazy;
    for (auto* records : {&a, &b}) {
      for (auto& r : *records) r.end_reason = EndReason::fin;
    }
    EXPECT_EQ(texts(profile, a), texts(profile, b));
  }
}

TEST(Meter, ShiftingTimeShiftsNothingElse) {
  auto packets = random_traffic(3, 10'000);
  const auto before = meter_all(with(Profile::native), packets);
  for (auto& p : packets) p.time.ns += 86'400'000'000'000;
  auto after = meter_all(with(Profile::native), packets);
  for (auto& r : after) {
    r.start_us -= 86'400'000'000;
    r.last_us -= 86'400'000'000;
    r.connection_start_us -= 86'400'000'000;
  }
  EXPECT_EQ(texts(Profile::native, after), texts(Profile::native, before));
}

TEST(Meter, OtherAddressesAreOtherFlowsWithTheSameFeatures) {
  const auto packets = random_traffic(4, 5'000);
  auto doubled = packets;
  for (std::size_t i = 0; i < packets.size(); ++i) {
    net::Packet copy = packets[i];
    copy.tuple.source.bytes[0] = copy.tuple.destination.bytes[0] = 172;
    doubled.insert(doubled.begin() + static_cast<std::ptrdiff_t>(2 * i + 1), copy);
  }
  const auto once = meter_all(with(Profile::native), packets);
  const auto twice = meter_all(with(Profile::native), doubled);
  EXPECT_EQ(twice.size(), 2 * once.size());
}

TEST(Meter, Ipv6AndIpv4GiveTheSameFeatures) {
  auto packets = random_traffic(5, 5'000);
  for (auto& p : packets) {
    if (p.tuple.protocol == net::protocol::icmp) p.tuple.protocol = 99;  // the two have different ICMPs
  }
  const auto v4_records = meter_all(with(Profile::native), packets);
  for (auto& p : packets) {
    p.tuple.version = net::IpVersion::v6;
    for (auto* address : {&p.tuple.source, &p.tuple.destination}) {
      address->bytes[15] = address->bytes[3];
      address->bytes[3] = 0xd;
      address->bytes[9] = 7;
    }
  }
  const auto v6_records = meter_all(with(Profile::native), packets);
  ASSERT_EQ(v4_records.size(), v6_records.size());
  for (std::size_t i = 0; i < v4_records.size(); ++i) {
    FeatureRow a, b;
    compute_features(Profile::native, v4_records[i], a);
    compute_features(Profile::native, v6_records[i], b);
    EXPECT_EQ(a, b);
  }
}

TEST(Meter, NativeIsFiniteAndNeverNegativeWhateverTheOrder) {
  const std::set<Feature> may_be_minus_one = {Feature::fwd_init_win, Feature::bwd_init_win,
                                              Feature::icmp_code, Feature::icmp_type};
  Meter meter(with(Profile::native));
  for (const auto& p : random_traffic(6, 30'000, true)) meter.route(p);
  meter.finish();
  const auto records = ended(meter);
  EXPECT_GT(meter.statistics().packets_out_of_order, 0u);
  for (const auto& record : records) {
    for (const FeatureInfo& info : features()) {
      const double v = value(Profile::native, record, info.feature);
      EXPECT_TRUE(std::isfinite(v)) << info.key;
      EXPECT_GE(v, may_be_minus_one.contains(info.feature) ? -1 : 0) << info.key;
    }
  }
}

TEST(Meter, InPublishedProfilesTheSynColumnIsThePshColumn) {
  for (const Profile profile : {Profile::cic2017, Profile::cic2018}) {
    for (const auto& record : meter_all(with(profile), random_traffic(7, 10'000))) {
      EXPECT_EQ(value(profile, record, Feature::syn_cnt), value(profile, record, Feature::fwd_psh));
    }
  }
}

TEST(Meter, PacketsAreCountedOnce) {
  const auto packets = random_traffic(8, 10'000);
  std::uint64_t counted = 0;
  for (const auto& record : meter_all(with(Profile::native), packets)) counted += record.packets();
  EXPECT_EQ(counted, packets.size());
}

TEST(Meter, ABlockWithoutPacketsHasNoRecords) {
  Meter meter({});
  meter.route(udp(0, host(1, 1000), host(2, 53), 40));
  meter.finish();
  EXPECT_EQ(ended(meter).size(), 1u);
  EXPECT_EQ(ended(meter).size(), 0u);
}

TEST(Meter, SilentFlowsEndWhenTimePasses) {
  Meter meter(with(Profile::native));
  meter.route(udp(1'000'000, kA, kB, 10));
  meter.advance({121'000'000'000});
  EXPECT_THAT(ended(meter), testing::IsEmpty());  // 120 s later exactly: a packet might still join
  meter.advance({121'000'001'000});
  const auto records = ended(meter);
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].end_reason, EndReason::active);
}

TEST(Meter, IdleTimeoutAndLingerAreSettings) {
  MeterOptions options;
  options.idle_timeout = seconds(30);
  options.tcp_linger = seconds(5);
  EXPECT_EQ(Meter(options).description(), "native idle=30s linger=5s");
  Meter meter(options);
  meter.route(udp(0, kA, kB, 10));
  meter.route(tcp(0, kA, kB, "S"));
  meter.route(tcp(1000, kB, kA, "RA"));
  meter.advance({5'002'000'000});
  auto records = ended(meter);
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].end_reason, EndReason::rst);
  meter.route(udp(29'000'000, kB, kA, 10));
  meter.advance({58'999'000'000});
  EXPECT_THAT(ended(meter), testing::IsEmpty());
  meter.advance({59'001'000'000});
  records = ended(meter);
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].end_reason, EndReason::idle);
  EXPECT_EQ(records[0].packets(), 2u);
}

TEST(Meter, DirectionSurvivesATimeout) {
  const auto records =
      meter_all(with(Profile::native), {tcp(0, kA, kB, "S"), tcp(1'000, kB, kA, "SA"),
                                        tcp(2'000, kA, kB, "A"), tcp(121'000'000, kB, kA, "PA", 100)});
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].end_reason, EndReason::active);
  EXPECT_EQ(records[1].tuple.source_port, 4000);
  EXPECT_EQ(records[1].forward().packets, 0u);
  EXPECT_EQ(records[1].reverse().packets, 1u);
  EXPECT_EQ(value(Profile::native, records[1], Feature::connection_time), 121'000'000);
}

TEST(Meter, PingAndItsAnswerAreOneFlowAndErrorsAreOthers) {
  const auto icmp = [](std::int64_t t, Host from, Host to, int type, int code) {
    net::Packet p = packet(t, {from.address}, {to.address}, net::protocol::icmp, 56, 8);
    p.icmp_type = static_cast<std::uint8_t>(type);
    p.icmp_code = static_cast<std::uint8_t>(code);
    return p;
  };
  const auto records =
      meter_all(with(Profile::native), {icmp(0, kA, kB, 8, 0), icmp(1, kB, kA, 0, 0), icmp(2, kA, kB, 3, 1),
                                        icmp(3, kB, kA, 3, 1), icmp(4, kA, kB, 3, 3)});
  ASSERT_EQ(records.size(), 4u);
  EXPECT_EQ(records[0].packets(), 2u);
  EXPECT_EQ(value(Profile::native, records[1], Feature::dst_port), 1);
  EXPECT_EQ(value(Profile::native, records[1], Feature::icmp_type), 3);
}

TEST(Meter, EarlyRecordsAreMarkedAndDoNotEndTheFlow) {
  MeterOptions options;
  options.partial_after_packets = 3;
  Meter meter(options);
  for (int i = 0; i < 5; ++i) meter.route(udp(i, kA, kB, 10));
  meter.finish();
  const auto records = ended(meter);
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].end_reason, EndReason::partial);
  EXPECT_EQ(records[0].packets(), 3u);
  EXPECT_EQ(records[1].packets(), 5u);
  EXPECT_EQ(meter.statistics().flows, 1u);
  EXPECT_EQ(meter.statistics().flows_partial, 1u);
}

TEST(Meter, KeepsTheFirstPacketsOfAFlow) {
  MeterOptions options;
  options.sequence_packets = 3;
  Meter meter(options);
  meter.route(tcp(0, kA, kB, "S"));
  meter.route(tcp(1'500, kB, kA, "SA"));
  meter.route(tcp(2'000, kA, kB, "PA", 99));
  meter.route(tcp(2'500, kA, kB, "PA", 98));
  meter.route(udp(2'500, kA, kB, 7));
  meter.finish();
  for (std::size_t shard = 0; shard < Meter::kShards; ++shard) meter.run(shard);
  const auto records = meter.collect();
  ASSERT_EQ(records.size(), 2u);
  const std::span steps(records[0]->steps, records[0]->sequence_packets);
  ASSERT_EQ(steps.size(), 3u);
  EXPECT_EQ(steps[0].reverse, 0u);
  EXPECT_EQ(steps[1].reverse, 1u);
  EXPECT_EQ(steps[1].gap_us, 1'500u);
  EXPECT_EQ(steps[2].payload_bytes, 99u);
  ASSERT_EQ(records[1]->sequence_packets, 1u);
  EXPECT_EQ(records[1]->steps[0].payload_bytes, 7u);
}

TEST(Meter, FloodOfNewSourcesStaysInsideItsRoomAndIsCounted) {
  MeterOptions options;
  options.one_packet_flows_max = 16'000;
  options.flows_max = 1'600;
  Meter meter(options);
  // One real connection, opened before the flood.
  meter.route(tcp(0, kA, kB, "S"));
  meter.route(tcp(1, kB, kA, "SA"));
  std::uint64_t records = 0;
  for (std::uint32_t i = 0; i < 200'000; ++i) {
    net::Packet p = tcp(10 + i, kA, kB, "S");
    std::memcpy(p.tuple.source.bytes.data(), &i, 4);
    meter.route(p);
    if (i % 1000 == 0) records += ended(meter).size();
  }
  records += ended(meter).size();
  const auto during = meter.statistics();
  EXPECT_LE(during.live_one_packet_flows, 16'000u);
  EXPECT_EQ(during.flows_evicted, records);
  EXPECT_EQ(during.flows_evicted + during.live_one_packet_flows + during.live_flows, 200'001u);
  EXPECT_LE(during.bytes_in_use, 16'000u * 96 + 1'600u * 512 + 16u * 100'000);
  meter.route(tcp(300'000, kA, kB, "A"));
  meter.finish();
  bool survived = false;
  for (const auto& r : ended(meter)) survived |= r.packets() == 3;
  EXPECT_TRUE(survived);
}

TEST(Meter, EndsAFewOfManyDueAtOnce) {
  constexpr std::uint32_t kFlows = 50'000;
  Meter meter({});
  for (std::uint32_t i = 0; i < kFlows; ++i) {
    net::Packet p = udp(i, kA, kB, 1);
    std::memcpy(p.tuple.source.bytes.data(), &i, 4);
    meter.route(p);
  }
  EXPECT_EQ(ended(meter).size(), 0u);
  meter.advance({200'000'000'000});
  std::size_t given = 0;
  do {
    for (std::size_t shard = 0; shard < Meter::kShards; ++shard) meter.run(shard);
    const auto records = meter.collect();
    EXPECT_LE(records.size(), Meter::kShards * Meter::kEndedAtOnce);
    for (const FlowRecord* record : records) EXPECT_EQ(record->end_reason, EndReason::active);
    given += records.size();
    EXPECT_EQ(meter.behind(), given != kFlows) << given;
  } while (meter.behind() && given < kFlows);
  EXPECT_EQ(given, kFlows);
  EXPECT_EQ(meter.statistics().live_one_packet_flows, 0u);
  EXPECT_EQ(meter.collect().size(), 0u);
}

TEST(Meter, FullTablesEndTheClosedThenTheLongestSilent) {
  MeterOptions options;
  options.flows_max = 16;  // one in each shard
  Meter meter(options);
  const auto flow = [](int n) { return host(100, n); };
  // Find ports of one shard by watching which flow pushes another out.
  std::vector<FlowRecord> out;
  for (int n = 1; n <= 64; ++n) {
    meter.route(udp(n * 2'000'000, flow(n), kB, 1));
    meter.route(udp(n * 2'000'000 + 1, kB, flow(n), 1));
    for (const auto& r : ended(meter)) out.push_back(r);
  }
  EXPECT_EQ(meter.statistics().flows_evicted, out.size());
  EXPECT_EQ(meter.statistics().live_flows + out.size(), 64u);
  for (const auto& r : out) EXPECT_EQ(r.end_reason, EndReason::evicted);
}

TEST(Meter, EvictionsAreTheSameInEveryRun) {
  const auto packets = random_traffic(9, 6000);
  MeterOptions options;
  options.flows_max = 32;
  options.one_packet_flows_max = 32;
  options.hash_seed = 1;
  const auto first = texts(Profile::native, meter_in_blocks(options, packets, 256));
  options.hash_seed = 2;
  EXPECT_EQ(texts(Profile::native, meter_in_blocks(options, packets, 256)), first);
}

TEST(Meter, NoRoomAtAllIsRoomForOneFlowInEachShard) {
  MeterOptions options;
  options.flows_max = 0;
  options.one_packet_flows_max = 0;
  std::uint64_t counted = 0;
  for (const auto& record : meter_all(options, random_traffic(10, 500))) counted += record.packets();
  EXPECT_EQ(counted, 500u);
}

TEST(Meter, RetransmissionsAreWhatWasSentBefore) {
  const auto segment = [](std::int64_t t, std::uint32_t sequence, std::uint32_t length) {
    net::Packet p = tcp(t, kA, kB, "A", length);
    p.sequence = sequence;
    return p;
  };
  const auto records =
      meter_all(with(Profile::native), {segment(0, 100, 50), segment(1, 150, 50), segment(2, 100, 50),
                                        segment(3, 199, 1), segment(4, 200, 10), segment(5, 150, 50)});
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(value(Profile::native, records[0], Feature::fwd_retrans), 2);  // the byte at 199 is a keep-alive
}

TEST(Meter, ToolsReadIpv4Only) {
  net::Packet six = udp(0, kA, kB, 5);
  six.tuple.version = net::IpVersion::v6;
  Meter meter(with(Profile::cns2022));
  meter.route(six);
  meter.finish();
  EXPECT_THAT(ended(meter), testing::IsEmpty());
  EXPECT_EQ(meter.statistics().packets_ignored, 1u);
}

TEST(Meter, PaddingCountsWhereTheToolCountedIt) {
  net::Packet padded = tcp(0, kA, kB, "A", 0);
  padded.padding_bytes = 6;
  const auto two = std::vector{padded, udp(1, kA, kB, 10), tcp(2, kA, kB, "A", 0), udp(3, kA, kB, 10)};
  const auto bytes = [&](Profile profile) {
    std::uint64_t tcp_bytes = 0;
    for (const auto& r : meter_all(with(profile), two)) {
      if (r.tuple.protocol == net::protocol::tcp) tcp_bytes = r.forward().payload_bytes;
      if (r.tuple.protocol == net::protocol::udp) {
        EXPECT_EQ(r.forward().header_bytes, profile == Profile::cic2017 ? 40u : 16u);
      }
    }
    return tcp_bytes;
  };
  EXPECT_EQ(bytes(Profile::cic2017), 6u);
  EXPECT_EQ(bytes(Profile::cic2018), 0u);
  EXPECT_EQ(bytes(Profile::native), 0u);
}

}  // namespace
}  // namespace nidus::flow
