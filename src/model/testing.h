#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "base/random.h"
#include "model/trees.h"

// For tests only: trees drawn by a seed, rows that hit their thresholds, and the plain walker that the fast
// ones are held against.
namespace nidus::model::testing {

struct DrawnTrees {
  TreeSet::Parts parts;
  std::vector<float> thresholds;  // all that occur
};

// Lopsided trees of at most `nodes_max` nodes each, with one of `different` thresholds between -5 and 5 at a
// node; infinities and zeros are among them.
inline DrawnTrees draw_trees(std::uint64_t seed, std::size_t trees, std::size_t inputs, std::size_t nodes_max,
                             std::size_t width, bool missing_right, std::uint64_t different = 41) {
  Random random(seed);
  DrawnTrees out;
  std::vector<Node> nodes;
  std::vector<std::uint32_t> roots = {0};
  constexpr std::size_t kLeaves = 37;
  for (std::size_t t = 0; t < trees; ++t) {
    const std::size_t base = nodes.size();
    nodes.emplace_back();
    std::vector<std::size_t> open = {0};
    std::size_t size = 1;
    while (!open.empty()) {
      const std::size_t pick = random.below(2) == 0 ? open.size() - 1 : random.below(open.size());
      const std::size_t at = open[pick];
      open.erase(open.begin() + static_cast<std::ptrdiff_t>(pick));
      if (size + 2 > nodes_max || (size > 3 && random.below(8) == 0)) {
        nodes[base + at] = Node::leaf(at, random.below(kLeaves));
        continue;
      }
      const auto step = static_cast<double>(random.below(different));
      auto threshold = static_cast<float>(10 * step / static_cast<double>(different - 1) - 5);
      if (threshold == 0 && random.below(2) == 0) threshold = -0.0f;
      if (random.below(50) == 0) threshold = std::numeric_limits<float>::infinity();
      if (random.below(50) == 0) threshold = -std::numeric_limits<float>::infinity();
      nodes[base + at] = Node::inner(threshold, random.below(inputs), size);
      out.thresholds.push_back(threshold);
      nodes.resize(base + size + 2);
      open.push_back(size);
      open.push_back(size + 1);
      size += 2;
    }
    roots.push_back(static_cast<std::uint32_t>(nodes.size()));
  }
  std::vector<float> leaves(kLeaves * width);
  for (auto& value : leaves) value = static_cast<float>(random.unit());
  if (missing_right) {
    std::vector<std::uint64_t> bits((nodes.size() + 63) / 64);
    for (auto& word : bits) word = random.next();
    out.parts.missing_right = std::move(bits);
  }
  out.parts.inputs = inputs;
  out.parts.width = width;
  out.parts.nodes = std::move(nodes);
  out.parts.roots = std::move(roots);
  out.parts.leaves = std::move(leaves);
  return out;
}

// Leaves of doubles that are no floats.
inline void widen_leaves(TreeSet::Parts& parts) {
  std::vector<double> wide;
  for (const float value : parts.leaves) wide.push_back(static_cast<double>(value) * (1 - 1e-12));
  parts.leaves = {};
  parts.wide_leaves = std::move(wide);
}

// How many training rows came through each node: at the leaves 0 to 8, zero now and then.
inline std::vector<float> draw_weights(std::uint64_t seed, const TreeSet::Parts& parts) {
  Random random(seed);
  std::vector<float> weights(parts.nodes.size());
  for (std::size_t tree = 0; tree + 1 < parts.roots.size(); ++tree) {
    const std::size_t root = parts.roots[tree];
    for (std::size_t i = parts.roots[tree + 1]; i-- > root;) {
      const Node node = parts.nodes[i];
      weights[i] = node.is_leaf() ? static_cast<float>(random.below(9))
                                  : weights[root + node.left()] + weights[root + node.left() + 1];
    }
  }
  return weights;
}

// Each threshold, its neighbours, NaN and the infinities, and numbers between.
inline std::vector<float> draw_rows(std::uint64_t seed, const std::vector<float>& thresholds,
                                    std::size_t rows, std::size_t inputs, bool with_missing) {
  Random random(seed);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::vector<float> out(rows * inputs);
  for (auto& value : out) {
    const float threshold = thresholds.empty() ? 0 : thresholds[random.below(thresholds.size())];
    switch (random.below(8)) {
      case 0:
        value = threshold;
        break;
      case 1:
        value = std::nextafter(threshold, kInfinity);
        break;
      case 2:
        value = std::nextafter(threshold, -kInfinity);
        break;
      case 3:
        value = random.below(2) == 0 ? kInfinity : -kInfinity;
        break;
      case 4:
        value = with_missing ? std::numeric_limits<float>::quiet_NaN() : -0.0f;
        break;
      case 5:
        value = random.below(2) == 0 ? 0.0f : -0.0f;
        break;
      default:
        value = static_cast<float>(random.unit() * 12 - 6);
        break;
    }
  }
  return out;
}

// One step at a time, one row, one tree.
inline std::size_t plain_walk(const TreeSet& trees, std::size_t tree, const float* row) {
  const std::size_t root = trees.parts().roots[tree];
  std::size_t at = 0;
  for (;;) {
    const Node node = trees.parts().nodes[root + at];
    if (node.is_leaf()) return node.leaf_number();
    const float value = row[node.feature()];
    bool left = value <= node.threshold();
    if (std::isnan(value)) {
      const std::size_t bit = root + at;
      left = trees.parts().missing_right.empty() ||
             (trees.parts().missing_right[bit / 64] >> (bit % 64) & 1) == 0;
    }
    at = node.left() + (left ? 0 : 1);
  }
}

}  // namespace nidus::model::testing
