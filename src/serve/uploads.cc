#include "serve/uploads.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "base/parallel.h"
#include "detect/record_judge.h"
#include "flow/features.h"
#include "sandbox/child.h"

namespace nidus::serve {
namespace {

namespace fs = std::filesystem;

// Verdicts on blocks of records, explained where that is wanted.
class BlockJudge {
 public:
  BlockJudge(detect::RecordJudge judge, const ServedDetector& detector, const CaptureQuestion& question,
             Workers& workers)
      : judge_(std::move(judge)),
        window_(detector.window()),
        question_(question),
        workers_(workers),
        inputs_(detector.inputs()) {
    if (question.reasons > 0) reasoner_ = detector.reasoner();
  }

  Result<void> judge(std::span<const flow::FlowRecord* const> records, const VerdictSink& sink) {
    const auto verdicts = judge_.judge(records);
    window_.offer(judge_.rows(), verdicts);
    if (reasoner_ != nullptr) explain(verdicts);
    std::size_t next = 0;
    for (std::size_t i = 0; i < records.size(); ++i) {
      const bool has_reasons = next < explained_.size() && explained_[next] == i;
      const detect::Explanation* const why = has_reasons ? &explanations_[next++] : nullptr;
      auto done = sink(detect::subject_of(*records[i], question_.name, ++number_), verdicts[i], why);
      if (!done) return done;
    }
    return {};
  }

 private:
  void explain(std::span<const detect::Verdict> verdicts) {
    explained_.clear();
    for (std::size_t i = 0; i < verdicts.size(); ++i) {
      if (question_.explains ? question_.explains(verdicts[i]) : verdicts[i].is_attack())
        explained_.push_back(i);
    }
    const std::size_t width = inputs_ + 1;
    rows_.resize(explained_.size() * inputs_);
    contributions_.resize(explained_.size() * width);
    explanations_.resize(explained_.size());
    constexpr std::size_t kPiece = 32;
    workers_.run((explained_.size() + kPiece - 1) / kPiece, [&](std::size_t piece) {
      const std::size_t begin = piece * kPiece, count = std::min(kPiece, explained_.size() - begin);
      const auto rows = std::span(rows_).subspan(begin * inputs_, count * inputs_);
      const auto contributions = std::span(contributions_).subspan(begin * width, count * width);
      for (std::size_t i = 0; i < count; ++i) {
        const auto seen = judge_.rows().subspan(explained_[begin + i] * inputs_, inputs_);
        std::copy(seen.begin(), seen.end(), rows.begin() + static_cast<std::ptrdiff_t>(i * inputs_));
      }
      reasoner_->contributions(rows, count, contributions);
      for (std::size_t i = 0; i < count; ++i) {
        explanations_[begin + i] = reasoner_->top(rows.subspan(i * inputs_, inputs_),
                                                  contributions.subspan(i * width, width), question_.reasons);
      }
    });
  }

  detect::RecordJudge judge_;
  detect::RowWindow& window_;
  const CaptureQuestion& question_;
  Workers& workers_;
  std::size_t inputs_;
  const detect::Reasoner* reasoner_ = nullptr;
  std::uint64_t number_ = 0;
  std::vector<std::size_t> explained_;
  std::vector<float> rows_;
  std::vector<double> contributions_;
  std::vector<detect::Explanation> explanations_;
};

}  // namespace

Uploads::Uploads(const Settings& settings, Metrics& metrics, Log& log)
    : log_(log),
      captures_(metrics.counter("nidus_captures_total", "Captures judged to their end")),
      refused_(metrics.counter("nidus_captures_refused_total", "Captures that were none, or beyond a limit")),
      flows_(metrics.counter("nidus_capture_flows_total", "Flows of captures that were judged")),
      detectors_(metrics.counter("nidus_detectors_uploaded_total", "Detectors uploaded and read")),
      folder_(settings.uploads.folder) {
  const auto& s = settings.uploads;
  limits_.packets_max = s.packets_max;
  limits_.flows_max = s.flows_max;
  limits_.inflated_bytes_max = s.inflated_mb * 1'000'000;
  limits_.inflated_ratio_max = s.inflated_ratio;
  unpacked_bytes_max_ = limits_.inflated_bytes_max;
  threads_ = s.threads == 0 ? std::min<std::size_t>(default_threads(), 8) : s.threads;
  if (s.program.empty() && !sandbox::is_this_program_offered()) {
    why_not_ = "this program does not read uploads";
    return;
  }
  sandbox::Options options;
  options.warm = s.warm;
  options.filter_required = !s.unfiltered;
  options.memory_bytes_max = s.memory_mb * 1'000'000;
  options.cpu_time_max = std::chrono::seconds(static_cast<std::int64_t>(s.cpu_s));
  const auto milliseconds = [](double seconds) {
    return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
  };
  options.time_max = milliseconds(s.time_s);
  options.patience = milliseconds(s.patience_s);
  if (!s.program.empty()) options.program = s.program;
  auto sandbox = sandbox::Sandbox::start(options);
  if (!sandbox) {
    why_not_ = sandbox.error().message;
    log.error("no_uploads", {{"error", std::string_view(why_not_)}});
    return;
  }
  if (!sandbox->filters())
    log.warning("uploads_unfiltered",
                {{"note", std::string_view("uploads are read by a process whose system calls "
                                           "are not filtered, since uploads.unfiltered says so")}});
  sandbox_.emplace(std::move(*sandbox));
  const auto sampled = [&](const char* name, const char* help, std::uint64_t sandbox::Counts::*member) {
    metrics.sampled(name, help, true,
                    [this, member] { return static_cast<double>(sandbox_->counts().*member); });
  };
  sampled("nidus_sandbox_started_total", "Sandboxed processes started", &sandbox::Counts::started);
  sampled("nidus_sandbox_crashed_total", "Sandboxed processes that crashed", &sandbox::Counts::crashed);
  sampled("nidus_sandbox_stopped_total", "Sandboxed processes that met a limit", &sandbox::Counts::stopped);
}

Result<sandbox::Metered> Uploads::judge(const ServedDetector& detector, const CaptureQuestion& question,
                                        const sandbox::ByteSource& source, const VerdictSink& sink) {
  Workers workers(threads_);
  auto records = detect::RecordJudge::make(detector.detector(), workers);
  if (!records) return std::move(records).error();
  BlockJudge block(std::move(*records), detector, question, workers);
  std::optional<Error> failed;
  std::atomic<bool> stop = false;
  std::uint64_t flows = 0;
  auto metered = sandbox_->meter(
      *detector.manifest().meter, threads_, limits_, source,
      [&](std::span<const flow::FlowRecord* const> some) {
        flows += some.size();
        auto done = block.judge(some, sink);
        if (!done) failed = std::move(done).error();
        return !failed;
      },
      [&](const sandbox::CaptureProgress& progress) {
        if (question.progress && !question.progress(progress)) stop = true;
      },
      &stop);
  flows_.add(flows);
  (metered ? captures_ : refused_).add();
  if (!metered && metered.error().code == Errc::io)
    log_.error("sandbox_failed", {{"error", std::string_view(metered.error().message)}});
  if (failed) return *std::move(failed);
  return metered;
}

Result<fs::path> Uploads::read_detector(sandbox::Sandbox::Files& files, const interop::ImportOptions& options,
                                        std::vector<std::string>& notes) {
  std::error_code ec;
  fs::create_directories(folder_ / "detectors", ec);
  std::string name = (folder_ / "detectors" / "XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr)
    return Error{Errc::io, (folder_ / "detectors").string() + ": no folder can be made there"};
  auto read = sandbox_->read_detector(files, options, unpacked_bytes_max_, name);
  if (!read) {
    fs::remove_all(name, ec);
    if (read.error().code == Errc::io)
      log_.error("sandbox_failed", {{"error", std::string_view(read.error().message)}});
    return std::move(read).error();
  }
  detectors_.add();
  notes = std::move(read->notes);
  return fs::path(name);
}

bool bears_absent_times(const detect::Manifest& manifest) {
  return std::all_of(manifest.schema.begin(), manifest.schema.end(), [](const model::Column& column) {
    const auto feature = flow::feature_from_name(column.name);
    if (!feature) return false;
    const auto unit = flow::features()[static_cast<std::size_t>(*feature)].unit;
    if (unit == "us" || unit.ends_with("/s")) return false;
    // Bulks and subflows are told by pauses.
    const auto key = flow::key(*feature);
    return !key.starts_with("subflow_") && key.find("_bulk_") == std::string_view::npos &&
           key != "zero_duration";
  });
}

}  // namespace nidus::serve
