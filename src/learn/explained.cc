// Explanations as text and as JSON; explained_html.cc makes the page of them.
#include "learn/explained.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace nidus::learn {

std::string importance_text(std::span<const FeatureImportance> features, std::size_t most) {
  const std::size_t shown = std::min(most, features.size());
  std::size_t width = 7;
  for (const auto& each : features.first(shown)) width = std::max(width, each.feature.size());
  const bool permuted = !features.empty() && features.front().permutation;
  std::string out = fmt::format("{:<{}} {:>19} {:>9}", "feature", width, "mean |contribution|", "gain");
  out += permuted ? fmt::format(" {:>12}\n", "permutation") : "\n";
  for (const auto& each : features.first(shown)) {
    out +=
        fmt::format("{:<{}} {:>19.5f} {:>7.2f} %", each.feature, width, each.contribution, 100 * each.gain);
    if (each.permutation) out += fmt::format(" {:>+12.5f}", *each.permutation);
    out += '\n';
  }
  if (shown < features.size())
    out += fmt::format("and {} more; --json and --html have them all\n", features.size() - shown);
  return out;
}

void importance_json(std::span<const FeatureImportance> features, JsonWriter& json) {
  json.begin_array();
  for (const auto& each : features) {
    json.begin_object();
    json.field("feature", each.feature);
    json.field("mean_abs_contribution", each.contribution);
    json.field("gain", each.gain);
    if (each.permutation) json.field("permutation", *each.permutation);
    json.end_object();
  }
  json.end_array();
}

std::string Explained::to_text() const {
  constexpr std::size_t kFeatures = 15;
  std::string out = fmt::format("what the detector goes by, on {} of {} rows\n\n", with_thousands(rows),
                                with_thousands(rows_there));
  out += importance_text(features, kFeatures);
  if (mistakes.empty()) return out + "\nno row is on the wrong side of the threshold\n";
  out +=
      "\nits worst mistakes, and why; usual is what the middle nine tenths of the benign training rows "
      "have\n";
  for (const auto& each : mistakes) {
    out += fmt::format("\n{}: {} of {} {}\n", each.label, with_thousands(each.wrong),
                       with_thousands(each.rows), each.is_attack ? "missed" : "called attacks");
    for (const auto& mistake : each.worst) {
      out += fmt::format("  score {:.4f}  {}", mistake.score, mistake.where);
      if (mistake.alike > 0) out += fmt::format(", and {} rows like it", with_thousands(mistake.alike));
      out += '\n';
      for (const auto& reason : mistake.reasons) {
        out += fmt::format("    {:+.3f}  {} {}{}\n", reason.contribution, reason.feature, reason.value,
                           reason.usual.empty() ? "" : " (usually " + reason.usual + ")");
      }
    }
  }
  if (labels_left_out > 0) out += fmt::format("\nand mistakes of {} more labels\n", labels_left_out);
  return out;
}

void Explained::to_json(JsonWriter& json) const {
  json.begin_object();
  json.field("rows", rows);
  json.field("rows_there", rows_there);
  json.key("features");
  importance_json(features, json);
  json.key("mistakes");
  json.begin_array();
  for (const auto& each : mistakes) {
    json.begin_object();
    json.field("label", each.label);
    json.field("is_attack", each.is_attack);
    json.field("rows", each.rows);
    json.field("wrong", each.wrong);
    json.key("worst");
    json.begin_array();
    for (const auto& mistake : each.worst) {
      json.begin_object();
      json.field("where", mistake.where);
      json.field("rows_like_it", mistake.alike);
      json.field("score", mistake.score);
      json.key("explanation");
      json.raw(mistake.json);
      json.end_object();
    }
    json.end_array();
    json.end_object();
  }
  json.end_array();
  json.field("labels_left_out", labels_left_out);
  json.end_object();
}

}  // namespace nidus::learn
