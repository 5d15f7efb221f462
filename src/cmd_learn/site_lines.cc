#include "cmd_learn/site_lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/text.h"
#include "cmd/terminal.h"

namespace nidus::cmd {
namespace {

constexpr double kAlarmsLeast = 10;  // that a rate must let expect before it is called missed

std::string percent(double share) { return fmt::format("{:.3g} %", share * 100); }

double share_of(std::uint64_t part, std::size_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

std::vector<double> SiteRows::scores(bool later) const {
  std::vector<double> out;
  for (std::size_t i = later ? fitted : 0; i < (later ? rows.size() : fitted); ++i)
    out.push_back(rows[i].score);
  return out;
}

std::optional<double> SiteRows::hours(bool later) const {
  if (!timed) return std::nullopt;
  std::vector<std::pair<double, double>> spans;
  for (std::size_t i = later ? fitted : 0; i < (later ? rows.size() : fitted); ++i) {
    const Row& row = rows[i];
    if (spans.size() <= row.input)
      spans.resize(row.input + 1u,
                   {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()});
    auto& [first, last] = spans[row.input];
    first = std::min(first, row.time);
    last = std::max(last, row.time);
  }
  double seconds = 0;
  for (const auto& [first, last] : spans) seconds += std::max(0.0, last - first);
  return seconds > 0 ? std::optional(seconds / 3600) : std::nullopt;
}

Line measured(std::string name, std::optional<double> nominal, std::optional<double> threshold,
              const SiteRows& site) {
  Line out;
  out.name = std::move(name);
  out.nominal = nominal;
  out.threshold = threshold.value_or(0);
  for (std::size_t i = 0; i < site.rows.size(); ++i) {
    const auto& row = site.rows[i];
    if (threshold ? row.score >= *threshold : row.was_attack)
      ++(i < site.fitted ? out.fitted_alarms : out.alarms);
  }
  const std::size_t later = site.rows.size() - site.fitted;
  out.fitted_share = share_of(out.fitted_alarms, site.fitted);
  out.share = share_of(out.alarms, later);
  out.interval = learn::wilson(out.alarms, later);
  if (const auto hours = site.hours(true)) out.per_hour = static_cast<double>(out.alarms) / *hours;
  return out;
}

std::string Lines::to_text() const {
  std::string out =
      fmt::format("{} rows{}; lines are drawn by the earlier {} and measured on the later {}\n\n",
                  with_thousands(rows), hours ? fmt::format(" in {}", duration_text(*hours * 3600)) : "",
                  with_thousands(fitted), with_thousands(rows - fitted));
  out += fmt::format("  {:<14}{:>9}{:>11}{:>13}{:>20}{:>11}{:>12}\n", "", "nominal", "drawn by", "later rows",
                     "95 %", "an hour", "threshold");
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const Line& line = lines[i];
    out += fmt::format("{} {:<14}{:>9}", i == chosen ? '*' : ' ', line.name,
                       line.nominal ? percent(*line.nominal) : "-");
    if (!line.impossible.empty()) {
      out += "  " + line.impossible + "\n";
      continue;
    }
    out +=
        fmt::format("{:>11}{:>13}{:>20}{:>11}{:>12.6g}{}\n", percent(line.fitted_share), percent(line.share),
                    fmt::format("{} … {}", percent(line.interval.low), percent(line.interval.high)),
                    line.per_hour ? fmt::format("{:.3g}", *line.per_hour) : "-", line.threshold,
                    line.is_deaf ? "  deaf" : "");
  }
  if (was_rescaled) {
    out += fmt::format(
        "\n  The first threshold is of the scores as they were; as a probability it is {:.6g}.\n", had);
  }
  return out;
}

void Lines::to_json(JsonWriter& json) const {
  json.begin_object();
  json.field("rows", rows);
  json.field("rows_drawn_by", fitted);
  json.field("rows_measured_on", rows - fitted);
  json.field("rows_trimmed", trimmed);
  json.key("hours");
  hours ? json.value(*hours) : json.null();
  json.field("chosen", lines[chosen].name);
  if (was_rescaled) json.field("threshold_before_as_probability", had);
  json.key("lines");
  json.begin_array();
  for (const Line& line : lines) {
    json.begin_object();
    json.field("name", line.name);
    json.key("nominal_rate");
    line.nominal ? json.value(*line.nominal) : json.null();
    if (!line.impossible.empty()) {
      json.field("impossible", line.impossible);
    } else {
      json.field("threshold", line.threshold);
      json.field("alarms_drawn_by", line.fitted_alarms);
      json.field("rate_drawn_by", line.fitted_share);
      json.field("alarms", line.alarms);
      json.field("rate", line.share);
      json.field("rate_low", line.interval.low);
      json.field("rate_high", line.interval.high);
      json.key("alarms_per_hour");
      line.per_hour ? json.value(*line.per_hour) : json.null();
      json.field("deaf", line.is_deaf);
    }
    json.end_object();
  }
  json.end_array();
  json.key("warnings");
  json.begin_array();
  for (const Doubt& doubt : doubts) {
    json.begin_object();
    json.field("kind", doubt.kind);
    json.field("text", doubt.text);
    json.field("refused", doubt.refuses);
    json.end_object();
  }
  json.end_array();
  json.end_object();
}

void find_deaf(const SiteRows& site, model::Scale scale, Lines& lines) {
  double highest = -std::numeric_limits<double>::infinity();
  for (const auto& row : site.rows) highest = std::max(highest, row.score);
  const bool ends_at_1 = scale == model::Scale::probability;
  const double end = ends_at_1 ? 1 : highest;
  for (std::size_t i = 1; i < lines.lines.size(); ++i) {
    Line& line = lines.lines[i];
    if (!line.impossible.empty() || !(line.threshold > lines.had)) continue;
    // Of few rows the line may lie above all of them, and scores that occur be beyond it.
    const bool says_something = line.drawn.resolvable;
    const bool unreached = says_something && line.fitted_alarms + line.alarms == 0;
    const bool at_the_end =
        (ends_at_1 || says_something) && detect::leaves_no_room(line.threshold, lines.had, end);
    line.is_deaf = unreached || at_the_end;
  }
}

std::vector<Doubt> doubts_of(const SiteRows& site, const Lines& lines) {
  std::vector<Doubt> out;
  const Line& line = lines.line();
  const Line& was = lines.lines.front();
  const std::size_t later = site.rows.size() - site.fitted;
  const auto [least, greatest] = std::minmax_element(
      site.rows.begin(), site.rows.end(), [](const auto& a, const auto& b) { return a.score < b.score; });
  const bool one_score = least->score == greatest->score;
  if (one_score) {
    out.push_back({"one_score",
                   fmt::format("all {} rows have one and the same score, {:.6g}: they tell nothing apart{}",
                               with_thousands(site.rows.size()), least->score,
                               line.nominal ? ", and no line can be drawn by them" : ""),
                   line.nominal.has_value()});
  }
  if (site.empty != 0) {
    out.push_back(
        {"rows_without_values",
         fmt::format("{} of the {} rows have not one value that the detector wants: what they score "
                     "says nothing of the site",
                     with_thousands(site.empty), with_thousands(site.rows.size())),
         false});
  }
  if (line.is_deaf && !one_score) {
    out.push_back({"deaf",
                   fmt::format("with the new line, {:.9g}, the detector is deaf: {}", line.threshold,
                               line.fitted_alarms + line.alarms == 0
                                   ? "more rows than the rate allows share the highest score, so only a "
                                     "line that nothing reaches keeps it"
                                   : "it lies where scores end, and attacks do not reach it either"),
                   line.nominal.has_value()});
  }
  if (line.nominal) {
    const double meant = std::max(*line.nominal, was.nominal.value_or(0));
    const double trimmed = share_of(lines.trimmed, site.fitted);
    const bool looks_attacked = learn::wilson(was.fitted_alarms, site.fitted).low > meant + trimmed;
    const bool hardly_reached = !one_score && line.interval.high < *line.nominal / 2 &&
                                *line.nominal * static_cast<double>(later) >= kAlarmsLeast;
    // The later rows show that ordinary traffic asks for no such line, and most of what stood out would pass.
    const bool would_pass = looks_attacked && hardly_reached && 2 * line.fitted_alarms < was.fitted_alarms;
    if (looks_attacked) {
      out.push_back(
          {"rows_look_attacked",
           fmt::format("the old line takes {} of the rows that the new one is drawn by for attacks, "
                       "where {} were meant and {} are trimmed: either ordinary traffic is another "
                       "here, or there are attacks among them, and then such attacks pass from now "
                       "on. Look at them with 'nidus detect', and calibrate on traffic without",
                       percent(was.fitted_share), percent(meant), percent(trimmed)),
           would_pass});
    }
    if (hardly_reached) {
      out.push_back({"hardly_reached",
                     fmt::format("{} of the later rows reach the new line, where {} were meant: it is higher "
                                 "than their traffic asks for",
                                 percent(line.share), percent(*line.nominal)),
                     false});
    }
    // Where there was no attack, what was trimmed are alarms on top of the rate.
    if (line.interval.low > *line.nominal + trimmed) {
      out.push_back({"rate_exceeded",
                     "the later rows exceed the rate: the site's traffic changes, or they hold attacks",
                     false});
    }
    if (!line.drawn.resolvable) {
      out.push_back({"few_rows",
                     fmt::format("{} rows are few for a rate of {}: it is hardly more than a guess",
                                 with_thousands(line.drawn.rows), *line.nominal),
                     false});
    }
  }
  const std::uint64_t alarms = line.fitted_alarms + line.alarms;
  if (2 * alarms > site.rows.size()) {
    out.push_back({"most_are_alarms",
                   fmt::format("the new line takes {} of all rows of the site for attacks",
                               percent(share_of(alarms, site.rows.size()))),
                   false});
  }
  return out;
}

}  // namespace nidus::cmd
