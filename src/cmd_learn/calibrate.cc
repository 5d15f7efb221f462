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
#include "cmd_learn/site_lines.h"
#include "detect/baseline.h"
#include "detect/site_threshold.h"

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
  bool json = false, any_profile = false, force = false;

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
    arguments.flag("--force", force,
                   "Make the detector even if what was measured says that it would hardly find anything");
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

// `curve` is null unless scores become others.
Result<SiteRows> read_site(const CalibrateArguments& given, const detect::Detector& detector,
                           const model::Calibration* curve, detect::RowSample& sample, int& status) {
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
          const auto values = rows.values.subspan(i * inputs, inputs);
          const double score = curve == nullptr ? verdict.score : curve->after(verdict.score);
          sample.add(values, score);
          if (std::all_of(values.begin(), values.end(), [](float value) { return std::isnan(value); }))
            ++out.empty;
          out.timed = out.timed && !std::isnan(rows.times[i]);
          out.rows.push_back(
              {score, rows.times[i], static_cast<std::uint32_t>(rows.input), verdict.is_attack()});
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

Result<Lines> draw(const CalibrateArguments& given, const detect::Detector& before,
                   const model::Calibration* curve, const SiteRows& site) {
  const detect::Manifest& manifest = before.manifest();
  Lines out;
  out.rows = site.rows.size();
  out.fitted = site.fitted;
  out.was_rescaled = curve != nullptr;
  out.had = curve == nullptr ? manifest.threshold.value : curve->after(manifest.threshold.value);
  const auto earlier = site.scores(false);
  const auto hours_later = site.hours(true), hours_earlier = site.hours(false);
  if (hours_later && hours_earlier) out.hours = *hours_later + *hours_earlier;
  const auto had =
      manifest.threshold.wanted_rate > 0 ? std::optional(manifest.threshold.wanted_rate) : std::nullopt;
  out.lines.push_back(measured("as it was", had, std::nullopt, site));
  out.lines.back().threshold = manifest.threshold.value;
  const auto add = [&](const std::string& name, double rate) -> Result<void> {
    const auto line = detect::site_threshold(earlier, {.rate = rate, .trim = given.trim});
    if (!line) {
      out.lines.emplace_back().name = name;
      out.lines.back().nominal = rate;
      out.lines.back().impossible = line.error().message;
      return line.error();
    }
    out.lines.push_back(measured(name, rate, line->value, site));
    out.lines.back().drawn = *line;
    return {};
  };
  for (const Preset& preset : kPresets) (void)add(preset.name, preset.rate);
  if (given.cost_miss) {
    out.lines.push_back(measured("by cost", std::nullopt, *given.cost_alert / *given.cost_miss, site));
    out.chosen = out.lines.size() - 1;
  } else {
    const auto wanted = wish(given, site);
    if (!wanted) return wanted.error();
    for (std::size_t i = 0; i < out.lines.size(); ++i) {
      if (out.lines[i].name == wanted->first) out.chosen = i;
    }
    if (out.chosen == 0) {
      if (auto done = add(wanted->first, wanted->second); !done) return done.error();
      out.chosen = out.lines.size() - 1;
    }
    if (!out.line().impossible.empty()) return Error{Errc::invalid, out.line().impossible};
    out.trimmed = out.line().drawn.trimmed;
  }
  const model::Scale scale = curve == nullptr ? before.model().scale() : curve->scale();
  find_deaf(site, scale, out);
  out.doubts = doubts_of(site, out);
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

// The detector with the line that was chosen.
Result<void> save(const CalibrateArguments& given, std::span<const std::string> words,
                  const detect::Detector& detector, const Lines& outcome, const detect::RowSample& sample) {
  const Line& chosen = outcome.line();
  detect::Manifest manifest = detector.manifest();
  const double threshold_before = manifest.threshold.value;
  manifest.version = given.version.empty() ? manifest.version + "+site" : given.version;
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
  json.field("threshold_before", threshold_before);
  json.field("trim", given.trim);
  json.key("measured");
  outcome.to_json(json);
  json.end_object();
  manifest.figures["site"] = std::move(figures);
  return detect::Detector::save(manifest, detector.members(), given.output);
}

Result<int> calibrate(const CalibrateArguments& given, std::span<const std::string> words) {
  int status = kFine;
  const auto before = load_detector(given.inputs.front());
  if (!before) return before.error();
  std::optional<Adapted> adaptation;
  if (!given.adaptation.inputs.empty()) {
    Adaptation wanted = given.adaptation;
    wanted.threads = given.threads;
    wanted.any_profile = given.any_profile;
    auto made = adapted(*before, wanted, status);
    if (!made) return std::move(made).error();
    adaptation.emplace(std::move(*made));
  }
  const detect::Detector& detector = adaptation ? adaptation->detector : *before;
  const model::Calibration* const curve = adaptation ? adaptation->curve.get() : nullptr;
  if (given.cost_miss && detector.manifest().calibration.method.empty()) {
    return Error{
        Errc::unsupported,
        fmt::format("the scores of {} were not made probabilities, so costs say nothing of them: train it "
                    "with --calibration, or name labelled rows of yours with --labelled",
                    detector.manifest().name)};
  }
  detect::RowSample sample(detector.inputs(), kSampleRows, given.seed);
  int read_status = kFine;
  const auto site = read_site(given, *before, curve, sample, read_status);
  if (!site) return site.error();
  status = worse(status, read_status);
  if (site->rows.empty()) return Error{Errc::corrupt, "no row of these inputs could be judged"};
  const auto outcome = draw(given, *before, curve, *site);
  if (!outcome) return outcome.error();
  const bool refused = !given.force && std::any_of(outcome->doubts.begin(), outcome->doubts.end(),
                                                   [](const Doubt& doubt) { return doubt.refuses; });
  if (!refused) {
    if (auto saved = save(given, words, detector, *outcome, sample); !saved) return std::move(saved).error();
  }

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
  for (const Doubt& doubt : outcome->doubts) {
    say("warning: " + doubt.text);
    if (doubt.kind == "most_are_alarms" && adaptation) {
      say(
          fmt::format("the scores are probabilities where {:.3g} % are attacks: is that so here? "
                      "--attack-share says another share",
                      adaptation->attack_share * 100));
    }
  }
  if (refused) {
    return Error{
        Errc::invalid,
        fmt::format("{} was not made, as it would hardly find an attack: --force makes it all the same",
                    given.output)};
  }
  say(fmt::format("{}: threshold {:.6g}, it was {:.6g}{}", given.output, outcome->line().threshold,
                  before->manifest().threshold.value,
                  adaptation ? ", of the scores before they became probabilities" : ""));
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
