// An evaluation as text and as JSON.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/json_writer.h"
#include "base/text.h"
#include "learn/evaluation.h"

namespace nidus::learn {
namespace {

struct Naming {
  std::string_view key, title;
};

// In the order of Figure.
constexpr std::array<Naming, kFigures> kNamings = {{{"accuracy", "accuracy"},
                                                    {"balanced_accuracy", "balanced accuracy"},
                                                    {"macro_f1", "macro F1"},
                                                    {"mcc", "MCC"},
                                                    {"attack_recall", "attack recall"},
                                                    {"false_positive_rate", "false-positive rate"},
                                                    {"attack_precision", "attack precision"},
                                                    {"roc_auc", "ROC AUC"},
                                                    {"average_precision", "PR AUC"},
                                                    {"recall_at_1e2", "recall at FPR 0.01"},
                                                    {"recall_at_1e3", "recall at FPR 0.001"},
                                                    {"recall_at_1e4", "recall at FPR 0.0001"},
                                                    {"brier", "Brier score"},
                                                    {"calibration_error", "calibration error"}}};

std::string shown(const std::optional<double>& value) { return value ? fmt::format("{:.4f}", *value) : "-"; }

std::string shown(const Interval& interval) {
  return fmt::format("{:.4f}-{:.4f}", interval.low, interval.high);
}

std::string shown(const std::optional<Interval>& interval) { return interval ? shown(*interval) : ""; }

// Rates down to 1e-6 without becoming 0.0000.
std::string shown_rate(double rate) {
  return std::isnan(rate)            ? "-"
         : rate != 0 && rate < 0.001 ? fmt::format("{:.2e}", rate)
                                     : fmt::format("{:.4f}", rate);
}

void put(JsonWriter& json, std::string_view name, const std::optional<double>& value) {
  json.key(name);
  if (value) {
    json.value(*value);
  } else {
    json.null();
  }
}

void put(JsonWriter& json, std::string_view name, const std::optional<Interval>& interval) {
  json.key(name);
  if (!interval) {
    json.null();
    return;
  }
  json.begin_array();
  json.value(interval->low);
  json.value(interval->high);
  json.end_array();
}

void put(JsonWriter& json, std::string_view name, const std::vector<ClassFigures>& list) {
  json.key(name);
  json.begin_array();
  for (const auto& figures : list) {
    json.begin_object();
    json.field("name", figures.name);
    json.field("support", figures.support);
    put(json, "recall", figures.recall);
    put(json, "recall_95", std::optional(figures.recall_interval));
    put(json, "precision", figures.precision);
    if (figures.precision_interval) put(json, "precision_95", figures.precision_interval);
    put(json, "f1", figures.f1);
    if (figures.f1_interval) put(json, "f1_95", figures.f1_interval);
    if (figures.roc_auc) put(json, "roc_auc", figures.roc_auc);
    json.end_object();
  }
  json.end_array();
}

std::size_t name_width(const std::vector<ClassFigures>& list) {
  std::size_t width = 6;
  for (const auto& figures : list) width = std::max(width, figures.name.size());
  return width;
}

std::string figures_text(const Evaluation& evaluation) {
  std::string out;
  const auto line = [&](std::string_view name, std::string_view value, std::string_view interval = "") {
    out += fmt::format("{:<22}{:>14}", name, value);
    if (!interval.empty()) out += fmt::format("  {:>13}", interval);
    out += '\n';
  };
  line("rows", with_thousands(evaluation.rows));
  line("attacks", with_thousands(evaluation.attacks));
  if (evaluation.threshold) line("threshold", fmt::format("{:.6g}", *evaluation.threshold));
  if (evaluation.resampled.replicates > 0) line("", "", "95 %");
  for (std::size_t i = 0; i < kFigures; ++i) {
    const auto figure = static_cast<Figure>(i);
    const auto rate = i - static_cast<std::size_t>(Figure::recall_at_1e2);
    if (figure == Figure::false_positive_rate && evaluation.false_positive_rate) {
      const auto& interval = evaluation.interval(figure);
      line(title(figure), shown_rate(*evaluation.false_positive_rate),
           interval ? shown_rate(interval->low) + "-" + shown_rate(interval->high) : "");
    } else if (rate >= kRates.size()) {
      line(title(figure), shown(evaluation.value(figure)), shown(evaluation.interval(figure)));
    } else if (rate < evaluation.recall_at.size()) {
      const RecallAtRate& point = evaluation.recall_at[rate];
      if (point.resolvable) {
        line(title(figure), shown(point.recall), shown(evaluation.interval(figure)));
      } else {
        line(title(figure), "not resolvable",
             fmt::format("needs {} benign rows, there are {}", with_thousands(point.negatives_needed),
                         with_thousands(evaluation.rows - evaluation.attacks)));
      }
    } else {
      line(title(figure), "-");
    }
  }
  if (const Resampled& how = evaluation.resampled; how.replicates > 0) {
    out += "intervals: bootstrap, " + how.to_text() + "\n";
    if (how.by_group && how.units < 10)
      out += "so few groups make intervals that are hardly more than a hint\n";
    if (!how.by_group) out += "rows are taken to be independent; flows of one attack are not (--group)\n";
  }
  return out;
}

std::string classes_text(const Evaluation& evaluation) {
  const std::size_t width = name_width(evaluation.by_class);
  const bool each_has_auc = evaluation.classes.size() > 2;
  std::string out = fmt::format("\n{:<{}}  {:>9}  {:>9}  {:>15}  {:>9}  {:>9}{}\n", "class", width, "rows",
                                "recall", "95 %", "precision", "F1", each_has_auc ? "    ROC AUC" : "");
  for (const auto& figures : evaluation.by_class) {
    out += fmt::format("{:<{}}  {:>9}  {:>9}  {:>15}  {:>9}  {:>9}", figures.name, width,
                       with_thousands(figures.support), shown(figures.recall),
                       figures.support == 0 ? "-" : shown(figures.recall_interval), shown(figures.precision),
                       shown(figures.f1));
    out += each_has_auc ? fmt::format("  {:>9}\n", shown(figures.roc_auc)) : "\n";
  }
  return out;
}

// Of many classes, only what is most often taken for something else.
std::string mistakes_text(const Evaluation& evaluation) {
  constexpr std::size_t kShown = 20;
  struct Mistake {
    std::uint64_t rows;
    std::size_t truth, said;
  };
  std::vector<Mistake> mistakes;
  for (std::size_t truth = 0; truth < evaluation.classes.size(); ++truth) {
    for (std::size_t said = 0; said < evaluation.classes.size(); ++said) {
      const std::uint64_t rows = evaluation.confusion.count(truth, said);
      if (truth != said && rows > 0) mistakes.push_back({rows, truth, said});
    }
  }
  if (mistakes.empty()) return "";
  std::stable_sort(mistakes.begin(), mistakes.end(),
                   [](const Mistake& a, const Mistake& b) { return a.rows > b.rows; });
  const std::size_t width = name_width(evaluation.by_class);
  std::string out =
      fmt::format("\n{:<{}}  {:<{}}  {:>9}  {:>9}\n", "truth", width, "taken for", width, "rows", "share");
  for (std::size_t i = 0; i < std::min(kShown, mistakes.size()); ++i) {
    const auto& [rows, truth, said] = mistakes[i];
    out += fmt::format(
        "{:<{}}  {:<{}}  {:>9}  {:>7.1f} %\n", evaluation.classes[truth], width, evaluation.classes[said],
        width, with_thousands(rows),
        100 * static_cast<double>(rows) / static_cast<double>(evaluation.confusion.support(truth)));
  }
  if (mistakes.size() > kShown) {
    out += fmt::format("and {} more such pairs; --json and --html have them all\n",
                       with_thousands(mistakes.size() - kShown));
  }
  return out;
}

// The classes head the columns by number, so that long names fit.
std::string confusion_text(const Evaluation& evaluation) {
  constexpr std::size_t kClassesMax = 12;  // as many columns as a wide terminal has room for
  if (evaluation.classes.size() > kClassesMax) return mistakes_text(evaluation);
  const std::size_t width = std::max<std::size_t>(name_width(evaluation.by_class) + 5, 17);
  std::string out = fmt::format("\n{:<{}}", "truth \\ verdict", width);
  for (std::size_t i = 0; i < evaluation.classes.size(); ++i) out += fmt::format("{:>10}", i);
  out += '\n';
  for (std::size_t truth = 0; truth < evaluation.classes.size(); ++truth) {
    out += fmt::format("{:<{}}", fmt::format("{:>3} {}", truth, evaluation.classes[truth]), width);
    for (std::size_t said = 0; said < evaluation.classes.size(); ++said) {
      out += fmt::format("{:>10}", with_thousands(evaluation.confusion.count(truth, said)));
    }
    out += '\n';
  }
  return out;
}

std::string use_text(const Evaluation& evaluation) {
  if (evaluation.in_use.empty()) return "";
  std::string out = fmt::format("\nin use, {} flows a day\n{:<22}{:>14}  {:>13}  {:>12}  {:>12}\n",
                                with_thousands(static_cast<std::uint64_t>(evaluation.flows_a_day)),
                                "attacks among flows", "precision", "95 %", "alerts a day", "false");
  for (const auto& use : evaluation.in_use) {
    const bool none = std::isnan(use.at.precision);
    out += fmt::format("{:<22}{:>14}  {:>13}  {:>12}  {:>12}\n", shown_rate(use.at.base_rate),
                       none ? "-" : fmt::format("{:.4f}", use.at.precision),
                       std::isnan(use.precision_low) || std::isnan(use.precision_high)
                           ? "-"
                           : shown(Interval{use.precision_low, use.precision_high}),
                       with_thousands(static_cast<std::uint64_t>(std::llround(use.at.alerts_a_day))),
                       with_thousands(static_cast<std::uint64_t>(std::llround(use.at.false_alerts_a_day))));
  }
  out += "if recall and false-positive rate are there what they are here\n";
  return out;
}

std::string families_text(const Evaluation& evaluation) {
  if (evaluation.families.empty()) return "";
  const std::size_t width = name_width(evaluation.families);
  std::string out = fmt::format("\n{:<{}}  {:>9}  {:>9}  {:>15}\n", "family", width, "rows", "right", "95 %");
  for (const auto& figures : evaluation.families) {
    out += fmt::format("{:<{}}  {:>9}  {:>9}  {:>15}\n", figures.name, width, with_thousands(figures.support),
                       shown(figures.recall), shown(figures.recall_interval));
  }
  return out;
}

void pictures_to_json(const Evaluation& evaluation, JsonWriter& json) {
  json.key("curve");
  json.begin_array();
  for (const auto& point : evaluation.curve) {
    json.begin_object();
    json.field("threshold", point.threshold);
    json.field("hits", point.hits);
    json.field("false_alarms", point.false_alarms);
    json.end_object();
  }
  json.end_array();
  json.key("reliability");
  json.begin_array();
  if (evaluation.calibration) {
    for (const auto& bin : evaluation.calibration->bins) {
      json.begin_object();
      json.field("rows", bin.weight);
      json.field("mean_score", bin.mean_score);
      json.field("attack_share", bin.attack_share);
      json.end_object();
    }
  }
  json.end_array();
  if (evaluation.histogram) {
    for (const auto& [name, bins] : {std::pair("benign_scores", &evaluation.histogram->benign),
                                     std::pair("attack_scores", &evaluation.histogram->attacks)}) {
      json.key(name);
      json.begin_array();
      for (const auto count : *bins) json.value(count);
      json.end_array();
    }
  }
}

}  // namespace

std::string_view key(Figure figure) { return kNamings[static_cast<std::size_t>(figure)].key; }

std::string_view title(Figure figure) { return kNamings[static_cast<std::size_t>(figure)].title; }

std::optional<double> Evaluation::value(Figure figure) const {
  const auto at = [&](std::size_t i) {
    return i < recall_at.size() ? std::optional(recall_at[i].recall) : std::nullopt;
  };
  switch (figure) {
    case Figure::accuracy:
      return accuracy;
    case Figure::balanced_accuracy:
      return balanced_accuracy;
    case Figure::macro_f1:
      return macro_f1;
    case Figure::mcc:
      return mcc;
    case Figure::attack_recall:
      return attack_recall;
    case Figure::false_positive_rate:
      return false_positive_rate;
    case Figure::attack_precision:
      return attack_precision;
    case Figure::roc_auc:
      return roc_auc;
    case Figure::average_precision:
      return average_precision;
    case Figure::recall_at_1e2:
      return at(0);
    case Figure::recall_at_1e3:
      return at(1);
    case Figure::recall_at_1e4:
      return at(2);
    case Figure::brier:
      return brier;
    case Figure::calibration_error:
      return calibration_error;
  }
  CHECK(false);
  return std::nullopt;
}

std::string Evaluation::to_text() const {
  return figures_text(*this) + use_text(*this) + classes_text(*this) + confusion_text(*this) +
         families_text(*this);
}

std::string Resampled::to_text() const {
  return fmt::format("{} replicates of {} {}, seed {}", with_thousands(replicates), with_thousands(units),
                     by_group ? "groups" : "rows", seed);
}

void Resampled::add_fields(JsonWriter& json) const {
  json.field("replicates", replicates);
  json.field("units", units);
  json.field("by_group", by_group);
  json.field("seed", seed);
}

void Evaluation::to_json(JsonWriter& json, Pictures pictures) const {
  json.begin_object();
  json.field("rows", rows);
  json.field("attacks", attacks);
  put(json, "threshold", threshold);
  for (std::size_t i = 0; i < kFigures; ++i) {
    const auto figure = static_cast<Figure>(i);
    if (i - static_cast<std::size_t>(Figure::recall_at_1e2) >= kRates.size())
      put(json, key(figure), value(figure));
  }
  json.key("recall_at_rate");
  json.begin_array();
  for (const auto& point : recall_at) {
    json.begin_object();
    json.field("rate", point.rate);
    json.field("resolvable", point.resolvable);
    json.field("negatives_needed", point.negatives_needed);
    json.field("recall", point.recall);
    json.field("threshold", point.threshold);
    json.field("realised_rate", point.realised_rate);
    json.end_object();
  }
  json.end_array();
  if (resampled.replicates > 0) {
    json.key("intervals_95");
    json.begin_object();
    json.field("method", "percentile bootstrap; recall, precision and false-positive rate Wilson or wider");
    resampled.add_fields(json);
    for (std::size_t i = 0; i < kFigures; ++i) put(json, key(static_cast<Figure>(i)), intervals[i]);
    json.end_object();
  }
  json.key("in_use");
  json.begin_array();
  for (const auto& use : in_use) {
    json.begin_object();
    json.field("flows_a_day", flows_a_day);
    json.field("base_rate", use.at.base_rate);
    json.field("precision", use.at.precision);
    put(json, "precision_95", std::optional(Interval{use.precision_low, use.precision_high}));
    json.field("alerts_a_day", use.at.alerts_a_day);
    json.field("false_alerts_a_day", use.at.false_alerts_a_day);
    json.end_object();
  }
  json.end_array();
  json.key("operating_points");
  json.begin_array();
  for (const auto& point : operating_points) {
    json.begin_object();
    json.field("name", point.name);
    json.field("threshold", point.threshold);
    json.field("recall", point.recall);
    json.field("false_positive_rate", point.false_positive_rate);
    json.field("precision", point.precision);
    json.end_object();
  }
  json.end_array();
  put(json, "classes", by_class);
  json.key("confusion");
  json.begin_array();
  for (std::size_t truth = 0; truth < classes.size(); ++truth) {
    json.begin_array();
    for (std::size_t said = 0; said < classes.size(); ++said) json.value(confusion.count(truth, said));
    json.end_array();
  }
  json.end_array();
  put(json, "families", families);
  if (pictures == Pictures::yes) pictures_to_json(*this, json);
  json.end_object();
}

std::string Evaluation::to_json() const {
  std::string out;
  JsonWriter json(out);
  to_json(json);
  return out;
}

}  // namespace nidus::learn
