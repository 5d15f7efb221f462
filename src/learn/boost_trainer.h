#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <vector>

#include "base/result.h"
#include "learn/dataset.h"
#include "learn/progress.h"
#include "model/boost.h"

namespace nidus::learn {

struct BoostOptions {
  std::size_t rounds = 200;
  std::size_t max_depth = 6;
  double learning_rate = 0.3;
  double min_child_weight = 1;
  double subsample = 1;         // of the rows, for each round
  double columns_per_tree = 1;  // share of them
  double lambda = 1;
  double gamma = 0;
  std::size_t bins = 256;     // of each column, the one for what is missing counted; 3 to 256
  double scale_positive = 1;  // weight of attack rows, with two classes
  bool balanced = false;      // weigh classes so that each counts the same
  // With a validation set: stop when its loss has not improved for so many rounds, and keep the best. 0:
  // never.
  std::size_t early_stopping = 20;
  std::uint64_t seed = 1;
  std::size_t threads = 0;  // at most; 0: all processors. A small table is not worth more than one
  // A file that takes each round as it is finished, and from which the same training goes on; see Checkpoint.
  std::filesystem::path checkpoint;  // empty: none
  Progress progress;                 // may be empty
};

struct FittedBoost {
  model::Boost model;
  std::size_t rounds = 0;   // kept
  std::size_t resumed = 0;  // rounds that came from the checkpoint
  std::vector<double>
      validation_loss;  // log loss after each round that was run; empty without validation rows
};

// Gradient boosting of log loss as XGBoost defines it (Chen and Guestrin 2016), from the odds of the classes,
// with one tree a round for two classes and one a class for more. Rows without weight are not learnt from.
// `validation` may be null; it must have the same schema and classes. The same bytes for the same rows,
// options and seed, whatever the number of threads, resumed or not.
//
// Errc::invalid for data that cannot be learnt from and for options without sense, Errc::exhausted when
// progress said stop, Errc::io for a checkpoint that cannot be written.
Result<FittedBoost> fit_boost(const Dataset& training, const Dataset* validation,
                              const BoostOptions& options = {});

// About how many bytes fit_boost takes beside the rows: one for each value, and 40 for each row.
std::uint64_t boost_bytes(std::size_t rows, std::size_t inputs);

}  // namespace nidus::learn
