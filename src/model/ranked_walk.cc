#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <type_traits>

#include "model/internal/ranked_trees.h"

// Rows through trees. A walk is a chain: node, rank, comparison, next node; each link waits for
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

  // A value a leaf and a sum a row: the usual case, worth loops of its own.
  bool one_each() const { return parts.width == 1 && outputs == 1; }
  bool single() const { return one_each() && parts.wide_leaves.empty(); }
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
    const auto add = [&](const auto* values) {
      for (std::size_t row = 0; row < count; ++row) sums.sums[row] += static_cast<Sum>(values[places[row]]);
    };
    if (sums.single()) {
      add(trees.full_values.data() + one.leaves);
    } else if (sums.one_each()) {
      add(trees.full_wide_values.data() + one.leaves);
    } else {
      const std::uint32_t* leaves = trees.full_leaves.data() + one.leaves;
      for (std::size_t row = 0; row < count; ++row) sums.add(trees.first + tree, row, leaves[places[row]]);
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
    const auto add = [&](const auto* values) {
      Sum sum = sums.sums[0];
      for (std::size_t i = 0; i < some; ++i) sum += static_cast<Sum>(values[i * leaves + places[i]]);
      sums.sums[0] = sum;
    };
    if (sums.single()) {
      add(trees.full_values.data() + one.leaves);
    } else if (sums.one_each()) {
      add(trees.full_wide_values.data() + one.leaves);
    } else {
      for (std::size_t i = 0; i < some; ++i)
        sums.add(trees.first + tree + i, 0, trees.full_leaves[one.leaves + i * leaves + places[i]]);
    }
    tree += some;
  }
}

// ---- deep trees

// kWalks of them at once: walk i begins at node begin(i) and asks row(i), which is the place of value number
// `column`. `nodes` are those of all trees; at[i] becomes the number of the leaf's node.
//
// Narrow nodes, rows of ranks.
template <std::size_t kWalks, class Row>
inline void walk_deep(const NarrowNode* nodes, const Row& row, std::size_t* at) {
  for (std::size_t moved = 1; moved != 0;) {
    moved = 0;
#pragma GCC unroll 16
    for (std::size_t i = 0; i < kWalks; ++i) {
      const NarrowNode& node = nodes[at[i]];
      const std::size_t left = node.left;
      moved |= left;
      at[i] += left + (*row(i, node.column) > node.cut ? 1 : 0);
    }
  }
}

// Nodes as in the file, rows of values. With kMissing the nodes say where NaN goes, else to the left, since
// it is not greater than anything. Children are counted from the root of their tree.
template <std::size_t kWalks, bool kMissing, class Root, class Row, class Place>
inline void walk_plain(const TreeSet::Parts& parts, std::size_t base, const Root& root, const Row& row,
                       Place* at) {
  const Node* const nodes = parts.nodes.data() + base;
  for (Place moved = 1; moved != 0;) {
    moved = 0;
#pragma GCC unroll 16
    for (std::size_t i = 0; i < kWalks; ++i) {
      const Node node = nodes[at[i]];
      const float value = *row(i, node.feature());
      Place right = value > node.threshold() ? 1 : 0;
      if constexpr (kMissing) {
        const std::size_t bit = parts.missing_right[(base + at[i]) / 64] >> ((base + at[i]) % 64) & 1;
        right |= static_cast<Place>(value != value && !node.is_leaf() ? bit : 0);
      }
      const auto next = static_cast<Place>(root(i) + node.left() + right);
      moved |= next ^ at[i];
      at[i] = next;
    }
  }
}

// Asks for the memory of a tree, a piece with each group of rows.
class Prefetch {
 public:
  template <class Any>
  Prefetch(const Any* nodes, std::size_t count, std::size_t groups)
      : next_(reinterpret_cast<const char*>(nodes)),
        end_(next_ + count * sizeof(Any)),
        piece_(count * sizeof(Any) / groups + 1) {}
  void some() {
    for (const char* const end = next_ + std::min(piece_, static_cast<std::size_t>(end_ - next_));
         next_ < end; next_ += 64)
      __builtin_prefetch(next_, 0, 2);
    next_ = std::min(next_, end_);
  }

 private:
  const char *next_, *end_;
  std::size_t piece_;
};

// Rows through one tree after the other. walk(root, first row, places) takes kLanes rows.
template <class Any, class Sum, class Walk>
void walk_trees(const Any* nodes, const Sums<Sum>& sums, std::size_t count, const Walk& walk) {
  const auto& roots = sums.parts.roots;
  const std::size_t groups = (count + kLanes - 1) / kLanes;
  std::size_t at[kRowsMax];
  for (std::size_t tree = 0; tree + 1 < roots.size(); ++tree) {
    const std::size_t root = roots[tree], end = roots[tree + 1];
    Prefetch next(nodes + end, tree + 2 < roots.size() ? roots[tree + 2] - end : 0, groups);
    for (std::size_t group = 0; group < groups; ++group) {
      next.some();
      std::fill_n(at + group * kLanes, kLanes, root);
      walk(root, group * kLanes, at + group * kLanes);
    }
    const Node* const originals = sums.parts.nodes.data();
    if (sums.single()) {
      for (std::size_t row = 0; row < count; ++row)
        sums.sums[row] += static_cast<Sum>(sums.value(originals[at[row]].leaf_number()));
    } else {
      for (std::size_t row = 0; row < count; ++row) sums.add(tree, row, originals[at[row]].leaf_number());
    }
  }
}

// One row through several trees at a time. walk(how many, first tree, places), where how many is a constant.
template <class Sum, class Walk>
void walk_row(const Sums<Sum>& sums, const Walk& walk) {
  const auto& roots = sums.parts.roots;
  const std::size_t count = roots.size() - 1;
  std::size_t tree = 0;
  const auto together = [&]<std::size_t kTrees>(std::integral_constant<std::size_t, kTrees> some) {
    for (; tree + kTrees <= count; tree += kTrees) {
      std::size_t at[kTrees];
      std::copy_n(roots.begin() + tree, kTrees, at);
      walk(some, tree, at);
      for (std::size_t i = 0; i < kTrees; ++i) sums.add(tree + i, 0, sums.parts.nodes[at[i]].leaf_number());
    }
  };
  together(std::integral_constant<std::size_t, 16>());
  together(std::integral_constant<std::size_t, 4>());
  together(std::integral_constant<std::size_t, 1>());
}

template <class Sum>
void add_narrow(const RankedTrees& trees, const Sums<Sum>& sums, const float* rows, std::size_t count,
                std::uint8_t* strips) {
  const std::size_t stride = trees.columns.size() * kLanes;
  rank_rows(trees, sums.parts.inputs, rows, count, kLanes, false, strips);
  walk_trees(trees.narrow.data(), sums, count, [&](std::size_t, std::size_t first, std::size_t* at) {
    const std::uint8_t* const strip = strips + first / kLanes * stride;
    walk_deep<kLanes>(
        trees.narrow.data(), [&](std::size_t i, std::size_t column) { return strip + column * kLanes + i; },
        at);
  });
}

template <class Sum>
void add_narrow_row(const RankedTrees& trees, const Sums<Sum>& sums, const float* row, std::uint8_t* ranks) {
  rank_rows(trees, sums.parts.inputs, row, 1, 1, false, ranks);
  walk_row(sums, [&](auto some, std::size_t, std::size_t* at) {
    walk_deep<some>(
        trees.narrow.data(), [&](std::size_t, std::size_t column) { return ranks + column; }, at);
  });
}

template <bool kMissing, class Sum>
void add_plain(const Sums<Sum>& sums, const float* strips, std::size_t count) {
  const std::size_t stride = sums.parts.inputs * kLanes;
  walk_trees(sums.parts.nodes.data(), sums, count, [&](std::size_t root, std::size_t first, std::size_t* at) {
    const float* const strip = strips + first / kLanes * stride;
    std::uint32_t in_tree[kLanes] = {};
    walk_plain<kLanes, kMissing>(
        sums.parts, root, [](std::size_t) { return std::size_t{0}; },
        [strip](std::size_t i, std::size_t column) { return strip + column * kLanes + i; }, in_tree);
    for (std::size_t i = 0; i < kLanes; ++i) at[i] = root + in_tree[i];
  });
}

template <bool kMissing, class Sum>
void add_plain_row(const Sums<Sum>& sums, const float* row) {
  walk_row(sums, [&](auto some, std::size_t first, std::size_t* at) {
    walk_plain<some, kMissing>(
        sums.parts, 0, [&](std::size_t i) { return std::size_t{sums.parts.roots[first + i]}; },
        [row](std::size_t, std::size_t column) { return row + column; }, at);
  });
}

// Of kLanes rows after kLanes rows: column by column. Where rows are missing at the end, the last stands
// again.
void to_strips(const float* rows, std::size_t count, std::size_t inputs, float* strips) {
  for (std::size_t first = 0; first < count; first += kLanes, strips += inputs * kLanes) {
    for (std::size_t i = 0; i < kLanes; ++i) {
      const float* const row = rows + std::min(first + i, count - 1) * inputs;
      for (std::size_t column = 0; column < inputs; ++column) strips[column * kLanes + i] = row[column];
    }
  }
}

// Blocks of rows. Trees are larger than rows, so a block is as large as it can be: each tree comes once for
// it.
template <class Sum>
void add_plain_rows(const Sums<Sum>& sums, const float* rows, std::size_t count) {
  const std::size_t inputs = sums.parts.inputs;
  std::unique_ptr<float[]> strips;
  for (std::size_t first = 0; first < count;) {
    const std::size_t left = count - first, some = left > kFewForDeep ? std::min(left, kRowsMax) : 1;
    const float* const from = rows + first * inputs;
    std::uint32_t missing = 0;
    if (!sums.parts.missing_right.empty()) {
      for (std::size_t i = 0; i < some * inputs; ++i) missing |= from[i] != from[i] ? 1u : 0u;
    }
    const auto into = sums.from_row(first);
    if (some > 1) {
      if (strips == nullptr)
        strips = std::make_unique_for_overwrite<float[]>((some + kLanes - 1) / kLanes * kLanes * inputs);
      to_strips(from, some, inputs, strips.get());
      missing != 0 ? add_plain<true>(into, strips.get(), some) : add_plain<false>(into, strips.get(), some);
    } else {
      missing != 0 ? add_plain_row<true>(into, from) : add_plain_row<false>(into, from);
    }
    first += some;
  }
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
  switch (form) {
    case Form::full8:
      return through_full(std::uint8_t{});
    case Form::full16:
      return through_full(std::uint16_t{});
    case Form::narrow:
      return in_blocks<std::uint8_t>(
          *this, sums, rows, count, kLanes, kFewForDeep,
          [&](const Sums<Sum>& into, const float* from, std::size_t some, std::uint8_t* scratch) {
            add_narrow(*this, into, from, some, scratch);
          },
          [&](const Sums<Sum>& into, const float* from, std::uint8_t* scratch) {
            add_narrow_row(*this, into, from, scratch);
          });
    case Form::plain:
      return add_plain_rows(sums, rows, count);
  }
}

template void RankedTrees::add(const TreeSet::Parts&, const float*, std::size_t,
                               std::span<const std::uint32_t>, std::size_t, float*) const;
template void RankedTrees::add(const TreeSet::Parts&, const float*, std::size_t,
                               std::span<const std::uint32_t>, std::size_t, double*) const;

}  // namespace nidus::model::internal
