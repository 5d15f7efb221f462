#include <algorithm>
#include <cmath>

#include "model/internal/explain_fusion.h"

namespace nidus::model::internal {
namespace {

// Carries contributions and the base behind them, which add up to `sum`, through a function: they add up to
// its value `at_sum` then, and the base is its value `at_base`. Where they cancel each other out but for
// rounding, none of them is to blame, and the base has it all.
void carry_through(std::span<double> parts, double sum, double at_sum, double at_base) {
  double size = 0;
  for (const double part : parts) size += std::abs(part);
  const double way = sum - parts.back();
  const bool told = std::abs(way) > 1e-9 * size;
  const double slope = told ? (at_sum - at_base) / way : 0;
  for (double& part : parts.first(parts.size() - 1)) part *= slope;
  parts.back() = told ? at_base : at_sum;
}

double total(std::span<const double> parts) {
  double sum = 0;
  for (const double part : parts) sum += part;
  return sum;
}

double logistic_of(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

Result<FusionExplainer> FusionExplainer::make(const Fusion& fusion) {
  std::vector<Explainer> members;
  for (const auto& member : fusion.parts().members) {
    auto explainer = Explainer::make(member.model, Explainer::Unit::score);
    if (!explainer) return std::move(explainer).error();
    members.push_back(std::move(*explainer));
  }
  return FusionExplainer(fusion, std::move(members));
}

void FusionExplainer::explain(std::span<const float> rows, std::size_t count, std::span<const double> weights,
                              std::span<double> contributions) const {
  const auto& parts = fusion_->parts();
  const std::size_t width = fusion_->inputs() + 1, outputs = fusion_->outputs(), members = members_.size();
  double all_weights = 0;
  for (const auto& member : parts.members) all_weights += member.weight;
  std::vector<double> of_members(members * width), scores(members), said(outputs);
  for (std::size_t row = 0; row < count; ++row) {
    const auto from = rows.subspan(row * (width - 1), width - 1);
    const auto out = contributions.subspan(row * width, width);
    std::fill(out.begin(), out.end(), 0.0);
    for (std::size_t m = 0; m < members; ++m) {
      const auto own = std::span(of_members).subspan(m * width, width);
      explain_attack_score(members_[m], from, 1, own);
      const double attack = total(own);
      scores[m] = parts.members[m].curve.at(attack);
      carry_through(own, attack, scores[m], parts.members[m].curve.at(own.back()));
    }
    if (parts.rule == Fusion::Rule::quorum) {
      const auto own = std::span(of_members).subspan(fusion_->deciding(scores) * width, width);
      std::copy(own.begin(), own.end(), out.begin());
    } else {
      const bool mean = parts.rule == Fusion::Rule::mean;
      for (std::size_t m = 0; m < members; ++m) {
        const double weight = mean ? parts.members[m].weight / all_weights : parts.members[m].weight;
        for (std::size_t i = 0; i < width; ++i) out[i] += weight * of_members[m * width + i];
      }
      if (!mean) {
        out.back() += parts.bias;
        const double sum = total(out);
        carry_through(out, sum, logistic_of(sum), logistic_of(out.back()));
      }
    }
    if (outputs == 1) {
      for (double& part : out) part *= weights[0];
      continue;
    }
    // With score s and shares f of the classes the weighted sum is w0 (1 - s) + s × the sum of w f.
    fusion_->score(from, 1, said);
    const double attack = 1 - said[0];
    double slope = -weights[0];
    for (std::size_t k = 1; k < outputs && attack > 0; ++k) slope += weights[k] * said[k] / attack;
    for (double& part : out) part *= slope;
    out.back() += weights[0];
  }
}

}  // namespace nidus::model::internal
