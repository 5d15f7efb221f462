#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "interop/artefact.h"

namespace nidus::interop {

// What a file of XGBoost may not say, but what it came in does.
struct XgboostOptions {
  enum class Rounds {
    all,   // as Booster.predict
    best,  // up to the best of early stopping, if there was some: as the wrappers XGBClassifier and the like
  };
  Rounds rounds = Rounds::all;
  // The number that stands for a missing value beside NaN: `missing` of the wrappers, which the file has
  // itself only if a wrapper of 1.x wrote it.
  std::optional<float> missing;
  // Spelled, in the order of the class numbers; none: those of the file, if it has some.
  std::vector<std::string> classes;
};

// Whether bytes begin like what read_xgboost reads, or refuses with a hint: JSON or UBJSON with a learner, or
// one of XGBoost's old binary formats.
bool looks_like_xgboost(std::span<const std::byte> bytes);

// A model of XGBoost 1.0 to 3.4, in JSON or UBJSON, whatever the file is called: gbtree or dart, that judges
// (binary:logistic, binary:logitraw, binary:hinge, reg:logistic, multi:softprob, multi:softmax). Also the
// snapshots that pickles of a Booster hold: {Config, Model}, and the binary ones of 1.0 to 1.2. The model is
// a model::Boost, whose margins are those of the library to the last bit. Nothing of `bytes` is kept.
//
// Errc::unsupported names what we do not do; Errc::corrupt what contradicts the format, and where.
Result<Artefact> read_xgboost(std::span<const std::byte> bytes, const XgboostOptions& options);

}  // namespace nidus::interop
