#include <benchmark/benchmark.h>

#include "base/random.h"
#include "model/boost.h"
#include "model/forest.h"
#include "model/grown_trees.h"
#include "model/internal/ranked_trees.h"

namespace {

using namespace nidus;
using model::testing::grown_trees;

constexpr std::size_t kInputs = 80;
constexpr std::size_t kRows = 4096;

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
  const auto forest = model::Forest::make(grown_trees(kInputs, static_cast<std::size_t>(state.range(0)), 2200,
                                                      64, static_cast<std::size_t>(state.range(1))));
  score(state, *forest, forest->trees(), static_cast<std::size_t>(state.range(2)));
}
BENCHMARK(full_depth_forest)->ArgsProduct({{100}, {0, 255}, {1, 16, 256, 4096}});

// Arguments: trees, depth, bins, rows scored at once.
void boost(benchmark::State& state) {
  const auto trees = static_cast<std::size_t>(state.range(0));
  const auto boosted =
      model::Boost::make(grown_trees(kInputs, trees, 1e9, static_cast<std::size_t>(state.range(1)),
                                     static_cast<std::size_t>(state.range(2))),
                         std::vector<std::uint32_t>(trees, 0), {0});
  score(state, *boosted, boosted->trees(), static_cast<std::size_t>(state.range(3)));
}
BENCHMARK(boost)->ArgsProduct({{100}, {6}, {0, 255}, {1, 4, 6, 8, 16, 256, 4096}});
BENCHMARK(boost)->ArgsProduct({{300}, {6}, {0, 255}, {4096}});
BENCHMARK(boost)->ArgsProduct({{100}, {4, 7, 8, 9, 10}, {0, 255}, {4096}});

// The kernels by themselves, on a block of rows as TreeSet::add_leaves takes them. Argument: the number of
// the instruction set among those this machine has, the best last.
struct Block {
  explicit Block(const benchmark::State& state)
      : kernel(*model::internal::tree_kernels()[static_cast<std::size_t>(state.range(0))]),
        trees(grown_trees(kInputs, 100, 1e9, 6, 255)),
        ranked(trees.parts(), std::vector<std::uint16_t>(trees.trees(), 6), kernel),
        values(rows()),
        strips(ranked.columns.size() * kBlock) {}

  void rank() {
    kernel.rank8({ranked.columns, ranked.cut_table(), values.data(), kInputs, kBlock, kernel.bytes}, 0x80,
                 strips.data());
  }

  static constexpr std::size_t kBlock = 256;
  const model::internal::TreeKernel& kernel;
  model::TreeSet trees;
  model::internal::RankedTrees ranked;
  std::vector<float> values;
  std::vector<std::uint8_t> strips;
};

void report(benchmark::State& state, const Block& block, const char* each, std::size_t count) {
  const double items = static_cast<double>(state.iterations()) * static_cast<double>(count);
  state.counters[each] =
      benchmark::Counter(items / 1e9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.SetLabel(block.ranked.describe());
}

void kernel_rank(benchmark::State& state) {
  Block block(state);
  for (auto _ : state) {
    block.rank();
    benchmark::DoNotOptimize(block.strips.data());
  }
  report(state, block, "ns/value", Block::kBlock * block.ranked.columns.size());
}

void kernel_full_trees(benchmark::State& state) {
  Block block(state);
  block.rank();
  std::vector<std::uint8_t> leaves(Block::kBlock);
  const std::size_t bytes = block.kernel.bytes, strip = block.ranked.columns.size() * bytes;
  for (auto _ : state) {
    for (const auto& tree : block.ranked.full) {
      block.kernel.full8(block.ranked.full_nodes.data() + tree.nodes, tree.depth, block.strips.data(), strip,
                         Block::kBlock / bytes, leaves.data());
      benchmark::DoNotOptimize(leaves.data());
    }
  }
  report(state, block, "ns/row/tree", Block::kBlock * block.ranked.full.size());
}

const bool registered = [] {
  const auto last = static_cast<std::int64_t>(model::internal::tree_kernels().size()) - 1;
  benchmark::RegisterBenchmark("kernel_rank", kernel_rank)->DenseRange(0, last);
  benchmark::RegisterBenchmark("kernel_full_trees", kernel_full_trees)->DenseRange(0, last);
  return true;
}();

}  // namespace
