#pragma once

#include <memory>

#include "base/result.h"
#include "model/internal/model_stream.h"
#include "model/transform.h"

namespace nidus::model::internal {

// The transforms of columns.h out of a model file; the tag has been read.
Result<std::shared_ptr<const Transform>> load_columns(FileReader& in, TransformTag tag, int nesting);
// That of packet_steps.h.
Result<std::shared_ptr<const Transform>> load_packet_steps(FileReader& in);

}  // namespace nidus::model::internal
