#include "learn/evaluation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/json_writer.h"
#include "base/text.h"
#include "data/labels.h"

namespace nidus::learn {
namespace {

std::string shown(const std::optional<double>& value) { return value ? fmt::format("{:.4f}", *value) : "-"; }

void optional_field(JsonWriter& json, std::string_view name, const std::optional<double>& value) {
  json.key(name);
  if (value) {
    json.value(*value);
  } else {
    json.null();
  }
}

void figures_to_json(JsonWriter& json, std::string_view name, const std::vector<ClassFigures>& list) {
  json.key(name);
  json.begin_array();
  for (const auto& figures : list) {
    json.begin_object();
    json.field("name", figures.name);
    json.field("support", figures.support);
    optional_field(json, "recall", figures.recall);
    json.key("recall_95");
    json.begin_array();
    json.value(figures.recall_interval.low);
    json.value(figures.recall_interval.high);
    json.end_array();
    optional_field(json, "precision", figures.precision);
    optional_field(json, "f1", figures.f1);
    json.end_object();
  }
  json.end_array();
}

std::size_t name_width(const std::vector<ClassFigures>& list) {
  std::size_t width = 5;
  for (const auto& figures : list) width = std::max(width, figures.name.size());
  return width;
}

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
  for (const auto truth : scored.truth) {
    if (truth >= scored.classes.size())
      return Error{Errc::invalid, "a row whose class is not among the classes"};
  }
  for (const auto family : scored.families) {
    if (family != data::kUnlabelled && family >= scored.family_names.size()) {
      return Error{Errc::invalid, "a row whose family is not among the families"};
    }
  }
  if (std::any_of(scored.scores.begin(), scored.scores.end(),
                  [](double score) { return std::isnan(score); })) {
    return Error{Errc::invalid, "a score that is not a number"};
  }
  return {};
}

}  // namespace

Result<Evaluation> evaluate(const Scored& scored) {
  if (auto good = check(scored); !good) return std::move(good).error();
  const std::size_t rows = scored.truth.size(), width = scored.width;
  Evaluation out;
  out.rows = rows;
  out.classes = scored.classes;
  out.confusion = Confusion(scored.classes.size());
  if (width == 1 || scored.two_stage) out.threshold = scored.threshold;

  std::vector<double> attack(rows);
  std::vector<std::uint8_t> positive(rows), alarm(rows);
  for (std::size_t row = 0; row < rows; ++row) {
    const double* scores = scored.scores.data() + row * width;
    attack[row] = width == 1 ? scores[0] : 1 - scores[0];
    positive[row] = scored.truth[row] != 0;
    std::size_t said = 0;
    if (width == 1) {
      said = attack[row] >= scored.threshold ? 1 : 0;
    } else if (!scored.two_stage) {
      said = static_cast<std::size_t>(std::max_element(scores, scores + width) - scores);
    } else if (attack[row] >= scored.threshold) {
      said = static_cast<std::size_t>(std::max_element(scores + 1, scores + width) - scores);
    }
    alarm[row] = said != 0;
    out.confusion.add(scored.truth[row], said);
  }

  const Confusion& confusion = out.confusion;
  out.accuracy = confusion.accuracy();
  out.balanced_accuracy = confusion.balanced_accuracy();
  out.macro_f1 = confusion.macro_f1();
  out.mcc = confusion.mcc();
  for (std::size_t i = 0; i < scored.classes.size(); ++i) {
    out.by_class.push_back({scored.classes[i], confusion.support(i), confusion.recall(i),
                            wilson(confusion.count(i, i), confusion.support(i)), confusion.precision(i),
                            confusion.f1(i)});
  }

  out.roc_auc = roc_auc(attack, positive);
  out.average_precision = average_precision(attack, positive);
  out.brier = brier(attack, positive);
  for (const double rate : {1e-2, 1e-3}) {
    if (const auto found = recall_at(rate, attack, positive)) out.recall_at.push_back(*found);
  }
  std::uint64_t found_attacks = 0, false_alarms = 0;
  for (std::size_t row = 0; row < rows; ++row) {
    out.attacks += positive[row];
    found_attacks += positive[row] & alarm[row];
    false_alarms += (positive[row] == 0 ? 1u : 0u) & alarm[row];
  }
  if (out.attacks > 0)
    out.attack_recall = static_cast<double>(found_attacks) / static_cast<double>(out.attacks);
  if (out.attacks < rows) {
    out.false_positive_rate = static_cast<double>(false_alarms) / static_cast<double>(rows - out.attacks);
  }

  if (!scored.families.empty()) {
    // For a benign family "found" means left alone.
    std::vector<std::uint64_t> support(scored.family_names.size()), hits(scored.family_names.size());
    for (std::size_t row = 0; row < rows; ++row) {
      const auto family = scored.families[row];
      if (family == data::kUnlabelled) continue;
      ++support[family];
      hits[family] += alarm[row] == positive[row] ? 1 : 0;
    }
    for (std::size_t i = 0; i < scored.family_names.size(); ++i) {
      if (support[i] == 0) continue;
      out.families.push_back({scored.family_names[i], support[i],
                              static_cast<double>(hits[i]) / static_cast<double>(support[i]),
                              wilson(hits[i], support[i]), std::nullopt, std::nullopt});
    }
  }
  return out;
}

std::string Evaluation::to_text() const {
  std::string out;
  const auto line = [&](std::string_view name, const std::string& value) {
    out += fmt::format("{:<22}{:>10}\n", name, value);
  };
  line("rows", with_thousands(rows));
  line("attacks", with_thousands(attacks));
  if (threshold) line("threshold", fmt::format("{:.6g}", *threshold));
  line("accuracy", shown(accuracy));
  line("balanced accuracy", shown(balanced_accuracy));
  line("macro F1", shown(macro_f1));
  line("MCC", shown(mcc));
  line("attack recall", shown(attack_recall));
  line("false-positive rate", shown(false_positive_rate));
  line("ROC AUC", shown(roc_auc));
  line("PR AUC", shown(average_precision));
  for (const auto& point : recall_at) {
    line(fmt::format("recall at FPR {:g}", point.rate),
         point.resolvable ? fmt::format("{:.4f}", point.recall) : "not resolvable");
  }
  line("Brier score", shown(brier));

  const std::size_t width = name_width(by_class);
  out += fmt::format("\n{:<{}}  {:>9}  {:>9}  {:>15}  {:>9}  {:>9}\n", "class", width, "rows", "recall",
                     "95 %", "precision", "F1");
  for (const auto& figures : by_class) {
    out += fmt::format("{:<{}}  {:>9}  {:>9}  {:>15}  {:>9}  {:>9}\n", figures.name, width,
                       with_thousands(figures.support), shown(figures.recall),
                       figures.support == 0 ? "-"
                                            : fmt::format("{:.4f}-{:.4f}", figures.recall_interval.low,
                                                          figures.recall_interval.high),
                       shown(figures.precision), shown(figures.f1));
  }

  // The classes head the columns by number, so that many and long names fit.
  out += fmt::format("\n{:<{}}", "truth \\ verdict", std::max<std::size_t>(width + 5, 17));
  for (std::size_t i = 0; i < classes.size(); ++i) out += fmt::format("{:>10}", i);
  out += '\n';
  for (std::size_t truth = 0; truth < classes.size(); ++truth) {
    out += fmt::format("{:<{}}", fmt::format("{:>3} {}", truth, classes[truth]),
                       std::max<std::size_t>(width + 5, 17));
    for (std::size_t said = 0; said < classes.size(); ++said) {
      out += fmt::format("{:>10}", with_thousands(confusion.count(truth, said)));
    }
    out += '\n';
  }

  if (!families.empty()) {
    const std::size_t family_width = std::max<std::size_t>(6, name_width(families));
    out += fmt::format("\n{:<{}}  {:>9}  {:>9}  {:>15}\n", "family", family_width, "rows", "right", "95 %");
    for (const auto& figures : families) {
      out += fmt::format(
          "{:<{}}  {:>9}  {:>9}  {:>15}\n", figures.name, family_width, with_thousands(figures.support),
          shown(figures.recall),
          fmt::format("{:.4f}-{:.4f}", figures.recall_interval.low, figures.recall_interval.high));
    }
  }
  return out;
}

void Evaluation::to_json(JsonWriter& json) const {
  json.begin_object();
  json.field("rows", rows);
  json.field("attacks", attacks);
  optional_field(json, "threshold", threshold);
  optional_field(json, "accuracy", accuracy);
  optional_field(json, "balanced_accuracy", balanced_accuracy);
  optional_field(json, "macro_f1", macro_f1);
  optional_field(json, "mcc", mcc);
  optional_field(json, "attack_recall", attack_recall);
  optional_field(json, "false_positive_rate", false_positive_rate);
  optional_field(json, "roc_auc", roc_auc);
  optional_field(json, "average_precision", average_precision);
  optional_field(json, "brier", brier);
  json.key("recall_at_rate");
  json.begin_array();
  for (const auto& point : recall_at) {
    json.begin_object();
    json.field("rate", point.rate);
    json.field("resolvable", point.resolvable);
    json.field("recall", point.recall);
    json.field("threshold", point.threshold);
    json.field("realised_rate", point.realised_rate);
    json.end_object();
  }
  json.end_array();
  figures_to_json(json, "classes", by_class);
  json.key("confusion");
  json.begin_array();
  for (std::size_t truth = 0; truth < classes.size(); ++truth) {
    json.begin_array();
    for (std::size_t said = 0; said < classes.size(); ++said) json.value(confusion.count(truth, said));
    json.end_array();
  }
  json.end_array();
  figures_to_json(json, "families", families);
  json.end_object();
}

std::string Evaluation::to_json() const {
  std::string out;
  JsonWriter json(out);
  to_json(json);
  return out;
}

}  // namespace nidus::learn
