#include "learn/evaluation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "data/labels.h"
#include "learn/internal/resampling.h"
#include "learn/internal/scored_rows.h"

namespace nidus::learn {
namespace {

Result<void> check(const Scored& scored) {
  const std::size_t rows = scored.truth.size();
  if (scored.classes.size() < 2) return Error{Errc::invalid, "an evaluation needs at least two classes"};
  if (scored.width != (scored.classes.size() == 2 ? 1 : scored.classes.size())) {
    return Error{Errc::invalid,
                 fmt::format("{} scores a row for {} classes", scored.width, scored.classes.size())};
  }
  if (scored.scores.size() != rows * scored.width) {
    return Error{Errc::invalid, fmt::format("{} scores for {} rows", scored.scores.size(), rows)};
  }
  if (!scored.families.empty() && scored.families.size() != rows) {
    return Error{Errc::invalid, fmt::format("{} families for {} rows", scored.families.size(), rows)};
  }
  if (!scored.groups.empty() && scored.groups.size() != rows) {
    return Error{Errc::invalid, fmt::format("{} groups for {} rows", scored.groups.size(), rows)};
  }
  if (rows > std::numeric_limits<std::uint32_t>::max()) {
    return Error{Errc::exhausted, fmt::format("{} rows are more than are evaluated at once", rows)};
  }
  for (const auto truth : scored.truth) {
    if (truth >= scored.classes.size())
      return Error{Errc::invalid, "a row whose class is not among the classes"};
  }
  for (const auto family : scored.families) {
    if (family != data::kUnlabelled && family >= scored.family_names.size()) {
      return Error{Errc::invalid, "a row whose family is not among the families"};
    }
  }
  for (std::size_t i = 0; i < scored.scores.size(); ++i) {
    if (std::isnan(scored.scores[i])) {
      return Error{Errc::invalid, fmt::format("row {}: a score that is not a number", i / scored.width)};
    }
  }
  for (const double rate : scored.base_rates) {
    if (!(rate >= 0 && rate <= 1)) return Error{Errc::invalid, "a base rate lies between 0 and 1"};
  }
  if (!(scored.flows_a_day >= 0)) return Error{Errc::invalid, "flows a day cannot be fewer than none"};
  return {};
}

// What each row got: the attack score, the class said, and whether that is right as to attack or not.
struct Verdicts {
  std::vector<double> attack;
  std::vector<std::uint32_t> said;
  std::vector<std::uint8_t> positive, alarm;
};

Verdicts judge(const Scored& scored) {
  const std::size_t rows = scored.truth.size(), width = scored.width;
  Verdicts out;
  out.attack.resize(rows);
  out.said.resize(rows);
  out.positive.resize(rows);
  out.alarm.resize(rows);
  for (std::size_t row = 0; row < rows; ++row) {
    const double* scores = scored.scores.data() + row * width;
    out.attack[row] = width == 1 ? scores[0] : 1 - scores[0];
    std::ptrdiff_t said = 0;
    if (width == 1) {
      said = out.attack[row] >= scored.threshold ? 1 : 0;
    } else if (!scored.two_stage) {
      said = std::max_element(scores, scores + width) - scores;
    } else if (out.attack[row] >= scored.threshold) {
      said = std::max_element(scores + 1, scores + width) - scores;
    }
    out.said[row] = static_cast<std::uint32_t>(said);
    out.positive[row] = scored.truth[row] != 0;
    out.alarm[row] = said != 0;
  }
  return out;
}

// One class against all others by its own score. With two classes that is the ROC AUC itself.
void measure_classes_alone(const Scored& scored, Evaluation& out) {
  if (scored.width == 1) return;
  const std::size_t rows = scored.truth.size();
  std::vector<double> scores(rows);
  std::vector<std::uint8_t> is_class(rows);
  for (std::size_t cls = 0; cls < scored.classes.size(); ++cls) {
    if (out.by_class[cls].support == 0) continue;
    for (std::size_t row = 0; row < rows; ++row) {
      scores[row] = scored.scores[row * scored.width + cls];
      is_class[row] = scored.truth[row] == cls;
    }
    out.by_class[cls].roc_auc = roc_auc(scores, is_class);
  }
}

void measure_families(const Scored& scored, const Verdicts& verdicts, Evaluation& out) {
  if (scored.families.empty()) return;
  // For a benign family "found" means left alone.
  std::vector<std::uint64_t> support(scored.family_names.size()), hits(scored.family_names.size());
  for (std::size_t row = 0; row < scored.truth.size(); ++row) {
    const auto family = scored.families[row];
    if (family == data::kUnlabelled) continue;
    ++support[family];
    hits[family] += verdicts.alarm[row] == verdicts.positive[row] ? 1 : 0;
  }
  for (std::size_t i = 0; i < scored.family_names.size(); ++i) {
    if (support[i] == 0) continue;
    ClassFigures& family = out.families.emplace_back();
    family.name = scored.family_names[i];
    family.support = support[i];
    family.recall = static_cast<double>(hits[i]) / static_cast<double>(support[i]);
    family.recall_interval = wilson(hits[i], support[i]);
  }
}

// Wilson's interval assumes rows that have nothing to do with each other, the bootstrap has nothing to say
// about a rate of 0 or 1: where groups are drawn, each covers what the other leaves out.
Interval wider(Interval interval, const std::optional<Interval>& other) {
  if (!other) return interval;
  return {std::min(interval.low, other->low), std::max(interval.high, other->high)};
}

void measure_intervals(const Scored& scored, const internal::ScoredRows& rows, Evaluation& out) {
  const internal::Resampling resampling(scored.truth.size(), scored.groups);
  out.resampled = {scored.bootstrap_replicates, resampling.units(), resampling.by_group(), scored.seed};
  const auto intervals =
      internal::bootstrap(resampling, rows.width(), scored.bootstrap_replicates, scored.seed, scored.threads,
                          [&](std::span<const std::uint32_t> counts, std::span<double> figures) {
                            rows.figures(counts, figures);
                          });
  for (std::size_t i = 0; i < kFigures; ++i) {
    // A recall at a rate that cannot be resolved has no interval either.
    const auto rate = i - static_cast<std::size_t>(Figure::recall_at_1e2);
    if (rate < out.recall_at.size() && !out.recall_at[rate].resolvable) continue;
    out.intervals[i] = intervals[i];
  }
  const auto proportion = [&](Interval interval, std::size_t figure) {
    return resampling.by_group() ? wider(interval, intervals[figure]) : interval;
  };
  const Confusion& confusion = out.confusion;
  for (std::size_t cls = 0; cls < out.by_class.size(); ++cls) {
    ClassFigures& figures = out.by_class[cls];
    if (figures.support > 0) {
      figures.recall_interval = proportion(figures.recall_interval, internal::ScoredRows::recall_of(cls));
    }
    if (figures.precision) {
      figures.precision_interval = proportion(wilson(confusion.count(cls, cls), confusion.predicted(cls)),
                                              internal::ScoredRows::precision_of(cls));
    }
    if (figures.f1) figures.f1_interval = intervals[internal::ScoredRows::f1_of(cls)];
  }
  const auto put = [&](Figure figure, Interval interval) {
    if (out.value(figure)) {
      out.intervals[static_cast<std::size_t>(figure)] =
          proportion(interval, static_cast<std::size_t>(figure));
    }
  };
  const std::uint64_t alarms = out.rows - confusion.predicted(0);
  const std::uint64_t found = out.attacks - (confusion.predicted(0) - confusion.count(0, 0));
  put(Figure::attack_recall, out.attack_recall_interval);
  put(Figure::false_positive_rate, out.false_positive_rate_interval);
  put(Figure::attack_precision, wilson(found, alarms));
  if (const auto& interval = out.interval(Figure::attack_recall)) out.attack_recall_interval = *interval;
  if (const auto& interval = out.interval(Figure::false_positive_rate)) {
    out.false_positive_rate_interval = *interval;
  }
}

void measure_use(const Scored& scored, Evaluation& out) {
  out.flows_a_day = scored.flows_a_day;
  if (!out.attack_recall || !out.false_positive_rate) return;
  const Interval recall = out.attack_recall_interval, rate = out.false_positive_rate_interval;
  for (const double base_rate : scored.base_rates) {
    const auto precision = [&](double found, double false_alarms) {
      return at_base_rate(base_rate, found, false_alarms, scored.flows_a_day).precision;
    };
    out.in_use.push_back(
        {at_base_rate(base_rate, *out.attack_recall, *out.false_positive_rate, scored.flows_a_day),
         precision(recall.low, rate.high), precision(recall.high, rate.low)});
  }
}

void measure_pictures(const Verdicts& verdicts, Evaluation& out) {
  out.calibration = calibration(verdicts.attack, verdicts.positive);
  if (out.calibration) {
    ScoreHistogram& histogram = out.histogram.emplace();
    for (std::size_t row = 0; row < verdicts.attack.size(); ++row) {
      const auto bin = static_cast<std::size_t>(verdicts.attack[row] * kHistogramBins);
      ++(verdicts.positive[row] != 0 ? histogram.attacks
                                     : histogram.benign)[std::min(bin, kHistogramBins - 1)];
    }
  }
  out.curve = curve(verdicts.attack, verdicts.positive);
  const std::uint64_t benign = out.rows - out.attacks;
  if (out.attacks == 0 || benign == 0) return;
  if (out.threshold) {
    out.operating_points.push_back({"detector", *out.threshold, *out.attack_recall, *out.false_positive_rate,
                                    out.attack_precision.value_or(std::numeric_limits<double>::quiet_NaN())});
  }
  for (const double rate : {1e-1, 5e-2, 1e-2, 1e-3, 1e-4}) {
    const auto found = recall_at(rate, verdicts.attack, verdicts.positive);
    if (!found || !found->resolvable) continue;
    const double hits = found->recall * static_cast<double>(out.attacks);
    const double alarms = found->realised_rate * static_cast<double>(benign);
    out.operating_points.push_back({fmt::format("FPR {:g}", rate), found->threshold, found->recall,
                                    found->realised_rate, hits / (hits + alarms)});
  }
}

}  // namespace

std::size_t affordable_replicates(std::size_t rows) {
  // A row of a replicate takes some ten nanoseconds.
  constexpr std::size_t kWork = 500'000'000;
  return std::clamp<std::size_t>(kWork / std::max<std::size_t>(rows, 1), 100, 1000);
}

Result<Evaluation> evaluate(const Scored& scored) {
  if (auto good = check(scored); !good) return std::move(good).error();
  const std::size_t rows = scored.truth.size(), classes = scored.classes.size();
  const Verdicts verdicts = judge(scored);
  Evaluation out;
  out.rows = rows;
  out.classes = scored.classes;
  out.confusion = Confusion(classes);
  if (scored.width == 1 || scored.two_stage) out.threshold = scored.threshold;
  std::uint64_t found = 0, false_alarms = 0;
  for (std::size_t row = 0; row < rows; ++row) {
    out.confusion.add(scored.truth[row], verdicts.said[row]);
    out.attacks += verdicts.positive[row];
    (verdicts.positive[row] != 0 ? found : false_alarms) += verdicts.alarm[row];
  }

  const internal::ScoredRows packed(verdicts.attack, scored.truth, verdicts.said, classes);
  std::vector<double> figures(packed.width());
  packed.figures(std::vector<std::uint32_t>(rows, 1), figures);
  const auto figure = [&](Figure which) {
    const double value = figures[static_cast<std::size_t>(which)];
    return std::isnan(value) ? std::nullopt : std::optional(value);
  };
  out.accuracy = figure(Figure::accuracy);
  out.balanced_accuracy = figure(Figure::balanced_accuracy);
  out.macro_f1 = figure(Figure::macro_f1);
  out.mcc = figure(Figure::mcc);
  out.attack_recall = figure(Figure::attack_recall);
  out.false_positive_rate = figure(Figure::false_positive_rate);
  out.attack_precision = figure(Figure::attack_precision);
  out.roc_auc = figure(Figure::roc_auc);
  out.average_precision = figure(Figure::average_precision);
  out.brier = figure(Figure::brier);
  out.calibration_error = figure(Figure::calibration_error);
  out.attack_recall_interval = wilson(found, out.attacks);
  out.false_positive_rate_interval = wilson(false_alarms, rows - out.attacks);
  for (const double rate : kRates) {
    if (const auto point = recall_at(rate, verdicts.attack, verdicts.positive))
      out.recall_at.push_back(*point);
  }

  const Confusion& confusion = out.confusion;
  for (std::size_t i = 0; i < classes; ++i) {
    ClassFigures& cls = out.by_class.emplace_back();
    cls.name = scored.classes[i];
    cls.support = confusion.support(i);
    cls.recall = confusion.recall(i);
    cls.recall_interval = wilson(confusion.count(i, i), cls.support);
    cls.precision = confusion.precision(i);
    cls.f1 = confusion.f1(i);
  }
  measure_classes_alone(scored, out);
  measure_families(scored, verdicts, out);
  if (scored.bootstrap_replicates > 0) measure_intervals(scored, packed, out);
  measure_use(scored, out);
  measure_pictures(verdicts, out);
  return out;
}

}  // namespace nidus::learn
