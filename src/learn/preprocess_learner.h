#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "learn/dataset.h"
#include "model/preprocess.h"

namespace nidus::learn {

struct PreprocessOptions {
  enum class Scaling : std::uint8_t {
    none,
    standard,  // mean 0, deviation 1
    min_max,   // from 0 to 1
    robust,    // median 0; the middle half of the rows, where that is a single number the middle 90 %, is 1
               // wide
  };
  Scaling scaling = Scaling::none;
  bool log = false;            // numeric columns: the signed logarithm of 1 + |x| before they are scaled
  bool one_hot = false;        // categorical columns; otherwise they stay the index of the category
  bool fill_missing = false;   // numeric columns: with the median of the rows
  double reach = 0;            // numeric columns: at most so far from 0 when they are scaled; 0: no limit
  bool clip_to_range = false;  // numeric columns: to the range of the rows; infinities are always clipped
};

// Learns the steps from these rows, and only these.
Result<model::Preprocessor> learn_preprocessor(const Dataset& training, const PreprocessOptions& options);

// The rows behind the preprocessor, with a schema of its output columns ("flag=SF" for one-hot).
Dataset preprocess(const model::Preprocessor& before, const Dataset& dataset);

}  // namespace nidus::learn
