#include "detect/pipeline.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>
#include <vector>

#include "net/packet.h"

namespace nidus::detect {
namespace {

using Clock = std::chrono::steady_clock;

// Why a block is not full.
enum class BlockEnd : std::uint8_t { full, idle, end };

}  // namespace

net::DecodeOptions decode_options(flow::Profile profile) {
  net::DecodeOptions options;
  switch (profile) {
    case flow::Profile::cic2017:
    case flow::Profile::cic2018:
    case flow::Profile::cns2022:
    case flow::Profile::cic_fixed:
      options.keep_arp = true;
      return options;
    case flow::Profile::native:
    case flow::Profile::nsl_kdd:
      return options;
  }
  return options;
}

CaptureStatistics& CaptureStatistics::operator+=(const CaptureStatistics& other) {
  captures += other.captures;
  frames += other.frames;
  wire_bytes += other.wire_bytes;
  if (other.first && (!first || *other.first < *first)) first = other.first;
  if (other.last && (!last || *other.last > *last)) last = other.last;
  decode += other.decode;
  meter.packets += other.meter.packets;
  meter.packets_ignored += other.meter.packets_ignored;
  meter.packets_out_of_order += other.meter.packets_out_of_order;
  meter.flows += other.meter.flows;
  meter.flows_partial += other.meter.flows_partial;
  meter.flows_evicted += other.meter.flows_evicted;
  meter.flows_unwritten += other.meter.flows_unwritten;
  meter.remainders_dropped += other.meter.remainders_dropped;
  meter.live_flows += other.meter.live_flows;
  meter.live_one_packet_flows += other.meter.live_one_packet_flows;
  meter.bytes_in_use = std::max(meter.bytes_in_use, other.meter.bytes_in_use);
  context.forgotten += other.context.forgotten;
  context.late += other.context.late;
  context.forced += other.context.forced;
  seconds += other.seconds;
  stopped = stopped || other.stopped;
  return *this;
}

struct Pipeline::Impl {
  explicit Impl(PipelineOptions given) : options(std::move(given)), workers(options.threads) {
    options.threads = workers.threads();
    options.block_frames = std::max<std::size_t>(options.block_frames, 1);
  }

  PipelineOptions options;
  Workers workers;
};

namespace {

struct Block {
  explicit Block(std::size_t frames_max) : packets(frames_max) {}

  std::span<net::Packet> filled() { return std::span(packets).first(count); }

  std::vector<net::Packet> packets;
  std::size_t count = 0;
};

// Reads blocks of packets out of one capture.
class BlockReader {
 public:
  BlockReader(net::Capture& capture, const PipelineOptions& options, CaptureStatistics& statistics)
      : capture_(capture),
        decoder_(options.decode ? *options.decode : decode_options(options.meter.profile)),
        span_max_(options.stream_block_span),
        is_stream_(!capture.size().has_value()),
        statistics_(statistics) {}

  // Fills `block` with the packets of the next frames, as many as it has room for.
  BlockEnd read(Block& block) {
    block.count = 0;
    net::Frame frame;
    Timestamp begin;
    for (std::size_t i = 0; i < block.packets.size(); ++i) {
      switch (capture_.next(frame)) {
        case net::Next::end:
          return BlockEnd::end;
        case net::Next::idle:
          if (!silent_since_) silent_since_ = Clock::now();
          return BlockEnd::idle;
        case net::Next::frame:
          silent_since_.reset();
          break;
      }
      ++statistics_.frames;
      statistics_.wire_bytes += frame.wire_bytes;
      if (statistics_.frames == 1) earliest_ = latest_ = frame.time;
      earliest_ = std::min(earliest_, frame.time);
      latest_ = std::max(latest_, frame.time);
      if (i == 0) begin = frame.time;
      block.count += decoder_.decode(frame, block.packets[block.count]) == net::Fault::none;
      if (is_stream_ && frame.time - begin > span_max_) return BlockEnd::full;
    }
    return BlockEnd::full;
  }

  // What time it is for a stream that has fallen silent: its last packet's, and the wall clock since.
  std::optional<Timestamp> now() const {
    if (statistics_.frames == 0 || !silent_since_) return std::nullopt;
    return latest_ + std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - *silent_since_);
  }

  void finish() {
    statistics_.decode = decoder_.counts();
    if (statistics_.frames == 0) return;
    statistics_.first = earliest_;
    statistics_.last = latest_;
  }

 private:
  net::Capture& capture_;
  net::Decoder decoder_;
  std::chrono::nanoseconds span_max_;
  bool is_stream_;
  CaptureStatistics& statistics_;
  Timestamp earliest_, latest_;
  std::optional<Clock::time_point> silent_since_;
};

}  // namespace

Pipeline::Pipeline(PipelineOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Pipeline::~Pipeline() = default;

CaptureStatistics Pipeline::run(net::Capture& capture, const RecordSink& sink, const Progress& progress,
                                const std::atomic<bool>* stop) {
  const auto started = Clock::now();
  CaptureStatistics statistics;
  statistics.captures = 1;
  flow::Meter meter(impl_->options.meter);
  BlockReader reader(capture, impl_->options, statistics);
  Workers& workers = impl_->workers;

  const auto wanted = [&] { return stop == nullptr || !stop->load(std::memory_order_relaxed); };
  const auto run_shard = [&](std::size_t shard) { meter.run(shard); };
  std::optional<flow::ContextStage> context;
  if (impl_->options.meter.context) context.emplace(impl_->options.context);
  bool finishing = false;
  std::vector<const flow::FlowRecord*> first_ones;
  const auto give = [&](std::span<const flow::FlowRecord* const> records) {
    if (!impl_->options.meter.once) return records.empty() || sink(records);
    first_ones.clear();
    for (const flow::FlowRecord* const record : records) {
      const bool again = record->partial_given && record->end_reason != flow::EndReason::partial;
      if (!again) first_ones.push_back(record);
    }
    return first_ones.empty() || sink(first_ones);
  };
  const auto hand_on = [&](std::span<const flow::FlowRecord* const> records) {
    if (!context) return give(records);
    for (const flow::FlowRecord* const record : records) context->add(*record);
    const bool at_end = finishing && !meter.behind();
    const std::int64_t until = at_end ? INT64_MAX : meter.complete_until_us();
    for (auto some = context->take(until); !some.empty(); some = context->take(until)) {
      if (!give(some)) return false;
    }
    return true;
  };
  const auto hand_out = [&] {
    for (;;) {
      if (!hand_on(meter.collect())) return false;
      if (!meter.behind()) return true;
      workers.run(flow::Meter::kShards, run_shard);
    }
  };

  // With several threads, one of them decodes the next block while the others meter this one.
  const bool ahead = workers.threads() > 1;
  Block block(impl_->options.block_frames), next(ahead ? impl_->options.block_frames : 0);
  bool go_on = wanted();
  bool more = go_on;
  BlockEnd end = more ? reader.read(block) : BlockEnd::end;
  while (more) {
    meter.route(block.filled());
    if (end == BlockEnd::idle) {
      if (const auto now = reader.now()) meter.advance(*now);
    }
    more = end != BlockEnd::end;
    if (ahead && more) {
      workers.run(flow::Meter::kShards + 1, [&](std::size_t task) {
        if (task != 0) {
          meter.run(task - 1);
        } else {
          end = reader.read(next);
        }
      });
    } else {
      workers.run(flow::Meter::kShards, run_shard);
    }
    go_on = hand_out() && wanted();
    if (progress) progress(capture.bytes_read(), capture.size());
    if (ahead && more) {
      std::swap(block, next);
    } else if (go_on && more) {
      end = reader.read(block);
    }
    if (!go_on) {
      // What was decoded meanwhile has been counted, so it is metered too.
      if (ahead && more) meter.route(block.filled());
      break;
    }
  }
  statistics.stopped = !go_on;
  meter.finish();
  finishing = true;
  workers.run(flow::Meter::kShards, run_shard);
  hand_out();
  reader.finish();
  statistics.meter = meter.statistics();
  if (context) statistics.context = context->statistics();
  statistics.seconds = std::chrono::duration<double>(Clock::now() - started).count();
  return statistics;
}

Workers& Pipeline::workers() { return impl_->workers; }
const PipelineOptions& Pipeline::options() const { return impl_->options; }
std::string Pipeline::description() const { return flow::Meter(impl_->options.meter).description(); }

}  // namespace nidus::detect
