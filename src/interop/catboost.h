#pragma once

#include <cstddef>
#include <span>

#include "base/result.h"
#include "interop/artefact.h"

namespace nidus::interop {

// Whether bytes are JSON that names trees as CatBoost's models do, in their first kilobytes.
bool looks_like_catboost(std::span<const std::byte> bytes);

// A model that CatBoost 1.x saved with format="json": symmetric and other trees over numeric columns, for
// Logloss, CrossEntropy, MultiClass or MultiClassOneVsAll. The model is a model::AdditiveTrees over floats,
// which is what CatBoost compares. Nothing of `bytes` is kept.
//
// Errc::unsupported names what we do not do, such as categorical and text columns; Errc::corrupt what
// contradicts the format, and where.
Result<Artefact> read_catboost(std::span<const std::byte> bytes);

}  // namespace nidus::interop
