#include "model/trees.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "model/internal/model_stream.h"
#include "model/internal/ranked_trees.h"

namespace nidus::model {
namespace {

constexpr std::size_t kWidthMax = 1024;
constexpr std::size_t kDepthMax = 65535;

Error broken(std::size_t tree, std::size_t node, const std::string& what) {
  return {Errc::corrupt, "tree " + std::to_string(tree) + ": node " + std::to_string(node) + ": " + what};
}

// What is wrong with a node, which stands at i in its tree.
Error what_is_wrong(std::size_t tree, std::size_t i, Node node, std::size_t size, std::size_t inputs,
                    std::size_t leaves) {
  if (node.is_leaf()) {
    const bool written = node.threshold_bits >> Node::kIndexBits == Node::kLeafMark >> Node::kIndexBits &&
                         node.feature() == 0 && node.left() == i;
    if (!written) return broken(tree, i, "a leaf that is not written as one");
    return broken(tree, i, "leaf " + std::to_string(node.leaf_number()) + " of " + std::to_string(leaves));
  }
  if (std::isnan(node.threshold())) return broken(tree, i, "the threshold is not a number");
  if (node.feature() >= inputs) {
    return broken(tree, i, "feature " + std::to_string(node.feature()) + " of " + std::to_string(inputs));
  }
  return broken(tree, i, "child " + std::to_string(node.left()) + " of " + std::to_string(size));
}

// 0 if the node, which stands at i in its tree, is good. Made of comparisons of whole numbers alone, so that
// the compiler takes several nodes at once: half of all nodes are leaves, and no processor guesses which.
std::uint32_t is_wrong(Node node, std::uint32_t i, std::uint32_t size, std::uint32_t inputs,
                       std::uint32_t leaves) {
  constexpr std::uint32_t kInfinity = 0x7f800000u;
  const std::uint32_t left = node.feature_and_left >> Node::kFeatureBits;
  const std::uint32_t feature = node.feature_and_left & (Node::kFeaturesMax - 1);
  // A leaf has the mark and its number and nothing else, and is its own left child.
  const std::uint32_t leaf = node.threshold_bits - Node::kLeafMark < leaves ? 1 : 0;
  const std::uint32_t wrong_leaf = node.feature_and_left != i << Node::kFeatureBits ? 1 : 0;
  const std::uint32_t not_number = (node.threshold_bits & 0x7fffffffu) > kInfinity ? 1 : 0;
  const std::uint32_t no_feature = feature >= inputs ? 1 : 0;
  const std::uint32_t not_behind = left <= i ? 1 : 0, outside = left + 1 >= size ? 1 : 0;
  return (leaf & wrong_leaf) | ((leaf ^ 1) & (not_number | no_feature | not_behind | outside));
}

// The depth of the tree, or what is wrong with it. Since children stand behind their parents, one pass from
// the back sees every child before its parents, and there can be no way in circles.
Result<std::uint16_t> check_tree(std::size_t index, std::span<const Node> tree, std::size_t inputs,
                                 std::size_t leaves, std::vector<std::uint32_t>& heights) {
  const auto size = static_cast<std::uint32_t>(tree.size());
  const auto columns = static_cast<std::uint32_t>(inputs), values = static_cast<std::uint32_t>(leaves);
  std::uint32_t wrong = 0;
  for (std::uint32_t i = 0; i < size; ++i) wrong |= is_wrong(tree[i], i, size, columns, values);
  for (std::uint32_t i = 0; wrong != 0; ++i) {
    if (is_wrong(tree[i], i, size, columns, values) != 0)
      return what_is_wrong(index, i, tree[i], tree.size(), inputs, leaves);
  }
  // A leaf is above two children of height -1, so that it need not wait for what was written just before it.
  heights.resize(std::max(heights.size(), tree.size() + 2));
  heights[size] = heights[size + 1] = ~std::uint32_t{0};
  for (std::uint32_t i = size; i-- > 0;) {
    const Node node = tree[i];
    const std::size_t leaf = node.is_leaf() ? 1 : 0, left = node.left();
    const std::size_t below = left + leaf * (size - left);  // a leaf is its own left child
    heights[i] = std::max(heights[below], heights[below + 1]) + 1;
  }
  if (heights[0] > kDepthMax) return Error{Errc::corrupt, "tree " + std::to_string(index) + ": too deep"};
  return static_cast<std::uint16_t>(heights[0]);
}

}  // namespace

namespace {

Result<void> check_covers(const TreeSet::Parts& parts) {
  if (parts.covers.empty()) return {};
  std::size_t at = 0;
  for (std::size_t tree = 0; tree + 1 < parts.roots.size(); ++tree) {
    const auto nodes =
        parts.nodes.span().subspan(parts.roots[tree], parts.roots[tree + 1] - parts.roots[tree]);
    const auto inner = static_cast<std::size_t>(
        std::count_if(nodes.begin(), nodes.end(), [](const Node& node) { return !node.is_leaf(); }));
    if (parts.covers.size() - at < inner + 1)
      return Error{Errc::corrupt, "fewer covers than roots and inner nodes"};
    const float root = parts.covers[at];
    const auto shares = parts.covers.span().subspan(at + 1, inner);
    if (!(root >= 0) || !std::isfinite(root) ||
        !std::all_of(shares.begin(), shares.end(), [](float share) { return std::abs(share) <= 0.5f; })) {
      return Error{Errc::corrupt, "tree " + std::to_string(tree) + ": covers that are none"};
    }
    at += inner + 1;
  }
  if (at != parts.covers.size()) return Error{Errc::corrupt, "more covers than roots and inner nodes"};
  return {};
}

}  // namespace

std::vector<float> TreeSet::pack_covers(std::span<const Node> nodes, std::span<const std::uint32_t> roots,
                                        std::span<const float> weights) {
  CHECK(weights.size() == nodes.size());
  std::vector<float> covers;
  covers.reserve(roots.size() + nodes.size() / 2);
  for (std::size_t tree = 0; tree + 1 < roots.size(); ++tree) {
    const std::size_t root = roots[tree];
    covers.push_back(weights[root]);
    for (std::size_t i = root; i < roots[tree + 1]; ++i) {
      if (nodes[i].is_leaf()) continue;
      const float left = weights[root + nodes[i].left()], right = weights[root + nodes[i].left() + 1];
      const float whole = left + right;
      covers.push_back(whole > 0 ? std::min(left, right) / whole * (right < left ? -1.0f : 1.0f) : 0.0f);
    }
  }
  return covers;
}

void TreeSet::share_leaves(std::vector<Node>& nodes, std::vector<std::uint32_t>& roots,
                           std::vector<std::uint64_t>& missing_right) {
  std::vector<std::uint64_t> bits(missing_right.size());
  std::vector<std::uint32_t> places;  // where each node of a tree that stays will stand in it
  std::unordered_map<std::uint64_t, std::uint32_t> known;  // pairs of leaf numbers, by when they were met
  std::vector<std::pair<std::size_t, std::size_t>> pairs;  // the same in that order
  std::size_t end = 0;  // of what is done, and nothing behind it is read again
  for (std::size_t tree = 0; tree + 1 < roots.size(); ++tree) {
    const std::size_t root = roots[tree], size = roots[tree + 1] - root, begin = end;
    const auto is_pair = [&](Node node) {
      return !node.is_leaf() && nodes[root + node.left()].is_leaf() &&
             nodes[root + node.left() + 1].is_leaf();
    };
    constexpr std::uint32_t kGone = 0xffffffff;
    places.assign(size, 0);
    for (std::size_t i = 0; i < size; ++i) {
      const Node node = nodes[root + i];
      if (is_pair(node)) places[node.left()] = places[node.left() + 1] = kGone;
    }
    std::uint32_t kept = 0;
    for (auto& place : places) {
      if (place != kGone) place = kept++;
    }
    known.clear();
    pairs.clear();
    for (std::size_t i = 0; i < size; ++i) {
      if (places[i] == kGone) continue;
      const Node node = nodes[root + i];
      const std::size_t to = begin + places[i], left = node.left();
      if (node.is_leaf()) {
        nodes[to] = Node::leaf(places[i], node.leaf_number());
        continue;
      }
      std::size_t child = places[left];
      if (is_pair(node)) {
        const std::size_t a = nodes[root + left].leaf_number(), b = nodes[root + left + 1].leaf_number();
        const auto next = static_cast<std::uint32_t>(pairs.size());
        const auto [found, is_new] = known.try_emplace(std::uint64_t{a} << 32 | b, next);
        if (is_new) pairs.emplace_back(a, b);
        child = kept + 2 * std::size_t{found->second};
      }
      nodes[to] = Node::inner(node.threshold(), node.feature(), child);
      if (missing_right.empty()) continue;
      const std::size_t bit = root + i;
      bits[to / 64] |= (missing_right[bit / 64] >> (bit % 64) & 1) << (to % 64);
    }
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      const std::size_t at = kept + 2 * i;
      nodes[begin + at] = Node::leaf(at, pairs[i].first);
      nodes[begin + at + 1] = Node::leaf(at + 1, pairs[i].second);
    }
    roots[tree] = static_cast<std::uint32_t>(begin);
    end = begin + kept + 2 * pairs.size();
  }
  roots.back() = static_cast<std::uint32_t>(end);
  nodes.resize(end);
  if (missing_right.empty()) return;
  bits.resize((end + 63) / 64);
  missing_right = std::move(bits);
}

std::vector<Node> TreeSet::tree_unshared(std::size_t index) const {
  const auto shared = tree(index);
  std::vector<Node> out(shared.begin(), shared.end());
  std::vector<bool> taken(shared.size());
  for (std::size_t i = 0; i < shared.size(); ++i) {
    const Node node = shared[i];
    if (node.is_leaf()) continue;
    const std::size_t left = node.left();
    if (taken[left] && shared[left].is_leaf() && shared[left + 1].is_leaf()) {
      const std::size_t at = out.size();
      out[i] = Node::inner(node.threshold(), node.feature(), at);
      out.push_back(Node::leaf(at, shared[left].leaf_number()));
      out.push_back(Node::leaf(at + 1, shared[left + 1].leaf_number()));
    }
    taken[left] = true;
  }
  return out;
}

Result<TreeSet> TreeSet::make(Parts parts) {
  if (parts.inputs == 0 || parts.inputs > Node::kFeaturesMax) {
    return Error{Errc::unsupported, std::to_string(parts.inputs) + " inputs, trees take 1 to " +
                                        std::to_string(Node::kFeaturesMax)};
  }
  const std::size_t values = std::max(parts.leaves.size(), parts.wide_leaves.size());
  if (parts.width == 0 || parts.width > kWidthMax || values % parts.width != 0) {
    return Error{Errc::corrupt, "leaves of " + std::to_string(parts.width) + " values"};
  }
  if (!parts.leaves.empty() && !parts.wide_leaves.empty()) {
    return Error{Errc::corrupt, "leaves both of floats and of doubles"};
  }
  const std::size_t leaves = values / parts.width;
  if (leaves > Node::kLeavesMax) {
    return Error{Errc::unsupported, std::to_string(leaves) + " different leaves, at most " +
                                        std::to_string(Node::kLeavesMax) +
                                        " can be told apart: limit the depth"};
  }
  if (parts.nodes.size() > 0x7fffffffu) return Error{Errc::unsupported, "more than 2^31 nodes"};
  if (!parts.missing_right.empty() && parts.missing_right.size() != (parts.nodes.size() + 63) / 64) {
    return Error{Errc::corrupt, "the bits for missing values do not fit the number of nodes"};
  }
  const auto finite = [](auto value) { return std::isfinite(value); };
  if (!std::all_of(parts.leaves.begin(), parts.leaves.end(), finite) ||
      !std::all_of(parts.wide_leaves.begin(), parts.wide_leaves.end(), finite)) {
    return Error{Errc::corrupt, "a leaf value that is not finite"};
  }
  if (parts.roots.empty() || parts.roots[0] != 0 ||
      parts.roots[parts.roots.size() - 1] != parts.nodes.size()) {
    return Error{Errc::corrupt, "the roots do not span the nodes"};
  }
  TreeSet set;
  set.parts_ = std::move(parts);
  std::vector<std::uint32_t> heights;
  for (std::size_t i = 0; i + 1 < set.parts_.roots.size(); ++i) {
    const std::size_t begin = set.parts_.roots[i], end = set.parts_.roots[i + 1];
    if (begin >= end || end > set.parts_.nodes.size()) {
      return Error{Errc::corrupt, "tree " + std::to_string(i) + ": nodes " + std::to_string(begin) + " to " +
                                      std::to_string(end) + " of " + std::to_string(set.parts_.nodes.size())};
    }
    if (end - begin > Node::kNodesMax) {
      return Error{Errc::unsupported, "tree " + std::to_string(i) + ": more than " +
                                          std::to_string(Node::kNodesMax) + " nodes: limit the depth"};
    }
    const auto depth = check_tree(i, set.parts_.nodes.span().subspan(begin, end - begin), set.parts_.inputs,
                                  leaves, heights);
    if (!depth) return depth.error();
    set.depths_.push_back(*depth);
  }
  if (auto good = check_covers(set.parts_); !good) return std::move(good).error();
  set.ranked_ = internal::rank_in_lots(set.parts_, set.depths_);
  return set;
}

Result<TreeSet> TreeSet::load(internal::FileReader& in) {
  Parts parts;
  parts.inputs = in.u32();
  parts.width = in.u32();
  parts.nodes = in.array<Node>();
  parts.roots = in.array<std::uint32_t>();
  parts.leaves = in.version() >= 3 ? in.optional_array<float>() : in.array<float>();
  if (in.version() >= 3) parts.wide_leaves = in.optional_array<double>();
  parts.missing_right = in.optional_array<std::uint64_t>();
  if (in.version() >= 2) parts.covers = in.optional_array<float>();
  if (!in.ok()) return in.error();
  return make(std::move(parts));
}

void TreeSet::save(internal::FileWriter& out) const {
  out.u32(static_cast<std::uint32_t>(parts_.inputs));
  out.u32(static_cast<std::uint32_t>(parts_.width));
  out.array(parts_.nodes);
  out.array(parts_.roots);
  out.optional_array(parts_.leaves);
  out.optional_array(parts_.wide_leaves);
  out.optional_array(parts_.missing_right);
  out.optional_array(parts_.covers);
}

std::size_t TreeSet::depth_max() const {
  return depths_.empty() ? 0 : *std::max_element(depths_.begin(), depths_.end());
}

namespace {

// Several rows at once, since each step waits for memory. A row that has arrived stays where it is.
template <bool kMissing>
void walk_rows(const TreeSet::Parts& parts, std::size_t root, std::size_t depth, const float* rows,
               std::size_t count, std::uint32_t* leaves) {
  constexpr std::size_t kRows = 16;
  const Node* nodes = parts.nodes.data() + root;
  for (std::size_t first = 0; first < count; first += kRows) {
    const std::size_t some = std::min(kRows, count - first);
    std::size_t at[kRows] = {};
    std::size_t moved = 1;
    for (std::size_t level = 0; level < depth && moved != 0; ++level) {
      moved = 0;
      for (std::size_t i = 0; i < some; ++i) {
        const Node node = nodes[at[i]];
        const float value = rows[(first + i) * parts.inputs + node.feature()];
        bool right = value > node.threshold();
        if constexpr (kMissing) {
          const std::size_t bit = root + at[i];
          const bool missing_right = (parts.missing_right[bit / 64] >> (bit % 64) & 1) != 0;
          right |= (value != value) & missing_right & !node.is_leaf();
        }
        const std::size_t next = node.left() + (right ? 1 : 0);
        moved |= next ^ at[i];
        at[i] = next;
      }
    }
    for (std::size_t i = 0; i < some; ++i)
      leaves[first + i] = static_cast<std::uint32_t>(nodes[at[i]].leaf_number());
  }
}

}  // namespace

void TreeSet::walk(std::size_t tree, const float* rows, std::size_t count, std::uint32_t* leaves) const {
  const auto through = parts_.missing_right.empty() ? walk_rows<false> : walk_rows<true>;
  through(parts_, parts_.roots[tree], depths_[tree], rows, count, leaves);
}

template <class Sum>
void TreeSet::add_leaves(const float* rows, std::size_t count, std::span<const std::uint32_t> groups,
                         std::size_t outputs, Sum* sums) const {
  for (const auto& lot : ranked_) lot->add(parts_, rows, count, groups, outputs, sums);
}

template void TreeSet::add_leaves(const float*, std::size_t, std::span<const std::uint32_t>, std::size_t,
                                  float*) const;
template void TreeSet::add_leaves(const float*, std::size_t, std::span<const std::uint32_t>, std::size_t,
                                  double*) const;

std::string TreeSet::describe_walk() const {
  const std::string one = ranked_[0]->describe();
  return ranked_.size() == 1 ? one : one + " in " + std::to_string(ranked_.size()) + " lots";
}

}  // namespace nidus::model
