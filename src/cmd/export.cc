#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/text.h"
#include "cmd/arguments.h"
#include "cmd/exit_status.h"
#include "cmd/load_detector.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"
#include "interop/onnx_writer.h"
#include "interop/xgboost_writer.h"
#include "model/boost.h"
#include "model/preprocess.h"

namespace nidus::cmd {
namespace {

Result<std::string> written(const detect::Detector& detector, const std::string& as) {
  const detect::Manifest& m = detector.manifest();
  if (as == "onnx") {
    std::optional<double> line;  // above which it is an attack, while ours is one at which it is
    if (m.threshold.rule == detect::Manifest::Threshold::Rule::line)
      line = std::nextafter(m.threshold.value, -std::numeric_limits<double>::infinity());
    return interop::write_onnx(detector.model(), m.schema, m.labels,
                               m.labels.size() == 2 ? line : std::nullopt);
  }
  // What our training puts in front of trees does nothing where nothing is to be done.
  const model::Model* bare = &detector.model();
  if (const auto* const pipeline = dynamic_cast<const model::Pipeline*>(bare)) {
    const auto steps = pipeline->before().steps();
    if (std::all_of(steps.begin(), steps.end(),
                    [](const model::Step& step) { return step == model::Step{}; }))
      bare = &pipeline->model();
  }
  const auto* const boost = dynamic_cast<const model::Boost*>(bare);
  if (boost == nullptr) {
    return Error{Errc::unsupported,
                 fmt::format("XGBoost can express boosted trees alone, and this is more: {}; try --to onnx",
                             detector.model().describe())};
  }
  return interop::write_xgboost(*boost, m.schema, m.labels);
}

}  // namespace

int run_export(std::span<const std::string> words) {
  std::vector<std::string> inputs;
  std::string output, as;
  Arguments arguments("export", "Writes a detector's model in a format of other programs.");
  arguments.inputs(inputs, "detector", "The detector's folder, or a model of another program", 1, 1);
  arguments.option("--to", as, "onnx: any model; xgboost: boosted trees, as JSON", {"onnx", "xgboost"});
  arguments.option("-o,--output", output, "The file");
  arguments.footer(
      "The columns go with the model, by name and in order, and so do the labels. Of two labels ONNX also "
      "says which\n"
      "it is, by the detector's threshold; XGBoost's files have no place for one.");
  if (const auto status = arguments.read(words)) return *status;
  if (as.empty()) return complain_usage("export", "--to is missing: onnx or xgboost");
  if (output.empty()) return complain_usage("export", "--output is missing: where the model goes");

  const auto detector = load_detector(inputs.front());
  if (!detector) return complain(detector.error());
  const auto bytes = written(*detector, as);
  if (!bytes) return complain(Error(bytes.error()).within(inputs.front()));
  if (auto done = write_file(output, *bytes); !done) return complain(done.error());
  const auto& line = detector->manifest().threshold;
  say(fmt::format("{}: {} bytes; here an attack {}", output, with_thousands(bytes->size()),
                  line.rule == detect::Manifest::Threshold::Rule::most_likely
                      ? "is what is most likely one"
                      : fmt::format("is what scores {:.6g} or more", line.value)));
  return kFine;
}

}  // namespace nidus::cmd
