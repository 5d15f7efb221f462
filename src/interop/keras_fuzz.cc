#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "interop/keras.h"
#include "model/model.h"

// Whatever the bytes: refused, or a model that can be asked.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto artefact = nidus::interop::read_keras(std::as_bytes(std::span(data, size)));
  if (!artefact) {
    if (artefact.error().message.empty()) std::abort();
    return 0;
  }
  if (artefact->model == nullptr) std::abort();
  const std::vector<float> rows(2 * artefact->model->inputs(), 0.5f);
  (void)nidus::model::all_scores(*artefact->model, rows, 2);
  return 0;
}
