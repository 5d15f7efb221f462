#include "interop/internal/tree_builder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "model/boost.h"
#include "model/explain.h"

namespace nidus::interop::internal {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A tree of about so many nodes, whose splits have up to `cuts_most` cuts; nodes in no order.
ForeignTree draw(std::mt19937& random, std::size_t size, std::size_t cuts_most, TreeBuilder& builder) {
  ForeignTree tree;
  tree.nodes.resize(1);
  std::vector<std::size_t> open = {0};
  while (!open.empty()) {
    const std::size_t pick = random() % open.size(), at = open[pick];
    open.erase(open.begin() + static_cast<std::ptrdiff_t>(pick));
    if (tree.nodes.size() + 2 > size) {
      tree.nodes[at].leaf = builder.leaf(static_cast<float>(random() % 1000) / 8);
      tree.nodes[at].weight = static_cast<float>(random() % 20 + 1);
      continue;
    }
    const std::size_t child = tree.nodes.size();
    tree.nodes.resize(child + 2);
    auto& node = tree.nodes[at];
    const bool turned = random() % 2 == 0;
    node.left = static_cast<std::int64_t>(turned ? child + 1 : child);
    node.right = static_cast<std::int64_t>(turned ? child : child + 1);
    node.feature = static_cast<std::uint32_t>(random() % 3);
    node.first_left = random() % 2 == 0;
    node.missing_left = random() % 2 == 0;
    std::set<float> cuts;
    for (std::size_t i = random() % (cuts_most + 1); i-- > 0;)
      cuts.insert(random() % 40 == 0 ? kInfinity : static_cast<float>(random() % 40) / 2 - 10);
    node.cuts_begin = static_cast<std::uint32_t>(tree.cuts.size());
    tree.cuts.insert(tree.cuts.end(), cuts.begin(), cuts.end());
    node.cuts_end = static_cast<std::uint32_t>(tree.cuts.size());
    open.push_back(child);
    open.push_back(child + 1);
  }
  // Weights of children add up.
  for (std::size_t i = tree.nodes.size(); i-- > 0;) {
    auto& node = tree.nodes[i];
    if (node.left >= 0)
      node.weight = tree.nodes[static_cast<std::size_t>(node.left)].weight +
                    tree.nodes[static_cast<std::size_t>(node.right)].weight;
  }
  return tree;
}

// The plain reading of what a ForeignTree says.
std::uint32_t walk(const ForeignTree& tree, std::span<const float> row) {
  std::size_t at = 0;
  while (tree.nodes[at].left >= 0) {
    const auto& node = tree.nodes[at];
    const float x = row[node.feature];
    bool left = node.first_left;
    if (std::isnan(x)) {
      left = node.missing_left;
    } else {
      for (std::size_t i = node.cuts_begin; i < node.cuts_end; ++i) {
        if (x > tree.cuts[i]) left = !left;
      }
    }
    at = static_cast<std::size_t>(left ? node.left : node.right);
  }
  return tree.nodes[at].leaf;
}

TEST(TreeBuilder, RowsEndWhereThePlainReadingSays) {
  std::mt19937 random(3);
  std::size_t shared = 0, whole = 0;
  for (const std::size_t cuts_most : {1, 2, 3, 12}) {
    for (int round = 0; round < 20; ++round) {
      TreeBuilder builder;
      std::vector<ForeignTree> trees;
      for (int i = 0; i < 4; ++i) {
        trees.push_back(draw(random, 1 + random() % 40, cuts_most, builder));
        const auto added = builder.add(trees.back());
        ASSERT_TRUE(added) << added.error().message;
      }
      const auto set = std::move(builder).finish(3);
      ASSERT_TRUE(set) << set.error().message;
      ++(set->parts().covers.empty() ? shared : whole);
      for (int row = 0; row < 200; ++row) {
        std::vector<float> x(3);
        for (float& value : x) {
          value = static_cast<float>(random() % 45) / 2 - 11;
          if (random() % 4 == 0) value = std::nextafter(value, random() % 2 == 0 ? kInfinity : -kInfinity);
          if (random() % 8 == 0) value = std::nanf("");
          if (random() % 20 == 0) value = random() % 2 == 0 ? kInfinity : -kInfinity;
        }
        double sum = 0;
        for (std::size_t i = 0; i < trees.size(); ++i) {
          std::uint32_t leaf = 0;
          set->walk(i, x.data(), 1, &leaf);
          ASSERT_EQ(leaf, walk(trees[i], x)) << "cuts " << cuts_most << ", round " << round;
          sum += set->value(leaf, 0);
        }
        double fast = 0;  // the kernels take the same way
        set->add_leaves(x.data(), 1, {}, 1, &fast);
        ASSERT_EQ(fast, sum);
      }
    }
  }
  // Both ways to write sets have been seen.
  EXPECT_GT(shared, 5u);
  EXPECT_GT(whole, 5u);
}

TEST(TreeBuilder, RepeatedNodesShareTheWeightOfTheOne) {
  // An interval of one column, and below it another column: three slots, of which two lead to the same node.
  TreeBuilder builder;
  ForeignTree tree;
  tree.nodes.resize(5);
  tree.cuts = {1, 3, 0.5f};
  tree.nodes[0] = {1, 2, 0, 0, 2, true, true, 10, 0};
  tree.nodes[1] = {3, 4, 1, 2, 3, true, true, 8, 0};
  const auto leaf = [&](float value, float weight) {
    ForeignTree::Node node;
    node.weight = weight;
    node.leaf = builder.leaf(value);
    return node;
  };
  tree.nodes[2] = leaf(5, 2);
  tree.nodes[3] = leaf(1, 6);
  tree.nodes[4] = leaf(-3, 2);
  ASSERT_TRUE(builder.add(tree));
  auto set = std::move(builder).finish(2);
  ASSERT_TRUE(set) << set.error().message;
  const auto boost = model::Boost::make(std::move(*set), std::vector<std::uint32_t>{0}, {0});
  ASSERT_TRUE(boost);
  const auto explainer =
      model::Explainer::make(std::make_shared<model::Boost>(*boost), model::Explainer::Unit::margin);
  ASSERT_TRUE(explainer) << explainer.error().message;
  // What nothing is known of: (6 × 1 - 2 × 3 + 2 × 5) / 10 = 1; a row in the interval gives 5, all of it by
  // the first column.
  std::vector<double> parts(3);
  const double one = 1;
  explainer->explain(std::vector<float>{2, 0}, 1, std::span(&one, 1), parts);
  EXPECT_NEAR(parts[2], 1, 1e-6);
  EXPECT_NEAR(parts[0] + parts[1], 4, 1e-6);
  // Known the first column alone: 5. Known the second: (8 × 1 + 2 × 5) / 10 = 1.8.
  EXPECT_NEAR(parts[0], ((5 - 1) + (5 - 1.8)) / 2, 1e-6);
}

TEST(TreeBuilder, RefusesWhatIsNoTree) {
  const auto fault = [](std::vector<ForeignTree::Node> nodes) {
    TreeBuilder builder;
    builder.leaf(1.0f);
    ForeignTree tree;
    tree.nodes = std::move(nodes);
    tree.cuts = {0};
    const auto added = builder.add(tree);
    EXPECT_FALSE(added);
    return added ? Errc::invalid : added.error().code;
  };
  ForeignTree::Node leaf, split;
  split.left = 1;
  split.right = 2;
  split.cuts_end = 1;
  EXPECT_EQ(fault({}), Errc::corrupt);
  EXPECT_EQ(fault({split, leaf}), Errc::corrupt);
  auto circle = split;
  circle.left = 0;
  EXPECT_EQ(fault({circle, leaf, leaf}), Errc::corrupt);
  auto both = split;
  both.right = 1;
  EXPECT_EQ(fault({both, leaf, leaf}), Errc::corrupt);
  auto half = split;
  half.right = -1;
  EXPECT_EQ(fault({half, leaf, leaf}), Errc::corrupt);
  auto cuts = split;
  cuts.cuts_end = 2;
  EXPECT_EQ(fault({cuts, leaf, leaf}), Errc::corrupt);
  auto wide = split;
  wide.feature = 1024;
  EXPECT_EQ(fault({wide, leaf, leaf}), Errc::unsupported);
  auto nothing = leaf;
  nothing.leaf = ForeignTree::kNoValue;
  EXPECT_EQ(fault({split, leaf, nothing}), Errc::corrupt);
}

}  // namespace
}  // namespace nidus::interop::internal
