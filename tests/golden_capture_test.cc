// The same conversations as a capture in every form that must not matter: VLAN tags, IPv6, a short snap
// length, Ethernet padding, nanoseconds, the other byte order, pcapng. Native rows are those of the packets
// themselves, which flow's golden vectors hold to the specification.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "flow/testing.h"
#include "net/capture.h"
#include "net/decode.h"

namespace nidus {
namespace {

struct Form {
  bool vlan = false, ipv6 = false, padded = false, nanoseconds = false, big_endian = false, pcapng = false;
  std::size_t snap = 65535;
};

class Bytes {
 public:
  explicit Bytes(bool big) : big_(big) {}
  // In the file's byte order, and in the network's.
  Bytes& host(std::uint64_t value, int count) {
    for (int i = 0; i < count; ++i) out_ += byte(value, big_ ? count - 1 - i : i);
    return *this;
  }
  Bytes& network(std::uint64_t value, int count) {
    for (int i = count - 1; i >= 0; --i) out_ += byte(value, i);
    return *this;
  }
  Bytes& text(std::string_view more) {
    out_ += more;
    return *this;
  }
  const std::string& str() const { return out_; }

 private:
  static char byte(std::uint64_t value, int at) { return static_cast<char>(value >> (8 * at) & 0xff); }
  bool big_;
  std::string out_;
};

std::string frame_of(const net::Packet& p, const Form& form) {
  Bytes out(false);
  out.text(std::string(12, '\x02'));
  if (form.vlan) out.network(0x8100, 2).network(42, 2);
  out.network(form.ipv6 ? 0x86dd : 0x0800, 2);
  const std::size_t transport = p.header_bytes + p.payload_bytes;
  const auto address = [&](const net::Address& a) {
    if (form.ipv6) out.network(0x20010db800000000u, 8).network(0, 4);
    for (int i = 0; i < 4; ++i) out.network(a.bytes[static_cast<std::size_t>(i)], 1);
  };
  if (form.ipv6) {
    out.network(0x60000000, 4).network(transport, 2).network(p.tuple.protocol, 1).network(64, 1);
  } else {
    out.network(0x4500, 2).network(20 + transport, 2).network(0, 4).network(64, 1);
    out.network(p.tuple.protocol, 1).network(0, 2);
  }
  address(p.tuple.source);
  address(p.tuple.destination);
  if (p.tuple.protocol == net::protocol::tcp) {
    out.network(p.tuple.source_port, 2).network(p.tuple.destination_port, 2);
    out.network(p.sequence, 4).network(p.acknowledgement, 4);
    out.network(p.header_bytes / 4u << 4, 1).network(p.tcp_flags, 1).network(p.window, 2).network(0, 4);
    out.text(std::string(p.header_bytes - 20u, '\x01'));
  } else if (p.tuple.protocol == net::protocol::udp) {
    out.network(p.tuple.source_port, 2).network(p.tuple.destination_port, 2);
    out.network(transport, 2).network(0, 2);
  } else {
    out.network(p.icmp_type, 1).network(p.icmp_code, 1).network(0, 6);
  }
  out.text(std::string(p.payload_bytes, 'x'));
  std::string frame = out.str();
  if (form.padded && frame.size() < 60) frame.append(60 - frame.size(), '\0');
  return frame;
}

std::string capture_of(const std::vector<net::Packet>& packets, const Form& form) {
  Bytes out(form.big_endian);
  if (form.pcapng) {
    out.host(0x0a0d0d0a, 4).host(28, 4).host(0x1a2b3c4d, 4).host(1, 2).host(0, 2).host(~0ull, 8).host(28, 4);
    // if_tsresol 9: nanoseconds.
    const int options = form.nanoseconds ? 12 : 0;
    out.host(1, 4).host(static_cast<std::uint64_t>(20 + options), 4).host(1, 2).host(0, 2).host(form.snap, 4);
    if (options != 0) out.host(9, 2).host(1, 2).text(std::string("\x09\0\0\0", 4)).host(0, 4);
    out.host(static_cast<std::uint64_t>(20 + options), 4);
  } else {
    out.host(form.nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4, 4)
        .host(2, 2)
        .host(4, 2)
        .host(0, 8)
        .host(form.snap, 4)
        .host(1, 4);
  }
  for (const auto& p : packets) {
    const std::string frame = frame_of(p, form);
    const std::size_t kept = std::min(frame.size(), form.snap);
    const auto us = static_cast<std::uint64_t>(p.time.microseconds());
    if (form.pcapng) {
      const std::uint64_t units = form.nanoseconds ? us * 1000 : us;
      const std::size_t filler = (4 - kept % 4) % 4;
      const std::uint64_t length = 32 + kept + filler;
      out.host(6, 4).host(length, 4).host(0, 4).host(units >> 32, 4).host(units & 0xffffffff, 4);
      out.host(kept, 4)
          .host(frame.size(), 4)
          .text(frame.substr(0, kept))
          .text(std::string(filler, '\0'))
          .host(length, 4);
    } else {
      out.host(us / 1'000'000, 4).host(us % 1'000'000 * (form.nanoseconds ? 1000 : 1), 4);
      out.host(kept, 4).host(frame.size(), 4).text(frame.substr(0, kept));
    }
  }
  return out.str();
}

using Rows = std::vector<std::string>;

// Features as text, one line a flow. Sizes of frames and datagrams do depend on the form.
Rows rows_of(const std::vector<flow::FlowRecord>& records) {
  Rows rows;
  for (const auto& record : records) {
    std::string& row =
        rows.emplace_back(std::to_string(record.start_us) + ' ' + std::string(name(record.end_reason)));
    flow::FeatureRow values;
    compute_features(flow::Profile::native, record, values);
    for (const auto& info : flow::features()) {
      if (info.feature >= flow::Feature::fwd_ip_bytes) continue;
      row +=
          ' ' + std::string(info.key) + '=' + std::to_string(values[static_cast<std::size_t>(info.feature)]);
    }
  }
  std::sort(rows.begin(), rows.end());
  return rows;
}

Rows rows_of_capture(const std::string& bytes) {
  auto capture =
      net::Capture::open_memory({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, "test");
  EXPECT_TRUE(capture);
  net::Decoder decoder;
  flow::Meter meter({});
  net::Frame frame;
  net::Packet packet;
  while (capture->next(frame) == net::Next::frame) {
    if (decoder.decode(frame, packet) == net::Fault::none) meter.route(packet);
  }
  EXPECT_FALSE(capture->fault());
  meter.finish();
  return rows_of(flow::ended(meter));
}

std::vector<net::Packet> conversations() {
  auto packets = flow::random_traffic(11, 4000);
  // IPv6 has another ICMP, so it is left out for all.
  std::erase_if(packets, [](const net::Packet& p) { return p.tuple.protocol == net::protocol::icmp; });
  return packets;
}

TEST(GoldenCapture, NativeRowsAreTheSameInEveryForm) {
  const auto packets = conversations();
  const Rows expected = rows_of(flow::meter_all({}, packets));
  ASSERT_GT(expected.size(), 50u);
  const std::pair<const char*, Form> kForms[] = {
      {"plain", {}},
      {"VLAN", {.vlan = true}},
      {"IPv6", {.ipv6 = true}},
      {"96 bytes of each frame", {.snap = 96}},
      {"padded", {.padded = true}},
      {"nanoseconds", {.nanoseconds = true}},
      {"big endian", {.big_endian = true}},
      {"pcapng", {.pcapng = true}},
      {"pcapng, big endian, nanoseconds", {.nanoseconds = true, .big_endian = true, .pcapng = true}},
      {"VLAN, IPv6, padded, short", {.vlan = true, .ipv6 = true, .padded = true, .snap = 96}},
  };
  for (const auto& [what, form] : kForms) {
    const Rows rows = rows_of_capture(capture_of(packets, form));
    ASSERT_EQ(rows.size(), expected.size()) << what;
    for (std::size_t i = 0; i < rows.size(); ++i) ASSERT_EQ(rows[i], expected[i]) << what;
  }
}

TEST(GoldenCapture, PingsAreTheSameWithAndWithoutAVlanTag) {
  auto packets = flow::random_traffic(12, 3000);
  std::erase_if(packets, [](const net::Packet& p) { return p.tuple.protocol != net::protocol::icmp; });
  const Rows expected = rows_of(flow::meter_all({}, packets));
  EXPECT_EQ(rows_of_capture(capture_of(packets, {})), expected);
  EXPECT_EQ(rows_of_capture(capture_of(packets, {.vlan = true, .padded = true})), expected);
}

}  // namespace
}  // namespace nidus
