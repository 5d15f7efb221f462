#include "cmd_learn/labelled_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <span>
#include <utility>

#include "base/text.h"
#include "cmd/exit_status.h"
#include "cmd/inputs.h"
#include "cmd/metering.h"
#include "cmd/terminal.h"
#include "detect/binding.h"
#include "detect/label_rules.h"
#include "detect/unknown_texts.h"
#include "model/model.h"

namespace nidus::cmd {
namespace {

// A label through the merges; empty if its row is to be left out.
class Merger {
 public:
  explicit Merger(const data::LabelOptions& options) : options_(options) {}

  std::string operator()(const std::string& label) const {
    for (const auto& [from, to] : options_.merge) {
      if (equal_ignoring_case(from, label)) return to;
    }
    if (data::is_benign(label)) return "benign";
    const auto rest = options_.merge.find("*");
    return rest == options_.merge.end() ? label : rest->second;
  }

 private:
  data::LabelOptions options_;
};

// Several label files. Captures of different folders may have the same name, so the file that lies beside a
// capture is asked first.
class LabelFiles {
 public:
  static Result<LabelFiles> load(const std::vector<std::string>& paths) {
    if (paths.empty()) return Error{Errc::invalid, "captures need a label file: --labels FILE"};
    LabelFiles out;
    for (const auto& path : paths) {
      auto rules = detect::LabelRules::load(path);
      if (!rules) return std::move(rules).error();
      out.files_.push_back({path, std::move(*rules)});
    }
    return out;
  }

  const detect::LabelRules::OfCapture* of(const std::filesystem::path& capture) const {
    const detect::LabelRules::OfCapture* found = nullptr;
    for (const auto& file : files_) {
      const auto* const rules = file.rules.of(capture);
      if (rules == nullptr) continue;
      if (file.path.parent_path() == capture.parent_path()) return rules;
      if (found == nullptr) found = rules;
    }
    return found;
  }

  Error nothing_about(const std::filesystem::path& capture) const {
    const std::string name = capture.filename().string();
    std::vector<std::string> known;
    for (const auto& file : files_) {
      for (auto& other : file.rules.captures()) known.push_back(std::move(other));
    }
    return {Errc::not_found, fmt::format("{}: no rule about {}{}", files_.front().path.string(), name,
                                         did_you_mean(name, known))};
  }

 private:
  struct File {
    std::filesystem::path path;
    detect::LabelRules rules;
  };
  std::vector<File> files_;
};

}  // namespace

void LabelArguments::declare(Arguments& arguments) {
  arguments.option("--labels", label_files, "Captures: the label files that say which flows are what");
  arguments.option("--label", column,
                   "Tables: the column with the label; that of the data set, if it is a known one");
  arguments.option(
      "--group", group,
      "Tables: rows of one group stay on one side of every split: a column, or file, day, source, "
      "equal (rows that differ only in who and when)");
  arguments.option("--merge", merge,
                   "Renames labels: old=new; nothing behind = leaves the rows out; *=new for the rest");
  arguments.option("--hold-out", hold_out,
                   "Tables: rows that train leaves and evaluate takes: a share (0.3), or groups by a part of "
                   "their names");
  arguments.option("--hold-out-by", hold_out_by, "How a share is chosen; time is the latest rows",
                   {"chance", "time"});
  arguments.option("--hold-out-seed", hold_out_seed, "Of the choice by chance");
  arguments.flag("--drop-copies", drop_copies, "Tables: rows that differ only in who and when count once");
}

Result<data::LabelOptions> LabelArguments::options() const {
  data::LabelOptions options;
  for (const auto& pair : merge) {
    const auto equals = pair.find('=');
    if (equals == std::string::npos || equals == 0) {
      return Error{Errc::invalid, fmt::format("--merge: '{}' is not old=new", pair)};
    }
    options.merge[std::string(trim(pair.substr(0, equals)))] = std::string(trim(pair.substr(equals + 1)));
  }
  return options;
}

Result<LabelledRows> rows_of_captures(const std::vector<std::string>& inputs, const LabelArguments& labels,
                                      detect::PipelineOptions options, const model::Schema& schema,
                                      int& status, Width width) {
  options.meter = detect::meter_for(schema, options.meter);
  if (!labels.hold_out.empty()) {
    return Error{Errc::invalid,
                 "--hold-out divides tables; of captures, give train some and evaluate others"};
  }
  const bool all_benign = labels.label_files.empty() && labels.may_lack_labels;
  if (all_benign) say("no --labels: all flows count as benign");
  const auto files = all_benign ? LabelFiles() : LabelFiles::load(labels.label_files);
  if (!files) return files.error();
  const auto label_options = labels.options();
  if (!label_options) return label_options.error();
  const auto binding = detect::FlowBinding::bind(schema, options.meter.profile);
  if (!binding) return binding.error();
  for (const auto& input : inputs) {
    if (!all_benign && files->of(input) == nullptr) return files->nothing_about(input);
  }

  const Merger merged(*label_options);
  detect::Pipeline pipeline(options);
  LabelledRows out;
  out.are_flows = true;
  for (std::size_t at = 0; at < inputs.size(); ++at) {
    const std::string& input = inputs[at];
    const auto* const of_capture = files->of(input);
    std::uint64_t number = 0;
    const auto take = [&](std::span<const flow::FlowRecord* const> records) {
      for (const auto* record : records) {
        ++number;
        const detect::LabelRule* const rule = all_benign ? nullptr : of_capture->match(*record);
        const std::string label = all_benign        ? "benign"
                                  : rule == nullptr ? std::string()
                                                    : merged(rule->label);
        if (label.empty()) {
          ++out.unlabelled;
          continue;
        }
        out.labels.push_back(out.label_names.code(label));
        const bool named = rule != nullptr && !rule->attack.empty();
        out.attacks.push_back(out.attack_names.code(named ? rule->attack : label));
        const bool grouped = rule != nullptr && !rule->group.empty();
        out.groups.push_back(out.group_names.code(grouped                 ? rule->group
                                                  : of_capture != nullptr ? of_capture->capture()
                                                                          : input));
        out.values.resize(out.values.size() + binding->inputs());
        binding->fill(*record, out.values.data() + out.values.size() - binding->inputs());
        if (labels.keep_subjects) {
          out.subjects.push_back(detect::subject_of(*record, "", number));
          out.input_of.push_back(static_cast<std::uint32_t>(at));
        }
        if (labels.keep_times) out.times.push_back(static_cast<double>(record->start_us) * 1e-6);
        if (width == Width::single) continue;
        out.wide_values.resize(out.values.size());
        binding->fill(*record, out.wide_values.data() + out.values.size() - binding->inputs());
      }
      return true;
    };
    const CaptureRun run = run_capture(pipeline, input, take);
    status = worse(status, run.status);
    if (run.status == kInterrupted) return Error{Errc::io, "interrupted"};
  }
  if (out.rows() == 0) return Error{Errc::corrupt, "no labelled flow in these captures"};
  return out;
}

Result<bool> are_captures(const std::vector<std::string>& inputs) {
  std::optional<bool> captures;
  for (const auto& input : inputs) {
    const auto kind = kind_of(input);
    if (!kind) return kind.error();
    if (*kind != InputKind::capture && *kind != InputKind::table) {
      return Error{Errc::unsupported, input + ": neither a capture nor a table"};
    }
    const bool is_capture = *kind == InputKind::capture;
    if (captures && *captures != is_capture) {
      return Error{Errc::invalid, "captures and tables at once: their labels stand in different places"};
    }
    captures = is_capture;
  }
  return captures.value_or(false);
}

Result<LabelledRows> rows_for(const detect::Detector& detector, const std::vector<std::string>& inputs,
                              const LabelArguments& labels, const DetectorRows& how, int& status) {
  const detect::Manifest& manifest = detector.manifest();
  const Width width = detector.model().is_wide() ? Width::wide : Width::single;
  const auto captures = are_captures(inputs);
  if (!captures) return captures.error();
  if (*captures) {
    if (!manifest.meter)
      return Error{Errc::unsupported, fmt::format("detector {} can judge tables only", manifest.name)};
    detect::PipelineOptions options;
    options.threads = how.threads;
    options.meter = *manifest.meter;
    if (how.early != 0) options.meter.partial_after_packets = static_cast<std::uint32_t>(how.early);
    return rows_of_captures(inputs, labels, options, manifest.schema, status, width);
  }
  if (how.early != 0)
    return Error{Errc::invalid, "--early is for captures: the flows of a table have been cut already"};
  const auto tables = read_tables(inputs, &manifest.schema);
  if (!tables) return tables.error();
  if (!how.any_profile) {
    if (auto same = detect::check_profile(tables->table, manifest.meter_description); !same)
      return std::move(same).error();
  }
  auto rows = labels_of_table(*tables, labels, how.part);
  if (!rows) return std::move(rows).error();
  if (auto done = take_values(*tables, manifest.schema, *rows, width); !done) return std::move(done).error();
  if (!labels.quiet) {
    detect::UnknownTexts unknown(manifest.schema);
    unknown.add(tables->table, rows->table_rows);
    if (const auto text = unknown.to_text(); !text.empty()) say(text);
  }
  return rows;
}

std::vector<double> scores_of(const detect::Detector& detector, const LabelledRows& rows) {
  const model::Model& model = detector.model();
  return model.is_wide() ? model::all_scores(model, std::span<const double>(rows.wide_values), rows.rows())
                         : model::all_scores(model, std::span<const float>(rows.values), rows.rows());
}

data::Labels classes_of(const LabelledRows& rows, bool binary) {
  data::Labels out;
  std::vector<std::string> attacks;
  for (const auto& label : rows.label_names.texts()) {
    if (label != "benign") attacks.push_back(label);
  }
  std::sort(attacks.begin(), attacks.end());
  out.classes.push_back("benign");
  if (binary) {
    out.classes.push_back("attack");
  } else {
    out.classes.insert(out.classes.end(), attacks.begin(), attacks.end());
  }
  std::vector<std::uint32_t> class_of;
  for (const auto& label : rows.label_names.texts()) {
    const auto at = std::lower_bound(attacks.begin(), attacks.end(), label) - attacks.begin();
    class_of.push_back(label == "benign" ? 0 : binary ? 1 : static_cast<std::uint32_t>(at + 1));
  }
  for (const auto label : rows.labels) out.codes.push_back(class_of[label]);
  return out;
}

}  // namespace nidus::cmd
