#include "cmd_learn/adaptation.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "base/text.h"
#include "cmd/terminal.h"
#include "learn/probability.h"
#include "model/calibration.h"

namespace nidus::cmd {

Result<detect::Detector> adapted(const detect::Detector& detector, const Adaptation& wish, int& status) {
  const model::Model& model = detector.model();
  if (model.outputs() != 1) {
    return Error{Errc::unsupported,
                 fmt::format("{} tells {} labels apart, and only attack or benign can be calibrated "
                             "with labelled rows of a site",
                             detector.manifest().name, detector.manifest().labels.size())};
  }
  const auto rows = rows_for(detector, wish.inputs, wish.labels, {wish.any_profile, wish.threads, 0}, status);
  if (!rows) return Error(rows.error()).within("--labelled");
  const std::vector<double> scores = scores_of(detector, *rows);
  const auto labels = classes_of(*rows, true);
  std::vector<std::uint8_t> positive;
  for (const auto code : labels.codes) positive.push_back(code != 0 ? 1 : 0);
  const auto attacks = static_cast<std::uint64_t>(std::count(positive.begin(), positive.end(), 1));
  auto curve =
      wish.method == "isotonic" ? learn::fit_isotonic(scores, positive) : learn::fit_platt(scores, positive);
  if (!curve) return std::move(curve).error().within("--labelled");
  if (wish.attack_share) {
    const double share = static_cast<double>(attacks) / static_cast<double>(positive.size());
    *curve = learn::at_prior(*curve, share, *wish.attack_share);
  }
  learn::keep_order(*curve);
  auto curved = model::Calibration::make(detector.shared_model(), {std::move(*curve)},
                                         model::Calibration::Ending::none);
  if (!curved) return std::move(curved).error();
  detect::Manifest manifest = detector.manifest();
  manifest.members.assign(1, {});
  manifest.unknown = {};  // it was told by other probabilities
  manifest.calibration = {wish.method, "labelled rows of the site", positive.size(), attacks};
  say(fmt::format("scores become probabilities by {} labelled rows, {} of them attacks",
                  with_thousands(positive.size()), with_thousands(attacks)));
  return detect::Detector::make(std::move(manifest),
                                {std::make_shared<model::Calibration>(std::move(*curved))});
}

}  // namespace nidus::cmd
