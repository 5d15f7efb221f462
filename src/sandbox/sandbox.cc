#include "sandbox/sandbox.h"

#include <utility>

#include "sandbox/internal/conversation.h"
#include "sandbox/internal/jobs.h"
#include "sandbox/internal/pool.h"

namespace nidus::sandbox {

using internal::Conversation;

struct Sandbox::Impl {
  explicit Impl(Options options) : pool(std::move(options)) {}

  void note_end(const Conversation& child) {
    if (child.end() != Conversation::End::none) pool.count_end(child.end() == Conversation::End::crashed);
  }

  internal::Pool pool;
};

Sandbox::Sandbox(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Sandbox::Sandbox(Sandbox&&) noexcept = default;
Sandbox& Sandbox::operator=(Sandbox&&) noexcept = default;
Sandbox::~Sandbox() = default;

Result<Sandbox> Sandbox::start(Options options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  if (auto started = impl->pool.start(); !started) return std::move(started).error();
  return Sandbox(std::move(impl));
}

bool Sandbox::filters() const { return impl_->pool.filters(); }
Counts Sandbox::counts() const { return impl_->pool.counts(); }
const Options& Sandbox::options() const { return impl_->pool.options(); }

Result<Metered> Sandbox::meter(const flow::MeterOptions& meter, std::size_t threads,
                               const CaptureLimits& limits, const ByteSource& source,
                               const detect::RecordSink& sink,
                               const std::function<void(const CaptureProgress&)>& progress,
                               const std::atomic<bool>* stop) {
  auto process = impl_->pool.take();
  if (!process) return std::move(process).error();
  Conversation child(std::move(*process), options(), stop);
  internal::Job job;
  job.kind = internal::Job::Kind::meter_capture;
  job.meter = meter;
  job.threads = threads;
  job.packets_max = limits.packets_max;
  job.flows_max = limits.flows_max;
  job.inflated_bytes_max = limits.inflated_bytes_max;
  job.inflated_ratio_max = limits.inflated_ratio_max;
  auto metered = internal::meter_capture(child, job, source, sink, progress);
  impl_->note_end(child);
  // A limit that the capture met is one all the same.
  if (metered && metered->fault && metered->fault->code == Errc::exhausted) return *metered->fault;
  return metered;
}

Result<DetectorRead> Sandbox::read_detector(Files& files, const interop::ImportOptions& options,
                                            std::uint64_t unpacked_bytes_max,
                                            const std::filesystem::path& folder) {
  auto process = impl_->pool.take();
  if (!process) return std::move(process).error();
  Conversation child(std::move(*process), this->options(), nullptr);
  auto read = internal::read_detector(child, options, unpacked_bytes_max, files, folder);
  impl_->note_end(child);
  return read;
}

}  // namespace nidus::sandbox
