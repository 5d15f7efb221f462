#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "model/trees.h"

namespace nidus::interop::internal {

// A tree as other programs write theirs: nodes in any order, the root first. A split is a list of cuts, at
// each of which a row that is greater changes sides; one cut is the usual kind, two let an interval through,
// more are a set of categories.
struct ForeignTree {
  struct Node {
    std::int64_t left = -1, right = -1;  // both below 0: a leaf
    std::uint32_t feature = 0;
    std::uint32_t cuts_begin = 0, cuts_end = 0;  // in `cuts`, ascending; none: all take the same side
    bool first_left = true;                      // where x goes that is not above the first cut
    bool missing_left = true;
    float weight = 0;        // of the training rows that came through, if known
    std::uint32_t leaf = 0;  // of a leaf: its number in the set, or kNoValue
  };
  static constexpr std::uint32_t kNoValue = 0xffffffff;  // a leaf that no row may reach
  std::vector<Node> nodes;
  std::vector<float> cuts;  // none NaN
};

// Makes our trees of theirs: children side by side behind their parents. A set of categories becomes as many
// nodes as it takes, so that trees are walked by the same kernels whatever their splits. Where that would
// multiply the nodes below, they are shared: a node then has several parents, which scores do not notice and
// explanations refuse.
class TreeBuilder {
 public:
  // The number of a leaf that holds this, the same for equal bits.
  std::uint32_t leaf(float value);
  std::uint32_t leaf(double value);
  std::uint32_t leaf(std::span<const double> values);  // all leaves of a set hold as many

  // Errc::corrupt names the node: a child outside, a child of two, a way in circles.
  Result<void> add(const ForeignTree& tree);

  std::size_t trees() const { return roots_.size() - 1; }
  Result<model::TreeSet> finish(std::size_t inputs) &&;

 private:
  class Grafting;

  std::uint32_t number_of(std::string_view bytes, std::size_t next);

  std::vector<model::Node> nodes_;
  std::vector<std::uint32_t> roots_ = {0};
  std::vector<float> leaves_;
  std::vector<double> wide_leaves_;
  std::size_t width_ = 1;
  std::vector<float> weights_;  // one a node
  bool has_weights_ = true;     // no node is shared
  std::vector<std::size_t> missing_right_;
  std::unordered_map<std::string, std::uint32_t> leaf_numbers_;
};

}  // namespace nidus::interop::internal
