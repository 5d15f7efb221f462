#include "sandbox/internal/wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <string>

namespace nidus::sandbox::internal {
namespace {

using testing::HasSubstr;

// Bytes as a child would have written them.
class WireTest : public testing::Test {
 protected:
  void say(std::uint32_t tag, std::string_view content, std::uint32_t claims) {
    const Header header{tag, claims};
    said_.append(reinterpret_cast<const char*>(&header), sizeof header);
    said_ += content;
  }
  void say(Tag tag, std::string_view content) {
    say(static_cast<std::uint32_t>(tag), content, static_cast<std::uint32_t>(content.size()));
  }
  template <class T>
  static std::string_view bytes(const T& value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
  }
  Result<MessageReader::Message> next() { return reader_.next(); }

  static flow::FlowRecord sound() {
    flow::FlowRecord record;
    record.direction[0].packets = 1;
    record.history[0] = 'S';
    record.history_length = 1;
    return record;
  }

  std::string said_;
  std::size_t at_ = 0;
  MessageReader reader_{[this](std::span<std::byte> into) -> Result<void> {
    if (said_.size() - at_ < into.size()) return Error{Errc::io, "ended"};
    if (!into.empty()) std::memcpy(into.data(), said_.data() + at_, into.size());
    at_ += into.size();
    return {};
  }};
};

TEST_F(WireTest, RecordsComeAsTheyWent) {
  flow::FlowRecord records[2] = {sound(), sound()};
  records[1].tuple.source_port = 4000;
  records[1].start_us = records[1].last_us = 1'700'000'000'000'000;
  say(Tag::records, bytes(records));
  say(Tag::end, "");
  const auto message = next();
  ASSERT_TRUE(message) << message.error().message;
  ASSERT_EQ(message->records.size(), 2u);
  EXPECT_EQ(message->records[1]->tuple.source_port, 4000);
  EXPECT_EQ(message->records[1]->start_us, 1'700'000'000'000'000);
  EXPECT_EQ(next()->tag, Tag::end);
  EXPECT_EQ(next().error().code, Errc::io);
}

TEST_F(WireTest, ContextsAndStepsComeWithTheirRecords) {
  flow::FlowRecord records[2] = {sound(), sound()};
  records[1].sequence_packets = 2;
  flow::FlowContext contexts[2];
  contexts[1].values[3] = 7;
  Steps steps[2] = {};
  steps[1][1].payload_bytes = 99;
  say(Tag::contexts, bytes(contexts));
  say(Tag::steps, bytes(steps));
  say(Tag::records, bytes(records));
  say(Tag::records, bytes(records));
  const auto message = next();
  ASSERT_TRUE(message) << message.error().message;
  EXPECT_EQ(message->records[1]->context->values[3], 7);
  EXPECT_EQ(message->records[1]->steps[1].payload_bytes, 99u);
  const auto bare = next();
  ASSERT_TRUE(bare);
  EXPECT_EQ(bare->records[1]->context, nullptr);
  EXPECT_EQ(bare->records[1]->steps, nullptr);
}

TEST_F(WireTest, PointersOfAChildAreNeverFollowed) {
  flow::FlowRecord record = sound();
  record.context = reinterpret_cast<const flow::FlowContext*>(0x1000);
  record.steps = reinterpret_cast<const flow::PacketStep*>(0x1000);
  record.sequence_packets = 5;
  say(Tag::records, bytes(record));
  const auto message = next();
  ASSERT_TRUE(message);
  EXPECT_EQ(message->records[0]->context, nullptr);
  EXPECT_EQ(message->records[0]->steps, nullptr);
}

TEST_F(WireTest, ContextsOfOtherRecordsAreCorrupt) {
  const flow::FlowRecord records[2] = {sound(), sound()};
  flow::FlowContext contexts[2];
  const Steps steps[2] = {};
  const auto refused = [&](auto&& speak) {
    said_.clear();
    at_ = 0;
    speak();
    const auto message = next();
    return !message && message.error().code == Errc::corrupt;
  };
  EXPECT_TRUE(refused([&] {
    say(Tag::contexts, bytes(contexts[0]));
    say(Tag::records, bytes(records));
  }));
  EXPECT_TRUE(refused([&] {
    say(Tag::steps, bytes(steps[0]));
    say(Tag::records, bytes(records));
  }));
  EXPECT_TRUE(refused([&] {
    say(Tag::contexts, bytes(contexts));
    say(Tag::end, "");
  }));
  for (const double wrong :
       {-1.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    contexts[1].values[0] = wrong;
    EXPECT_TRUE(refused([&] {
      say(Tag::contexts, bytes(contexts));
      say(Tag::records, bytes(records));
    }));
  }
}

TEST_F(WireTest, WhatNobodyOfOursSaysIsCorrupt) {
  struct Case {
    std::uint32_t tag;
    std::string content;
    std::uint32_t claims;
  };
  const auto records = static_cast<std::uint32_t>(Tag::records);
  for (const Case& c :
       {Case{0, "", 0}, Case{99, "", 0}, Case{records, "", UINT32_MAX},
        Case{records, std::string(100, 'x'), 100}, Case{static_cast<std::uint32_t>(Tag::summary), "short", 5},
        Case{static_cast<std::uint32_t>(Tag::end), "x", 1},
        Case{static_cast<std::uint32_t>(Tag::fault), "", kTextBytesMax + 1}}) {
    said_.clear();
    at_ = 0;
    say(c.tag, c.content, c.claims);
    const auto message = next();
    ASSERT_FALSE(message) << c.tag;
    EXPECT_EQ(message.error().code, Errc::corrupt) << c.tag;
  }
}

TEST_F(WireTest, ARecordThatNoMeterMakesIsCorrupt) {
  EXPECT_TRUE(is_sound(sound()));
  const auto refused = [](auto&& spoil) {
    flow::FlowRecord record = sound();
    spoil(record);
    return !is_sound(record);
  };
  EXPECT_TRUE(refused([](auto& r) { r.tuple.version = static_cast<net::IpVersion>(5); }));
  EXPECT_TRUE(refused([](auto& r) { r.end_reason = static_cast<flow::EndReason>(7); }));
  EXPECT_TRUE(refused([](auto& r) { r.last_us = -1; }));
  EXPECT_TRUE(refused([](auto& r) { r.last_us = std::numeric_limits<std::int64_t>::max(); }));
  EXPECT_TRUE(refused([](auto& r) { r.start_us = std::numeric_limits<std::int64_t>::min(); }));
  EXPECT_TRUE(refused([](auto& r) { r.connection_start_us = 1; }));
  EXPECT_TRUE(refused([](auto& r) { r.direction[0].packets = 0; }));
  EXPECT_TRUE(refused([](auto& r) { r.history_length = flow::kHistoryLength + 1; }));
  EXPECT_TRUE(refused([](auto& r) { r.history[0] = '\n'; }));
  EXPECT_TRUE(refused([](auto& r) { r.sequence_packets = flow::kSequenceMax + 1; }));
}

TEST_F(WireTest, AnErrorComesAsItWentButPrintable) {
  const auto sent = [](const std::string& bytes) { return error_of(std::as_bytes(std::span(bytes))); };
  const Error error = sent(error_bytes({Errc::unsupported, "no\ncapture\x7f"}));
  EXPECT_EQ(error.code, Errc::unsupported);
  EXPECT_EQ(error.message, "no capture ");
  EXPECT_EQ(sent("\xff\xff\xff\xffx").code, Errc::corrupt);
}

TEST_F(WireTest, StatisticsComeAsTheyWent) {
  detect::CaptureStatistics statistics;
  statistics.frames = 7;
  statistics.first = Timestamp{-5};
  statistics.last = Timestamp{9};
  statistics.decode.packets = 6;
  statistics.decode.faults[3] = 1;
  statistics.meter.flows = 4;
  statistics.meter.bytes_in_use = 11;
  const auto back = from_wire(to_wire(statistics));
  EXPECT_EQ(back.captures, 1u);
  EXPECT_EQ(back.frames, 7u);
  EXPECT_EQ(back.first, statistics.first);
  EXPECT_EQ(back.last, statistics.last);
  EXPECT_EQ(back.decode.packets, 6u);
  EXPECT_EQ(back.decode.faults[3], 1u);
  EXPECT_EQ(back.meter.flows, 4u);
  EXPECT_EQ(back.meter.bytes_in_use, 11u);
}

TEST_F(WireTest, FileNamesLeadNowhere) {
  for (const char* const name : {"detector.json", "model-1.nidus", "a_b"})
    EXPECT_TRUE(is_file_name(name)) << name;
  for (const char* const name : {"", ".", "..", ".hidden", "a/b", "/etc/passwd", "a b", "a\nb"})
    EXPECT_FALSE(is_file_name(name)) << name;
  EXPECT_FALSE(is_file_name(std::string(256, 'a')));
}

}  // namespace
}  // namespace nidus::sandbox::internal
