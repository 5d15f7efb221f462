#include "cmd_learn/training.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <string_view>
#include <utility>

#include "base/number.h"
#include "base/random.h"
#include "base/text.h"
#include "cmd/terminal.h"
#include "data/split.h"
#include "detect/binding.h"
#include "detect/fingerprint.h"
#include "flow/columns.h"
#include "learn/boost_trainer.h"
#include "learn/forest_trainer.h"

namespace nidus::cmd {
namespace {

model::Column feature_column(flow::FlowColumn column) {
  return {flow::key(column), model::Column::Kind::numeric, {}, std::string(flow::unit(column))};
}

// By any of its names, if both are flow features; else by the text.
bool same_column(const std::string& a, const std::string& b) {
  if (equal_ignoring_case(a, b)) return true;
  const auto left = flow::column_from_name(a);
  return left && left == flow::column_from_name(b);
}

// Whether an entry of --features or --exclude means this column: by name, or by its group.
bool means(const std::string& entry, const std::string& name) {
  if (same_column(entry, name)) return true;
  const auto group = flow::group_from_name(entry);
  const auto column = group ? flow::column_from_name(name) : std::nullopt;
  return column && column->group == *group;
}

bool contains(const std::vector<std::string>& list, const std::string& name) {
  return std::any_of(list.begin(), list.end(), [&](const auto& entry) { return means(entry, name); });
}

bool names_one_of(const std::string& entry, const std::vector<std::string>& all) {
  return std::any_of(all.begin(), all.end(), [&](const auto& name) { return means(entry, name); });
}

// Of the columns there are, those to learn from: what --features names, else all but identities; without
// --exclude.
Result<std::vector<std::string>> choose(const std::vector<std::string>& all, const TrainArguments& given) {
  for (const auto* list : {&given.features, &given.exclude}) {
    for (const auto& wanted : *list) {
      if (!names_one_of(wanted, all)) {
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

// What flows of captures can be asked for: packets only where --features names them, and no more of them than
// an early record has.
std::vector<std::string> columns_of_captures(const TrainArguments& given, const flow::MeterOptions& meter) {
  std::vector<std::string> all;
  for (const auto feature : flow::features_of(meter.profile)) all.emplace_back(flow::key(feature));
  if (meter.profile != flow::Profile::native) return all;
  const auto add = [&](flow::Group group, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) all.push_back(flow::key({group, static_cast<std::uint16_t>(i)}));
  };
  add(flow::Group::context, flow::columns_in(flow::Group::context));
  const bool sequence = std::any_of(given.features.begin(), given.features.end(), [](const auto& entry) {
    const auto column = flow::column_from_name(entry);
    return flow::group_from_name(entry) == flow::Group::sequence ||
           (column && column->group == flow::Group::sequence);
  });
  std::size_t packets = flow::kSequenceMax;
  if (meter.partial_after_packets != 0) packets = std::min<std::size_t>(packets, meter.partial_after_packets);
  if (sequence) add(flow::Group::sequence, 2 * packets);
  return all;
}

Result<Material> material_of_captures(const TrainArguments& given, int& status) {
  if (!given.row_weight.empty())
    return Error{Errc::invalid, "--row-weight names a column of tables; the flows of captures have none"};
  Material out;
  const detect::PipelineOptions options = given.metering.options();
  const auto names = choose(columns_of_captures(given, options.meter), given);
  if (!names) return names.error();
  for (const auto& name : *names) out.schema.push_back(feature_column(*flow::column_from_name(name)));
  auto rows = rows_of_captures(given.inputs, given.labels, options, out.schema, status);
  if (!rows) return std::move(rows).error();
  out.rows = std::move(*rows);
  out.meter = detect::meter_for(out.schema, options.meter);
  out.meter_description = flow::Meter(options.meter).description();
  return out;
}

// What the labelled rows weigh by a column of the table.
Result<std::vector<float>> weights_of_rows(const InputTables& inputs, const std::string& name,
                                           std::span<const std::size_t> rows) {
  const auto column = inputs.table.require(name);
  if (!column) return Error(column.error()).within("--row-weight");
  std::vector<float> out;
  bool any = false;
  for (const auto row : rows) {
    const bool number = (*column)->kind == data::Kind::numeric;
    const auto weight = static_cast<float>(number ? (*column)->numbers[row]
                                                  : parse_number((*column)->text_at(row)).value_or(-1));
    if (!(weight >= 0) || !std::isfinite(weight)) {
      return Error{Errc::invalid,
                   fmt::format("{}: --row-weight '{}': '{}' is no weight, which is a number not below 0",
                               inputs.place(row), (*column)->name, (*column)->cell(row))};
    }
    any = any || weight > 0;
    out.push_back(weight);
  }
  if (!any)
    return Error{Errc::invalid, fmt::format("--row-weight '{}': no row weighs anything", (*column)->name)};
  return out;
}

Result<Material> material_of_tables(const TrainArguments& given) {
  const auto inputs = read_tables(given.inputs);
  if (!inputs) return inputs.error();
  const data::Table* const table = &inputs->table;
  std::vector<std::string> all;
  for (std::size_t i = 0; i < table->columns(); ++i) {
    const std::string& name = table->column(i).name;
    if (equal_ignoring_case(name, given.labels.column) || equal_ignoring_case(name, given.labels.group) ||
        equal_ignoring_case(name, given.row_weight)) {
      continue;
    }
    all.push_back(name);
  }
  const auto names = choose(all, given);
  if (!names) return names.error();
  for (const auto& name : *names) {
    // The table appended ".1" to a name that was taken.
    if (name.ends_with(".1") && contains(all, name.substr(0, name.size() - 2))) {
      say(fmt::format("column '{}' stands there twice; the second is '{}'", name.substr(0, name.size() - 2),
                      name));
    }
  }

  // A table of flows: columns under their canonical names, so that the detector also judges captures.
  const detect::Fingerprint print = detect::fingerprint(*table);
  std::vector<std::string> kept;
  for (const auto& name : *names) {
    const bool repeated = print.profile && std::any_of(kept.begin(), kept.end(), [&](const auto& other) {
                            return same_column(other, name);
                          });
    if (!repeated) kept.push_back(name);
  }
  auto rows = labels_of_table(*inputs, given.labels, Part::training);
  if (!rows) return std::move(rows).error();
  // Texts that only rows held out have are no part of it.
  // Nor of attacks, where nothing is to be known of those.
  std::vector<std::size_t> learnt_from = rows->table_rows;
  if (given.is_of_benign_rows()) {
    std::vector<std::size_t> benign;
    for (std::size_t row = 0; row < rows->rows(); ++row) {
      if (rows->label_names[rows->labels[row]] == "benign") benign.push_back(rows->table_rows[row]);
    }
    learnt_from = std::move(benign);
  }
  auto schema =
      learn::learn_schema(*table, kept, learnt_from, [&](std::size_t row) { return inputs->place(row); });
  if (!schema) return std::move(schema).error();
  Material out;
  out.schema = std::move(*schema);
  if (print.profile) {
    for (auto& column : out.schema) {
      if (const auto found = flow::column_from_name(column.name)) {
        column.name = flow::key(*found);
        column.unit = flow::unit(*found);
      }
    }
    out.meter = print.meter;
    if (out.meter) out.meter_description = flow::Meter(*out.meter).description();
  }
  if (auto done = take_values(*inputs, out.schema, *rows); !done) return std::move(done).error();
  out.rows = std::move(*rows);
  if (!given.row_weight.empty()) {
    auto weights = weights_of_rows(*inputs, given.row_weight, out.rows.table_rows);
    if (!weights) return std::move(weights).error();
    out.weights = std::move(*weights);
  }
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

// Columns in which all rows are equal say nothing, and neither do those with nothing in them.
Result<void> look_at_columns(const learn::Dataset& training) {
  std::vector<std::string> constant;
  for (std::size_t input = 0; input < training.inputs(); ++input) {
    const float first = training.at(0, input);
    bool varies = false;
    for (std::size_t row = 1; row < training.rows() && !varies; ++row) {
      const float value = training.at(row, input);
      varies = !(value == first || (std::isnan(value) && std::isnan(first)));
    }
    if (!varies) constant.push_back("'" + training.schema[input].name + "'");
  }
  if (constant.size() == training.inputs()) {
    return Error{Errc::invalid, "no column varies in the rows to learn from: there is nothing to learn"};
  }
  constexpr std::size_t kNamed = 5;
  if (!constant.empty()) {
    const std::size_t named = std::min(constant.size(), kNamed);
    say(fmt::format("{} of {} columns never vary in the rows to learn from and say nothing: {}{}",
                    constant.size(), training.inputs(),
                    fmt::join(constant.begin(), constant.begin() + static_cast<std::ptrdiff_t>(named), ", "),
                    named < constant.size() ? ", …" : ""));
  }
  return {};
}

// What can be had without the system writing memory to disk, and within the limit of a container.
std::optional<std::uint64_t> memory_available() {
  std::optional<std::uint64_t> out;
  std::ifstream facts("/proc/meminfo");
  for (std::string line; std::getline(facts, line);) {
    if (!line.starts_with("MemAvailable:")) continue;
    const auto words = split(trim(std::string_view(line).substr(13)), ' ');
    if (const auto kilobytes = parse_integer(words.front()))
      out = static_cast<std::uint64_t>(*kilobytes) * 1024;
  }
  std::string most, used;
  std::getline(std::ifstream("/sys/fs/cgroup/memory.max") >> std::ws, most);
  std::getline(std::ifstream("/sys/fs/cgroup/memory.current") >> std::ws, used);
  const auto limit = parse_integer(most), current = parse_integer(used);
  if (limit && current && *limit > *current) {
    out = std::min(out.value_or(UINT64_MAX), static_cast<std::uint64_t>(*limit - *current));
  }
  return out;
}

}  // namespace

void TrainArguments::declare(Arguments& arguments) {
  arguments.inputs(inputs, "input", "Captures (with --labels), or tables (with --label)");
  arguments.option("-o,--output", output, "The detector's folder");
  labels.declare(arguments);
  arguments.option(
      "--model", model,
      "What is fitted; ensemble: --members; any: what --search finds best. Of benign rows alone: "
      "isolation-forest, mahalanobis, histogram, neighbours, autoencoder. Of the first packets of flows: "
      "lstm, "
      "cnn, cnn-lstm",
      {"forest", "extra-trees", "boost", "tree", "isolation-forest", "mahalanobis", "histogram", "neighbours",
       "mlp", "autoencoder", "lstm", "cnn", "cnn-lstm", "ensemble", "any"});
  arguments.option("--members", members, "ensemble: any of the other models; forest,boost without it");
  arguments.option("--combine", combine,
                   "ensemble: weighted mean, majority vote, maximum (one alert budget for all), or stacking",
                   {"mean", "vote", "max", "stack"});
  arguments.option(
      "--weights-of", weights_of,
      "ensemble: what each member counts in the mean, 0.5,0.5; or learnt, from rows of their own");
  arguments.flag("--name-anomalies", name_anomalies,
                 "ensemble: attacks that no member knows the class of are called anomaly");
  arguments.option("--classes", classes, "Tell attacks apart, or only attack from benign",
                   {"multi", "binary"});
  arguments.option("--fpr", fpr,
                   "False-positive rate that the threshold is chosen for, on benign validation rows", 0, 0.5);
  arguments.option("--validation", validation,
                   "Share of the rows kept from training for threshold and figures", 0.05, 0.9);
  arguments.option("--calibration", calibration,
                   "Make probabilities of the scores, by a curve fitted on validation rows kept for it alone",
                   {"isotonic", "platt"});
  arguments.option(
      "--unknown", unknown,
      "Say 'unknown' of a row that resembles all but this share of the rows of no label; validation rows "
      "are kept for it alone",
      1e-4, 0.5);
  arguments.option("--validate-on", validate_on,
                   "Validation rows come only from groups whose names begin so: those most like the site to "
                   "be watched");
  arguments.option(
      "--features", features,
      "Only these columns, by any of their names; flow, context and sequence stand for all of such");
  arguments.option("--exclude", exclude,
                   "All columns but these (beside what is never learnt from: who and when)");
  arguments.option("--seed", seed, "Of the split and the models");
  arguments.option("--weights", weights, "balanced: each class counts the same", {"balanced", "none"});
  arguments.option("--row-weight", row_weight,
                   "Tables: a column that says how much each row counts in learning; it is no feature");
  arguments.option(
      "--encode", encode,
      "Columns of text. one-hot: each text is a column of 0 and 1; index: its place in the alphabet",
      {"one-hot", "index"});
  arguments.option("--rows-per-class", rows_per_class,
                   "Rows of a class used at most, chosen by the seed; 0 all");
  arguments.option("--trees", trees,
                   "forest, extra-trees, isolation-forest: number of trees; 0 is 100, and 300 for the last",
                   10000);
  arguments.option(
      "--contamination", contamination,
      "isolation-forest: the threshold as scikit-learn draws it, by this share of the rows learnt "
      "from, or auto; without it by --fpr");
  arguments.option("--bins", bins, "histogram: bins of a column of numbers", 10000);
  arguments.option("--neighbours", neighbours, "neighbours: which of the nearest rows the distance is to",
                   1000);
  arguments.option("--sample", sample, "neighbours: benign rows kept; scoring takes time in proportion",
                   1000000);
  arguments.option("--depth", depth,
                   "forest, extra-trees: greatest depth, 0 until the leaves are pure; boost: 0 means 6", 64);
  arguments.option("--min-leaf", min_leaf, "forest, extra-trees: rows in a leaf");
  arguments.option("--nodes-max", nodes_max,
                   "forest, extra-trees: nodes of all trees together, for a small detector; 0 any");
  arguments.option("--split-features", split_features,
                   "forest, extra-trees: columns looked at for a split; 0 the square root of their number");
  arguments.flag("--out-of-bag", out_of_bag,
                 "forest: also estimate the quality from the rows that each tree did not draw");
  arguments.option("--rounds", rounds, "boost: number of rounds", 100000);
  arguments.option(
      "--early-stopping", early_stopping,
      "boost: end when a tenth of the rows to learn from, kept aside, has not gained for so many "
      "rounds; 0 never");
  arguments.option("--learning-rate", learning_rate,
                   "boost: what a round counts, 0 is 0.3; networks: how far a step of Adam goes, 0 is 0.001",
                   0, 1);
  arguments.option("--layers", layers,
                   "networks: sizes of the hidden layers; without it 512,256,128,64,32, of an autoencoder "
                   "64,16,64, of what reads packets 32");
  arguments.option("--epochs", epochs, "networks: how often the rows are gone through at most", 100000);
  arguments.option("--batch", batch, "networks: rows that a step is made by", 65536);
  arguments.option("--dropout", dropout,
                   "networks but autoencoders: share of numbers left out while learning", 0, 0.95);
  arguments.option("--noise", noise, "autoencoder: deviation of noise on what it learns to clean", 0, 100);
  arguments.option(
      "--patience", patience,
      "networks: end when a tenth of the rows to learn from, kept aside, has not gained for so many "
      "epochs; 0 never",
      100000);
  arguments.option("--schedule", schedule, "networks: how the learning rate goes down",
                   {"plateau", "cosine", "constant"});
  arguments.option("--scaling", scaling,
                   "mlp, autoencoder: how columns of numbers are brought to one scale; log: logarithms, then "
                   "standard",
                   {"log", "standard", "robust", "min-max", "none"});
  arguments.option("--min-child-weight", min_child_weight, "boost: least weight of a leaf", 0, 1e6);
  arguments.option("--subsample", subsample, "boost: share of the rows for each round", 0.01, 1);
  arguments.option("--columns", columns, "boost: share of the columns for each tree", 0.01, 1);
  arguments.option("--lambda", lambda, "boost: how much leaves are drawn to zero", 0, 1e6);
  arguments.option("--gamma", gamma, "boost: least gain of a split", 0, 1e6);
  arguments.option("--scale-pos-weight", scale_positive, "boost, two classes: weight of an attack", 1e-6,
                   1e6);
  arguments.flag("--search", search,
                 "Look for the best settings first, by cross-validation on the rows to learn from");
  arguments.option("--search-minutes", search_minutes, "The search ends after so long", 0.01, 100000);
  arguments.option("--candidates", candidates, "Settings that the search begins with", 10000);
  arguments.flag("--no-checkpoint", no_checkpoint,
                 "Keep nothing on the way; otherwise what is done stands beside the detector, and the same "
                 "command goes on from there");
  arguments.option("--name", name, "Of the detector; its folder's if not given");
  arguments.option("--set-version", version, "Of the detector");
  arguments.flag("--json", json, "The figures as JSON");
  metering.declare(arguments);
  arguments.footer(
      "Rows of one group (--group, or the label file's) stay on one side of the split. The threshold is "
      "the lowest at\n"
      "which no more than --fpr of the benign validation rows are taken for attacks.");
}

bool is_network(std::string_view family) {
  constexpr std::string_view kFamilies[] = {"mlp", "autoencoder", "lstm", "cnn", "cnn-lstm"};
  return std::find(std::begin(kFamilies), std::end(kFamilies), family) != std::end(kFamilies);
}

bool reads_packets(std::string_view family) {
  return is_network(family) && family != "mlp" && family != "autoencoder";
}

bool is_of_benign_rows(std::string_view family) {
  constexpr std::string_view kFamilies[] = {"isolation-forest", "mahalanobis", "histogram", "neighbours",
                                            "autoencoder"};
  return std::find(std::begin(kFamilies), std::end(kFamilies), family) != std::end(kFamilies);
}

bool TrainArguments::is_of_benign_rows() const {
  if (model != "ensemble" || members.empty()) return cmd::is_of_benign_rows(model);
  return std::all_of(members.begin(), members.end(),
                     [](const auto& member) { return cmd::is_of_benign_rows(member); });
}

Result<Parts> split_material(Material& material, const data::Labels& labels, const TrainArguments& given) {
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
  // Of a few groups it may keep all for learning: then whatever comes nearest to the share, but some.
  const auto is_benign = [&](std::size_t row) { return codes[row] == 0; };
  if (grouped && std::none_of(rows->validation.begin(), rows->validation.end(), is_benign)) {
    if (const auto held = data::hold_out_groups(codes, their_groups, given.validation, given.seed)) {
      rows->train.clear();
      rows->validation.clear();
      for (std::size_t row = 0; row < codes.size(); ++row) {
        ((*held)[row] ? rows->validation : rows->train).push_back(row);
      }
    }
  }
  for (auto* part : {&rows->train, &rows->validation}) {
    for (auto& row : *part) row = divided[row];
  }
  rows->train.insert(rows->train.end(), learnt_from.begin(), learnt_from.end());
  std::sort(rows->train.begin(), rows->train.end());
  learn::Dataset all;
  all.schema = material.schema;
  all.classes = labels.classes;
  all.values = std::move(material.rows.values);
  all.labels = labels.codes;
  all.weights = std::move(material.weights);
  Parts parts;
  if (given.is_of_benign_rows()) {
    // Nothing is learnt from attacks: all of them say how many are found.
    const auto attacks = std::stable_partition(rows->train.begin(), rows->train.end(),
                                               [&](auto row) { return labels.codes[row] == 0; });
    rows->validation.insert(rows->validation.end(), attacks, rows->train.end());
    rows->train.erase(attacks, rows->train.end());
    std::sort(rows->validation.begin(), rows->validation.end());
  }
  // What weighs nothing is as if it were not there, also to what has no use for weights.
  if (!all.weights.empty()) std::erase_if(rows->train, [&](auto row) { return all.weights[row] == 0; });
  const auto training_rows =
      thin(rows->train, labels.codes, labels.classes.size(), given.rows_per_class, given.seed);
  parts.validation_rows = rows->validation;
  parts.training = learn::take(all, training_rows);
  parts.validation = learn::take(all, parts.validation_rows);
  for (std::size_t i = 0; grouped && i < training_rows.size(); ++i) {
    const auto group = groups[training_rows[i]];
    parts.training_groups.push_back(
        group != data::kMissing ? group
                                : static_cast<std::uint32_t>(material.rows.group_names.texts().size() + i));
  }
  const auto trained = parts.training.class_counts(), checked = parts.validation.class_counts();
  for (std::size_t i = 0; i < labels.classes.size(); ++i) {
    if (trained[i] == 0 && !(i > 0 && given.is_of_benign_rows())) {
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
  if (auto good = look_at_columns(parts.training); !good) return std::move(good).error();
  return parts;
}

Result<Material> read_material(const TrainArguments& given, int& status) {
  const auto captures = are_captures(given.inputs);
  if (!captures) return captures.error();
  return *captures ? material_of_captures(given, status) : material_of_tables(given);
}

Result<void> check_memory(const learn::Dataset& training, const TrainArguments& given) {
  const std::size_t rows = training.rows(), inputs = training.inputs();
  const auto has = [&](std::string_view family) {
    const auto& members = given.members;
    return given.model == family || given.model == "any" ||
           (given.model == "ensemble" &&
            (members.empty() || std::find(members.begin(), members.end(), family) != members.end()));
  };
  const bool forest = has("forest") || has("extra-trees") || has("tree"), boost = has("boost");
  const std::uint64_t needed =
      std::max(forest ? learn::forest_bytes(rows, inputs, given.metering.threads) : 0,
               boost ? learn::boost_bytes(rows, inputs) : 0);
  const auto available = memory_available();
  if (available && needed > *available) {
    return Error{Errc::exhausted,
                 fmt::format("learning from {} rows in {} columns takes about {} of memory, and {} are free: "
                             "take fewer with --rows-per-class, or fewer --threads",
                             with_thousands(training.rows()), training.inputs(), bytes_text(needed),
                             bytes_text(*available))};
  }
  if (needed >= 500'000'000) say(fmt::format("learning takes about {} of memory", bytes_text(needed)));
  return {};
}

}  // namespace nidus::cmd
