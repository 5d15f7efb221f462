#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/result.h"
#include "learn/dataset.h"
#include "learn/forest_trainer.h"
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
  std::size_t bins = 256;
  double scale_positive = 1;  // weight of attack rows, with two classes
  bool balanced = false;      // weigh classes so that each counts the same
  // With a validation set: stop when its loss has not improved for so many rounds, and keep the best. 0:
  // never.
  std::size_t early_stopping = 20;
  std::uint64_t seed = 1;
  std::size_t threads = 0;  // 0: all processors
  Progress progress;        // may be empty
};

struct FittedBoost {
  model::Boost model;
  std::size_t rounds = 0;               // kept
  std::vector<double> training_loss;    // log loss after each round that was run
  std::vector<double> validation_loss;  // empty without a validation set
};

// Trained by libxgboost (method hist), scored by us. Infinities count as ±1e37. `validation` may be null; it
// must have the same schema and classes.
//
// Errc::invalid for data that cannot be learnt from, Errc::unsupported for what libxgboost reports,
// Errc::exhausted when progress said stop.
Result<FittedBoost> fit_boost(const Dataset& training, const Dataset* validation,
                              const BoostOptions& options = {});

}  // namespace nidus::learn
