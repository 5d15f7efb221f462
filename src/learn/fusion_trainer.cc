#include "learn/fusion_trainer.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace nidus::learn {
namespace {

constexpr double kDecades = 8;

}  // namespace

Result<model::Calibration::Curve> rarity_curve(std::span<const double> benign_scores) {
  if (benign_scores.empty()) return Error{Errc::invalid, "no benign rows to tell by what is rare among them"};
  std::vector<double> scores(benign_scores.begin(), benign_scores.end());
  if (!std::all_of(scores.begin(), scores.end(), [](double score) { return std::isfinite(score); }))
    return Error{Errc::invalid, "a score that is not a number"};
  std::sort(scores.begin(), scores.end(), std::greater<>());
  const std::size_t rows = scores.size();
  const auto height = [&](double reaching) {
    return -std::log10(reaching / static_cast<double>(rows + 1)) / kDecades;
  };

  // From the highest down: places a fifth further down each, thus some sixty points whatever the rows.
  std::vector<std::pair<double, double>> points;
  constexpr std::size_t kCounted = 10;
  for (std::size_t place = std::min(kCounted, rows); place <= rows;
       place = place == rows ? rows + 1 : std::min(rows, place + std::max<std::size_t>(1, place / 5))) {
    const double score = scores[place - 1];
    // All that score as high, equals behind the place counted.
    const auto reaching =
        std::upper_bound(scores.begin(), scores.end(), score, std::greater<>()) - scores.begin();
    if (!points.empty() && points.back().first == score) continue;
    points.emplace_back(score, height(static_cast<double>(reaching) + 1));
  }
  std::reverse(points.begin(), points.end());

  // The tail: the mean excess over the highest twentieth, or over what of it is still told apart.
  const std::size_t many = std::clamp<std::size_t>(rows / 20, std::min(kCounted, rows), rows);
  const double from = scores[many - 1];
  double excess = 0;
  for (std::size_t i = 0; i < many; ++i) excess += scores[i] - from;
  excess /= static_cast<double>(many);
  const double last = points.back().first, last_height = points.back().second;
  const double least = std::max(1e-9 * std::abs(last), 1e-12);
  // Each `excess` more is a factor of e.
  const double way = std::max(excess * std::log(10.0) * kDecades * (1 - last_height), least);
  points.emplace_back(last + way, 1.0);

  model::Calibration::Curve curve;
  curve.kind = model::Calibration::Curve::Kind::steps;
  for (const auto& [x, y] : points) {
    curve.x.push_back(x);
    curve.y.push_back(std::clamp(y, 0.0, 1.0));
  }
  return curve;
}

Result<StackWeights> learn_weights(std::span<const double> scores, std::size_t members,
                                   std::span<const std::uint8_t> is_attack) {
  const std::size_t rows = is_attack.size();
  if (members == 0 || scores.size() != rows * members)
    return Error{Errc::invalid, "not one score of each member for each row"};
  if (!std::all_of(scores.begin(), scores.end(), [](double score) { return std::isfinite(score); }))
    return Error{Errc::invalid, "a score that is not a number"};
  const auto attacks = static_cast<std::size_t>(
      std::count_if(is_attack.begin(), is_attack.end(), [](auto attack) { return attack != 0; }));
  if (attacks == 0 || attacks == rows)
    return Error{Errc::invalid, "weights are learnt from attacks and benign rows, and there are not both"};
  const double half = static_cast<double>(rows) / 2;
  const double of_attack = half / static_cast<double>(attacks),
               of_benign = half / static_cast<double>(rows - attacks);

  // Newton's method, coordinate by coordinate, each held at zero from below.
  StackWeights out;
  out.weights.assign(members, 0);
  std::vector<double> margins(rows);
  constexpr int kSweepsMax = 200;
  for (int sweep = 0; sweep < kSweepsMax; ++sweep) {
    double moved = 0;
    for (std::size_t m = 0; m <= members; ++m) {
      const bool bias = m == members;
      double slope = bias ? 0 : out.weights[m], bend = bias ? 1e-9 : 1;
      for (std::size_t row = 0; row < rows; ++row) {
        const double x = bias ? 1 : scores[row * members + m];
        const double p = 1 / (1 + std::exp(-margins[row]));
        const double weight = is_attack[row] != 0 ? of_attack : of_benign;
        slope += weight * (p - (is_attack[row] != 0 ? 1 : 0)) * x;
        bend += weight * p * (1 - p) * x * x;
      }
      double& value = bias ? out.bias : out.weights[m];
      // A step of more than this would leave where the second derivative holds.
      const double next = value - std::clamp(slope / bend, -4.0, 4.0);
      const double step = (bias ? next : std::max(0.0, next)) - value;
      value += step;
      moved = std::max(moved, std::abs(step));
      if (step == 0) continue;
      for (std::size_t row = 0; row < rows; ++row)
        margins[row] += step * (bias ? 1 : scores[row * members + m]);
    }
    if (moved < 1e-6) break;
  }
  return out;
}

}  // namespace nidus::learn
