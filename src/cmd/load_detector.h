#pragma once

#include <string>

#include "base/result.h"
#include "detect/detector.h"

namespace nidus::cmd {

// A detector of ours, or what files of another program make when nothing more need be said of them than they
// say themselves; what a person should know of those goes to standard error. See interop/import.h for what is
// refused.
Result<detect::Detector> load_detector(const std::string& path);

}  // namespace nidus::cmd
