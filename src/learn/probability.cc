#include "learn/probability.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "learn/metrics.h"

namespace nidus::learn {
namespace {

using Curve = model::Calibration::Curve;

double weight_of(std::span<const double> weights, std::size_t row) {
  return weights.empty() ? 1 : weights[row];
}

Result<void> check(std::span<const double> scores, std::span<const std::uint8_t> positive,
                   std::span<const double> weights) {
  if (auto good = check_scores(scores, positive, weights); !good) return good;
  if (std::any_of(scores.begin(), scores.end(), [](double score) { return std::isinf(score); }))
    return Error{Errc::invalid, "a score that is infinite"};
  double sides[2] = {0, 0};
  for (std::size_t row = 0; row < scores.size(); ++row) sides[positive[row] != 0] += weight_of(weights, row);
  if (!(sides[0] > 0 && sides[1] > 0))
    return Error{Errc::invalid, "to make probabilities of scores it takes rows of either side"};
  return {};
}

// Rows with one score, or several blocks that were made one.
struct Block {
  double low, high;  // of the scores
  double sum, weight;
  double mean() const { return sum / weight; }
};

}  // namespace

std::string_view name(ProbabilityMethod method) {
  switch (method) {
    case ProbabilityMethod::isotonic:
      return "isotonic";
    case ProbabilityMethod::platt:
      return "platt";
  }
  return "";
}

Result<Curve> fit_isotonic(std::span<const double> scores, std::span<const std::uint8_t> positive,
                           std::span<const double> weights) {
  if (auto good = check(scores, positive, weights); !good) return good.error();
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] < scores[b]; });
  std::vector<Block> blocks;
  for (std::size_t i = 0; i < order.size();) {
    Block block{scores[order[i]], scores[order[i]], 0, 0};
    for (; i < order.size() && scores[order[i]] == block.low; ++i) {
      const double weight = weight_of(weights, order[i]);
      block.weight += weight;
      if (positive[order[i]] != 0) block.sum += weight;
    }
    if (block.weight == 0) continue;
    // What falls is pooled with what it fell from.
    while (!blocks.empty() && blocks.back().mean() >= block.mean()) {
      block.low = blocks.back().low;
      block.sum += blocks.back().sum;
      block.weight += blocks.back().weight;
      blocks.pop_back();
    }
    blocks.push_back(block);
  }
  Curve curve;
  curve.kind = Curve::Kind::steps;
  for (const Block& block : blocks) {
    curve.x.push_back(block.low);
    curve.y.push_back(block.mean());
    if (block.high > block.low) {
      curve.x.push_back(block.high);
      curve.y.push_back(block.mean());
    }
  }
  return curve;
}

Result<Curve> fit_platt(std::span<const double> scores, std::span<const std::uint8_t> positive,
                        std::span<const double> weights) {
  if (auto good = check(scores, positive, weights); !good) return good.error();
  double sides[2] = {0, 0};
  for (std::size_t row = 0; row < scores.size(); ++row) sides[positive[row] != 0] += weight_of(weights, row);
  // Bayes' estimates in place of 0 and 1, or a separable set would have no maximum.
  const double high = (sides[1] + 1) / (sides[1] + 2), low = 1 / (sides[0] + 2);
  // The minus log-likelihood of p = 1 / (1 + exp(f)), so that nothing overflows.
  const auto loss = [&](double a, double b) {
    double sum = 0;
    for (std::size_t row = 0; row < scores.size(); ++row) {
      const double f = a * scores[row] + b, target = positive[row] != 0 ? high : low;
      const double part =
          f >= 0 ? target * f + std::log1p(std::exp(-f)) : (target - 1) * f + std::log1p(std::exp(f));
      sum += weight_of(weights, row) * part;
    }
    return sum;
  };
  double a = 0, b = std::log((sides[0] + 1) / (sides[1] + 1)), value = loss(a, b);
  constexpr int kRounds = 200;
  constexpr double kRidge = 1e-12, kGradient = 1e-10, kStepLeast = 1e-12;
  const double all = sides[0] + sides[1];
  for (int round = 0; round < kRounds; ++round) {
    double h11 = kRidge, h22 = kRidge, h21 = 0, g1 = 0, g2 = 0;
    for (std::size_t row = 0; row < scores.size(); ++row) {
      const double f = a * scores[row] + b, target = positive[row] != 0 ? high : low;
      const double e = std::exp(-std::abs(f));
      const double p = f >= 0 ? e / (1 + e) : 1 / (1 + e), q = 1 - p;
      const double weight = weight_of(weights, row), curvature = weight * p * q,
                   slope = weight * (target - p);
      h11 += scores[row] * scores[row] * curvature;
      h22 += curvature;
      h21 += scores[row] * curvature;
      g1 += scores[row] * slope;
      g2 += slope;
    }
    if (std::abs(g1) < kGradient * all && std::abs(g2) < kGradient * all) break;
    const double determinant = h11 * h22 - h21 * h21;
    if (!(std::abs(determinant) > 0)) break;
    const double da = -(h22 * g1 - h21 * g2) / determinant, db = -(h11 * g2 - h21 * g1) / determinant;
    const double slope = g1 * da + g2 * db;
    double step = 1;
    for (; step >= kStepLeast; step /= 2) {
      const double next = loss(a + step * da, b + step * db);
      if (next < value + 1e-4 * step * slope) {
        a += step * da;
        b += step * db;
        value = next;
        break;
      }
    }
    if (step < kStepLeast) break;  // as good as it gets in double
  }
  Curve curve;
  curve.kind = Curve::Kind::sigmoid;
  curve.a = a;
  curve.b = b;
  return curve;
}

Result<std::shared_ptr<const model::Model>> calibrated(std::shared_ptr<const model::Model> model,
                                                       const Dataset& rows, ProbabilityMethod method) {
  const std::size_t outputs = model->outputs();
  const std::vector<double> scores =
      model::all_scores(*model, std::span<const float>(rows.values), rows.rows());
  std::vector<Curve> curves;
  std::vector<double> of_class(rows.rows());
  std::vector<std::uint8_t> positive(rows.rows());
  for (std::size_t output = 0; output < outputs; ++output) {
    const std::uint32_t cls = outputs == 1 ? 1 : static_cast<std::uint32_t>(output);
    for (std::size_t row = 0; row < rows.rows(); ++row) {
      of_class[row] = scores[row * outputs + output];
      positive[row] = rows.labels[row] == cls ? 1 : 0;
    }
    auto curve = method == ProbabilityMethod::isotonic ? fit_isotonic(of_class, positive)
                                                       : fit_platt(of_class, positive);
    if (!curve) return std::move(curve).error().within(fmt::format("'{}'", rows.classes[cls]));
    keep_order(*curve);
    curves.push_back(std::move(*curve));
  }
  auto made = model::Calibration::make(
      std::move(model), std::move(curves),
      outputs == 1 ? model::Calibration::Ending::none : model::Calibration::Ending::normalise);
  if (!made) return std::move(made).error();
  return std::shared_ptr<const model::Model>(std::make_shared<model::Calibration>(std::move(*made)));
}

double at_prior(double probability, double share_then, double share_now) {
  const double attack = probability * share_now / share_then;
  const double benign = (1 - probability) * (1 - share_now) / (1 - share_then);
  return attack + benign > 0 ? attack / (attack + benign) : probability;
}

Curve at_prior(Curve curve, double share_then, double share_now) {
  curve.b -= std::log(share_now / (1 - share_now) * (1 - share_then) / share_then);
  for (double& probability : curve.y) probability = at_prior(probability, share_then, share_now);
  return curve;
}

void keep_order(Curve& curve) {
  constexpr double kSlope = 1e-6;
  if (curve.kind != Curve::Kind::steps || curve.x.front() < 0 || curve.x.back() > 1) return;
  if (curve.x.front() > 0) {
    curve.x.insert(curve.x.begin(), 0);
    curve.y.insert(curve.y.begin(), curve.y.front());
  }
  if (curve.x.back() < 1) {
    curve.x.push_back(1);
    curve.y.push_back(curve.y.back());
  }
  for (std::size_t i = 0; i < curve.x.size(); ++i) curve.y[i] += kSlope * (curve.x[i] - curve.y[i]);
}

}  // namespace nidus::learn
