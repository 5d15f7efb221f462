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

Result<Adapted> adapted(const detect::Detector& detector, const Adaptation& wish, int& status) {
  if (detector.model().outputs() != 1) {
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
  const double share = static_cast<double>(attacks) / static_cast<double>(positive.size());
  if (wish.attack_share) *curve = learn::at_prior(*curve, share, *wish.attack_share);
  learn::keep_order(*curve);
  auto curved = model::Calibration::make(detector.shared_model(), {std::move(*curve)},
                                         model::Calibration::Ending::none);
  if (!curved) return std::move(curved).error();
  const auto model = std::make_shared<const model::Calibration>(std::move(*curved));
  detect::Manifest manifest = detector.manifest();
  manifest.members.assign(1, {});
  manifest.unknown = {};  // it was told by other probabilities
  manifest.calibration = {wish.method, "labelled rows of the site", positive.size(), attacks};
  auto made = detect::Detector::make(std::move(manifest), {model});
  if (!made) return std::move(made).error();
  say(fmt::format("scores become probabilities by {} labelled rows, {} of them attacks",
                  with_thousands(positive.size()), with_thousands(attacks)));
  if (!wish.attack_share) {
    say(
        fmt::format("so {:.3g} % of the site's rows are taken to be attacks, as of those labelled: "
                    "--attack-share says another share",
                    share * 100));
  }
  return Adapted{std::move(*made), model, wish.attack_share.value_or(share)};
}

}  // namespace nidus::cmd
