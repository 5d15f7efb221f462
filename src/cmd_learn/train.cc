#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/number.h"
#include "base/text.h"
#include "cmd/arguments.h"
#include "cmd/exit_status.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"
#include "cmd_learn/division.h"
#include "cmd_learn/fitting.h"
#include "cmd_learn/labelled_rows.h"
#include "cmd_learn/probabilities.h"
#include "cmd_learn/training.h"
#include "detect/baseline.h"
#include "detect/detector.h"
#include "learn/dataset.h"
#include "learn/evaluation.h"
#include "learn/isolation_trainer.h"
#include "learn/leaks.h"
#include "learn/threshold.h"
#include "model/fusion.h"

namespace nidus::cmd {
namespace {

constexpr std::size_t kGoldenRows = 16;

// What the benign training rows look like.
void describe_benign(const learn::Dataset& training, detect::Manifest& manifest) {
  std::vector<std::size_t> benign;
  for (std::size_t row = 0; row < training.rows(); ++row) {
    if (training.labels[row] == 0) benign.push_back(row);
  }
  detect::describe_rows(training.values, benign, "benign rows learnt from", manifest);
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
  const std::vector<double> missing = detect::missing_shares(manifest);
  search.reference_missing = missing;
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
  std::vector<double> benign_scores;
  std::uint64_t attacks = 0, found = 0;  // found: not below the line
};

// The threshold that scikit-learn draws by its parameter `contamination`.
Result<double> line_of_contamination(const model::Model& model, const learn::Dataset& training,
                                     const std::string& contamination) {
  // offset_ is -0.5 then, as the authors of the isolation forest say.
  if (contamination == "auto") return std::nextafter(0.5, 1.0);
  const auto share = parse_number(contamination);
  if (!share)
    return Error{Errc::invalid,
                 fmt::format("--contamination: '{}' is neither a share nor auto", contamination)};
  return learn::contamination_threshold(model::all_scores(model, training.values, training.rows()), *share);
}

// A fusion as it came out of learning, or nothing.
const model::Fusion* fusion_of(const Learnt& learnt) {
  return learnt.models.size() == 1 ? dynamic_cast<const model::Fusion*>(learnt.models.front().get())
                                   : nullptr;
}

void draw_line(Learnt& learnt, double line) {
  model::Fusion::Parts parts = fusion_of(learnt)->parts();
  parts.line = line;
  learnt.models.front() = std::make_shared<model::Fusion>(*model::Fusion::make(std::move(parts)));
}

// Adds the class "anomaly", which a row gets whose score no class accounts for.
Result<void> name_anomalies(Learnt& learnt, data::Labels& labels, learn::Dataset& validation) {
  const model::Fusion* const fusion = fusion_of(learnt);
  if (fusion == nullptr || fusion->outputs() == 1) {
    return Error{Errc::invalid,
                 "--name-anomalies is for an ensemble of a model of several classes and a detector of benign "
                 "rows: --members forest,mahalanobis --combine max"};
  }
  if (std::find(labels.classes.begin(), labels.classes.end(), "anomaly") != labels.classes.end())
    return Error{Errc::invalid, "--name-anomalies: there is a class 'anomaly' already"};
  labels.classes.emplace_back("anomaly");
  validation.classes = labels.classes;
  draw_line(learnt, 0);
  return {};
}

// Draws the line and measures, both on the validation rows.
Result<Outcome> validate(const detect::Detector& detector, const Parts& parts, const LabelledRows& rows,
                         double fpr, std::optional<double> drawn) {
  const model::Model& model = detector.model();
  const learn::Dataset& dataset = parts.validation;
  const std::vector<double> scores = model::all_scores(model, dataset.values, dataset.rows());
  const std::size_t width = model.outputs();
  std::vector<double> benign, attacks;
  for (std::size_t row = 0; row < dataset.rows(); ++row) {
    (dataset.labels[row] == 0 ? benign : attacks)
        .push_back(width == 1 ? scores[row] : 1 - scores[row * width]);
  }
  auto threshold = learn::threshold_at_rate(benign, fpr);
  if (!threshold) return threshold.error();
  if (drawn) {
    threshold->value = *drawn;
    threshold->allowed = static_cast<std::uint64_t>(
        std::count_if(benign.begin(), benign.end(), [&](double score) { return score >= *drawn; }));
    threshold->realised_rate = static_cast<double>(threshold->allowed) / static_cast<double>(benign.size());
  }
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
  const auto found = static_cast<std::uint64_t>(
      std::count_if(attacks.begin(), attacks.end(), [&](double score) { return score >= threshold->value; }));
  return Outcome{std::move(*evaluation), *threshold, std::move(benign), attacks.size(), found};
}

// Whether one of these families is fitted, or may be.
bool fits(const TrainArguments& given, std::initializer_list<std::string_view> families) {
  const auto is_one = [&](std::string_view family) {
    return std::find(families.begin(), families.end(), family) != families.end();
  };
  if (given.model == "any") return is_one("forest") || is_one("boost");
  if (given.model != "ensemble") return is_one(given.model);
  if (given.members.empty()) return is_one("forest") || is_one("boost");
  return std::any_of(given.members.begin(), given.members.end(), is_one);
}

// Options that would change nothing: whoever gives them believes that they do.
Result<void> check_effect(const TrainArguments& given) {
  const auto refuse = [&](std::string_view option, std::string_view of) -> Result<void> {
    return Error{Errc::invalid, fmt::format("{} is for {}: it does nothing to --model {}{}", option, of,
                                            given.model, given.members.empty() ? "" : " of these --members")};
  };
  if (!given.row_weight.empty() &&
      fits(given, {"isolation-forest", "mahalanobis", "histogram", "neighbours"}))
    return refuse("--row-weight", "trees, boosting and networks");
  const bool boosts = fits(given, {"boost"});
  if (given.scale_positive != 1 && !boosts) return refuse("--scale-pos-weight", "--model boost");
  if (given.early_stopping != 0 && !boosts) return refuse("--early-stopping", "--model boost");
  if (given.out_of_bag && !fits(given, {"forest"}))
    return refuse("--out-of-bag", "--model forest, whose trees each leave rows out");
  return {};
}

// Says so if no row can be called an attack, or none that was tried is.
void warn_of_line(const learn::Threshold& line, bool bounded, std::uint64_t attacks, std::uint64_t found) {
  constexpr std::string_view kAdvice =
      "give it more benign rows, a higher --fpr, or another model whose scores are finer (--model boost, "
      "more "
      "--trees)";
  if (bounded && line.value > 1) {
    say(
        fmt::format("warning: this detector can never raise an alarm: more of the {} benign validation rows "
                    "than the rate of {} allows have the highest score that there is, so the line lies above "
                    "it; {}",
                    with_thousands(line.benign), line.wanted_rate, kAdvice));
  } else if (attacks != 0 && found == 0) {
    say(fmt::format("warning: none of the {} attacks among the validation rows reaches the line; {}",
                    with_thousands(attacks), kAdvice));
  }
}

Result<void> train(const TrainArguments& given, std::span<const std::string> words, int& status) {
  if (given.model == "any" && !given.search)
    return Error{Errc::invalid, "--model any goes with --search, which chooses one"};
  if (!given.members.empty() && given.model != "ensemble")
    return Error{Errc::invalid, "--members are those of --model ensemble"};
  if (given.model == "ensemble" && given.search)
    return Error{Errc::invalid, "a search chooses one model: --model any, forest, extra-trees or boost"};
  if (given.search && (is_network(given.model) || given.is_of_benign_rows()))
    return Error{Errc::invalid, "a search chooses settings of --model any, forest, extra-trees or boost"};
  if (!given.contamination.empty() && given.model != "isolation-forest")
    return Error{Errc::invalid, "--contamination draws the line of an isolation forest; others have --fpr"};
  if (auto useful = check_effect(given); !useful) return useful;
  const bool changes_scores = !given.calibration.empty() || given.unknown;
  if (changes_scores && (given.name_anomalies || !given.contamination.empty()))
    return Error{Errc::invalid,
                 "--calibration and --unknown do not go with --name-anomalies or --contamination"};
  auto material = read_material(given, status);
  if (!material) return std::move(material).error();
  const bool of_benign = given.is_of_benign_rows();
  data::Labels labels = classes_of(material->rows, given.classes == "binary" || of_benign);
  if (of_benign) labels.classes = {"benign", "anomaly"};
  if (labels.classes.size() < 2)
    return Error{Errc::invalid,
                 "all rows are benign: there is nothing to tell apart; what learns from benign rows alone is "
                 "--model isolation-forest, mahalanobis, histogram, neighbours or autoencoder"};
  if (given.scale_positive != 1 && labels.classes.size() > 2)
    return Error{Errc::invalid, fmt::format("--scale-pos-weight is for two classes and these rows have {}: "
                                            "--classes binary makes them two",
                                            labels.classes.size())};
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
  auto parts = split_material(*material, labels, given);
  if (!parts) return parts.error();
  const auto aside = keep_aside(given, material->rows.groups, *parts);
  if (!aside) return aside.error();
  say(fmt::format("{} rows to learn from, {} for validation, {} columns, {} classes",
                  with_thousands(parts->training.rows()), with_thousands(parts->validation.rows()),
                  material->schema.size(), labels.classes.size()));
  if (auto enough = check_memory(parts->training, given); !enough) return enough;
  Checkpoints checkpoints(given);
  auto learnt = fit({parts->training, parts->training_groups, given, checkpoints});
  if (!learnt) return learnt.error();
  auto* const models = &learnt->models;
  if (given.name_anomalies) {
    if (auto named = name_anomalies(*learnt, labels, parts->validation); !named) return named;
  }

  detect::Manifest manifest;
  const std::filesystem::path folder(given.output);
  manifest.name = !given.name.empty() ? given.name : (folder / "").parent_path().filename().string();
  manifest.version = given.version;
  manifest.kind = of_benign                    ? detect::Manifest::Kind::anomaly
                  : labels.classes.size() == 2 ? detect::Manifest::Kind::binary
                                               : detect::Manifest::Kind::classes;
  manifest.meter = material->meter;
  manifest.meter_description = material->meter_description;
  manifest.schema = material->schema;
  manifest.members.resize(models->size());
  for (std::size_t i = 0; i < learnt->weights.size(); ++i) manifest.members[i].weight = learnt->weights[i];
  manifest.labels = labels.classes;
  manifest.trained_on.sources = given.inputs;
  manifest.trained_on.hold_out = division_of(given.labels, material->rows.label_column);
  manifest.trained_on.seed = given.seed;
  manifest.trained_on.command = command_line(words);
  const auto counts = parts->training.class_counts();
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] != 0 || !of_benign) manifest.trained_on.rows[labels.classes[i]] = counts[i];
  }
  describe_benign(parts->training, manifest);
  warn_of_leaks(*parts, manifest);
  choose_golden(parts->training, manifest);

  if (!given.calibration.empty()) {
    if (auto done = make_probabilities(given, aside->calibration, *models, manifest); !done) return done;
  }
  auto detector = detect::Detector::make(manifest, *models);
  if (!detector) return detector.error();
  if (given.unknown) {
    if (auto done = learn_unknown(*given.unknown, aside->unknown, detector->model(), manifest); !done)
      return done;
  }
  std::optional<double> drawn;
  if (!given.contamination.empty()) {
    const auto contaminated = line_of_contamination(detector->model(), parts->training, given.contamination);
    if (!contaminated) return contaminated.error();
    drawn = *contaminated;
  }
  auto outcome = validate(*detector, *parts, material->rows, given.fpr, drawn);
  if (!outcome) return outcome.error();
  if (given.name_anomalies) {
    // Now that there is a line, it is known which rows no class reaches it with.
    draw_line(*learnt, outcome->threshold.value);
    detector = detect::Detector::make(manifest, *models);
    if (!detector) return detector.error();
    outcome = validate(*detector, *parts, material->rows, given.fpr, drawn);
    if (!outcome) return outcome.error();
  }
  const learn::Threshold& line = outcome->threshold;
  const bool bounded = detector->model().scale() == model::Scale::probability;
  manifest.threshold = {.value = bounded ? std::min(line.value, 2.0) : line.value,
                        .chosen_on = drawn ? "rows learnt from, contamination " + given.contamination
                                           : "benign validation rows",
                        .wanted_rate = line.wanted_rate,
                        .realised_rate = line.realised_rate,
                        .benign_rows = line.benign,
                        .resolvable = line.resolvable};
  detect::describe_scores(outcome->benign_scores, "benign validation rows", manifest);
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
  warn_of_line(line, bounded, outcome->attacks, outcome->found);
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
  given.labels.may_lack_labels = given.is_of_benign_rows();
  const std::vector<std::string> fitted = given.members.empty() ? std::vector{given.model} : given.members;
  if (given.features.empty() && std::all_of(fitted.begin(), fitted.end(), reads_packets))
    given.features = {"sequence"};
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
