#include "serve/judge.h"

#include <algorithm>
#include <limits>

namespace nidus::serve {
namespace {

constexpr std::size_t kShadowWaiting = 64;

}  // namespace

Judge::Judge(Metrics& metrics)
    : attacks_(metrics.counter("predictions_total", "Verdicts", {{"prediction_type", "Attack"}})),
      benign_(metrics.counter("predictions_total", "Verdicts", {{"prediction_type", "Benign"}})),
      not_judged_(
          metrics.counter("nidus_rows_not_judged_total", "Rows of which the models could say nothing")),
      shadow_(1, kShadowWaiting) {}

void Judge::count(const Judged& judged, std::size_t rows) {
  std::size_t attacks = 0, none = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    attacks += judged.scores.verdicts[i].is_attack() ? 1 : 0;
    none += judged.scores.verdicts[i].is_judged() ? 0 : 1;
  }
  if (attacks != 0) attacks_.add(attacks);
  if (rows != attacks) benign_.add(rows - attacks);
  if (none != 0) not_judged_.add(none);
}

void Judge::judge(const std::shared_ptr<const Served>& served, std::span<const double> rows,
                  std::size_t count_, const Wanted& wanted, Judged& judged) {
  judged.by_canary.clear();
  if (served->canary) {
    judge_with_canary(*served, rows, count_, wanted, judged);
  } else {
    served->active->score(rows, count_, wanted, judged.scores);
    served->active->window().offer(rows, judged.scores.verdicts);
  }
  count(judged, count_);
  if (served->shadow) show_shadow(served, rows, count_, judged);
}

void Judge::judge(const std::shared_ptr<const Served>& served, std::span<const float> rows,
                  std::size_t count_, const Wanted& wanted, Judged& judged) {
  if (served->canary || served->shadow) {
    const std::vector<double> wide(rows.begin(), rows.end());
    judge(served, std::span<const double>(wide), count_, wanted, judged);
    return;
  }
  judged.by_canary.clear();
  served->active->score(rows, count_, wanted, judged.scores);
  served->active->window().offer(rows, judged.scores.verdicts);
  count(judged, count_);
}

void Judge::judge_with_canary(const Served& served, std::span<const double> rows, std::size_t count_,
                              const Wanted& wanted, Judged& judged) const {
  const std::size_t width = served.active->inputs();
  judged.by_canary.resize(count_);
  judged.canary_rows_.clear();
  judged.active_rows_.clear();
  std::size_t canaries = 0;
  for (std::size_t i = 0; i < count_; ++i) {
    const auto row = rows.subspan(i * width, width);
    const bool is_canary = share_of(row) * 100 < served.canary_percent;
    judged.by_canary[i] = is_canary ? 1 : 0;
    canaries += is_canary ? 1 : 0;
    auto& to = is_canary ? judged.canary_rows_ : judged.active_rows_;
    to.insert(to.end(), row.begin(), row.end());
  }
  Wanted of_canary = wanted;
  if (wanted.configuration != nullptr)
    of_canary.configuration = served.canary->configuration(wanted.configuration->name);
  // What differs in shape is not mixed: a canary with other members says nothing of each.
  of_canary.members = wanted.members && served.canary->members().size() == served.active->members().size();
  served.canary->score(judged.canary_rows_, canaries, of_canary, judged.canary_scores_);
  served.active->score(judged.active_rows_, count_ - canaries, wanted, judged.scores);
  served.canary->window().offer(std::span<const double>(judged.canary_rows_), judged.canary_scores_.verdicts);
  served.active->window().offer(std::span<const double>(judged.active_rows_), judged.scores.verdicts);

  // Back into the order of the rows, from behind so that nothing is overwritten that is still needed.
  const std::size_t outputs = served.active->outputs(), members = served.active->members().size();
  const bool same_outputs = served.canary->outputs() == outputs;
  auto& to = judged.scores;
  to.verdicts.resize(count_);
  to.outputs.resize(count_ * outputs);
  if (wanted.members) to.members.resize(count_ * members);
  std::size_t next_canary = canaries, next_active = count_ - canaries;
  for (std::size_t i = count_; i-- > 0;) {
    const bool is_canary = judged.by_canary[i] != 0;
    const std::size_t from = is_canary ? --next_canary : --next_active;
    const Scores& source = is_canary ? judged.canary_scores_ : to;
    to.verdicts[i] = source.verdicts[from];
    for (std::size_t k = 0; k < outputs; ++k) {
      const bool known = !is_canary || same_outputs;
      to.outputs[i * outputs + k] = known ? source.outputs[from * outputs + k] : 0;
    }
    for (std::size_t k = 0; wanted.members && k < members; ++k) {
      const bool known = !is_canary || of_canary.members;
      to.members[i * members + k] =
          known ? source.members[from * members + k] : std::numeric_limits<double>::quiet_NaN();
    }
  }
}

void Judge::show_shadow(const std::shared_ptr<const Served>& served, std::span<const double> rows,
                        std::size_t count_, const Judged& judged) {
  struct Shown {
    std::shared_ptr<const Served> served;
    std::vector<double> rows;
    std::vector<detect::Verdict> given;
  };
  auto shown = std::make_shared<Shown>();
  shown->served = served;
  shown->rows.assign(rows.begin(),
                     rows.begin() + static_cast<std::ptrdiff_t>(count_ * served->active->inputs()));
  shown->given = judged.scores.verdicts;
  const bool taken = shadow_.post([shown] {
    const Served& s = *shown->served;
    const std::size_t rows_shown = shown->given.size();
    Scores scores;
    s.shadow->score(std::span<const double>(shown->rows), rows_shown, {}, scores);
    auto& counts = *s.shadow_counts;
    counts.rows.add(rows_shown);
    for (std::size_t i = 0; i < rows_shown; ++i) {
      const auto &given = shown->given[i], &other = scores.verdicts[i];
      if (given.is_judged() && other.is_judged()) counts.score_difference.observe(other.score - given.score);
      if (given.is_attack() != other.is_attack()) {
        (other.is_attack() ? counts.raised : counts.dropped_alarms).add();
      } else if (given.is_attack() &&
                 s.active->manifest().labels[given.label] != s.shadow->manifest().labels[other.label]) {
        counts.other_label.add();
      }
    }
  });
  if (!taken) served->shadow_counts->not_scored.add(count_);
}

}  // namespace nidus::serve
