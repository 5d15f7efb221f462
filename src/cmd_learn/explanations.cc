#include "cmd_learn/explanations.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/text.h"
#include "cmd/terminal.h"
#include "data/table.h"

namespace nidus::cmd {
namespace {

constexpr std::size_t kReasons = 5, kMistakesEach = 4, kLabels = 20;

// "row 17 of test.csv: 10.0.0.1:4000 to 10.0.0.2:80, TCP".
std::string where_text(const ExplainedRows& judged, std::size_t row) {
  const detect::Subject& subject = judged.rows.subjects[row];
  const std::filesystem::path input = judged.inputs[judged.rows.input_of[row]];
  std::string out = fmt::format("{} {} of {}", judged.rows.are_flows ? "flow" : "row",
                                with_thousands(subject.number), input.filename().string());
  if (subject.has_addresses) {
    out += fmt::format(": {} to {}", source_text(subject), destination_text(subject));
    if (subject.has_protocol) out += ", " + detect::protocol_text(subject.tuple.protocol);
  }
  return out;
}

learn::ExplainedMistake explain_row(const detect::Reasoner& reasoner, const ExplainedRows& judged,
                                    const learn::Mistake& mistake) {
  const std::size_t width = reasoner.inputs();
  const auto row = std::span(judged.rows.values).subspan(mistake.row * width, width);
  std::vector<double> contributions(width + 1);
  reasoner.contributions(row, 1, contributions);
  const detect::Explanation why = reasoner.top(row, contributions, kReasons);
  learn::ExplainedMistake out;
  out.where = where_text(judged, mistake.row);
  out.alike = mistake.alike;
  out.score = judged.scores[mistake.row];
  out.base = why.base;
  out.rest = why.rest;
  for (const auto& reason : why.reasons) {
    out.reasons.push_back({reasoner.manifest().schema[reason.column].name, reasoner.value_text(reason),
                           reasoner.usual_text(reason.column), reason.contribution});
  }
  JsonWriter json(out.json);
  reasoner.json(why, json);
  return out;
}

}  // namespace

Result<std::vector<learn::FeatureImportance>> importance_of(const detect::Reasoner& reasoner,
                                                            const model::Model& model,
                                                            std::span<const float> rows,
                                                            std::span<const std::uint8_t> is_attack,
                                                            std::uint64_t seed, std::uint64_t threads) {
  ProgressBar bar("explanation");
  learn::ImportanceOptions options;
  options.seed = seed;
  options.threads = threads;
  options.progress = [&](double done) {
    bar.show(done);
    return !interrupted();
  };
  const auto found = learn::measure_importance(model, reasoner.explainer(), rows, is_attack, options);
  if (!found) return found.error();
  std::vector<learn::FeatureImportance> out;
  for (const auto column : found->order()) {
    auto& each = out.emplace_back();
    each.feature = reasoner.manifest().schema[column].name;
    each.contribution = found->contribution[column];
    each.gain = found->gain[column];
    if (!found->permutation.empty()) each.permutation = found->permutation[column];
  }
  return out;
}

std::vector<float> rows_at(std::span<const float> rows, std::size_t width,
                           std::span<const std::size_t> chosen) {
  std::vector<float> out;
  out.reserve(chosen.size() * width);
  for (const auto row : chosen) {
    const auto values = rows.subspan(row * width, width);
    out.insert(out.end(), values.begin(), values.end());
  }
  return out;
}

Result<learn::Explained> explain_judged(const detect::Detector& detector, const ExplainedRows& judged,
                                        std::uint64_t most, std::uint64_t seed, std::uint64_t threads) {
  const auto reasoner = detect::Reasoner::make(detector);
  if (!reasoner) return reasoner.error();
  const LabelledRows& rows = judged.rows;
  const auto chosen = learn::choose_rows(rows.rows(), most, seed);
  std::vector<std::uint8_t> is_attack;
  for (const auto row : chosen) is_attack.push_back(judged.is_attack[row]);
  auto features = importance_of(*reasoner, detector.model(), rows_at(rows.values, detector.inputs(), chosen),
                                is_attack, seed, threads);
  if (!features) return std::move(features).error();
  learn::Explained out;
  out.rows = chosen.size();
  out.rows_there = rows.rows();
  out.features = std::move(*features);

  // By what the data calls the attack, else by its label.
  Names names;
  std::vector<std::uint32_t> labels;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    labels.push_back(names.code(rows.attacks[row] == data::kMissing ? rows.label_names[rows.labels[row]]
                                                                    : rows.attack_names[rows.attacks[row]]));
  }
  learn::Judgements judgements;
  judgements.rows = rows.values;
  judgements.scores = judged.scores;
  judgements.is_attack = judged.is_attack;
  judgements.labels = labels;
  judgements.threshold = detector.manifest().threshold.value;
  for (const auto& each : learn::worst_mistakes(judgements, kMistakesEach)) {
    if (out.mistakes.size() == kLabels) {
      ++out.labels_left_out;
      continue;
    }
    auto& label = out.mistakes.emplace_back();
    label.label = names[each.label];
    label.is_attack = each.is_attack;
    label.rows = each.rows;
    label.wrong = each.wrong;
    for (const auto& mistake : each.worst) label.worst.push_back(explain_row(*reasoner, judged, mistake));
  }
  return out;
}

}  // namespace nidus::cmd
