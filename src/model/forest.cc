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
  const auto& leaves = trees.parts().leaves;
  if (!std::all_of(leaves.begin(), leaves.end(), [](float share) { return share >= 0 && share <= 1; })) {
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
  const auto trees = static_cast<double>(trees_.trees());
  std::array<std::uint32_t, TreeSet::kBlock> leaves;
  std::fill_n(scores.begin(), count * width, 0.0);
  // With few rows the walks under way at once are those of one row through many trees.
  const bool across = count < 8;
  for (std::size_t first = 0; first < count;) {
    const std::size_t block = across ? 1 : std::min(TreeSet::kBlock, count - first);
    const float* from = rows.data() + first * inputs();
    double* to = scores.data() + first * width;
    const bool care = trees_.careful(from, block);
    const auto add = [&](std::size_t row, std::uint32_t leaf) {
      const float* shares = trees_.leaf(leaf);
      for (std::size_t i = 0; i < width; ++i) to[row * width + i] += static_cast<double>(shares[i]);
    };
    if (across) {
      for (std::size_t tree = 0; tree < trees_.trees(); tree += leaves.size()) {
        const std::size_t some = std::min(leaves.size(), trees_.trees() - tree);
        trees_.walk_across(from, tree, some, care, leaves.data());
        for (std::size_t i = 0; i < some; ++i) add(0, leaves[i]);
      }
    } else {
      for (std::size_t tree = 0; tree < trees_.trees(); ++tree) {
        trees_.walk(tree, from, block, care, leaves.data());
        for (std::size_t row = 0; row < block; ++row) add(row, leaves[row]);
      }
    }
    for (std::size_t i = 0; i < block * width; ++i) to[i] /= trees;
    first += block;
  }
}

std::string Forest::describe() const {
  return "random forest: " + with_thousands(trees_.trees()) + " trees, " + with_thousands(trees_.nodes()) +
         " nodes, depth " + std::to_string(trees_.depth_max()) + ", " + std::to_string(inputs()) + " inputs";
}

}  // namespace nidus::model
