#include "detect/drift.h"

#include <cstdio>
#include <string>
#include <vector>

#include "base/json_writer.h"
#include "cmd/arguments.h"
#include "cmd/exit_status.h"
#include "cmd/judged_inputs.h"
#include "cmd/load_detector.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"
#include "detect/baseline.h"

namespace nidus::cmd {
namespace {

struct DriftArguments {
  std::vector<std::string> inputs;  // the detector first
  std::uint64_t rows = 100'000, seed = 1, top = 20, threads = 0;
  bool json = false, fail_on_drift = false, any_profile = false;

  void declare(Arguments& arguments) {
    arguments.inputs(inputs, "input", "The detector's folder, then captures and tables, without labels", 2);
    arguments.option("--rows", rows, "Rows compared at most, drawn evenly from all by the seed", 10'000'000);
    arguments.option("--seed", seed, "Of that draw");
    arguments.option("--top", top, "Columns listed, those that moved furthest first", 100'000);
    arguments.flag("--fail-on-drift", fail_on_drift, "Exit with 10 if the rows have drifted");
    arguments.flag("--json", json, "One JSON object, of all columns");
    arguments.flag("--any-profile", any_profile, "Take tables even if they were metered in another way");
    arguments.option("--threads", threads, "Threads; 0 is one for each processor", 1024);
    arguments.footer(
        "The rows are compared with the benign rows that the detector knows, so attacks among them count as "
        "drift. "
        "A column\nhas moved from a PSI of 0.1 on and drifted from 0.25 on; docs/calibration.md explains "
        "every "
        "figure.");
  }
};

Result<int> drift(const DriftArguments& given) {
  const auto detector = load_detector(given.inputs.front());
  if (!detector) return detector.error();
  const std::size_t inputs = detector->inputs();
  detect::RowSample sample(inputs, given.rows, given.seed);
  auto judged = judge_inputs(*detector, {given.inputs.begin() + 1, given.inputs.end()}, given.threads,
                             given.any_profile, [&](const JudgedRows& rows) {
                               for (std::size_t i = 0; i < rows.verdicts.size(); ++i)
                                 sample.add(rows.values.subspan(i * inputs, inputs), rows.verdicts[i].score);
                             });
  if (!judged) return std::move(judged).error();
  std::vector<double> unknown;
  for (const auto count : judged->unknown)
    unknown.push_back(judged->rows == 0 ? 0 : static_cast<double>(count) / static_cast<double>(judged->rows));
  const auto report =
      detect::measure_drift(detector->manifest(), {sample.values(), sample.scores(), sample.seen(), unknown});
  if (!report) return report.error();
  std::string text;
  if (given.json) {
    JsonWriter json(text);
    report->to_json(json);
    text += "\n";
  } else {
    text = report->to_text(given.top, has_colours(stdout));
  }
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (given.fail_on_drift && report->verdict == detect::Drift::drifted) return worse(judged->status, kAlert);
  return judged->status;
}

}  // namespace

int run_drift(std::span<const std::string> words) {
  DriftArguments given;
  Arguments arguments("drift", "Do these rows still look as the detector knows ordinary rows to look?");
  given.declare(arguments);
  if (const auto status = arguments.read(words)) return *status;
  if (given.rows == 0) return complain_usage("drift", "--rows 0 leaves nothing to compare");
  catch_interrupts();
  const auto status = drift(given);
  if (interrupted()) return kInterrupted;
  return status ? *status : complain(status.error());
}

}  // namespace nidus::cmd
