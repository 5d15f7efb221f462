#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "cmd_learn/fitting.h"
#include "learn/baselines.h"
#include "learn/isolation_trainer.h"
#include "learn/preprocess_learner.h"
#include "model/preprocess.h"

namespace nidus::cmd {
namespace {

// The model on rows as they come; `fit` learns from rows behind the preprocessing.
template <class Fit>
Result<ModelPointer> behind(const learn::Dataset& rows, const learn::PreprocessOptions& options,
                            const Fit& fit) {
  auto steps = learn::learn_preprocessor(rows, options);
  if (!steps) return std::move(steps).error();
  Result<ModelPointer> model = fit(learn::preprocess(*steps, rows));
  if (!model) return model;
  auto whole = model::Pipeline::make(std::move(*steps), std::move(*model));
  if (!whole) return std::move(whole).error();
  return ModelPointer(std::make_shared<model::Pipeline>(std::move(*whole)));
}

template <class Model>
Result<ModelPointer> shared(Result<Model> fitted) {
  if (!fitted) return std::move(fitted).error();
  return ModelPointer(std::make_shared<Model>(std::move(*fitted)));
}

Result<ModelPointer> fit_isolation(const learn::Dataset& rows, const TrainArguments& given) {
  learn::IsolationOptions options;
  if (given.trees != 0) options.trees = given.trees;
  options.seed = given.seed;
  options.threads = given.metering.threads;
  ProgressBar bar("isolation-forest");
  options.progress = progress_of(bar);
  learn::PreprocessOptions before;  // infinities become numbers; missing values go left
  before.one_hot = given.encode == "one-hot";
  return behind(rows, before, [&](const learn::Dataset& clean) {
    return shared(learn::fit_isolation_forest(clean, options));
  });
}

Result<ModelPointer> fit_distance(const learn::Dataset& rows, const TrainArguments& given) {
  learn::PreprocessOptions before;
  before.scaling = learn::PreprocessOptions::Scaling::standard;
  before.log = before.one_hot = before.fill_missing = true;
  return behind(rows, before, [&](const learn::Dataset& clean) -> Result<ModelPointer> {
    if (given.model == "neighbours") {
      learn::NeighboursOptions options;
      options.nearest = given.neighbours;
      options.sample = given.sample;
      options.seed = given.seed;
      return shared(learn::fit_neighbours(clean, options));
    }
    auto fitted = learn::fit_mahalanobis(clean, given.metering.threads);
    if (!fitted) return std::move(fitted).error();
    say(fmt::format("mahalanobis: covariance shrunk by {:.3g}", fitted->shrinkage));
    return ModelPointer(std::make_shared<model::Mahalanobis>(std::move(fitted->model)));
  });
}

Result<ModelPointer> fit_histogram(const learn::Dataset& rows, const TrainArguments& given) {
  learn::HistogramOptions options;
  options.bins = given.bins;
  return shared(learn::fit_histogram(rows, options));
}

}  // namespace

Result<void> fit_anomaly(const Lesson& lesson, Learnt& learnt) {
  const learn::Dataset& all = lesson.training;
  std::vector<std::size_t> benign;
  for (std::size_t row = 0; row < all.rows(); ++row) {
    if (all.labels[row] == 0) benign.push_back(row);
  }
  const learn::Dataset rows = learn::take(all, benign);
  auto model = lesson.given.model == "isolation-forest" ? fit_isolation(rows, lesson.given)
               : lesson.given.model == "histogram"      ? fit_histogram(rows, lesson.given)
                                                        : fit_distance(rows, lesson.given);
  if (!model) return std::move(model).error();
  learnt.models.push_back(std::move(*model));
  return {};
}

}  // namespace nidus::cmd
