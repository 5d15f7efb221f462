#include "detect/record_judge.h"

#include <fmt/format.h>

#include <algorithm>

namespace nidus::detect {
namespace {

// Rows scored by one thread at a time: a multiple of the 64 that tree models take at once.
constexpr std::size_t kRowsPerPiece = 256;

}  // namespace

Result<RecordJudge> RecordJudge::make(const Detector& detector, Workers& workers) {
  const Manifest& manifest = detector.manifest();
  auto binding =
      FlowBinding::bind(manifest.schema, manifest.meter ? manifest.meter->profile : flow::Profile::native);
  if (!binding) {
    return Error{Errc::unsupported, fmt::format("detector {} cannot judge flows out of captures: {}",
                                                manifest.name, binding.error().message)};
  }
  if (!manifest.meter) {
    return Error{
        Errc::unsupported,
        fmt::format("detector {} does not say how its flows were metered, so it can judge tables only",
                    manifest.name)};
  }
  return RecordJudge(detector, std::move(*binding), workers);
}

std::span<const Verdict> RecordJudge::judge(std::span<const flow::FlowRecord* const> records) {
  const std::size_t inputs = binding_.inputs();
  if (verdicts_.size() < records.size()) {
    verdicts_.resize(records.size());
    rows_.resize(records.size() * inputs);
  }
  workers_->run((records.size() + kRowsPerPiece - 1) / kRowsPerPiece, [&](std::size_t piece) {
    const std::size_t first = piece * kRowsPerPiece;
    const std::size_t count = std::min(kRowsPerPiece, records.size() - first);
    for (std::size_t i = first; i < first + count; ++i) binding_.fill(*records[i], &rows_[i * inputs]);
    detector_.judge(std::span(rows_).subspan(first * inputs, count * inputs), count,
                    std::span(verdicts_).subspan(first, count));
  });
  return std::span(verdicts_).first(records.size());
}

}  // namespace nidus::detect
