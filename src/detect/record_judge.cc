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
  const bool wide = detector_.model().is_wide();
  if (verdicts_.size() < records.size()) {
    verdicts_.resize(records.size());
    rows_.resize(records.size() * inputs);
    if (wide) wide_rows_.resize(records.size() * inputs);
  }
  workers_->run((records.size() + kRowsPerPiece - 1) / kRowsPerPiece, [&](std::size_t piece) {
    const std::size_t first = piece * kRowsPerPiece;
    const std::size_t count = std::min(kRowsPerPiece, records.size() - first);
    const auto verdicts = std::span(verdicts_).subspan(first, count);
    const auto rows = std::span(rows_).subspan(first * inputs, count * inputs);
    if (!wide) {
      for (std::size_t i = 0; i < count; ++i) binding_.fill(*records[first + i], &rows[i * inputs]);
      detector_.judge(std::span<const float>(rows), count, verdicts);
      return;
    }
    const auto wide_rows = std::span(wide_rows_).subspan(first * inputs, count * inputs);
    for (std::size_t i = 0; i < count; ++i) binding_.fill(*records[first + i], &wide_rows[i * inputs]);
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<float>(wide_rows[i]);
    detector_.judge(std::span<const double>(wide_rows), count, verdicts);
  });
  return std::span(verdicts_).first(records.size());
}

}  // namespace nidus::detect
