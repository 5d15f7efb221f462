#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "detect/detector.h"
#include "detect/pipeline.h"
#include "detect/reasons.h"
#include "detect/subject.h"
#include "sandbox/sandbox.h"
#include "serve/log.h"
#include "serve/metrics.h"
#include "serve/served_detector.h"
#include "serve/settings.h"

namespace nidus::serve {

// Says what becomes of the verdict on one flow; an error ends the judging.
using VerdictSink =
    std::function<Result<void>(const detect::Subject&, const detect::Verdict&, const detect::Explanation*)>;

// How a capture is to be judged.
struct CaptureQuestion {
  std::string name;         // what the answer calls the capture
  std::size_t reasons = 0;  // features named for each verdict that is explained;
                            // 0: none is explained
  // Which verdicts are; unset: those on attacks.
  std::function<bool(const detect::Verdict&)> explains;
  // Told now and then, from another thread than the caller's; false: nobody
  // wants the answer any more.
  std::function<bool(const sandbox::CaptureProgress&)> progress;
};

// What strangers send, and the sandbox it is read in. Thread-safe.
class Uploads {
 public:
  // A sandbox that cannot be had is in the log, and in why_not().
  Uploads(const Settings& settings, Metrics& metrics, Log& log);

  // Why nothing can be uploaded; empty if it can.
  const std::string& why_not() const { return why_not_; }

  // Meters the capture that `source` gives, in the sandbox, and hands `sink` a
  // verdict on each flow, in the order of `nidus detect`, in another thread
  // than the caller's. Errors as of sandbox::Sandbox::meter, of the sink, and
  // Errc::unsupported for a detector that judges no flows, `source` untouched.
  Result<sandbox::Metered> judge(const ServedDetector& detector, const CaptureQuestion& question,
                                 const sandbox::ByteSource& source, const VerdictSink& sink);

  // Reads a detector's files in the sandbox and writes it to a new folder under
  // folder(). Answers the folder.
  Result<std::filesystem::path> read_detector(sandbox::Sandbox::Files& files,
                                              const interop::ImportOptions& options,
                                              std::vector<std::string>& notes);

  // Where uploaded detectors, jobs and long answers are kept while needed;
  // empty: nowhere is said.
  const std::filesystem::path& folder() const { return folder_; }

 private:
  Log& log_;
  Counter &captures_, &refused_, &flows_, &detectors_;
  sandbox::CaptureLimits limits_;
  std::uint64_t unpacked_bytes_max_ = 0;
  std::size_t threads_ = 1;
  std::filesystem::path folder_;
  std::string why_not_;
  std::optional<sandbox::Sandbox> sandbox_;
};

// Whether a detector of flows says the same of flows whose packets have no
// times: none of its columns is made of times.
bool bears_absent_times(const detect::Manifest& manifest);

}  // namespace nidus::serve
