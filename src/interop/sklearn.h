#pragma once

#include <cstddef>
#include <span>

#include "base/result.h"
#include "interop/artefact.h"

// Pickles, and what joblib writes: the files of scikit-learn, of the Python packages of XGBoost and LightGBM,
// and of people who put lists, dicts and arrays into files.
namespace nidus::interop {

enum class Reading : std::uint8_t {
  whole,
  outline,  // what is in it, without models and transforms: those are null
};

// The estimators and transformers of scikit-learn from 0.20 on by their own class names, whichever module
// they were in; pipelines and bundles of such; texts and numbers. Compressed files are recognised by their
// first bytes. Errc::unsupported names the class or option that is not done, Errc::corrupt what contradicts
// itself, each with the byte of the (inflated) pickle. A name of another package than those that models are
// made of ends the reading, wherever it stands: "byte 1,204: posix.system is no part of a model".
//
// Trees compare as scikit-learn does: a row is rounded to float and the threshold down to the float below it,
// so that every float goes the same way. Files older than missing values in trees send NaN to the right.
Result<Artefact> read_pickle(std::span<const std::byte> bytes, Reading reading = Reading::whole);

}  // namespace nidus::interop
