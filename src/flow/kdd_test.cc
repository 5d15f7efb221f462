#include "flow/kdd.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "flow/internal/endpoint.h"
#include "flow/testing.h"

namespace nidus::flow {
namespace {

using testing::ElementsAre;

double at(const KddRow& row, int n) { return row.values[static_cast<std::size_t>(n - 1)]; }

enum class How { completed, unanswered, refused };

// A connection from 10.0.0.`from` to 10.0.0.`to`:`port` whose last packet is at `end_us`.
FlowRecord connection(std::int64_t end_us, int from, int from_port, int to, int port,
                      How how = How::completed) {
  FlowRecord record;
  record.tuple.source = host(from, 0).address;
  record.tuple.destination = host(to, 0).address;
  record.tuple.source_port = static_cast<std::uint16_t>(from_port);
  record.tuple.destination_port = static_cast<std::uint16_t>(port);
  record.tuple.protocol = net::protocol::tcp;
  record.start_us = end_us - 1000;
  record.last_us = end_us;
  record.direction[0].packets = 1;
  const auto set = [&](int side, Endpoint state) {
    record.direction[side].state = static_cast<std::uint8_t>(state) & 7u;
  };
  switch (how) {
    case How::completed:
      set(0, Endpoint::closed);
      set(1, Endpoint::closed);
      break;
    case How::unanswered:
      set(0, Endpoint::syn_sent);
      break;
    case How::refused:
      set(0, Endpoint::syn_sent);
      set(1, Endpoint::reset);
      break;
  }
  return record;
}

class KddTest : public testing::Test {
 protected:
  KddRow compute(const FlowRecord& record) {
    KddRow row;
    features_.compute(record, row);
    return row;
  }

  KddFeatures features_;
};

TEST(KddColumnsTest, AreThoseOfTheFiles) {
  EXPECT_EQ(kKddNames[22], "count");
  EXPECT_EQ(kKddNames[40], "dst_host_srv_rerror_rate");
  EXPECT_EQ(kdd_columns(KddSet::all).size(), 41u);
  EXPECT_EQ(kdd_columns(KddSet::header).size(), 28u);
  for (const auto column : kdd_columns(KddSet::header)) EXPECT_FALSE(column >= 9 && column <= 21);
}

TEST_F(KddTest, TheFirstConnectionIsAloneInItsWindows) {
  const KddRow row = compute(connection(5'000'000, 1, 4000, 2, 80));
  for (const int n : {23, 24, 32, 33}) EXPECT_EQ(at(row, n), 1) << n;
  for (const int n : {29, 34, 36}) EXPECT_EQ(at(row, n), 1) << n;  // shares of what is like it
  for (const int n : {25, 26, 27, 28, 30, 31, 35, 37, 38, 39, 40, 41}) EXPECT_EQ(at(row, n), 0) << n;
}

// Two connections to two services: the same rate is 0.50, and the other is 1.00, not its complement.
TEST_F(KddTest, DifferentServicesAreCountedNotSubtracted) {
  compute(connection(1'000'000, 1, 4000, 2, 80));
  const KddRow two = compute(connection(1'100'000, 1, 4001, 2, 22));
  EXPECT_EQ(at(two, 29), 0.5);
  EXPECT_EQ(at(two, 30), 1);
  const KddRow three = compute(connection(1'200'000, 1, 4002, 2, 80));
  EXPECT_EQ(at(three, 29), 0.67);
  EXPECT_EQ(at(three, 30), 0.67);
  EXPECT_EQ(at(three, 35), 0.67);
  EXPECT_EQ(at(three, 36), 0.33);
}

TEST_F(KddTest, AServiceIsFollowedFromHostToHost) {
  for (int to = 2; to < 6; ++to) compute(connection(1'000'000 + to, 1, 4000, to, 23, How::unanswered));
  const KddRow row = compute(connection(1'100'000, 1, 4000, 6, 23, How::unanswered));
  EXPECT_EQ(at(row, 23), 1);
  EXPECT_EQ(at(row, 24), 5);
  EXPECT_EQ(at(row, 26), 1);  // srv_serror_rate
  EXPECT_EQ(at(row, 31), 1);  // five hosts among five
  EXPECT_EQ(at(row, 32), 1);
  EXPECT_EQ(at(row, 33), 5);
  EXPECT_EQ(at(row, 37), 1);
  EXPECT_EQ(at(row, 39), 1);
}

TEST_F(KddTest, TwoSecondsAreTwoSeconds) {
  compute(connection(1'000'000, 1, 4000, 2, 80));
  EXPECT_EQ(at(compute(connection(3'000'000, 1, 4001, 2, 80)), 23), 2);
  const KddRow row = compute(connection(5'000'001, 1, 4002, 2, 80));
  EXPECT_EQ(at(row, 23), 1);
  EXPECT_EQ(at(row, 32), 3);  // the last 255 have no age
}

TEST_F(KddTest, CountsEndAt511And255) {
  KddRow row;
  for (int i = 0; i < 700; ++i) {
    row = compute(connection(1'000'000 + i, 1, 4000, 2, 80, i < 189 ? How::refused : How::unanswered));
  }
  for (const int n : {23, 24}) EXPECT_EQ(at(row, n), 511) << n;
  for (const int n : {32, 33}) EXPECT_EQ(at(row, n), 255) << n;
  EXPECT_EQ(at(row, 25), 1);  // the refused ones have left the window
  EXPECT_EQ(at(row, 27), 0);
}

TEST_F(KddTest, ARefusedConnectionIsAnRerror) {
  const KddRow row = compute(connection(1'000'000, 1, 4000, 2, 80, How::refused));
  EXPECT_EQ(name(row.flag), "REJ");
  EXPECT_EQ(at(row, 27), 1);
  EXPECT_EQ(at(row, 40), 1);
  EXPECT_EQ(at(row, 25), 0);
}

TEST_F(KddTest, ARecordOfThePastIsCountedAndTakenAsOfNow) {
  compute(connection(9'000'000, 1, 4000, 2, 80));
  EXPECT_EQ(at(compute(connection(1'000'000, 1, 4001, 2, 80)), 23), 2);
  EXPECT_EQ(features_.statistics().records_late, 1u);
}

TEST(KddLimitTest, TheResponderLeastRecentlyUsedIsForgotten) {
  KddOptions options;
  options.responders_max = 2;
  KddFeatures features(options);
  KddRow row;
  for (const int to : {2, 3, 2, 4, 3, 4}) features.compute(connection(1'000'000, 1, 4000, to, 80), row);
  EXPECT_EQ(at(row, 32), 2);  // 4 was remembered …
  EXPECT_EQ(features.statistics().responders, 2u);
  EXPECT_EQ(features.statistics().responders_forgotten, 2u);  // … 3 and then 2 were not
  EXPECT_EQ(at(row, 33), 6);
}

TEST(KddBasicsTest, BytesDurationLandAndUrgent) {
  FlowRecord record = connection(9'000'000, 2, 80, 2, 80);
  record.start_us = 1'000'001;  // 7.999999 s
  record.direction[0].payload_bytes = 300;
  record.direction[1].payload_bytes = 4000;
  record.direction[0].urg = 2;
  record.direction[1].urg = 1;
  record.bad_fragments = 3;
  KddRow row;
  compute_kdd_basics(record, row);
  EXPECT_EQ(at(row, 1), 7);
  EXPECT_EQ(at(row, 5), 300);
  EXPECT_EQ(at(row, 6), 4000);
  EXPECT_EQ(at(row, 7), 1);
  EXPECT_EQ(at(row, 8), 3);
  EXPECT_EQ(at(row, 9), 3);
  EXPECT_EQ(at(row, 12), 1);  // http, answered and closed
}

TEST(KddBasicsTest, ContentIsZeroByConvention) {
  KddRow row;
  compute_kdd_basics(connection(1, 1, 4000, 2, 80), row);
  for (int n = 10; n <= 22; ++n) EXPECT_EQ(at(row, n), 0) << n;
}

TEST(KddServiceTest, IsNamedByPort) {
  const auto tcp = [](int from_port, int port) {
    return name(kdd_service(connection(1, 1, from_port, 2, port)));
  };
  EXPECT_EQ(tcp(4000, 80), "http");
  EXPECT_EQ(tcp(4000, 8080), "http");
  EXPECT_EQ(tcp(4000, 443), "http_443");
  EXPECT_EQ(tcp(4000, 6063), "X11");
  EXPECT_EQ(tcp(4000, 6064), "other");
  EXPECT_EQ(tcp(4000, 49151), "other");
  EXPECT_EQ(tcp(4000, 49152), "private");
  EXPECT_EQ(tcp(4000, 65535), "private");
  EXPECT_EQ(tcp(4000, 20), "ftp_data");
  EXPECT_EQ(tcp(20, 40000), "ftp_data");
  EXPECT_EQ(tcp(4000, 1), "other");
}

TEST(KddServiceTest, UdpAndIcmpHaveTheirOwn) {
  FlowRecord record = connection(1, 1, 4000, 2, 53);
  record.tuple.protocol = net::protocol::udp;
  EXPECT_EQ(name(kdd_service(record)), "domain_u");
  record.tuple.destination_port = 443;
  EXPECT_EQ(name(kdd_service(record)), "other");
  record.tuple.protocol = net::protocol::icmp;
  const auto icmp = [&](int type, int code) {
    record.icmp_type = static_cast<std::uint8_t>(type);
    record.icmp_code = static_cast<std::uint8_t>(code);
    return name(kdd_service(record));
  };
  EXPECT_EQ(icmp(0, 0), "ecr_i");
  EXPECT_EQ(icmp(8, 0), "eco_i");
  EXPECT_EQ(icmp(3, 1), "urh_i");
  EXPECT_EQ(icmp(3, 3), "urp_i");
  EXPECT_EQ(icmp(11, 0), "tim_i");
  EXPECT_EQ(icmp(42, 0), "oth_i");
}

TEST(KddTextTest, ALineIsLikeThoseOfNslKdd) {
  KddFeatures features;
  KddRow row;
  features.compute(connection(1'000'000, 1, 4000, 2, 80), row);
  features.compute(connection(1'000'000, 1, 4000, 2, 22), row);
  std::string line;
  append_kdd_row(line, row, KddSet::all, "normal");
  EXPECT_EQ(line,
            "0,tcp,ssh,SF,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,2,1,0.00,0.00,0.00,0.00,0.50,1.00,0.00,2,1,0."
            "50,1.00,1.00,"
            "0.00,0.00,0.00,0.00,0.00,normal\n");
  std::string short_line;
  append_kdd_row(short_line, row, KddSet::header, "normal");
  EXPECT_EQ(std::count(short_line.begin(), short_line.end(), ','), 28);
}

// ---- the slow twin: every record kept, every window looked for among all of them.

class SlowKdd {
 public:
  void compute(const FlowRecord& record, KddRow& row) {
    compute_kdd_basics(record, row);
    seen_.push_back({record.last_us, record.tuple.destination, row.service, record.tuple.source_port,
                     is_serror(row.flag), is_rerror(row.flag)});
    const One& now = seen_.back();
    const auto same_host = [&](const One& one) { return one.host == now.host; };
    const auto same_service = [&](const One& one) { return one.service == now.service; };
    const auto host2 = window(same_host, 511, true), service2 = window(same_service, 511, true);
    const auto host = window(same_host, 255, false), service = window(same_service, 255, false);
    const auto set = [&](int n, double v) { row.values[static_cast<std::size_t>(n - 1)] = v; };
    set(23, static_cast<double>(host2.size()));
    set(24, static_cast<double>(service2.size()));
    set(25, share(host2, [](const One& one) { return one.serror; }));
    set(26, share(service2, [](const One& one) { return one.serror; }));
    set(27, share(host2, [](const One& one) { return one.rerror; }));
    set(28, share(service2, [](const One& one) { return one.rerror; }));
    set(29, share(host2, same_service));
    set(30, services(host2));
    set(31, hosts(service2));
    set(32, static_cast<double>(host.size()));
    set(33, static_cast<double>(service.size()));
    set(34, share(host, same_service));
    set(35, services(host));
    set(36, share(host, [&](const One& one) { return one.port == now.port; }));
    set(37, hosts(service));
    set(38, share(host, [](const One& one) { return one.serror; }));
    set(39, share(service, [](const One& one) { return one.serror; }));
    set(40, share(host, [](const One& one) { return one.rerror; }));
    set(41, share(service, [](const One& one) { return one.rerror; }));
  }

 private:
  struct One {
    std::int64_t time_us;
    net::Address host;
    KddService service;
    std::uint16_t port;
    bool serror, rerror;
  };
  using Window = std::vector<const One*>;

  template <class Like>
  Window window(Like like, std::size_t most, bool recent) const {
    Window out;
    for (auto one = seen_.rbegin(); one != seen_.rend() && out.size() < most; ++one) {
      if (recent && seen_.back().time_us - one->time_us > 2'000'000) break;
      if (like(*one)) out.push_back(&*one);
    }
    return out;
  }
  template <class Is>
  static double share(const Window& window, Is is) {
    const auto n = std::count_if(window.begin(), window.end(), [&](const One* one) { return is(*one); });
    return rounded(static_cast<double>(n) / static_cast<double>(window.size()));
  }
  static double rounded(double v) { return std::round(v * 100) / 100; }
  static double different(std::size_t k, std::size_t n) {
    return k == 1 ? 0 : rounded(static_cast<double>(k) / static_cast<double>(n));
  }
  static double services(const Window& window) {
    std::set<KddService> all;
    for (const One* one : window) all.insert(one->service);
    return different(all.size(), window.size());
  }
  static double hosts(const Window& window) {
    std::set<net::Address> all;
    for (const One* one : window) all.insert(one->host);
    return different(all.size(), window.size());
  }

  std::vector<One> seen_;
};

TEST(KddDifferentialTest, FastAndSlowAgreeOnRandomRecords) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    KddFeatures fast;
    SlowKdd slow;
    std::int64_t time_us = 1'000'000;
    constexpr int kPorts[] = {21, 22, 23, 80, 443, 7000, 60000};
    for (int i = 0; i < 4000; ++i) {
      // Bursts that fill the windows, and pauses that empty them.
      time_us +=
          static_cast<std::int64_t>(random.below(400) == 0 ? random.below(4'000'000) : random.below(4000));
      const auto record =
          connection(time_us, 1, 4000 + static_cast<int>(random.below(5)),
                     2 + static_cast<int>(random.below(8) * random.below(3) / 2),
                     kPorts[random.below(3) == 0 ? random.below(7) : 3], static_cast<How>(random.below(3)));
      KddRow a, b;
      fast.compute(record, a);
      slow.compute(record, b);
      for (int n = 1; n <= 41; ++n)
        ASSERT_EQ(at(a, n), at(b, n)) << kKddNames[static_cast<std::size_t>(n - 1)];

      // What the published rows obey.
      if (at(a, 23) == 1) {
        EXPECT_EQ(at(a, 30), 0);
      }
      EXPECT_LE(at(a, 25) + at(a, 27), 1.01);
      EXPECT_LE(at(a, 23), 511);
      EXPECT_LE(at(a, 32), 255);
    }
  }
}

}  // namespace
}  // namespace nidus::flow
