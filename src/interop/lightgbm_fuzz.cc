#include "interop/lightgbm.h"

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

// Whatever the bytes: refused, or a model whose scores are numbers.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto artefact = nidus::interop::read_lightgbm({reinterpret_cast<const char*>(data), size});
  if (!artefact) {
    if (artefact.error().message.empty()) std::abort();
    return 0;
  }
  const std::size_t inputs = artefact->model->inputs();
  if (inputs > 65536) return 0;
  std::vector<double> rows(inputs * 4);
  for (std::size_t i = 0; i < rows.size(); ++i)
    rows[i] = i % 7 == 0 ? std::nan("") : i % 11 == 0 ? double{INFINITY} : static_cast<double>(i % 5);
  for (const double score : nidus::model::all_scores(*artefact->model, rows, 4)) {
    if (!std::isfinite(score)) std::abort();
  }
  return 0;
}
