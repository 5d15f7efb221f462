#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "model/trees.h"

// Exact Shapley values of one tree.
//
// The game: v(S) is what the tree says when only the columns in S are known. At a split by a known column the
// walk follows the row, else it goes both ways, weighted by the shares of the training weight. By Owen's
// multilinear extension (Owen, "Multilinear extensions of games", 1972) the Shapley value of column i is the
// integral over t from 0 to 1 of d/dx_i of the expected v, if each column is known with probability t by
// itself. For one leaf, with the columns j on its path, o_j = 1 if the row passes all their splits there
// (else 0) and z_j the product of the shares at them, that is
//
//     value × (o_i - z_i) × integral of product over j ≠ i of (t o_j + (1 - t) z_j) dt:
//
// a polynomial in t whose degree is below the number of columns on the path, d. Gauss and Legendre's rule
// with n points is exact up to degree 2 n - 1, so d / 2 points suffice: 4 for trees of depth 8, where the
// textbook algorithm (Lundberg 2020, algorithm 2) takes time d² a leaf, and the polynomials of Linear
// TreeSHAP (Yu et al. 2022) are evaluated at d points. All terms of the products are positive, so nothing
// cancels.
//
// At one point t everything is linear in the size of the tree. Upwards, the expectation G of each subtree:
// where the column is known the side of the row, h, else the mean of both by their shares r:
//
//     G = t G_h + (1 - t) (r_h G_h + r_c G_c).
//
// Downwards, the probability C that the walk comes by. The two children together give column i
//
//     r_c C (G_h - G_c).
//
// A column may split again further down the path. If the row failed an earlier split by it, the walk can only
// be here because the column is unknown: G is the mean, and nothing is contributed. If it passed them, and z
// is the share of the weight that did, the column is known with probability t / f and unknown with (1 - t) z
// / f, where f = t + (1 - t) z; what was attributed to it above must be taken back, which leaves z r_c C (G_h
// - G_c) / f².
//
// The points lie in the lanes of vectors, four in each.
namespace nidus::model::internal {

// The points of a rule on [0, 1], a multiple of four.
struct ShapRule {
  std::size_t points = 0;
  std::vector<double> weights;
  // t, 1 - t, zeros, ones: the latter two are the chances to know and not to know a column of which the row
  // failed an earlier split.
  std::vector<double> chances;
};

// An inner node. Values of children stand in slots: those of leaves first, then those of steps. [0] is the
// left child. So that the passes need not branch, a step without `again` has a side of a state 0 that always
// holds, and inverses that are ones.
struct ShapStep {
  double share[2];  // of the weight that came here
  double passed;    // z: product of the shares at earlier splits by this player, 1 if there is none
  float threshold;
  std::uint16_t feature;
  std::uint8_t missing_right;
  std::uint8_t side;  // of `again` on which this step stands: 1 is right
  std::uint32_t player;
  std::uint32_t child[2];  // slots
  std::uint32_t again;     // one more than the step above that last split by this player; 0 if there is none
  std::uint32_t inverse;   // where its 1 / f begin
};

// Depth first: a step stands before the steps below it.
struct ShapTree {
  std::vector<ShapStep> steps;
  std::vector<std::uint32_t> leaves;  // leaf numbers by slot
  std::vector<double> inverses;       // ones, then 1 / f at each point
  const ShapRule* rule = nullptr;
  double weight = 0;  // at the root

  std::size_t points() const { return rule->points; }
  std::size_t slots() const { return leaves.size() + steps.size(); }
};

// Keeps one rule for each number of points.
class ShapRules {
 public:
  // Exact for `players` on a path.
  const ShapRule* rule_for(std::size_t players);

 private:
  std::vector<std::unique_ptr<ShapRule>> rules_;
};

// The trees of a set, which has covers. players[f] is the column that feature f was made of. Errc::corrupt if
// a node has two parents or none, Errc::exhausted if a tree would take more than 1 GiB.
Result<std::vector<ShapTree>> shap_trees(const TreeSet& trees, std::span<const std::uint32_t> players,
                                         ShapRules& rules);

// What the tree says as long as it knows nothing, for these values by leaf number.
double mean_of(const ShapTree& tree, std::span<const double> leaf_values);

// Room for any of the trees it was made for. Not shared between threads.
struct ShapScratch {
  void make_room(const ShapTree& tree);

  std::vector<double> values;   // G: slot × points
  std::vector<double> chances;  // C times the weight of the point: step × points
  std::vector<std::uint8_t>
      states;  // by step: 1 goes right, 2 the row passed all earlier splits by this player
};

// Puts the values of the leaves where explain_tree looks for them: once for all rows of a tree.
void set_leaves(const ShapTree& tree, std::span<const double> leaf_values, ShapScratch& scratch);

// Adds scale × Shapley value to contributions[player] for each player.
void explain_tree(const ShapTree& tree, const float* row, double scale, ShapScratch& scratch,
                  double* contributions);

}  // namespace nidus::model::internal
