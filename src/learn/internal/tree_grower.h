#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/random.h"
#include "learn/internal/binned.h"

namespace nidus::learn::internal {

// A tree before its leaves got their numbers in the forest. Children stand in pairs behind their parents.
struct GrownTree {
  struct GrownNode {
    float threshold = 0;
    std::uint32_t feature = 0;
    std::uint32_t left = 0;  // 0 in a leaf
    std::uint32_t leaf = 0;  // in a leaf: which one of `shares`
    float cover = 0;         // weight of the rows that came here
  };
  std::vector<GrownNode> nodes;
  std::vector<float> shares;  // leaf × width
  bool too_large = false;     // stopped at the limit of model::Node
};

struct GrowOptions {
  std::size_t max_depth = 0;  // 0: no limit
  std::size_t min_leaf = 1;
  std::size_t features_per_split = 1;
  std::size_t nodes_max = 0;  // of this tree; 0: no limit but that of model::Node
};

// Grows one tree at a time. Keeps the room it needs, so that one grower serves many trees; what a tree looks
// like does not depend on the trees before it.
class TreeGrower {
 public:
  // labels: below `classes`. weights: one for each row, finite and not negative.
  TreeGrower(const Binned& binned, std::span<const std::uint32_t> labels, std::size_t classes,
             std::span<const double> weights, const GrowOptions& options);

  // copies[row]: how often the bootstrap drew the row; at least one of them is above zero.
  GrownTree grow(std::span<const std::uint16_t> copies, Random random);

 private:
  struct Split {
    double purity = -1;  // sum of squares over sum, of both sides; below zero: none found
    std::size_t feature = 0;
    std::size_t below = 0;  // rows up to this bin go left
    std::size_t above = 0;  // the next bin that has rows
  };
  // A node whose split is found but not made.
  struct Pending {
    std::size_t node = 0;
    std::size_t begin = 0, end = 0;  // its rows in rows_
    std::size_t depth = 0;
    double gain = 0;
    Split split;
    std::vector<std::uint64_t> constant;  // one bit a feature: it does not vary in these rows
  };
  class Sweep;

  void consider(Pending pending, GrownTree& tree, std::vector<Pending>& open);
  bool find_split(Pending& pending);
  bool search_many(std::size_t begin, std::size_t end, std::size_t feature, Split& best);
  bool search_few(std::size_t begin, std::size_t end, std::size_t feature, Split& best);
  void make_leaf(std::size_t node, GrownTree& tree);
  std::size_t divide(const Pending& pending);

  const Binned& binned_;
  std::span<const std::uint32_t> labels_;
  std::size_t classes_;
  std::span<const double> weights_;
  GrowOptions options_;

  std::span<const std::uint16_t> copies_;
  Random random_{0};
  std::vector<std::uint32_t> rows_, scratch_;
  std::vector<std::size_t> features_;

  // Of the node at hand, in the order of its rows.
  std::vector<std::uint32_t> node_labels_, node_copies_;
  std::vector<double> node_weights_;
  std::vector<double> totals_;  // by class
  double total_ = 0;
  double total_squares_ = 0;
  std::uint64_t total_copies_ = 0;

  std::vector<double> histogram_;  // bin × class
  std::vector<std::uint32_t> histogram_copies_;
  std::vector<double> left_, right_;
};

}  // namespace nidus::learn::internal
