#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json_writer.h"
#include "cmd_learn/fitting.h"
#include "data/split.h"
#include "learn/boost_trainer.h"
#include "learn/forest_trainer.h"
#include "learn/preprocess_learner.h"
#include "learn/search.h"
#include "model/preprocess.h"

namespace nidus::cmd {
namespace {

using Kind = learn::Candidate::Kind;

learn::Candidate candidate_of(const TrainArguments& given, Kind kind) {
  learn::Candidate out;
  out.kind = kind;
  if (given.trees != 0) out.forest.trees = given.trees;
  out.forest.max_depth = given.depth;
  out.forest.min_leaf = given.min_leaf;
  out.forest.features_per_split = given.split_features;
  out.forest.nodes_max = given.nodes_max;
  out.forest.extra_trees = kind == Kind::extra_trees;
  out.forest.bootstrap = !out.forest.extra_trees;
  if (given.model == "tree") {
    // One tree of all rows that looks at all columns.
    out.forest.trees = 1;
    out.forest.bootstrap = false;
    if (given.split_features == 0) out.forest.features_per_split = model::Node::kFeaturesMax;
  }
  out.boost.rounds = given.rounds;
  if (given.depth != 0) out.boost.max_depth = given.depth;
  if (given.learning_rate != 0) out.boost.learning_rate = given.learning_rate;
  out.boost.min_child_weight = given.min_child_weight;
  out.boost.subsample = given.subsample;
  out.boost.columns_per_tree = given.columns;
  out.boost.lambda = given.lambda;
  out.boost.gamma = given.gamma;
  out.boost.scale_positive = given.scale_positive;
  out.forest.balanced = out.boost.balanced = given.weights == "balanced";
  out.forest.seed = out.boost.seed = given.seed;
  return out;
}

std::vector<Kind> kinds_of(const std::string& model) {
  if (model == "extra-trees") return {Kind::extra_trees};
  if (model == "boost") return {Kind::boost};
  if (model == "ensemble") return {Kind::forest, Kind::boost};
  if (model == "any") return {Kind::forest, Kind::extra_trees, Kind::boost};
  return {Kind::forest};
}

std::string_view name(Kind kind) {
  return kind == Kind::boost ? "boost" : kind == Kind::extra_trees ? "extra-trees" : "forest";
}

// The settings and outcome of each trial; not how long it took, so that the same search writes the same.
std::string search_json(const learn::SearchResult& found) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  json.field("best", found.best.describe());
  json.field("measure", "mean over the classes of the average precision, cross-validated");
  json.field("out_of_time", found.out_of_time);
  json.key("trials");
  json.begin_array();
  for (const auto& trial : found.trials) {
    json.begin_object();
    json.field("round", trial.round + 1);
    json.field("rows", trial.rows);
    json.field("score", trial.score);
    json.field("settings", trial.candidate.describe());
    json.end_object();
  }
  json.end_array();
  json.end_object();
  return out;
}

Result<learn::Candidate> search(const learn::Dataset& training, std::span<const std::uint32_t> groups,
                                const TrainArguments& given, Checkpoints& checkpoints, Learnt& learnt) {
  learn::SearchOptions options;
  options.checkpoint = checkpoints.file("search");
  options.kinds = kinds_of(given.model);
  options.defaults = candidate_of(given, options.kinds.front());
  options.candidates = given.candidates;
  options.minutes = given.search_minutes;
  options.seed = given.seed;
  options.threads = given.metering.threads;
  options.groups = groups;
  auto found = [&] {
    ProgressBar bar("search");
    options.progress = progress_of(bar);
    return learn::search(training, options);
  }();
  if (!found) {
    say_where_it_stands(options.checkpoint);
    return std::move(found).error();
  }
  if (found->resumed > 0)
    say(fmt::format("{} of {} trials were made already", found->resumed, found->trials.size()));
  say(fmt::format("{} trials{}; best: {}", found->trials.size(),
                  found->out_of_time ? ", cut short by --search-minutes" : "", found->best.describe()));
  learnt.figures["search"] = search_json(*found);
  return found->best;
}

Result<ModelPointer> fit_forest(const learn::Dataset& training, learn::ForestOptions options,
                                const TrainArguments& given, Learnt& learnt) {
  options.out_of_bag = given.out_of_bag && options.bootstrap;
  auto fitted = learn::fit_forest(training, options);
  if (!fitted) return std::move(fitted).error();
  if (fitted->resumed > 0)
    say(fmt::format("{} of {} trees were there already", fitted->resumed, options.trees));
  if (fitted->out_of_bag_accuracy) {
    say(fmt::format("out of bag: accuracy {:.4f}", *fitted->out_of_bag_accuracy));
    JsonWriter json(learnt.figures["out_of_bag"]);
    json.begin_object();
    json.field("accuracy", *fitted->out_of_bag_accuracy);
    json.end_object();
  }
  return ModelPointer(std::make_shared<model::Forest>(std::move(fitted->forest)));
}

// The validation rows choose the threshold, so they must not choose the number of rounds as well: that is
// done by a tenth of the rows to learn from, of whole groups where there are groups.
Result<ModelPointer> fit_boost(const learn::Dataset& training, std::span<const std::uint32_t> groups,
                               learn::BoostOptions options, const TrainArguments& given) {
  options.early_stopping = given.early_stopping;
  learn::Dataset learnt_from, stopped_by;
  if (given.early_stopping > 0) {
    data::SplitOptions shares;
    shares.train = 0.9;
    shares.validation = 0.1;
    shares.test = 0;
    shares.seed = given.seed;
    const auto parts = groups.empty() ? data::stratified_split(training.labels, shares)
                                      : data::grouped_split(training.labels, groups, shares);
    if (!parts) return parts.error();
    if (parts->validation.empty())
      return Error{Errc::invalid, "too few rows or groups to keep a tenth aside for --early-stopping"};
    learnt_from = learn::take(training, parts->train);
    stopped_by = learn::take(training, parts->validation);
  }
  const bool apart = given.early_stopping > 0;
  auto fitted = learn::fit_boost(apart ? learnt_from : training, apart ? &stopped_by : nullptr, options);
  if (!fitted) return std::move(fitted).error();
  if (fitted->resumed > 0)
    say(fmt::format("{} of {} rounds were there already", fitted->resumed, options.rounds));
  if (apart) say(fmt::format("boost: {} rounds kept", fitted->rounds));
  return ModelPointer(std::make_shared<model::Boost>(std::move(fitted->model)));
}

}  // namespace

Result<void> fit_trees(const Lesson& lesson, Learnt& learnt) {
  const auto& [training, groups, given, checkpoints] = lesson;
  // Trees need no scaling; infinities, which the tools of some profiles write, must become numbers.
  std::optional<model::Preprocessor> steps;
  learn::Dataset clean;
  learn::PreprocessOptions options;
  options.one_hot = given.encode == "one-hot" &&
                    std::any_of(training.schema.begin(), training.schema.end(), [](const auto& column) {
                      return column.kind == model::Column::Kind::categorical;
                    });
  if (options.one_hot ||
      std::any_of(training.values.begin(), training.values.end(), [](float x) { return std::isinf(x); })) {
    auto found = learn::learn_preprocessor(training, options);
    if (!found) return std::move(found).error();
    steps = std::move(*found);
    clean = learn::preprocess(*steps, training);
  }
  const learn::Dataset& rows = steps ? clean : training;
  std::vector<learn::Candidate> chosen;
  if (given.search) {
    auto best = search(rows, groups, given, checkpoints, learnt);
    if (!best) return std::move(best).error();
    chosen.push_back(std::move(*best));
  } else {
    for (const auto kind : kinds_of(given.model)) chosen.push_back(candidate_of(given, kind));
  }
  for (auto& candidate : chosen) {
    ProgressBar bar{std::string(name(candidate.kind))};
    candidate.forest.checkpoint = candidate.boost.checkpoint = checkpoints.file(name(candidate.kind));
    candidate.forest.threads = candidate.boost.threads = given.metering.threads;
    candidate.forest.progress = candidate.boost.progress = progress_of(bar);
    auto model = candidate.kind == Kind::boost ? fit_boost(rows, groups, candidate.boost, given)
                                               : fit_forest(rows, candidate.forest, given, learnt);
    if (!model) {
      say_where_it_stands(candidate.forest.checkpoint);
      return std::move(model).error();
    }
    if (!steps) {
      learnt.models.push_back(std::move(*model));
      continue;
    }
    auto whole = model::Pipeline::make(*steps, std::move(*model));
    if (!whole) return std::move(whole).error();
    learnt.models.push_back(std::make_shared<model::Pipeline>(std::move(*whole)));
  }
  return {};
}

}  // namespace nidus::cmd
