#include "serve/drift_reports.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace nidus::serve {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// "stable" is 1, so that whoever is alarmed above 2 is.
double level_of(detect::Drift drift) {
  switch (drift) {
    case detect::Drift::none:
    case detect::Drift::few:
      return 0;
    case detect::Drift::stable:
      return 1;
    case detect::Drift::moved:
      return 2;
    case detect::Drift::drifted:
      return 3;
  }
  return 0;
}

}  // namespace

bool DriftReports::is_fresh(const Entry& entry, const Served& served) const {
  if (entry.report == nullptr || entry.version != served.active->version()) return false;
  if (entry.taken == served.active->window().taken()) return true;
  const bool says_something = *entry.report && (*entry.report)->verdict != detect::Drift::few;
  return says_something && std::chrono::steady_clock::now() - entry.measured < kFresh;
}

DriftReports::Report DriftReports::of(const Served& served) {
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_[served.name];
  if (is_fresh(entry, served)) return entry.report;
  entry.is_told = false;
  const detect::RowWindow& window = served.active->window();
  entry.version = served.active->version();
  entry.taken = window.taken();
  entry.measured = std::chrono::steady_clock::now();
  const auto rows = window.copy();
  entry.report = std::make_shared<const Result<detect::DriftReport>>(
      detect::measure_drift(served.active->manifest(), {rows.values, rows.scores, entry.taken, {}}));
  return entry.report;
}

bool DriftReports::is_stale(const Detectors::State& state) const {
  const std::lock_guard lock(mutex_);
  return std::any_of(state.all.begin(), state.all.end(), [&](const auto& served) {
    const auto found = entries_.find(served->name);
    return found == entries_.end() || !found->second.is_told || !is_fresh(found->second, *served);
  });
}

void DriftReports::refresh(const Detectors::State& state) {
  for (const auto& served : state.all) {
    const Report report = of(*served);
    set_gauges(*served, *report);
    const std::lock_guard lock(mutex_);
    // Somebody may have measured again meanwhile, and that is not told yet.
    if (Entry& entry = entries_[served->name]; entry.report == report) entry.is_told = true;
  }
  const std::lock_guard lock(mutex_);
  std::erase_if(entries_, [&](const auto& entry) { return state.find(entry.first) == nullptr; });
}

void DriftReports::set_gauges(const Served& served, const Result<detect::DriftReport>& report) {
  const MetricLabels of = {{"detector", served.name}};
  const auto set = [&](const char* name, const char* help, double value) {
    metrics_.gauge(name, help, of).set(value);
  };
  const auto or_none = [](const std::optional<double>& value) { return value.value_or(kNone); };
  set("nidus_drift_verdict", "0 cannot be told, 1 stable, 2 moved, 3 drifted",
      report ? level_of(report->verdict) : 0);
  set("nidus_drift_window_rows", "Rows compared", report ? static_cast<double>(report->rows) : 0);
  if (!report) return;
  set("nidus_drift_score_psi", "Population stability index of the score", or_none(report->score.psi));
  set("nidus_drift_alarm_share", "Attacks among the rows compared", or_none(report->alarm_share));
  for (const auto drift : {detect::Drift::stable, detect::Drift::moved, detect::Drift::drifted}) {
    metrics_
        .gauge("nidus_drift_columns", "Columns by their verdict",
               {{"detector", served.name}, {"verdict", std::string(name(drift))}})
        .set(static_cast<double>(report->count(drift)));
  }
  for (std::size_t i = 0; i < std::min(report->columns.size(), kColumnGauges); ++i) {
    const auto& column = report->columns[i];
    metrics_
        .gauge("nidus_drift_column_psi", "Population stability index of a column",
               {{"detector", served.name}, {"column", column.name}})
        .set(or_none(column.psi));
  }
  if (!report->expected) return;
  set("nidus_drift_expected_precision", "If the scores are still probabilities",
      or_none(report->expected->precision));
  set("nidus_drift_expected_recall", "If the scores are still probabilities",
      or_none(report->expected->recall));
}

}  // namespace nidus::serve
