#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "detect/pipeline.h"
#include "flow/meter.h"
#include "flow/record.h"
#include "interop/import.h"

// Captures and model files of strangers, read by a process of its own that can do nothing else: it gets them
// through a pipe, gives back flow records, or a detector in our own format, through another, and every other
// system call ends it. What comes back is checked as if a stranger had sent it. docs/security.md says what
// this protects from.
namespace nidus::sandbox {

struct Options {
  // The program that becomes the child: one whose main() hands its words to run_child() when the first of
  // them is kChildVerb.
  std::filesystem::path program = "/proc/self/exe";
  // Children started ahead, so that nobody waits for one. Each serves once.
  std::size_t warm = 2;
  // Whether to read anything where the system cannot filter system calls. The other limits then hold all the
  // same.
  bool filter_required = true;

  // Of each child, beyond which it ends and the answer is Errc::exhausted.
  std::uint64_t memory_bytes_max = std::uint64_t{2} << 30;  // of address space
  std::chrono::seconds cpu_time_max = std::chrono::seconds(600);
  std::chrono::milliseconds time_max = std::chrono::hours(1);
  // How long a child may neither take nor give anything although it could.
  std::chrono::milliseconds patience = std::chrono::seconds(30);
};

struct CaptureLimits {
  std::uint64_t packets_max = 100'000'000;
  std::uint64_t flows_max = 10'000'000;
  // Of a compressed capture: bytes that it unpacks to, and how many of them for each of its own.
  std::uint64_t inflated_bytes_max = std::uint64_t{20} << 30;
  std::uint64_t inflated_ratio_max = 200;
};

// The bytes of a capture on their way.
struct ByteSource {
  // The next; none at the end. They are used before the next call.
  std::function<Result<std::span<const std::byte>>()> next;
  // Where the source can put them into a pipe, which does not block, by itself: how many it did, 0 if the
  // pipe takes no more at present, nothing if next() is to be asked. May be null.
  std::function<Result<std::optional<std::size_t>>(int pipe)> move;
};

struct CaptureProgress {
  std::uint64_t bytes_read = 0, frames = 0, flows = 0;
};

struct Metered {
  detect::CaptureStatistics statistics;
  // Why the capture ended early. The frames before it were metered.
  std::optional<Error> fault;
};

// What came of a detector's files.
struct DetectorRead {
  std::vector<std::string> notes;  // what a person should know before trusting it
};

// Of all children so far.
struct Counts {
  std::uint64_t started = 0;
  std::uint64_t crashed = 0;  // ended by a signal that nobody sent, a forbidden system call among them
  std::uint64_t stopped = 0;  // over a limit of time, processor time or memory
};

// Starts children and talks to them. Thread-safe; any number of jobs may run at the same time.
class Sandbox {
 public:
  // Starts a child to see that it can be done. Errc::unsupported if system calls cannot be filtered and must
  // be; Errc::io if no child can be started.
  static Result<Sandbox> start(Options options);

  Sandbox(Sandbox&&) noexcept;
  Sandbox& operator=(Sandbox&&) noexcept;
  ~Sandbox();  // when no job runs any more

  // Whether children are held by a filter of system calls, too.
  bool filters() const;
  Counts counts() const;
  const Options& options() const;

  // Meters one capture with `threads` threads: takes its bytes from `source`, in this thread, and hands
  // records to `sink`, which may keep them during the call only, in another. Records and their order are
  // those of detect::Pipeline. When the sink answers false, or `stop` (which may be null) becomes true, the
  // rest is not read and the answer is Errc::invalid. `progress` may be null; it is called in the thread of
  // the sink.
  //
  // Errc::corrupt, unsupported: what is no capture. Errc::exhausted: a limit, which the message names.
  // Errc::io: the child crashed, which is ours to look into. The source's own error is passed on.
  Result<Metered> meter(const flow::MeterOptions& meter, std::size_t threads, const CaptureLimits& limits,
                        const ByteSource& source, const detect::RecordSink& sink,
                        const std::function<void(const CaptureProgress&)>& progress = nullptr,
                        const std::atomic<bool>* stop = nullptr);

  // The files of one detector: ours, or of another program; one tar, plain or gzip, stands for what is in it.
  class Files {
   public:
    virtual ~Files() = default;
    // The name of the next file, without folders; nothing when there are no more.
    virtual Result<std::optional<std::string>> next() = 0;
    // Its next bytes; none at its end.
    virtual Result<std::span<const std::byte>> piece() = 0;
  };
  // Writes what the files make, as a detector of ours, to `folder`, which must be empty. Errors are those of
  // interop::import_files or detect::Detector::load_files, and as above. After an error the folder holds
  // anything. `unpacked_bytes_max` is for what comes out of a tar.
  Result<DetectorRead> read_detector(Files& files, const interop::ImportOptions& options,
                                     std::uint64_t unpacked_bytes_max, const std::filesystem::path& folder);

 private:
  struct Impl;
  explicit Sandbox(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace nidus::sandbox
