#include "cmd_learn/labelled_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "base/number.h"
#include "base/text.h"
#include "cmd/exit_status.h"
#include "cmd/inputs.h"
#include "cmd/metering.h"
#include "cmd/terminal.h"
#include "data/schemas.h"
#include "data/split.h"
#include "data/table_reader.h"
#include "detect/binding.h"
#include "detect/label_rules.h"
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

Result<InputTables> read_tables(const std::vector<std::string>& inputs) {
  InputTables out;
  for (const auto& input : inputs) {
    data::TableOptions options;
    options.threads = 0;
    data::TableReport report;
    auto table = data::read_table(input, options, &report);
    if (!table) return std::move(table).error();
    say_defects(report, "left out");
    const std::size_t rows = table->rows();
    if (out.table.columns() == 0) {
      out.table = std::move(*table);
    } else if (auto done = out.table.append(*table); !done) {
      return std::move(done).error().within(input);
    }
    out.file_of.resize(out.file_of.size() + rows, static_cast<std::uint32_t>(out.files.size()));
    out.files.push_back(input);
  }
  return out;
}

namespace {

std::vector<std::string> names_of(const data::Table& table) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < table.columns(); ++i) names.push_back(table.column(i).name);
  return names;
}

// The column that the data set has for it, or the first one that any has.
Result<const data::Column*> column_for(const data::Table& table, std::string_view of_data_set,
                                       data::Role role, const std::string& what) {
  if (!of_data_set.empty()) {
    if (const auto* const column = table.get(of_data_set)) return column;
  }
  for (std::size_t i = 0; i < table.columns(); ++i) {
    if (data::role_of(table.column(i).name) == role) return &table.column(i);
  }
  return Error{Errc::not_found, fmt::format("no column says {}", what)};
}

struct Groups {
  std::vector<std::uint32_t> ids;  // by row, or data::kMissing; empty if there are none
  std::vector<std::string> names;  // by id; empty if they have none
};

Groups groups_of(const data::Column& column) {
  Groups groups;
  data::Dictionary dictionary;
  for (std::size_t row = 0; row < column.size(); ++row) {
    groups.ids.push_back(dictionary.code(column.cell(row), groups.names));
  }
  return groups;
}

// The columns to learn from, in any of its schemas.
std::vector<std::size_t> feature_columns(const data::Table& table) {
  std::vector<std::size_t> columns;
  for (std::size_t i = 0; i < table.columns(); ++i) {
    if (data::role_of(table.column(i).name) == data::Role::feature) columns.push_back(i);
  }
  return columns;
}

Result<Groups> groups_of(const InputTables& inputs, const data::DatasetSchema* known, const std::string& by) {
  const data::Table& table = inputs.table;
  if (by.empty()) return Groups{};
  if (const auto* const column = table.get(by)) return groups_of(*column);
  if (by == "file") return Groups{inputs.file_of, inputs.files};
  if (by == "equal") return Groups{data::equal_rows(table, feature_columns(table)), {}};
  if (by == "source") {
    const auto column = column_for(table, known == nullptr ? "" : known->source, data::Role::address,
                                   "from which address a flow came");
    if (!column) return column.error();
    return groups_of(**column);
  }
  if (by == "day") {
    const auto column =
        column_for(table, known == nullptr ? "" : known->time, data::Role::time, "when a flow was");
    if (!column) return column.error();
    auto days = data::days_of(data::times_of(**column));
    return Groups{std::move(days.ids), std::move(days.names)};
  }
  return table.require(by).error();
}

bool is_part_of(const std::string& name, std::string_view wanted) {
  return to_lower(name).find(to_lower(wanted)) != std::string::npos;
}

// Which rows are held out, by row. `codes` are classes as the table has them, or data::kUnlabelled for rows
// that do not count.
Result<std::vector<bool>> held_out_rows(const InputTables& inputs, const LabelArguments& labels,
                                        const data::DatasetSchema* known, const Groups& groups,
                                        const std::vector<std::uint32_t>& codes) {
  std::vector<bool> out(codes.size(), false);
  if (labels.hold_out.empty()) return out;
  const auto share = labels.hold_out.size() == 1 ? parse_number(labels.hold_out.front()) : std::nullopt;
  if (!share) {
    if (groups.names.empty()) {
      return Error{Errc::invalid, "--hold-out with names needs --group file, day, source or a column"};
    }
    for (const auto& wanted : labels.hold_out) {
      std::vector<bool> chosen;
      for (const auto& name : groups.names) chosen.push_back(is_part_of(name, trim(wanted)));
      if (std::find(chosen.begin(), chosen.end(), true) == chosen.end()) {
        return Error{Errc::not_found,
                     fmt::format("--hold-out: no group '{}'{}", wanted, did_you_mean(wanted, groups.names))};
      }
      for (std::size_t row = 0; row < out.size(); ++row) {
        if (groups.ids[row] != data::kMissing && chosen[groups.ids[row]]) out[row] = true;
      }
    }
    return out;
  }
  if (!(*share > 0 && *share < 1)) return Error{Errc::invalid, "--hold-out: a share lies between 0 and 1"};
  data::SplitOptions options;
  options.train = 1 - *share;
  options.validation = 0;
  options.test = *share;
  options.seed = labels.hold_out_seed;
  Result<data::Split> split = data::Split{};
  if (labels.hold_out_by == "time") {
    const auto column =
        column_for(inputs.table, known == nullptr ? "" : known->time, data::Role::time, "when a flow was");
    if (!column) return column.error();
    const auto times = data::times_of(**column);
    if (std::all_of(times.begin(), times.end(), [](double time) { return time != time; })) {
      return Error{Errc::corrupt, fmt::format("no time in column '{}' can be read", (*column)->name)};
    }
    split = data::time_split(codes, times, options);
  } else if (!groups.ids.empty()) {
    split = data::grouped_split(codes, groups.ids, options);
  } else {
    split = data::stratified_split(codes, options);
  }
  if (!split) return std::move(split).error();
  for (const auto row : split->test) out[row] = true;
  return out;
}

}  // namespace

Result<LabelledRows> labels_of_table(const InputTables& inputs, const LabelArguments& labels, Part part) {
  const data::Table& table = inputs.table;
  const data::DatasetSchema* const known = data::recognise(names_of(table));
  std::string label = labels.column;
  bool all_benign = false;
  if (label.empty() && labels.may_lack_labels && (known == nullptr || !table.get(known->label))) {
    say("no --label: all rows count as benign");
    all_benign = true;
  } else if (label.empty()) {
    if (known == nullptr || known->label.empty()) {
      return Error{Errc::invalid, "tables need the column with the label: --label COLUMN"};
    }
    label = known->label;
    if (part == Part::training) say(fmt::format("{}: the label is '{}'", known->title, label));
  }
  const auto label_options = labels.options();
  if (!label_options) return label_options.error();
  const data::Labels benign{{"benign"}, std::vector<std::uint32_t>(all_benign ? table.rows() : 0)};
  const Result<data::Labels> original = all_benign ? benign : data::read_labels(table, label, *label_options);
  if (!original) return original.error();
  const auto groups = groups_of(inputs, known, labels.group);
  if (!groups) return groups.error();
  if (inputs.files.size() > 1 && labels.group.empty()) {
    say(fmt::format("{} files, of which rows are {} one by one; --group file keeps each file whole",
                    inputs.files.size(), part == Part::training ? "divided" : "drawn for intervals"));
  }

  LabelledRows out;
  std::vector<bool> copies(table.rows(), false);
  std::vector<bool> held_out(table.rows(), false);
  if (labels.drop_copies || !labels.hold_out.empty()) {
    Result<data::Labels> as_they_stand = all_benign ? benign : data::read_labels(table, label);
    if (!as_they_stand) return std::move(as_they_stand).error();
    if (labels.drop_copies) {
      // Copies under another label are kept: which of the two is right is not ours to say.
      auto columns = feature_columns(table);
      if (!all_benign) columns.push_back(*table.find(label));
      copies.assign(table.rows(), true);
      for (const auto row : data::distinct_rows(table, columns)) copies[row] = false;
      for (std::size_t row = 0; row < table.rows(); ++row) {
        if (copies[row]) as_they_stand->codes[row] = data::kUnlabelled;
      }
    }
    auto chosen = held_out_rows(inputs, labels, known, *groups, as_they_stand->codes);
    if (!chosen) return std::move(chosen).error();
    held_out = std::move(*chosen);
  }
  const bool divided = !labels.hold_out.empty();
  std::optional<detect::TableSubjects> subjects;
  if (labels.keep_subjects) subjects.emplace(table, "");
  std::vector<double> times;
  if (labels.keep_times) {
    const auto column =
        column_for(table, known == nullptr ? "" : known->time, data::Role::time, "when a row was");
    if (!column) return column.error();
    times = data::times_of(**column);
  }
  std::vector<std::size_t> first_of_file;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    if (inputs.file_of[row] == first_of_file.size()) first_of_file.push_back(row);
  }
  for (std::size_t row = 0; row < table.rows(); ++row) {
    if (copies[row] || (divided && held_out[row] != (part == Part::held_out))) continue;
    const std::uint32_t code = original->codes[row];
    if (code == data::kUnlabelled) {
      ++out.unlabelled;
      continue;
    }
    out.labels.push_back(out.label_names.code(original->classes[code]));
    out.attacks.push_back(out.attack_names.code(original->classes[code]));
    std::uint32_t group = data::kMissing;
    if (!groups->ids.empty() && groups->ids[row] != data::kMissing) {
      // Sets of equal rows are too many to be told apart in figures.
      const std::uint32_t id = groups->ids[row];
      if (!groups->names.empty()) group = out.group_names.code(groups->names[id]);
      if (groups->names.empty() && part == Part::training) group = out.group_names.code(std::to_string(id));
    }
    out.groups.push_back(group);
    out.table_rows.push_back(row);
    if (labels.keep_times) out.times.push_back(times[row]);
    if (subjects) {
      out.subjects.push_back(subjects->at(row));
      out.subjects.back().number -= first_of_file[inputs.file_of[row]];
      out.input_of.push_back(inputs.file_of[row]);
    }
  }
  if (divided && out.rows() == 0) {
    return Error{Errc::invalid, part == Part::training ? "--hold-out leaves no labelled row to learn from"
                                                       : "--hold-out leaves no labelled row to judge"};
  }
  return out;
}

Result<void> take_values(const InputTables& inputs, const model::Schema& schema, LabelledRows& rows,
                         Width width) {
  const std::string& file = inputs.files.front();  // all have the same columns
  const auto there = detect::schema_in(schema, inputs.table);
  if (!there) return Error(there.error()).within(file);
  const auto bound = model::TableRows::bind(*there, inputs.table);
  if (!bound) return inputs.files.size() == 1 ? Error(bound.error()).within(file) : bound.error();
  rows.values.resize(rows.rows() * bound->inputs());
  if (width != Width::single) rows.wide_values.resize(rows.values.size());
  for (std::size_t i = 0; i < rows.table_rows.size(); ++i) {
    const std::size_t place = i * bound->inputs();
    bound->fill(rows.table_rows[i], 1, std::span(rows.values).subspan(place, bound->inputs()));
    if (width == Width::single) continue;
    bound->fill(rows.table_rows[i], 1, std::span(rows.wide_values).subspan(place, bound->inputs()));
  }
  return {};
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
  const auto tables = read_tables(inputs);
  if (!tables) return tables.error();
  if (!how.any_profile) {
    if (auto same = detect::check_profile(tables->table, manifest.meter_description); !same)
      return std::move(same).error();
  }
  auto rows = labels_of_table(*tables, labels, Part::held_out);
  if (!rows) return std::move(rows).error();
  if (auto done = take_values(*tables, manifest.schema, *rows, width); !done) return std::move(done).error();
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
