#pragma once

#include <string_view>

#include "base/result.h"
#include "interop/artefact.h"

namespace nidus::interop {

// Whether a text begins like a model of LightGBM.
bool looks_like_lightgbm(std::string_view text);

// A text model of LightGBM 2.2 to 4.x (Booster.save_model, model_to_string, and what pickles of a Booster
// hold) with one of the objectives that judge: binary, cross_entropy, multiclass, multiclassova; boosted,
// dart or rf. Thresholds are doubles and stay so: the model is wide, a model::TransformedModel of ranks and
// trees summed in double. Class labels are not in the file. Nothing of `text` is kept.
//
// Errc::unsupported names what we do not do, such as linear trees; Errc::corrupt what contradicts the format,
// and in which line.
Result<Artefact> read_lightgbm(std::string_view text);

}  // namespace nidus::interop
