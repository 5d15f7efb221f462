#include <benchmark/benchmark.h>

#include <cmath>
#include <deque>

#include "base/random.h"
#include "model/boost.h"
#include "model/forest.h"

namespace {

using namespace nidus;
using model::Node;

constexpr std::size_t kInputs = 80;
constexpr std::size_t kRows = 4096;

// Trees that are grown as on rows uniform in [0, 1): a node with its share of `rows` is split at a random
// place of what a random feature still spans there, until one row or `depth` is reached. With `bins`, only
// at multiples of 1 / bins, as our own training does.
model::TreeSet grown_trees(std::size_t trees, double rows, std::size_t depth, std::size_t bins) {
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
    open.push_back({0, 0, rows, std::vector<std::pair<float, float>>(kInputs, {0.0f, 1.0f})});
    while (!open.empty()) {
      Open node = std::move(open.front());
      open.pop_front();
      const std::size_t feature = random.below(kInputs);
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
  model::TreeSet::Parts parts;
  parts.inputs = kInputs;
  parts.nodes = std::move(nodes);
  parts.roots = std::move(roots);
  parts.leaves = std::move(leaves);
  return *model::TreeSet::make(std::move(parts));
}

std::vector<float> rows() {
  Random random(2);
  std::vector<float> out(kRows * kInputs);
  for (auto& value : out) value = static_cast<float>(random.unit());
  return out;
}

// Items are rows × trees.
void score(benchmark::State& state, const model::Model& scored, const model::TreeSet& trees,
           std::size_t batch) {
  const auto all = rows();
  std::vector<double> scores(batch);
  std::size_t at = 0;
  for (auto _ : state) {
    scored.score(std::span(all).subspan(at * kInputs, batch * kInputs), batch, scores);
    benchmark::DoNotOptimize(scores.data());
    at = at + 2 * batch <= kRows ? at + batch : 0;
  }
  const auto items = static_cast<double>(state.iterations()) * static_cast<double>(batch * trees.trees());
  state.counters["ns/row/tree"] =
      benchmark::Counter(items / 1e9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["nodes"] = static_cast<double>(trees.nodes());
  state.SetLabel(trees.describe_walk());
}

// Arguments: trees, bins (0: any threshold), rows scored at once.
void full_depth_forest(benchmark::State& state) {
  const auto forest = model::Forest::make(grown_trees(static_cast<std::size_t>(state.range(0)), 2200, 64,
                                                      static_cast<std::size_t>(state.range(1))));
  score(state, *forest, forest->trees(), static_cast<std::size_t>(state.range(2)));
}
BENCHMARK(full_depth_forest)->ArgsProduct({{100}, {0, 255}, {1, 16, 256, 4096}});

// Arguments: trees, depth, bins, rows scored at once.
void boost(benchmark::State& state) {
  const auto trees = static_cast<std::size_t>(state.range(0));
  const auto boosted = model::Boost::make(grown_trees(trees, 1e9, static_cast<std::size_t>(state.range(1)),
                                                      static_cast<std::size_t>(state.range(2))),
                                          std::vector<std::uint32_t>(trees, 0), {0});
  score(state, *boosted, boosted->trees(), static_cast<std::size_t>(state.range(3)));
}
BENCHMARK(boost)->ArgsProduct({{100}, {6}, {0, 255}, {1, 4, 6, 8, 16, 256, 4096}});
BENCHMARK(boost)->ArgsProduct({{300}, {6}, {0, 255}, {4096}});
BENCHMARK(boost)->ArgsProduct({{100}, {4, 7, 8, 9, 10}, {0, 255}, {4096}});

}  // namespace
