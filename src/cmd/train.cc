#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/text.h"
#include "cmd/arguments.h"
#include "cmd/exit_status.h"
#include "cmd/labelled_rows.h"
#include "cmd/metering.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"
#include "data/split.h"
#include "detect/binding.h"
#include "detect/detector.h"
#include "detect/fingerprint.h"
#include "flow/features.h"
#include "learn/boost_trainer.h"
#include "learn/dataset.h"
#include "learn/evaluation.h"
#include "learn/forest_trainer.h"
#include "learn/preprocess_learner.h"
#include "learn/threshold.h"
#include "model/preprocess.h"

namespace nidus::cmd {
namespace {

using ModelPointer = std::shared_ptr<const model::Model>;

constexpr std::size_t kGoldenRows = 16;

struct TrainArguments {
  std::vector<std::string> inputs, features, exclude;
  std::string output, validate_on, model = "forest", classes = "multi", name, version = "1",
                                   weights = "balanced";
  double fpr = 0.01, validation = 0.3;
  std::uint64_t seed = 1, trees = 100, depth = 0, min_leaf = 1, nodes_max = 0, rounds = 200,
                rows_per_class = 0;
  bool json = false;
  LabelArguments labels;
  MeteringArguments metering;

  void declare(Arguments& arguments) {
    arguments.inputs(inputs, "input", "Captures (with --labels), or tables (with --label)");
    arguments.option("-o,--output", output, "The detector's folder");
    labels.declare(arguments);
    arguments.option("--model", model, "What is fitted", {"forest", "boost", "ensemble"});
    arguments.option("--classes", classes, "Tell attacks apart, or only attack from benign",
                     {"multi", "binary"});
    arguments.option("--fpr", fpr,
                     "False-positive rate that the threshold is chosen for, on benign validation rows", 0,
                     0.5);
    arguments.option("--validation", validation,
                     "Share of the rows kept from training for threshold and figures", 0.05, 0.9);
    arguments.option(
        "--validate-on", validate_on,
        "Validation rows come only from groups whose names begin so: those most like the site to "
        "be watched");
    arguments.option("--features", features, "Only these columns, by any of their names");
    arguments.option("--exclude", exclude,
                     "All columns but these (beside what is never learnt from: who and when)");
    arguments.option("--seed", seed, "Of the split and the models");
    arguments.option("--weights", weights, "balanced: each class counts the same", {"balanced", "none"});
    arguments.option("--rows-per-class", rows_per_class,
                     "Rows of a class used at most, chosen by the seed; 0 all");
    arguments.option("--trees", trees, "forest: number of trees", 10000);
    arguments.option("--depth", depth,
                     "forest: greatest depth, 0 until the leaves are pure; boost: 0 means 6", 64);
    arguments.option("--min-leaf", min_leaf, "forest: rows in a leaf");
    arguments.option("--nodes-max", nodes_max,
                     "forest: nodes of all trees together, for a small detector; 0 any");
    arguments.option("--rounds", rounds, "boost: number of rounds", 100000);
    arguments.option("--name", name, "Of the detector; its folder's if not given");
    arguments.option("--set-version", version, "Of the detector");
    arguments.flag("--json", json, "The figures as JSON");
    metering.declare(arguments);
    arguments.footer(
        "Rows of one group (--group, or the label file's) stay on one side of the split. The threshold is "
        "the lowest at\n"
        "which no more than --fpr of the benign validation rows are taken for attacks.");
  }
};

// What training works on, wherever it came from.
struct Material {
  LabelledRows rows;
  model::Schema schema;
  std::optional<flow::MeterOptions> meter;
  std::string meter_description;
};

model::Column feature_column(flow::Feature feature) {
  const auto& info = flow::features()[static_cast<std::size_t>(feature)];
  return {std::string(info.key), model::Column::Kind::numeric, {}, std::string(info.unit)};
}

// By any of its names, if both are flow features; else by the text.
bool same_column(const std::string& a, const std::string& b) {
  const auto left = flow::feature_from_name(a), right = flow::feature_from_name(b);
  return equal_ignoring_case(a, b) || (left && left == right);
}

bool contains(const std::vector<std::string>& list, const std::string& name) {
  return std::any_of(list.begin(), list.end(), [&](const auto& entry) { return same_column(entry, name); });
}

// Of the columns there are, those to learn from: what --features names, else all but identities; without
// --exclude.
Result<std::vector<std::string>> choose(const std::vector<std::string>& all, const TrainArguments& given) {
  for (const auto* list : {&given.features, &given.exclude}) {
    for (const auto& wanted : *list) {
      if (!contains(all, wanted)) {
        return Error{Errc::not_found, fmt::format("no column '{}'{}", wanted, did_you_mean(wanted, all))};
      }
    }
  }
  std::vector<std::string> out;
  for (const auto& name : all) {
    const bool in =
        given.features.empty() ? !detect::is_identity_column(name) : contains(given.features, name);
    if (in && !contains(given.exclude, name)) out.push_back(name);
  }
  if (out.empty()) return Error{Errc::invalid, "no column is left to learn from"};
  return out;
}

Result<Material> material_of_captures(const TrainArguments& given, int& status) {
  Material out;
  const detect::PipelineOptions options = given.metering.options();
  std::vector<std::string> all;
  for (const auto feature : flow::features_of(options.meter.profile)) all.emplace_back(flow::key(feature));
  const auto names = choose(all, given);
  if (!names) return names.error();
  for (const auto& name : *names) out.schema.push_back(feature_column(*flow::feature_from_name(name)));
  auto rows = rows_of_captures(given.inputs, given.labels, options, out.schema, status);
  if (!rows) return std::move(rows).error();
  out.rows = std::move(*rows);
  out.meter = options.meter;
  out.meter_description = flow::Meter(options.meter).description();
  return out;
}

Result<Material> material_of_tables(const TrainArguments& given) {
  const auto table = read_tables(given.inputs);
  if (!table) return table.error();
  std::vector<std::string> all;
  for (std::size_t i = 0; i < table->columns(); ++i) {
    const std::string& name = table->column(i).name;
    if (equal_ignoring_case(name, given.labels.column) || equal_ignoring_case(name, given.labels.group))
      continue;
    all.push_back(name);
  }
  const auto names = choose(all, given);
  if (!names) return names.error();

  // A table of flows: columns under their canonical names, so that the detector also judges captures.
  const detect::Fingerprint print = detect::fingerprint(*table);
  std::vector<std::string> kept;
  for (const auto& name : *names) {
    const bool repeated = print.profile && std::any_of(kept.begin(), kept.end(), [&](const auto& other) {
                            return same_column(other, name);
                          });
    if (!repeated) kept.push_back(name);
  }
  std::vector<std::size_t> every(table->rows());
  for (std::size_t i = 0; i < every.size(); ++i) every[i] = i;
  auto schema = learn::learn_schema(*table, kept, every);
  if (!schema) return std::move(schema).error();
  Material out;
  out.schema = std::move(*schema);
  if (print.profile) {
    for (auto& column : out.schema) {
      if (const auto feature = flow::feature_from_name(column.name)) {
        column.name = flow::key(*feature);
        column.unit = flow::features()[static_cast<std::size_t>(*feature)].unit;
      }
    }
    out.meter = print.meter;
    if (out.meter) out.meter_description = flow::Meter(*out.meter).description();
  }
  auto rows = rows_of_table(*table, given.labels, out.schema);
  if (!rows) return std::move(rows).error();
  out.rows = std::move(*rows);
  return out;
}

// Keeps at most `most` rows of each class among `rows`, chosen by the seed, in their order.
std::vector<std::size_t> thin(std::vector<std::size_t> rows, const std::vector<std::uint32_t>& codes,
                              std::size_t classes, std::uint64_t most, std::uint64_t seed) {
  if (most == 0) return rows;
  std::vector<std::size_t> out;
  Random random(seed);
  std::vector<std::vector<std::size_t>> by_class(classes);
  for (const auto row : rows) by_class[codes[row]].push_back(row);
  for (auto& members : by_class) {
    for (std::size_t i = 0; i < std::min<std::size_t>(members.size(), most); ++i) {
      std::swap(members[i], members[i + random.below(members.size() - i)]);
      out.push_back(members[i]);
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

struct Parts {
  learn::Dataset training, validation;
  std::vector<std::size_t> training_rows, validation_rows;
};

Result<Parts> split(const Material& material, const data::Labels& labels, const TrainArguments& given) {
  data::SplitOptions options;
  options.train = 1 - given.validation;
  options.validation = given.validation;
  options.test = 0;
  options.seed = given.seed;
  const auto& groups = material.rows.groups;
  const bool grouped =
      std::any_of(groups.begin(), groups.end(), [](auto group) { return group != data::kMissing; });
  // Rows of other groups than those to validate on are only learnt from.
  std::vector<std::size_t> divided, learnt_from;
  std::vector<std::uint32_t> codes, their_groups;
  for (std::size_t row = 0; row < labels.codes.size(); ++row) {
    const bool named = grouped && groups[row] != data::kMissing;
    if (!given.validate_on.empty() &&
        !(named && material.rows.group_names[groups[row]].starts_with(given.validate_on))) {
      learnt_from.push_back(row);
      continue;
    }
    divided.push_back(row);
    codes.push_back(labels.codes[row]);
    if (grouped) their_groups.push_back(groups[row]);
  }
  if (divided.empty()) {
    return Error{Errc::not_found, fmt::format("no group's name begins with '{}'", given.validate_on)};
  }
  auto rows =
      grouped ? data::grouped_split(codes, their_groups, options) : data::stratified_split(codes, options);
  if (!rows) return rows.error();
  for (auto* part : {&rows->train, &rows->validation}) {
    for (auto& row : *part) row = divided[row];
  }
  rows->train.insert(rows->train.end(), learnt_from.begin(), learnt_from.end());
  std::sort(rows->train.begin(), rows->train.end());
  learn::Dataset all;
  all.schema = material.schema;
  all.classes = labels.classes;
  all.values = material.rows.values;
  all.labels = labels.codes;
  Parts parts;
  parts.training_rows =
      thin(rows->train, labels.codes, labels.classes.size(), given.rows_per_class, given.seed);
  parts.validation_rows = rows->validation;
  parts.training = learn::take(all, parts.training_rows);
  parts.validation = learn::take(all, parts.validation_rows);
  const auto trained = parts.training.class_counts(), checked = parts.validation.class_counts();
  for (std::size_t i = 0; i < labels.classes.size(); ++i) {
    if (trained[i] == 0) {
      return Error{
          Errc::invalid,
          fmt::format("all rows of '{}' are in groups that the split keeps for validation; give more "
                      "groups with it, another --seed, or --merge it",
                      labels.classes[i])};
    }
    if (checked[i] == 0)
      say(fmt::format("no row of '{}' is left for validation: its figures will be missing",
                      labels.classes[i]));
  }
  if (checked[0] == 0) return Error{Errc::invalid, "no benign row is left to choose the threshold by"};
  return parts;
}

learn::Progress progress_of(ProgressBar& bar) {
  return [&bar](double fraction) {
    bar.show(fraction);
    return !interrupted();
  };
}

Result<ModelPointer> fit_forest(const learn::Dataset& training, const TrainArguments& given) {
  ProgressBar bar("forest");
  learn::ForestOptions options;
  options.trees = given.trees;
  options.max_depth = given.depth;
  options.min_leaf = given.min_leaf;
  options.nodes_max = given.nodes_max;
  options.balanced = given.weights == "balanced";
  options.seed = given.seed;
  options.threads = given.metering.threads;
  options.progress = progress_of(bar);
  auto fitted = learn::fit_forest(training, options);
  if (!fitted) return std::move(fitted).error();
  return ModelPointer(std::make_shared<model::Forest>(std::move(fitted->forest)));
}

Result<ModelPointer> fit_boost(const learn::Dataset& training, const TrainArguments& given) {
  ProgressBar bar("boost");
  learn::BoostOptions options;
  options.rounds = given.rounds;
  if (given.depth != 0) options.max_depth = given.depth;
  options.balanced = given.weights == "balanced";
  options.seed = given.seed;
  options.threads = given.metering.threads;
  options.progress = progress_of(bar);
  // The validation rows choose the threshold, so they must not choose the number of rounds as well.
  options.early_stopping = 0;
  auto fitted = learn::fit_boost(training, nullptr, options);
  if (!fitted) return std::move(fitted).error();
  return ModelPointer(std::make_shared<model::Boost>(std::move(fitted->model)));
}

Result<std::vector<ModelPointer>> fit(const learn::Dataset& training, const TrainArguments& given) {
  // Trees need no scaling; infinities, which the tools of some profiles write, must become numbers.
  std::optional<model::Preprocessor> steps;
  learn::Dataset clean;
  if (std::any_of(training.values.begin(), training.values.end(), [](float x) { return std::isinf(x); })) {
    auto learnt = learn::learn_preprocessor(training, {});
    if (!learnt) return std::move(learnt).error();
    steps = std::move(*learnt);
    clean = learn::preprocess(*steps, training);
  }
  std::vector<ModelPointer> models;
  for (const auto& [kind, fit_one] : {std::pair("forest", &fit_forest), std::pair("boost", &fit_boost)}) {
    if (given.model != kind && given.model != "ensemble") continue;
    auto model = fit_one(steps ? clean : training, given);
    if (!model) return std::move(model).error();
    if (!steps) {
      models.push_back(std::move(*model));
      continue;
    }
    auto whole = model::Pipeline::make(*steps, std::move(*model));
    if (!whole) return std::move(whole).error();
    models.push_back(std::make_shared<model::Pipeline>(std::move(*whole)));
  }
  return models;
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
  const auto captures = are_captures(given.inputs);
  if (!captures) return captures.error();
  const auto material = *captures ? material_of_captures(given, status) : material_of_tables(given);
  if (!material) return material.error();
  const data::Labels labels = classes_of(material->rows, given.classes == "binary");
  if (labels.classes.size() < 2)
    return Error{Errc::invalid, "all rows are benign: there is nothing to tell apart"};
  if (material->rows.unlabelled != 0) {
    say(fmt::format("{} rows without a label were left out", with_thousands(material->rows.unlabelled)));
  }
  const auto parts = split(*material, labels, given);
  if (!parts) return parts.error();
  say(fmt::format("{} rows to learn from, {} for validation, {} columns, {} classes",
                  with_thousands(parts->training.rows()), with_thousands(parts->validation.rows()),
                  material->schema.size(), labels.classes.size()));
  const auto models = fit(parts->training, given);
  if (!models) return models.error();

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
  choose_golden(parts->training, manifest);

  const auto detector = detect::Detector::make(manifest, *models);
  if (!detector) return detector.error();
  const auto outcome = validate(*detector, *parts, material->rows, given.fpr);
  if (!outcome) return outcome.error();
  const learn::Threshold& line = outcome->threshold;
  manifest.threshold = {std::min(line.value, 2.0),
                        "benign validation rows",
                        line.wanted_rate,
                        line.realised_rate,
                        line.benign,
                        line.resolvable};
  manifest.figures["validation"] = outcome->evaluation.to_json();
  if (auto saved = detect::Detector::save(manifest, *models, folder); !saved) return saved;

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
