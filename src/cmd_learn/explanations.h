#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "cmd_learn/labelled_rows.h"
#include "detect/detector.h"
#include "detect/reasons.h"
#include "learn/explained.h"
#include "learn/importance.h"

// What `nidus explain` and `nidus evaluate --explain` say of a detector alike.
namespace nidus::cmd {

// The importance of the detector's columns with a progress bar, the most important first. `rows` row-major;
// `is_attack` may be empty. Errc::exhausted when interrupted.
Result<std::vector<learn::FeatureImportance>> importance_of(const detect::Reasoner& reasoner,
                                                            const model::Model& model,
                                                            std::span<const float> rows,
                                                            std::span<const std::uint8_t> is_attack,
                                                            std::uint64_t seed, std::uint64_t threads);

// The rows of these numbers, one behind the other.
std::vector<float> rows_at(std::span<const float> rows, std::size_t width,
                           std::span<const std::size_t> chosen);

// Rows with what a detector made of them.
struct ExplainedRows {
  const LabelledRows& rows;             // with subjects
  std::span<const std::string> inputs;  // their files
  std::span<const double> scores;       // attack scores
  std::span<const std::uint8_t> is_attack;
};

// Importance over at most `most` rows (0: all), drawn by the seed, and the worst mistakes among all of them.
Result<learn::Explained> explain_judged(const detect::Detector& detector, const ExplainedRows& judged,
                                        std::uint64_t most, std::uint64_t seed, std::uint64_t threads);

}  // namespace nidus::cmd
