#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json_writer.h"
#include "base/text.h"
#include "cmd/arguments.h"
#include "cmd/exit_status.h"
#include "cmd/judged_inputs.h"
#include "cmd/load_detector.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"
#include "cmd_learn/adaptation.h"
#include "detect/baseline.h"
#include "detect/site_threshold.h"
#include "learn/metrics.h"

namespace nidus::cmd {
namespace {

struct Preset {
  const char* name;
  double rate;
};
constexpr Preset kPresets[] = {{"conservative", 0.001}, {"balanced", 0.01}, {"sensitive", 0.05}};

// Rows kept to say what the site's traffic looks like.
constexpr std::size_t kSampleRows = 100'000;

struct CalibrateArguments {
  std::vector<std::string> inputs;  // the detector first
  std::string output, preset, version;
  std::optional<double> fpr, alerts_per_hour, cost_miss, cost_alert;
  Adaptation adaptation;
  double trim = 0.005, hold_out = 0.3;
  std::uint64_t seed = 1, threads = 0;
  bool json = false, any_profile = false;

  void declare(Arguments& arguments) {
    arguments.inputs(inputs, "input",
                     "The detector's folder, then captures and tables of the site's ordinary traffic", 2);
    arguments.option("-o,--output", output,
                     "The folder of the detector that is made; the one given stays as it is");
    arguments.option("--fpr", fpr, "Share of the site's rows that may be called attacks", 1e-6, 0.5);
    arguments.option("--alerts-per-hour", alerts_per_hour, "The same as a number; the inputs must say when",
                     1e-6, 1e9);
    arguments.option("--preset", preset, "The same in a word: 0.1 %, 1 % (what is taken without a wish), 5 %",
                     {"conservative", "balanced", "sensitive"});
    arguments.option("--cost-miss", cost_miss, "What an attack that is missed costs, in any unit", 1e-9,
                     1e15);
    arguments.option(
        "--cost-alert", cost_alert,
        "What looking at an alert costs, in the same: alert where chance × miss > alert. The scores "
        "must be probabilities",
        1e-9, 1e15);
    arguments.option(
        "--labelled", adaptation.inputs,
        "Captures or tables of the site with labels, a handful of looked-at alerts: the scores become "
        "probabilities first");
    arguments.option("--labels", adaptation.labels.label_files, "labelled captures: their label files");
    arguments.option("--label", adaptation.labels.column, "labelled tables: the column with the label");
    arguments.option("--calibration", adaptation.method, "labelled: the curve", {"platt", "isotonic"});
    arguments.option(
        "--attack-share", adaptation.attack_share,
        "labelled: share of the site's rows that are attacks, if that is another than of those labelled",
        1e-9, 0.999);
    arguments.option(
        "--trim", trim,
        "Share of the highest scores left out, as the traffic may hold attacks; half the rate at most", 0,
        0.5);
    arguments.option("--hold-out", hold_out,
                     "Share of the rows, the latest, on which the new line is measured", 0.05, 0.9);
    arguments.option("--seed", seed, "Of the rows that are kept as a picture of the site");
    arguments.option("--set-version", version,
                     "Of the detector; that of the given one and '+site' otherwise");
    arguments.flag("--json", json, "What was measured as JSON");
    arguments.flag("--any-profile", any_profile, "Take tables even if they were metered in another way");
    arguments.option("--threads", threads, "Threads; 0 is one for each processor", 1024);
    arguments.footer(
        "The rows need no labels and are taken to be benign but for a few. Whatever share of them are "
        "attacks beyond "
        "what\nis trimmed, the line is too high for them. docs/calibration.md says how it is drawn and what "
        "it "
        "promises.");
  }

  int wishes() const {
    return (fpr ? 1 : 0) + (alerts_per_hour ? 1 : 0) + (preset.empty() ? 0 : 1) +
           (cost_miss || cost_alert ? 1 : 0);
  }
};

// The scores of all rows that have one, the earliest first.
struct SiteRows {
  struct Row {
    double score, time;
    std::uint32_t input;
  };
  std::vector<Row> rows;
  std::size_t fitted = 0;  // of them the first, by which the line is drawn
  bool timed = true;       // each row says when it was
  std::uint64_t unjudged = 0;

  std::vector<double> scores(bool later) const {
    std::vector<double> out;
    for (std::size_t i = later ? fitted : 0; i < (later ? rows.size() : fitted); ++i)
      out.push_back(rows[i].score);
    return out;
  }
  // How long the rows last, input by input.
  std::optional<double> hours(bool later) const {
    if (!timed) return std::nullopt;
    std::vector<std::pair<double, double>> spans;
    for (std::size_t i = later ? fitted : 0; i < (later ? rows.size() : fitted); ++i) {
      const Row& row = rows[i];
      if (spans.size() <= row.input)
        spans.resize(row.input + 1u,
                     {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()});
      auto& [first, last] = spans[row.input];
      first = std::min(first, row.time);
      last = std::max(last, row.time);
    }
    double seconds = 0;
    for (const auto& [first, last] : spans) seconds += std::max(0.0, last - first);
    return seconds > 0 ? std::optional(seconds / 3600) : std::nullopt;
  }
};

// A line, and what it does to the later rows.
struct Line {
  std::string name;
  std::optional<double> nominal;
  double threshold = 0;
  std::uint64_t alarms = 0;
  learn::Interval interval;
  double share = 0;
  std::optional<double> per_hour;
  detect::SiteThreshold drawn;
  std::string impossible;  // why there is no such line
};

Line measured(std::string name, std::optional<double> nominal, double threshold,
              const std::vector<double>& later, std::optional<double> hours) {
  Line out;
  out.name = std::move(name);
  out.nominal = nominal;
  out.threshold = threshold;
  out.alarms = static_cast<std::uint64_t>(
      std::count_if(later.begin(), later.end(), [&](double score) { return score >= threshold; }));
  out.share = later.empty() ? 0 : static_cast<double>(out.alarms) / static_cast<double>(later.size());
  out.interval = learn::wilson(out.alarms, later.size());
  if (hours) out.per_hour = static_cast<double>(out.alarms) / *hours;
  return out;
}

struct Lines {
  std::vector<Line> lines;  // the one that it had, the presets, and what was wished for
  std::size_t chosen = 0;
  std::uint64_t rows = 0, fitted = 0, trimmed = 0;
  std::optional<double> hours;

  std::string to_text() const;
  void to_json(JsonWriter& json) const;
};

std::string percent(double share) { return fmt::format("{:.3g} %", share * 100); }

std::string Lines::to_text() const {
  std::string out =
      fmt::format("{} rows{}; lines are drawn by the earlier {} and measured on the later {}\n\n",
                  with_thousands(rows), hours ? fmt::format(" in {}", duration_text(*hours * 3600)) : "",
                  with_thousands(fitted), with_thousands(rows - fitted));
  out += fmt::format("  {:<14}{:>9}{:>13}{:>20}{:>13}{:>13}\n", "", "nominal", "later rows", "95 %",
                     "an hour", "threshold");
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const Line& line = lines[i];
    out += fmt::format("{} {:<14}{:>9}", i == chosen ? '*' : ' ', line.name,
                       line.nominal ? percent(*line.nominal) : "-");
    if (!line.impossible.empty()) {
      out += "  " + line.impossible + "\n";
      continue;
    }
    out += fmt::format("{:>13}{:>20}{:>13}{:>13.6g}\n", percent(line.share),
                       fmt::format("{} … {}", percent(line.interval.low), percent(line.interval.high)),
                       line.per_hour ? fmt::format("{:.3g}", *line.per_hour) : "-", line.threshold);
  }
  return out;
}

void Lines::to_json(JsonWriter& json) const {
  json.begin_object();
  json.field("rows", rows);
  json.field("rows_drawn_by", fitted);
  json.field("rows_measured_on", rows - fitted);
  json.field("rows_trimmed", trimmed);
  json.key("hours");
  hours ? json.value(*hours) : json.null();
  json.field("chosen", lines[chosen].name);
  json.key("lines");
  json.begin_array();
  for (const Line& line : lines) {
    json.begin_object();
    json.field("name", line.name);
    json.key("nominal_rate");
    line.nominal ? json.value(*line.nominal) : json.null();
    if (!line.impossible.empty()) {
      json.field("impossible", line.impossible);
    } else {
      json.field("threshold", line.threshold);
      json.field("alarms", line.alarms);
      json.field("rate", line.share);
      json.field("rate_low", line.interval.low);
      json.field("rate_high", line.interval.high);
      json.key("alarms_per_hour");
      line.per_hour ? json.value(*line.per_hour) : json.null();
    }
    json.end_object();
  }
  json.end_array();
  json.end_object();
}

Result<SiteRows> read_site(const CalibrateArguments& given, const detect::Detector& detector,
                           detect::RowSample& sample, int& status) {
  SiteRows out;
  const std::size_t inputs = detector.inputs();
  auto judged = judge_inputs(
      detector, {given.inputs.begin() + 1, given.inputs.end()}, given.threads, given.any_profile,
      [&](const JudgedRows& rows) {
        for (std::size_t i = 0; i < rows.verdicts.size(); ++i) {
          const auto& verdict = rows.verdicts[i];
          if (!verdict.is_judged()) {
            ++out.unjudged;
            continue;
          }
          sample.add(rows.values.subspan(i * inputs, inputs), verdict.score);
          out.timed = out.timed && !std::isnan(rows.times[i]);
          out.rows.push_back({verdict.score, rows.times[i], static_cast<std::uint32_t>(rows.input)});
        }
      });
  if (!judged) return std::move(judged).error();
  status = judged->status;
  if (out.timed) {
    std::stable_sort(out.rows.begin(), out.rows.end(),
                     [](const auto& a, const auto& b) { return a.time < b.time; });
  } else {
    say("not all rows say when they were: the later ones are those that come last in the inputs");
  }
  if (out.unjudged != 0) say(fmt::format("{} rows could not be judged", with_thousands(out.unjudged)));
  out.fitted = static_cast<std::size_t>(static_cast<double>(out.rows.size()) * (1 - given.hold_out));
  return out;
}

// The rate that was wished for, and what to call it.
Result<std::pair<std::string, double>> wish(const CalibrateArguments& given, const SiteRows& site) {
  if (given.fpr) return std::pair<std::string, double>("--fpr", *given.fpr);
  if (given.alerts_per_hour) {
    const auto hours = site.hours(false);
    if (!hours) return Error{Errc::invalid, "--alerts-per-hour: the inputs do not say when their rows were"};
    const double rate = *given.alerts_per_hour * *hours / static_cast<double>(site.fitted);
    if (rate > 0.5) {
      return Error{Errc::invalid,
                   fmt::format("--alerts-per-hour: there are {:.3g} rows an hour, and half of them at "
                               "most may be alerts",
                               static_cast<double>(site.fitted) / *hours)};
    }
    return std::pair<std::string, double>(fmt::format("{:.6g} an hour", *given.alerts_per_hour), rate);
  }
  for (const Preset& preset : kPresets) {
    if (given.preset == preset.name) return std::pair<std::string, double>(preset.name, preset.rate);
  }
  return std::pair<std::string, double>(kPresets[1].name, kPresets[1].rate);
}

Result<Lines> draw(const CalibrateArguments& given, const detect::Manifest& manifest, const SiteRows& site) {
  Lines out;
  out.rows = site.rows.size();
  out.fitted = site.fitted;
  const auto earlier = site.scores(false), later = site.scores(true);
  const auto hours_later = site.hours(true), hours_earlier = site.hours(false);
  if (hours_later && hours_earlier) out.hours = *hours_later + *hours_earlier;
  const auto had =
      manifest.threshold.wanted_rate > 0 ? std::optional(manifest.threshold.wanted_rate) : std::nullopt;
  out.lines.push_back(measured("as it was", had, manifest.threshold.value, later, hours_later));
  const auto add = [&](const std::string& name, double rate) -> Result<void> {
    const auto line = detect::site_threshold(earlier, {.rate = rate, .trim = given.trim});
    if (!line) {
      out.lines.emplace_back().name = name;
      out.lines.back().nominal = rate;
      out.lines.back().impossible = line.error().message;
      return line.error();
    }
    out.lines.push_back(measured(name, rate, line->value, later, hours_later));
    out.lines.back().drawn = *line;
    return {};
  };
  for (const Preset& preset : kPresets) (void)add(preset.name, preset.rate);
  if (given.cost_miss) {
    const double line = *given.cost_alert / *given.cost_miss;
    out.lines.push_back(measured("by cost", std::nullopt, line, later, hours_later));
    out.chosen = out.lines.size() - 1;
    return out;
  }
  const auto wanted = wish(given, site);
  if (!wanted) return wanted.error();
  for (std::size_t i = 0; i < out.lines.size(); ++i) {
    if (out.lines[i].name == wanted->first) out.chosen = i;
  }
  if (out.chosen == 0) {
    if (auto done = add(wanted->first, wanted->second); !done) return done.error();
    out.chosen = out.lines.size() - 1;
  }
  const Line& chosen = out.lines[out.chosen];
  if (!chosen.impossible.empty()) return Error{Errc::invalid, chosen.impossible};
  out.trimmed = chosen.drawn.trimmed;
  return out;
}

// The rows of the site below its line, as a picture of what is ordinary there.
void describe_site(const detect::RowSample& sample, double threshold, detect::Manifest& manifest) {
  std::vector<std::size_t> below;
  for (std::size_t i = 0; i < sample.rows(); ++i) {
    if (sample.scores()[i] < threshold) below.push_back(i);
  }
  detect::describe_rows(sample.values(), below, "rows of the site below its line", manifest);
  detect::describe_scores(sample.scores(), "rows of the site", manifest);
}

Result<int> calibrate(const CalibrateArguments& given, std::span<const std::string> words) {
  int status = kFine;
  auto detector = load_detector(given.inputs.front());
  if (detector && !given.adaptation.inputs.empty()) {
    Adaptation adaptation = given.adaptation;
    adaptation.threads = given.threads;
    adaptation.any_profile = given.any_profile;
    detector = adapted(*detector, adaptation, status);
  }
  if (!detector) return std::move(detector).error();
  const detect::Manifest& before = detector->manifest();
  if (given.cost_miss && before.calibration.method.empty()) {
    return Error{
        Errc::unsupported,
        fmt::format("the scores of {} were not made probabilities, so costs say nothing of them: train it "
                    "with --calibration, or name labelled rows of yours with --labelled",
                    before.name)};
  }
  detect::RowSample sample(detector->inputs(), kSampleRows, given.seed);
  int read_status = kFine;
  const auto site = read_site(given, *detector, sample, read_status);
  if (!site) return site.error();
  status = worse(status, read_status);
  if (site->rows.empty()) return Error{Errc::corrupt, "no row of these inputs could be judged"};
  const auto outcome = draw(given, before, *site);
  if (!outcome) return outcome.error();
  const Line& chosen = outcome->lines[outcome->chosen];

  detect::Manifest manifest = before;
  manifest.version = given.version.empty() ? before.version + "+site" : given.version;
  manifest.threshold = {};
  manifest.threshold.value = chosen.threshold;
  manifest.threshold.chosen_on =
      given.cost_miss ? fmt::format("costs: a miss {:g}, an alert {:g}", *given.cost_miss, *given.cost_alert)
                      : "rows of the site; realised on later ones";
  manifest.threshold.wanted_rate = chosen.nominal.value_or(0);
  manifest.threshold.realised_rate = chosen.share;
  manifest.threshold.benign_rows = chosen.drawn.rows;
  manifest.threshold.resolvable = chosen.drawn.resolvable;
  describe_site(sample, chosen.threshold, manifest);
  std::string figures;
  JsonWriter json(figures);
  json.begin_object();
  std::string command = "nidus calibrate";
  for (const auto& word : words) command += " " + word;
  json.field("command", command);
  json.field("threshold_before", before.threshold.value);
  json.field("trim", given.trim);
  json.key("measured");
  outcome->to_json(json);
  json.end_object();
  manifest.figures["site"] = std::move(figures);
  if (auto saved = detect::Detector::save(manifest, detector->members(), given.output); !saved)
    return std::move(saved).error();

  std::string text;
  if (given.json) {
    JsonWriter whole(text);
    outcome->to_json(whole);
    text += "\n";
  } else {
    text = outcome->to_text();
  }
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
  if (outcome->trimmed != 0) {
    say(fmt::format("the {} highest scores were left out, as if attacks", with_thousands(outcome->trimmed)));
  }
  if (!given.cost_miss && chosen.drawn.resolvable && chosen.drawn.allowed == 0) {
    say("more rows than the rate allows share the highest score: the only line that keeps it is one that "
        "nothing reaches");
  }
  if (!given.cost_miss && !chosen.drawn.resolvable) {
    say(fmt::format("{} rows are few for a rate of {}: it is hardly more than a guess",
                    with_thousands(chosen.drawn.rows), *chosen.nominal));
  }
  if (chosen.nominal && chosen.interval.low > *chosen.nominal) {
    say(fmt::format("the later rows exceed the rate: the site's traffic changes, or they hold attacks"));
  }
  say(fmt::format("{}: threshold {:.6g}, it was {:.6g}", given.output, chosen.threshold,
                  before.threshold.value));
  return status;
}

}  // namespace

int run_calibrate(std::span<const std::string> words) {
  CalibrateArguments given;
  Arguments arguments("calibrate", "Draws a detector's line on the traffic of your own site.");
  given.declare(arguments);
  if (const auto status = arguments.read(words)) return *status;
  if (given.output.empty())
    return complain_usage("calibrate", "where to? Name the new detector's folder with --output");
  if (is_same_file(given.output, given.inputs.front()))
    return complain_usage("calibrate", "a detector is never changed: --output must be another folder");
  if (given.wishes() > 1)
    return complain_usage("calibrate",
                          "one wish at a time: --fpr, --alerts-per-hour, --preset, or the two costs");
  if (given.cost_miss.has_value() != given.cost_alert.has_value())
    return complain_usage("calibrate", "--cost-miss and --cost-alert go together");
  if (given.cost_miss && *given.cost_alert >= *given.cost_miss)
    return complain_usage("calibrate", "if an alert costs as much as a miss, no alert is worth it");
  catch_interrupts();
  const auto status = calibrate(given, words);
  if (interrupted()) return kInterrupted;
  return status ? *status : complain(status.error());
}

}  // namespace nidus::cmd
