#include "model/model.h"

namespace nidus::model {

std::vector<double> all_scores(const Model& model, std::span<const float> rows, std::size_t count) {
  std::vector<double> scores(count * model.outputs());
  model.score(rows, count, scores);
  return scores;
}

std::vector<double> attack_scores(const Model& model, std::span<const float> rows, std::size_t count) {
  std::vector<double> scores = all_scores(model, rows, count);
  const std::size_t width = model.outputs();
  if (width == 1) return scores;
  for (std::size_t row = 0; row < count; ++row) scores[row] = 1 - scores[row * width];
  scores.resize(count);
  return scores;
}

}  // namespace nidus::model
