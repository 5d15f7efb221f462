#pragma once

#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <limits>
#include <vector>

#include "interop/artefact.h"

// For fuzz targets only.
namespace nidus::interop {

// Whatever the bytes were: refused with a reason, or a model whose scores of odd rows are numbers.
inline void expect_finite_scores(const Result<Artefact>& artefact) {
  if (!artefact) {
    if (artefact.error().message.empty()) std::abort();
    return;
  }
  const std::size_t inputs = artefact->model->inputs();
  if (inputs > 65536) return;
  std::vector<double> rows(inputs * 4);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i] = i % 7 == 0    ? std::numeric_limits<double>::quiet_NaN()
              : i % 11 == 0 ? std::numeric_limits<double>::infinity()
                            : static_cast<double>(i % 5);
  }
  for (const double score : model::all_scores(*artefact->model, rows, 4)) {
    if (!std::isfinite(score)) std::abort();
  }
}

}  // namespace nidus::interop
