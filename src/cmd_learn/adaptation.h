#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cmd_learn/labelled_rows.h"
#include "detect/detector.h"
#include "model/calibration.h"

namespace nidus::cmd {

// What a site's own labelled rows, often a handful of looked-at alerts, can do for a detector without
// training it again: make probabilities of its scores.
struct Adaptation {
  std::vector<std::string> inputs;  // captures or tables
  LabelArguments labels;
  std::string method = "platt";        // "isotonic"
  std::optional<double> attack_share;  // of the site's rows; of the labelled ones if it is not given
  std::uint64_t threads = 0;
  bool any_profile = false;
};

struct Adapted {
  detect::Detector detector;  // the same behind a curve: one member, whose scores are in the order they had
  std::shared_ptr<const model::Calibration> curve;  // after() makes the new score of one of before
  double attack_share = 0;                          // that the probabilities hold for
};

// Errc::unsupported if the detector tells several attacks apart. `status` becomes kBadInput when a capture
// broke off.
Result<Adapted> adapted(const detect::Detector& detector, const Adaptation& adaptation, int& status);

}  // namespace nidus::cmd
