#include "detect/pipeline.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "detect/testing.h"
#include "flow/features.h"
#include "flow/record_writer.h"

namespace nidus::detect {
namespace {

using testing::HasSubstr;

struct Outcome {
  std::string rows;                 // in the order in which they came
  std::vector<std::string> sorted;  // the same, line by line
  CaptureStatistics statistics;
  std::optional<Error> fault;
};

Outcome run(const CaptureBuilder& capture, PipelineOptions options) {
  Outcome out;
  auto opened = net::Capture::open_memory(capture.span(), "memory");
  EXPECT_TRUE(opened) << opened.error().message;
  if (!opened) return out;
  Pipeline pipeline(options);
  flow::RecordWriterOptions writer_options;
  writer_options.profile = options.meter.profile;
  writer_options.community_id = true;
  writer_options.context = options.meter.context;
  writer_options.sequence_packets = options.meter.sequence_packets;
  flow::RecordWriter writer(writer_options);
  out.statistics = pipeline.run(*opened, [&](std::span<const flow::FlowRecord* const> records) {
    for (const auto* record : records) {
      std::string row;
      writer.row(*record, row);
      out.rows += row;
      out.sorted.push_back(std::move(row));
    }
    return true;
  });
  std::sort(out.sorted.begin(), out.sorted.end());
  out.fault = opened->fault();
  return out;
}

PipelineOptions options(std::size_t threads, std::size_t block_frames,
                        flow::Profile profile = flow::Profile::native) {
  PipelineOptions options;
  options.threads = threads;
  options.block_frames = block_frames;
  options.meter.profile = profile;
  return options;
}

TEST(PipelineTest, RowsAreTheSameByteForByteForAnyNumberOfThreads) {
  for (const std::uint64_t seed : {1u, 2u}) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    const CaptureBuilder capture = random_capture(seed, 20'000);
    const Outcome one = run(capture, options(1, 4096));
    ASSERT_GT(one.sorted.size(), 1000u);
    for (const std::size_t threads : {2u, 8u}) {
      SCOPED_TRACE(fmt::format("{} threads", threads));
      const Outcome many = run(capture, options(threads, 4096));
      EXPECT_TRUE(many.rows == one.rows);
      EXPECT_EQ(many.statistics.frames, one.statistics.frames);
      EXPECT_EQ(many.statistics.meter.packets, one.statistics.meter.packets);
    }
  }
}

TEST(PipelineTest, RowsAreTheSameOnceSortedForAnyBlockSize) {
  const CaptureBuilder capture = random_capture(3, 20'000);
  for (const auto profile : {flow::Profile::native, flow::Profile::cic2018}) {
    SCOPED_TRACE(std::string(flow::name(profile)));
    const Outcome one = run(capture, options(1, 4096, profile));
    for (const std::size_t block : {1u, 7u, 1000u, 1u << 20}) {
      SCOPED_TRACE(fmt::format("blocks of {}", block));
      EXPECT_TRUE(run(capture, options(1, block, profile)).sorted == one.sorted);
      EXPECT_TRUE(run(capture, options(3, block, profile)).sorted == one.sorted);
    }
  }
}

// With context the order is that of the ends, so not even that depends on the blocks; a pipe that hands out
// every second gives what a file gives.
TEST(PipelineTest, ContextAndOrderAreTheSameForAnyThreadsAndBlocksLiveOrNot) {
  const CaptureBuilder capture = random_capture(6, 4'000);
  PipelineOptions whole = options(1, 4096);
  whole.meter.context = true;
  whole.meter.sequence_packets = 5;
  whole.meter.partial_after_packets = 4;
  whole.meter.idle_timeout = std::chrono::seconds(10);
  const Outcome one = run(capture, whole);
  ASSERT_GT(one.sorted.size(), 500u);
  EXPECT_EQ(one.statistics.context.late + one.statistics.context.forced, 0u);
  for (const std::size_t threads : {1u, 2u, 8u}) {
    for (const std::size_t block : {1u, 7u, 1000u, 1u << 20}) {
      SCOPED_TRACE(fmt::format("{} threads, blocks of {}", threads, block));
      PipelineOptions other = whole;
      other.threads = threads;
      other.block_frames = block;
      EXPECT_TRUE(run(capture, other).rows == one.rows);
    }
  }
}

TEST(PipelineTest, RecordsAreHandedOutAsSoonAsNoEarlierOneCanCome) {
  CaptureBuilder capture;
  for (int i = 0; i < 40; ++i) {
    capture.at(1'700'000'000'000'000 + i * 10'000'000LL).udp("10.0.0.1", 1000 + i, "10.0.0.2", 53, 40);
  }
  PipelineOptions live = options(1, 1);
  live.meter.context = true;
  live.meter.idle_timeout = std::chrono::seconds(30);
  std::vector<std::size_t> waiting;  // flows that began before, but have not come, whenever one comes
  std::size_t came = 0;
  auto opened = net::Capture::open_memory(capture.span(), "memory");
  ASSERT_TRUE(opened);
  Pipeline pipeline(live);
  pipeline.run(*opened, [&](std::span<const flow::FlowRecord* const> records) {
    came += records.size();
    waiting.push_back(static_cast<std::size_t>(opened->frames()) - came);
    return true;
  });
  EXPECT_EQ(came, 40u);
  ASSERT_GT(waiting.size(), 30u);
  // 30 s of silence and 10 s for disorder: four flows later, and the block in hand.
  EXPECT_LE(waiting[waiting.size() / 2], 6u);
}

TEST(PipelineTest, AFlowThatHadAnEarlyRecordIsNotHandedOutAgainWhenAskedForOnce) {
  CaptureBuilder capture;
  for (int i = 0; i < 5; ++i) capture.at(1'700'000'000'000'000 + i).udp("10.0.0.1", 1000, "10.0.0.2", 53, 40);
  capture.udp("10.0.0.3", 1000, "10.0.0.2", 53, 40);
  for (const bool context : {false, true}) {
    PipelineOptions early = options(1, 4096);
    early.meter.partial_after_packets = 3;
    early.meter.context = context;
    EXPECT_EQ(run(capture, early).sorted.size(), 3u);
    early.meter.once = true;
    const Outcome once = run(capture, early);
    EXPECT_EQ(once.sorted.size(), 2u);
    EXPECT_EQ(once.statistics.meter.flows, 2u);
  }
}

TEST(PipelineTest, EvictionsDoNotDependOnTheThreadsEither) {
  const CaptureBuilder capture = random_capture(4, 20'000, 400);
  PipelineOptions tight = options(1, 4096);
  tight.meter.flows_max = 256;
  tight.meter.one_packet_flows_max = 256;
  const Outcome one = run(capture, tight);
  EXPECT_GT(one.statistics.meter.flows_evicted, 0u);
  tight.threads = 4;
  EXPECT_TRUE(run(capture, tight).rows == one.rows);
}

TEST(PipelineTest, CountsFramesThatAreNoPackets) {
  CaptureBuilder capture;
  capture.udp("10.0.0.1", 1000, "10.0.0.2", 53, 40);
  capture.raw("too short");
  capture.at(1'700'000'005'000'000).udp("10.0.0.2", 53, "10.0.0.1", 1000, 90);
  const Outcome outcome = run(capture, options(1, 4096));
  EXPECT_EQ(outcome.statistics.frames, 3u);
  EXPECT_EQ(outcome.statistics.decode.packets, 2u);
  EXPECT_EQ(outcome.statistics.decode.of(net::Fault::truncated), 1u);
  EXPECT_EQ(outcome.sorted.size(), 1u);
  EXPECT_EQ(outcome.statistics.last->ns - outcome.statistics.first->ns, 5'000'000'000);
}

TEST(PipelineTest, WhatStandsBeforeAFaultIsKept) {
  CaptureBuilder whole;
  whole.udp("10.0.0.1", 1000, "10.0.0.2", 53, 40).udp("10.0.0.3", 1000, "10.0.0.2", 53, 40);
  auto cut = net::Capture::open_memory(whole.span().first(whole.bytes().size() - 5), "cut.pcap");
  ASSERT_TRUE(cut);
  Pipeline pipeline(options(1, 4096));
  std::size_t records = 0;
  const auto statistics = pipeline.run(*cut, [&](auto block) {
    records += block.size();
    return true;
  });
  EXPECT_EQ(records, 1u);
  EXPECT_EQ(statistics.frames, 1u);
  ASSERT_TRUE(cut->fault());
  EXPECT_THAT(cut->fault()->message, HasSubstr("cut.pcap"));
}

TEST(PipelineTest, FlowsDoNotGoOnFromOneCaptureIntoTheNext) {
  CaptureBuilder capture;
  capture.udp("10.0.0.1", 1000, "10.0.0.2", 53, 40);
  Pipeline pipeline(options(1, 4096));
  std::size_t records = 0;
  CaptureStatistics total;
  for (int i = 0; i < 2; ++i) {
    auto opened = net::Capture::open_memory(capture.span(), "memory");
    ASSERT_TRUE(opened);
    total += pipeline.run(*opened, [&](auto block) {
      records += block.size();
      return true;
    });
  }
  EXPECT_EQ(records, 2u);
  EXPECT_EQ(total.captures, 2u);
  EXPECT_EQ(total.meter.flows, 2u);
}

TEST(PipelineTest, StopsWhenAsked) {
  const CaptureBuilder capture = random_capture(5, 5'000);
  for (const std::size_t threads : {1u, 3u}) {
    std::atomic<bool> stop = false;
    auto opened = net::Capture::open_memory(capture.span(), "memory");
    ASSERT_TRUE(opened);
    Pipeline pipeline(options(threads, 100));
    const auto statistics = pipeline.run(
        *opened, [](auto) { return true; }, [&](auto, auto) { stop = true; }, &stop);
    EXPECT_TRUE(statistics.stopped);
    EXPECT_LE(statistics.frames, 300u);
    // Whatever was read has been metered.
    EXPECT_EQ(statistics.meter.packets, statistics.decode.packets);
  }
}

TEST(PipelineTest, AnEmptyCaptureHasNoRecords) {
  const Outcome outcome = run(CaptureBuilder(), options(4, 4096));
  EXPECT_EQ(outcome.rows, "");
  EXPECT_FALSE(outcome.statistics.first);
  EXPECT_FALSE(outcome.fault);
}

}  // namespace
}  // namespace nidus::detect
