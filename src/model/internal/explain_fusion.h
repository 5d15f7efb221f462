#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "base/result.h"
#include "model/explain.h"
#include "model/fusion.h"

namespace nidus::model::internal {

// Explains a fusion by its members: what a column contributes to the attack score of a member is carried
// through the curve with the mean slope from the member's base to its score, and so through the logistic
// function of a stack. Of a vote or a maximum those of the member that decides. The shares of the classes are
// taken as given.
class FusionExplainer {
 public:
  // Errors of Explainer::make for a member. The fusion must outlive it.
  static Result<FusionExplainer> make(const Fusion& fusion);

  // As Explainer::explain.
  void explain(std::span<const float> rows, std::size_t count, std::span<const double> weights,
               std::span<double> contributions) const;

 private:
  FusionExplainer(const Fusion& fusion, std::vector<Explainer> members)
      : fusion_(&fusion), members_(std::move(members)) {}
  const Fusion* fusion_;
  std::vector<Explainer> members_;
};

}  // namespace nidus::model::internal
