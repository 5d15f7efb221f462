#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"

namespace nidus::learn {

// Where the line is drawn, and what that costs on the rows it was drawn by.
struct Threshold {
  double value = 0;           // attack when score >= value
  double wanted_rate = 0;     // of benign rows taken for attacks
  double realised_rate = 0;   // on the validation rows; at most wanted_rate
  std::uint64_t benign = 0;   // validation rows
  std::uint64_t allowed = 0;  // of them, taken for attacks
  // False when fewer than ten rows may be taken for attacks: the rate is then hardly more than a guess.
  bool resolvable = false;
};

// The lowest threshold at which no more than `rate` of the benign scores are attacks. It lies in the middle
// between two scores that occurred, so that rounding elsewhere does not flip a verdict. Errc::invalid without
// scores, with a NaN among them, or for a rate outside [0, 1].
Result<Threshold> threshold_at_rate(std::span<const double> benign_scores, double rate);

}  // namespace nidus::learn
