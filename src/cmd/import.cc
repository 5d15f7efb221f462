#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json_writer.h"
#include "base/text.h"
#include "cmd/arguments.h"
#include "cmd/exit_status.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"
#include "interop/import.h"

namespace nidus::cmd {
namespace {

namespace fs = std::filesystem;

// "@names.txt" stands for the lines of a file.
Result<std::vector<std::string>> names_of(const std::vector<std::string>& given) {
  if (given.size() != 1 || given.front().empty() || given.front().front() != '@') return given;
  constexpr std::size_t kBytesMax = 1u << 22;
  const auto text = read_file(given.front().substr(1), kBytesMax);
  if (!text) return text.error();
  std::vector<std::string> names;
  for (const auto line : split(*text, '\n')) {
    if (!trim(line).empty()) names.emplace_back(trim(line));
  }
  return names;
}

std::string to_text(const interop::Imported& imported, const std::string& folder) {
  const detect::Manifest& m = imported.detector.manifest();
  std::size_t width = 0;
  for (const auto& [where, what] : imported.parts) width = std::max(width, where.size());
  std::string out;
  for (const auto& [where, what] : imported.parts) out += fmt::format("  {:<{}}  {}\n", where, width, what);
  out += fmt::format(
      "{}: {} of {} columns, {}; an attack {}\n", folder, detect::name(m.kind), m.schema.size(),
      fmt::join(m.labels, ", "),
      m.threshold.rule == detect::Manifest::Threshold::Rule::most_likely
          ? "when that is the most likely class"
          : fmt::format("from a score of {:.6g} on ({})", m.threshold.value, m.threshold.chosen_on));
  out += m.meter ? fmt::format("judges captures, metered as {}, and tables\n", m.meter_description)
                 : "judges tables\n";
  return out;
}

std::string to_json(const interop::Imported& imported, const std::string& folder) {
  const detect::Manifest& m = imported.detector.manifest();
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  json.field("detector", folder);
  json.field("name", m.name);
  json.field("kind", detect::name(m.kind));
  json.field("columns", m.schema.size());
  json.key("labels");
  json.begin_array();
  for (const auto& label : m.labels) json.value(label);
  json.end_array();
  json.field("threshold", m.threshold.value);
  json.field("threshold_from", m.threshold.chosen_on);
  if (m.meter) json.field("metered_as", m.meter_description);
  json.key("parts");
  json.begin_array();
  for (const auto& [where, what] : imported.parts) {
    json.begin_object();
    json.field("file", where);
    json.field("what", what);
    json.end_object();
  }
  json.end_array();
  json.key("notes");
  json.begin_array();
  for (const auto& note : imported.notes) json.value(note);
  json.end_array();
  json.end_object();
  out += '\n';
  return out;
}

}  // namespace

int run_import(std::span<const std::string> words) {
  std::vector<std::string> inputs, features, classes;
  std::string output, name, benign, profile, layers;
  std::optional<double> threshold;
  bool as_json = false;
  Arguments arguments("import", "Makes a detector of model files of other programs.");
  arguments.inputs(inputs, "file", "Model files that belong together, or the folder of a service");
  arguments.option("-o,--output", output, "The detector's folder");
  arguments.option("--features", features, "Names of the columns, in order, or @FILE with one a line");
  arguments.option("--classes", classes, "Names of the classes, in order");
  arguments.option("--benign", benign, "Which class is benign, where its name does not tell");
  arguments.option("--threshold", threshold, "A row is an attack when its score is greater", -1e300, 1e300);
  std::vector<std::string> profiles;
  for (const auto each : flow::kProfiles) profiles.emplace_back(flow::name(each));
  arguments.option("--profile", profile, "How captures are metered; else told by how the columns are spelled",
                   profiles);
  arguments.option("--layers", layers, "The layers of a PyTorch state_dict whose names do not tell them");
  arguments.option("--name", name, "What the detector is called; else after the file or folder");
  arguments.flag("--json", as_json, "What was made, as JSON");
  arguments.footer(
      "Reads scikit-learn and joblib pickles, XGBoost (JSON, UBJSON, pickled), LightGBM, CatBoost (JSON), "
      "Keras\n"
      "(.h5, .keras), PyTorch and ONNX, by their content, and runs nothing that is in them. nidus detect, "
      "evaluate\n"
      "and explain take such files as they are; import is for keeping, and for saying what the files do "
      "not.");
  if (const auto status = arguments.read(words)) return *status;
  if (output.empty()) return complain_usage("import", "--output is missing: where the detector goes");

  interop::ImportOptions options;
  auto names = names_of(features);
  if (!names) return complain(names.error());
  options.features = std::move(*names);
  names = names_of(classes);
  if (!names) return complain(names.error());
  options.classes = std::move(*names);
  options.benign = benign;
  options.threshold = threshold;
  options.read.layers = layers;
  options.read.option_prefix = "--";
  options.name = name;
  if (!profile.empty()) options.profile = flow::profile_from_name(profile);

  const std::vector<fs::path> paths(inputs.begin(), inputs.end());
  auto imported = interop::import_detector(paths, options);
  if (!imported) return complain(imported.error());
  if (auto saved = detect::Detector::save(imported->detector.manifest(), imported->members, output); !saved)
    return complain(saved.error());
  for (const auto& note : imported->notes) say(note);
  const std::string text = as_json ? to_json(*imported, output) : to_text(*imported, output);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return kFine;
}

}  // namespace nidus::cmd
