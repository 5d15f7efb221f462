#include "interop/xgboost.h"

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <vector>

// Whatever the bytes: refused, or a model whose scores are numbers.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  nidus::interop::XgboostOptions options;
  if (size > 0 && data[size - 1] % 2 == 1) options.rounds = nidus::interop::XgboostOptions::Rounds::best;
  if (size > 1 && data[size - 2] % 4 == 1) options.missing = static_cast<float>(data[size - 2]);
  const auto artefact = nidus::interop::read_xgboost(std::as_bytes(std::span(data, size)), options);
  if (!artefact) {
    if (artefact.error().message.empty()) std::abort();
    return 0;
  }
  const std::size_t inputs = artefact->model->inputs();
  std::vector<float> rows(inputs * 4);
  for (std::size_t i = 0; i < rows.size(); ++i)
    rows[i] = i % 7 == 0 ? std::nanf("") : i % 11 == 0 ? INFINITY : static_cast<float>(i % 5);
  for (const double score : nidus::model::all_scores(*artefact->model, rows, 4)) {
    if (!std::isfinite(score)) std::abort();
  }
  return 0;
}
