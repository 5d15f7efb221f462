#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/number.h"
#include "base/text.h"
#include "cmd/inputs.h"
#include "cmd/terminal.h"
#include "cmd_learn/labelled_rows.h"
#include "data/schemas.h"
#include "data/split.h"
#include "data/table_reader.h"
#include "detect/binding.h"

namespace nidus::cmd {

namespace {

// Tables that do not become one since a column holds numbers in one file and texts in another: where the
// first text stands, if the others are numbers.
std::optional<Error> text_among_numbers(const InputTables& before, const data::Table& added,
                                        const std::string& input) {
  for (std::size_t i = 0; i < added.columns(); ++i) {
    const data::Column& column = added.column(i);
    const auto* const same = before.table.get(column.name);
    if (same == nullptr || same->kind == column.kind) continue;
    const bool in_added = column.kind == data::Kind::text;
    for (const auto& file : in_added ? std::vector{input} : before.files) {
      std::error_code ignored;
      if (!std::filesystem::is_regular_file(file, ignored)) continue;
      data::TableOptions options;
      options.numbers = {in_added ? column.name : same->name};
      data::TableReport report;
      const auto again = data::read_table(file, options, &report);
      const auto& text = report.of(data::Defect::not_a_number);
      if (!again || text.count == 0 || text.count > again->rows()) continue;
      return Error{Errc::invalid, fmt::format("{}:{}: {}, as {} has", file, text.line, text.first,
                                              in_added ? before.files[0] : input)};
    }
  }
  return std::nullopt;
}

}  // namespace

Result<InputTables> read_tables(const std::vector<std::string>& inputs, const model::Schema* schema) {
  InputTables out;
  for (const auto& input : inputs) {
    data::TableOptions options;
    std::error_code ignored;
    if (schema != nullptr && std::filesystem::is_regular_file(input, ignored)) {
      const auto header = data::TableReader::open(input, options);
      if (!header) return header.error();
      options.numbers = detect::numbers_in(*schema, header->names());
    }
    options.threads = 0;
    data::TableReport report;
    auto table = data::read_table(input, options, &report);
    if (!table) return std::move(table).error();
    say_defects(report, "left out");
    const std::size_t rows = table->rows();
    if (out.table.columns() == 0) {
      out.table = std::move(*table);
    } else if (auto done = out.table.append(*table); !done) {
      const auto text = text_among_numbers(out, *table, input);
      return text ? *text : std::move(done).error().within(input);
    }
    out.file_of.resize(out.file_of.size() + rows, static_cast<std::uint32_t>(out.files.size()));
    out.files.push_back(input);
  }
  return out;
}

std::string InputTables::place(std::size_t row) const {
  const auto first = std::lower_bound(file_of.begin(), file_of.end(), file_of[row]) - file_of.begin();
  const std::string& file = files[file_of[row]];
  std::size_t within = row - static_cast<std::size_t>(first);
  const std::string by_number = fmt::format("row {} of {}", within + 1, file);
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(file, ignored)) return by_number;
  auto reader = data::TableReader::open(file);
  while (reader) {
    const auto some = reader->next();
    if (!some || some->rows() == 0) break;
    if (within < some->rows()) return fmt::format("{}:{}", file, reader->line(within));
    within -= some->rows();
  }
  return by_number;
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
  if (labels.hold_out_by != "time" && !groups.ids.empty())
    return data::hold_out_groups(codes, groups.ids, *share, labels.hold_out_seed);
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
  } else {
    split = data::stratified_split(codes, options);
  }
  if (!split) return std::move(split).error();
  for (const auto row : split->test) out[row] = true;
  return out;
}

// How much is held out, and which groups where these are few.
void say_held_out(const std::vector<bool>& held_out, const std::vector<std::uint32_t>& codes,
                  const Groups& groups) {
  std::uint64_t rows = 0, all = 0;
  std::set<std::uint32_t> held_groups, all_groups;
  for (std::size_t row = 0; row < codes.size(); ++row) {
    if (codes[row] == data::kUnlabelled) continue;
    ++all;
    rows += held_out[row] ? 1 : 0;
    if (groups.ids.empty()) continue;
    all_groups.insert(groups.ids[row]);
    if (held_out[row]) held_groups.insert(groups.ids[row]);
  }
  std::string text =
      fmt::format("held out: {} of {} rows ({:.1f} %)", with_thousands(rows), with_thousands(all),
                  all == 0 ? 0.0 : 100 * static_cast<double>(rows) / static_cast<double>(all));
  if (!groups.ids.empty()) {
    text += fmt::format(", {} of {} groups", with_thousands(held_groups.size()),
                        with_thousands(all_groups.size()));
    constexpr std::size_t kNamed = 8;
    if (!groups.names.empty() && held_groups.size() <= kNamed) {
      std::vector<std::string> names;
      for (const auto id : held_groups) {
        names.push_back(id == data::kMissing ? "(none)" : groups.names[id]);
      }
      text += fmt::format(": {}", fmt::join(names, ", "));
    }
  }
  say(text);
}

// The column with the labels, as it stands or put together out of two.
struct LabelColumn {
  std::string name;                   // empty: all rows are benign
  std::optional<data::Column> whole;  // put together
  std::vector<std::size_t> columns;   // of the table, that it is of

  Result<data::Labels> read(const data::Table& table, const data::LabelOptions& options) const {
    if (name.empty()) return data::Labels{{"benign"}, std::vector<std::uint32_t>(table.rows())};
    return whole ? data::read_labels(*whole, options) : data::read_labels(table, name, options);
  }
};

Result<LabelColumn> label_column(const data::Table& table, const data::DatasetSchema* known,
                                 const LabelArguments& labels) {
  LabelColumn out;
  out.name = labels.column;
  std::string text;
  if (out.name.empty() && labels.may_lack_labels && (known == nullptr || !table.get(known->label))) {
    text = "no --label: all rows count as benign";
  } else if (out.name.empty()) {
    if (known == nullptr || known->label.empty()) {
      return Error{Errc::invalid, "tables need the column with the label: --label COLUMN"};
    }
    out.name = known->label;
    text = fmt::format("{}: the label is '{}'", known->title, out.name);
    const auto* const verdict = table.get(known->label);
    const auto* const detail = known->detail.empty() ? nullptr : table.get(known->detail);
    if (verdict != nullptr && detail != nullptr) {
      out.whole = data::whole_labels(*verdict, *detail);
      text += fmt::format(", and '{}' names what it does not call benign", known->detail);
    }
  }
  if (!text.empty() && !labels.quiet) say(text);
  for (const auto name : {std::string_view(out.name), out.whole ? known->detail : std::string_view()}) {
    if (const auto at = table.find(name); at && !name.empty()) out.columns.push_back(*at);
  }
  return out;
}

// Zeek's labelled logs call rows so that nobody has judged.
void say_background(const data::Labels& labels) {
  const auto counts = labels.counts();
  for (std::size_t i = 0; i < labels.classes.size(); ++i) {
    if (!equal_ignoring_case(labels.classes[i], "background")) continue;
    say(
        fmt::format("{} rows are '{}', which says that nobody judged them: they count as attacks unless "
                    "--merge {}= leaves them out",
                    with_thousands(counts[i]), labels.classes[i], labels.classes[i]));
  }
}

}  // namespace

Result<LabelledRows> labels_of_table(const InputTables& inputs, const LabelArguments& labels, Part part) {
  const data::Table& table = inputs.table;
  const data::DatasetSchema* const known = data::recognise(names_of(table));
  const auto label = label_column(table, known, labels);
  if (!label) return label.error();
  const auto label_options = labels.options();
  if (!label_options) return label_options.error();
  const Result<data::Labels> original = label->read(table, *label_options);
  if (!original) return original.error();
  if (!labels.quiet) say_background(*original);
  const auto groups = groups_of(inputs, known, labels.group);
  if (!groups) return groups.error();
  if (inputs.files.size() > 1 && labels.group.empty() && !labels.quiet) {
    say(fmt::format("{} files, of which rows are {} one by one; --group file keeps each file whole",
                    inputs.files.size(), part == Part::training ? "divided" : "drawn for intervals"));
  }

  LabelledRows out;
  out.label_column = label->whole ? fmt::format("{}, {}", label->name, known->detail) : label->name;
  std::vector<bool> copies(table.rows(), false);
  std::vector<bool> held_out(table.rows(), false);
  if (labels.drop_copies || !labels.hold_out.empty()) {
    Result<data::Labels> as_they_stand = label->read(table, {});
    if (!as_they_stand) return std::move(as_they_stand).error();
    if (labels.drop_copies) {
      // Copies under another label are kept: which of the two is right is not ours to say.
      auto columns = feature_columns(table);
      columns.insert(columns.end(), label->columns.begin(), label->columns.end());
      copies.assign(table.rows(), true);
      for (const auto row : data::distinct_rows(table, columns)) copies[row] = false;
      for (std::size_t row = 0; row < table.rows(); ++row) {
        if (copies[row]) as_they_stand->codes[row] = data::kUnlabelled;
      }
    }
    auto chosen = held_out_rows(inputs, labels, known, *groups, as_they_stand->codes);
    if (!chosen) return std::move(chosen).error();
    held_out = std::move(*chosen);
    if (!labels.hold_out.empty() && part == Part::training && !labels.quiet)
      say_held_out(held_out, as_they_stand->codes, *groups);
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

}  // namespace nidus::cmd
