#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/result.h"
#include "learn/dataset.h"
#include "model/calibration.h"

// Curves that make probabilities of scores, fitted on rows that the model did not learn from: of rows with a
// score of 0.8 eight in ten shall be attacks. They keep the order of rows (isotonic: with ties), and hold for
// a mixture like that of the rows they were fitted on.
namespace nidus::learn {

enum class ProbabilityMethod : std::uint8_t {
  isotonic,  // steps that never fall: any shape, wants a thousand rows of either side
  platt,     // one logistic curve: two numbers, for few rows
};
std::string_view name(ProbabilityMethod method);

// The non-decreasing function of the score with the least squared error (pool adjacent violators: Ayer et al.
// 1955), as its corners, straight lines between; rows with equal scores count together. The same as
// scikit-learn's IsotonicRegression(out_of_bounds="clip"). `weights` as in metrics.h. Errc::invalid for
// scores that are no numbers, and unless there are rows of either side.
Result<model::Calibration::Curve> fit_isotonic(std::span<const double> scores,
                                               std::span<const std::uint8_t> positive,
                                               std::span<const double> weights = {});

// 1 / (1 + exp(a score + b)), by maximum likelihood with Platt's targets (Platt 1999), by Newton's method
// with backtracking (Lin, Lin and Weng 2007). The same as scikit-learn's sigmoid calibration. Errors as
// above.
Result<model::Calibration::Curve> fit_platt(std::span<const double> scores,
                                            std::span<const std::uint8_t> positive,
                                            std::span<const double> weights = {});

// The model behind the curves, which keep the order of rows to a millionth: one with two classes, else one
// for each class against the rest, and the results divided by their sum. Errc::invalid if a class has no row
// among these, or all are of one class.
Result<std::shared_ptr<const model::Model>> calibrated(std::shared_ptr<const model::Model> model,
                                                       const Dataset& rows, ProbabilityMethod method);

// A curve for rows of which another share is attacks than of those that its probabilities hold for (Saerens,
// Latinne and Decaestecker 2002): odds are multiplied by those of the new share over those of the old. Both
// between 0 and 1, excluded.
double at_prior(double probability, double share_then, double share_now);
model::Calibration::Curve at_prior(model::Calibration::Curve curve, double share_then, double share_now);

// Where a curve is flat, or ends before 0 or 1, it ties rows that the score told apart, and a line could no
// longer be drawn between them. This gives it a slope of a millionth; of a curve over scores that are not
// between 0 and 1, nothing changes.
void keep_order(model::Calibration::Curve& curve);

}  // namespace nidus::learn
