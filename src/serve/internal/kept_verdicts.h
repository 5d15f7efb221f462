#pragma once

#include <cstdint>
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
  KeptVerdicts(Application& app, const ServedDetector& detector);

  // Errors as of Application::keep.
  Result<void> add(const detect::Subject& subject, const detect::Verdict& verdict);
  Result<void> finish();  // waits for what is left

 private:
  static constexpr std::size_t kAtOnce = 4096;

  Application& app_;
  const detect::Manifest& manifest_;
  std::string detector_;
  std::int64_t now_us_;  // for flows whose packets have no times
  std::vector<store::Verdict> verdicts_;
};

}  // namespace nidus::serve::internal
