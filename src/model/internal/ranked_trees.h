#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/internal/huge_pages.h"
#include "model/internal/tree_kernel.h"
#include "model/trees.h"

// The trees of a TreeSet as they are walked. Every value of a row is turned once into its rank among all
// thresholds of its feature (see RankColumn); from then on trees compare small integers, and what is missing
// is a rank like any other: a feature whose nodes do not agree on where it goes has two columns.
//
// When all trees are shallow they are written out full, and a batch asks all their nodes. Other trees are
// walked, many rows or trees at once: in nodes of 4 bytes where there are few cuts, else as they stand in the
// file, where nothing is ranked: a node of ranks would be as large, and the trees would be kept twice.
namespace nidus::model::internal {

// The left child is `left` nodes further on, the right one directly behind it. A leaf is its own left child,
// and no rank is above its cut, so walking on from a leaf stays there.
struct NarrowNode {
  std::uint16_t left = 0;
  std::uint8_t column = 0;
  std::uint8_t cut = 0xff;  // right when rank > cut
};
static_assert(sizeof(NarrowNode) == 4);

struct RankedTrees {
  struct Full {
    std::size_t nodes = 0, leaves = 0, depth = 0;  // where its nodes and leaves begin
  };
  enum class Form : std::uint8_t { full8, full16, narrow, plain };

  // As many trees as there are depths, from `first` on. The parts have been checked and live as long as this
  // does. `kernel` too. Some of the trees, instead of all, can be walked only when they become full8.
  RankedTrees(const TreeSet::Parts& parts, std::span<const std::uint16_t> depths,
              const TreeKernel& kernel = best_kernel(), std::size_t first = 0);

  // The table of cuts is aligned where it lies.
  RankedTrees(const RankedTrees&) = delete;
  RankedTrees& operator=(const RankedTrees&) = delete;

  // See TreeSet::add_leaves. `parts` are those it was made from.
  template <class Sum>
  void add(const TreeSet::Parts& parts, const float* rows, std::size_t count,
           std::span<const std::uint32_t> groups, std::size_t outputs, Sum* sums) const;

  // "full trees, 8-bit ranks, avx2".
  std::string describe() const;

  const TreeKernel& kernel;
  std::size_t first = 0;
  Form form = Form::plain;
  std::size_t cuts_most = 0;  // of one column
  std::vector<RankColumn> columns;
  std::vector<float> cuts;  // of all columns; see cut_table()
  std::size_t cuts_begin = 0;

  // Only those of the form are filled, and none for plain trees. Narrow nodes have the numbers they have in
  // the parts.
  HugeVector<NarrowNode> narrow;
  std::vector<Full> full;
  std::vector<FullNode> full_nodes;
  std::vector<std::uint32_t> full_leaves;  // leaf numbers, 2^depth of each tree
  std::vector<float> full_values;          // and the values of those leaves, if they have one each,
  std::vector<double> full_wide_values;    // in the type they have

  // Aligned to a block of cuts.
  const float* cut_table() const { return cuts.data() + cuts_begin; }
};

// The trees as they are walked one lot behind the other: all in one, or, where the cuts of all together ask
// for 16 bits, in as few lots as make 8 do, if that is less work. Ranks of 8 bits let twice as many rows into
// a register; each lot ranks the rows anew.
using RankedLots = std::vector<std::shared_ptr<const RankedTrees>>;
RankedLots rank_in_lots(const TreeSet::Parts& parts, std::span<const std::uint16_t> depths);

}  // namespace nidus::model::internal
