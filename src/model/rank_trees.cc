#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "model/internal/ranked_trees.h"

// From the trees of a file to those that are walked. This is part of loading a model, so it must not take
// longer than mapping and checking the file: a forest has a million nodes.
namespace nidus::model::internal {
namespace {

bool goes_right(const TreeSet::Parts& parts, std::size_t node) {
  return !parts.missing_right.empty() && (parts.missing_right[node / 64] >> (node % 64) & 1) != 0;
}

// Integers in the order of the floats. Both zeros become one: no comparison tells them apart.
std::uint32_t key_of(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value + 0.0f);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

float value_of(std::uint32_t key) {
  return std::bit_cast<float>((key & 0x80000000u) != 0 ? key & 0x7fffffffu : ~key);
}

// A key above the place it comes from.
using KeyAndPlace = std::uint64_t;

// Turns thresholds into ranks, one feature after the other.
class Ranker {
 public:
  // The different ones of these keys, as values, ascending; the keys become their ranks among them.
  std::vector<float> rank(std::span<std::uint32_t> keys) {
    const std::size_t size = keys.size();
    keys_.resize(size);
    for (std::size_t i = 0; i < size; ++i) keys_[i] = KeyAndPlace{keys[i]} << 32 | i;
    sort();
    std::vector<float> different(size);
    std::size_t count = 0;
    std::uint32_t last = static_cast<std::uint32_t>(keys_[0] >> 32);
    for (const KeyAndPlace one : keys_) {  // whether a key is new cannot be predicted, so there is no asking
      const auto key = static_cast<std::uint32_t>(one >> 32);
      count += key != last ? 1 : 0;
      last = key;
      different[count] = value_of(key);
      keys[static_cast<std::uint32_t>(one)] = static_cast<std::uint32_t>(count);
    }
    different.resize(count + 1);
    return different;
  }

 private:
  // By key: three passes over a third of the bits in which keys differ. Comparing takes five times as long
  // for some thousand of them.
  void sort() {
    constexpr std::size_t kFew = 512, kPasses = 3;
    if (keys_.size() < kFew) {
      std::sort(keys_.begin(), keys_.end());
      return;
    }
    std::uint64_t least = ~std::uint64_t{0}, most = 0;
    for (const KeyAndPlace one : keys_) {
      least = std::min(least, one);
      most = std::max(most, one);
    }
    least = least >> 32 << 32;
    const auto width = static_cast<unsigned>(std::bit_width((most - least) >> 32));
    const unsigned digit = (width + kPasses - 1) / kPasses;
    const std::uint64_t mask = (std::uint64_t{1} << digit) - 1;
    std::array<std::array<std::uint32_t, 2048>, kPasses> at;
    for (auto& places : at) std::fill_n(places.begin(), mask + 1, 0);
    for (const KeyAndPlace one : keys_) {
      const std::uint64_t key = (one - least) >> 32;
      for (std::size_t pass = 0; pass < kPasses; ++pass) ++at[pass][key >> (pass * digit) & mask];
    }
    room_.resize(keys_.size());
    for (std::size_t pass = 0; pass < kPasses; ++pass) {
      std::uint32_t sum = 0;
      for (std::size_t i = 0; i <= mask; ++i) sum += std::exchange(at[pass][i], sum);
      const std::size_t shift = 32 + pass * digit;
      for (const KeyAndPlace one : keys_) room_[at[pass][(one - least) >> shift & mask]++] = one;
      std::swap(keys_, room_);
    }
  }

  std::vector<KeyAndPlace> keys_, room_;
};

// Appends the layers of these cuts to the table.
RankColumn layers_of(std::vector<float> cuts, std::vector<float>& table) {
  std::vector<std::vector<float>> layers = {std::move(cuts)};
  while (layers.back().size() > RankColumn::kBlock) {
    const auto& below = layers.back();
    std::vector<float> above;
    for (std::size_t i = RankColumn::kBlock; i < below.size(); i += RankColumn::kBlock)
      above.push_back(below[i - 1]);
    layers.push_back(std::move(above));
  }
  CHECK(layers.size() <= RankColumn::kLayersMax);
  RankColumn column;
  column.layers = static_cast<std::uint32_t>(layers.size());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    auto& layer = layers[layers.size() - 1 - i];
    column.at[i] = static_cast<std::uint32_t>(table.size());
    layer.resize((layer.size() + RankColumn::kBlock - 1) / RankColumn::kBlock * RankColumn::kBlock,
                 std::numeric_limits<float>::infinity());
    table.insert(table.end(), layer.begin(), layer.end());
  }
  return column;
}

}  // namespace

RankedTrees::RankedTrees(const TreeSet::Parts& parts, std::span<const std::uint16_t> depths,
                         const TreeKernel& chosen, std::size_t first_tree)
    : kernel(chosen), first(first_tree) {
  const std::span<const std::uint32_t> roots = parts.roots.span().subspan(first, depths.size() + 1);
  // The inner nodes. Every second node is a leaf, and no processor guesses which: so there is no asking.
  HugeVector<std::uint32_t> inner_nodes(roots[depths.size()] - roots[0] + 1);
  std::size_t inner_count = 0, furthest = 0;
  for (std::size_t tree = 0; tree < depths.size(); ++tree) {
    const std::size_t root = roots[tree];
    for (std::size_t i = root; i < roots[tree + 1]; ++i) {
      const Node node = parts.nodes[i];
      inner_nodes[inner_count] = static_cast<std::uint32_t>(i);
      inner_count += node.is_leaf() ? 0 : 1;
      furthest = std::max(furthest, node.left() - (i - root));
    }
  }
  const std::span<const std::uint32_t> inner(inner_nodes.data(), inner_count);

  // The keys of each feature, in the order of the nodes: those of feature f from begins[f] on.
  std::vector<std::uint32_t> begins(parts.inputs + 1);
  for (const auto i : inner) ++begins[parts.nodes[i].feature() + 1];
  std::partial_sum(begins.begin(), begins.end(), begins.begin());
  HugeVector<std::uint32_t> keys(inner.size());
  std::vector<std::uint32_t> next(begins.begin(), begins.end() - 1);
  for (const auto i : inner) {
    const Node node = parts.nodes[i];
    keys[next[node.feature()]++] = key_of(node.threshold());
  }
  // Whether some node sends what is missing left, right.
  std::vector<std::array<bool, 2>> missing(parts.inputs, {true, false});
  if (!parts.missing_right.empty()) {
    missing.assign(parts.inputs, {false, false});
    for (const auto i : inner) missing[parts.nodes[i].feature()][goes_right(parts, i) ? 1 : 0] = true;
  }

  // Written out full, lopsided trees take more room and more comparisons than they are worth; with ranks of 8
  // bits, twice as many of which are compared at once, they have to be very lopsided for that.
  std::size_t depth_most = 0, places = 0;
  for (const std::size_t depth : depths) {
    depth_most = std::max(depth_most, depth);
    places += std::size_t{2} << std::min(depth, kFullDepthMax);
  }
  const std::size_t nodes = roots[depths.size()] - roots[0];
  const auto worth_it = [&](std::size_t lopsided) {
    return depth_most <= kFullDepthMax && places / lopsided <= nodes;
  };
  constexpr std::size_t kByte = 0xff, kWord = 0xffff;
  const std::size_t cuts_limit = worth_it(16) ? kWord : furthest <= kWord ? kByte : 0;

  // Layers of cuts, and the columns that are ranked by them; those with as many layers stand together, so
  // that a processor that ranks one row after the other can tell what comes.
  std::vector<std::pair<RankColumn, bool>> made;  // and whether missing goes right
  Ranker ranker;
  for (std::size_t feature = 0; feature < parts.inputs; ++feature) {
    const std::size_t begin = begins[feature], end = begins[feature + 1];
    if (begin == end) continue;
    auto different = ranker.rank(std::span(keys).subspan(begin, end - begin));
    const std::size_t size = different.size();
    cuts_most = std::max(cuts_most, size);
    if (cuts_most > cuts_limit) {
      cuts = {};
      return;
    }
    RankColumn column = layers_of(std::move(different), cuts);
    column.feature = static_cast<std::uint32_t>(feature);
    for (const bool right : {false, true}) {
      if (!missing[feature][right ? 1 : 0]) continue;
      column.missing = right ? static_cast<std::uint32_t>(size) : 0;
      made.emplace_back(column, right);
    }
  }
  std::stable_sort(made.begin(), made.end(),
                   [](const auto& a, const auto& b) { return a.first.layers < b.first.layers; });
  std::vector<std::uint16_t> column_of(2 * parts.inputs);  // 2 × feature, plus 1 where missing goes right
  for (const auto& [column, right] : made) {
    column_of[2 * column.feature + (right ? 1 : 0)] = static_cast<std::uint16_t>(columns.size());
    columns.push_back(column);
  }
  // A vector promises no more than 16 bytes.
  const std::size_t size = cuts.size();
  constexpr std::size_t kBlockBytes = RankColumn::kBlock * sizeof(float);
  cuts.resize(size + RankColumn::kBlock);
  const auto address = reinterpret_cast<std::uintptr_t>(cuts.data());
  cuts_begin = (kBlockBytes - address % kBlockBytes) % kBlockBytes / sizeof(float);
  std::copy_backward(cuts.begin(), cuts.begin() + static_cast<std::ptrdiff_t>(size),
                     cuts.begin() + static_cast<std::ptrdiff_t>(size + cuts_begin));

  std::copy(begins.begin(), begins.end() - 1, next.begin());
  const auto next_cut = [&](Node node) { return keys[next[node.feature()]++]; };

  const auto column_of_node = [&](std::size_t i) {
    return std::size_t{column_of[2 * parts.nodes[i].feature() + (goes_right(parts, i) ? 1 : 0)]};
  };

  // Nodes are leaves unless they are inner: a leaf is its own left child, and no rank is above its cut.
  const auto make_narrow = [&] {
    narrow.resize(parts.nodes.size());
    std::size_t tree = 0;
    for (const auto i : inner) {
      while (i >= roots[tree + 1]) ++tree;
      const Node node = parts.nodes[i];
      narrow[i] = {static_cast<std::uint16_t>(node.left() - (i - roots[tree])),
                   static_cast<std::uint8_t>(column_of_node(i)), static_cast<std::uint8_t>(next_cut(node))};
    }
  };
  const auto make_full = [&](std::uint16_t flip) {
    std::vector<std::uint32_t> cut_of(parts.nodes.size());
    for (const auto i : inner) cut_of[i] = next_cut(parts.nodes[i]);
    for (std::size_t tree = 0; tree < depths.size(); ++tree) {
      // A tree of one leaf is written as one node with that leaf on both sides.
      const std::size_t depth = std::max<std::size_t>(depths[tree], 1), leaves = std::size_t{1} << depth;
      full.push_back({full_nodes.size(), full_leaves.size(), depth});
      // Of every place, the node that a row comes from or stands at.
      std::vector<std::size_t> at(2 * leaves - 1, roots[tree]);
      const std::size_t root = roots[tree];
      for (std::size_t place = 0; place < leaves - 1; ++place) {
        const Node node = parts.nodes[at[place]];
        FullNode asks;
        if (node.is_leaf()) {
          at[2 * place + 1] = at[2 * place + 2] = at[place];
        } else {
          at[2 * place + 1] = root + node.left();
          at[2 * place + 2] = root + node.left() + 1;
          const std::size_t column = column_of_node(at[place]);
          asks.offset = static_cast<std::uint16_t>(column * kOffsetUnit);
          asks.cut = static_cast<std::uint16_t>((cut_of[at[place]] + 1) ^ flip);
        }
        full_nodes.push_back(asks);
      }
      for (std::size_t place = leaves - 1; place < at.size(); ++place)
        full_leaves.push_back(static_cast<std::uint32_t>(parts.nodes[at[place]].leaf_number()));
      if (parts.width != 1) continue;
      for (std::size_t leaf = full.back().leaves; leaf < full_leaves.size(); ++leaf) {
        if (parts.wide_leaves.empty()) {
          full_values.push_back(parts.leaves[full_leaves[leaf]]);
        } else {
          full_wide_values.push_back(parts.wide_leaves[full_leaves[leaf]]);
        }
      }
    }
  };

  if (worth_it(16) && cuts_most <= kByte) {
    form = Form::full8;
    make_full(0x80);
  } else if (worth_it(4)) {
    form = Form::full16;
    make_full(0x8000);
  } else if (cuts_most <= kByte && columns.size() <= kByte + 1 && furthest <= kWord) {
    form = Form::narrow;
    make_narrow();
  } else {
    cuts = {};
  }
}

std::string RankedTrees::describe() const {
  const std::string with = std::string(", ") + kernel.name;
  switch (form) {
    case Form::full8:
      return "full trees, ranks of 8 bits" + with;
    case Form::full16:
      return "full trees, ranks of 16 bits" + with;
    case Form::narrow:
      return "deep trees, nodes of 4 bytes" + with;
    case Form::plain:
      return "deep trees, nodes of 8 bytes";
  }
  return {};
}

RankedLots rank_in_lots(const TreeSet::Parts& parts, std::span<const std::uint16_t> depths) {
  RankedLots lots;
  lots.push_back(std::make_shared<const RankedTrees>(parts, depths));
  const RankedTrees& whole = *lots[0];
  const bool may_gain = whole.form == RankedTrees::Form::full16 || whole.form == RankedTrees::Form::plain;
  if (!may_gain || whole.columns.empty()) return lots;
  std::size_t nodes = 0;  // of the trees written out full
  for (const std::size_t depth : depths) {
    if (depth > kFullDepthMax) return lots;
    nodes += (std::size_t{1} << depth) - 1;
  }
  // Ranking a row by one column costs as much as half the comparisons of so many nodes.
  constexpr std::size_t kNodesForColumn = 400, kByte = 0xff, kLotsMax = 4;
  const std::size_t most = std::min(nodes / (whole.columns.size() * kNodesForColumn), kLotsMax);
  const auto is_narrow = [](const auto& lot) { return lot->form == RankedTrees::Form::full8; };
  for (std::size_t count = whole.cuts_most / kByte + 1; count <= std::min(most, depths.size()); ++count) {
    RankedLots tried;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t first = depths.size() * i / count, end = depths.size() * (i + 1) / count;
      tried.push_back(std::make_shared<const RankedTrees>(parts, depths.subspan(first, end - first),
                                                          whole.kernel, first));
    }
    if (std::all_of(tried.begin(), tried.end(), is_narrow)) return tried;
  }
  return lots;
}

}  // namespace nidus::model::internal
