#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json_writer.h"
#include "base/text.h"
#include "cmd/arguments.h"
#include "cmd/exit_status.h"
#include "cmd/labelled_rows.h"
#include "cmd/metering.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"
#include "detect/binding.h"
#include "detect/detector.h"
#include "learn/evaluation.h"

namespace nidus::cmd {
namespace {

struct EvaluateArguments {
  std::vector<std::string> inputs;  // the detector first
  bool json = false, any_profile = false;
  std::uint64_t threads = 0;
  std::optional<double> threshold;
  LabelArguments labels;

  void declare(Arguments& arguments) {
    arguments.inputs(inputs, "input",
                     "The detector's folder, then captures (with --labels) or tables (with --label)", 2);
    labels.declare(arguments);
    arguments.option("--threshold", threshold,
                     "Attack from this score on, instead of the detector's own threshold", 0, 1);
    arguments.option("--threads", threads, "Threads; 0 is one for each processor", 1024);
    arguments.flag("--any-profile", any_profile, "Judge tables even if they were metered in another way");
    arguments.flag("--json", json, "One JSON object");
    arguments.footer("A label that the detector does not know counts as an attack that it cannot name.");
  }
};

// How one group - a capture, a day - fares.
struct GroupFigures {
  std::uint64_t benign = 0, false_alarms = 0, attacks = 0, found = 0;
};

struct Report {
  learn::Evaluation evaluation;
  std::vector<std::pair<std::string, GroupFigures>> groups;
};

Result<LabelledRows> read_rows(const EvaluateArguments& given, const std::vector<std::string>& inputs,
                               const detect::Manifest& manifest, int& status) {
  const auto captures = are_captures(inputs);
  if (!captures) return captures.error();
  if (*captures) {
    if (!manifest.meter) {
      return Error{Errc::unsupported, fmt::format("detector {} can judge tables only", manifest.name)};
    }
    detect::PipelineOptions options;
    options.threads = given.threads;
    options.meter = *manifest.meter;
    return rows_of_captures(inputs, given.labels, options, manifest.schema, status);
  }
  const auto table = read_tables(inputs);
  if (!table) return table.error();
  if (!given.any_profile) {
    if (auto same = detect::check_profile(*table, manifest.meter_description); !same)
      return std::move(same).error();
  }
  return rows_of_table(*table, given.labels, manifest.schema);
}

// The classes of the truth: the detector's labels, and behind them those it has never heard of, which it
// gives score 0.
struct Truth {
  std::vector<std::string> classes;
  std::vector<std::uint32_t> codes;
};

Truth truth_of(const LabelledRows& rows, const std::vector<std::string>& labels) {
  Truth truth{labels, {}};
  std::vector<std::uint32_t> class_of;
  for (const auto& label : rows.label_names.texts()) {
    if (label == "benign" || labels.size() == 2) {
      class_of.push_back(label == "benign" ? 0 : 1);
      continue;
    }
    const auto known = std::find_if(truth.classes.begin() + 1, truth.classes.end(),
                                    [&](const auto& name) { return equal_ignoring_case(name, label); });
    class_of.push_back(static_cast<std::uint32_t>(known - truth.classes.begin()));
    if (known == truth.classes.end()) truth.classes.push_back(label);
  }
  for (const auto label : rows.labels) truth.codes.push_back(class_of[label]);
  return truth;
}

Result<Report> measure(const detect::Detector& detector, const LabelledRows& rows) {
  const detect::Manifest& manifest = detector.manifest();
  const model::Model& model = detector.model();
  const std::vector<double> given_scores = model::all_scores(model, rows.values, rows.rows());
  const Truth truth = truth_of(rows, manifest.labels);
  const std::size_t had = model.outputs(), width = had == 1 ? 1 : truth.classes.size();
  std::vector<double> scores(rows.rows() * width);
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    std::copy_n(&given_scores[row * had], had, &scores[row * width]);
  }
  learn::Scored scored;
  scored.classes = truth.classes;
  scored.truth = truth.codes;
  scored.scores = scores;
  scored.width = width;
  scored.threshold = manifest.threshold.value;
  scored.two_stage = true;
  scored.family_names = rows.attack_names.texts();
  scored.families = rows.attacks;
  auto evaluation = learn::evaluate(scored);
  if (!evaluation) return std::move(evaluation).error();

  Report report{std::move(*evaluation), {}};
  for (const auto& name : rows.group_names.texts()) report.groups.emplace_back(name, GroupFigures{});
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    if (rows.groups[row] == data::kMissing) continue;
    GroupFigures& group = report.groups[rows.groups[row]].second;
    const double score = had == 1 ? given_scores[row] : 1 - given_scores[row * had];
    const bool alarm = score >= manifest.threshold.value;
    ++(truth.codes[row] == 0 ? group.benign : group.attacks);
    if (alarm) ++(truth.codes[row] == 0 ? group.false_alarms : group.found);
  }
  return report;
}

std::string share(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? "-" : fmt::format("{:.4f}", static_cast<double>(part) / static_cast<double>(whole));
}

std::string to_text(const detect::Manifest& manifest, const Report& report) {
  std::string out = fmt::format("detector {} {}, threshold {:.4f}\n\n", manifest.name, manifest.version,
                                manifest.threshold.value);
  out += report.evaluation.to_text();
  if (report.groups.size() < 2) return out;
  std::size_t width = 8;
  for (const auto& [name, group] : report.groups) width = std::max(width, name.size());
  out += fmt::format("\n{:<{}} {:>10} {:>10} {:>10} {:>10}\n", "group", width, "attacks", "recall", "benign",
                     "fpr");
  for (const auto& [name, group] : report.groups) {
    out += fmt::format("{:<{}} {:>10} {:>10} {:>10} {:>10}\n", name, width, with_thousands(group.attacks),
                       share(group.found, group.attacks), with_thousands(group.benign),
                       share(group.false_alarms, group.benign));
  }
  return out;
}

std::string to_json(const detect::Manifest& manifest, const Report& report) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  json.field("detector", manifest.name);
  json.field("version", manifest.version);
  json.key("evaluation");
  report.evaluation.to_json(json);
  json.key("groups");
  json.begin_array();
  for (const auto& [name, group] : report.groups) {
    json.begin_object();
    json.field("group", name);
    json.field("attacks", group.attacks);
    json.field("attacks_found", group.found);
    json.field("benign", group.benign);
    json.field("false_alarms", group.false_alarms);
    json.end_object();
  }
  json.end_array();
  json.end_object();
  out += '\n';
  return out;
}

}  // namespace

int run_evaluate(std::span<const std::string> words) {
  EvaluateArguments given;
  Arguments arguments("evaluate", "Measures a detector on labelled captures or tables.");
  given.declare(arguments);
  if (const auto status = arguments.read(words)) return *status;
  auto detector = detect::Detector::load(given.inputs.front());
  if (!detector) return complain(detector.error());
  if (given.threshold) detector = detector->with_threshold(*given.threshold);
  const std::vector<std::string> inputs(given.inputs.begin() + 1, given.inputs.end());
  catch_interrupts();
  int status = kFine;
  const auto rows = read_rows(given, inputs, detector->manifest(), status);
  if (interrupted()) return kInterrupted;
  if (!rows) return complain(rows.error());
  if (rows->unlabelled != 0) {
    say(fmt::format("{} rows without a label were left out", with_thousands(rows->unlabelled)));
  }
  const auto report = measure(*detector, *rows);
  if (!report) return complain(report.error());
  const std::string text =
      given.json ? to_json(detector->manifest(), *report) : to_text(detector->manifest(), *report);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return status;
}

}  // namespace nidus::cmd
