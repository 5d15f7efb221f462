#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "detect/drift.h"

namespace nidus::detect {
namespace {

std::string sentence(const DriftReport& report) {
  switch (report.verdict) {
    case Drift::none:
      return "There is nothing to compare these rows with.";
    case Drift::few:
      return "Too few rows to say anything: a hundred at least.";
    case Drift::stable:
      return "These rows look as the detector knows ordinary rows to look.";
    case Drift::moved:
      return "These rows have moved away from what the detector knows: look at the columns below.";
    case Drift::drifted:
      return "These rows are others than the detector knows. Draw its line again on them (nidus calibrate); "
             "if its scores are no good then, train it again.";
  }
  return "";
}

std::string number(const std::optional<double>& value) { return value ? fmt::format("{:.3f}", *value) : "-"; }

std::string percent(double share) {
  if (share == 0) return "0";
  return share < 0.0001 ? "<0.01 %" : fmt::format("{:.3g} %", share * 100);
}

std::string short_number(double value) {
  const double size = std::abs(value);
  return size != 0 && (size >= 1e6 || size < 1e-3) ? fmt::format("{:.2e}", value)
                                                   : fmt::format("{:.4g}", value + 0.0);  // no -0
}

std::string medians(const ColumnDrift& column) {
  if (!column.median || !column.median_then) return "-";
  return short_number(*column.median_then) + " -> " + short_number(*column.median);
}

std::string missing(const ColumnDrift& column) {
  std::string out = percent(column.missing_then);
  if (column.missing_then != column.missing) out += " -> " + percent(column.missing);
  if (column.unknown > 0) out += fmt::format(" ({} unknown)", percent(column.unknown));
  return out;
}

constexpr std::string_view kHead[] = {
    "", "", "PSI", "Wasserstein", "Jensen-Shannon", "median then -> now", "outside", "missing"};
constexpr std::size_t kCells = std::size(kHead);
using Line = std::vector<std::string>;

Line line_of(const ColumnDrift& column) {
  return {column.name,
          std::string(name(column.verdict)),
          number(column.psi),
          number(column.wasserstein),
          number(column.jensen_shannon),
          medians(column),
          column.outside ? percent(*column.outside) : "-",
          missing(column)};
}

std::string_view colour_of(std::string_view verdict) {
  if (verdict == name(Drift::drifted)) return "\x1b[31m";
  if (verdict == name(Drift::moved)) return "\x1b[33m";
  return "";
}

std::string table(const std::vector<Line>& lines, bool colours) {
  std::size_t widths[kCells];
  for (std::size_t i = 0; i < kCells; ++i) {
    widths[i] = kHead[i].size();
    for (const auto& line : lines) widths[i] = std::max(widths[i], line[i].size());
  }
  std::string out;
  const auto add = [&](const auto& cells, bool coloured) {
    std::string text;
    for (std::size_t i = 0; i < kCells; ++i) {
      const std::string_view cell = cells[i];
      const std::string_view colour = coloured && i == 1 ? colour_of(cell) : "";
      text += "  ";
      text += colour;
      // Names to the left, figures to the right.
      text += i < 2 ? fmt::format("{:<{}}", cell, widths[i]) : fmt::format("{:>{}}", cell, widths[i]);
      if (!colour.empty()) text += "\x1b[0m";
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  };
  add(kHead, false);
  for (const auto& line : lines) add(line, colours);
  return out;
}

void add_optional(JsonWriter& json, std::string_view key, const std::optional<double>& value) {
  json.key(key);
  value ? json.value(*value) : json.null();
}

void add_column(const ColumnDrift& column, JsonWriter& json) {
  json.begin_object();
  json.field("name", column.name);
  json.field("verdict", name(column.verdict));
  add_optional(json, "psi", column.psi);
  json.field("psi_by_chance", column.psi_by_chance);
  add_optional(json, "wasserstein", column.wasserstein);
  add_optional(json, "jensen_shannon", column.jensen_shannon);
  add_optional(json, "median_then", column.median_then);
  add_optional(json, "median", column.median);
  add_optional(json, "outside", column.outside);
  json.field("missing_then", column.missing_then);
  json.field("missing", column.missing);
  json.field("unknown", column.unknown);
  json.end_object();
}

}  // namespace

std::string DriftReport::to_text(std::size_t most, bool colours) const {
  std::string out = sentence(*this) + "\n";
  out += fmt::format("{} rows{} beside {} {}\n", with_thousands(rows),
                     seen > rows ? fmt::format(", drawn of {},", with_thousands(seen)) : "",
                     with_thousands(rows_then), then);
  if (alarm_share) {
    out += fmt::format("attacks by the threshold: {} of the rows", percent(*alarm_share));
    if (wanted_rate > 0) out += fmt::format("; it was drawn for {} of benign ones", percent(wanted_rate));
    out += "\n";
  }
  if (expected) {
    out += fmt::format(
        "expected, if the scores are still probabilities: attacks {}, accuracy {:.3f}, precision {}, "
        "recall {}\n",
        percent(expected->attack_share), expected->accuracy, number(expected->precision),
        number(expected->recall));
    out += "  (no label was seen: attacks that the scores do not show are not in these figures)\n";
  }
  if (verdict == Drift::none || verdict == Drift::few) return out;

  std::vector<const ColumnDrift*> furthest;
  for (const auto& column : columns) {
    if (column.verdict != Drift::none) furthest.push_back(&column);
  }
  std::stable_sort(furthest.begin(), furthest.end(), [](const auto* a, const auto* b) {
    return a->verdict != b->verdict ? a->verdict > b->verdict : a->psi.value_or(-1) > b->psi.value_or(-1);
  });
  std::vector<Line> lines;
  if (score.verdict != Drift::none) {
    lines.push_back(line_of(score));
    lines.back()[0] = "SCORE";
  }
  const std::size_t shown = std::min(most, furthest.size());
  for (std::size_t i = 0; i < shown; ++i) lines.push_back(line_of(*furthest[i]));
  out += "\n" + table(lines, colours) + "\n";
  out += fmt::format("{} of {} columns drifted, {} moved, {} stable", count(Drift::drifted), furthest.size(),
                     count(Drift::moved), count(Drift::stable));
  if (furthest.size() > shown) out += fmt::format("; {} more are not shown", furthest.size() - shown);
  return out + "\n";
}

void DriftReport::to_json(JsonWriter& json) const {
  json.begin_object();
  json.field("verdict", nidus::detect::name(verdict));
  json.field("rows", rows);
  json.field("rows_seen", seen);
  json.field("baseline", then);
  json.field("baseline_rows", rows_then);
  add_optional(json, "alarm_share", alarm_share);
  json.field("wanted_rate", wanted_rate);
  json.key("expected");
  if (expected) {
    json.begin_object();
    json.field("attack_share", expected->attack_share);
    json.field("accuracy", expected->accuracy);
    add_optional(json, "precision", expected->precision);
    add_optional(json, "recall", expected->recall);
    json.end_object();
  } else {
    json.null();
  }
  json.field("drifted", count(Drift::drifted));
  json.field("moved", count(Drift::moved));
  json.field("stable", count(Drift::stable));
  json.key("score");
  add_column(score, json);
  json.key("columns");
  json.begin_array();
  for (const auto& column : columns) add_column(column, json);
  json.end_array();
  json.end_object();
}

}  // namespace nidus::detect
