#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/parallel.h"
#include "base/random.h"
#include "learn/internal/binned.h"
#include "learn/internal/tree_grower.h"

namespace nidus::learn::internal {

// First and second derivative of the loss of a row, as two whole numbers in one word, so that adding both to
// a bin is one addition, and the sums are the same in any order. A quantum is 2^-19 of the largest derivative
// of any row. What is lost is rounded up or down by chance, in proportion, so that sums are right on average
// (as in Shi and others, Quantized Training of Gradient Boosting Decision Trees, 2022, with far fewer bits).
class Gradients {
 public:
  static constexpr int kBits = 19;
  // So many of them can be added in one word: second derivatives fill the lower half of it.
  static constexpr std::size_t kSumMax = std::size_t{1} << (31 - kBits);

  // No first derivative is beyond ±first_max, no second below 0 or above second_max.
  Gradients(double first_max, double second_max) : first_(kMost / first_max), second_(kMost / second_max) {}

  // noise: evenly drawn bits.
  std::int64_t pack(double first, double second, std::uint64_t noise) const {
    const double a = static_cast<double>(noise & 0xffffffffu) * 0x1p-32;
    const double b = static_cast<double>(noise >> 32) * 0x1p-32;
    // Both are above zero with the offset, so that cutting them is rounding down.
    const auto g =
        static_cast<std::int64_t>(first * first_ + a + kOffset) - static_cast<std::int64_t>(kOffset);
    const auto h = static_cast<std::int64_t>(second * second_ + b);
    return g * (std::int64_t{1} << 32) + h;
  }
  double first(std::int64_t quanta) const { return static_cast<double>(quanta) / first_; }
  double second(std::int64_t quanta) const { return static_cast<double>(quanta) / second_; }

 private:
  static constexpr double kMost = (1 << kBits) - 2, kOffset = 1 << (kBits + 1);

  double first_, second_;  // quanta in one
};

struct BoostGrowOptions {
  std::size_t max_depth = 6;
  double min_child_weight = 1;
  double lambda = 1;
  double gamma = 0;
  double learning_rate = 0.3;
  double columns_per_tree = 1;
};

// Grows the trees of gradient boosting as XGBoost defines them (Chen and Guestrin 2016, equations 5 to 7 and
// the sparsity-aware search), on binned values, depth first. The same tree for any number of threads. Keeps
// the room it needs, so that one grower serves many trees. Not thread-safe.
class BoostGrower {
 public:
  struct Leaf {
    float value = 0;
    std::size_t begin = 0, end = 0;  // where its rows are
    unsigned buffer = 0;
  };
  struct Room {
    std::span<std::uint32_t> rows;      // ascending
    std::span<std::int64_t> gradients;  // of these rows
  };

  // binned is one for boosting. Both must outlive the grower.
  BoostGrower(const Binned& binned, const BoostGrowOptions& options, Workers& workers);

  // Where the rows of the next tree are to be put, so many of them; valid until grow().
  Room room(std::size_t rows);
  // Shares of the tree are the values of its leaves, one a leaf. `random` draws its columns.
  GrownTree grow(const Gradients& gradients, Random random);

  // Of the tree grown last, until room() is called.
  std::span<const Leaf> leaves() const { return leaves_; }
  std::span<const std::uint32_t> rows(const Leaf& leaf) const {
    return std::span(rows_[leaf.buffer]).subspan(leaf.begin, leaf.end - leaf.begin);
  }

 private:
  struct Cell {
    std::int64_t first = 0, second = 0;
  };
  struct Split {
    static constexpr double kGainMin = 1e-6;  // less is rounding; XGBoost's kRtEps
    double gain = kGainMin;
    std::uint32_t feature = 0;
    std::uint16_t below = 0;  // bins up to this one go left
    bool missing_right = false;
    Cell left;

    bool found() const { return gain > kGainMin; }
  };
  struct Open {
    std::uint32_t node = 0;
    std::uint32_t depth = 0;
    std::size_t begin = 0, end = 0;
    unsigned buffer = 0;     // of rows_ and gradients_ that holds them
    std::uint32_t slot = 0;  // of histograms_
    Cell sum;
    Split split;
  };

  void draw_columns(Random& random);
  bool may_split(const Open& open) const;
  void add_rows(std::size_t tile, const Open& open, Cell* histogram) const;
  void search(std::size_t tile, const Open& open, const Cell* histogram, Split& best) const;
  void search_root(Open& root);
  void search_children(const Open& parent, Open& left, Open& right);
  void divide(const Open& open, Open& left, Open& right);
  float threshold(const Split& split) const;
  double value(const Cell& sum) const;
  std::uint32_t take_slot();
  void finish(GrownTree& tree);

  const Binned& binned_;
  BoostGrowOptions options_;
  Workers& workers_;
  std::size_t tiles_;
  std::vector<std::size_t> offsets_;  // of each feature in a histogram; behind the last, its size
  std::vector<std::uint8_t> drawn_;   // of each feature: may this tree use it?

  // Rows and their gradients, together in the order of the nodes. Dividing a node moves them from one of the
  // two buffers to the same places of the other.
  std::array<std::vector<std::uint32_t>, 2> rows_;
  std::array<std::vector<std::int64_t>, 2> gradients_;
  std::vector<std::uint8_t> sides_;  // of rows being divided: 1 for left
  std::vector<std::vector<Cell>> histograms_;
  std::vector<std::uint32_t> free_slots_;
  std::vector<Split> found_;  // by tile, left and right
  const Gradients* scale_ = nullptr;

  std::vector<Open> open_;
  std::vector<Cell> sums_;     // of each node
  std::vector<double> gains_;  // of each node that was split
  std::vector<std::uint32_t> leaf_nodes_;
  std::vector<Leaf> leaves_;
};

}  // namespace nidus::learn::internal
