#include "learn/internal/tree_grower.h"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <utility>

// One tree of a random forest (Breiman 2001) or of extra trees (Geurts, Ernst, Wehenkel 2006) on binned
// values.
//
// A split is chosen by Gini impurity. With l_c and r_c the weights of class c left and right, the weighted
// impurity that remains is W - (sum l_c^2 / L + sum r_c^2 / R), so the best split has the largest sum in the
// brackets, here called purity. Extra trees draw one cut for each feature, evenly between the lowest and the
// highest bin of the node: on the scale of ranks, where the paper draws on the scale of values, on which the
// heavy tails of flow features would leave nearly all cuts useless.
//
// At every node features are drawn without replacement until enough were looked at and at least one of them
// varies, as scikit-learn does; those known not to vary above are drawn as well, but cost nothing. The
// histogram of a sibling cannot be had by subtraction, as the two draw different features. Looking stops
// early at a split that leaves both sides pure, as none can be better.
//
// A split without any gain is made too (as for exclusive or), so trees grow until leaves are pure or rows are
// equal.
//
// What costs time in a deep tree is waiting for memory: the rows of a node far down lie scattered over the
// whole table, and each of its bins is a cache line of its own. So as soon as a node has a sixteenth of the
// rows of the table that it is grown from, its rows are copied together into a table of their own, column by
// column, and the subtree below is grown from that; and so on: a million rows, 62,500, 3,906, 244. Each copy
// reads its source nearly in order, and all the small tables together are a fifteenth of the large one.
namespace nidus::learn::internal {
namespace {

constexpr std::size_t kShrink = 16;
constexpr std::size_t kSmallestLevel = 128;  // rows; less fits the fastest cache anyway
constexpr std::size_t kGatherMin = 48;       // rows worth copying together
constexpr std::size_t kFew = 14;             // rows that are sorted instead of counted by bin
constexpr std::size_t kSparse = 400;         // rows that are likely to leave bins empty
constexpr std::uint32_t kNone = 0xffffffffu;

bool marked(const std::uint64_t* bits, std::size_t i) { return (bits[i / 64] >> (i % 64) & 1) != 0; }
void mark(std::uint64_t* bits, std::size_t i) { bits[i / 64] |= std::uint64_t{1} << (i % 64); }

}  // namespace

// Two classes, weights by class: copies of both sides as whole numbers, two in one word, so that a row costs
// one addition.
class TreeGrower::BinaryTally {
 public:
  BinaryTally(TreeGrower& grower, const Level&)
      : g_(grower),
        weight0_(g_.targets_.class_weights[0]),
        weight1_(g_.targets_.class_weights[1]),
        min_leaf_(static_cast<std::uint32_t>(g_.options_.min_leaf)),
        right_(g_.total_cell_) {}

  static std::uint64_t cell(const Entry& entry) {
    return entry.copies * (std::uint64_t{1} | std::uint64_t{entry.label} << 32);
  }

  void add_to_bin(std::size_t bin, const Entry& entry) { g_.cells_[bin] += cell(entry); }
  bool has_rows(std::size_t bin) const { return g_.cells_[bin] != 0; }
  // Moves the rows of the bin from right to left, and clears it.
  void take_bin(std::size_t bin) {
    left_ += g_.cells_[bin];
    right_ -= g_.cells_[bin];
    g_.cells_[bin] = 0;
  }
  void take(const Entry& entry) {
    left_ += cell(entry);
    right_ -= cell(entry);
  }

  // Of splitting here; below zero if that is not allowed.
  double purity() const {
    const auto left = static_cast<std::uint32_t>(left_), right = static_cast<std::uint32_t>(right_);
    if (left < min_leaf_ || right < min_leaf_) return -1;
    const auto left1 = static_cast<std::uint32_t>(left_ >> 32),
               right1 = static_cast<std::uint32_t>(right_ >> 32);
    const double l0 = weight0_ * (left - left1), l1 = weight1_ * left1;
    const double r0 = weight0_ * (right - right1), r1 = weight1_ * right1;
    const double l = l0 + l1, r = r0 + r1;
    if (!(l > 0 && r > 0)) return -1;
    return ((l0 * l0 + l1 * l1) * r + (r0 * r0 + r1 * r1) * l) / (l * r);
  }

 private:
  TreeGrower& g_;
  double weight0_, weight1_;
  std::uint32_t min_leaf_;
  std::uint64_t left_ = 0, right_;
};

// Any number of classes, any weights. Moving weight m of class c from right to left changes sum l_c^2 by
// m (2 l_c + m), so both sums are kept up to date.
class TreeGrower::ClassTally {
 public:
  ClassTally(TreeGrower& grower, const Level& level)
      : g_(grower),
        weights_(level.weights.empty() ? nullptr : level.weights.data()),
        right_sum_(g_.total_),
        right_squares_(g_.total_squares_),
        right_copies_(g_.total_copies_) {
    std::fill(g_.left_.begin(), g_.left_.end(), 0.0);
    std::copy(g_.totals_.begin(), g_.totals_.end(), g_.right_.begin());
  }

  void add_to_bin(std::size_t bin, const Entry& entry) {
    g_.histogram_[bin * g_.classes_ + entry.label] += weight(entry);
    g_.bin_copies_[bin] += entry.copies;
  }
  bool has_rows(std::size_t bin) const { return g_.bin_copies_[bin] != 0; }
  void take_bin(std::size_t bin) {
    double* const weights = g_.histogram_.data() + bin * g_.classes_;
    for (std::size_t cls = 0; cls < g_.classes_; ++cls) {
      if (weights[cls] == 0) continue;
      move(cls, weights[cls]);
      weights[cls] = 0;
    }
    move_copies(g_.bin_copies_[bin]);
    g_.bin_copies_[bin] = 0;
  }
  void take(const Entry& entry) {
    move(entry.label, weight(entry));
    move_copies(entry.copies);
  }

  double purity() const {
    if (left_copies_ < g_.options_.min_leaf || right_copies_ < g_.options_.min_leaf) return -1;
    if (!(left_sum_ > 0 && right_sum_ > 0)) return -1;
    return left_squares_ / left_sum_ + right_squares_ / right_sum_;
  }

 private:
  double weight(const Entry& entry) const {
    return entry.copies *
           (weights_ != nullptr ? weights_[entry.row] : g_.targets_.class_weights[entry.label]);
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

  TreeGrower& g_;
  const double* weights_;
  double left_sum_ = 0, right_sum_;
  double left_squares_ = 0, right_squares_;
  std::uint64_t left_copies_ = 0, right_copies_;
};

TreeGrower::TreeGrower(const Binned& binned, const Targets& targets, const GrowOptions& options)
    : binned_(binned),
      targets_(targets),
      classes_(targets.class_weights.size()),
      options_(options),
      binary_(classes_ == 2 && targets.row_weights.empty()),
      words_((binned.features() + 63) / 64),
      features_(binned.features()),
      totals_(classes_),
      cells_(binary_ ? 256 : 0),
      histogram_(binary_ ? 0 : 256 * classes_),
      bin_copies_(binary_ ? 0 : 256),
      left_(classes_),
      right_(classes_) {
  Level whole;
  whole.capacity = whole.stride = binned.rows();
  whole.values = binned.column(0);
  if (!targets.row_weights.empty()) {
    whole.weights.resize(binned.rows());
    for (std::size_t row = 0; row < binned.rows(); ++row) {
      whole.weights[row] =
          static_cast<double>(targets.row_weights[row]) * targets.class_weights[targets.labels[row]];
    }
  }
  levels_.push_back(std::move(whole));
  // Best first jumps between subtrees, which small tables cannot follow.
  if (options.nodes_max > 0) return;
  for (std::size_t rows = binned.rows() / kShrink; rows >= kSmallestLevel; rows /= kShrink) {
    Level level;
    level.capacity = rows;
    // Not a multiple of 4096, as columns that far apart would share their places in the cache.
    level.stride = (rows + 63) / 64 * 64 + 64;
    level.own_values.resize(level.stride * binned.features());
    level.values = level.own_values.data();
    if (!targets.row_weights.empty()) level.weights.resize(rows);
    level.entries.resize(rows);
    levels_.push_back(std::move(level));
  }
}

GrownTree TreeGrower::grow(std::span<const std::uint16_t> copies, Random random) {
  random_ = random;
  std::iota(features_.begin(), features_.end(), 0u);
  std::vector<Entry>& entries = levels_.front().entries;
  entries.clear();
  for (std::uint32_t row = 0; row < copies.size(); ++row) {
    if (copies[row] > 0)
      entries.push_back({row, copies[row], static_cast<std::uint16_t>(targets_.labels[row])});
  }
  scratch_.resize(entries.size());
  constants_.clear();
  free_slots_.clear();
  pure_leaves_.assign(classes_, kNone);

  GrownTree tree;
  tree.nodes.emplace_back();
  tree.covers.emplace_back();
  Pending root;
  root.end = entries.size();
  root.constant = take_slot();
  std::fill_n(constant(root.constant), words_, std::uint64_t{0});
  if (options_.nodes_max > 0) {
    grow_best_first(root, tree);
  } else {
    grow_depth_first(0, root, tree);
  }
  return tree;
}

std::uint32_t TreeGrower::take_slot() {
  if (!free_slots_.empty()) {
    const auto slot = free_slots_.back();
    free_slots_.pop_back();
    return slot;
  }
  const std::size_t slots = constants_.size() / words_;
  constants_.resize(constants_.size() + words_);
  return static_cast<std::uint32_t>(slots);
}

void TreeGrower::grow_depth_first(std::size_t at_level, const Pending& root, GrownTree& tree) {
  Level& level = levels_[at_level];
  const std::size_t base = open_.size();
  open_.push_back(root);
  while (open_.size() > base) {
    Pending pending = open_.back();
    open_.pop_back();
    const bool goes_on = count(level, pending);
    tree.covers[pending.node] = static_cast<float>(total_);
    if (!goes_on) {
      make_leaf(tree, pending.node);
      free_slots_.push_back(pending.constant);
      continue;
    }
    if (const std::size_t to = level_for(pending.end - pending.begin, at_level); to != at_level) {
      grow_depth_first(to, gather(pending, level, levels_[to]), tree);
      if (tree.too_large) return open_.resize(base);
      continue;
    }
    Split split;
    if (!find_split(level, pending, split)) {
      make_leaf(tree, pending.node);
      free_slots_.push_back(pending.constant);
      continue;
    }
    if (tree.nodes.size() + 2 > model::Node::kNodesMax) {
      tree.too_large = true;
      return open_.resize(base);
    }
    const std::size_t middle = divide(level, pending, split);
    make_inner(tree, pending.node, split);
    // The left child is on top of the stack and so goes on next: it stands next in memory.
    Pending right;
    right.node = static_cast<std::uint32_t>(tree.nodes.size() - 1);
    right.depth = pending.depth + 1;
    right.begin = middle;
    right.end = pending.end;
    right.constant = take_slot();
    std::copy_n(constant(pending.constant), words_, constant(right.constant));
    open_.push_back(right);
    pending.node = right.node - 1;
    pending.depth = right.depth;
    pending.end = middle;
    open_.push_back(pending);
  }
}

// Every node gets its leaf first, which is dropped when the node is split: so a tree that may not grow
// further is whole at any time.
void TreeGrower::grow_best_first(const Pending& root, GrownTree& tree) {
  Level& level = levels_.front();
  const std::size_t nodes_max = std::min(options_.nodes_max, model::Node::kNodesMax);
  const auto less_urgent = [](const Pending& a, const Pending& b) {
    return a.gain != b.gain ? a.gain < b.gain : a.node > b.node;
  };
  open_.clear();
  const auto consider = [&](Pending pending) {
    const bool goes_on = count(level, pending);
    tree.covers[pending.node] = static_cast<float>(total_);
    make_leaf(tree, pending.node);
    if (!goes_on || !find_split(level, pending, pending.split))
      return free_slots_.push_back(pending.constant);
    pending.gain = pending.split.purity - total_squares_ / total_;
    open_.push_back(pending);
    std::push_heap(open_.begin(), open_.end(), less_urgent);
  };
  consider(root);
  while (!open_.empty() && tree.nodes.size() + 2 <= nodes_max) {
    std::pop_heap(open_.begin(), open_.end(), less_urgent);
    Pending pending = open_.back();
    open_.pop_back();
    const std::size_t middle = divide(level, pending, pending.split);
    make_inner(tree, pending.node, pending.split);
    Pending right = pending, left = pending;
    right.node = static_cast<std::uint32_t>(tree.nodes.size() - 1);
    left.node = right.node - 1;
    right.depth = left.depth = pending.depth + 1;
    right.begin = left.end = middle;
    right.constant = take_slot();
    right.split = left.split = {};
    std::copy_n(constant(left.constant), words_, constant(right.constant));
    consider(right);
    consider(left);
  }
}

bool TreeGrower::count(const Level& level, const Pending& pending) {
  const Entry* const entries = level.entries.data();
  std::size_t present = 0;
  if (binary_) {
    total_cell_ = 0;
    for (std::size_t i = pending.begin; i < pending.end; ++i) total_cell_ += BinaryTally::cell(entries[i]);
    total_copies_ = static_cast<std::uint32_t>(total_cell_);
    const std::uint64_t ones = total_cell_ >> 32;
    totals_[0] = targets_.class_weights[0] * static_cast<double>(total_copies_ - ones);
    totals_[1] = targets_.class_weights[1] * static_cast<double>(ones);
  } else {
    std::fill(totals_.begin(), totals_.end(), 0.0);
    total_copies_ = 0;
    for (std::size_t i = pending.begin; i < pending.end; ++i) {
      const Entry& entry = entries[i];
      totals_[entry.label] += entry.copies * (level.weights.empty() ? targets_.class_weights[entry.label]
                                                                    : level.weights[entry.row]);
      total_copies_ += entry.copies;
    }
  }
  total_ = total_squares_ = 0;
  for (const double weight : totals_) {
    total_ += weight;
    total_squares_ += weight * weight;
    present += weight > 0 ? 1 : 0;
  }
  return present >= 2 && total_copies_ >= 2 * options_.min_leaf &&
         (options_.max_depth == 0 || pending.depth < options_.max_depth);
}

bool TreeGrower::find_split(const Level& level, const Pending& pending, Split& split) {
  return binary_ ? find_split_with<BinaryTally>(level, pending, split)
                 : find_split_with<ClassTally>(level, pending, split);
}

template <class Tally>
bool TreeGrower::find_split_with(const Level& level, const Pending& pending, Split& split) {
  const std::size_t rows = pending.end - pending.begin;
  const double pure = total_ * (1 - 1e-14);
  std::uint64_t* const constants = constant(pending.constant);
  std::size_t varying = 0;
  for (std::size_t looked_at = 0; looked_at < features_.size(); ++looked_at) {
    if (looked_at >= options_.features_per_split && varying > 0) break;
    std::swap(features_[looked_at], features_[looked_at + random_.below(features_.size() - looked_at)]);
    const std::size_t feature = features_[looked_at];
    if (marked(constants, feature)) continue;
    const bool varies = options_.random_cuts
                            ? search_random<Tally>(level, pending.begin, pending.end, feature, split)
                        : rows <= kFew ? search_few<Tally>(level, pending.begin, pending.end, feature, split)
                                       : search<Tally>(level, pending.begin, pending.end, feature, split);
    if (varies) {
      ++varying;
      if (split.purity >= pure) break;
    } else {
      mark(constants, feature);
    }
  }
  return split.purity >= 0;
}

template <class Tally>
bool TreeGrower::search(const Level& level, std::size_t begin, std::size_t end, std::size_t feature,
                        Split& best) {
  const std::uint8_t* const bin_of = level.column(feature);
  const Entry* const entries = level.entries.data();
  Tally tally(*this, level);
  std::size_t last = 256;
  const auto reach = [&](std::size_t bin) {
    if (last != 256) {
      const double purity = tally.purity();
      if (purity > best.purity) {
        best = {purity, static_cast<std::uint32_t>(feature), static_cast<std::uint16_t>(last),
                static_cast<std::uint16_t>(bin)};
      }
    }
    tally.take_bin(bin);
    last = bin;
  };
  if (end - begin <= kSparse) {
    // Only the bins that have rows are visited.
    std::array<std::uint64_t, 4> filled = {};
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t bin = bin_of[entries[i].row];
      filled[bin / 64] |= std::uint64_t{1} << (bin % 64);
      tally.add_to_bin(bin, entries[i]);
    }
    std::size_t bins = 0;
    for (std::size_t word = 0; word < 4; ++word) {
      for (std::uint64_t bits = filled[word]; bits != 0; bits &= bits - 1) {
        reach(word * 64 + static_cast<std::size_t>(std::countr_zero(bits)));
        ++bins;
      }
    }
    return bins > 1;
  }
  for (std::size_t i = begin; i < end; ++i) tally.add_to_bin(bin_of[entries[i].row], entries[i]);
  std::size_t filled = 0;
  for (std::size_t bin = 0; bin < binned_.bins(feature); ++bin) {
    if (!tally.has_rows(bin)) continue;
    reach(bin);
    ++filled;
  }
  return filled > 1;
}

template <class Tally>
bool TreeGrower::search_few(const Level& level, std::size_t begin, std::size_t end, std::size_t feature,
                            Split& best) {
  const std::uint8_t* const bin_of = level.column(feature);
  const Entry* const entries = level.entries.data() + begin;
  const std::size_t count = end - begin;
  std::array<std::uint16_t, kFew> order;  // bin and place in the node, sorted by insertion
  unsigned lowest = 255, highest = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const unsigned bin = bin_of[entries[i].row];
    lowest = std::min(lowest, bin);
    highest = std::max(highest, bin);
    order[i] = static_cast<std::uint16_t>(bin << 8 | i);
  }
  if (lowest == highest) return false;
  for (std::size_t i = 1; i < count; ++i) {
    const std::uint16_t key = order[i];
    std::size_t to = i;
    for (; to > 0 && order[to - 1] > key; --to) order[to] = order[to - 1];
    order[to] = key;
  }
  Tally tally(*this, level);
  unsigned last = lowest;
  for (std::size_t i = 0; i < count; ++i) {
    const unsigned bin = order[i] >> 8;
    if (bin != last) {
      const double purity = tally.purity();
      if (purity > best.purity) {
        best = {purity, static_cast<std::uint32_t>(feature), static_cast<std::uint16_t>(last),
                static_cast<std::uint16_t>(bin)};
      }
      last = bin;
    }
    tally.take(entries[order[i] & 255]);
  }
  return true;
}

template <class Tally>
bool TreeGrower::search_random(const Level& level, std::size_t begin, std::size_t end, std::size_t feature,
                               Split& best) {
  const std::uint8_t* const bin_of = level.column(feature);
  const Entry* const entries = level.entries.data();
  unsigned lowest = 255, highest = 0;
  for (std::size_t i = begin; i < end; ++i) {
    const unsigned bin = bin_of[entries[i].row];
    lowest = std::min(lowest, bin);
    highest = std::max(highest, bin);
  }
  if (lowest == highest) return false;
  const unsigned cut = lowest + static_cast<unsigned>(random_.below(highest - lowest));
  unsigned below = lowest, above = highest;
  Tally tally(*this, level);
  for (std::size_t i = begin; i < end; ++i) {
    const unsigned bin = bin_of[entries[i].row];
    if (bin <= cut) {
      below = std::max(below, bin);
      tally.take(entries[i]);
    } else {
      above = std::min(above, bin);
    }
  }
  const double purity = tally.purity();
  if (purity > best.purity) {
    best = {purity, static_cast<std::uint32_t>(feature), static_cast<std::uint16_t>(below),
            static_cast<std::uint16_t>(above)};
  }
  return true;
}

std::size_t TreeGrower::level_for(std::size_t rows, std::size_t from) const {
  if (rows < kGatherMin) return from;
  std::size_t to = from;
  while (to + 1 < levels_.size() && rows <= levels_[to + 1].capacity) ++to;
  return to;
}

TreeGrower::Pending TreeGrower::gather(const Pending& pending, const Level& from, Level& to) {
  const Entry* const source = from.entries.data() + pending.begin;
  const std::size_t rows = pending.end - pending.begin;
  const std::uint64_t* const constants = constant(pending.constant);
  for (std::size_t feature = 0; feature < binned_.features(); ++feature) {
    if (marked(constants, feature)) continue;
    const std::uint8_t* const in = from.column(feature);
    std::uint8_t* const out = to.own_values.data() + feature * to.stride;
    for (std::size_t i = 0; i < rows; ++i) out[i] = in[source[i].row];
  }
  for (std::size_t i = 0; i < rows; ++i) {
    to.entries[i] = {static_cast<std::uint32_t>(i), source[i].copies, source[i].label};
    if (!to.weights.empty()) to.weights[i] = from.weights[source[i].row];
  }
  Pending out = pending;
  out.begin = 0;
  out.end = rows;
  return out;
}

// Sorts the entries of the node to their sides, keeping their order; returns where the right side begins.
std::size_t TreeGrower::divide(Level& level, const Pending& pending, const Split& split) {
  const std::uint8_t* const bin_of = level.column(split.feature);
  Entry* const entries = level.entries.data();
  Entry* const scratch = scratch_.data();
  std::size_t left = pending.begin, right = 0;
  for (std::size_t i = pending.begin; i < pending.end; ++i) {
    const Entry entry = entries[i];
    const bool goes_left = bin_of[entry.row] <= split.below;
    entries[left] = entry;
    scratch[right] = entry;
    left += goes_left ? 1 : 0;
    right += goes_left ? 0 : 1;
  }
  std::copy_n(scratch, right, entries + left);
  return left;
}

void TreeGrower::make_inner(GrownTree& tree, std::size_t node, const Split& split) {
  const std::size_t left = tree.nodes.size();
  tree.nodes.resize(left + 2);
  tree.covers.resize(left + 2);
  tree.nodes[node] =
      model::Node::inner(binned_.threshold(split.feature, split.below, split.above), split.feature, left);
}

void TreeGrower::make_leaf(GrownTree& tree, std::size_t node) {
  const std::size_t width = classes_ == 2 ? 1 : classes_;
  std::size_t present = 0, only = 0;
  for (std::size_t cls = 0; cls < classes_; ++cls) {
    if (totals_[cls] == 0) continue;
    ++present;
    only = cls;
  }
  const auto next = static_cast<std::uint32_t>(tree.shares.size() / width);
  if (present == 1) {
    if (pure_leaves_[only] != kNone) {
      tree.nodes[node] = model::Node::leaf(node, pure_leaves_[only]);
      return;
    }
    pure_leaves_[only] = next;
  }
  tree.nodes[node] = model::Node::leaf(node, next);
  for (std::size_t i = 0; i < width; ++i) {
    const double weight = totals_[classes_ == 2 ? 1 : i];
    tree.shares.push_back(total_ > 0 ? static_cast<float>(weight / total_)
                                     : 1.0f / static_cast<float>(classes_));
  }
}

}  // namespace nidus::learn::internal
