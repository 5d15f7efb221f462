#include "serve/internal/kept_verdicts.h"

#include <future>
#include <memory>
#include <utility>

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

KeptVerdicts::KeptVerdicts(Application& app, const ServedDetector& detector)
    : app_(app),
      manifest_(detector.manifest()),
      detector_(detector.name() + " " + detector.version()),
      now_us_(now_us()) {}

Result<void> KeptVerdicts::add(const detect::Subject& subject, const detect::Verdict& verdict) {
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
  return verdicts_.size() < kAtOnce ? Result<void>() : finish();
}

Result<void> KeptVerdicts::finish() {
  if (verdicts_.empty()) return {};
  // Shared, since the other thread may still be in set_value() when this one goes on.
  auto done = std::make_shared<std::promise<Result<void>>>();
  auto written = done->get_future();
  app_.keep(std::exchange(verdicts_, {}),
            [done](Result<void> result) { done->set_value(std::move(result)); });
  return written.get();
}

}  // namespace nidus::serve::internal
