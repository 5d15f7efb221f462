#include "model/internal/tree_kernel.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <set>
#include <type_traits>

#include "model/internal/ranked_trees.h"
#include "model/testing.h"

namespace nidus::model::internal {
namespace {

using testing::draw_rows;
using testing::draw_trees;
using testing::plain_walk;

// The text of the kernels once more, with strips as wide as AVX-512 has them but without its instructions: so
// that this layout is tested on every machine.
namespace wide {

inline unsigned below_plain(const float* cuts, float x) {
  unsigned count = 0;
  for (std::size_t i = 0; i < RankColumn::kBlock; ++i) count += cuts[i] < x ? 1 : 0;
  return count;
}

#define STRIP_TARGET
#define STRIP_BELOW below_plain
#define STRIP_NAME "baseline, strips of 64 bytes"
#define STRIP_BYTES 64
#define STRIP_VECTOR 16
#include "model/internal/strip_kernel.h"

}  // namespace wide

std::vector<const TreeKernel*> all_kernels() {
  const auto here = tree_kernels();
  std::vector<const TreeKernel*> all(here.begin(), here.end());
  all.push_back(&wide::kKernel);
  return all;
}

std::vector<std::uint16_t> depths_of(const TreeSet& trees) {
  std::vector<std::uint16_t> depths;
  for (std::size_t i = 0; i < trees.trees(); ++i)
    depths.push_back(static_cast<std::uint16_t>(trees.depth(i)));
  return depths;
}

// What add_leaves must give, to the last bit: one row, one tree after the other.
template <class Sum>
std::vector<Sum> plain_sums(const TreeSet& trees, const std::vector<float>& rows, std::size_t count,
                            std::span<const std::uint32_t> groups, std::size_t outputs) {
  std::vector<Sum> sums(count * outputs);
  for (std::size_t row = 0; row < count; ++row) {
    for (std::size_t tree = 0; tree < trees.trees(); ++tree) {
      const auto leaf = plain_walk(trees, tree, &rows[row * trees.inputs()]);
      Sum* to = &sums[row * outputs];
      if (trees.width() == 1) {
        to[groups.empty() ? 0 : groups[tree]] += static_cast<Sum>(trees.value(leaf, 0));
      } else {
        for (std::size_t i = 0; i < trees.width(); ++i) to[i] += static_cast<Sum>(trees.value(leaf, i));
      }
    }
  }
  return sums;
}

template <class Sum>
bool same_bits(const std::vector<Sum>& a, const std::vector<Sum>& b) {
  using Bits = std::conditional_t<sizeof(Sum) == 4, std::uint32_t, std::uint64_t>;
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](Sum x, Sum y) { return std::bit_cast<Bits>(x) == std::bit_cast<Bits>(y); });
}

// Every kernel, in every form, for one row, few and many, alone and together.
template <class Sum>
void expect_plain_sums(const TreeSet& trees, const std::vector<float>& rows, std::size_t count,
                       std::span<const std::uint32_t> groups, std::size_t outputs) {
  const auto plain = plain_sums<Sum>(trees, rows, count, groups, outputs);
  for (const TreeKernel* kernel : all_kernels()) {
    const RankedTrees ranked(trees.parts(), depths_of(trees), *kernel);
    for (const std::size_t size : {count, std::size_t{1}, std::size_t{5}, std::size_t{37}}) {
      std::vector<Sum> sums(count * outputs);
      for (std::size_t first = 0; first < count; first += size) {
        ranked.add(trees.parts(), &rows[first * trees.inputs()], std::min(size, count - first), groups,
                   outputs, &sums[first * outputs]);
      }
      ASSERT_TRUE(same_bits(sums, plain)) << ranked.describe() << ", " << size << " rows at once";
    }
  }
}

TEST(TreeKernel, EveryKernelAddsWhatThePlainWalkerFinds) {
  std::set<RankedTrees::Form> seen;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    const std::size_t inputs = 1 + seed % 9, count = seed % 5 == 0 ? 300 : 1 + seed * 7 % 64;
    const std::size_t width = seed % 4 == 3 ? 3 : 1;
    const std::size_t nodes_max = seed % 3 == 0 ? 2001 : seed % 3 == 1 ? 7 : 61;
    const std::uint64_t different = seed % 7 < 3 ? 100000 : 41;
    const std::size_t number = nodes_max == 7 ? 700 : 83;
    auto drawn = draw_trees(seed, number, inputs, nodes_max, width, seed % 2 == 0, different);
    if (seed % 5 == 2) testing::widen_leaves(drawn.parts);
    const auto rows = draw_rows(seed, drawn.thresholds, count, inputs, true);
    const auto trees = TreeSet::make(std::move(drawn.parts));
    ASSERT_TRUE(trees) << trees.error().message;
    seen.insert(RankedTrees(trees->parts(), depths_of(*trees)).form);
    std::vector<std::uint32_t> groups;
    if (width == 1 && seed % 2 == 1) {
      for (std::uint32_t i = 0; i < trees->trees(); ++i) groups.push_back(i % 3);
    }
    const std::size_t outputs = groups.empty() ? width : 3;
    expect_plain_sums<double>(*trees, rows, count, groups, outputs);
    expect_plain_sums<float>(*trees, rows, count, groups, outputs);
  }
  using Form = RankedTrees::Form;
  EXPECT_THAT(seen, ::testing::ElementsAre(Form::full8, Form::full16, Form::narrow, Form::plain));
}

// Every depth that a full tree can have, every leaf of it, and rows on and beside every threshold.
TEST(TreeKernel, FullTreesOfEveryDepth) {
  for (std::size_t depth = 0; depth <= kFullDepthMax; ++depth) {
    const std::size_t inner = (std::size_t{1} << depth) - 1;
    std::vector<Node> nodes;
    std::vector<float> values;
    // Splits the numbers from 0 to 2^depth into single ones.
    for (std::size_t i = 0; i < 2 * inner + 1; ++i) {
      const auto level = static_cast<std::size_t>(std::bit_width(i + 1) - 1);
      const std::size_t place = i + 1 - (std::size_t{1} << level), span = std::size_t{1} << (depth - level);
      if (i < inner) {
        nodes.push_back(Node::inner(static_cast<float>(place * span + span / 2), 0, 2 * i + 1));
      } else {
        nodes.push_back(Node::leaf(i, values.size()));
        values.push_back(static_cast<float>(values.size()));
      }
    }
    TreeSet::Parts parts;
    parts.inputs = 1;
    parts.roots = std::vector<std::uint32_t>{0, static_cast<std::uint32_t>(nodes.size())};
    parts.nodes = std::move(nodes);
    parts.leaves = std::move(values);
    const auto trees = TreeSet::make(std::move(parts));
    ASSERT_TRUE(trees);
    ASSERT_EQ(RankedTrees(trees->parts(), depths_of(*trees)).form, RankedTrees::Form::full8);
    std::vector<float> rows = {std::numeric_limits<float>::quiet_NaN(), -0.0f};
    for (std::size_t i = 0; i <= inner + 1; ++i) {
      const auto at = static_cast<float>(i);
      rows.insert(rows.end(), {at, std::nextafter(at, -1.0f), std::nextafter(at, 1e9f)});
    }
    expect_plain_sums<float>(*trees, rows, rows.size(), {}, 1);
  }
}

// Trees whose cuts together ask for 16 bits, and those of either half for 8: two lots, and the sums of a row
// are still added tree after tree.
TEST(TreeKernel, TreesInLots) {
  constexpr std::size_t kTrees = 30, kDepth = 6, kInner = (1 << kDepth) - 1, kInputs = 2;
  Random random(7);
  std::vector<Node> nodes;
  std::vector<std::uint32_t> roots = {0};
  for (std::size_t tree = 0; tree < kTrees; ++tree) {
    for (std::size_t i = 0; i < 2 * kInner + 1; ++i) {
      nodes.push_back(i < kInner ? Node::inner(static_cast<float>(random.below(300)) / 7,
                                               random.below(kInputs), 2 * i + 1)
                                 : Node::leaf(i, random.below(50)));
    }
    roots.push_back(static_cast<std::uint32_t>(nodes.size()));
  }
  std::vector<float> rows(1001 * kInputs);
  for (float& value : rows) value = static_cast<float>(random.below(3000)) / 70;
  for (const bool wide : {false, true}) {
    TreeSet::Parts parts;
    parts.inputs = kInputs;
    parts.nodes = nodes;
    parts.roots = roots;
    std::vector<float> leaves(50);
    for (std::size_t i = 0; i < leaves.size(); ++i) leaves[i] = 1 / static_cast<float>(i + 3);
    parts.leaves = std::move(leaves);
    if (wide) testing::widen_leaves(parts);
    const auto trees = TreeSet::make(std::move(parts));
    ASSERT_TRUE(trees) << trees.error().message;
    EXPECT_EQ(RankedTrees(trees->parts(), depths_of(*trees)).form, RankedTrees::Form::full16);
    const auto lots = rank_in_lots(trees->parts(), depths_of(*trees));
    ASSERT_EQ(lots.size(), 2u);
    EXPECT_EQ(lots[1]->form, RankedTrees::Form::full8);
    EXPECT_EQ(lots[1]->first, kTrees / 2);
    std::vector<std::uint32_t> groups;
    for (std::uint32_t i = 0; i < kTrees; ++i) groups.push_back(i % 3);
    for (const std::size_t count : {1, 5, 1001}) {
      std::vector<double> sums(count), grouped(3 * count);
      trees->add_leaves(rows.data(), count, {}, 1, sums.data());
      EXPECT_TRUE(same_bits(sums, plain_sums<double>(*trees, rows, count, {}, 1)));
      trees->add_leaves(rows.data(), count, groups, 3, grouped.data());
      EXPECT_TRUE(same_bits(grouped, plain_sums<double>(*trees, rows, count, groups, 3)));
    }
  }
}

// Shallow trees whose cuts have no number of 16 bits are walked as they are.
TEST(TreeKernel, MoreThresholdsThanSixteenBitsHold) {
  auto drawn = draw_trees(5, 60, 1, 4001, 1, true, 10000000);
  const auto rows = draw_rows(5, drawn.thresholds, 200, 1, true);
  const auto trees = TreeSet::make(std::move(drawn.parts));
  ASSERT_EQ(RankedTrees(trees->parts(), depths_of(*trees)).form, RankedTrees::Form::plain);
  expect_plain_sums<double>(*trees, rows, 200, {}, 1);
}

TEST(TreeKernel, MoreColumnsThanTheStackHolds) {
  for (const auto& [number, nodes_max, different] :
       {std::tuple<std::size_t, std::size_t, std::uint64_t>{3000, 7, 41}, {300, 61, 100000}}) {
    auto drawn = draw_trees(6, number, Node::kFeaturesMax, nodes_max, 1, true, different);
    const auto rows = draw_rows(6, drawn.thresholds, 70, Node::kFeaturesMax, true);
    const auto trees = TreeSet::make(std::move(drawn.parts));
    const RankedTrees ranked(trees->parts(), depths_of(*trees));
    if (nodes_max == 7) {
      ASSERT_GT(ranked.columns.size(), 1024u);
    } else {
      ASSERT_EQ(ranked.form, RankedTrees::Form::plain);
    }
    expect_plain_sums<double>(*trees, rows, 70, {}, 1);
  }
}

TEST(TreeKernel, NoTreesAddNothing) {
  TreeSet::Parts parts;
  parts.inputs = 2;
  parts.roots = std::vector<std::uint32_t>{0};
  const auto trees = TreeSet::make(std::move(parts));
  ASSERT_TRUE(trees);
  expect_plain_sums<double>(*trees, std::vector<float>(20, 1.0f), 10, {}, 1);
}

// The rank is the number of cuts below, whatever their number: one block, whole layers, one more.
TEST(TreeKernel, RanksCountTheCutsBelow) {
  Random random(9);
  for (const std::size_t size : {1u, 2u, 15u, 16u, 17u, 255u, 256u, 257u, 4095u, 4096u, 4097u, 65535u}) {
    std::set<float> drawn = {-std::numeric_limits<float>::infinity(), std::numeric_limits<float>::infinity()};
    while (drawn.size() < size) drawn.insert(static_cast<float>(random.unit() * 20 - 10));
    while (drawn.size() > size) drawn.erase(drawn.begin());
    const std::vector<float> cuts(drawn.begin(), drawn.end());
    // A tree for every cut.
    std::vector<Node> nodes;
    std::vector<std::uint32_t> roots = {0};
    for (const float cut : cuts) {
      nodes.insert(nodes.end(), {Node::inner(cut, 0, 1), Node::leaf(1, 0), Node::leaf(2, 0)});
      roots.push_back(static_cast<std::uint32_t>(nodes.size()));
    }
    TreeSet::Parts parts;
    parts.inputs = 1;
    parts.roots = std::move(roots);
    parts.nodes = std::move(nodes);
    parts.leaves = std::vector<float>{0};
    std::vector<float> asked = {std::numeric_limits<float>::quiet_NaN(), 0.0f, -0.0f,
                                std::numeric_limits<float>::infinity(),
                                -std::numeric_limits<float>::infinity()};
    for (int i = 0; i < 2000; ++i) {
      const float cut = cuts[random.below(size)];
      asked.insert(asked.end(), {cut, std::nextafter(cut, -100.0f), std::nextafter(cut, 100.0f)});
    }
    const std::vector<std::uint16_t> depths(size, 1);
    for (const TreeKernel* kernel : all_kernels()) {
      const RankedTrees ranked(parts, depths, *kernel);
      ASSERT_EQ(ranked.columns.size(), 1u);
      std::vector<std::uint16_t> ranks(asked.size());
      kernel->rank16({ranked.columns, ranked.cut_table(), asked.data(), 1, asked.size(), 1}, 0, ranks.data());
      for (std::size_t i = 0; i < asked.size(); ++i) {
        const auto below = std::lower_bound(cuts.begin(), cuts.end(), asked[i]) - cuts.begin();
        const std::size_t expected = std::isnan(asked[i]) ? 0 : static_cast<std::size_t>(below);
        ASSERT_EQ(ranks[i], expected) << kernel->name << ": " << asked[i] << " among " << size;
      }
    }
  }
}

}  // namespace
}  // namespace nidus::model::internal
