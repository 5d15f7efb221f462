#include "interop/internal/tree_builder.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/text.h"

namespace nidus::interop::internal {
namespace {

// A tree with sets of categories is written out, nodes below repeated, up to this many times its size.
constexpr double kRepeatedMost = 8;

Error broken(std::size_t node, const std::string& what) {
  return {Errc::corrupt, "node " + with_thousands(node) + ": " + what};
}

// Nodes in an order with children behind parents; each has one parent.
Result<std::vector<std::uint32_t>> ordered(const ForeignTree& tree) {
  if (tree.nodes.empty()) return Error{Errc::corrupt, "a tree without nodes"};
  if (tree.nodes.size() > model::Node::kNodesMax)
    return Error{Errc::unsupported, "more than " + with_thousands(model::Node::kNodesMax) + " nodes"};
  std::vector<std::uint32_t> order = {0};
  std::vector<bool> seen(tree.nodes.size());
  seen[0] = true;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const auto& node = tree.nodes[order[i]];
    if (node.left < 0 && node.right < 0) continue;
    for (const std::int64_t child : {node.left, node.right}) {
      if (child < 0 || static_cast<std::uint64_t>(child) >= tree.nodes.size())
        return broken(order[i],
                      "child " + std::to_string(child) + " of " + with_thousands(tree.nodes.size()));
      const auto at = static_cast<std::uint32_t>(child);
      if (seen[at]) return broken(order[i], "child " + std::to_string(child) + " has another parent");
      seen[at] = true;
      order.push_back(at);
    }
  }
  return order;
}

}  // namespace

// One tree on its way in.
class TreeBuilder::Grafting {
 public:
  Grafting(TreeBuilder& to, const ForeignTree& tree) : to_(to), tree_(tree), root_(to.nodes_.size()) {}

  Result<void> run() {
    const auto order = ordered(tree_);
    if (!order) return order.error();
    if (auto good = decide_sharing(*order); !good) return good;
    to_.nodes_.emplace_back();
    to_.weights_.push_back(0);
    tasks_.push_back({0, 0, 1});
    for (std::size_t i = 0; i < tasks_.size(); ++i) {
      if (to_.nodes_.size() - root_ > model::Node::kNodesMax)
        return Error{Errc::unsupported, "more than " + with_thousands(model::Node::kNodesMax) + " nodes"};
      place(Task(tasks_[i]));
    }
    to_.roots_.push_back(static_cast<std::uint32_t>(to_.nodes_.size()));
    return {};
  }

 private:
  using Source = ForeignTree::Node;
  // A source node and where it goes, with the share of its weight that comes there.
  struct Task {
    std::uint32_t target, source;
    float share;
  };

  std::size_t cuts_of(const Source& node) const { return node.cuts_end - node.cuts_begin; }
  static bool is_leaf(const Source& node) { return node.left < 0; }

  Result<void> decide_sharing(std::span<const std::uint32_t> order) {
    std::vector<double> sizes(tree_.nodes.size(), 1);
    double shared = 0;
    for (std::size_t i = order.size(); i-- > 0;) {
      const Source& node = tree_.nodes[order[i]];
      if (is_leaf(node)) {
        if (node.leaf == ForeignTree::kNoValue) return broken(order[i], "the value of a leaf is not finite");
        continue;
      }
      if (node.cuts_begin > node.cuts_end || node.cuts_end > tree_.cuts.size() ||
          std::any_of(tree_.cuts.begin() + node.cuts_begin, tree_.cuts.begin() + node.cuts_end,
                      [](float cut) { return std::isnan(cut); }))
        return broken(order[i], "cuts that are none");
      if (node.feature >= model::Node::kFeaturesMax)
        return Error{Errc::unsupported, "node " + with_thousands(order[i]) + ": column " +
                                            std::to_string(node.feature) + ", trees take " +
                                            with_thousands(model::Node::kFeaturesMax)};
      const auto cuts = static_cast<double>(std::max<std::size_t>(cuts_of(node), 1));
      const double first = std::floor(cuts / 2) + 1, second = cuts + 1 - first;
      const auto& [a, b] =
          node.first_left ? std::pair(node.left, node.right) : std::pair(node.right, node.left);
      sizes[order[i]] =
          cuts + first * sizes[static_cast<std::size_t>(a)] + second * sizes[static_cast<std::size_t>(b)];
      shared += 2 * cuts;
    }
    const double most = std::max(kRepeatedMost * static_cast<double>(order.size()), 64.0);
    if (sizes[0] <= most) return {};
    if (to_.nodes_.size() + static_cast<std::size_t>(shared) > 0x7fffffff)
      return Error{Errc::unsupported, "more than 2^31 nodes"};
    first_.assign(tree_.nodes.size(), kNowhere);
    to_.has_weights_ = false;
    return {};
  }

  void place(Task task) {
    const Source& node = tree_.nodes[task.source];
    auto& target = to_.nodes_[root_ + task.target];
    to_.weights_[root_ + task.target] = node.weight * task.share;
    if (is_leaf(node)) {
      target = model::Node::leaf(task.target, node.leaf);
      return;
    }
    if (!first_.empty()) {
      // A shared node is a copy that has the same children.
      if (const std::uint32_t first = first_[task.source]; first != kNowhere) {
        target = to_.nodes_[root_ + first];
        if (missing_right_root_[task.source]) to_.missing_right_.push_back(root_ + task.target);
        return;
      }
      first_[task.source] = task.target;
      missing_right_root_.resize(tree_.nodes.size());
    }
    const std::size_t before = to_.missing_right_.size();
    const std::size_t slots = std::max<std::size_t>(cuts_of(node), 1) + 1;
    split(task, node, task.target, 0, slots);
    if (!first_.empty()) {
      missing_right_root_[task.source] =
          to_.missing_right_.size() > before && to_.missing_right_[before] == root_ + task.target;
    }
  }

  bool goes_left(const Source& node, std::size_t slot) const { return (slot % 2 == 0) == node.first_left; }

  // The nodes that tell apart slots [begin, end): those between the cuts. All are placed before anything
  // below them is, so what is shared stands behind all of its parents.
  void split(const Task& task, const Source& node, std::uint32_t target, std::size_t begin, std::size_t end) {
    if (end - begin == 1) {
      const bool left = goes_left(node, begin);
      const std::size_t slots = std::max<std::size_t>(cuts_of(node), 1) + 1;
      const std::size_t alike = (slots + (left == node.first_left ? 1 : 0)) / 2;
      const auto child = static_cast<std::uint32_t>(left ? node.left : node.right);
      const float share = task.share / static_cast<float>(alike);
      to_.weights_[root_ + target] = tree_.nodes[child].weight * share;
      tasks_.push_back({target, child, share});
      return;
    }
    const std::size_t middle = (begin + end) / 2;
    const auto left = static_cast<std::uint32_t>(to_.nodes_.size() - root_);
    to_.nodes_.resize(to_.nodes_.size() + 2);
    to_.weights_.resize(to_.nodes_.size());
    const float cut = cuts_of(node) == 0 ? std::numeric_limits<float>::infinity()
                                         : tree_.cuts[node.cuts_begin + middle - 1];
    to_.nodes_[root_ + target] = model::Node::inner(cut, node.feature, left);
    const std::size_t missing = node.missing_left == node.first_left ? 0 : 1;
    if (missing >= middle) to_.missing_right_.push_back(root_ + target);
    split(task, node, left, begin, middle);
    split(task, node, left + 1, middle, end);
    if (target != task.target)
      to_.weights_[root_ + target] = to_.weights_[root_ + left] + to_.weights_[root_ + left + 1];
  }

  static constexpr std::uint32_t kNowhere = 0xffffffff;

  TreeBuilder& to_;
  const ForeignTree& tree_;
  std::size_t root_;
  std::vector<Task> tasks_;
  std::vector<std::uint32_t> first_;      // if nodes are shared: by source, where it stands first
  std::vector<bool> missing_right_root_;  // and whether its bit is set there
};

std::uint32_t TreeBuilder::number_of(std::string_view bytes, std::size_t next) {
  return leaf_numbers_.try_emplace(std::string(bytes), static_cast<std::uint32_t>(next)).first->second;
}

std::uint32_t TreeBuilder::leaf(float value) {
  const auto number = number_of({reinterpret_cast<const char*>(&value), sizeof value}, leaves_.size());
  if (number == leaves_.size()) leaves_.push_back(value);
  return number;
}

std::uint32_t TreeBuilder::leaf(double value) { return leaf(std::span<const double>(&value, 1)); }

std::uint32_t TreeBuilder::leaf(std::span<const double> values) {
  width_ = values.size();
  const std::size_t next = wide_leaves_.size() / width_;
  const auto number = number_of({reinterpret_cast<const char*>(values.data()), values.size_bytes()}, next);
  if (number == next) wide_leaves_.insert(wide_leaves_.end(), values.begin(), values.end());
  return number;
}

Result<void> TreeBuilder::add(const ForeignTree& tree) { return Grafting(*this, tree).run(); }

Result<model::TreeSet> TreeBuilder::finish(std::size_t inputs) && {
  model::TreeSet::Parts parts;
  parts.inputs = inputs;
  parts.width = width_;
  if (!missing_right_.empty()) {
    std::vector<std::uint64_t> bits((nodes_.size() + 63) / 64);
    for (const auto node : missing_right_) bits[node / 64] |= std::uint64_t{1} << (node % 64);
    parts.missing_right = std::move(bits);
  }
  // Somebody's weights may be anything.
  if (has_weights_ && std::all_of(weights_.begin(), weights_.end(),
                                  [](float weight) { return weight >= 0 && weight < 1e30f; }))
    parts.covers = model::TreeSet::pack_covers(nodes_, roots_, weights_);
  parts.nodes = std::move(nodes_);
  parts.roots = std::move(roots_);
  parts.leaves = std::move(leaves_);
  parts.wide_leaves = std::move(wide_leaves_);
  return model::TreeSet::make(std::move(parts));
}

}  // namespace nidus::interop::internal
