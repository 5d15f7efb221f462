#pragma once

#include <string>

#include "learn/report.h"

namespace nidus::learn::internal {

// The curves of a report as sections of a page: ROC on both scales, precision and recall, reliability,
// scores. Empty where there is nothing to draw.
std::string charts(const Report& report);

}  // namespace nidus::learn::internal
