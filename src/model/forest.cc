#include "model/forest.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "model/internal/model_stream.h"

namespace nidus::model {

Result<Forest> Forest::make(TreeSet trees) {
  if (trees.trees() == 0) return Error{Errc::corrupt, "a forest without trees"};
  const auto is_share = [](auto value) { return value >= 0 && value <= 1; };
  const auto& parts = trees.parts();
  if (!std::all_of(parts.leaves.begin(), parts.leaves.end(), is_share) ||
      !std::all_of(parts.wide_leaves.begin(), parts.wide_leaves.end(), is_share)) {
    return Error{Errc::corrupt, "a leaf of a forest holds a share outside 0 to 1"};
  }
  return Forest(std::move(trees));
}

Result<Forest> Forest::load(internal::FileReader& in) {
  auto trees = TreeSet::load(in);
  if (!trees) return std::move(trees).error().within("forest");
  return make(std::move(*trees));
}

void Forest::save(internal::FileWriter& out) const {
  out.tag(internal::ModelTag::forest);
  trees_.save(out);
}

void Forest::score(std::span<const float> rows, std::size_t count, std::span<double> scores) const {
  const std::size_t width = outputs();
  CHECK(rows.size() >= count * inputs() && scores.size() >= count * width);
  std::fill_n(scores.begin(), count * width, 0.0);
  trees_.add_leaves(rows.data(), count, {}, width, scores.data());
  const auto trees = static_cast<double>(trees_.trees());
  for (std::size_t i = 0; i < count * width; ++i) scores[i] /= trees;
}

std::string Forest::describe() const {
  return "random forest: " + with_thousands(trees_.trees()) + " trees, " + with_thousands(trees_.nodes()) +
         " nodes, depth " + std::to_string(trees_.depth_max()) + ", " + std::to_string(inputs()) + " inputs";
}

}  // namespace nidus::model
