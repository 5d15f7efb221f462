#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json_writer.h"
#include "base/parallel.h"
#include "base/random.h"
#include "base/text.h"
#include "cmd/arguments.h"
#include "cmd/exit_status.h"
#include "cmd/labelled_rows.h"
#include "cmd/metering.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"
#include "data/labels.h"
#include "detect/binding.h"
#include "detect/detector.h"
#include "detect/pipeline.h"
#include "detect/reasons.h"
#include "learn/metrics.h"
#include "model/explain.h"

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
  const auto tables = read_tables({input});
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

// At most `most` of the rows, in their order.
Rows choose(Rows rows, std::size_t inputs, std::size_t most, std::uint64_t seed) {
  const std::size_t count = rows.count(inputs);
  if (most == 0 || count <= most) return rows;
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  Random random(seed);
  for (std::size_t i = 0; i < most; ++i) std::swap(order[i], order[i + random.below(count - i)]);
  order.resize(most);
  std::sort(order.begin(), order.end());
  Rows out;
  for (const auto row : order) {
    const auto begin = rows.values.begin() + static_cast<std::ptrdiff_t>(row * inputs);
    out.values.insert(out.values.end(), begin, begin + static_cast<std::ptrdiff_t>(inputs));
    if (!rows.is_attack.empty()) out.is_attack.push_back(rows.is_attack[row]);
  }
  return out;
}

// The mean magnitude of each column's contribution; empty if interrupted.
std::vector<double> mean_contributions(const detect::Reasoner& reasoner, const Rows& rows, Workers& workers) {
  const std::size_t inputs = reasoner.inputs(), width = inputs + 1, count = rows.count(inputs);
  ProgressBar bar("contributions");
  constexpr std::size_t kPiece = 64;
  const std::size_t pieces = (count + kPiece - 1) / kPiece, at_once = 4 * workers.threads();
  std::vector<double> sums(inputs), found(at_once * kPiece * width);
  for (std::size_t first = 0; first < pieces; first += at_once) {
    if (interrupted()) return {};
    const std::size_t some = std::min(at_once, pieces - first);
    const auto rows_in = [&](std::size_t piece) { return std::min(kPiece, count - piece * kPiece); };
    workers.run(some, [&](std::size_t i) {
      const std::size_t piece = first + i, n = rows_in(piece);
      reasoner.contributions(std::span(rows.values).subspan(piece * kPiece * inputs, n * inputs), n,
                             std::span(found).subspan(i * kPiece * width, n * width));
    });
    // In the order of the rows, so that the sums do not depend on the number of threads.
    for (std::size_t i = 0; i < some; ++i) {
      for (std::size_t row = 0; row < rows_in(first + i); ++row) {
        const double* const at = &found[(i * kPiece + row) * width];
        for (std::size_t column = 0; column < inputs; ++column) sums[column] += std::abs(at[column]);
      }
    }
    bar.show(static_cast<double>(first + some) / static_cast<double>(pieces));
  }
  for (double& sum : sums) sum /= static_cast<double>(count);
  return sums;
}

std::optional<double> area_under_roc(const model::Model& model, std::span<const float> values,
                                     const Rows& rows, Workers& workers) {
  const std::size_t inputs = model.inputs(), count = rows.count(inputs);
  std::vector<double> scores(count);
  constexpr std::size_t kPiece = 1024;
  workers.run((count + kPiece - 1) / kPiece, [&](std::size_t piece) {
    const std::size_t begin = piece * kPiece, n = std::min(kPiece, count - begin);
    const auto some = model::attack_scores(model, values.subspan(begin * inputs, n * inputs), n);
    std::copy(some.begin(), some.end(), scores.begin() + static_cast<std::ptrdiff_t>(begin));
  });
  return learn::roc_auc(scores, rows.is_attack);
}

// How much the area under the ROC curve drops when a column is permuted (Breiman 2001); empty if there are no
// labels, only one class, or it was interrupted.
std::vector<double> permutation_drops(const model::Model& model, const Rows& rows, std::uint64_t seed,
                                      Workers& workers) {
  if (rows.is_attack.empty()) return {};
  const auto whole = area_under_roc(model, rows.values, rows, workers);
  if (!whole) {
    say("the rows are all of one class: there is no permutation importance");
    return {};
  }
  ProgressBar bar("permutations");
  const std::size_t inputs = model.inputs(), count = rows.count(inputs);
  std::vector<double> drops;
  std::vector<float> values = rows.values;
  for (std::size_t column = 0; column < inputs; ++column) {
    if (interrupted()) return {};
    Random random(Random::mix(seed) + column);
    for (std::size_t i = count; i-- > 1;)
      std::swap(values[i * inputs + column], values[random.below(i + 1) * inputs + column]);
    drops.push_back(*whole - area_under_roc(model, values, rows, workers).value_or(*whole));
    for (std::size_t i = 0; i < count; ++i) values[i * inputs + column] = rows.values[i * inputs + column];
    bar.show(static_cast<double>(column + 1) / static_cast<double>(inputs));
  }
  return drops;
}

struct Importance {
  std::vector<double> contribution, gain, permutation;  // by column; permutation may be empty

  // The most important first.
  std::vector<std::size_t> order() const {
    std::vector<std::size_t> out(contribution.size());
    std::iota(out.begin(), out.end(), std::size_t{0});
    std::stable_sort(out.begin(), out.end(),
                     [&](std::size_t a, std::size_t b) { return contribution[a] > contribution[b]; });
    return out;
  }
};

std::string to_text(const detect::Manifest& manifest, const Importance& importance, std::size_t used,
                    std::size_t all) {
  std::size_t width = 7;
  for (const auto& column : manifest.schema) width = std::max(width, column.name.size());
  std::string out =
      fmt::format("detector {} {}, {} of {} rows\n\n{:<{}} {:>19} {:>9}", manifest.name, manifest.version,
                  with_thousands(used), with_thousands(all), "feature", width, "mean |contribution|", "gain");
  out += importance.permutation.empty() ? "\n" : fmt::format(" {:>12}\n", "permutation");
  for (const auto column : importance.order()) {
    out += fmt::format("{:<{}} {:>19.5f} {:>7.2f} %", manifest.schema[column].name, width,
                       importance.contribution[column], 100 * importance.gain[column]);
    if (!importance.permutation.empty()) out += fmt::format(" {:>+12.5f}", importance.permutation[column]);
    out += '\n';
  }
  return out;
}

std::string to_csv(const detect::Manifest& manifest, const Importance& importance) {
  const bool permuted = !importance.permutation.empty();
  std::string out =
      permuted ? "feature,mean_abs_contribution,gain,permutation\n" : "feature,mean_abs_contribution,gain\n";
  for (const auto column : importance.order()) {
    append_csv_cell(out, manifest.schema[column].name);
    out += fmt::format(",{},{}", importance.contribution[column], importance.gain[column]);
    if (permuted) out += fmt::format(",{}", importance.permutation[column]);
    out += '\n';
  }
  return out;
}

std::string to_json(const detect::Manifest& manifest, const Importance& importance, std::size_t used,
                    std::size_t all) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  json.field("detector", manifest.name);
  json.field("version", manifest.version);
  json.field("rows", used);
  json.field("rows_there", all);
  json.key("features");
  json.begin_array();
  for (const auto column : importance.order()) {
    json.begin_object();
    json.field("feature", manifest.schema[column].name);
    json.field("mean_abs_contribution", importance.contribution[column]);
    json.field("gain", importance.gain[column]);
    if (!importance.permutation.empty()) json.field("permutation", importance.permutation[column]);
    json.end_object();
  }
  json.end_array();
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
  const auto detector = detect::Detector::load(given.inputs.front());
  if (!detector) return complain(detector.error());
  const detect::Manifest& manifest = detector->manifest();
  const auto reasoner = detect::Reasoner::make(*detector);
  if (!reasoner) return complain(reasoner.error());
  const auto gain = model::gain_importance(detector->model());
  if (!gain) return complain(gain.error());
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
  rows = choose(std::move(rows), width, given.rows, given.seed);

  Workers workers(given.threads);
  Importance importance;
  importance.gain = *gain;
  importance.contribution = mean_contributions(*reasoner, rows, workers);
  importance.permutation = permutation_drops(detector->model(), rows, given.seed, workers);
  if (interrupted()) return kInterrupted;
  const std::size_t used = rows.count(width);
  const std::string text = given.format == "csv"    ? to_csv(manifest, importance)
                           : given.format == "json" ? to_json(manifest, importance, used, all)
                                                    : to_text(manifest, importance, used, all);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return status;
}

}  // namespace nidus::cmd
