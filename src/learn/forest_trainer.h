#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "base/result.h"
#include "learn/dataset.h"
#include "learn/progress.h"
#include "model/forest.h"

namespace nidus::learn {

struct ForestOptions {
  std::size_t trees = 100;
  std::size_t max_depth = 0;           // 0: until the leaves are pure
  std::size_t min_leaf = 1;            // rows in a leaf, copies drawn by the bootstrap counted
  std::size_t features_per_split = 0;  // 0: the square root of their number, rounded down, at least 1
  std::size_t bins = 255;              // values of a feature told apart, 2 to 255
  bool bootstrap = true;  // each tree learns from as many rows as there are, drawn with replacement
  // Extra trees instead of a random forest: at each split one cut a feature is drawn, evenly over its bins,
  // and the best of these is taken. Their authors use them without bootstrap.
  bool extra_trees = false;
  bool balanced = false;  // weigh classes so that each counts the same
  std::uint64_t seed = 1;
  std::size_t threads = 0;  // 0: all processors
  bool out_of_bag = false;  // estimate the quality from the rows each tree did not see
  // At most this many nodes in all trees together, for a model that must stay small; each tree gets its share
  // and splits where it gains most first. 0: as many as it takes, up to the limits of model::Node.
  std::size_t nodes_max = 0;
  // A file that takes each tree as it is finished, and from which the same training goes on; see Checkpoint.
  // More trees than before are the same training.
  std::filesystem::path checkpoint;  // empty: none
  Progress progress;                 // may be empty
};

struct FittedForest {
  model::Forest forest;
  std::size_t resumed = 0;  // trees that came from the checkpoint
  // The mean share of the trees that did not see a row, row-major, rows × outputs; NaN for a row that all of
  // them saw. Empty unless asked for.
  std::vector<double> out_of_bag_scores;
  std::optional<double> out_of_bag_accuracy;
};

// Breiman's random forest on binned values: bootstrap, a random choice of features at every split, Gini
// impurity, any number of classes. The same bytes for the same rows, options and seed, whatever the number of
// threads.
//
// Errc::invalid for no rows, fewer than two classes, a class count of zero rows throughout, weights that are
// not finite; Errc::unsupported beyond the inputs or nodes a tree may have; Errc::exhausted when progress
// said stop; Errc::io for a checkpoint that cannot be written, Errc::corrupt for one that was tampered with.
Result<FittedForest> fit_forest(const Dataset& training, const ForestOptions& options = {});

// About how many bytes fit_forest takes beside the rows and the model: a byte for each value, a fifteenth of
// that and eighteen for each row for each thread. threads: 0 is all processors.
std::uint64_t forest_bytes(std::size_t rows, std::size_t inputs, std::size_t threads);

}  // namespace nidus::learn
