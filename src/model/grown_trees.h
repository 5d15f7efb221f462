#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "base/random.h"
#include "model/trees.h"

namespace nidus::model::testing {

// For benches only.
//
// Trees that are grown as on rows uniform in [0, 1): a node with its share of `rows` is split at a random
// place of what a random feature still spans there, until one row or `depth` is reached. With `bins`, only
// at multiples of 1 / bins, as our own training does.
inline TreeSet grown_trees(std::size_t inputs, std::size_t trees, double rows, std::size_t depth,
                           std::size_t bins) {
  Random random(1);
  struct Open {
    std::size_t at, level;
    double rows;
    std::vector<std::pair<float, float>> cell;
  };
  std::vector<Node> nodes;
  std::vector<std::uint32_t> roots = {0};
  constexpr std::size_t kLeaves = 64;
  for (std::size_t t = 0; t < trees; ++t) {
    const std::size_t root = nodes.size();
    nodes.emplace_back();
    std::deque<Open> open;
    open.push_back({0, 0, rows, std::vector<std::pair<float, float>>(inputs, {0.0f, 1.0f})});
    while (!open.empty()) {
      Open node = std::move(open.front());
      open.pop_front();
      const std::size_t feature = random.below(inputs);
      const auto [low, high] = node.cell[feature];
      float cut = low + (high - low) * static_cast<float>(random.unit());
      if (bins != 0) cut = std::floor(cut * static_cast<float>(bins)) / static_cast<float>(bins);
      if (node.level == depth || node.rows < 2 || !(cut > low && cut < high)) {
        nodes[root + node.at] = Node::leaf(node.at, random.below(kLeaves));
        continue;
      }
      const std::size_t left = nodes.size() - root;
      nodes.resize(nodes.size() + 2);
      nodes[root + node.at] = Node::inner(cut, feature, left);
      const double share = static_cast<double>((cut - low) / (high - low));
      Open right = {left + 1, node.level + 1, node.rows * (1 - share), node.cell};
      node.cell[feature].second = cut;
      right.cell[feature].first = cut;
      open.push_back({left, node.level + 1, node.rows * share, std::move(node.cell)});
      open.push_back(std::move(right));
    }
    roots.push_back(static_cast<std::uint32_t>(nodes.size()));
  }
  std::vector<float> leaves(kLeaves);
  for (auto& leaf : leaves) leaf = static_cast<float>(random.unit());
  TreeSet::Parts parts;
  parts.inputs = inputs;
  parts.nodes = std::move(nodes);
  parts.roots = std::move(roots);
  parts.leaves = std::move(leaves);
  return *TreeSet::make(std::move(parts));
}

}  // namespace nidus::model::testing
