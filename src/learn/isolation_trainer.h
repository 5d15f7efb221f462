#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "learn/dataset.h"
#include "learn/progress.h"
#include "model/additive_trees.h"

namespace nidus::learn {

struct IsolationOptions {
  std::size_t trees = 300;
  std::size_t samples = 256;  // rows that each tree is grown from, drawn without replacement; 2 to 65,535
  std::uint64_t seed = 1;
  std::size_t threads = 0;  // 0: all processors
  Progress progress;        // may be empty
};

// The isolation forest of Liu, Ting and Zhou (2008) as scikit-learn grows it: a tree splits a column drawn
// evenly among those that vary in the node, at a place drawn evenly between its lowest and highest value
// there, down to ceil(log2(samples)) splits or single rows; a leaf of n rows counts as the mean search path
// of n more. Scores are minus scikit-learn's score_samples. Missing values go left.
//
// Learns from all rows and never looks at a label. The same forest for the same rows, options and seed,
// whatever the number of threads. It takes moments, so it keeps no checkpoint.
//
// Errc::invalid for no rows, or options out of their ranges; Errc::unsupported beyond the columns that trees
// may have; Errc::exhausted when progress said stop.
Result<model::AdditiveTrees> fit_isolation_forest(const Dataset& training,
                                                  const IsolationOptions& options = {});

// The threshold that scikit-learn's `contamination` draws: of the rows learnt from, that share scores above
// its minus offset_, by numpy's linear interpolation. A row is an attack when its score reaches what is
// returned, which is the next number, as scikit-learn wants a score strictly above. Errc::invalid without
// scores, with a NaN among them, or for a share outside (0, 0.5].
Result<double> contamination_threshold(std::span<const double> training_scores, double contamination);

}  // namespace nidus::learn
