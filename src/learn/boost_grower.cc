#include "learn/internal/boost_grower.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <utility>

// A node's histogram holds, for each bin of each feature, the sums of both derivatives over its rows. Of two
// siblings only the one with fewer rows is added up; the other is its parent's less that, exactly, as sums
// are whole numbers. It takes its parent's place, so that depth first a tree needs one histogram a level.
//
// What costs time is adding rows to bins: 80 features and a million rows are 80 million additions a level,
// each to another place. Bins of eight features of a row stand side by side, so that one load brings eight of
// them; and the sums of eight features, a word a bin, are 16 KiB, which the fastest cache holds.
namespace nidus::learn::internal {
namespace {

// Rows that are divided together.
constexpr std::size_t kChunk = 16'384;
// Fewer rows than this are not worth waking other threads for.
constexpr std::size_t kAlone = 2'000;
// How far ahead of the row at hand its bins are fetched: nodes far down have their rows scattered.
constexpr std::size_t kAhead = 16;

void run(Workers& workers, bool together, std::size_t count, const std::function<void(std::size_t)>& body) {
  if (together) return workers.run(count, body);
  for (std::size_t i = 0; i < count; ++i) body(i);
}

}  // namespace

BoostGrower::BoostGrower(const Binned& binned, const BoostGrowOptions& options, Workers& workers)
    : binned_(binned),
      options_(options),
      workers_(workers),
      tiles_((binned.features() + Binned::kTile - 1) / Binned::kTile),
      offsets_(binned.features() + 1),
      drawn_(binned.features(), 1),
      found_(tiles_ * 2) {
  for (std::size_t i = 0; i < binned.features(); ++i) offsets_[i + 1] = offsets_[i] + binned.bins(i);
}

BoostGrower::Room BoostGrower::room(std::size_t rows) {
  for (unsigned i = 0; i < 2; ++i) {
    rows_[i].resize(rows);
    gradients_[i].resize(rows);
  }
  sides_.resize(rows);
  return {rows_[0], gradients_[0]};
}

void BoostGrower::draw_columns(Random& random) {
  if (options_.columns_per_tree >= 1) return;
  const auto all = static_cast<double>(drawn_.size());
  const auto wanted = static_cast<std::size_t>(std::max(1.0, all * options_.columns_per_tree));
  std::vector<std::uint32_t> order(drawn_.size());
  std::iota(order.begin(), order.end(), 0u);
  std::fill(drawn_.begin(), drawn_.end(), std::uint8_t{0});
  for (std::size_t i = 0; i < wanted; ++i) {
    std::swap(order[i], order[i + random.below(order.size() - i)]);
    drawn_[order[i]] = 1;
  }
}

std::uint32_t BoostGrower::take_slot() {
  if (free_slots_.empty()) {
    histograms_.emplace_back(offsets_.back());
    return static_cast<std::uint32_t>(histograms_.size() - 1);
  }
  const auto slot = free_slots_.back();
  free_slots_.pop_back();
  return slot;
}

double BoostGrower::value(const Cell& sum) const {
  const double weight = scale_->second(sum.second) + options_.lambda;
  if (!(weight > 0)) return 0;
  constexpr double kMost = 1e30;  // so that margins stay finite, whatever the options
  return std::clamp(options_.learning_rate * (-scale_->first(sum.first) / weight), -kMost, kMost);
}

bool BoostGrower::may_split(const Open& open) const {
  return open.depth < options_.max_depth && open.end - open.begin >= 2 && open.sum.second > 0 &&
         scale_->second(open.sum.second) >= 2 * options_.min_child_weight;
}

void BoostGrower::add_rows(std::size_t tile, const Open& open, Cell* histogram) const {
  constexpr std::size_t kTile = Binned::kTile;
  alignas(64) std::uint64_t sums[kTile][256] = {};
  const std::uint8_t* const bins = binned_.tile(tile);
  const std::uint32_t* const rows = rows_[open.buffer].data();
  const std::int64_t* const gradients = gradients_[open.buffer].data();
  const std::size_t first = tile * kTile, last = std::min(first + kTile, binned_.features());
  std::fill(histogram + offsets_[first], histogram + offsets_[last], Cell{});
  for (std::size_t begin = open.begin; begin < open.end; begin += Gradients::kSumMax) {
    const std::size_t end = std::min(open.end, begin + Gradients::kSumMax);
    for (std::size_t i = begin; i < end; ++i) {
      if (i + kAhead < open.end) __builtin_prefetch(bins + std::size_t{rows[i + kAhead]} * kTile);
      std::uint64_t eight = 0;
      std::memcpy(&eight, bins + std::size_t{rows[i]} * kTile, kTile);
      const auto gradient = static_cast<std::uint64_t>(gradients[i]);
      sums[0][eight & 255] += gradient;
      sums[1][eight >> 8 & 255] += gradient;
      sums[2][eight >> 16 & 255] += gradient;
      sums[3][eight >> 24 & 255] += gradient;
      sums[4][eight >> 32 & 255] += gradient;
      sums[5][eight >> 40 & 255] += gradient;
      sums[6][eight >> 48 & 255] += gradient;
      sums[7][eight >> 56] += gradient;
    }
    for (std::size_t feature = first; feature < last; ++feature) {
      Cell* const cells = histogram + offsets_[feature];
      std::uint64_t* const part = sums[feature - first];
      const std::size_t count = binned_.bins(feature);
      for (std::size_t bin = 0; bin < count; ++bin) {
        cells[bin].first += static_cast<std::int64_t>(part[bin]) >> 32;
        cells[bin].second += static_cast<std::int64_t>(part[bin] & 0xffffffffu);
        part[bin] = 0;
      }
    }
  }
}

// The best split by a feature of the tile; what is missing goes to whichever side is better, and where
// nothing is missing, to the heavier one.
void BoostGrower::search(std::size_t tile, const Open& open, const Cell* histogram, Split& best) const {
  const double lambda = options_.lambda, first_unit = scale_->first(1), second_unit = scale_->second(1);
  const auto weight_min = static_cast<std::int64_t>(
      std::min(1e18, std::ceil(std::max(options_.min_child_weight / second_unit, 1.0))));
  const double own = first_unit * static_cast<double>(open.sum.first);
  const double own_gain = own * own / (second_unit * static_cast<double>(open.sum.second) + lambda);
  const auto gain = [&](const Cell& left, const Cell& right) {
    const double l = first_unit * static_cast<double>(left.first),
                 r = first_unit * static_cast<double>(right.first);
    const double lw = second_unit * static_cast<double>(left.second) + lambda,
                 rw = second_unit * static_cast<double>(right.second) + lambda;
    return (l * l * rw + r * r * lw) / (lw * rw) - own_gain;
  };
  const std::size_t begin = tile * Binned::kTile, end = std::min(begin + Binned::kTile, binned_.features());
  for (std::size_t feature = begin; feature < end; ++feature) {
    if (drawn_[feature] == 0) continue;
    const Cell* const cells = histogram + offsets_[feature];
    const std::size_t bins = binned_.bins(feature);
    const Cell missing = cells[0];
    const bool some_missing = missing.first != 0 || missing.second != 0;
    const auto consider = [&](const Cell& left, std::size_t bin, bool missing_right) {
      const Cell right = {open.sum.first - left.first, open.sum.second - left.second};
      if (left.second < weight_min || right.second < weight_min) return;
      const double found = gain(left, right);
      if (!(found > best.gain)) return;
      best = {found, static_cast<std::uint32_t>(feature), static_cast<std::uint16_t>(bin),
              some_missing ? missing_right : left.second < right.second, left};
    };
    Cell left;
    for (std::size_t bin = 1; bin + 1 < bins; ++bin) {
      if (cells[bin].first == 0 && cells[bin].second == 0) continue;
      left.first += cells[bin].first;
      left.second += cells[bin].second;
      consider(left, bin, true);
      if (some_missing) consider({left.first + missing.first, left.second + missing.second}, bin, false);
    }
    // All numbers to the left, what is missing to the right.
    if (some_missing && std::isfinite(binned_.highest(feature)))
      consider({open.sum.first - missing.first, open.sum.second - missing.second}, bins - 1, true);
  }
}

void BoostGrower::search_root(Open& root) {
  root.slot = take_slot();
  Cell* const histogram = histograms_[root.slot].data();
  run(workers_, root.end - root.begin > kAlone, tiles_, [&](std::size_t tile) {
    add_rows(tile, root, histogram);
    found_[tile] = {};
    search(tile, root, histogram, found_[tile]);
  });
  root.split = {};
  for (std::size_t tile = 0; tile < tiles_; ++tile) {
    if (found_[tile].gain > root.split.gain) root.split = found_[tile];
  }
}

void BoostGrower::search_children(const Open& parent, Open& left, Open& right) {
  const bool left_goes_on = may_split(left), right_goes_on = may_split(right);
  left.split = right.split = {};
  if (!left_goes_on && !right_goes_on) return free_slots_.push_back(parent.slot);
  const bool left_is_smaller = left.end - left.begin < right.end - right.begin;
  Open &smaller = left_is_smaller ? left : right, &larger = left_is_smaller ? right : left;
  smaller.slot = take_slot();
  larger.slot = parent.slot;
  Cell* const of_smaller = histograms_[smaller.slot].data();
  Cell* const of_larger = histograms_[larger.slot].data();
  run(workers_, parent.end - parent.begin > kAlone, tiles_, [&](std::size_t tile) {
    add_rows(tile, smaller, of_smaller);
    const std::size_t begin = tile * Binned::kTile, end = std::min(begin + Binned::kTile, binned_.features());
    for (std::size_t i = offsets_[begin]; i < offsets_[end]; ++i) {
      of_larger[i].first -= of_smaller[i].first;
      of_larger[i].second -= of_smaller[i].second;
    }
    found_[tile * 2] = found_[tile * 2 + 1] = {};
    if (left_goes_on) search(tile, left, histograms_[left.slot].data(), found_[tile * 2]);
    if (right_goes_on) search(tile, right, histograms_[right.slot].data(), found_[tile * 2 + 1]);
  });
  for (std::size_t tile = 0; tile < tiles_; ++tile) {
    if (found_[tile * 2].gain > left.split.gain) left.split = found_[tile * 2];
    if (found_[tile * 2 + 1].gain > right.split.gain) right.split = found_[tile * 2 + 1];
  }
  if (!left.split.found()) free_slots_.push_back(left.slot);
  if (!right.split.found()) free_slots_.push_back(right.slot);
}

// Moves the rows of the node to the other buffer, those that go left in front, in their order.
void BoostGrower::divide(const Open& open, Open& left, Open& right) {
  const Split& split = open.split;
  std::array<std::uint8_t, 256> goes_left{};
  goes_left[0] = split.missing_right ? 0 : 1;
  for (std::size_t bin = 1; bin <= split.below; ++bin) goes_left[bin] = 1;
  const std::uint8_t* const bins =
      binned_.tile(split.feature / Binned::kTile) + split.feature % Binned::kTile;
  const unsigned from = open.buffer, to = 1 - from;
  const std::size_t rows = open.end - open.begin, chunks = (rows + kChunk - 1) / kChunk;
  std::vector<std::size_t> lefts(chunks);  // of each chunk
  const auto end_of = [&](std::size_t chunk) {
    return std::min(open.end, open.begin + (chunk + 1) * kChunk);
  };
  run(workers_, chunks > 1, chunks, [&](std::size_t chunk) {
    const std::size_t end = end_of(chunk);
    const std::uint32_t* const rows_from = rows_[from].data();
    std::size_t count = 0;
    for (std::size_t i = open.begin + chunk * kChunk; i < end; ++i) {
      if (i + kAhead < end) __builtin_prefetch(bins + std::size_t{rows_from[i + kAhead]} * Binned::kTile);
      sides_[i] = goes_left[bins[std::size_t{rows_from[i]} * Binned::kTile]];
      count += sides_[i];
    }
    lefts[chunk] = count;
  });
  const std::size_t middle = open.begin + std::accumulate(lefts.begin(), lefts.end(), std::size_t{0});
  std::vector<std::size_t> left_places(chunks), right_places(chunks);
  for (std::size_t chunk = 0, left_at = open.begin, right_at = middle; chunk < chunks; ++chunk) {
    left_places[chunk] = left_at;
    right_places[chunk] = right_at;
    left_at += lefts[chunk];
    right_at += std::min(kChunk, rows - chunk * kChunk) - lefts[chunk];
  }
  run(workers_, chunks > 1, chunks, [&](std::size_t chunk) {
    std::size_t left_at = left_places[chunk], right_at = right_places[chunk];
    for (std::size_t i = open.begin + chunk * kChunk, end = end_of(chunk); i < end; ++i) {
      const std::size_t goes = sides_[i], place = goes != 0 ? left_at : right_at;
      rows_[to][place] = rows_[from][i];
      gradients_[to][place] = gradients_[from][i];
      left_at += goes;
      right_at += 1 - goes;
    }
  });
  left.begin = open.begin;
  left.end = right.begin = middle;
  right.end = open.end;
  left.buffer = right.buffer = to;
  left.depth = right.depth = open.depth + 1;
  left.sum = split.left;
  right.sum = {open.sum.first - split.left.first, open.sum.second - split.left.second};
}

// A row goes right from the lowest value of the next bin on, as in XGBoost: what lies between two bins is not
// known to be like the upper one.
float BoostGrower::threshold(const Split& split) const {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  if (split.below + 1u == binned_.bins(split.feature))
    return std::nextafter(std::numeric_limits<float>::max(), 0.0f);
  return std::nextafter(binned_.lowest(split.feature, split.below + 1u), -kInfinity);
}

GrownTree BoostGrower::grow(const Gradients& gradients, Random random) {
  scale_ = &gradients;
  draw_columns(random);
  free_slots_.resize(histograms_.size());
  std::iota(free_slots_.begin(), free_slots_.end(), 0u);
  sums_.clear();
  gains_.clear();
  leaves_.clear();
  leaf_nodes_.clear();
  open_.clear();

  GrownTree tree;
  const auto add_node = [&](const Cell& sum) {
    tree.nodes.emplace_back();
    tree.missing_right.push_back(0);
    sums_.push_back(sum);
    gains_.push_back(0);
    return static_cast<std::uint32_t>(tree.nodes.size() - 1);
  };
  Open root;
  root.end = rows_[0].size();
  for (const auto gradient : gradients_[0]) {
    root.sum.first += gradient >> 32;
    root.sum.second += gradient & 0xffffffff;
  }
  root.node = add_node(root.sum);
  root.split = {};
  if (may_split(root)) search_root(root);
  open_.push_back(root);
  while (!open_.empty()) {
    const Open at = open_.back();
    open_.pop_back();
    if (!at.split.found() || tree.nodes.size() + 2 > model::Node::kNodesMax) {
      leaf_nodes_.push_back(at.node);
      leaves_.push_back({0, at.begin, at.end, at.buffer});
      continue;
    }
    Open left, right;
    divide(at, left, right);
    left.node = add_node(left.sum);
    right.node = add_node(right.sum);
    tree.nodes[at.node] = model::Node::inner(threshold(at.split), at.split.feature, left.node);
    tree.missing_right[at.node] = at.split.missing_right ? 1 : 0;
    gains_[at.node] = at.split.gain;
    search_children(at, left, right);
    open_.push_back(right);
    open_.push_back(left);
  }
  finish(tree);
  return tree;
}

// Takes back splits of two leaves that gain less than gamma, numbers the leaves and gives them their values.
void BoostGrower::finish(GrownTree& tree) {
  std::vector<std::uint8_t> is_leaf(tree.nodes.size(), 0);
  for (const auto node : leaf_nodes_) is_leaf[node] = 1;
  for (std::size_t node = tree.nodes.size(); node-- > 0;) {
    if (is_leaf[node] != 0) continue;
    const std::size_t left = tree.nodes[node].left();
    if (gains_[node] < options_.gamma && is_leaf[left] != 0 && is_leaf[left + 1] != 0) is_leaf[node] = 1;
  }
  // What a node became: itself, or the leaf above it. Nodes that are left stand in their old order.
  std::vector<std::uint32_t> becomes(tree.nodes.size());
  GrownTree out;
  std::vector<std::uint32_t> old = {0};
  becomes[0] = 0;
  for (std::size_t node = 0; node < tree.nodes.size(); ++node) {
    const model::Node from = tree.nodes[node];
    const std::uint32_t here = becomes[node];
    const bool dropped = old[here] != node;
    if (!dropped) {
      out.nodes.resize(std::max(out.nodes.size(), std::size_t{here} + 1));
      out.covers.resize(out.nodes.size());
      out.missing_right.resize(out.nodes.size());
      out.covers[here] = static_cast<float>(scale_->second(sums_[node].second));
      if (is_leaf[node] != 0) {
        out.nodes[here] = model::Node::leaf(here, out.shares.size());
        out.shares.push_back(static_cast<float>(value(sums_[node])));
      } else {
        out.nodes[here] = model::Node::inner(from.threshold(), from.feature(), old.size());
        out.missing_right[here] = tree.missing_right[node];
      }
    }
    if (gains_[node] == 0) continue;  // it never had children
    for (std::size_t side = 0; side < 2; ++side) {
      if (is_leaf[node] != 0 || dropped) {
        becomes[from.left() + side] = here;
      } else {
        becomes[from.left() + side] = static_cast<std::uint32_t>(old.size());
        old.push_back(static_cast<std::uint32_t>(from.left() + side));
      }
    }
  }
  for (std::size_t i = 0; i < leaves_.size(); ++i) {
    const model::Node& leaf = out.nodes[becomes[leaf_nodes_[i]]];
    leaves_[i].value = out.shares[leaf.leaf_number()];
  }
  tree = std::move(out);
}

}  // namespace nidus::learn::internal
