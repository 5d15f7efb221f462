#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cmd/arguments.h"
#include "detect/pipeline.h"

// What the verbs that read captures have in common.
namespace nidus::cmd {

// The options that say how packets become flows.
struct MeteringArguments {
  std::string profile = "native";
  std::uint64_t threads = 0;
  std::optional<double> active_timeout, idle_timeout, linger;  // seconds
  std::uint64_t early = 0;
  std::uint64_t flows_max = 1u << 20;
  bool vlans = false;

  void declare(Arguments& arguments);
  void declare_threads(Arguments& arguments);
  detect::PipelineOptions options() const;
};

// Runs one capture through the pipeline with a progress bar; what is wrong with the capture is said on
// stderr. The status is kFine, kBadInput (not a capture, or one that breaks off: the good part was handed
// out) or kInterrupted.
struct CaptureRun {
  detect::CaptureStatistics statistics;
  int status = 0;
};
CaptureRun run_capture(detect::Pipeline& pipeline, const std::string& path, const detect::RecordSink& sink);

// "3.2 million packets (1.2 GB) in 12,345 flows, 0.4 s, 2.1 million packets/s", and what was not read.
std::string summary_text(std::string_view name, const detect::CaptureStatistics& statistics);
std::string summary_json(std::string_view name, const detect::CaptureStatistics& statistics);

}  // namespace nidus::cmd
