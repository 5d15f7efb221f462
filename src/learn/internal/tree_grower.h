#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "learn/internal/binned.h"
#include "model/trees.h"

namespace nidus::learn::internal {

// A tree before its leaves got their numbers in the forest: leaf numbers are lines of `shares`. Children
// stand in pairs behind their parents.
struct GrownTree {
  std::vector<model::Node> nodes;
  std::vector<float> covers;  // of each node: weight of the rows that came here
  std::vector<float> shares;  // leaf × width, where width is 1 with two classes, else their number
  std::vector<std::uint8_t> missing_right;  // of each node: 1 if what is missing goes right; or empty
  bool too_large = false;                   // stopped at the limit of model::Node
};

// A tree as it stands in a checkpoint, and back: nothing for bytes that are no tree whose leaves have `width`
// shares. Features and values are left to TreeSet::make.
std::string to_bytes(const GrownTree& tree);
std::optional<GrownTree> tree_from_bytes(std::string_view bytes, std::size_t width);
// The same of a round of boosting: `trees` trees whose leaves have one value.
std::string round_to_bytes(std::span<const GrownTree> round);
std::optional<std::vector<GrownTree>> round_from_bytes(std::string_view bytes, std::size_t trees);

struct GrowOptions {
  std::size_t max_depth = 0;  // 0: no limit
  std::size_t min_leaf = 1;
  std::size_t features_per_split = 1;
  std::size_t nodes_max = 0;  // of this tree; 0: no limit but that of model::Node
  bool random_cuts = false;   // extra trees: one cut a feature, drawn instead of searched
};

// Labels and weights of the rows. Spans must outlive the grower.
struct Targets {
  std::span<const std::uint32_t> labels;  // below the number of classes
  std::span<const double> class_weights;  // one for each class, finite and not negative
  std::span<const float>
      row_weights;  // as many as rows, or none, which is 1 for all; multiplied with the former
};

// Grows one tree at a time. Keeps the room it needs, so that one grower serves many trees; what a tree looks
// like does not depend on the trees before it.
class TreeGrower {
 public:
  // At most 65,536 classes.
  TreeGrower(const Binned& binned, const Targets& targets, const GrowOptions& options);

  // copies[row]: how often the bootstrap drew the row; at least one of them is above zero.
  GrownTree grow(std::span<const std::uint16_t> copies, Random random);

 private:
  // A row of the node at hand, numbered as in the table of its level.
  struct Entry {
    std::uint32_t row;
    std::uint16_t copies;
    std::uint16_t label;
  };
  // The rows that a subtree is grown from, column by column: level 0 is the whole table, each further level a
  // sixteenth of the one before.
  struct Level {
    std::size_t capacity = 0;  // rows
    std::vector<std::uint8_t> own_values;
    const std::uint8_t* values = nullptr;
    std::size_t stride = 0;       // from column to column
    std::vector<double> weights;  // copies not counted; empty without row weights
    std::vector<Entry> entries;

    const std::uint8_t* column(std::size_t feature) const { return values + feature * stride; }
  };
  struct Split {
    double purity = -1;  // sum of squares over sum, of both sides; below zero: none found
    std::uint32_t feature = 0;
    std::uint16_t below = 0;  // rows up to this bin go left
    std::uint16_t above = 0;  // the next bin that has rows
  };
  struct Pending {
    std::uint32_t node = 0;
    std::uint32_t depth = 0;
    std::size_t begin = 0, end = 0;  // its entries
    std::uint32_t constant = 0;      // which slot of constants_ says what does not vary in these rows
    double gain = 0;                 // these two only when the best node is split first
    Split split;
  };
  class BinaryTally;
  class ClassTally;

  void grow_depth_first(std::size_t level, const Pending& root, GrownTree& tree);
  void grow_best_first(const Pending& root, GrownTree& tree);
  // Counts the rows of the node. False when it must stay a leaf.
  bool count(const Level& level, const Pending& pending);
  bool find_split(const Level& level, const Pending& pending, Split& split);
  template <class Tally>
  bool find_split_with(const Level& level, const Pending& pending, Split& split);
  template <class Tally>
  bool search(const Level& level, std::size_t begin, std::size_t end, std::size_t feature, Split& best);
  template <class Tally>
  bool search_few(const Level& level, std::size_t begin, std::size_t end, std::size_t feature, Split& best);
  template <class Tally>
  bool search_random(const Level& level, std::size_t begin, std::size_t end, std::size_t feature,
                     Split& best);
  // The deepest level with room for so many rows; `from` if it is not worth the copying.
  std::size_t level_for(std::size_t rows, std::size_t from) const;
  Pending gather(const Pending& pending, const Level& from, Level& to);
  std::size_t divide(Level& level, const Pending& pending, const Split& split);
  void make_inner(GrownTree& tree, std::size_t node, const Split& split);
  void make_leaf(GrownTree& tree, std::size_t node);

  std::uint32_t take_slot();
  std::uint64_t* constant(std::uint32_t slot) { return constants_.data() + std::size_t{slot} * words_; }

  const Binned& binned_;
  Targets targets_;
  std::size_t classes_;
  GrowOptions options_;
  bool binary_;        // two classes and no row weights: whole numbers will do
  std::size_t words_;  // of a slot

  Random random_{0};
  std::vector<Level> levels_;
  std::vector<Entry> scratch_;
  std::vector<std::uint32_t> features_;
  std::vector<Pending> open_;
  std::vector<std::uint64_t> constants_;
  std::vector<std::uint32_t> free_slots_;
  std::vector<std::uint32_t> pure_leaves_;  // by class: the leaf of that class alone, or none yet

  // Of the node at hand.
  std::vector<double> totals_;  // weight by class
  double total_ = 0;
  double total_squares_ = 0;
  std::uint64_t total_copies_ = 0;
  std::uint64_t total_cell_ = 0;

  // All zero between searches.
  std::vector<std::uint64_t> cells_;       // BinaryTally, by bin
  std::vector<double> histogram_;          // ClassTally, bin × class
  std::vector<std::uint32_t> bin_copies_;  // ClassTally, by bin
  std::vector<double> left_, right_;
};

}  // namespace nidus::learn::internal
