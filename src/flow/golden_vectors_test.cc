// The golden vectors of the features specification, section 10: values from the original flow classes of each
// code state, native by an independent exact implementation. Printed with nine digits there, so compared to
// 1e-8.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "flow/testing.h"

namespace nidus::flow {
namespace {

constexpr Profile kColumns[] = {Profile::cic2018, Profile::cns2022, Profile::cic_fixed, Profile::native};

const Host kClient = host(1, 40000), kServer = host(2, 80);

std::vector<net::Packet> vector_a() {
  const Host &c = kClient, &s = kServer;
  return {
      tcp(1'000'000, c, s, "S", 0, 40, 64240),  tcp(1'010'000, s, c, "SA", 0, 40, 65160),
      tcp(1'020'000, c, s, "A", 0, 32, 502),    tcp(1'021'000, c, s, "PA", 100, 32, 502),
      tcp(1'031'000, s, c, "A", 0, 32, 509),    tcp(1'032'000, s, c, "A", 1400, 32, 509),
      tcp(1'033'000, s, c, "A", 1400, 32, 509), tcp(1'034'000, s, c, "A", 1400, 32, 509),
      tcp(1'035'000, s, c, "A", 1400, 32, 509), tcp(1'036'000, s, c, "PA", 400, 32, 509),
      tcp(1'046'000, c, s, "A", 0, 32, 480),    tcp(4'046'000, c, s, "PA", 50, 32, 502),
      tcp(4'056'000, s, c, "A", 0, 32, 509),    tcp(11'056'000, s, c, "PA", 200, 32, 509),
      tcp(11'066'000, c, s, "FA", 0, 32, 501),  tcp(11'076'000, s, c, "FA", 0, 32, 509),
      tcp(11'086'000, c, s, "A", 0, 32, 501),
  };
}

struct Expected {
  Feature feature;
  double value[4];
};

const Expected kVectorA[] = {
    {Feature::flow_duration, {10066000, 10086000, 10086000, 10086000}},
    {Feature::fwd_pkts, {6, 7, 7, 7}},
    {Feature::bwd_pkts, {9, 10, 10, 10}},
    {Feature::fwd_bytes, {150, 150, 150, 150}},
    {Feature::bwd_bytes, {6200, 6200, 6200, 6200}},
    {Feature::fwd_len_max, {100, 100, 100, 100}},
    {Feature::fwd_len_mean, {25, 21.4285714, 21.4285714, 21.4285714}},
    {Feature::fwd_len_std, {41.8330013, 39.3397896, 39.3397896, 39.3397896}},
    {Feature::bwd_len_max, {1400, 1400, 1400, 1400}},
    {Feature::bwd_len_mean, {688.888889, 620, 620, 620}},
    {Feature::bwd_len_std, {686.375343, 682.804674, 682.804674, 682.804674}},
    {Feature::flow_bytes_s, {630.836479, 629.585564, 629.585564, 629.585564}},
    {Feature::flow_pkts_s, {1.49016491, 1.68550466, 1.68550466, 1.68550466}},
    {Feature::flow_iat_mean, {719000, 630375, 630375, 630375}},
    {Feature::flow_iat_std, {1976071.32, 1855493.53, 1855493.53, 1855493.53}},
    {Feature::flow_iat_max, {7000000, 7000000, 7000000, 7000000}},
    {Feature::flow_iat_min, {1000, 1000, 1000, 1000}},
    {Feature::fwd_iat_total, {10066000, 10086000, 10086000, 10086000}},
    {Feature::fwd_iat_mean, {2013200, 1681000, 1681000, 1681000}},
    {Feature::fwd_iat_std, {3082878.31, 2874969.91, 2874969.91, 2874969.91}},
    {Feature::fwd_iat_max, {7020000, 7020000, 7020000, 7020000}},
    {Feature::fwd_iat_min, {1000, 1000, 1000, 1000}},
    {Feature::bwd_iat_total, {10046000, 10066000, 10066000, 10066000}},
    {Feature::bwd_iat_mean, {1255750, 1118444.44, 1118444.44, 1118444.44}},
    {Feature::bwd_iat_std, {2549666.13, 2420304.33, 2420304.33, 2420304.33}},
    {Feature::bwd_iat_max, {7000000, 7000000, 7000000, 7000000}},
    {Feature::bwd_iat_min, {1000, 1000, 1000, 1000}},
    {Feature::fwd_psh, {0, 2, 2, 2}},
    {Feature::bwd_psh, {0, 2, 2, 2}},
    {Feature::fwd_hdr_bytes, {200, 232, 232, 232}},
    {Feature::bwd_hdr_bytes, {296, 328, 328, 328}},
    {Feature::fwd_pkts_s, {0.596065965, 0.694031331, 0.694031331, 0.694031331}},
    {Feature::bwd_pkts_s, {0.894098947, 0.991473329, 0.991473329, 0.991473329}},
    {Feature::len_max, {1400, 1400, 1400, 1400}},
    {Feature::len_mean, {396.875, 373.529412, 373.529412, 373.529412}},
    {Feature::len_std, {607.307926, 595.849616, 595.849616, 595.849616}},
    {Feature::len_var, {368822.917, 355036.765, 355036.765, 355036.765}},
    {Feature::fin_cnt, {0, 2, 2, 2}},
    {Feature::syn_cnt, {0, 2, 2, 2}},
    {Feature::psh_cnt, {1, 4, 4, 4}},
    {Feature::ack_cnt, {0, 16, 16, 16}},
    {Feature::down_up_ratio, {1, 1.42857143, 1.42857143, 1.42857143}},
    {Feature::pkt_size_avg, {423.333333, 373.529412, 373.529412, 373.529412}},
    {Feature::fwd_seg_avg, {25, 21.4285714, 21.4285714, 21.4285714}},
    {Feature::bwd_seg_avg, {688.888889, 620, 620, 620}},
    {Feature::bwd_bulk_bytes_avg, {0, 6000, 6000, 6000}},
    {Feature::bwd_bulk_pkts_avg, {0, 5, 5, 5}},
    {Feature::bwd_bulk_rate_avg, {0, 1500000, 1500000, 1500000}},
    {Feature::subflow_fwd_pkts, {6, 0, 3.5, 2.33333333}},
    {Feature::subflow_fwd_bytes, {150, 8, 75, 50}},
    {Feature::subflow_bwd_pkts, {9, 0, 5, 3.33333333}},
    {Feature::subflow_bwd_bytes, {6200, 364, 3100, 2066.66667}},
    {Feature::fwd_init_win, {64240, 64240, 64240, 64240}},
    {Feature::bwd_init_win, {509, 509, 65160, 65160}},
    {Feature::fwd_act_data_pkts, {2, 2, 2, 2}},
    {Feature::fwd_seg_min, {32, 32, 32, 32}},
    {Feature::active_mean, {3056000, 3056000, 3056000, 1543000}},
    {Feature::active_std, {0, 0, 0, 2139705.12}},
    {Feature::active_max, {3056000, 3056000, 3056000, 3056000}},
    {Feature::active_min, {3056000, 3056000, 3056000, 30000}},
    {Feature::idle_mean, {7000000, 7000000, 7000000, 7000000}},
    {Feature::idle_max, {7000000, 7000000, 7000000, 7000000}},
    {Feature::idle_min, {7000000, 7000000, 7000000, 7000000}},
};

std::vector<FlowRecord> metered(Profile profile, const std::vector<net::Packet>& packets) {
  MeterOptions options;
  options.profile = profile;
  return meter_all(options, packets);
}

// Features that the table leaves out are zero in every profile.
bool in_table(Feature feature) {
  for (const auto& row : kVectorA) {
    if (row.feature == feature) return true;
  }
  return false;
}

TEST(GoldenVectors, OneTcpConnectionInEveryProfile) {
  for (int column = 0; column < 4; ++column) {
    const Profile profile = kColumns[column];
    SCOPED_TRACE(name(profile));
    const auto records = metered(profile, vector_a());
    ASSERT_EQ(records.size(), profile == Profile::cic2018 ? 2u : 1u);
    for (const auto& row : kVectorA) {
      const double got = value(profile, records[0], row.feature);
      EXPECT_NEAR(got, row.value[column], std::abs(row.value[column]) * 1e-8) << key(row.feature);
    }
    for (const FeatureInfo& info : features()) {
      // The specification's numbers 8 to 84, the ports and protocol aside, are the whole table.
      if (info.cic2018.empty() || info.feature < Feature::flow_duration || in_table(info.feature)) continue;
      EXPECT_EQ(value(profile, records[0], info.feature), 0) << info.key;
    }
  }
}

TEST(GoldenVectors, PublishedProfilesCutTheEndOffAsAFlowOfItsOwn) {
  const auto records = metered(Profile::cic2018, vector_a());
  ASSERT_EQ(records.size(), 2u);
  const FlowRecord& rest = records[1];
  EXPECT_EQ(rest.tuple.source_port, 80);
  const std::map<Feature, double> expected = {
      {Feature::flow_duration, 10'000},
      {Feature::fwd_pkts, 1},
      {Feature::bwd_pkts, 1},
      {Feature::urg_cnt, 1},
      {Feature::ack_cnt, 1},
      {Feature::fin_cnt, 0},
      {Feature::fwd_init_win, 509},
      {Feature::bwd_init_win, 501},
  };
  for (const auto& [feature, number] : expected)
    EXPECT_EQ(value(Profile::cic2018, rest, feature), number) << key(feature);
}

TEST(GoldenVectors, Cic2017EqualsCic2018WithoutPadding) {
  const auto a = metered(Profile::cic2017, vector_a());
  const auto b = metered(Profile::cic2018, vector_a());
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (const FeatureInfo& info : features()) {
      EXPECT_EQ(value(Profile::cic2017, a[i], info.feature), value(Profile::cic2018, b[i], info.feature))
          << info.key;
    }
  }
}

// V1: two UDP packets at the same time.
TEST(GoldenVectors, TwoPacketsAtTheSameTime) {
  const Host c = host(1, 5000), s = host(3, 53);
  const std::vector packets = {udp(2'000'000, c, s, 30), udp(2'000'000, s, c, 120)};
  const auto of = [&](Profile profile, Feature feature) {
    const auto records = metered(profile, packets);
    EXPECT_EQ(records.size(), 1u);
    return value(profile, records.at(0), feature);
  };
  EXPECT_TRUE(std::isinf(of(Profile::cic2018, Feature::flow_bytes_s)));
  EXPECT_TRUE(std::isinf(of(Profile::cic2018, Feature::flow_pkts_s)));
  EXPECT_EQ(of(Profile::cic2018, Feature::len_mean), 60);
  EXPECT_EQ(of(Profile::cic2018, Feature::len_var), 2700);
  EXPECT_EQ(of(Profile::cic2018, Feature::pkt_size_avg), 90);
  EXPECT_EQ(of(Profile::cic2018, Feature::fwd_act_data_pkts), 0);
  EXPECT_EQ(of(Profile::cic2018, Feature::fwd_init_win), -1);
  EXPECT_TRUE(std::isinf(of(Profile::cns2022, Feature::flow_bytes_s)));
  EXPECT_EQ(of(Profile::cns2022, Feature::len_mean), 75);
  EXPECT_EQ(of(Profile::cns2022, Feature::fwd_act_data_pkts), 0);
  EXPECT_EQ(of(Profile::cic_fixed, Feature::flow_bytes_s), -1);
  EXPECT_EQ(of(Profile::cic_fixed, Feature::flow_pkts_s), -1);
  EXPECT_EQ(of(Profile::cic_fixed, Feature::len_var), 4050);
  EXPECT_EQ(of(Profile::cic_fixed, Feature::fwd_act_data_pkts), 1);
  EXPECT_EQ(of(Profile::native, Feature::flow_bytes_s), 0);
  EXPECT_EQ(of(Profile::native, Feature::flow_pkts_s), 0);
  EXPECT_EQ(of(Profile::native, Feature::len_mean), 75);
  EXPECT_EQ(of(Profile::native, Feature::fwd_act_data_pkts), 1);
  EXPECT_EQ(of(Profile::native, Feature::fwd_init_win), -1);
}

// V2: one UDP packet.
TEST(GoldenVectors, OnePacket) {
  const std::vector packets = {udp(3'000'000, host(1, 5001), host(3, 53), 30)};
  EXPECT_TRUE(metered(Profile::cic2018, packets).empty());
  const auto cns = metered(Profile::cns2022, packets);
  ASSERT_EQ(cns.size(), 1u);
  EXPECT_TRUE(std::isinf(value(Profile::cns2022, cns[0], Feature::flow_pkts_s)));
  EXPECT_TRUE(std::isnan(value(Profile::cns2022, cns[0], Feature::flow_iat_mean)));
  const auto fixed = metered(Profile::cic_fixed, packets);
  ASSERT_EQ(fixed.size(), 1u);
  EXPECT_EQ(value(Profile::cic_fixed, fixed[0], Feature::flow_pkts_s), -1);
  EXPECT_EQ(value(Profile::cic_fixed, fixed[0], Feature::flow_iat_mean), 0);
  const auto native = metered(Profile::native, packets);
  ASSERT_EQ(native.size(), 1u);
  EXPECT_EQ(value(Profile::native, native[0], Feature::flow_pkts_s), 0);
}

// V3: a SYN refused.
TEST(GoldenVectors, RefusedSyn) {
  const Host c = host(1, 41000), s = host(4, 81);
  const std::vector packets = {tcp(4'000'000, c, s, "S", 0, 40, 64240), tcp(4'000'500, s, c, "RA", 0, 20, 0)};
  const auto published = metered(Profile::cic2018, packets);
  ASSERT_EQ(published.size(), 1u);
  EXPECT_EQ(value(Profile::cic2018, published[0], Feature::psh_cnt), 1);
  for (const Feature f : {Feature::fin_cnt, Feature::syn_cnt, Feature::rst_cnt, Feature::ack_cnt,
                          Feature::urg_cnt, Feature::cwr_cnt, Feature::ece_cnt}) {
    EXPECT_EQ(value(Profile::cic2018, published[0], f), 0) << key(f);
  }
  EXPECT_EQ(value(Profile::cic2018, published[0], Feature::flow_pkts_s), 4000);
  for (const Profile profile : {Profile::cns2022, Profile::cic_fixed, Profile::native}) {
    const auto records = metered(profile, packets);
    ASSERT_EQ(records.size(), 1u);
    EXPECT_EQ(value(profile, records[0], Feature::syn_cnt), 1);
    EXPECT_EQ(value(profile, records[0], Feature::rst_cnt), 1);
    EXPECT_EQ(value(profile, records[0], Feature::ack_cnt), 1);
    EXPECT_EQ(value(profile, records[0], Feature::bwd_rst), 1);
    EXPECT_EQ(value(profile, records[0], Feature::active_mean), profile == Profile::native ? 500 : 0);
  }
}

// V4: a reset, a stray ACK, then the same ports again.
TEST(GoldenVectors, PortsUsedAgainAfterAReset) {
  const Host c = host(1, 42000), s = host(5, 22);
  const std::vector packets = {tcp(5'000'000, c, s, "S"), tcp(5'001'000, s, c, "SA"),
                               tcp(5'002'000, c, s, "A"), tcp(5'003'000, c, s, "PA", 20),
                               tcp(5'004'000, s, c, "R"), tcp(5'005'000, c, s, "A"),
                               tcp(6'005'000, c, s, "S"), tcp(6'006'000, s, c, "SA")};
  const auto published = metered(Profile::cic2018, packets);
  ASSERT_EQ(published.size(), 1u);
  EXPECT_EQ(published[0].forward().packets, 5u);
  EXPECT_EQ(published[0].reverse().packets, 3u);
  EXPECT_EQ(published[0].duration_us(), 1'006'000);
  for (const Profile profile : {Profile::cns2022, Profile::cic_fixed, Profile::native}) {
    SCOPED_TRACE(name(profile));
    const auto records = metered(profile, packets);
    ASSERT_EQ(records.size(), 2u);
    EXPECT_EQ(records[0].forward().packets, 4u);
    EXPECT_EQ(records[0].reverse().packets, 2u);
    EXPECT_EQ(records[0].duration_us(), 5'000);
    EXPECT_EQ(records[0].end_reason, EndReason::rst);
    EXPECT_EQ(records[1].forward().packets, 1u);
    EXPECT_EQ(records[1].reverse().packets, 1u);
    EXPECT_EQ(records[1].duration_us(), 1'000);
  }
}

// V5: the answer is seen before the question.
TEST(GoldenVectors, SynAckSeenFirst) {
  const Host c = host(1, 43000), s = host(6, 443);
  const std::vector packets = {tcp(7'000'000, s, c, "SA", 0, 40, 65160),
                               tcp(7'000'100, c, s, "S", 0, 40, 64240),
                               tcp(7'000'200, c, s, "A", 0, 32, 502)};
  for (const Profile profile : {Profile::cic2018, Profile::cns2022}) {
    const auto records = metered(profile, packets);
    ASSERT_EQ(records.size(), 1u);
    EXPECT_EQ(records[0].tuple.source_port, 443);
    EXPECT_EQ(records[0].forward().packets, 1u);
    EXPECT_EQ(records[0].reverse().packets, 2u);
  }
  for (const Profile profile : {Profile::cic_fixed, Profile::native}) {
    const auto records = metered(profile, packets);
    ASSERT_EQ(records.size(), 1u);
    EXPECT_EQ(records[0].tuple.source_port, 43000);
    EXPECT_EQ(records[0].forward().packets, 2u);
    EXPECT_EQ(records[0].reverse().packets, 1u);
    const bool native = profile == Profile::native;
    EXPECT_EQ(value(profile, records[0], Feature::fwd_init_win), native ? 64240 : 0);
    EXPECT_EQ(value(profile, records[0], Feature::bwd_init_win), 65160);
    EXPECT_EQ(value(profile, records[0], Feature::fwd_seg_min), native ? 32 : 0);
    EXPECT_EQ(value(profile, records[0], Feature::bwd_seg_min), 40);
  }
}

// V6: a UDP dialogue longer than the limit.
TEST(GoldenVectors, UdpOverTheActiveTimeout) {
  const Host c = host(1, 5060), s = host(7, 5060);
  const std::vector packets = {udp(8'000'000, c, s, 400), udp(68'000'000, s, c, 300),
                               udp(129'000'001, s, c, 301), udp(129'500'000, c, s, 401)};
  const auto second = [&](Profile profile) {
    const auto records = metered(profile, packets);
    EXPECT_EQ(records.size(), 2u);
    return records.at(1);
  };
  const FlowRecord published = second(Profile::cic2018);
  EXPECT_EQ(published.tuple.source, c.address);
  EXPECT_EQ(published.forward().packets, 2u);
  EXPECT_EQ(published.forward().payload_bytes, 702u);
  EXPECT_EQ(published.reverse().packets, 0u);

  const FlowRecord cns = second(Profile::cns2022);
  EXPECT_EQ(cns.tuple.source, s.address);
  EXPECT_EQ(cns.forward().payload_bytes, 301u);
  EXPECT_EQ(cns.reverse().payload_bytes, 401u);

  for (const Profile profile : {Profile::cic_fixed, Profile::native}) {
    const FlowRecord record = second(profile);
    EXPECT_EQ(record.tuple.source, c.address);
    EXPECT_EQ(record.forward().payload_bytes, 401u);
    EXPECT_EQ(record.reverse().payload_bytes, 301u);
    EXPECT_EQ(value(profile, record, Feature::connection_time), 121'500'000);
  }
  const auto native = metered(Profile::native, packets);
  EXPECT_EQ(value(Profile::native, native[0], Feature::idle_max), 60'000'000);
}

// One row of CSE-CIC-IDS2018 (2 March 2018): the arithmetic, from counters that give its totals.
TEST(GoldenVectors, PublishedRowOf2018) {
  FlowRecord r;
  r.tuple.protocol = net::protocol::tcp;
  r.last_us = 141'385;
  r.first_flags = flags_of("SEC");
  r.direction[0].packets = 9;
  r.direction[0].payload_bytes = 553;
  r.direction[1].packets = 7;
  r.direction[1].payload_bytes = 3773;
  EXPECT_NEAR(value(Profile::cic2018, r, Feature::len_mean), 254.4705882, 1e-7);
  EXPECT_EQ(value(Profile::cic2018, r, Feature::pkt_size_avg), 270.375);
  EXPECT_EQ(value(Profile::cic2018, r, Feature::down_up_ratio), 0);
  EXPECT_EQ(value(Profile::cic2018, r, Feature::subflow_fwd_pkts), 9);
  EXPECT_EQ(value(Profile::cic2018, r, Feature::subflow_bwd_bytes), 3773);
  EXPECT_EQ(value(Profile::cic2018, r, Feature::rst_cnt), 1);
  EXPECT_EQ(value(Profile::cic2018, r, Feature::psh_cnt), 1);
  EXPECT_EQ(value(Profile::cic2018, r, Feature::ece_cnt), 1);
}

}  // namespace
}  // namespace nidus::flow
