#include <algorithm>
#include <array>
#include <bit>
#include <limits>

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

// The key of a node's threshold above the number of the node.
using KeyAndNode = std::uint64_t;

// By key: three passes over eleven bits each. Comparing takes five times as long for some thousand of them.
void sort_by_key(std::span<KeyAndNode> all, std::vector<KeyAndNode>& room) {
  constexpr std::size_t kFew = 512;
  if (all.size() < kFew) {
    std::sort(all.begin(), all.end());
    return;
  }
  room.resize(std::max(room.size(), all.size()));
  std::span<KeyAndNode> from = all, to = std::span(room).first(all.size());
  constexpr std::array<unsigned, 3> kShifts = {32, 43, 54};
  std::array<std::array<std::uint32_t, 2048>, kShifts.size()> at{};
  for (const auto one : all) {
    for (std::size_t pass = 0; pass < kShifts.size(); ++pass) ++at[pass][one >> kShifts[pass] & 2047];
  }
  for (std::size_t pass = 0; pass < kShifts.size(); ++pass) {
    std::uint32_t sum = 0;
    for (auto& place : at[pass]) sum += std::exchange(place, sum);
    for (const auto one : from) to[at[pass][one >> kShifts[pass] & 2047]++] = one;
    std::swap(from, to);
  }
  std::copy(from.begin(), from.end(), all.begin());  // three passes end in the other room
}

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

// No rank is above it, whatever the width it is cut to.
constexpr std::uint32_t kLeafCut = 0xffffffff;

// What the nodes ask of one feature.
struct Asked {
  std::size_t begin = 0, end = 0;  // of its keys
  std::array<bool, 2> missing{};   // some node sends missing left, right
};

}  // namespace

RankedTrees::RankedTrees(const TreeSet::Parts& parts, std::span<const std::uint16_t> depths,
                         const TreeKernel& chosen)
    : kernel(chosen) {
  // The thresholds of each feature. Every second node is a leaf, and no processor guesses which: so there is
  // no asking, and leaves go to a feature behind the last, all to one place.
  const std::size_t nobody = parts.inputs;
  std::vector<Asked> asked(parts.inputs + 1);
  std::size_t furthest = 0;
  for (std::size_t tree = 0; tree < depths.size(); ++tree) {
    const std::size_t root = parts.roots[tree];
    for (std::size_t i = root; i < parts.roots[tree + 1]; ++i) {
      const Node node = parts.nodes[i];
      ++asked[node.is_leaf() ? nobody : node.feature()].end;
      furthest = std::max(furthest, node.left() - (i - root));
    }
  }
  std::size_t sum = 0;
  for (auto& one : asked) {
    const std::size_t size = one.end;
    one.begin = one.end = sum;
    sum += size;
  }
  std::vector<KeyAndNode> keys(asked[nobody].begin + 1), room;
  for (std::size_t i = 0; i < parts.nodes.size(); ++i) {
    const Node node = parts.nodes[i];
    Asked& by = asked[node.is_leaf() ? nobody : node.feature()];
    keys[by.end] = KeyAndNode{key_of(node.threshold())} << 32 | i;
    by.end += node.is_leaf() ? 0 : 1;
  }
  for (std::size_t i = 0; !parts.missing_right.empty() && i < parts.nodes.size(); ++i) {
    const Node node = parts.nodes[i];
    asked[node.is_leaf() ? nobody : node.feature()].missing[goes_right(parts, i) ? 1 : 0] = true;
  }

  // Layers of cuts, and the columns that are ranked by them; those with as many layers stand together, so
  // that a processor that ranks one row after the other can tell what comes.
  std::size_t cuts_most = 0;
  std::vector<std::pair<RankColumn, bool>> made;                    // and whether missing goes right
  std::vector<std::uint32_t> cut_of(parts.nodes.size(), kLeafCut);  // of each node
  for (std::size_t feature = 0; feature < parts.inputs; ++feature) {
    const Asked& one = asked[feature];
    if (one.begin == one.end) continue;
    const auto own = std::span(keys).subspan(one.begin, one.end - one.begin);
    sort_by_key(own, room);
    std::vector<float> different;
    std::uint64_t last = ~std::uint64_t{0};
    for (const KeyAndNode here : own) {
      if (const std::uint64_t key = here >> 32; key != last) {
        different.push_back(value_of(static_cast<std::uint32_t>(key)));
        last = key;
      }
      cut_of[static_cast<std::uint32_t>(here)] = static_cast<std::uint32_t>(different.size() - 1);
    }
    const std::size_t size = different.size();
    cuts_most = std::max(cuts_most, size);
    RankColumn column = layers_of(std::move(different), cuts);
    column.feature = static_cast<std::uint32_t>(feature);
    for (const bool right : {false, true}) {
      if (!one.missing[right ? 1 : 0] && (right || !parts.missing_right.empty())) continue;
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

  const auto column_of_node = [&](std::size_t i) {
    return std::size_t{column_of[2 * parts.nodes[i].feature() + (goes_right(parts, i) ? 1 : 0)]};
  };

  const auto make_deep = [&](auto& nodes) {
    using Deep = typename std::remove_reference_t<decltype(nodes)>::value_type;
    nodes.resize(parts.nodes.size());
    for (std::size_t tree = 0; tree < depths.size(); ++tree) {
      const std::size_t root = parts.roots[tree];
      for (std::size_t i = root; i < parts.roots[tree + 1]; ++i) {
        // A leaf is its own left child, and what it asks of no column has an answer that keeps it there.
        nodes[i].left = static_cast<decltype(Deep::left)>(parts.nodes[i].left() - (i - root));
        nodes[i].column = static_cast<decltype(Deep::column)>(column_of_node(i));
        nodes[i].cut = static_cast<decltype(Deep::cut)>(cut_of[i]);
      }
    }
  };
  const auto make_full = [&](std::uint16_t flip) {
    for (std::size_t tree = 0; tree < depths.size(); ++tree) {
      // A tree of one leaf is written as one node with that leaf on both sides.
      const std::size_t depth = std::max<std::size_t>(depths[tree], 1), leaves = std::size_t{1} << depth;
      full.push_back({full_nodes.size(), full_leaves.size(), depth});
      // Of every place, the node that a row comes from or stands at.
      std::vector<std::size_t> at(2 * leaves - 1, parts.roots[tree]);
      const std::size_t root = parts.roots[tree];
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
      if (parts.width != 1 || !parts.wide_leaves.empty()) continue;
      for (std::size_t leaf = full.back().leaves; leaf < full_leaves.size(); ++leaf)
        full_values.push_back(parts.leaves[full_leaves[leaf]]);
    }
  };

  // Written out full, lopsided trees take more room and more comparisons than they are worth.
  std::size_t depth_most = 0, places = 0;
  for (const std::size_t depth : depths) {
    depth_most = std::max(depth_most, depth);
    places += std::size_t{2} << std::min(depth, kFullDepthMax);
  }
  const bool shallow = depth_most <= kFullDepthMax && places / 4 <= parts.nodes.size();
  constexpr std::size_t kByte = 0xff, kWord = 0xffff;
  if (shallow && cuts_most <= kByte) {
    form = Form::full8;
    make_full(0x80);
  } else if (shallow && cuts_most <= kWord) {
    form = Form::full16;
    make_full(0x8000);
  } else if (cuts_most <= kByte && columns.size() <= kByte + 1 && furthest <= kWord) {
    form = Form::narrow;
    make_deep(narrow);
  } else if (cuts_most <= kWord) {
    form = Form::wide;
    make_deep(wide);
  } else {
    form = Form::huge;
    make_deep(huge);
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
    case Form::wide:
      return "deep trees, nodes of 8 bytes" + with;
    case Form::huge:
      return "deep trees, nodes of 12 bytes" + with;
  }
  return {};
}

}  // namespace nidus::model::internal
