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
#include "cmd/load_detector.h"
#include "cmd/metering.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"
#include "cmd_learn/explanations.h"
#include "cmd_learn/labelled_rows.h"
#include "data/labels.h"
#include "detect/binding.h"
#include "detect/detector.h"
#include "detect/pipeline.h"
#include "detect/reasons.h"
#include "learn/explained.h"
#include "learn/importance.h"

namespace nidus::cmd {
namespace {

struct ExplainArguments {
  std::vector<std::string> inputs, label_files;  // the detector first
  std::string label, format = "text";
  std::uint64_t rows = 10000, seed = 1, threads = 0;
  bool any_profile = false;

  void declare(Arguments& arguments) {
    arguments.inputs(inputs, "input", "The detector's folder, then captures or tables", 2);
    arguments.option("--labels", label_files, "Captures: label files, for the permutation importance");
    arguments.option("--label", label, "Tables: the column with the label, for the permutation importance");
    arguments.option("--format", format, "How it is written", {"text", "csv", "json"});
    arguments.option("--rows", rows, "Rows used at most, chosen by the seed; 0 all");
    arguments.option("--seed", seed, "Of the choice of rows and the permutations");
    arguments.option("--threads", threads, "Threads; 0 is one for each processor", 1024);
    arguments.flag("--any-profile", any_profile, "Take tables even if they were metered in another way");
    arguments.footer(
        "For each feature: the mean magnitude of its contribution to the attack score (exact TreeSHAP); its "
        "share\n"
        "of the impurity that the splits took away when the detector was trained; and, with labels, by how "
        "much the\n"
        "area under the ROC curve drops when its values are permuted among the rows. `nidus detect "
        "--explain` says\n"
        "why a single flow got its score.");
  }
};

struct Rows {
  std::vector<float> values;            // row-major
  std::vector<std::uint8_t> is_attack;  // by row, if there are labels

  std::size_t count(std::size_t inputs) const { return values.size() / inputs; }
};

Result<void> add_capture(const std::string& input, const detect::Manifest& manifest,
                         const ExplainArguments& given, int& status, Rows& rows) {
  if (!manifest.meter) {
    return Error{Errc::unsupported, fmt::format("detector {} can judge tables only", manifest.name)};
  }
  detect::PipelineOptions options;
  options.threads = given.threads;
  options.meter = *manifest.meter;
  if (!given.label_files.empty()) {
    LabelArguments labels;
    labels.label_files = given.label_files;
    const auto labelled = rows_of_captures({input}, labels, options, manifest.schema, status);
    if (!labelled) return labelled.error();
    rows.values.insert(rows.values.end(), labelled->values.begin(), labelled->values.end());
    for (const auto label : labelled->labels)
      rows.is_attack.push_back(labelled->label_names[label] != "benign");
    return {};
  }
  const auto binding = detect::FlowBinding::bind(manifest.schema, manifest.meter->profile);
  if (!binding) return binding.error();
  detect::Pipeline pipeline(options);
  const CaptureRun run = run_capture(pipeline, input, [&](std::span<const flow::FlowRecord* const> records) {
    for (const auto* record : records) {
      rows.values.resize(rows.values.size() + binding->inputs());
      binding->fill(*record, rows.values.data() + rows.values.size() - binding->inputs());
    }
    return true;
  });
  status = worse(status, run.status);
  return {};
}

Result<void> add_table(const std::string& input, const detect::Manifest& manifest,
                       const ExplainArguments& given, Rows& rows) {
  const auto tables = read_tables({input}, &manifest.schema);
  if (!tables) return tables.error();
  const data::Table* const table = &tables->table;
  if (!given.any_profile) {
    if (auto same = detect::check_profile(*table, manifest.meter_description); !same) return same;
  }
  const auto schema = detect::schema_in(manifest.schema, *table);
  if (!schema) return schema.error();
  const auto bound = model::TableRows::bind(*schema, *table);
  if (!bound) return bound.error();
  std::optional<data::Labels> labels;
  if (!given.label.empty()) {
    auto read = data::read_labels(*table, given.label, {});
    if (!read) return std::move(read).error();
    labels = std::move(*read);
  }
  for (std::size_t row = 0; row < table->rows(); ++row) {
    if (labels && labels->codes[row] == data::kUnlabelled) continue;
    if (labels) rows.is_attack.push_back(!data::is_benign(labels->classes[labels->codes[row]]));
    rows.values.resize(rows.values.size() + bound->inputs());
    bound->fill(row, 1, std::span(rows.values).last(bound->inputs()));
  }
  return {};
}

std::string to_csv(std::span<const learn::FeatureImportance> features) {
  const bool permuted = !features.empty() && features.front().permutation;
  std::string out =
      permuted ? "feature,mean_abs_contribution,gain,permutation\n" : "feature,mean_abs_contribution,gain\n";
  for (const auto& each : features) {
    append_csv_cell(out, each.feature);
    out += fmt::format(",{},{}", each.contribution, each.gain);
    if (permuted) out += fmt::format(",{}", each.permutation.value_or(0));
    out += '\n';
  }
  return out;
}

std::string to_json(const detect::Manifest& manifest, std::span<const learn::FeatureImportance> features,
                    std::size_t used, std::size_t all) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  json.field("detector", manifest.name);
  json.field("version", manifest.version);
  json.field("rows", used);
  json.field("rows_there", all);
  json.key("features");
  learn::importance_json(features, json);
  json.end_object();
  out += '\n';
  return out;
}

}  // namespace

int run_explain(std::span<const std::string> words) {
  ExplainArguments given;
  Arguments arguments("explain", "Which features a detector goes by, on captures or tables.");
  given.declare(arguments);
  if (const auto status = arguments.read(words)) return *status;
  const auto detector = load_detector(given.inputs.front());
  if (!detector) return complain(detector.error());
  const detect::Manifest& manifest = detector->manifest();
  const auto reasoner = detect::Reasoner::make(*detector);
  if (!reasoner) return complain(reasoner.error());
  const std::vector<std::string> inputs(given.inputs.begin() + 1, given.inputs.end());
  const auto captures = are_captures(inputs);
  if (!captures) return complain(captures.error());
  if (*captures && !given.label.empty())
    return complain_usage("explain", "the labels of captures stand in label files: --labels FILE");
  catch_interrupts();

  int status = kFine;
  Rows rows;
  for (const auto& input : inputs) {
    auto done = *captures ? add_capture(input, manifest, given, status, rows)
                          : add_table(input, manifest, given, rows);
    if (interrupted()) return kInterrupted;
    if (!done) return complain(std::move(done).error());
  }
  const std::size_t width = detector->inputs(), all = rows.count(width);
  if (all == 0) return complain({Errc::corrupt, "no row to explain"});
  if (!rows.is_attack.empty() && std::count(rows.is_attack.begin(), rows.is_attack.end(),
                                            rows.is_attack[0]) == static_cast<std::ptrdiff_t>(all)) {
    say("the rows are all of one class: there is no permutation importance");
  }
  const auto chosen = learn::choose_rows(all, given.rows, given.seed);
  std::vector<std::uint8_t> is_attack;
  if (!rows.is_attack.empty()) {
    for (const auto row : chosen) is_attack.push_back(rows.is_attack[row]);
  }
  const auto features = importance_of(*reasoner, detector->model(), rows_at(rows.values, width, chosen),
                                      is_attack, given.seed, given.threads);
  if (interrupted()) return kInterrupted;
  if (!features) return complain(features.error());
  const std::size_t used = chosen.size();
  const std::string text = given.format == "csv" ? to_csv(*features)
                           : given.format == "json"
                               ? to_json(manifest, *features, used, all)
                               : fmt::format("detector {} {}, {} of {} rows\n\n", manifest.name,
                                             manifest.version, with_thousands(used), with_thousands(all)) +
                                     learn::importance_text(*features);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return status;
}

}  // namespace nidus::cmd
