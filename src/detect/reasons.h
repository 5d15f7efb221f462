#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/json_writer.h"
#include "base/result.h"
#include "detect/detector.h"
#include "model/explain.h"

namespace nidus::detect {

// What one column does to the attack score of a row.
struct Reason {
  std::uint32_t column = 0;  // of Manifest::schema
  float value = 0;           // NaN: missing
  double contribution = 0;   // raises the score if above zero
};

// Why a row has its attack score: the base, the contributions of these columns and `rest`, that of all
// others, add up to it.
struct Explanation {
  double base = 0;
  double rest = 0;
  std::vector<Reason> reasons;  // largest contribution first, by magnitude; none is zero
};

// Explains what a detector says. Immutable, so one object may be used by any number of threads; copies share
// everything.
class Reasoner {
 public:
  // Errc::unsupported if the models of the detector cannot be explained.
  static Result<Reasoner> make(const Detector& detector);

  const Manifest& manifest() const { return detector_.manifest(); }
  std::size_t inputs() const { return detector_.inputs(); }

  // Of the detector's model, in units of the score.
  const model::Explainer& explainer() const { return explainer_; }

  // As model::explain_attack_score: count × (inputs() + 1) numbers, the base last.
  void contributions(std::span<const float> rows, std::size_t count, std::span<double> out) const;

  // The `most` largest of a row and its contributions.
  Explanation top(std::span<const float> row, std::span<const double> contributions, std::size_t most) const;

  // Between which values the middle nine tenths of the benign training rows lie; nothing for a category or if
  // the detector does not say.
  std::optional<std::pair<double, double>> usual(std::uint32_t column) const;

  // The parts of text(): "12,400", the name of a category, "missing"; and "0.3 to 85", empty if not known.
  std::string value_text(const Reason& reason) const;
  std::string usual_text(std::uint32_t column) const;

  // "flow_pkts_s 12,400 (usually 0.3 to 85) raises".
  std::string text(const Reason& reason) const;
  // All of them, with "; " between.
  std::string text(const Explanation& explanation) const;
  // An object: base, rest and reasons.
  void json(const Explanation& explanation, JsonWriter& out) const;

 private:
  Reasoner(Detector detector, model::Explainer explainer);

  Detector detector_;
  model::Explainer explainer_;
  std::optional<std::size_t> low_, high_;  // which of the reference levels the usual range is
};

// A number as people read it: "12,400", "85", "0.3", "1.2e-05".
std::string plain_number(double value);

}  // namespace nidus::detect
