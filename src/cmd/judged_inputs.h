#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "detect/detector.h"

// Captures and tables without labels, row by row as a detector sees them.
namespace nidus::cmd {

// Valid during the call only.
struct JudgedRows {
  std::size_t input = 0;                      // which of the inputs
  std::span<const float> values;              // row-major, in the columns of the schema
  std::span<const detect::Verdict> verdicts;  // one for each row
  std::span<const double> times;              // when each began: seconds since 1970, NaN if that is not known
};

struct JudgedInputs {
  std::uint64_t rows = 0;
  int status = 0;  // an ExitStatus: kBadInput when an input broke off or rows were left out
  std::vector<std::uint64_t> unknown;  // by column: texts that are not in the vocabulary; tables only
};

// Reads one input after the other in bounded memory and hands out blocks of rows in their order. Detectors
// that judge tables only refuse captures, and tables metered in another way are refused unless `any_profile`.
// What was wrong with an input but no hindrance is said on stderr. Errc::io when interrupted.
Result<JudgedInputs> judge_inputs(const detect::Detector& detector, const std::vector<std::string>& inputs,
                                  std::uint64_t threads, bool any_profile,
                                  const std::function<void(const JudgedRows&)>& sink);

}  // namespace nidus::cmd
