// A report as one page. What is drawn and how lies in report_charts.cc, how it looks in page_style.h.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "learn/internal/chart.h"
#include "learn/internal/explained_html.h"
#include "learn/internal/page_style.h"
#include "learn/internal/report_charts.h"
#include "learn/report.h"

namespace nidus::learn {
namespace {

using internal::escaped;
using internal::name_of;

std::string in_html(const std::optional<double>& value) {
  return value ? fmt::format("{:.4f}", *value) : "–";
}

std::string in_html(const std::optional<Interval>& interval) {
  return interval ? fmt::format("{:.4f} – {:.4f}", interval->low, interval->high) : "";
}

std::string rate_text(double rate) {
  return std::isnan(rate)           ? "–"
         : rate != 0 && rate < 1e-3 ? fmt::format("{:.1e}", rate)
                                    : fmt::format("{:.4f}", rate);
}

std::string count_text(double count) {
  return count < 10 ? fmt::format("{:.2g}", count)
                    : with_thousands(static_cast<std::uint64_t>(std::llround(count)));
}

// "97 of 100", "3 of 1,000": as many as make the smaller number at least one.
std::string of_so_many(double share) {
  for (const std::uint64_t whole : {100u, 1000u, 10000u, 100000u, 1000000u}) {
    const double part = share * static_cast<double>(whole);
    if (share == 0 || share == 1 || (part >= 1 && static_cast<double>(whole) - part >= 1)) {
      return fmt::format("{} of {}", with_thousands(static_cast<std::uint64_t>(std::llround(part))),
                         with_thousands(whole));
    }
  }
  return fmt::format("{:.2g}", share);
}

std::string lead(const Report& report) {
  const Evaluation& evaluation = report.evaluation;
  std::string out = "<p class=\"lead\">";
  if (evaluation.attack_recall) {
    out += fmt::format("It finds <strong>{}</strong> attack flows", of_so_many(*evaluation.attack_recall));
  } else {
    out += "There are no attacks among these rows";
  }
  if (evaluation.false_positive_rate) {
    out += fmt::format("{}calls <strong>{}</strong> benign flows attacks.</p>\n",
                       evaluation.attack_recall ? " and " : "; it ",
                       of_so_many(*evaluation.false_positive_rate));
  } else {
    out += ".</p>\n";
  }
  if (!evaluation.in_use.empty()) {
    const auto& use = evaluation.in_use[evaluation.in_use.size() / 2];
    if (!std::isnan(use.at.precision)) {
      out += fmt::format(
          "<p>Where one flow in {} is part of an attack, <strong>{}</strong> alerts would be right, "
          "and of {} flows a day {} would be false alerts.</p>\n",
          use.at.base_rate > 0 ? count_text(1 / use.at.base_rate) : "∞", of_so_many(use.at.precision),
          count_text(evaluation.flows_a_day), count_text(use.at.false_alerts_a_day));
    }
  }
  return out;
}

std::string tiles(const Report& report) {
  std::string out = "<ul class=\"tiles\">\n";
  for (const Figure figure : {Figure::attack_recall, Figure::false_positive_rate, Figure::roc_auc,
                              Figure::average_precision, Figure::macro_f1, Figure::calibration_error}) {
    const auto value = report.evaluation.value(figure);
    const auto& interval = report.evaluation.interval(figure);
    const bool rate = figure == Figure::false_positive_rate;
    out += fmt::format("<li><span>{}</span><b>{}</b><span>{}</span></li>\n", title(figure),
                       !value ? "–"
                       : rate ? rate_text(*value)
                              : in_html(value),
                       !interval ? ""
                       : rate    ? rate_text(interval->low) + " – " + rate_text(interval->high)
                                 : in_html(interval));
  }
  return out + "</ul>\n";
}

std::string warnings(const LeakReport& leaks) {
  std::string out;
  if (!leaks.leaks.empty()) {
    out += "<section class=\"warn\" aria-label=\"Warnings\"><h2>Read these figures with care</h2><ul>\n";
    for (const auto& leak : leaks.leaks) out += "<li>" + escaped(leak.message) + "</li>\n";
    out += "</ul></section>\n";
  }
  if (leaks.copies.copies > 0) {
    const auto& copies = leaks.copies;
    out +=
        fmt::format("<p class=\"soft\">{} of {} rows equal one before them{}", with_thousands(copies.copies),
                    with_thousands(copies.looked_at), copies.estimated ? " (counted in a sample)" : "");
    if (copies.contradicted > 0) {
      out += fmt::format(
          "; {} equal a row of another class, so that no model of these columns is right in more than "
          "{:.2f} % of the rows",
          with_thousands(copies.contradicted), 100 * copies.accuracy_ceiling);
    }
    out += ".</p>\n";
  }
  return out;
}

// An interval as a bar with its estimate as a stroke.
std::string bar(const Interval& interval, double value) {
  const auto percent = [](double x) { return 100 * std::clamp(x, 0.0, 1.0); };
  return fmt::format(
      "<span class=\"bar\" aria-hidden=\"true\"><i style=\"left:{:.1f}%;width:{:.1f}%\"></i>"
      "<b style=\"left:{:.1f}%\"></b></span>",
      percent(interval.low), std::max(0.5, percent(interval.high) - percent(interval.low)), percent(value));
}

std::string all_figures(const Report& report) {
  const Evaluation& evaluation = report.evaluation;
  std::string out =
      "<h2>All figures</h2>\n<div class=\"wide\"><table><thead><tr><th scope=\"col\">figure</th>"
      "<th scope=\"col\">value</th><th scope=\"col\">95 %</th><th scope=\"col\">of 0 to 1</th>";
  if (report.other) out += "<th scope=\"col\">B</th>";
  out += "</tr></thead><tbody>\n";
  for (std::size_t i = 0; i < kFigures; ++i) {
    const auto figure = static_cast<Figure>(i);
    const auto rate = i - static_cast<std::size_t>(Figure::recall_at_1e2);
    out += fmt::format("<tr><th scope=\"row\">{}</th>", title(figure));
    if (rate < evaluation.recall_at.size() && !evaluation.recall_at[rate].resolvable) {
      out += fmt::format("<td colspan=\"{}\">not resolvable: needs {} benign rows, there are {}</td></tr>\n",
                         report.other ? 4 : 3, with_thousands(evaluation.recall_at[rate].negatives_needed),
                         with_thousands(evaluation.rows - evaluation.attacks));
      continue;
    }
    const auto value = evaluation.value(figure);
    const auto& interval = evaluation.interval(figure);
    const bool small = figure == Figure::false_positive_rate;
    out += fmt::format(
        "<td>{}</td><td>{}</td><td>{}</td>", value && small ? rate_text(*value) : in_html(value),
        in_html(interval),
        value && *value >= 0 && *value <= 1 ? bar(interval.value_or(Interval{*value, *value}), *value) : "");
    if (report.other) {
      const auto other = report.other->evaluation.value(figure);
      out += fmt::format("<td>{}</td>", other && small ? rate_text(*other) : in_html(other));
    }
    out += "</tr>\n";
  }
  out += "</tbody></table></div>\n";
  const Resampled& how = evaluation.resampled;
  if (how.replicates > 0) {
    out += fmt::format(
        "<p class=\"soft\">Intervals: percentile bootstrap, {}. {}</p>\n", how.to_text(),
        how.by_group && how.units < 10 ? "So few groups make intervals that are hardly more than a hint."
        : how.by_group                 ? "Groups are drawn whole, since the flows of one resemble each other."
                       : "Rows are taken to be independent; flows of one attack are not, so the truth is "
                         "less certain than this.");
  }
  return out;
}

std::string class_table(const Evaluation& evaluation) {
  const bool each_has_auc = evaluation.classes.size() > 2;
  std::string out =
      "<h2>Class by class</h2>\n<div class=\"wide\"><table><thead><tr><th scope=\"col\">class</th>"
      "<th scope=\"col\">rows</th><th scope=\"col\">recall</th><th scope=\"col\">95 %</th>"
      "<th scope=\"col\">of 0 to 1</th><th scope=\"col\">precision</th><th scope=\"col\">F1</th>";
  out += each_has_auc ? "<th scope=\"col\">ROC AUC, against the rest</th></tr></thead><tbody>\n"
                      : "</tr></thead><tbody>\n";
  for (const auto& figures : evaluation.by_class) {
    const bool some = figures.support > 0;
    out += fmt::format(
        "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>",
        name_of(figures.name), with_thousands(figures.support), in_html(figures.recall),
        some ? in_html(std::optional(figures.recall_interval)) : "",
        some ? bar(figures.recall_interval, *figures.recall) : "", in_html(figures.precision),
        in_html(figures.f1));
    out += each_has_auc ? fmt::format("<td>{}</td></tr>\n", in_html(figures.roc_auc)) : "</tr>\n";
  }
  return out + "</tbody></table></div>\n";
}

std::string family_table(const Evaluation& evaluation) {
  if (evaluation.families.size() <= evaluation.by_class.size()) return "";  // the same labels again
  std::string out =
      "<h2>Which attacks are found</h2>\n<p class=\"soft\">The labels as the data has them; right means "
      "found for an attack, left alone for a benign flow; the worst come first.</p>\n<div "
      "class=\"wide\"><table><thead><tr>"
      "<th scope=\"col\">label</th><th scope=\"col\">rows</th><th scope=\"col\">right</th>"
      "<th scope=\"col\">95 %</th><th scope=\"col\">of 0 to 1</th></tr></thead><tbody>\n";
  // The worst first: that is what one looks for.
  std::vector<const ClassFigures*> families;
  for (const auto& family : evaluation.families) families.push_back(&family);
  std::stable_sort(families.begin(), families.end(), [](const auto* a, const auto* b) {
    return a->recall.value_or(0) < b->recall.value_or(0);
  });
  for (const auto* const each : families) {
    const ClassFigures& family = *each;
    out += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                       name_of(family.name), with_thousands(family.support), in_html(family.recall),
                       in_html(std::optional(family.recall_interval)),
                       bar(family.recall_interval, family.recall.value_or(0)));
  }
  return out + "</tbody></table></div>\n";
}

std::string confusion_table(const Evaluation& evaluation) {
  std::string out =
      "<h2>What is taken for what</h2>\n"
      "<p class=\"soft\">Rows are the truth, columns the verdict; shares are of the row, and the stronger "
      "the colour the more. What is right is blue, what is wrong orange.</p>\n"
      "<div class=\"wide\"><table class=\"heat\"><thead><tr><th scope=\"col\">truth</th>";
  for (const auto& name : evaluation.classes) out += "<th scope=\"col\">" + name_of(name) + "</th>";
  out += "</tr></thead><tbody>\n";
  for (std::size_t truth = 0; truth < evaluation.classes.size(); ++truth) {
    const std::uint64_t support = evaluation.confusion.support(truth);
    out += "<tr><th scope=\"row\">" + name_of(evaluation.classes[truth]) + "</th>";
    for (std::size_t said = 0; said < evaluation.classes.size(); ++said) {
      const std::uint64_t count = evaluation.confusion.count(truth, said);
      const double share = support == 0 ? 0 : static_cast<double>(count) / static_cast<double>(support);
      out += fmt::format("<td{} style=\"--s:{:.3f}\">{}<small>{}</small></td>",
                         truth == said ? " class=\"right\"" : "", share, with_thousands(count),
                         support == 0 || count == 0 ? " "
                         : share < 0.001            ? "&lt;0.1 %"
                                                    : fmt::format("{:.1f} %", 100 * share));
    }
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>\n";
}

std::string use_table(const Evaluation& evaluation) {
  if (evaluation.in_use.empty()) return "";
  std::string out = fmt::format(
      "<h2>In use</h2>\n"
      "<p>What these rates become where {} flows pass a day, if attacks and benign traffic there look like "
      "those here and only their mixture differs.</p>\n"
      "<div class=\"wide\"><table><thead><tr><th scope=\"col\">attacks among flows</th><th "
      "scope=\"col\">precision</th><th scope=\"col\">95 %</th><th scope=\"col\">alerts a day</th><th "
      "scope=\"col\">of them false</th></tr></thead><tbody>\n",
      count_text(evaluation.flows_a_day));
  for (const auto& use : evaluation.in_use) {
    const bool none = std::isnan(use.at.precision);
    out += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                       use.at.base_rate > 0 ? "1 in " + count_text(1 / use.at.base_rate) : "none",
                       none ? "–" : fmt::format("{:.4f}", use.at.precision),
                       std::isnan(use.precision_low) || std::isnan(use.precision_high)
                           ? ""
                           : in_html(std::optional(Interval{use.precision_low, use.precision_high})),
                       count_text(use.at.alerts_a_day), count_text(use.at.false_alerts_a_day));
  }
  return out +
         "</tbody></table></div>\n"
         "<p class=\"soft\">The bounds take the worst and the best of both rates within their own 95 % "
         "intervals.</p>\n";
}

std::string threshold_table(const Evaluation& evaluation) {
  if (evaluation.operating_points.empty()) return "";
  std::string out =
      "<h2>Thresholds</h2>\n<p>What other thresholds would have done on these very rows. One that is "
      "chosen here must be measured on other rows.</p>\n<div class=\"wide\"><table><thead><tr>"
      "<th scope=\"col\">line drawn for</th><th scope=\"col\">threshold</th><th scope=\"col\">recall</th>"
      "<th scope=\"col\">false-positive rate</th><th scope=\"col\">precision here</th></tr></thead><tbody>\n";
  for (const auto& point : evaluation.operating_points) {
    out += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td><td>{:.4f}</td><td>{}</td><td>{}</td></tr>\n",
                       point.name == "detector" ? "the detector's own" : escaped(point.name),
                       std::isinf(point.threshold) ? "none" : fmt::format("{:.4f}", point.threshold),
                       point.recall, rate_text(point.false_positive_rate),
                       std::isnan(point.precision) ? "–" : fmt::format("{:.4f}", point.precision));
  }
  return out + "</tbody></table></div>\n";
}

std::string group_table(const std::vector<GroupFigures>& groups, std::string_view title,
                        std::string_view what) {
  if (groups.size() < 2) return "";
  std::string out = fmt::format(
      "<h2>{}</h2>\n<div class=\"wide\"><table><thead><tr><th scope=\"col\">{}</th>", title, what);
  out +=
      "<th scope=\"col\">attacks</th><th scope=\"col\">recall</th><th scope=\"col\">benign</th>"
      "<th scope=\"col\">false-positive rate</th></tr></thead><tbody>\n";
  const auto share = [](std::uint64_t part, std::uint64_t whole) {
    return whole == 0 ? std::string("–") : rate_text(static_cast<double>(part) / static_cast<double>(whole));
  };
  for (const auto& group : groups) {
    out += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                       name_of(group.name), with_thousands(group.attacks), share(group.found, group.attacks),
                       with_thousands(group.benign), share(group.false_alarms, group.benign));
  }
  return out + "</tbody></table></div>\n";
}

std::string p_text(double p) {
  return p < 1e-300 ? "&lt; 1e-300" : p < 0.001 ? fmt::format("{:.1e}", p) : fmt::format("{:.3f}", p);
}

std::string comparison_section(const Report& report) {
  if (!report.other) return "";
  const Comparison& comparison = report.other->comparison;
  std::string out = fmt::format(
      "<h2>A against B</h2>\n"
      "<p><span class=\"key key-a\"></span>A is {} {}, <span class=\"key key-b\"></span>B is {} {}. Both "
      "judged the same {} rows; attack or not is compared.</p>\n"
      "<div class=\"wide\"><table><thead><tr><th scope=\"col\">figure</th><th scope=\"col\">A</th><th "
      "scope=\"col\">B</th><th scope=\"col\">A − B</th><th scope=\"col\">95 % of the difference</th><th "
      "scope=\"col\">says</th></tr></thead><tbody>\n",
      name_of(report.detector), name_of(report.version), name_of(report.other->detector),
      name_of(report.other->version), with_thousands(comparison.rows));
  for (const auto& each : comparison.differences) {
    std::string verdict = "–";
    if (each.interval) {
      const bool less_is_better = each.figure == Figure::false_positive_rate;
      if (each.interval->low > 0) {
        verdict = less_is_better ? "B is better" : "A is better";
      } else if (each.interval->high < 0) {
        verdict = less_is_better ? "A is better" : "B is better";
      } else {
        verdict = "not told apart";
      }
    }
    out += fmt::format(
        "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
        title(each.figure), in_html(each.a), in_html(each.b),
        each.a && each.b ? fmt::format("{:+.4f}", *each.a - *each.b) : "–",
        each.interval ? fmt::format("{:+.4f} to {:+.4f}", each.interval->low, each.interval->high) : "",
        verdict);
  }
  out += fmt::format("</tbody></table></div>\n<p class=\"soft\">Paired bootstrap, {}.</p>\n",
                     comparison.resampled.to_text());
  out +=
      "<div class=\"wide\"><table><caption>McNemar's test: of the rows that only one of the two judged "
      "right, do they fall like coins?</caption><thead><tr><th scope=\"col\">rows</th><th "
      "scope=\"col\">right by A alone</th><th scope=\"col\">right by B alone</th><th scope=\"col\">p, "
      "mid</th><th scope=\"col\">p, exact</th></tr></thead><tbody>\n";
  for (const auto& [name, test] :
       {std::pair("all (accuracy)", &comparison.all), std::pair("attacks (recall)", &comparison.on_attacks),
        std::pair("benign (false alarms)", &comparison.on_benign)}) {
    out += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                       name, with_thousands(test->only_a), with_thousands(test->only_b), p_text(test->p_mid),
                       p_text(test->p_exact));
  }
  out += "</tbody></table></div>\n";
  if (comparison.auc) {
    out += fmt::format(
        "<p>DeLong's test: the ROC AUC differs by {:+.4f} ({:+.4f} to {:+.4f}), z {:.2f}, p {}.</p>\n",
        comparison.auc->difference, comparison.auc->interval.low, comparison.auc->interval.high,
        comparison.auc->z, p_text(comparison.auc->p));
  }
  return out + fmt::format(
                   "<p class=\"soft\">{}</p>\n",
                   comparison.resampled.by_group
                       ? "The p values take rows to be independent; trust the bootstrap, which draws groups."
                       : "All of this takes rows to be independent; flows of one attack are not.");
}

std::string facts_list(const Report& report) {
  if (report.facts.empty()) return "";
  std::string out = "<h2>How this was made</h2>\n<dl>\n";
  for (const auto& [name, text] : report.facts) {
    out += "<dt>" + escaped(name) + "</dt><dd><bdi>" + escaped(text) + "</bdi></dd>\n";
  }
  return out + "</dl>\n";
}

}  // namespace

std::string Report::to_html() const {
  const std::string whole_name = escaped(detector) + " " + escaped(version);
  std::string out =
      "<!DOCTYPE html>\n"
      "<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\"><head><meta charset=\"utf-8\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
      // Nothing is loaded and nothing runs, whatever the data holds.
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'\"/>\n<title>Evaluation of " +
      whole_name + "</title>\n<style>";
  out += internal::kPageStyle;
  out += "</style></head>\n<body><main>\n<h1>" + name_of(detector) + " " + name_of(version) + "</h1>\n";
  out += fmt::format(
      "<p class=\"soft\">measured on {} flows, {} of them attacks{}</p>\n", with_thousands(evaluation.rows),
      with_thousands(evaluation.attacks),
      evaluation.threshold ? fmt::format("; attack from score {:.4f} on", *evaluation.threshold) : "");
  out += lead(*this) + tiles(*this) + warnings(leaks);
  out += internal::charts(*this);
  out += comparison_section(*this);
  out += use_table(evaluation) + class_table(evaluation) + confusion_table(evaluation) +
         family_table(evaluation);
  if (explained) out += internal::explained_section(*explained, other ? " (A)" : "");
  if (other && other->explained) out += internal::explained_section(*other->explained, " (B)");
  out += group_table(groups, "Group by group", "group") + group_table(periods, "Over time", period) +
         threshold_table(evaluation) + all_figures(*this) + facts_list(*this);
  return out + "</main></body></html>\n";
}

}  // namespace nidus::learn
