#pragma once

#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "learn/dataset.h"
#include "model/distances.h"
#include "model/histogram_sums.h"

// Detectors of benign rows that are fitted in moments: what everything dearer has to beat. They learn from
// all rows that they are given and never look at a label. The same model for the same rows, options and seed,
// whatever the number of threads.
namespace nidus::learn {

struct FittedMahalanobis {
  model::Mahalanobis model;
  double shrinkage = 0;  // 0: the covariance of the rows, 1: none between columns and the same for all
};

// The squared Mahalanobis distance to the rows' mean. Columns are divided by their deviations and held within
// ten of them, as rare values would otherwise stretch the distances of benign rows and hide what is odd;
// their covariance is shrunk as Ledoit and Wolf (2004) do, so that it can be inverted although columns are
// constant or follow from others; and the division is undone in the result. A constant column counts by what
// shrinking leaves it: any change of it is far. threads: 0 is all processors.
//
// Errc::invalid for fewer than two rows, a value that is missing or infinite, or no column that varies;
// Errc::unsupported for more than model::Mahalanobis::kInputsMax columns.
Result<FittedMahalanobis> fit_mahalanobis(const Dataset& training, std::size_t threads = 0);

struct HistogramOptions {
  // Of a numeric column between its lowest and highest value, equally wide in signed logarithms.
  std::size_t bins = 10;
};

// Minus the logarithm of the share of rows in each bin, one row added to each so that none is infinite. Takes
// rows as they come: categories by their index, NaN for what is missing. Errc::invalid for no rows or no
// bins.
Result<model::HistogramSums> fit_histogram(const Dataset& training, const HistogramOptions& options = {});

struct NeighboursOptions {
  std::size_t nearest = 5;
  std::size_t sample = 5000;  // rows kept, drawn by the seed; scoring takes time in proportion
  std::uint64_t seed = 1;
};

// The distance to the k-th nearest of a sample of the rows. Errc::invalid for fewer rows than neighbours, or
// a value that is missing or infinite.
Result<model::Neighbours> fit_neighbours(const Dataset& training, const NeighboursOptions& options = {});

}  // namespace nidus::learn
