#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "base/result.h"
#include "interop/internal/onnx_model.h"
#include "model/trees.h"

namespace nidus::interop::internal::onnx {

// The trees of a node TreeEnsembleClassifier, TreeEnsembleRegressor or TreeEnsemble, as ours.
struct Ensemble {
  // What a tree of ours asks about: a feature as it is, or whether it is one of some numbers, which is 1 or
  // 0.
  struct Column {
    std::uint32_t feature = 0;
    std::vector<double> among;  // empty: as it is
  };

  std::size_t outputs = 0;                // classes or targets
  std::vector<Column> columns;            // the inputs of `trees`, in order
  std::vector<std::vector<double>> cuts;  // of doubles: what each column is ranked by, ascending
  std::optional<model::TreeSet> trees;
  std::vector<std::uint32_t> groups;  // the output of each tree; empty if leaves hold one number for each
  std::vector<bool> voted;            // whether any leaf says anything about this output
  double lowest = std::numeric_limits<double>::infinity();  // of all that leaves say
  std::vector<double> base;                                 // none, or some numbers that are added
  bool average = false;
  std::uint32_t features = 0;  // one more than the highest that is asked about
};

// `wide`: the trees are walked with doubles, so thresholds become ranks. `inputs`: how wide rows are; if
// trees take so many and ask nothing but them, columns are the features in their order.
// Errc::corrupt for nodes that make no trees; Errc::unsupported for aggregates other than sum and mean.
Result<Ensemble> read_ensemble(const Node& node, std::size_t inputs, bool wide);

}  // namespace nidus::interop::internal::onnx
