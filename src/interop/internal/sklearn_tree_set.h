#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "interop/internal/sklearn_reader.h"
#include "model/trees.h"

namespace nidus::interop::internal {

// The node columns of one sklearn.tree._tree.Tree. Views of the pickle.
struct SklearnTree {
  PickleValue value;
  std::size_t count = 0, width = 0;  // nodes, and values of each
  PickleNumbers left, right, feature, threshold, samples, weight, values;
  std::optional<PickleNumbers> missing_left;

  static Result<SklearnTree> read(SklearnReader& reader, const PickleValue& estimator);
};

// Gathers trees for a TreeSet, which wants children behind their parents and side by side.
class TreeGatherer {
 public:
  // A node as others write it.
  struct Split {
    bool is_leaf = false;
    std::size_t left = 0, right = 0, feature = 0;
    float threshold = 0;  // left when x <= threshold
    bool missing_right = false;
    float weight = 0;
  };

  TreeGatherer(std::size_t inputs, std::size_t width) : inputs_(inputs), width_(width) {}

  // Where a leaf's values go: `width` places. `level` is the number of steps from the root.
  // split(node) describes node i of the tree; leaf(node, level, values) fills its values.
  template <class SplitOf, class LeafOf>
  Result<void> add(std::size_t count, SplitOf split, LeafOf leaf);

  std::size_t trees() const { return roots_.size(); }
  Result<model::TreeSet> finish();

 private:
  std::uint32_t leaf_number(std::span<const double> values);
  static std::size_t hash(std::span<const double> values);

  std::size_t inputs_, width_;
  std::vector<model::Node> nodes_;
  std::vector<std::uint32_t> roots_;
  std::vector<double> leaves_;
  std::vector<float> weights_;
  std::vector<std::uint64_t> missing_right_;
  bool any_missing_right_ = false;
  std::vector<std::uint32_t> table_;  // of leaf numbers + 1, by the hash of their values
  struct Place {
    std::uint32_t node, level;
  };
  std::vector<Place> places_;
  std::vector<double> values_;
};

template <class SplitOf, class LeafOf>
Result<void> TreeGatherer::add(std::size_t count, SplitOf split, LeafOf leaf) {
  if (count == 0) return Error{Errc::corrupt, "a tree without nodes"};
  if (nodes_.size() + count > 0x7fffffffu) return Error{Errc::exhausted, "more than 2^31 nodes"};
  roots_.push_back(static_cast<std::uint32_t>(nodes_.size()));
  const std::size_t root = nodes_.size();
  values_.resize(width_);
  places_.assign(1, {0, 0});
  // Breadth first: a node's children get the next two places.
  for (std::size_t at = 0; at < places_.size(); ++at) {
    const auto [node, level] = places_[at];
    const Split what = split(node);
    weights_.push_back(what.weight);
    if (what.is_leaf) {
      leaf(node, level, std::span(values_));
      nodes_.push_back(model::Node::leaf(at, leaf_number(values_)));
      continue;
    }
    // Writers number children after their parents, so no way through the tree comes back; that there are no
    // more places than nodes keeps two parents from sharing a child.
    if (what.left <= node || what.right <= node || what.left >= count || what.right >= count ||
        what.left == what.right || places_.size() + 2 > count) {
      return Error{Errc::corrupt, "node " + std::to_string(node) + " of " + std::to_string(count) +
                                      " has the children " + std::to_string(what.left) + " and " +
                                      std::to_string(what.right)};
    }
    if (what.feature >= inputs_ || what.threshold != what.threshold) {
      return Error{Errc::corrupt, "node " + std::to_string(node) + " splits feature " +
                                      std::to_string(what.feature) + " of " + std::to_string(inputs_)};
    }
    if (what.feature >= model::Node::kFeaturesMax || places_.size() >= model::Node::kNodesMax) {
      return Error{Errc::unsupported, "trees of more than 1,024 features or 4 million nodes"};
    }
    if (what.missing_right) {
      const std::size_t bit = root + at;
      if (missing_right_.size() <= bit / 64) missing_right_.resize(bit / 64 + 1);
      missing_right_[bit / 64] |= std::uint64_t{1} << (bit % 64);
      any_missing_right_ = true;
    }
    nodes_.push_back(model::Node::inner(what.threshold, what.feature, places_.size()));
    places_.push_back({static_cast<std::uint32_t>(what.left), level + 1});
    places_.push_back({static_cast<std::uint32_t>(what.right), level + 1});
  }
  return {};
}

// The largest float that is not greater: every float compares with both alike.
float rounded_down(double threshold);

}  // namespace nidus::interop::internal
