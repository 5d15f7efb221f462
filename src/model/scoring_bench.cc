#include <benchmark/benchmark.h>

#include "base/random.h"
#include "model/boost.h"
#include "model/forest.h"

namespace {

using namespace nidus;
using model::Node;

constexpr std::size_t kInputs = 80;
constexpr std::size_t kRows = 4096;

// Perfect trees of one depth, thresholds in [0, 1).
model::TreeSet perfect_trees(std::size_t trees, std::size_t depth) {
  Random random(1);
  std::vector<Node> nodes;
  std::vector<std::uint32_t> roots = {0};
  for (std::size_t t = 0; t < trees; ++t) {
    const std::size_t inner = (std::size_t{1} << depth) - 1;
    for (std::size_t i = 0; i < inner; ++i) {
      nodes.push_back(Node::inner(static_cast<float>(random.unit()), random.below(kInputs), 2 * i + 1));
    }
    for (std::size_t i = inner; i < 2 * inner + 1; ++i) nodes.push_back(Node::leaf(i, random.below(64)));
    roots.push_back(static_cast<std::uint32_t>(nodes.size()));
  }
  std::vector<float> leaves(64);
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

// Arguments: trees, depth, rows scored at once. Items are rows × trees.
void score(benchmark::State& state, const model::Model& scored) {
  const auto all = rows();
  const auto batch = static_cast<std::size_t>(state.range(2));
  std::vector<double> scores(batch);
  std::size_t at = 0;
  for (auto _ : state) {
    scored.score(std::span(all).subspan(at * kInputs, batch * kInputs), batch, scores);
    benchmark::DoNotOptimize(scores.data());
    at = at + 2 * batch <= kRows ? at + batch : 0;
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(2) * state.range(0));
  state.SetLabel(model::tree_kernel());
}

void forest(benchmark::State& state) {
  score(state, *model::Forest::make(perfect_trees(static_cast<std::size_t>(state.range(0)),
                                                  static_cast<std::size_t>(state.range(1)))));
}
BENCHMARK(forest)->Args({100, 6, 1})->Args({100, 6, 4096})->Args({100, 13, 1})->Args({100, 13, 4096});

void boost(benchmark::State& state) {
  const auto trees = static_cast<std::size_t>(state.range(0));
  score(state, *model::Boost::make(perfect_trees(trees, static_cast<std::size_t>(state.range(1))),
                                   std::vector<std::uint32_t>(trees, 0), {0}));
}
BENCHMARK(boost)->Args({100, 6, 1})->Args({100, 6, 4096});

}  // namespace
