#include "interop/internal/sklearn_tree_set.h"

#include <cmath>
#include <cstring>
#include <limits>

namespace nidus::interop::internal {

float rounded_down(double threshold) {
  auto rounded = static_cast<float>(threshold);
  if (static_cast<double>(rounded) > threshold) {
    rounded = std::nextafterf(rounded, -std::numeric_limits<float>::infinity());
  }
  return rounded;
}

Result<SklearnTree> SklearnTree::read(SklearnReader& reader, const PickleValue& estimator) {
  const PickleValue tree = estimator.find("tree_");
  if (class_of(tree) != "Tree") return corrupt_at(estimator, "an estimator without a tree");
  SklearnTree out;
  out.value = tree;
  const auto nodes = tree.find("nodes").array(), values = tree.find("values").array();
  if (!nodes || !values) return corrupt_at(tree, "a tree without nodes or values");
  if (auto good = reader.charge(tree, nodes->raw().size() + values->raw().size()); !good) {
    return std::move(good).error();
  }
  out.count = nodes->size();
  const auto said = tree.find("node_count").integer();
  if (nodes->shape().size() != 1 || out.count == 0 ||
      (said && *said != static_cast<std::int64_t>(out.count))) {
    return corrupt_at(tree,
                      "a tree of " + tree.find("node_count").describe() + " nodes with " + nodes->describe());
  }
  const auto shape = values->shape();
  const auto numbers = values->numbers();
  if (!numbers || shape.size() != 3 || shape[0] != out.count) {
    return corrupt_at(
        tree, "a tree of " + std::to_string(out.count) + " nodes whose values are " + values->describe());
  }
  if (shape[1] != 1)
    return unsupported_at(tree, "a tree of " + std::to_string(shape[1]) + " outputs; one is done");
  out.width = shape[2];
  out.values = *numbers;
  const auto take = [&](const char* name, PickleNumbers& column) {
    const auto field = nodes->field(name);
    if (field) column = *field;
    return field.has_value();
  };
  if (!take("left_child", out.left) || !take("right_child", out.right) || !take("feature", out.feature) ||
      !take("threshold", out.threshold) || !take("n_node_samples", out.samples) ||
      !take("weighted_n_node_samples", out.weight)) {
    return corrupt_at(tree, "a tree whose nodes lack a field");
  }
  out.missing_left = nodes->field("missing_go_to_left");
  return out;
}

// A forest's leaves are few different ones: the table finds those that are there already, by open addressing.
std::uint32_t TreeGatherer::leaf_number(std::span<const double> values) {
  const std::size_t count = leaves_.size() / width_;
  if (table_.size() < 2 * (count + 1)) {
    table_.assign(std::max<std::size_t>(1024, 4 * table_.size()), 0);
    for (std::size_t i = 0; i < count; ++i) {
      std::size_t at = 0;
      const double* const from = leaves_.data() + i * width_;
      for (at = hash({from, width_}) & (table_.size() - 1); table_[at] != 0;)
        at = (at + 1) & (table_.size() - 1);
      table_[at] = static_cast<std::uint32_t>(i + 1);
    }
  }
  std::size_t at = hash(values) & (table_.size() - 1);
  for (; table_[at] != 0; at = (at + 1) & (table_.size() - 1)) {
    const std::size_t known = table_[at] - 1;
    if (std::memcmp(leaves_.data() + known * width_, values.data(), width_ * 8) == 0) {
      return static_cast<std::uint32_t>(known);
    }
  }
  table_[at] = static_cast<std::uint32_t>(count + 1);
  leaves_.insert(leaves_.end(), values.begin(), values.end());
  return static_cast<std::uint32_t>(count & (model::Node::kLeavesMax - 1));
}

std::size_t TreeGatherer::hash(std::span<const double> values) {
  std::uint64_t h = 0x9e3779b97f4a7c15u;
  for (const double value : values) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, 8);
    h = (h ^ bits) * 0xff51afd7ed558ccdu;
    h ^= h >> 32;
  }
  return static_cast<std::size_t>(h);
}

Result<model::TreeSet> TreeGatherer::finish() {
  if (leaves_.size() / width_ > model::Node::kLeavesMax) {
    return Error{Errc::unsupported, "more than 4 million different leaves: limit the depth"};
  }
  model::TreeSet::Parts parts;
  parts.inputs = inputs_;
  parts.width = width_;
  roots_.push_back(static_cast<std::uint32_t>(nodes_.size()));
  bool weighed = true;
  for (const float weight : weights_) weighed &= weight >= 0 && std::isfinite(weight);
  if (weighed) parts.covers = model::TreeSet::pack_covers(nodes_, roots_, weights_);
  weights_ = {};
  if (any_missing_right_) missing_right_.resize((nodes_.size() + 63) / 64);
  model::TreeSet::share_leaves(nodes_, roots_, missing_right_);
  if (any_missing_right_) {
    parts.missing_right = std::move(missing_right_);
  }
  nodes_.shrink_to_fit();
  parts.nodes = std::move(nodes_);
  parts.roots = std::move(roots_);
  parts.wide_leaves = std::move(leaves_);
  return model::TreeSet::make(std::move(parts));
}

}  // namespace nidus::interop::internal
