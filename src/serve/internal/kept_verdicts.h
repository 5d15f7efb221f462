#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "detect/detector.h"
#include "detect/subject.h"
#include "serve/application.h"
#include "serve/served_detector.h"
#include "store/records.h"

namespace nidus::serve::internal {

// Hands those verdicts on a capture to the store that the settings ask for, some at a time, and waits until
// they are on disk: what was answered is not forgotten. For one thread at a time, which may block.
class KeptVerdicts {
 public:
  // Written together with each lot, or not at all: how many verdicts were looked at up to then.
  using Note = std::function<store::Change(std::uint64_t looked_at)>;

  // The first `skip` verdicts are in the store already, as far as they are to be kept.
  KeptVerdicts(Application& app, const ServedDetector& detector, std::uint64_t skip = 0, Note note = nullptr);

  // Errors as of store::Store::write.
  Result<void> add(const detect::Subject& subject, const detect::Verdict& verdict);
  // Writes what is left, together with `more`.
  Result<void> finish(std::vector<store::Change> more = {});

 private:
  static constexpr std::size_t kAtOnce = 4096;

  Application& app_;
  const detect::Manifest& manifest_;
  std::string detector_;
  std::int64_t now_us_;  // for flows whose packets have no times
  std::uint64_t skip_, looked_at_ = 0;
  Note note_;
  std::vector<store::Verdict> verdicts_;
};

// Verdicts on rows of features, which name no flow, for a store that keeps those too (store.keep and
// store.keep_without_addresses).

// Whether there is any such verdict that it keeps: costs next to nothing.
bool keeps_rows(const Application& app);
// The one of row `row`, if it is to be kept.
std::optional<store::Verdict> kept_row(const Application& app, const Served& served, const Judged& judged,
                                       std::size_t row);
// Those of the first `count` rows, and waits until they are on disk. Not on a connection's thread, but where
// keeps_rows() is false. Errors as of store::Store::write.
Result<void> keep_rows(Application& app, const Served& served, const Judged& judged, std::size_t count);

}  // namespace nidus::serve::internal
