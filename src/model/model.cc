#include "model/model.h"

#include <algorithm>

#include "base/check.h"

namespace nidus::model {

std::string_view name(Scale scale) {
  switch (scale) {
    case Scale::probability:
      return "probability";
    case Scale::anomaly:
      return "anomaly";
    case Scale::error:
      return "error";
    case Scale::margin:
      return "margin";
  }
  CHECK(false);
}

void Model::score_wide(std::span<const double> rows, std::size_t count, std::span<double> scores) const {
  const std::size_t width = inputs(), each = outputs();
  CHECK(rows.size() >= count * width && scores.size() >= count * each);
  constexpr std::size_t kBlock = 256;
  std::vector<float> rounded(std::min(count, kBlock) * width);
  for (std::size_t first = 0; first < count; first += kBlock) {
    const std::size_t some = std::min(kBlock, count - first);
    for (std::size_t i = 0; i < some * width; ++i) rounded[i] = static_cast<float>(rows[first * width + i]);
    score(std::span(rounded).first(some * width), some, scores.subspan(first * each, some * each));
  }
}

std::vector<double> all_scores(const Model& model, std::span<const float> rows, std::size_t count) {
  std::vector<double> scores(count * model.outputs());
  model.score(rows, count, scores);
  return scores;
}

std::vector<double> all_scores(const Model& model, std::span<const double> rows, std::size_t count) {
  std::vector<double> scores(count * model.outputs());
  model.score_wide(rows, count, scores);
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
