#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/array.h"

// How all our tree models are laid out: flat arrays that are written to the file and used from it as they
// are.
namespace nidus::model {

namespace internal {
class FileReader;
class FileWriter;
struct RankedTrees;
}  // namespace internal

// Eight bytes. An inner node sends a row to the left child when x <= threshold or x is missing (unless the
// tree set says otherwise for this node), else to the right child, which stands directly behind the left one.
// A leaf has a NaN for a threshold, whose lower 22 bits are the number of the leaf, and is its own left
// child: walking on from a leaf stays there, because nothing is greater than NaN. So a batch can walk all its
// rows the same number of steps without asking which have arrived.
struct Node {
  static constexpr unsigned kFeatureBits = 10;
  static constexpr unsigned kIndexBits = 22;
  static constexpr std::size_t kFeaturesMax = std::size_t{1} << kFeatureBits;
  static constexpr std::size_t kNodesMax = std::size_t{1} << kIndexBits;   // of one tree
  static constexpr std::size_t kLeavesMax = std::size_t{1} << kIndexBits;  // of one tree set
  static constexpr std::uint32_t kLeafMark = 0x7fc00000u;                  // a quiet NaN without payload

  std::uint32_t threshold_bits = kLeafMark;
  std::uint32_t feature_and_left = 0;  // the feature in the lower 10 bits, the left child in the upper 22

  static Node inner(float threshold, std::size_t feature, std::size_t left) {
    return {std::bit_cast<std::uint32_t>(threshold),
            static_cast<std::uint32_t>(feature | (left << kFeatureBits))};
  }
  static Node leaf(std::size_t self, std::size_t leaf) {
    return {static_cast<std::uint32_t>(kLeafMark | leaf), static_cast<std::uint32_t>(self << kFeatureBits)};
  }

  float threshold() const { return std::bit_cast<float>(threshold_bits); }
  std::size_t feature() const { return feature_and_left & (kFeaturesMax - 1); }
  std::size_t left() const { return feature_and_left >> kFeatureBits; }
  bool is_leaf() const { return (threshold_bits & kLeafMark) == kLeafMark; }
  std::size_t leaf_number() const { return threshold_bits & (kLeavesMax - 1); }

  bool operator==(const Node&) const = default;
};
static_assert(sizeof(Node) == 8);

// Trees over the same inputs, and the values of their leaves. Immutable and checked when made, so that
// walking needs no checks: features are below inputs, children stand behind their parents inside the tree,
// leaf numbers are below leaves().
class TreeSet {
 public:
  struct Parts {
    std::size_t inputs = 0;
    std::size_t width = 1;       // values of one leaf
    Array<Node> nodes;           // of all trees, one tree behind the other
    Array<std::uint32_t> roots;  // where each tree begins; behind the last, the number of nodes
    // Leaf number × width, as floats or as doubles: one of the two is empty.
    Array<float> leaves;
    Array<double> wide_leaves;
    Array<std::uint64_t>
        missing_right;  // one bit a node: missing goes right; or empty, if it always goes left
    // How the training weight went through the trees, for explanations; or empty, where nobody knows. For
    // each tree the weight at its root, then for each of its inner nodes, in their order, the share of it
    // that the lighter child got, at most a half: with its sign bit set if that is the right one.
    Array<float> covers;
  };

  // Parts::covers out of the weight of each node, none below zero.
  static std::vector<float> pack_covers(std::span<const Node> nodes, std::span<const std::uint32_t> roots,
                                        std::span<const float> weights);

  // Nodes of one tree whose two children are the same two leaves get one pair of them, at the end of the
  // tree: a third fewer nodes where trees were grown until their leaves were pure. Rows end in the same
  // leaves. Every node has one parent before this; covers are packed before, and stay as they are.
  // `missing_right` is that of Parts.
  static void share_leaves(std::vector<Node>& nodes, std::vector<std::uint32_t>& roots,
                           std::vector<std::uint64_t>& missing_right);

  // Errc::corrupt names tree and node. Values of leaves must be finite.
  static Result<TreeSet> make(Parts parts);
  static Result<TreeSet> load(internal::FileReader& in);
  void save(internal::FileWriter& out) const;

  std::size_t trees() const { return depths_.size(); }
  std::size_t inputs() const { return parts_.inputs; }
  std::size_t width() const { return parts_.width; }
  std::size_t nodes() const { return parts_.nodes.size(); }
  std::size_t leaves() const {
    return std::max(parts_.leaves.size(), parts_.wide_leaves.size()) / parts_.width;
  }
  // The most steps from the root of the tree to a leaf.
  std::size_t depth(std::size_t tree) const { return depths_[tree]; }
  std::size_t depth_max() const;
  const Parts& parts() const { return parts_; }

  std::span<const Node> tree(std::size_t index) const {
    return parts_.nodes.span().subspan(parts_.roots[index], parts_.roots[index + 1] - parts_.roots[index]);
  }
  // The same with a copy of its own for each parent of a shared pair of leaves, behind all others. Nodes that
  // are no leaves keep their numbers.
  std::vector<Node> tree_unshared(std::size_t index) const;
  // What a leaf holds, its value k of width().
  double value(std::size_t leaf, std::size_t k) const {
    const std::size_t at = leaf * parts_.width + k;
    return parts_.wide_leaves.empty() ? static_cast<double>(parts_.leaves[at]) : parts_.wide_leaves[at];
  }

  // The leaf number that each of `count` rows ends in. rows: row-major, inputs() floats each. For looking
  // into trees one at a time; add_leaves is several times as fast.
  void walk(std::size_t tree, const float* rows, std::size_t count, std::uint32_t* leaves) const;

  // For each row, and for each tree in order, adds the values of the leaf that the row ends in to the row's
  // sums, in the type of the sums: float or double. A leaf of one value goes to sums[row × outputs +
  // groups[tree]], or to sums[row × outputs] where groups is empty; a leaf of more to the row's first
  // width(). What a row gets does not depend on the rows beside it nor on the machine.
  template <class Sum>
  void add_leaves(const float* rows, std::size_t count, std::span<const std::uint32_t> groups,
                  std::size_t outputs, Sum* sums) const;

  // How add_leaves walks on this machine: "full trees, ranks of 8 bits, avx2". For reports and benches.
  std::string describe_walk() const;

 private:
  Parts parts_;
  std::vector<std::uint16_t> depths_;
  std::vector<std::shared_ptr<const internal::RankedTrees>> ranked_;  // internal::RankedLots
};

}  // namespace nidus::model
