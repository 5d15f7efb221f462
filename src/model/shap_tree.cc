#include "model/internal/shap_tree.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>

#include "base/check.h"

namespace nidus::model::internal {
namespace {

constexpr std::size_t kDoublesMax = std::size_t{1} << 27;

// Gauss and Legendre's rule on [0, 1]. The points are the roots of the Legendre polynomial of this degree,
// found by Newton's method from Tricomi's estimate; weights as in Abramowitz and Stegun, 25.4.29.
ShapRule gauss_legendre(std::size_t points) {
  ShapRule rule;
  rule.points = points;
  rule.chances.resize(4 * points);
  std::fill_n(rule.chances.begin() + static_cast<std::ptrdiff_t>(3 * points), points, 1.0);
  for (std::size_t i = 0; i < points; ++i) {
    const auto n = static_cast<double>(points);
    double x = std::cos(std::numbers::pi * (static_cast<double>(i) + 0.75) / (n + 0.5));
    double slope = 0;
    for (int round = 0; round < 100; ++round) {
      double before = 1, at = x;
      for (std::size_t k = 2; k <= points; ++k) {
        const auto degree = static_cast<double>(k);
        const double next = ((2 * degree - 1) * x * at - (degree - 1) * before) / degree;
        before = at;
        at = next;
      }
      slope = n * (x * at - before) / (x * x - 1);
      const double step = at / slope;
      x -= step;
      if (std::abs(step) < 1e-15) break;
    }
    rule.chances[i] = (1 + x) / 2;
    rule.chances[points + i] = (1 - x) / 2;
    rule.weights.push_back(1 / ((1 - x * x) * slope * slope));
  }
  return rule;
}

// Walks a tree depth first and knows which players split on the way.
class Builder {
 public:
  Builder(const TreeSet& trees, std::span<const std::uint32_t> players) : trees_(trees), players_(players) {
    const auto highest = players.empty() ? 0 : *std::max_element(players.begin(), players.end());
    last_.assign(highest + std::size_t{1}, 0);
  }

  // `covers` begins at those of the tree and is moved behind them.
  Result<ShapTree> build(std::size_t index, std::span<const float>& covers, ShapRules& rules) {
    const auto nodes = trees_.tree_unshared(index);
    if (auto good = check(index, nodes); !good) return std::move(good).error();
    ShapTree tree;
    tree.weight = static_cast<double>(covers[0]);
    covers = covers.subspan(1);
    // Shares stand in the order of the nodes, steps will stand depth first.
    shares_.assign(nodes.size(), 0);
    std::size_t inner = 0;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      if (!nodes[i].is_leaf()) shares_[i] = covers[inner++];
    }
    covers = covers.subspan(inner);
    leaves_ = nodes.size() - inner;
    path_players_ = players_max_ = 0;
    walk(index, nodes, tree);
    tree.rule = rules.rule_for(players_max_);
    const std::size_t points = tree.points();
    std::size_t repeated = 0;
    for (auto& step : tree.steps) {
      if (step.again != 0) step.inverse = static_cast<std::uint32_t>(points * ++repeated);
    }
    if ((nodes.size() + inner + repeated) * points > kDoublesMax) {
      return Error{Errc::exhausted, "tree " + std::to_string(index) + " is too large to be explained: " +
                                        std::to_string(nodes.size()) + " nodes with up to " +
                                        std::to_string(players_max_) + " columns on a path"};
    }
    tree.inverses.reserve(points * (repeated + 1));
    tree.inverses.assign(points, 1.0);
    for (const auto& step : tree.steps) {
      if (step.again == 0) continue;
      for (std::size_t i = 0; i < points; ++i) {
        tree.inverses.push_back(1 / (tree.rule->chances[i] + tree.rule->chances[points + i] * step.passed));
      }
    }
    return tree;
  }

 private:
  struct Visit {
    std::uint32_t node;
    std::uint32_t parent;  // one more than the step, 0 at the root
    bool right;
    bool leave;            // the way back up
    std::uint32_t before;  // leave: what stood in last_ for the player
  };

  // The format promises children behind their parents, but not that each has one parent. Leaves that several
  // have were given back to each.
  Result<void> check(std::size_t index, std::span<const Node> nodes) {
    std::vector<bool> has_parent(nodes.size());
    std::size_t children = 0;
    for (const Node node : nodes) {
      if (node.is_leaf()) continue;
      for (const std::size_t child : {node.left(), node.left() + 1}) {
        if (has_parent[child]) {
          return Error{Errc::corrupt, "tree " + std::to_string(index) + ": node " + std::to_string(child) +
                                          " has two parents"};
        }
        has_parent[child] = true;
        ++children;
      }
    }
    if (children + 1 != nodes.size())
      return Error{Errc::corrupt, "tree " + std::to_string(index) + ": a node without parent"};
    return {};
  }

  void walk(std::size_t index, std::span<const Node> nodes, ShapTree& tree) {
    std::vector<Visit> open = {{0, 0, false, false, 0}};
    while (!open.empty()) {
      const Visit visit = open.back();
      open.pop_back();
      if (visit.leave) {
        const ShapStep& step = tree.steps[visit.node];
        last_[step.player] = visit.before;
        if (visit.before == 0) --path_players_;
        continue;
      }
      const Node node = nodes[visit.node];
      std::uint32_t slot = 0;
      if (node.is_leaf()) {
        slot = static_cast<std::uint32_t>(tree.leaves.size());
        tree.leaves.push_back(static_cast<std::uint32_t>(node.leaf_number()));
      } else {
        slot = static_cast<std::uint32_t>(leaves_ + tree.steps.size());
      }
      if (visit.parent != 0) {
        tree.steps[visit.parent - 1].child[visit.right ? 1 : 0] = slot;
        side_[visit.parent - 1] = visit.right ? 1 : 0;
      }
      if (!node.is_leaf()) enter(index, visit.node, node, tree, open);
    }
  }

  void enter(std::size_t index, std::uint32_t at, Node node, ShapTree& tree, std::vector<Visit>& open) {
    const auto number = static_cast<std::uint32_t>(tree.steps.size());
    ShapStep step{};
    const auto share = static_cast<double>(shares_[at]);
    step.share[0] = std::signbit(share) ? 1 + share : share;
    step.share[1] = std::signbit(share) ? -share : 1 - share;
    step.threshold = node.threshold();
    step.feature = static_cast<std::uint16_t>(node.feature());
    const auto& missing = trees_.parts().missing_right;
    const std::size_t bit = trees_.parts().roots[index] + at;
    step.missing_right = missing.empty() ? 0 : missing[bit / 64] >> (bit % 64) & 1;
    step.player = players_[node.feature()];
    step.again = last_[step.player];
    step.passed = 1;
    if (step.again != 0) {
      const ShapStep& again = tree.steps[step.again - 1];
      step.side = side_[step.again - 1];
      step.passed = again.passed * again.share[step.side];
    } else {
      players_max_ = std::max(players_max_, ++path_players_);
    }
    last_[step.player] = number + 1;
    side_.resize(std::max<std::size_t>(side_.size(), number + std::size_t{1}));
    open.push_back({number, 0, false, true, step.again});
    const auto left = static_cast<std::uint32_t>(node.left());
    open.push_back({left + 1, number + 1, true, false, 0});
    open.push_back({left, number + 1, false, false, 0});
    tree.steps.push_back(step);
  }

  const TreeSet& trees_;
  std::span<const std::uint32_t> players_;
  std::vector<std::uint32_t> last_;  // by player: as ShapStep::again of the next step by it
  std::vector<std::uint8_t> side_;   // by step: on which side the walk is now
  std::vector<float> shares_;        // by node
  std::size_t leaves_ = 0, path_players_ = 0, players_max_ = 0;
};

}  // namespace

const ShapRule* ShapRules::rule_for(std::size_t players) {
  const std::size_t points = std::max<std::size_t>(1, (players + 7) / 8) * 4;
  for (const auto& rule : rules_) {
    if (rule->points == points) return rule.get();
  }
  return rules_.emplace_back(std::make_unique<ShapRule>(gauss_legendre(points))).get();
}

Result<std::vector<ShapTree>> shap_trees(const TreeSet& trees, std::span<const std::uint32_t> players,
                                         ShapRules& rules) {
  CHECK(players.size() == trees.inputs());
  if (trees.trees() > 0 && trees.parts().covers.empty()) {
    return Error{Errc::unsupported,
                 "the model does not know how its training rows went through its trees; training it anew "
                 "makes it one that can be explained"};
  }
  Builder builder(trees, players);
  std::span<const float> covers = trees.parts().covers.span();
  std::vector<ShapTree> out;
  for (std::size_t i = 0; i < trees.trees(); ++i) {
    auto tree = builder.build(i, covers, rules);
    if (!tree) return std::move(tree).error();
    out.push_back(std::move(*tree));
  }
  return out;
}

double mean_of(const ShapTree& tree, std::span<const double> leaf_values) {
  std::vector<double> means(tree.slots());
  for (std::size_t i = 0; i < tree.leaves.size(); ++i) means[i] = leaf_values[tree.leaves[i]];
  for (std::size_t i = tree.steps.size(); i-- > 0;) {
    const ShapStep& step = tree.steps[i];
    means[tree.leaves.size() + i] =
        step.share[0] * means[step.child[0]] + step.share[1] * means[step.child[1]];
  }
  return tree.steps.empty() ? means[0] : means[tree.leaves.size()];
}

void ShapScratch::make_room(const ShapTree& tree) {
  values.resize(std::max(values.size(), tree.slots() * tree.points()));
  chances.resize(std::max(chances.size(), tree.steps.size() * tree.points()));
  states.resize(std::max(states.size(), tree.steps.size() + 1));
}

}  // namespace nidus::model::internal
