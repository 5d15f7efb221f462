#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/json_writer.h"
#include "base/text.h"
#include "cmd/arguments.h"
#include "cmd/exit_status.h"
#include "cmd/labelled_rows.h"
#include "cmd/terminal.h"
#include "cmd/training.h"
#include "cmd/verbs.h"
#include "data/split.h"
#include "detect/detector.h"
#include "learn/boost_trainer.h"
#include "learn/dataset.h"
#include "learn/evaluation.h"
#include "learn/forest_trainer.h"
#include "learn/leaks.h"
#include "learn/preprocess_learner.h"
#include "learn/search.h"
#include "learn/threshold.h"
#include "model/preprocess.h"

namespace nidus::cmd {
namespace {

using ModelPointer = std::shared_ptr<const model::Model>;

constexpr std::size_t kGoldenRows = 16;

learn::Progress progress_of(ProgressBar& bar) {
  return [&bar](double fraction) {
    bar.show(fraction);
    return !interrupted();
  };
}

using Kind = learn::Candidate::Kind;

learn::Candidate candidate_of(const TrainArguments& given, Kind kind) {
  learn::Candidate out;
  out.kind = kind;
  out.forest.trees = given.trees;
  out.forest.max_depth = given.depth;
  out.forest.min_leaf = given.min_leaf;
  out.forest.features_per_split = given.split_features;
  out.forest.nodes_max = given.nodes_max;
  out.forest.extra_trees = kind == Kind::extra_trees;
  out.forest.bootstrap = !out.forest.extra_trees;
  out.boost.rounds = given.rounds;
  if (given.depth != 0) out.boost.max_depth = given.depth;
  out.boost.learning_rate = given.learning_rate;
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

// The files in which training keeps what it has done. They go when the detector is there.
class Checkpoints {
 public:
  explicit Checkpoints(const TrainArguments& given)
      : on_(!given.no_checkpoint),
        beside_((std::filesystem::path(given.output) / "").parent_path().string()) {
    if (const auto parent = std::filesystem::path(beside_).parent_path(); on_ && !parent.empty()) {
      std::error_code ignored;  // whoever cannot write there is told so when the file is opened
      std::filesystem::create_directories(parent, ignored);
    }
  }

  std::string file(std::string_view of) {
    if (!on_) return "";
    files_.push_back(fmt::format("{}.{}.checkpoint", beside_, of));
    return files_.back();
  }
  void remove() const {
    std::error_code ignored;
    for (const auto& file : files_) std::filesystem::remove(file, ignored);
  }

 private:
  bool on_;
  std::string beside_;
  std::vector<std::string> files_;
};

void say_where_it_stands(const std::filesystem::path& checkpoint) {
  if (!interrupted() || checkpoint.empty()) return;
  say(fmt::format("stopped; what is done stands in {}: the same command goes on from there",
                  checkpoint.string()));
}

// What comes out of learning, beside the models.
struct Learnt {
  std::vector<ModelPointer> models;
  std::map<std::string, std::string> figures;  // for the manifest
};

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

Result<Learnt> fit(const learn::Dataset& training, std::span<const std::uint32_t> groups,
                   const TrainArguments& given, Checkpoints& checkpoints) {
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
    auto learnt = learn::learn_preprocessor(training, options);
    if (!learnt) return std::move(learnt).error();
    steps = std::move(*learnt);
    clean = learn::preprocess(*steps, training);
  }
  const learn::Dataset& rows = steps ? clean : training;
  Learnt out;
  std::vector<learn::Candidate> chosen;
  if (given.search) {
    auto best = search(rows, groups, given, checkpoints, out);
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
                                               : fit_forest(rows, candidate.forest, given, out);
    if (!model) {
      say_where_it_stands(candidate.forest.checkpoint);
      return std::move(model).error();
    }
    if (!steps) {
      out.models.push_back(std::move(*model));
      continue;
    }
    auto whole = model::Pipeline::make(*steps, std::move(*model));
    if (!whole) return std::move(whole).error();
    out.models.push_back(std::make_shared<model::Pipeline>(std::move(*whole)));
  }
  return out;
}

// Quantiles of each numeric column over the benign training rows.
void describe_benign(const learn::Dataset& training, detect::Manifest& manifest) {
  manifest.reference_levels = {0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1};
  for (std::size_t input = 0; input < training.inputs(); ++input) {
    auto& quantiles = manifest.reference.emplace_back();
    if (training.schema[input].kind != model::Column::Kind::numeric) continue;
    std::vector<float> values;
    for (std::size_t row = 0; row < training.rows(); ++row) {
      const float value = training.at(row, input);
      if (training.labels[row] == 0 && !std::isnan(value)) values.push_back(value);
    }
    if (values.empty()) continue;
    std::sort(values.begin(), values.end());
    for (const double level : manifest.reference_levels) {
      const auto at = static_cast<std::size_t>(level * static_cast<double>(values.size() - 1));
      quantiles.push_back(static_cast<double>(values[at]));
    }
  }
}

// A few rows of each class, the first ones, whose scores are tried at every load.
void choose_golden(const learn::Dataset& training, detect::Manifest& manifest) {
  const std::size_t each = std::max<std::size_t>(1, kGoldenRows / training.classes.size());
  std::vector<std::size_t> taken(training.classes.size());
  for (std::size_t row = 0;
       row < training.rows() && manifest.golden.size() < detect::Manifest::kGoldenRowsMax; ++row) {
    if (taken[training.labels[row]]++ >= each) continue;
    const float* const values = &training.values[row * training.inputs()];
    manifest.golden.push_back({{values, values + training.inputs()}, 0, ""});
  }
}

// Says what the columns and the split give away; it changes nothing.
void warn_of_leaks(const Parts& parts, const detect::Manifest& manifest) {
  learn::LeakSearch search{parts.training.schema, parts.validation.values, parts.validation.labels};
  search.learnt_values = parts.training.values;
  search.learnt_labels = parts.training.labels;
  search.reference_levels = manifest.reference_levels;
  search.reference = manifest.reference;
  for (const auto& leak : learn::find_leaks(search).leaks) say("warning: " + leak.message);
}

std::string command_line(std::span<const std::string> words) {
  std::string text = "nidus train";
  for (const auto& word : words) text += " " + word;
  return text;
}

struct Outcome {
  learn::Evaluation evaluation;
  learn::Threshold threshold;
};

// Draws the line and measures, both on the validation rows.
Result<Outcome> validate(const detect::Detector& detector, const Parts& parts, const LabelledRows& rows,
                         double fpr) {
  const model::Model& model = detector.model();
  const learn::Dataset& dataset = parts.validation;
  const std::vector<double> scores = model::all_scores(model, dataset.values, dataset.rows());
  const std::size_t width = model.outputs();
  std::vector<double> benign;
  for (std::size_t row = 0; row < dataset.rows(); ++row) {
    if (dataset.labels[row] == 0) benign.push_back(width == 1 ? scores[row] : 1 - scores[row * width]);
  }
  const auto threshold = learn::threshold_at_rate(benign, fpr);
  if (!threshold) return threshold.error();
  std::vector<std::uint32_t> families;
  for (const auto row : parts.validation_rows) families.push_back(rows.attacks[row]);
  learn::Scored scored;
  scored.classes = dataset.classes;
  scored.truth = dataset.labels;
  scored.scores = scores;
  scored.width = width;
  scored.threshold = threshold->value;
  scored.two_stage = true;
  scored.family_names = rows.attack_names.texts();
  scored.families = families;
  auto evaluation = learn::evaluate(scored);
  if (!evaluation) return std::move(evaluation).error();
  return Outcome{std::move(*evaluation), *threshold};
}

Result<void> train(const TrainArguments& given, std::span<const std::string> words, int& status) {
  if (given.model == "any" && !given.search)
    return Error{Errc::invalid, "--model any goes with --search, which chooses one"};
  if (given.model == "ensemble" && given.search)
    return Error{Errc::invalid, "a search chooses one model: --model any, forest, extra-trees or boost"};
  auto material = read_material(given, status);
  if (!material) return std::move(material).error();
  const data::Labels labels = classes_of(material->rows, given.classes == "binary");
  if (labels.classes.size() < 2)
    return Error{Errc::invalid, "all rows are benign: there is nothing to tell apart"};
  const auto counts_of_all = labels.counts();
  if (counts_of_all[0] == 0) {
    return Error{
        Errc::invalid,
        "no row is benign: without them there is no telling what an attack differs from; if they are "
        "named otherwise, --merge NAME=benign"};
  }
  if (material->rows.unlabelled != 0) {
    say(fmt::format("{} rows without a label were left out", with_thousands(material->rows.unlabelled)));
  }
  const auto parts = split_material(*material, labels, given);
  if (!parts) return parts.error();
  say(fmt::format("{} rows to learn from, {} for validation, {} columns, {} classes",
                  with_thousands(parts->training.rows()), with_thousands(parts->validation.rows()),
                  material->schema.size(), labels.classes.size()));
  if (auto enough = check_memory(parts->training, given); !enough) return enough;
  Checkpoints checkpoints(given);
  const auto learnt = fit(parts->training, parts->training_groups, given, checkpoints);
  if (!learnt) return learnt.error();
  const auto* const models = &learnt->models;

  detect::Manifest manifest;
  const std::filesystem::path folder(given.output);
  manifest.name = !given.name.empty() ? given.name : (folder / "").parent_path().filename().string();
  manifest.version = given.version;
  manifest.kind =
      labels.classes.size() == 2 ? detect::Manifest::Kind::binary : detect::Manifest::Kind::classes;
  manifest.meter = material->meter;
  manifest.meter_description = material->meter_description;
  manifest.schema = material->schema;
  manifest.members.resize(models->size());
  manifest.labels = labels.classes;
  manifest.trained_on.sources = given.inputs;
  manifest.trained_on.seed = given.seed;
  manifest.trained_on.command = command_line(words);
  const auto counts = parts->training.class_counts();
  for (std::size_t i = 0; i < counts.size(); ++i) manifest.trained_on.rows[labels.classes[i]] = counts[i];
  describe_benign(parts->training, manifest);
  warn_of_leaks(*parts, manifest);
  choose_golden(parts->training, manifest);

  const auto detector = detect::Detector::make(manifest, *models);
  if (!detector) return detector.error();
  const auto outcome = validate(*detector, *parts, material->rows, given.fpr);
  if (!outcome) return outcome.error();
  const learn::Threshold& line = outcome->threshold;
  manifest.threshold = {.value = std::min(line.value, 2.0),
                        .chosen_on = "benign validation rows",
                        .wanted_rate = line.wanted_rate,
                        .realised_rate = line.realised_rate,
                        .benign_rows = line.benign,
                        .resolvable = line.resolvable};
  manifest.figures = learnt->figures;
  manifest.figures["validation"] = outcome->evaluation.to_json();
  if (auto saved = detect::Detector::save(manifest, *models, folder); !saved) return saved;
  checkpoints.remove();

  const std::string text = given.json ? outcome->evaluation.to_json() + "\n" : outcome->evaluation.to_text();
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
  for (const auto& model : *models) say(model->describe());
  if (!line.resolvable) {
    say(fmt::format("only {} benign validation rows: a rate of {} is hardly more than a guess",
                    with_thousands(line.benign), line.wanted_rate));
  }
  say(fmt::format("{}: threshold {:.4f} ({} of {} benign validation rows above it)", given.output, line.value,
                  with_thousands(line.allowed), with_thousands(line.benign)));
  return {};
}

}  // namespace

int run_train(std::span<const std::string> words) {
  TrainArguments given;
  Arguments arguments("train", "Makes a detector from labelled captures or tables.");
  given.declare(arguments);
  if (const auto status = arguments.read(words)) return *status;
  if (given.output.empty())
    return complain_usage("train", "where to? Name the detector's folder with --output");
  catch_interrupts();
  int status = kFine;
  const auto done = train(given, words, status);
  if (interrupted()) return kInterrupted;
  if (!done) return complain(done.error());
  return status;
}

}  // namespace nidus::cmd
