#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "learn/internal/tree_grower.h"
#include "model/trees.h"

// One tree of a random forest (Breiman 2001) on binned values.
//
// A split is chosen by Gini impurity. With l_c and r_c the weights of class c left and right, the weighted
// impurity that remains is W - (sum l_c^2 / L + sum r_c^2 / R), so the best split has the largest sum in the
// brackets, here called purity. Moving a bin of weight m from right to left changes sum l_c^2 by m (2 l_c +
// m), so a sweep over the bins costs a few operations a bin and class.
//
// At every node features are drawn without replacement until enough were looked at and at least one of them
// varies, as scikit-learn does; those known not to vary above are drawn as well, but cost nothing. The
// histogram of a sibling cannot be had by subtraction, as the two draw different features; what pays instead
// is a second way for the many small nodes near the leaves: up to kFew rows are sorted by bin, and no
// histogram is cleared or swept.
//
// A split without any gain is made too (as for exclusive or), so trees grow until leaves are pure or rows are
// equal.
namespace nidus::learn::internal {
namespace {

constexpr std::size_t kFew = 48;  // measured: where sorting and 255 bins of two classes cost the same
static_assert(kFew <= 64);

bool marked(const std::vector<std::uint64_t>& bits, std::size_t i) {
  return (bits[i / 64] >> (i % 64) & 1) != 0;
}

}  // namespace

// Moves bins from right to left in ascending order and remembers the best place to stop.
class TreeGrower::Sweep {
 public:
  Sweep(TreeGrower& grower, std::size_t feature, Split& best)
      : g_(grower),
        feature_(feature),
        best_(best),
        right_sum_(g_.total_),
        right_squares_(g_.total_squares_),
        right_copies_(g_.total_copies_) {
    std::fill(g_.left_.begin(), g_.left_.end(), 0.0);
    std::copy(g_.totals_.begin(), g_.totals_.end(), g_.right_.begin());
  }

  // A bin that has rows: weighs splitting below it.
  void reach(std::size_t bin) {
    if (any_) {
      varies_ = true;
      if (left_copies_ >= g_.options_.min_leaf && right_copies_ >= g_.options_.min_leaf && left_sum_ > 0 &&
          right_sum_ > 0) {
        const double purity = left_squares_ / left_sum_ + right_squares_ / right_sum_;
        if (purity > best_.purity) best_ = {purity, feature_, last_, bin};
      }
    }
    any_ = true;
    last_ = bin;
  }

  void move(std::size_t cls, double weight) {
    double& left = g_.left_[cls];
    double& right = g_.right_[cls];
    left_squares_ += weight * (2 * left + weight);
    right_squares_ -= weight * (2 * right - weight);
    left += weight;
    right -= weight;
    left_sum_ += weight;
    right_sum_ -= weight;
  }

  void move_copies(std::uint64_t copies) {
    left_copies_ += copies;
    right_copies_ -= copies;
  }

  bool varies() const { return varies_; }

 private:
  TreeGrower& g_;
  std::size_t feature_;
  Split& best_;
  double left_sum_ = 0, right_sum_;
  double left_squares_ = 0, right_squares_;
  std::uint64_t left_copies_ = 0, right_copies_;
  std::size_t last_ = 0;
  bool any_ = false;
  bool varies_ = false;
};

TreeGrower::TreeGrower(const Binned& binned, std::span<const std::uint32_t> labels, std::size_t classes,
                       std::span<const double> weights, const GrowOptions& options)
    : binned_(binned),
      labels_(labels),
      classes_(classes),
      weights_(weights),
      options_(options),
      features_(binned.features()),
      totals_(classes),
      histogram_(256 * classes),
      histogram_copies_(256),
      left_(classes),
      right_(classes) {}

GrownTree TreeGrower::grow(std::span<const std::uint16_t> copies, Random random) {
  copies_ = copies;
  random_ = random;
  std::iota(features_.begin(), features_.end(), std::size_t{0});
  rows_.clear();
  for (std::uint32_t row = 0; row < copies.size(); ++row) {
    if (copies[row] > 0) rows_.push_back(row);
  }
  scratch_.resize(rows_.size());
  node_labels_.resize(rows_.size());
  node_copies_.resize(rows_.size());
  node_weights_.resize(rows_.size());

  const bool best_first = options_.nodes_max > 0;
  const std::size_t nodes_max =
      best_first ? std::min(options_.nodes_max, model::Node::kNodesMax) : model::Node::kNodesMax;
  const auto less_urgent = [](const Pending& a, const Pending& b) {
    return a.gain != b.gain ? a.gain < b.gain : a.node > b.node;
  };
  GrownTree tree;
  tree.nodes.emplace_back();
  std::vector<Pending> open;  // a heap by gain when nodes are scarce, else a stack
  Pending root;
  root.end = rows_.size();
  root.constant.resize((binned_.features() + 63) / 64);
  consider(std::move(root), tree, open);
  while (!open.empty()) {
    if (best_first) std::pop_heap(open.begin(), open.end(), less_urgent);
    const Pending pending = std::move(open.back());
    open.pop_back();
    if (tree.nodes.size() + 2 > nodes_max) {
      tree.too_large = !best_first;
      break;
    }
    const std::size_t middle = divide(pending);
    const std::size_t left = tree.nodes.size();
    tree.nodes.resize(left + 2);
    auto& node = tree.nodes[pending.node];
    node.feature = static_cast<std::uint32_t>(pending.split.feature);
    node.threshold = binned_.threshold(pending.split.feature, pending.split.below, pending.split.above);
    node.left = static_cast<std::uint32_t>(left);
    // The left child is considered last, so that a stack goes on with it: it stands next in memory.
    for (const bool right : {true, false}) {
      Pending child;
      child.node = left + (right ? 1 : 0);
      child.begin = right ? middle : pending.begin;
      child.end = right ? pending.end : middle;
      child.depth = pending.depth + 1;
      child.constant = pending.constant;
      const std::size_t before = open.size();
      consider(std::move(child), tree, open);
      if (best_first && open.size() > before) std::push_heap(open.begin(), open.end(), less_urgent);
    }
  }
  return tree;
}

// Every node gets its leaf first, which is dropped when the node is split: so a tree that may not grow
// further is whole at any time.
void TreeGrower::consider(Pending pending, GrownTree& tree, std::vector<Pending>& open) {
  const std::size_t begin = pending.begin, count = pending.end - begin;
  std::fill(totals_.begin(), totals_.end(), 0.0);
  total_copies_ = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto row = rows_[begin + i];
    const auto copies = copies_[row];
    const double weight = weights_[row] * copies;
    node_labels_[i] = labels_[row];
    node_copies_[i] = copies;
    node_weights_[i] = weight;
    totals_[labels_[row]] += weight;
    total_copies_ += copies;
  }
  total_ = total_squares_ = 0;
  std::size_t present = 0;
  for (const double weight : totals_) {
    total_ += weight;
    total_squares_ += weight * weight;
    present += weight > 0 ? 1 : 0;
  }
  make_leaf(pending.node, tree);
  if (present < 2 || total_copies_ < 2 * options_.min_leaf) return;
  if (options_.max_depth > 0 && pending.depth >= options_.max_depth) return;
  if (!find_split(pending)) return;
  pending.gain = pending.split.purity - total_squares_ / total_;
  open.push_back(std::move(pending));
}

bool TreeGrower::find_split(Pending& pending) {
  std::size_t varying = 0;
  for (std::size_t looked_at = 0; looked_at < features_.size(); ++looked_at) {
    if (looked_at >= options_.features_per_split && varying > 0) break;
    std::swap(features_[looked_at], features_[looked_at + random_.below(features_.size() - looked_at)]);
    const std::size_t feature = features_[looked_at];
    if (marked(pending.constant, feature)) continue;
    const bool few = pending.end - pending.begin <= kFew;
    const bool varies = few ? search_few(pending.begin, pending.end, feature, pending.split)
                            : search_many(pending.begin, pending.end, feature, pending.split);
    if (varies) {
      ++varying;
    } else {
      pending.constant[feature / 64] |= std::uint64_t{1} << (feature % 64);
    }
  }
  return pending.split.purity >= 0;
}

bool TreeGrower::search_many(std::size_t begin, std::size_t end, std::size_t feature, Split& best) {
  const std::uint8_t* bin_of = binned_.column(feature);
  const std::size_t bins = binned_.bins(feature), count = end - begin;
  const std::uint32_t* rows = rows_.data() + begin;
  std::fill_n(histogram_.begin(), bins * classes_, 0.0);
  std::fill_n(histogram_copies_.begin(), bins, 0u);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t bin = bin_of[rows[i]];
    histogram_[bin * classes_ + node_labels_[i]] += node_weights_[i];
    histogram_copies_[bin] += node_copies_[i];
  }
  Sweep sweep(*this, feature, best);
  for (std::size_t bin = 0; bin < bins; ++bin) {
    if (histogram_copies_[bin] == 0) continue;
    sweep.reach(bin);
    for (std::size_t cls = 0; cls < classes_; ++cls) {
      const double weight = histogram_[bin * classes_ + cls];
      if (weight != 0) sweep.move(cls, weight);
    }
    sweep.move_copies(histogram_copies_[bin]);
  }
  return sweep.varies();
}

bool TreeGrower::search_few(std::size_t begin, std::size_t end, std::size_t feature, Split& best) {
  const std::uint8_t* bin_of = binned_.column(feature);
  const std::size_t count = end - begin;
  std::array<std::uint16_t, kFew> order;  // bin and place in the node
  unsigned lowest = 255, highest = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const unsigned bin = bin_of[rows_[begin + i]];
    lowest = std::min(lowest, bin);
    highest = std::max(highest, bin);
    order[i] = static_cast<std::uint16_t>(bin << 8 | i);
  }
  if (lowest == highest) return false;
  std::sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count));
  Sweep sweep(*this, feature, best);
  unsigned last = 256;
  for (std::size_t i = 0; i < count; ++i) {
    const unsigned bin = order[i] >> 8, place = order[i] & 255;
    if (bin != last) sweep.reach(bin);
    last = bin;
    sweep.move(node_labels_[place], node_weights_[place]);
    sweep.move_copies(node_copies_[place]);
  }
  return true;
}

void TreeGrower::make_leaf(std::size_t node, GrownTree& tree) {
  const std::size_t width = classes_ == 2 ? 1 : classes_;
  tree.nodes[node].cover = static_cast<float>(total_);
  tree.nodes[node].leaf = static_cast<std::uint32_t>(tree.shares.size() / width);
  for (std::size_t i = 0; i < width; ++i) {
    const double weight = totals_[classes_ == 2 ? 1 : i];
    tree.shares.push_back(total_ > 0 ? static_cast<float>(weight / total_)
                                     : 1.0f / static_cast<float>(classes_));
  }
}

// Sorts the rows of the node to their sides, keeping their order; returns where the right side begins.
std::size_t TreeGrower::divide(const Pending& pending) {
  const std::uint8_t* bin_of = binned_.column(pending.split.feature);
  std::size_t left = pending.begin, right = 0;
  for (std::size_t i = pending.begin; i < pending.end; ++i) {
    const auto row = rows_[i];
    const bool goes_left = bin_of[row] <= pending.split.below;
    rows_[left] = row;
    scratch_[right] = row;
    left += goes_left ? 1 : 0;
    right += goes_left ? 0 : 1;
  }
  std::copy_n(scratch_.begin(), right, rows_.begin() + static_cast<std::ptrdiff_t>(left));
  return left;
}

}  // namespace nidus::learn::internal
