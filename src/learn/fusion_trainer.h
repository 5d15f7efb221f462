#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "model/calibration.h"

// How scores of different kinds are brought to one scale, and what each of them counts.
namespace nidus::learn {

// The curve from a score to how rare it is among benign rows: minus the decimal logarithm of the share of
// them that score as high, an eighth of it, so that 1 stands for one row in a hundred million. Up to the
// tenth highest score the shares are counted; beyond, the highest twentieth of the scores is taken to fall
// off exponentially, as far as that can be told from it. The scores are of rows that the model did not learn
// from.
//
// Errc::invalid without scores, or with one that is not finite.
Result<model::Calibration::Curve> rarity_curve(std::span<const double> benign_scores);

struct StackWeights {
  std::vector<double> weights;  // one for each member, none below 0
  double bias = 0;
};

// Logistic regression of "attack" on the members' scores, row-major rows × members, each class weighing the
// same, weights not negative and drawn to zero as by scikit-learn's C = 1. Errc::invalid unless there are
// rows of both sides, or for scores that are not finite.
Result<StackWeights> learn_weights(std::span<const double> scores, std::size_t members,
                                   std::span<const std::uint8_t> is_attack);

}  // namespace nidus::learn
