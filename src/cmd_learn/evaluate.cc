#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/text.h"
#include "cmd/arguments.h"
#include "cmd/exit_status.h"
#include "cmd/load_detector.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"
#include "cmd_learn/division.h"
#include "cmd_learn/explanations.h"
#include "cmd_learn/labelled_rows.h"
#include "cmd_learn/openings.h"
#include "detect/baseline.h"
#include "detect/detector.h"
#include "learn/comparison.h"
#include "learn/evaluation.h"
#include "learn/leaks.h"
#include "learn/report.h"

namespace nidus::cmd {
namespace {

struct EvaluateArguments {
  std::vector<std::string> inputs;  // the detector first, or two with --compare
  std::vector<std::string> learnt_from;
  std::string html, over, log;
  bool json = false, any_profile = false, compare = false, explain = false;
  std::uint64_t threads = 0, seed = 1, explain_rows = 10000, early = 0;
  std::optional<double> threshold, base_rate, bootstrap;
  double flows_a_day = 1e6;
  LabelArguments labels;

  void declare(Arguments& arguments) {
    arguments.inputs(
        inputs, "input",
        "The detector's folder (two with --compare), then captures (with --labels) or tables (with "
        "--label)",
        2);
    labels.declare(arguments);
    arguments.flag("--compare", compare,
                   "The first two inputs are detectors: is one better on the same rows?");
    arguments.option("--threshold", threshold,
                     "Attack from this score on, instead of the detector's own threshold", 0, 1e300);
    arguments.option(
        "--early", early,
        "Captures: judge a flow after its first N packets, or when it has ended if it has fewer; "
        "without it when it has ended, or as the detector was trained",
        UINT32_MAX);
    arguments.flag(
        "--explain", explain,
        "Also which features the detector goes by on these rows, and why its worst mistakes are so");
    arguments.option("--explain-rows", explain_rows,
                     "Rows that the importance of features is of at most, chosen by the seed; 0 all");
    arguments.option("--over", over,
                     "Also figures hour by hour or day by day (UTC), where rows say when they were",
                     {"hour", "day"});
    arguments.option(
        "--log", log,
        "A file that remembers which inputs were measured on: says how often these were before, and adds "
        "a line");
    arguments.option("--html", html, "Also a page with curves, to be opened in a browser");
    arguments.flag("--json", json, "One JSON object");
    arguments.option(
        "--base-rate", base_rate,
        "Share of attacks among the flows of the network in question; without it 0.01, 0.001, 0.0001", 0, 1);
    arguments.option("--flows-per-day", flows_a_day, "Of the network in question, for alerts a day", 0, 1e15);
    arguments.option(
        "--bootstrap", bootstrap,
        "Replicates that intervals are made of; 0 none, without it 1000 or as many as some seconds allow", 0,
        100000);
    arguments.option("--seed", seed, "Of the bootstrap, and of what --explain draws");
    arguments.option("--learnt-from", learnt_from,
                     "What the detector learnt from: rows that are copies of its rows are counted");
    arguments.option("--threads", threads, "Threads; 0 is one for each processor", 1024);
    arguments.flag("--any-profile", any_profile, "Judge tables even if they were metered in another way");
    arguments.footer(
        "A label that the detector does not know counts as an attack that it cannot name. Intervals draw "
        "the groups of\n--group or of the label file whole, else single rows. docs/evaluation.md explains "
        "every figure.");
  }

  DetectorRows how() const { return {any_profile, threads, early}; }
};

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

// The scores of the truth's classes: what the detector has never heard of scores 0.
std::vector<double> widened(const std::vector<double>& given, std::size_t rows, std::size_t had,
                            std::size_t classes) {
  const std::size_t width = had == 1 ? 1 : classes;
  std::vector<double> out(rows * width);
  for (std::size_t row = 0; row < rows; ++row) std::copy_n(&given[row * had], had, &out[row * width]);
  return out;
}

// A detector, the rows in the columns that it wants, and what it makes of them.
struct Judged {
  detect::Detector detector;
  LabelledRows rows;
  Truth truth;
  std::vector<double> scores;  // as the model gives them

  // The attack score of each row.
  std::vector<double> attack_scores() const {
    const std::size_t width = detector.model().outputs();
    std::vector<double> out;
    for (std::size_t row = 0; row < rows.rows(); ++row) {
      out.push_back(width == 1 ? scores[row] : 1 - scores[row * width]);
    }
    return out;
  }

  std::vector<std::uint8_t> is_attack() const {
    std::vector<std::uint8_t> out;
    for (const auto code : truth.codes) out.push_back(code != 0);
    return out;
  }
};

Result<Judged> judge(const EvaluateArguments& given, const std::string& folder,
                     const std::vector<std::string>& inputs, int& status) {
  auto detector = load_detector(folder);
  if (!detector) return std::move(detector).error();
  if (given.threshold) detector = detector->with_threshold(*given.threshold);
  auto rows = rows_for(*detector, inputs, given.labels, given.how(), status);
  if (!rows) return std::move(rows).error();
  std::vector<double> scores = scores_of(*detector, *rows);
  if (const auto none =
          std::count_if(scores.begin(), scores.end(), [](double score) { return score != score; });
      none != 0) {
    return Error{Errc::unsupported,
                 fmt::format("{} of {} rows lack values, and the model cannot do without",
                             none / static_cast<std::ptrdiff_t>(detector->model().outputs()),
                             with_thousands(rows->rows()))};
  }
  Truth truth = truth_of(*rows, detector->manifest().labels);
  return Judged{std::move(*detector), std::move(*rows), std::move(truth), std::move(scores)};
}

std::size_t replicates(const EvaluateArguments& given, std::size_t rows) {
  return given.bootstrap ? static_cast<std::size_t>(*given.bootstrap) : learn::affordable_replicates(rows);
}

Result<learn::Evaluation> measure(const EvaluateArguments& given, const Judged& judged) {
  const LabelledRows& rows = judged.rows;
  const std::size_t had = judged.detector.model().outputs();
  const std::vector<double> scores = widened(judged.scores, rows.rows(), had, judged.truth.classes.size());
  learn::Scored scored;
  scored.classes = judged.truth.classes;
  scored.truth = judged.truth.codes;
  scored.scores = scores;
  scored.width = had == 1 ? 1 : judged.truth.classes.size();
  scored.threshold = judged.detector.manifest().threshold.value;
  scored.two_stage = judged.detector.manifest().threshold.rule == detect::Manifest::Threshold::Rule::line;
  scored.family_names = rows.attack_names.texts();
  scored.families = rows.attacks;
  scored.groups = rows.groups;
  scored.bootstrap_replicates = replicates(given, rows.rows());
  scored.seed = given.seed;
  scored.threads = given.threads;
  scored.flows_a_day = given.flows_a_day;
  if (given.base_rate) scored.base_rates = {*given.base_rate};
  return learn::evaluate(scored);
}

std::vector<learn::GroupFigures> measure_groups(const Judged& judged) {
  const LabelledRows& rows = judged.rows;
  const double threshold = judged.detector.manifest().threshold.value;
  const std::size_t width = judged.detector.model().outputs();
  const bool most_likely = width > 1 && judged.detector.manifest().threshold.rule ==
                                            detect::Manifest::Threshold::Rule::most_likely;
  std::vector<learn::GroupFigures> out;
  for (const auto& name : rows.group_names.texts()) out.emplace_back().name = name;
  const std::vector<double> scores = judged.attack_scores();
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    if (rows.groups[row] == data::kMissing) continue;
    learn::GroupFigures& group = out[rows.groups[row]];
    const bool benign = judged.truth.codes[row] == 0;
    ++(benign ? group.benign : group.attacks);
    const double* const each = &judged.scores[row * width];
    const bool alarm =
        most_likely ? *std::max_element(each + 1, each + width) > each[0] : scores[row] >= threshold;
    if (alarm) ++(benign ? group.false_alarms : group.found);
  }
  return out;
}

Result<learn::LeakReport> search_leaks(const EvaluateArguments& given, const Judged& judged,
                                       const std::vector<std::string>& inputs, int& status) {
  const detect::Manifest& manifest = judged.detector.manifest();
  learn::LeakSearch search{manifest.schema, judged.rows.values, judged.truth.codes};
  search.reference_levels = manifest.reference_levels;
  search.reference = manifest.reference;
  const std::vector<double> missing = detect::missing_shares(manifest);
  search.reference_missing = missing;
  LabelledRows learnt;
  std::vector<std::uint32_t> learnt_codes;
  if (!given.learnt_from.empty()) {
    // Of what was held out nothing was learnt.
    LabelArguments labels = divided_as(manifest.trained_on.hold_out, given.labels);
    labels.quiet = true;
    DetectorRows how = given.how();
    how.part = Part::training;
    auto read = rows_for(judged.detector, given.learnt_from, labels, how, status);
    if (!read) return std::move(read).error().within("--learnt-from");
    learnt = std::move(*read);
    learnt_codes = truth_of(learnt, manifest.labels).codes;
    search.learnt_values = learnt.values;
    search.learnt_labels = learnt_codes;
  }
  learn::LeakReport report = learn::find_leaks(search);
  const auto division = division_of(given.labels, judged.rows.label_column);
  for (const auto& input : inputs) {
    std::string warning = warning_of_input(input, inputs, manifest.trained_on, division);
    if (!warning.empty()) report.leaks.push_back({learn::LeakKind::copies, "", 1, std::move(warning)});
  }
  return report;
}

Result<learn::Comparison> compare(const EvaluateArguments& given, const Judged& a, const Judged& b) {
  // Captures metered in two ways, or tables of which a detector leaves out rows, do not pair.
  bool same = a.rows.rows() == b.rows.rows();
  const std::vector<std::uint8_t> positive = a.is_attack();
  for (std::size_t row = 0; same && row < a.rows.rows(); ++row) {
    same = a.rows.labels[row] == b.rows.labels[row] && a.rows.groups[row] == b.rows.groups[row];
  }
  if (!same) {
    return Error{Errc::invalid,
                 "the two detectors want flows that are metered differently: their rows do not pair"};
  }
  const std::vector<double> scores_a = a.attack_scores(), scores_b = b.attack_scores();
  learn::Paired paired;
  paired.positive = positive;
  paired.scores_a = scores_a;
  paired.scores_b = scores_b;
  paired.threshold_a = a.detector.manifest().threshold.value;
  paired.threshold_b = b.detector.manifest().threshold.value;
  paired.groups = a.rows.groups;
  paired.bootstrap_replicates = replicates(given, a.rows.rows());
  paired.seed = given.seed;
  paired.threads = given.threads;
  return learn::compare(paired);
}

Result<learn::Explained> explain(const EvaluateArguments& given, const Judged& judged,
                                 const std::vector<std::string>& inputs) {
  const std::vector<double> scores = judged.attack_scores();
  const std::vector<std::uint8_t> is_attack = judged.is_attack();
  return explain_judged(judged.detector, {judged.rows, inputs, scores, is_attack}, given.explain_rows,
                        given.seed, given.threads);
}

// Hour by hour or day by day.
std::vector<learn::GroupFigures> measure_periods(const Judged& judged, const std::string& over) {
  const LabelledRows& rows = judged.rows;
  std::vector<detect::Verdict> verdicts(rows.rows());
  judged.detector.decide(judged.scores, rows.rows(), verdicts);
  std::map<std::string, learn::GroupFigures> periods;  // their names ascend as their times do
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    std::string name = "-";
    if (!std::isnan(rows.times[row])) {
      const std::string text = iso8601(static_cast<std::int64_t>(rows.times[row] * 1e6));
      name = over == "day" ? text.substr(0, 10) : text.substr(0, 10) + " " + text.substr(11, 2) + ":00";
    }
    learn::GroupFigures& period = periods[name];
    period.name = name;
    const bool benign = judged.truth.codes[row] == 0;
    ++(benign ? period.benign : period.attacks);
    if (verdicts[row].is_attack()) ++(benign ? period.false_alarms : period.found);
  }
  std::vector<learn::GroupFigures> out;
  for (auto& [name, period] : periods) out.push_back(std::move(period));
  return out;
}

// Of each kind of row, the share of which the detector says that it does not know it.
std::string unknown_text(const Judged& judged) {
  const LabelledRows& rows = judged.rows;
  std::vector<detect::Verdict> verdicts(rows.rows());
  judged.detector.decide(judged.scores, rows.rows(), verdicts);
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> shares;  // rows, and unknown ones
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    const bool benign = judged.truth.codes[row] == 0;
    auto& [all, unknown] =
        shares[benign || rows.attacks[row] == data::kMissing ? judged.truth.classes[judged.truth.codes[row]]
                                                             : rows.attack_names[rows.attacks[row]]];
    ++all;
    if (verdicts[row].is_unknown) ++unknown;
  }
  std::string out;
  for (const auto& [name, counts] : shares) {
    out += fmt::format("{}{} {:.1f} %", out.empty() ? "" : ", ", name,
                       100 * static_cast<double>(counts.second) / static_cast<double>(counts.first));
  }
  return out;
}

// All words, or the first `most` and how many more there are.
std::string joined(std::span<const std::string> words, std::size_t most = SIZE_MAX) {
  if (words.size() <= most) return fmt::format("{}", fmt::join(words, " "));
  return fmt::format("{} and {} more", fmt::join(words.first(most), " "), words.size() - most);
}

Result<learn::Report> report_on(const EvaluateArguments& given, std::span<const std::string> words,
                                int& status) {
  const std::size_t detectors = given.compare ? 2 : 1;
  const std::vector<std::string> inputs(given.inputs.begin() + static_cast<std::ptrdiff_t>(detectors),
                                        given.inputs.end());
  const auto judged = judge(given, given.inputs[0], inputs, status);
  if (!judged) return judged.error();
  std::vector<Opening> openings;
  if (!given.log.empty()) {
    auto logged = log_openings(given.log, given.inputs[0], judged->detector.manifest().name, inputs);
    if (!logged) return std::move(logged).error().within("--log");
    openings = std::move(*logged);
  }
  if (judged->rows.unlabelled != 0) {
    say(fmt::format("{} rows without a label were left out", with_thousands(judged->rows.unlabelled)));
  }
  auto evaluation = measure(given, *judged);
  if (!evaluation) return std::move(evaluation).error();
  auto leaks = search_leaks(given, *judged, inputs, status);
  if (!leaks) return std::move(leaks).error();

  const detect::Manifest& manifest = judged->detector.manifest();
  learn::Report report;
  report.detector = manifest.name;
  report.version = manifest.version;
  report.evaluation = std::move(*evaluation);
  report.groups = measure_groups(*judged);
  report.leaks = std::move(*leaks);
  if (!given.over.empty()) {
    report.periods = measure_periods(*judged, given.over);
    report.period = given.over + " (UTC)";
  }
  report.facts = {
      {"model", judged->detector.model().describe()},
      {"threshold", given.threshold ? "drawn by hand" : "chosen on " + manifest.threshold.chosen_on},
      {"learnt from", joined(manifest.trained_on.sources, 6)},
      {"measured on", joined(inputs, 6)},
      {"command", "nidus evaluate " + joined(words)}};
  for (const auto& opening : openings) {
    report.facts.emplace_back("openings", opening.to_text());
    say(opening.to_text());
  }
  if (manifest.unknown.alpha > 0) {
    report.facts.emplace_back(fmt::format("unknown, meant for {:g} %", manifest.unknown.alpha * 100),
                              unknown_text(*judged));
    say(report.facts.back().first + ": " + report.facts.back().second);
  }
  if (given.explain) {
    auto explained = explain(given, *judged, inputs);
    if (!explained) return std::move(explained).error();
    report.explained = std::move(*explained);
  }
  if (!given.compare) return report;

  EvaluateArguments again = given;
  again.labels.quiet = true;
  const auto other = judge(again, given.inputs[1], inputs, status);
  if (!other) return other.error();
  auto comparison = compare(given, *judged, *other);
  if (!comparison) return std::move(comparison).error();
  auto other_evaluation = measure(given, *other);
  if (!other_evaluation) return std::move(other_evaluation).error();
  report.other = learn::Report::Other{other->detector.manifest().name, other->detector.manifest().version,
                                      std::move(*other_evaluation), std::move(*comparison), std::nullopt};
  if (given.explain) {
    auto explained = explain(given, *other, inputs);
    if (!explained) return std::move(explained).error();
    report.other->explained = std::move(*explained);
  }
  return report;
}

}  // namespace

int run_evaluate(std::span<const std::string> words) {
  EvaluateArguments given;
  Arguments arguments("evaluate", "Measures a detector on labelled captures or tables.");
  given.declare(arguments);
  if (const auto status = arguments.read(words)) return *status;
  if (given.compare && given.inputs.size() < 3) {
    return complain_usage("evaluate",
                          "two detectors and nothing to compare them on: name captures or tables");
  }
  for (const auto& input : given.inputs) {
    if (!given.html.empty() && is_same_file(given.html, input)) {
      return complain_usage("evaluate", given.html + " is an input; the page would destroy it");
    }
  }
  given.labels.keep_subjects = given.explain;
  given.labels.keep_times = !given.over.empty();
  catch_interrupts();
  int status = kFine;
  const auto report = report_on(given, words, status);
  if (interrupted()) return kInterrupted;
  if (!report) return complain(report.error());
  const std::string text = given.json ? report->to_json() : report->to_text();
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (!given.html.empty()) {
    if (const auto written = write_file(given.html, report->to_html()); !written) {
      return complain(written.error());
    }
    say("wrote " + given.html);
  }
  return status;
}

}  // namespace nidus::cmd
