#include "model/trees.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <array>

#include "model/testing.h"

namespace nidus::model {
namespace {

using testing::draw_rows;
using testing::draw_trees;
using ::testing::HasSubstr;
using testing::plain_walk;

TreeSet::Parts stump() {
  TreeSet::Parts parts;
  parts.inputs = 2;
  parts.nodes = std::vector<Node>{Node::inner(1.5f, 1, 1), Node::leaf(1, 0), Node::leaf(2, 1)};
  parts.roots = std::vector<std::uint32_t>{0, 3};
  parts.leaves = std::vector<float>{0.25f, 0.75f};
  return parts;
}

std::string refusal(TreeSet::Parts parts) {
  const auto made = TreeSet::make(std::move(parts));
  EXPECT_FALSE(made);
  return made ? "" : made.error().message;
}

TEST(Trees, AStumpSendsEqualAndMissingLeft) {
  const auto trees = TreeSet::make(stump());
  ASSERT_TRUE(trees);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::array<float, 8> rows = {0, 1.5f, 0, 1.6f, 0, nan, 9, -9};
  std::array<std::uint32_t, 4> leaves;
  trees->walk(0, rows.data(), 4, leaves.data());
  EXPECT_THAT(leaves, ::testing::ElementsAre(0, 1, 0, 0));
  EXPECT_EQ(trees->depth(0), 1u);
}

TEST(Trees, AWalkEndsWhereThePlainWalkerDoes) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const std::size_t inputs = 1 + seed % 9, count = 1 + seed * 7 % 64;
    auto drawn = draw_trees(seed, 37, inputs, seed % 3 == 0 ? 4001 : 61, 1, seed % 2 == 0);
    const auto rows = draw_rows(seed, drawn.thresholds, count, inputs, true);
    const auto trees = TreeSet::make(std::move(drawn.parts));
    ASSERT_TRUE(trees) << trees.error().message;
    std::vector<std::uint32_t> leaves(count);
    for (std::size_t tree = 0; tree < trees->trees(); ++tree) {
      trees->walk(tree, rows.data(), count, leaves.data());
      for (std::size_t row = 0; row < count; ++row) {
        ASSERT_EQ(leaves[row], plain_walk(*trees, tree, &rows[row * inputs]))
            << seed << " " << tree << " " << row;
      }
    }
  }
}

// Pairs of leaves that several nodes share: the same leaves for every row, in fewer nodes, and given back the
// same tree.
TEST(Trees, SharedLeavesAreThoseOfBefore) {
  std::size_t saved = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const std::size_t inputs = 1 + seed % 9, count = 64;
    auto drawn = draw_trees(seed, 37, inputs, seed % 3 == 0 ? 4001 : 61, 1, seed % 2 == 0);
    const auto rows = draw_rows(seed, drawn.thresholds, count, inputs, true);
    const auto before = TreeSet::make(drawn.parts);
    ASSERT_TRUE(before);
    std::vector<Node> nodes(drawn.parts.nodes.begin(), drawn.parts.nodes.end());
    std::vector<std::uint32_t> roots(drawn.parts.roots.begin(), drawn.parts.roots.end());
    std::vector<std::uint64_t> missing(drawn.parts.missing_right.begin(), drawn.parts.missing_right.end());
    TreeSet::share_leaves(nodes, roots, missing);
    drawn.parts.nodes = std::move(nodes);
    drawn.parts.roots = std::move(roots);
    drawn.parts.missing_right = std::move(missing);
    const auto after = TreeSet::make(std::move(drawn.parts));
    ASSERT_TRUE(after) << after.error().message;
    saved += before->nodes() - after->nodes();
    std::vector<std::uint32_t> wanted(count), got(count);
    for (std::size_t tree = 0; tree < before->trees(); ++tree) {
      ASSERT_EQ(after->depth(tree), before->depth(tree));
      ASSERT_EQ(after->tree_unshared(tree).size(), before->tree(tree).size()) << seed << " " << tree;
      before->walk(tree, rows.data(), count, wanted.data());
      after->walk(tree, rows.data(), count, got.data());
      ASSERT_EQ(got, wanted) << seed << " " << tree;
    }
    std::vector<double> sums(count), shared_sums(count);
    before->add_leaves(rows.data(), count, {}, 1, sums.data());
    after->add_leaves(rows.data(), count, {}, 1, shared_sums.data());
    ASSERT_EQ(shared_sums, sums) << seed;
  }
  EXPECT_GT(saved, 1000u);
}

TEST(Trees, TheDepthIsThatOfTheDeepestLeaf) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto trees = TreeSet::make(draw_trees(seed, 7, 3, seed % 2 == 0 ? 401 : 15, 1, false).parts);
    ASSERT_TRUE(trees);
    for (std::size_t tree = 0; tree < trees->trees(); ++tree) {
      const auto nodes = trees->tree(tree);
      std::vector<std::size_t> depths(nodes.size());
      for (std::size_t i = 0; i < nodes.size(); ++i) {
        if (!nodes[i].is_leaf()) depths[nodes[i].left()] = depths[nodes[i].left() + 1] = depths[i] + 1;
      }
      ASSERT_EQ(trees->depth(tree), *std::max_element(depths.begin(), depths.end())) << seed << " " << tree;
    }
  }
}

TEST(Trees, AChainDeeperThanTheLimitIsRefused) {
  const auto chain = [](std::size_t depth) {
    std::vector<Node> nodes;
    for (std::size_t i = 0; i < depth; ++i) {
      nodes.push_back(Node::inner(0, 0, 2 * i + 1));
      nodes.push_back(Node::leaf(2 * i + 1, 0));
    }
    nodes.push_back(Node::leaf(2 * depth, 0));
    TreeSet::Parts parts;
    parts.inputs = 1;
    parts.roots = std::vector<std::uint32_t>{0, static_cast<std::uint32_t>(nodes.size())};
    parts.nodes = std::move(nodes);
    parts.leaves = std::vector<float>{0};
    return parts;
  };
  const auto deepest = TreeSet::make(chain(65535));
  ASSERT_TRUE(deepest);
  EXPECT_EQ(deepest->depth(0), 65535u);
  EXPECT_THAT(refusal(chain(65536)), HasSubstr("tree 0: too deep"));
}

TEST(Trees, ATreeOfOneLeafIsATree) {
  TreeSet::Parts parts;
  parts.inputs = 1;
  parts.nodes = std::vector<Node>{Node::leaf(0, 0)};
  parts.roots = std::vector<std::uint32_t>{0, 1};
  parts.leaves = std::vector<float>{0.5f};
  const auto trees = TreeSet::make(std::move(parts));
  ASSERT_TRUE(trees);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::uint32_t leaf = 7;
  trees->walk(0, &nan, 1, &leaf);
  EXPECT_EQ(leaf, 0u);
}

TEST(Trees, IndicesThatLeadOutAreRefusedByName) {
  const auto with_node = [](std::size_t index, Node node) {
    auto parts = stump();
    std::vector<Node> nodes(parts.nodes.begin(), parts.nodes.end());
    nodes[index] = node;
    parts.nodes = std::move(nodes);
    return parts;
  };
  EXPECT_THAT(refusal(with_node(0, Node::inner(0, 0, 2))), HasSubstr("tree 0: node 0: child 2 of 3"));
  EXPECT_THAT(refusal(with_node(0, Node::inner(0, 0, 0))), HasSubstr("child 0 of 3"));
  EXPECT_THAT(refusal(with_node(0, Node::inner(0, 2, 1))), HasSubstr("feature 2 of 2"));
  EXPECT_THAT(refusal(with_node(2, Node::leaf(2, 2))), HasSubstr("leaf 2 of 2"));
  EXPECT_THAT(refusal(with_node(2, Node::leaf(1, 0))),
              HasSubstr("node 2: a leaf that is not written as one"));
  EXPECT_THAT(refusal(with_node(0, {0x7f800001u, 1u << 10})), HasSubstr("not a number"));
  auto parts = stump();
  parts.roots = std::vector<std::uint32_t>{0, 2};
  EXPECT_THAT(refusal(parts), HasSubstr("roots"));
  parts = stump();
  parts.roots = std::vector<std::uint32_t>{0, 5, 3};
  EXPECT_THAT(refusal(parts), HasSubstr("tree 0: nodes 0 to 5 of 3"));
  parts = stump();
  parts.leaves = std::vector<float>{0, std::numeric_limits<float>::infinity()};
  EXPECT_THAT(refusal(parts), HasSubstr("not finite"));
  parts = stump();
  parts.inputs = Node::kFeaturesMax + 1;
  EXPECT_THAT(refusal(parts), HasSubstr("1025 inputs"));
}

}  // namespace
}  // namespace nidus::model
