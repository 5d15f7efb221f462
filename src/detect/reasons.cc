#include "detect/reasons.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/text.h"

namespace nidus::detect {

Reasoner::Reasoner(Detector detector, model::Explainer explainer)
    : detector_(std::move(detector)), explainer_(std::move(explainer)) {
  const auto& levels = manifest().reference_levels;
  const auto place = [&](double level) -> std::optional<std::size_t> {
    const auto found = std::find(levels.begin(), levels.end(), level);
    if (found == levels.end()) return std::nullopt;
    return static_cast<std::size_t>(found - levels.begin());
  };
  low_ = place(0.05);
  high_ = place(0.95);
}

Result<Reasoner> Reasoner::make(const Detector& detector) {
  auto explainer = model::Explainer::make(detector.shared_model(), model::Explainer::Unit::score);
  if (!explainer) {
    return Error{explainer.error().code, fmt::format("detector {} cannot explain itself: {}",
                                                     detector.manifest().name, explainer.error().message)};
  }
  return Reasoner(detector, std::move(*explainer));
}

void Reasoner::contributions(std::span<const float> rows, std::size_t count, std::span<double> out) const {
  model::explain_attack_score(explainer_, rows, count, out);
}

Explanation Reasoner::top(std::span<const float> row, std::span<const double> contributions,
                          std::size_t most) const {
  const std::size_t inputs = this->inputs();
  CHECK(row.size() == inputs && contributions.size() == inputs + 1);
  Explanation out;
  out.base = contributions[inputs];
  for (std::size_t i = 0; i < inputs; ++i) {
    if (contributions[i] != 0)
      out.reasons.push_back({static_cast<std::uint32_t>(i), row[i], contributions[i]});
  }
  const auto kept = std::min(most, out.reasons.size());
  std::partial_sort(out.reasons.begin(), out.reasons.begin() + static_cast<std::ptrdiff_t>(kept),
                    out.reasons.end(), [](const Reason& a, const Reason& b) {
                      const double left = std::abs(a.contribution), right = std::abs(b.contribution);
                      return left != right ? left > right : a.column < b.column;
                    });
  for (std::size_t i = kept; i < out.reasons.size(); ++i) out.rest += out.reasons[i].contribution;
  out.reasons.resize(kept);
  return out;
}

std::optional<std::pair<double, double>> Reasoner::usual(std::uint32_t column) const {
  const auto& reference = manifest().reference;
  if (!low_ || !high_ || column >= reference.size()) return std::nullopt;
  const auto& quantiles = reference[column];
  if (quantiles.size() != manifest().reference_levels.size()) return std::nullopt;
  return std::pair(quantiles[*low_], quantiles[*high_]);
}

std::string plain_number(double value) {
  if (!std::isfinite(value)) return fmt::format("{}", value);
  const double size = std::abs(value);
  if (size >= 1000 && size < 1e15) {
    return (value < 0 ? "-" : "") + with_thousands(static_cast<std::uint64_t>(std::llround(size)));
  }
  return fmt::format("{:.3g}", value);
}

std::string Reasoner::value_text(const Reason& reason) const {
  const model::Column& column = manifest().schema[reason.column];
  const bool is_category = column.kind == model::Column::Kind::categorical;
  if (is_category && reason.value >= 0 && reason.value < static_cast<float>(column.vocabulary.size()))
    return column.vocabulary[static_cast<std::size_t>(reason.value)];
  if (std::isnan(reason.value)) return is_category ? "unknown" : "missing";
  return plain_number(static_cast<double>(reason.value));
}

std::string Reasoner::usual_text(std::uint32_t column) const {
  const auto range = usual(column);
  if (!range) return "";
  const std::string low = plain_number(range->first), high = plain_number(range->second);
  return low == high ? low : low + " to " + high;
}

std::string Reasoner::text(const Reason& reason) const {
  std::string out = manifest().schema[reason.column].name + " " + value_text(reason);
  if (const std::string range = usual_text(reason.column); !range.empty()) out += " (usually " + range + ")";
  return out + (reason.contribution > 0 ? " raises" : " lowers");
}

std::string Reasoner::text(const Explanation& explanation) const {
  std::string out;
  for (const Reason& reason : explanation.reasons) out += (out.empty() ? "" : "; ") + text(reason);
  return out;
}

void Reasoner::json(const Explanation& explanation, JsonWriter& out) const {
  out.begin_object();
  out.field("base", explanation.base);
  out.key("reasons");
  out.begin_array();
  for (const Reason& reason : explanation.reasons) {
    const model::Column& column = manifest().schema[reason.column];
    out.begin_object();
    out.field("feature", column.name);
    out.key("value");
    if (column.kind == model::Column::Kind::categorical && reason.value >= 0 &&
        reason.value < static_cast<float>(column.vocabulary.size())) {
      out.value(column.vocabulary[static_cast<std::size_t>(reason.value)]);
    } else {
      out.value(static_cast<double>(reason.value));
    }
    if (const auto range = usual(reason.column)) {
      out.field("usual_low", range->first);
      out.field("usual_high", range->second);
    }
    out.field("contribution", reason.contribution);
    out.end_object();
  }
  out.end_array();
  out.field("rest", explanation.rest);
  out.end_object();
}

}  // namespace nidus::detect
