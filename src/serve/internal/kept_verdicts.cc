#include "serve/internal/kept_verdicts.h"

#include <utility>

#include "base/clock.h"
#include "base/json_writer.h"
#include "serve/alert_text.h"
#include "serve/internal/store_answers.h"

namespace nidus::serve::internal {
namespace {

std::string described(const detect::Subject& subject) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  json.field("packets", subject.packets_both());
  json.field("bytes", subject.bytes_both());
  if (subject.start_us) json.field("start_us", *subject.start_us);
  if (subject.last_us) json.field("last_us", *subject.last_us);
  json.end_object();
  return out;
}

}  // namespace

KeptVerdicts::KeptVerdicts(Application& app, const ServedDetector& detector, std::uint64_t skip, Note note)
    : app_(app),
      manifest_(detector.manifest()),
      detector_(detector.name() + " " + detector.version()),
      now_us_(now_us()),
      skip_(skip),
      note_(std::move(note)) {}

Result<void> KeptVerdicts::add(const detect::Subject& subject, const detect::Verdict& verdict) {
  if (++looked_at_ <= skip_) return {};
  store::Verdict kept;
  kept.attack = verdict.is_attack();
  if (subject.has_addresses) {
    kept.source = stored_address(subject.tuple.source, subject.tuple.version);
    kept.target = stored_address(subject.tuple.destination, subject.tuple.version);
  }
  if (!app_.keeps(kept)) return {};
  // Times out of captures without them are near 1970, and would be older than all that is kept.
  constexpr std::int64_t kYear2000 = 946'684'800'000'000;
  const std::int64_t last = subject.last_us.value_or(subject.start_us.value_or(0));
  kept.time_us = last < kYear2000 ? now_us_ : last;
  kept.label = manifest_.labels[verdict.label];
  kept.score = verdict.score;
  kept.detector = detector_;
  kept.origin = "capture";
  kept.source_port = subject.tuple.source_port;
  kept.target_port = subject.tuple.destination_port;
  kept.protocol = subject.tuple.protocol;
  kept.flow = described(subject);
  verdicts_.push_back(std::move(kept));
  if (verdicts_.size() < kAtOnce) return {};
  std::vector<store::Change> more;
  if (note_) more.push_back(note_(looked_at_));
  return finish(std::move(more));
}

Result<void> KeptVerdicts::finish(std::vector<store::Change> more) {
  if (!verdicts_.empty()) more.emplace_back(store::Keep{std::exchange(verdicts_, {})});
  if (more.empty() || app_.store() == nullptr) return {};
  auto written = app_.store()->write(std::move(more));
  return written ? Result<void>() : Result<void>(std::move(written).error());
}

bool keeps_rows(const Application& app) {
  if (app.store() == nullptr) return false;
  static const store::Verdict kAttack = [] {
    store::Verdict verdict;
    verdict.attack = true;
    return verdict;
  }();
  return app.keeps(kAttack);
}

std::optional<store::Verdict> kept_row(const Application& app, const Served& served, const Judged& judged,
                                       std::size_t row) {
  const auto& verdict = judged.scores.verdicts[row];
  store::Verdict kept;
  kept.attack = verdict.is_attack();
  if (!app.keeps(kept)) return std::nullopt;
  const ServedDetector& detector = judged.judge_of(served, row);
  kept.time_us = now_us();
  kept.label = detector.manifest().labels[verdict.label];
  kept.score = verdict.score;
  kept.detector = detector.name() + " " + detector.version();
  kept.origin = "predict";
  return kept;
}

Result<void> keep_rows(Application& app, const Served& served, const Judged& judged, std::size_t count) {
  if (!keeps_rows(app)) return {};
  store::Keep keep;
  for (std::size_t row = 0; row < count; ++row) {
    if (auto kept = kept_row(app, served, judged, row)) keep.verdicts.push_back(std::move(*kept));
  }
  if (keep.verdicts.empty()) return {};
  std::vector<store::Change> changes;
  changes.emplace_back(std::move(keep));
  auto written = app.store()->write(std::move(changes));
  return written ? Result<void>() : Result<void>(std::move(written).error());
}

}  // namespace nidus::serve::internal
