#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <span>
#include <vector>

#include "interop/onnx.h"
#include "model/model.h"

// Whatever the bytes: a refusal, or a model whose rows do not depend on each other.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace nidus;
  const auto read = interop::read_onnx(std::as_bytes(std::span(data, size)));
  if (!read) {
    if (read.error().message.empty()) std::abort();
    return 0;
  }
  const std::size_t inputs = read->model       ? read->model->inputs()
                             : read->transform ? read->transform->inputs()
                                               : 0;
  if (inputs == 0 || inputs > 256) return 0;
  std::vector<double> rows(3 * inputs);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<double>(i % 7) - 3;
  rows[0] = std::numeric_limits<double>::quiet_NaN();
  rows[inputs] = std::numeric_limits<double>::infinity();
  if (read->model) {
    if (read->model->outputs() > 4096) return 0;
    const auto all = model::all_scores(*read->model, std::span<const double>(rows), 3);
    const auto last = model::all_scores(*read->model, std::span<const double>(rows).subspan(2 * inputs), 1);
    for (std::size_t k = 0; k < last.size(); ++k) {
      const double together = all[2 * last.size() + k];
      if (together != last[k] && !(std::isnan(together) && std::isnan(last[k]))) std::abort();
    }
  } else if (read->transform->outputs() <= 4096) {
    std::vector<double> out(3 * read->transform->outputs());
    read->transform->apply(rows, 3, out);
  }
  return 0;
}
