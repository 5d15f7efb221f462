#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/parallel.h"
#include "base/result.h"
#include "base/time.h"
#include "flow/context.h"
#include "flow/meter.h"
#include "flow/record.h"
#include "net/capture.h"
#include "net/decode.h"

namespace nidus::detect {

struct PipelineOptions {
  flow::MeterOptions meter;
  flow::ContextOptions context;  // of use if `meter.context`

  // How frames are read for this profile; unset: decode_options(meter.profile).
  std::optional<net::DecodeOptions> decode;

  // 0 = one for each processor. Records, and their order, do not depend on it.
  std::size_t threads = 1;

  // Frames read and metered at once. Records do not depend on it, but without context their order does: they
  // are handed out block by block.
  std::size_t block_frames = 2048;

  // A stream (a pipe, standard input) hands out records at least this often in the time of its packets, and
  // whenever nothing arrives for about 200 ms.
  std::chrono::nanoseconds stream_block_span = std::chrono::seconds(1);
};

// ARP frames are flows in the published CIC profiles, as their tools make them.
net::DecodeOptions decode_options(flow::Profile profile);

// What one capture, or several added up, came to.
struct CaptureStatistics {
  std::uint64_t captures = 0;
  std::uint64_t frames = 0;
  std::uint64_t wire_bytes = 0;
  std::optional<Timestamp> first;  // earliest and latest frame
  std::optional<Timestamp> last;
  net::DecodeCounts decode;
  flow::MeterStatistics meter;
  flow::ContextStatistics context;
  double seconds = 0;    // of our own time
  bool stopped = false;  // somebody asked for it; what had been read was metered and handed out

  CaptureStatistics& operator+=(const CaptureStatistics& other);
};

// Records that ended in one block, ordered by start; or, with MeterOptions::context, in the order of their
// ends, as soon as no earlier one can come. With MeterOptions::once a flow that had an early record is not
// among them when it has ended. Valid during the call. False: stop reading.
using RecordSink = std::function<bool(std::span<const flow::FlowRecord* const>)>;

// After each block: bytes of the capture file read so far and its size, if that is known.
using Progress = std::function<void(std::uint64_t bytes_read, std::optional<std::uint64_t> size)>;

// The road from a capture to flow records, with the threads hidden.
//
// One thread reads, decodes and routes packets; the shards of the meter run on all of them, while the next
// block is decoded. With one thread all of it happens in the caller. Each capture is metered on its own:
// flows do not go on from one file into the next.
//
// Only the clock of the packets counts, except that a live stream which falls silent is moved on by the wall
// clock, so that its flows end in time.
class Pipeline {
 public:
  explicit Pipeline(PipelineOptions options);
  ~Pipeline();

  // Reads the capture to its end. What it says about the capture's own fault stays in capture.fault(): the
  // records before it were handed out and counted. `stop`, when it becomes true, ends the reading after the
  // current block; open flows are then handed out as at the end of a capture. It may be null, and so may
  // `progress`.
  CaptureStatistics run(net::Capture& capture, const RecordSink& sink, const Progress& progress = nullptr,
                        const std::atomic<bool>* stop = nullptr);

  // Idle while the sink is called, which may use them.
  Workers& workers();

  const PipelineOptions& options() const;

  // Meter::description() of its meters.
  std::string description() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nidus::detect
