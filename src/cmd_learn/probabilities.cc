#include "cmd_learn/probabilities.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/text.h"
#include "cmd/terminal.h"
#include "data/split.h"
#include "learn/probability.h"
#include "model/ensemble.h"

namespace nidus::cmd {
namespace {

// With fewer of either side an isotonic curve follows their accidents.
constexpr std::uint64_t kIsotonicRows = 1000;

Result<data::Split> divide(const learn::Dataset& rows, std::span<const std::uint32_t> groups, double aside,
                           std::uint64_t seed) {
  data::SplitOptions shares;
  shares.train = 1 - aside;
  shares.validation = aside;
  shares.test = 0;
  shares.seed = seed;
  return groups.empty() ? data::stratified_split(rows.labels, shares)
                        : data::grouped_split(rows.labels, groups, shares);
}

}  // namespace

Result<KeptAside> keep_aside(const TrainArguments& given, std::span<const std::uint32_t> groups,
                             Parts& parts) {
  KeptAside out;
  struct Purpose {
    bool wanted;
    learn::Dataset& into;
    const char* option;
  };
  const Purpose purposes[] = {{!given.calibration.empty(), out.calibration, "--calibration"},
                              {given.unknown.has_value(), out.unknown, "--unknown"}};
  int sharers = 1;
  for (const auto& purpose : purposes) sharers += purpose.wanted ? 1 : 0;
  for (const auto& purpose : purposes) {
    if (!purpose.wanted) continue;
    std::vector<std::uint32_t> theirs;
    for (const auto row : parts.validation_rows) {
      if (!groups.empty()) theirs.push_back(groups[row]);
    }
    const bool grouped =
        std::any_of(theirs.begin(), theirs.end(), [](auto group) { return group != data::kMissing; });
    if (!grouped) theirs.clear();
    const auto split = divide(parts.validation, theirs, 1.0 / sharers--, given.seed);
    if (!split) return split.error();
    purpose.into = learn::take(parts.validation, split->validation);
    const auto aside = purpose.into.class_counts();
    std::vector<std::size_t> rows;
    for (const auto row : split->train) rows.push_back(parts.validation_rows[row]);
    parts.validation = learn::take(parts.validation, split->train);
    parts.validation_rows = std::move(rows);
    if (parts.validation.class_counts()[0] == 0 || aside[0] == 0) {
      return Error{Errc::invalid,
                   fmt::format("too few validation rows or groups to keep some aside for {}: raise "
                               "--validation",
                               purpose.option)};
    }
  }
  return out;
}

Result<void> make_probabilities(const TrainArguments& given, const learn::Dataset& rows,
                                std::vector<std::shared_ptr<const model::Model>>& models,
                                detect::Manifest& manifest) {
  auto whole = models.front();
  if (models.size() > 1) {
    std::vector<model::Ensemble::Member> members;
    for (std::size_t i = 0; i < models.size(); ++i)
      members.push_back({models[i], manifest.members[i].weight});
    auto made = model::Ensemble::make(std::move(members));
    if (!made) return std::move(made).error();
    whole = std::make_shared<model::Ensemble>(std::move(*made));
  }
  const auto method =
      given.calibration == "platt" ? learn::ProbabilityMethod::platt : learn::ProbabilityMethod::isotonic;
  auto curved = learn::calibrated(std::move(whole), rows, method);
  if (!curved) return std::move(curved).error().within("--calibration");
  const auto counts = rows.class_counts();
  const std::uint64_t benign = counts[0], attacks = rows.rows() - benign;
  if (method == learn::ProbabilityMethod::isotonic && std::min(benign, attacks) < kIsotonicRows) {
    say(fmt::format(
        "{} benign rows and {} attacks are few for an isotonic curve, which wants {} of each: platt "
        "makes do with fewer",
        with_thousands(benign), with_thousands(attacks), with_thousands(kIsotonicRows)));
  }
  models = {std::move(*curved)};
  manifest.members.resize(1);
  manifest.members[0].weight = 1;
  manifest.calibration = {std::string(learn::name(method)), "validation rows kept for it", rows.rows(),
                          attacks};
  return {};
}

Result<void> learn_unknown(double alpha, const learn::Dataset& rows, const model::Model& model,
                           detect::Manifest& manifest) {
  if (model.scale() != model::Scale::probability) {
    return Error{Errc::invalid,
                 fmt::format("--unknown needs scores between 0 and 1 for each label, and {} does not "
                             "give them",
                             model.describe())};
  }
  const std::size_t outputs = model.outputs(), labels = manifest.labels.size();
  const std::vector<double> scores =
      model::all_scores(model, std::span<const float>(rows.values), rows.rows());
  std::vector<std::vector<double>> of_label(labels);
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    const std::uint32_t label = rows.labels[row];
    const double* const own = &scores[row * outputs];
    const double probability = outputs > 1 ? own[label] : label == 0 ? 1 - own[0] : own[0];
    of_label[label].push_back(std::clamp(probability, 0.0, 1.0));
  }
  manifest.unknown = {alpha, "validation rows kept for it", {}};
  std::vector<std::string> few;
  for (std::size_t label = 0; label < labels; ++label) {
    auto& all = of_label[label];
    std::sort(all.begin(), all.end());
    auto& kept = manifest.unknown.labels.emplace_back();
    kept.rows = all.size();
    // Evenly spaced ranks: the last of each of so many equal parts.
    const std::size_t most = std::min(all.size(), detect::Manifest::Unknown::kRanksMax);
    for (std::size_t i = 1; i <= most; ++i) kept.probabilities.push_back(all[i * all.size() / most - 1]);
    if (alpha * static_cast<double>(all.size() + 1) < 1) few.push_back(manifest.labels[label]);
  }
  if (!few.empty()) {
    say(fmt::format(
        "too few rows to tell when a row is no '{}'{}: it is never unknown where that is the most likely",
        few.front(), few.size() > 1 ? fmt::format(", and {} other labels", few.size() - 1) : ""));
  }
  return {};
}

}  // namespace nidus::cmd
