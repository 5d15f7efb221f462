// The meter against its slow twin: on random packets of few hosts, every feature of every flow of every
// profile.
#include <gtest/gtest.h>

#include <cmath>

#include "flow/reference_meter.h"
#include "flow/testing.h"

namespace nidus::flow {
namespace {

template <std::size_t N>
auto pick(Random& random, const int (&choices)[N]) {
  return choices[random.below(N)];
}

// One random packet after another. Six hosts and a few ports, so that flows live long, are torn down,
// reopened, cut by the timeout and continued; sequence numbers from few, so that segments repeat.
class Traffic {
 public:
  Traffic(std::uint64_t seed, bool disorder) : random_(seed), disorder_(disorder) {}

  std::vector<net::Packet> packets(std::size_t count) {
    std::vector<net::Packet> out;
    for (std::size_t i = 0; i < count; ++i) out.push_back(next());
    return out;
  }

 private:
  bool one_in(std::uint64_t n) { return random_.below(n) == 0; }

  net::Packet next() {
    time_us_ += static_cast<std::int64_t>(one_in(60)  ? random_.below(9'000'000)
                                          : one_in(4) ? random_.below(300'000)
                                                      : random_.below(9'000));
    if (one_in(3000)) time_us_ += 60'000'000;
    const std::int64_t stamped =
        disorder_ && one_in(50) ? time_us_ - static_cast<std::int64_t>(random_.below(2'000'000)) : time_us_;
    const int a = static_cast<int>(random_.below(6));
    const int b =
        one_in(40) ? a : static_cast<int>((static_cast<std::uint64_t>(a) + 1 + random_.below(5)) % 6);
    const bool v6 = one_in(12);
    net::Packet p = packet(stamped, host(1 + a, pick(random_, {80, 4000})),
                           host(1 + b, pick(random_, {80, 4000})), net::protocol::tcp, payload(), 20);
    // A bare acknowledgement in a minimal frame.
    p.captured_payload_bytes = one_in(10) ? p.payload_bytes / 2 : p.payload_bytes;
    p.padding_bytes = p.payload_bytes < 6 ? static_cast<std::uint16_t>(6 - p.payload_bytes) : 0;
    if (v6) p.tuple.version = net::IpVersion::v6;
    p.tuple.vlan = static_cast<std::uint16_t>(random_.below(3));
    const auto kind = random_.below(20);
    if (kind < 12) {
      make_tcp(p);
    } else if (kind < 16) {
      p.tuple.protocol = net::protocol::udp;
      p.header_bytes = 8;
    } else if (kind < 18) {
      make_icmp(p);
    } else if (kind < 19) {
      p.tuple.protocol = static_cast<std::uint8_t>(pick(random_, {2, 47, 89, 132}));
      p.tuple.source_port = p.tuple.destination_port = 0;
      p.header_bytes = 0;
    } else {
      make_later_fragment(p);
    }
    return p;
  }

  std::uint32_t payload() {
    return static_cast<std::uint32_t>(one_in(2) ? 0 : one_in(4) ? 1 : random_.below(1461));
  }

  void make_tcp(net::Packet& p) {
    static constexpr std::string_view kUsual[] = {"A", "A", "A", "PA", "PA", "S", "SA", "FA", "R"};
    p.tcp_flags = one_in(6) ? static_cast<std::uint8_t>(random_.below(256))
                            : flags_of(kUsual[random_.below(std::size(kUsual))]);
    p.header_bytes = static_cast<std::uint8_t>(20 + 4 * random_.below(11));
    p.window = static_cast<std::uint16_t>(pick(random_, {0, 502, 8192, 65535}));
    p.sequence = static_cast<std::uint32_t>(0xfffffff0u + 10 * random_.below(30));
    p.acknowledgement = static_cast<std::uint32_t>(random_.below(3) * 1000);
  }

  void make_icmp(net::Packet& p) {
    const bool v6 = p.tuple.version == net::IpVersion::v6;
    p.tuple.protocol = v6 ? net::protocol::icmpv6 : net::protocol::icmp;
    p.tuple.source_port = p.tuple.destination_port = 0;
    p.icmp_type =
        static_cast<std::uint8_t>(v6 ? pick(random_, {128, 129, 1, 135}) : pick(random_, {0, 8, 3, 11, 13}));
    p.icmp_code = static_cast<std::uint8_t>(random_.below(4));
    p.header_bytes = 8;
  }

  void make_later_fragment(net::Packet& p) {
    p.tuple.protocol = static_cast<std::uint8_t>(pick(random_, {6, 17, 1}));
    if (p.tuple.version == net::IpVersion::v6 && p.tuple.protocol == 1)
      p.tuple.protocol = net::protocol::icmpv6;
    p.marks = net::Packet::non_first_fragment;
    p.header_bytes = 0;
    const bool icmp = p.tuple.protocol != 6 && p.tuple.protocol != 17;
    if (one_in(2)) {
      p.marks |= net::Packet::fragment_attributed;
      if (icmp) p.icmp_type = 8;
    } else {
      p.tuple.source_port = p.tuple.destination_port = 0;
    }
    if (icmp) p.tuple.source_port = p.tuple.destination_port = 0;
  }

  Random random_;
  bool disorder_;
  std::int64_t time_us_ = 1'500'000'000'000'000;
};

std::vector<FlowRecord> metered(Profile profile, const std::vector<net::Packet>& packets, Random& random) {
  MeterOptions options;
  options.profile = profile;
  options.hash_seed = random.next();
  options.sweep = random.below(2) == 0;
  Meter meter(options);
  std::vector<FlowRecord> out;
  const auto take = [&] {
    for (const FlowRecord& record : ended(meter)) out.push_back(record);
  };
  for (std::size_t at = 0; at < packets.size();) {
    const std::size_t block = std::min<std::size_t>(1 + random.below(2000), packets.size() - at);
    for (std::size_t i = 0; i < block; ++i) meter.route(packets[at + i]);
    at += block;
    take();
  }
  meter.finish();
  take();
  return out;
}

bool same(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return a == b || std::abs(a - b) <= 1e-9 * std::max(std::abs(a), std::abs(b));
}

net::FiveTuple shown(net::FiveTuple tuple) {
  if (tuple.protocol == net::protocol::icmp || tuple.protocol == net::protocol::icmpv6) {
    tuple.destination_port &= 0x7fff;
  }
  return tuple;
}

class MeterReferenceTest : public testing::TestWithParam<Profile> {
 protected:
  void compare(std::uint64_t seed, bool disorder) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Profile profile = GetParam();
    const auto packets = Traffic(seed, disorder).packets(20'000);
    const auto expected = reference_flows(profile, packets);
    Random random(seed);
    auto actual = metered(profile, packets, random);
    const auto key = [](const FlowRecord& r) {
      return std::tuple(r.start_us, shown(r.tuple), r.last_us, r.packets());
    };
    std::sort(actual.begin(), actual.end(), [&](const auto& a, const auto& b) { return key(a) < key(b); });
    EXPECT_EQ(actual.size(), expected.size());

    int disagreements = 0;
    for (std::size_t i = 0; i < std::min(actual.size(), expected.size()) && disagreements < 5; ++i) {
      const FlowRecord& a = actual[i];
      const ReferenceFlow& e = expected[i];
      const std::string who =
          net::address_text(e.tuple.source, e.tuple.version) + ":" + std::to_string(e.tuple.source_port) +
          " > " + net::address_text(e.tuple.destination, e.tuple.version) + ":" +
          std::to_string(e.tuple.destination_port) + " protocol " + std::to_string(e.tuple.protocol) +
          " start " + std::to_string(e.start_us) + " packets " + std::to_string(e.packets);
      const bool same_flow = key(a) == std::tuple(e.start_us, e.tuple, e.last_us, e.packets);
      EXPECT_TRUE(same_flow) << "flow " << i << ": expected " << who << ", got protocol "
                             << int{a.tuple.protocol} << " ports " << a.tuple.source_port << " "
                             << a.tuple.destination_port << " start " << a.start_us << " packets "
                             << a.packets();
      if (!same_flow) break;
      EXPECT_EQ(name(a.end_reason), name(e.end_reason)) << who;
      disagreements += a.end_reason != e.end_reason;
      FeatureRow row;
      compute_features(profile, a, row);
      for (const Feature feature : features_of(profile)) {
        const auto at = static_cast<std::size_t>(feature);
        EXPECT_TRUE(same(row[at], e.features[at]))
            << "flow " << i << " " << who << ": " << flow::key(feature) << " is " << row[at]
            << ", the reference says " << e.features[at];
        disagreements += !same(row[at], e.features[at]);
      }
    }
  }
};

TEST_P(MeterReferenceTest, OrderedPackets) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) compare(seed, false);
}

// Only our own definitions say what to do with packets out of order; the tools' negative gaps are not
// reproduced.
class DisorderTest : public MeterReferenceTest {};
TEST_P(DisorderTest, PacketsOutOfOrder) { compare(4, true); }

std::string name_of(const testing::TestParamInfo<Profile>& which) {
  std::string text(name(which.param));
  std::replace(text.begin(), text.end(), '-', '_');
  return text;
}

INSTANTIATE_TEST_SUITE_P(Profiles, MeterReferenceTest, testing::ValuesIn(kProfiles), name_of);
INSTANTIATE_TEST_SUITE_P(Profiles, DisorderTest, testing::Values(Profile::native), name_of);

}  // namespace
}  // namespace nidus::flow
