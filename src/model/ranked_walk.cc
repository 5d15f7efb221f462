#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <type_traits>

#include "model/internal/ranked_trees.h"

// Rows through ranked trees. A walk is a chain: node, rank, comparison, next node; each link waits for
// memory. So many walks are kept under way: of many rows in one tree, or of one row in many trees. Rows come
// in blocks whose ranks stay in the nearest cache while the trees pass by.
namespace nidus::model::internal {
namespace {

constexpr std::size_t kScratchBytes = 32 * 1024;
constexpr std::size_t kLanes = 8;       // walks in one group, and rows in a strip for deep trees
constexpr std::size_t kRowsMax = 256;   // of a block
constexpr std::size_t kFewForFull = 6;  // up to so many rows, each goes through the trees by itself
constexpr std::size_t kFewForDeep = 3;

// Room for ranks: on the stack unless rows are unusually wide.
struct Scratch {
  explicit Scratch(std::size_t bytes) {
    if (bytes > sizeof here) there = std::make_unique<std::uint8_t[]>(bytes);
  }
  template <class Rank>
  Rank* as() {
    return reinterpret_cast<Rank*>(there != nullptr ? there.get() : here);
  }
  alignas(64) std::uint8_t here[kScratchBytes];
  std::unique_ptr<std::uint8_t[]> there;
};

template <class Sum>
struct Sums {
  const TreeSet::Parts& parts;
  std::span<const std::uint32_t> groups;
  std::size_t outputs;
  Sum* sums;

  Sums from_row(std::size_t row) const { return {parts, groups, outputs, sums + row * outputs}; }

  // A float a leaf and a sum a row: the usual case, worth loops of its own.
  bool single() const { return parts.width == 1 && outputs == 1 && parts.wide_leaves.empty(); }
  float value(std::size_t leaf) const { return parts.leaves[leaf]; }

  void add(std::size_t tree, std::size_t row, std::size_t leaf) const {
    if (parts.wide_leaves.empty()) {
      add(tree, row, parts.leaves.data() + leaf * parts.width);
    } else {
      add(tree, row, parts.wide_leaves.data() + leaf * parts.width);
    }
  }

 private:
  template <class Value>
  void add(std::size_t tree, std::size_t row, const Value* values) const {
    Sum* to = sums + row * outputs;
    if (parts.width == 1) {
      to[groups.empty() ? 0 : groups[tree]] += static_cast<Sum>(values[0]);
    } else {
      for (std::size_t i = 0; i < parts.width; ++i) to[i] += static_cast<Sum>(values[i]);
    }
  }
};

template <class Rank>
constexpr Rank flip_of(bool full) {
  return full ? static_cast<Rank>(std::size_t{1} << (8 * sizeof(Rank) - 1)) : Rank{0};
}

// Ranks of `count` rows; lanes without a row are zero.
template <class Rank>
void rank_rows(const RankedTrees& trees, std::size_t inputs, const float* rows, std::size_t count,
               std::size_t lanes, bool full, Rank* strips) {
  const TreeKernel::Rows in = {trees.columns, trees.cut_table(), rows, inputs, count, lanes};
  if (count > 1 && count % lanes != 0) {
    const std::size_t strip = trees.columns.size() * lanes;
    std::fill_n(strips + count / lanes * strip, strip, Rank{0});
  }
  if constexpr (sizeof(Rank) == 1) trees.kernel.rank8(in, flip_of<Rank>(full), strips);
  if constexpr (sizeof(Rank) == 2) trees.kernel.rank16(in, flip_of<Rank>(full), strips);
  if constexpr (sizeof(Rank) == 4) trees.kernel.rank32(in, flip_of<Rank>(full), strips);
}

// ---- full trees

template <class Rank, class Sum>
void add_full(const RankedTrees& trees, const Sums<Sum>& sums, const float* rows, std::size_t count,
              Rank* strips) {
  const std::size_t bytes = trees.kernel.bytes, lanes = bytes / sizeof(Rank);
  const std::size_t stride = trees.columns.size() * bytes, some = (count + lanes - 1) / lanes;
  rank_rows(trees, sums.parts.inputs, rows, count, lanes, true, strips);
  alignas(64) Rank places[kRowsMax];
  for (std::size_t tree = 0; tree < trees.full.size(); ++tree) {
    const auto& one = trees.full[tree];
    const FullNode* nodes = trees.full_nodes.data() + one.nodes;
    if constexpr (sizeof(Rank) == 1) trees.kernel.full8(nodes, one.depth, strips, stride, some, places);
    if constexpr (sizeof(Rank) == 2) trees.kernel.full16(nodes, one.depth, strips, stride, some, places);
    if (sums.single()) {
      const float* values = trees.full_values.data() + one.leaves;
      for (std::size_t row = 0; row < count; ++row) sums.sums[row] += static_cast<Sum>(values[places[row]]);
    } else {
      const std::uint32_t* leaves = trees.full_leaves.data() + one.leaves;
      for (std::size_t row = 0; row < count; ++row) sums.add(tree, row, leaves[places[row]]);
    }
  }
}

// One row through several full trees of one depth, which is known so that their nodes lie at known places.
// Ranks lie kOffsetUnit bytes apart.
constexpr std::size_t kTogether = 8;

template <std::size_t kDepth, class Rank>
void walk_full(const FullNode* trees, const std::uint8_t* ranks, std::uint32_t* places) {
  using Signed = std::make_signed_t<Rank>;
  constexpr std::size_t kInner = (std::size_t{1} << kDepth) - 1;
  std::size_t at[kTogether] = {};
  for (std::size_t level = 0; level < kDepth; ++level) {
#pragma GCC unroll 8
    for (std::size_t i = 0; i < kTogether; ++i) {
      const FullNode& node = trees[i * kInner + at[i]];
      Signed rank;
      std::memcpy(&rank, ranks + node.offset, sizeof rank);
      at[i] = 2 * at[i] + 1 + (static_cast<Signed>(node.cut) <= rank ? 1 : 0);
    }
  }
  for (std::size_t i = 0; i < kTogether; ++i) places[i] = static_cast<std::uint32_t>(at[i] - kInner);
}

template <class Rank>
void walk_full_one(const FullNode* tree, std::size_t depth, const std::uint8_t* ranks, std::uint32_t* place) {
  using Signed = std::make_signed_t<Rank>;
  std::size_t at = 0;
  for (std::size_t level = 0; level < depth; ++level) {
    Signed rank;
    std::memcpy(&rank, ranks + tree[at].offset, sizeof rank);
    at = 2 * at + 1 + (static_cast<Signed>(tree[at].cut) <= rank ? 1 : 0);
  }
  *place = static_cast<std::uint32_t>(at + 1 - (std::size_t{1} << depth));
}

template <class Rank, class Sum>
void add_full_row(const RankedTrees& trees, const Sums<Sum>& sums, const float* row, Rank* scratch) {
  using Walk = void (*)(const FullNode*, const std::uint8_t*, std::uint32_t*);
  static constexpr Walk kWalks[kFullDepthMax] = {walk_full<1, Rank>, walk_full<2, Rank>, walk_full<3, Rank>,
                                                 walk_full<4, Rank>, walk_full<5, Rank>, walk_full<6, Rank>,
                                                 walk_full<7, Rank>, walk_full<8, Rank>};
  rank_rows(trees, sums.parts.inputs, row, 1, kOffsetUnit / sizeof(Rank), true, scratch);
  const auto* ranks = reinterpret_cast<const std::uint8_t*>(scratch);
  const std::size_t count = trees.full.size();
  for (std::size_t tree = 0; tree < count;) {
    const auto& one = trees.full[tree];
    const FullNode* nodes = trees.full_nodes.data() + one.nodes;
    std::uint32_t places[kTogether];
    std::size_t some = 1;
    while (some < kTogether && tree + some < count && trees.full[tree + some].depth == one.depth) ++some;
    if (some == kTogether) {
      kWalks[one.depth - 1](nodes, ranks, places);
    } else {
      some = 1;
      walk_full_one<Rank>(nodes, one.depth, ranks, places);
    }
    const std::size_t leaves = std::size_t{1} << one.depth;
    if (sums.single()) {
      const float* values = trees.full_values.data() + one.leaves;
      Sum sum = sums.sums[0];
      for (std::size_t i = 0; i < some; ++i) sum += static_cast<Sum>(values[i * leaves + places[i]]);
      sums.sums[0] = sum;
    } else {
      for (std::size_t i = 0; i < some; ++i)
        sums.add(tree + i, 0, trees.full_leaves[one.leaves + i * leaves + places[i]]);
    }
    tree += some;
  }
}

// ---- deep trees

// kStrips strips through one tree.
template <std::size_t kStrips, class Deep>
inline void walk_strips(const Deep* tree, const typename Deep::Rank* strips, std::size_t stride,
                        std::size_t* at) {
  std::fill_n(at, kStrips * kLanes, std::size_t{0});
  for (std::size_t moved = 1; moved != 0;) {
    moved = 0;
    for (std::size_t s = 0; s < kStrips; ++s) {
#pragma GCC unroll 8
      for (std::size_t i = 0; i < kLanes; ++i) {
        const Deep& node = tree[at[s * kLanes + i]];
        const auto rank = strips[s * stride + std::size_t{node.column} * kLanes + i];
        const std::size_t left = node.left;
        moved |= left;
        at[s * kLanes + i] += left + (rank > node.cut ? 1 : 0);
      }
    }
  }
}

template <class Deep, class Sum>
void add_deep(const RankedTrees& trees, const HugeVector<Deep>& nodes, const Sums<Sum>& sums,
              const float* rows, std::size_t count, typename Deep::Rank* strips) {
  const std::size_t stride = trees.columns.size() * kLanes, groups = (count + kLanes - 1) / kLanes;
  rank_rows(trees, sums.parts.inputs, rows, count, kLanes, false, strips);
  std::size_t at[kRowsMax];
  for (std::size_t tree = 0; tree + 1 < sums.parts.roots.size(); ++tree) {
    const std::size_t root = sums.parts.roots[tree], end = sums.parts.roots[tree + 1];
    // While this tree is walked, the next one comes nearer, a piece with each group.
    const auto* next = reinterpret_cast<const char*>(nodes.data() + end);
    const std::size_t next_bytes =
        tree + 2 < sums.parts.roots.size() ? (sums.parts.roots[tree + 2] - end) * sizeof(Deep) : 0;
    const std::size_t piece = next_bytes / groups + 1;
    for (std::size_t group = 0; group < groups; ++group) {
      for (std::size_t byte = group * piece; byte < std::min((group + 1) * piece, next_bytes); byte += 64)
        __builtin_prefetch(next + byte, 0, 2);
      walk_strips<1>(nodes.data() + root, strips + group * stride, stride, at + group * kLanes);
    }
    const Node* originals = sums.parts.nodes.data() + root;
    if (sums.single()) {
      for (std::size_t row = 0; row < count; ++row)
        sums.sums[row] += static_cast<Sum>(sums.value(originals[at[row]].leaf_number()));
    } else {
      for (std::size_t row = 0; row < count; ++row) sums.add(tree, row, originals[at[row]].leaf_number());
    }
  }
}

// One row through kTrees trees.
template <std::size_t kTrees, class Deep, class Sum>
void add_deep_row_group(const HugeVector<Deep>& nodes, const Sums<Sum>& sums,
                        const typename Deep::Rank* ranks, std::size_t first) {
  std::size_t at[kTrees];
  for (std::size_t i = 0; i < kTrees; ++i) at[i] = sums.parts.roots[first + i];
  for (std::size_t moved = 1; moved != 0;) {
    moved = 0;
#pragma GCC unroll 16
    for (std::size_t i = 0; i < kTrees; ++i) {
      const Deep& node = nodes[at[i]];
      const std::size_t left = node.left;
      moved |= left;
      at[i] += left + (ranks[node.column] > node.cut ? 1 : 0);
    }
  }
  for (std::size_t i = 0; i < kTrees; ++i) sums.add(first + i, 0, sums.parts.nodes[at[i]].leaf_number());
}

template <class Deep, class Sum>
void add_deep_row(const RankedTrees& trees, const HugeVector<Deep>& nodes, const Sums<Sum>& sums,
                  const float* row, typename Deep::Rank* ranks) {
  rank_rows(trees, sums.parts.inputs, row, 1, 1, false, ranks);
  const std::size_t count = sums.parts.roots.size() - 1;
  std::size_t tree = 0;
  for (; tree + 16 <= count; tree += 16) add_deep_row_group<16>(nodes, sums, ranks, tree);
  for (; tree + 4 <= count; tree += 4) add_deep_row_group<4>(nodes, sums, ranks, tree);
  for (; tree < count; ++tree) add_deep_row_group<1>(nodes, sums, ranks, tree);
}

// Blocks of rows by whichever way suits their number.
template <class Rank, class Sum, class Block, class Row>
void in_blocks(const RankedTrees& trees, const Sums<Sum>& sums, const float* rows, std::size_t count,
               std::size_t lanes, std::size_t few, const Block& block, const Row& row) {
  const std::size_t strip = trees.columns.size() * lanes * sizeof(Rank);
  const std::size_t fit = std::max<std::size_t>(kScratchBytes / std::max<std::size_t>(strip, 1), 1);
  const std::size_t most = std::min(fit * lanes, kRowsMax);
  Scratch scratch(std::max(count > few ? strip : 0, trees.columns.size() * kOffsetUnit));
  for (std::size_t first = 0; first < count;) {
    const std::size_t left = count - first;
    const std::size_t some = left > few ? std::min(left, most) : 1;
    const float* from = rows + first * sums.parts.inputs;
    if (left > few) {
      block(sums.from_row(first), from, some, scratch.template as<Rank>());
    } else {
      row(sums.from_row(first), from, scratch.template as<Rank>());
    }
    first += some;
  }
}

}  // namespace

template <class Sum>
void RankedTrees::add(const TreeSet::Parts& parts, const float* rows, std::size_t count,
                      std::span<const std::uint32_t> groups, std::size_t outputs, Sum* to) const {
  const Sums<Sum> sums = {parts, groups, outputs, to};
  const auto through_full = [&]<class Rank>(Rank) {
    in_blocks<Rank>(
        *this, sums, rows, count, kernel.bytes / sizeof(Rank), kFewForFull,
        [&](const Sums<Sum>& into, const float* from, std::size_t some, Rank* scratch) {
          add_full(*this, into, from, some, scratch);
        },
        [&](const Sums<Sum>& into, const float* from, Rank* scratch) {
          add_full_row(*this, into, from, scratch);
        });
  };
  const auto through_deep = [&]<class Deep>(const HugeVector<Deep>& nodes) {
    using Rank = typename Deep::Rank;
    in_blocks<Rank>(
        *this, sums, rows, count, kLanes, kFewForDeep,
        [&](const Sums<Sum>& into, const float* from, std::size_t some, Rank* scratch) {
          add_deep(*this, nodes, into, from, some, scratch);
        },
        [&](const Sums<Sum>& into, const float* from, Rank* scratch) {
          add_deep_row(*this, nodes, into, from, scratch);
        });
  };
  switch (form) {
    case Form::full8:
      return through_full(std::uint8_t{});
    case Form::full16:
      return through_full(std::uint16_t{});
    case Form::narrow:
      return through_deep(narrow);
    case Form::wide:
      return through_deep(wide);
    case Form::huge:
      return through_deep(huge);
  }
}

template void RankedTrees::add(const TreeSet::Parts&, const float*, std::size_t,
                               std::span<const std::uint32_t>, std::size_t, float*) const;
template void RankedTrees::add(const TreeSet::Parts&, const float*, std::size_t,
                               std::span<const std::uint32_t>, std::size_t, double*) const;

}  // namespace nidus::model::internal
