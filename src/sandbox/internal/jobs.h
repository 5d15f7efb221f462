#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>

#include "base/result.h"
#include "sandbox/internal/conversation.h"
#include "sandbox/sandbox.h"

// Our side of each kind of job.
namespace nidus::sandbox::internal {

Result<Metered> meter_capture(Conversation& child, const Job& job, const ByteSource& source,
                              const detect::RecordSink& sink,
                              const std::function<void(const CaptureProgress&)>& progress);

Result<DetectorRead> read_detector(Conversation& child, const interop::ImportOptions& options,
                                   std::uint64_t unpacked_bytes_max, Sandbox::Files& files,
                                   const std::filesystem::path& folder);

}  // namespace nidus::sandbox::internal
