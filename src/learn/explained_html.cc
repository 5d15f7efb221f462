#include "learn/internal/explained_html.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "learn/internal/chart.h"

namespace nidus::learn::internal {
namespace {

// A bar from the left; nothing for what is not above zero.
std::string bar(double value, double most, std::string_view style) {
  const double share = most > 0 ? std::clamp(value / most, 0.0, 1.0) : 0;
  return fmt::format("<span class=\"share {}\" aria-hidden=\"true\"><i style=\"width:{:.1f}%\"></i></span>",
                     style, 100 * share);
}

// A bar from the middle: to the right what raises the score, to the left what lowers it.
std::string push(double value, double most) {
  const double share = most > 0 ? std::min(1.0, std::abs(value) / most) : 0;
  return fmt::format(
      "<span class=\"push\" aria-hidden=\"true\"><i class=\"{}\" style=\"width:{:.1f}%\"></i></span>",
      value > 0 ? "up" : "down", 50 * share);
}

void rows_of(std::span<const FeatureImportance> features, const FeatureImportance& most, bool permuted,
             std::string& out) {
  for (const auto& each : features) {
    out += fmt::format(
        "<tr><th scope=\"row\">{}</th><td>{}<span>{:.4f}</span></td><td>{}<span>{:.1f} %</span></td>",
        name_of(each.feature), bar(each.contribution, most.contribution, "one"), each.contribution,
        bar(each.gain, most.gain, "two"), 100 * each.gain);
    if (permuted) {
      const double drop = each.permutation.value_or(0);
      out += fmt::format("<td>{}<span>{:+.4f}</span></td>", bar(drop, most.permutation.value_or(0), "three"),
                         drop);
    }
    out += "</tr>\n";
  }
}

std::string importance(const Explained& explained, const std::string& whose) {
  constexpr std::size_t kShown = 15;
  const bool permuted = !explained.features.empty() && explained.features.front().permutation;
  FeatureImportance most;
  most.permutation = 0;
  for (const auto& each : explained.features) {
    most.contribution = std::max(most.contribution, each.contribution);
    most.gain = std::max(most.gain, each.gain);
    most.permutation = std::max(*most.permutation, each.permutation.value_or(0));
  }
  const std::string head = fmt::format(
      "<div class=\"wide\"><table class=\"shares\"><thead><tr><th scope=\"col\">feature</th><th "
      "scope=\"col\">mean |contribution|</th><th scope=\"col\">gain</th>{}</tr></thead><tbody>\n",
      permuted ? "<th scope=\"col\">permutation</th>" : "");
  std::string out = fmt::format(
      "<h2>What it goes by{}</h2>\n<p class=\"soft\">Of {} of the {} rows: by how much the feature moves the "
      "attack score of a row on average (exact TreeSHAP); its share of what the splits told apart in "
      "training{}. Bars are measured by the longest of their column.</p>\n",
      whose, with_thousands(explained.rows), with_thousands(explained.rows_there),
      permuted ? "; and how much of the area under the ROC curve is lost when its values change places among "
                 "the rows, which is little where another feature says the same"
               : "");
  const std::span<const FeatureImportance> all = explained.features;
  const std::size_t shown = std::min(kShown, all.size());
  out += head;
  rows_of(all.first(shown), most, permuted, out);
  out += "</tbody></table></div>\n";
  if (shown < all.size()) {
    out += fmt::format("<details><summary>{} more features</summary>\n", all.size() - shown) + head;
    rows_of(all.subspan(shown), most, permuted, out);
    out += "</tbody></table></div></details>\n";
  }
  return out;
}

std::string card(const ExplainedMistake& mistake, double most) {
  std::string out = fmt::format(
      "<article class=\"why\"><p><b>{:.4f}</b> {}{}</p>\n<table><thead><tr><th "
      "scope=\"col\">feature</th><th scope=\"col\">value</th><th scope=\"col\">usually</th><th "
      "scope=\"col\">lowers | raises</th></tr></thead><tbody>\n",
      mistake.score, name_of(mistake.where),
      mistake.alike == 0 ? std::string()
                         : fmt::format(", and {} rows like it", with_thousands(mistake.alike)));
  for (const auto& reason : mistake.reasons) {
    out += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}{:+.3f}</td></tr>\n",
                       name_of(reason.feature), name_of(reason.value),
                       reason.usual.empty() ? "–" : name_of(reason.usual), push(reason.contribution, most),
                       reason.contribution);
  }
  out += fmt::format(
      "<tr class=\"rest\"><th scope=\"row\">all others</th><td></td><td></td><td>{}{:+.3f}</td></tr>\n",
      push(mistake.rest, most), mistake.rest);
  return out + "</tbody></table></article>\n";
}

std::string mistakes(const Explained& explained, const std::string& whose) {
  std::string out = "<h2>Where it is wrong, and why" + whose + "</h2>\n";
  if (explained.mistakes.empty()) return out + "<p>No row is on the wrong side of the threshold.</p>\n";
  double most = 0, base = 0;
  for (const auto& each : explained.mistakes) {
    for (const auto& mistake : each.worst) {
      base = mistake.base;
      for (const auto& reason : mistake.reasons) most = std::max(most, std::abs(reason.contribution));
    }
  }
  out += fmt::format(
      "<p class=\"soft\">The worst mistakes of each label: benign rows with the highest attack scores, "
      "attacks "
      "with the lowest. A score is {:.4f}, what is said of a row of which nothing is known, and what each "
      "feature <span class=\"raises\">adds</span> or <span class=\"lowers\">takes away</span>. Usual is what "
      "the middle nine tenths of the benign training rows have.</p>\n",
      base);
  for (const auto& each : explained.mistakes) {
    out += fmt::format("<h3>{}: {} of {} {}</h3>\n<div class=\"whys\">\n", name_of(each.label),
                       with_thousands(each.wrong), with_thousands(each.rows),
                       each.is_attack ? "missed" : "called attacks");
    for (const auto& mistake : each.worst) out += card(mistake, most);
    out += "</div>\n";
  }
  if (explained.labels_left_out > 0) {
    out += fmt::format("<p class=\"soft\">And mistakes of {} more labels.</p>\n", explained.labels_left_out);
  }
  return out;
}

}  // namespace

std::string explained_section(const Explained& explained, const std::string& whose) {
  return importance(explained, whose) + mistakes(explained, whose);
}

}  // namespace nidus::learn::internal
