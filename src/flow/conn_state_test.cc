#include "flow/conn_state.h"

#include <gtest/gtest.h>

#include "flow/meter.h"

namespace nidus::flow {
namespace {

using namespace net::tcp_flag;

// Client and server talk; the one record of what they said is asked how it went.
class ConnStateTest : public testing::Test {
 protected:
  ConnStateTest() : meter_(options()) {}

  static MeterOptions options() {
    MeterOptions options;
    options.hash_seed = 1;
    return options;
  }

  void client(std::uint8_t flags, std::uint32_t payload = 0) { send(flags, payload, true); }
  void server(std::uint8_t flags, std::uint32_t payload = 0) { send(flags, payload, false); }

  void send(std::uint8_t flags, std::uint32_t payload, bool from_client) {
    net::Packet packet;
    packet.time = {now_ns_ += 1'000'000};
    packet.tuple.source.bytes = {10, 0, 0, static_cast<std::uint8_t>(from_client ? 1 : 2)};
    packet.tuple.destination.bytes = {10, 0, 0, static_cast<std::uint8_t>(from_client ? 2 : 1)};
    packet.tuple.source_port = from_client ? 4000 : 80;
    packet.tuple.destination_port = from_client ? 80 : 4000;
    packet.tuple.protocol = protocol_;
    packet.payload_bytes = packet.captured_payload_bytes = payload;
    packet.header_bytes = protocol_ == net::protocol::tcp ? 20 : 8;
    packet.tcp_flags = flags;
    packet.window = 1000;
    auto& sequence = sequence_[from_client];
    packet.sequence = sequence;
    sequence += payload + ((flags & syn) ? 1 : 0) + ((flags & fin) ? 1 : 0);
    meter_.route(packet);
  }

  FlowRecord record() {
    meter_.finish();
    for (std::size_t shard = 0; shard < Meter::kShards; ++shard) meter_.run(shard);
    const auto records = meter_.collect();
    EXPECT_EQ(records.size(), 1u);
    return records.empty() ? FlowRecord() : *records[0];
  }

  void expect(std::string_view state, std::string_view letters, KddFlag flag) {
    const FlowRecord r = record();
    EXPECT_EQ(conn_state(r), state);
    EXPECT_EQ(history(r), letters);
    EXPECT_EQ(name(kdd_flag(r)), name(flag));
  }

  std::uint8_t protocol_ = net::protocol::tcp;
  std::int64_t now_ns_ = 0;
  std::uint32_t sequence_[2] = {100, 200};
  Meter meter_;
};

TEST_F(ConnStateTest, ACompleteConnectionIsSF) {
  client(syn), server(syn | ack), client(ack);
  client(psh | ack, 10), server(psh | ack, 20), server(ack);
  client(fin | ack), server(fin | ack), client(ack);
  expect("SF", "ShADdaFf", KddFlag::sf);
}

TEST_F(ConnStateTest, AnUnansweredSynIsS0) {
  client(syn), client(syn);
  expect("S0", "S", KddFlag::s0);
}

TEST_F(ConnStateTest, AnEstablishedConnectionIsS1UntilOneSideCloses) {
  client(syn), server(syn | ack), client(ack);
  expect("S1", "ShA", KddFlag::s1);
}

TEST_F(ConnStateTest, OnlyTheInitiatorHasClosed) {
  client(syn), server(syn | ack), client(ack), client(fin | ack), server(ack);
  expect("S2", "ShAFa", KddFlag::s2);
}

TEST_F(ConnStateTest, OnlyTheResponderHasClosed) {
  client(syn), server(syn | ack), client(ack), server(fin | ack), client(ack);
  expect("S3", "ShAf", KddFlag::s3);
}

TEST_F(ConnStateTest, ARefusedSynIsREJ) {
  client(syn), server(rst | ack);
  expect("REJ", "Sr", KddFlag::rej);
}

TEST_F(ConnStateTest, TheInitiatorResetsAnEstablishedConnection) {
  client(syn), server(syn | ack), client(ack), client(rst);
  expect("RSTO", "ShAR", KddFlag::rsto);
}

TEST_F(ConnStateTest, TheResponderResetsAnEstablishedConnection) {
  client(syn), server(syn | ack), client(ack), client(ack, 5), server(rst);
  expect("RSTR", "ShADr", KddFlag::rstr);
}

TEST_F(ConnStateTest, AHalfOpenScanIsAnsweredAndReset) {
  client(syn), server(syn | ack), client(rst);
  expect("RSTO", "ShR", KddFlag::rsto);
}

TEST_F(ConnStateTest, ASynThatIsResetWithoutAnAnswer) {
  client(syn), client(rst);
  expect("RSTOS0", "SR", KddFlag::rstos0);
}

TEST_F(ConnStateTest, AnAckBeforeTheResetIsNotRSTOS0) {
  client(syn), client(ack), client(rst);
  expect("OTH", "SAR", KddFlag::oth);
}

TEST_F(ConnStateTest, ASynAndAFinWithoutAnyAnswerIsSH) {
  client(syn), client(fin);
  expect("SH", "SF", KddFlag::sh);
}

TEST_F(ConnStateTest, MidstreamTrafficIsOTH) {
  client(ack, 10), server(ack), client(ack, 10);
  expect("OTH", "Da", KddFlag::oth);
}

// An answer seen first: the initiator is the other side, and the history says that it was turned.
TEST_F(ConnStateTest, AnAnswerSeenFirstIsTurned) {
  server(syn | ack), client(ack), client(ack, 7);
  expect("S1", "^hAD", KddFlag::s1);
}

TEST_F(ConnStateTest, AnAnswerThatIsResetByItsSenderIsRSTRH) {
  server(syn | ack), server(rst);
  expect("RSTRH", "^hr", KddFlag::rstr);
}

TEST_F(ConnStateTest, AnAnswerThatIsClosedByItsSenderIsSHR) {
  server(syn | ack), server(fin);
  expect("SHR", "^hf", KddFlag::oth);
}

// A responder's bare acknowledgement of a SYN says nothing about the connection.
TEST_F(ConnStateTest, ABareAckToASynChangesNothing) {
  client(syn), server(ack);
  expect("S0", "Sa", KddFlag::s0);
}

TEST_F(ConnStateTest, RetransmissionsAndClosedWindowsAreNotedOnce) {
  client(syn), server(syn | ack), client(ack);
  client(ack, 10);
  sequence_[true] -= 10;
  client(ack, 10);
  sequence_[true] -= 10;
  client(ack, 10);
  expect("S1", "ShADT", KddFlag::s1);
}

TEST_F(ConnStateTest, UdpIsJudgedByWhoSpoke) {
  protocol_ = net::protocol::udp;
  client(0, 10);
  server(0, 10);
  expect("SF", "Dd", KddFlag::sf);
}

TEST_F(ConnStateTest, UdpWithoutAnAnswerIsS0ButKddCallsItSF) {
  protocol_ = net::protocol::udp;
  client(0, 10);
  expect("S0", "D", KddFlag::sf);
}

// Zeek keeps no history of anything but TCP and UDP.
TEST_F(ConnStateTest, IcmpHasNeitherStateNorHistory) {
  protocol_ = net::protocol::icmp;
  client(0, 56);
  expect("OTH", "", KddFlag::sf);
}

TEST(KddFlagTest, EveryFlagIsInAtMostOneErrorClass) {
  int serrors = 0, rerrors = 0;
  for (int i = 0; i <= static_cast<int>(KddFlag::oth); ++i) {
    const auto flag = static_cast<KddFlag>(i);
    EXPECT_FALSE(is_serror(flag) && is_rerror(flag)) << name(flag);
    serrors += is_serror(flag);
    rerrors += is_rerror(flag);
  }
  EXPECT_EQ(serrors, 5);
  EXPECT_EQ(rerrors, 4);
}

}  // namespace
}  // namespace nidus::flow
