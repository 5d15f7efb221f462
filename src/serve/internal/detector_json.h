#pragma once

#include "base/json_writer.h"
#include "serve/detectors.h"

namespace nidus::serve::internal {

// A detector as GET /api/v1/detectors shows it, as one object; `columns`: with its columns and all versions.
void write_detector(JsonWriter& json, const Served& served, const Detectors::State& state, bool columns);

}  // namespace nidus::serve::internal
