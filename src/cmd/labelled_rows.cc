#include "cmd/labelled_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>

#include "base/text.h"
#include "cmd/exit_status.h"
#include "cmd/inputs.h"
#include "cmd/metering.h"
#include "cmd/terminal.h"
#include "data/table_reader.h"
#include "detect/binding.h"
#include "detect/label_rules.h"

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
  arguments.option("--label", column, "Tables: the column with the label");
  arguments.option("--group", group, "Tables: a column whose equal rows stay on one side of the split");
  arguments.option("--merge", merge,
                   "Renames labels: old=new; nothing behind = leaves the rows out; *=new for the rest");
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
                                      const detect::PipelineOptions& options, const model::Schema& schema,
                                      int& status) {
  const auto files = LabelFiles::load(labels.label_files);
  if (!files) return files.error();
  const auto label_options = labels.options();
  if (!label_options) return label_options.error();
  const auto binding = detect::FlowBinding::bind(schema, options.meter.profile);
  if (!binding) return binding.error();
  for (const auto& input : inputs) {
    if (files->of(input) == nullptr) return files->nothing_about(input);
  }

  const Merger merged(*label_options);
  detect::Pipeline pipeline(options);
  LabelledRows out;
  for (const auto& input : inputs) {
    const auto* const of_capture = files->of(input);
    const auto take = [&](std::span<const flow::FlowRecord* const> records) {
      for (const auto* record : records) {
        const detect::LabelRule* const rule = of_capture->match(*record);
        const std::string label = rule == nullptr ? std::string() : merged(rule->label);
        if (label.empty()) {
          ++out.unlabelled;
          continue;
        }
        out.labels.push_back(out.label_names.code(label));
        out.attacks.push_back(out.attack_names.code(rule->attack.empty() ? label : rule->attack));
        out.groups.push_back(out.group_names.code(rule->group.empty() ? of_capture->capture() : rule->group));
        out.values.resize(out.values.size() + binding->inputs());
        binding->fill(*record, out.values.data() + out.values.size() - binding->inputs());
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

Result<data::Table> read_tables(const std::vector<std::string>& inputs) {
  data::Table whole;
  for (const auto& input : inputs) {
    data::TableOptions options;
    options.threads = 0;
    data::TableReport report;
    auto table = data::read_table(input, options, &report);
    if (!table) return std::move(table).error();
    if (report.bad_rows() != 0) {
      say(fmt::format("{} rows could not be read and were left out; the first: {}",
                      with_thousands(report.bad_rows()), report.first_bad_row()));
    }
    if (whole.columns() == 0) {
      whole = std::move(*table);
    } else if (auto done = whole.append(*table); !done) {
      return std::move(done).error().within(input);
    }
  }
  return whole;
}

Result<LabelledRows> rows_of_table(const data::Table& table, const LabelArguments& labels,
                                   const model::Schema& schema) {
  if (labels.column.empty())
    return Error{Errc::invalid, "tables need the column with the label: --label COLUMN"};
  const auto label_options = labels.options();
  if (!label_options) return label_options.error();
  const auto original = data::read_labels(table, labels.column, *label_options);
  if (!original) return original.error();
  const data::Column* group = nullptr;
  if (!labels.group.empty()) {
    const auto found = table.require(labels.group);
    if (!found) return found.error();
    group = *found;
  }
  const auto there = detect::schema_in(schema, table);
  if (!there) return there.error();
  const auto bound = model::TableRows::bind(*there, table);
  if (!bound) return bound.error();

  LabelledRows out;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const std::uint32_t code = original->codes[row];
    if (code == data::kUnlabelled) {
      ++out.unlabelled;
      continue;
    }
    out.labels.push_back(out.label_names.code(original->classes[code]));
    out.attacks.push_back(out.attack_names.code(original->classes[code]));
    out.groups.push_back(group == nullptr ? data::kMissing : out.group_names.code(group->cell(row)));
    out.values.resize(out.values.size() + bound->inputs());
    bound->fill(row, 1, std::span(out.values).last(bound->inputs()));
  }
  return out;
}

Result<bool> are_captures(const std::vector<std::string>& inputs) {
  std::optional<bool> captures;
  for (const auto& input : inputs) {
    const auto kind = kind_of(input);
    if (!kind) return kind.error();
    if (*kind == InputKind::detector || *kind == InputKind::model_file) {
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
