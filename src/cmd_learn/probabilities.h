#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "cmd_learn/training.h"
#include "detect/manifest.h"
#include "learn/dataset.h"
#include "model/model.h"

// What `nidus train` does to scores once models are fitted: probabilities, and when to say "unknown".
namespace nidus::cmd {

// Rows of the validation part that serve one purpose alone; empty if it is not wanted.
struct KeptAside {
  learn::Dataset calibration, unknown;
};

// Takes them out of parts.validation, by whole groups where there are groups: an equal share for each purpose
// and for the threshold and figures. `groups`: of the rows of the material. Errc::invalid if there are too
// few rows or groups.
Result<KeptAside> keep_aside(const TrainArguments& given, std::span<const std::uint32_t> groups,
                             Parts& parts);

// Puts one model in place of `models`: their weighted mean, by `manifest.members`, behind curves fitted on
// these rows.
Result<void> make_probabilities(const TrainArguments& given, const learn::Dataset& rows,
                                std::vector<std::shared_ptr<const model::Model>>& models,
                                detect::Manifest& manifest);

// Writes Manifest::unknown, of rows that neither the model nor its curves were fitted on.
Result<void> learn_unknown(double alpha, const learn::Dataset& rows, const model::Model& model,
                           detect::Manifest& manifest);

}  // namespace nidus::cmd
