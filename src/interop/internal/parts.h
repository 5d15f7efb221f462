#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"
#include "interop/artefact.h"

namespace nidus::interop::internal {

// A part of a detector, and where it was found: "scaler.pkl", "model.pkl: scaler".
struct Part {
  std::string where;
  const Artefact* artefact = nullptr;
};

// What the files of a detector are, sorted by what they are good for. The artefacts must outlive it.
struct Parts {
  static constexpr std::size_t kPartsMax = 256;

  std::vector<Part> models, transforms, texts, numbers, others;

  // Errc::exhausted for too many, Errc::unsupported for bundles within bundles without end.
  Result<void> add(const std::string& where, const Artefact& artefact, int within = 0);
};

// The file of a part, its name without ending, and a name for a member's file that is fit for one:
// "random_forest.nidus".
std::string file_of(const std::string& where);
std::string stem_of(const std::string& where);
std::string file_for(const std::string& name);

}  // namespace nidus::interop::internal
