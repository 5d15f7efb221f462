#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "interop/torch.h"
#include "model/model.h"

// Whatever the bytes: refused in words, or a model that can be asked.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace nidus;
  const auto bytes = std::as_bytes(std::span(data, size));
  for (const char* architecture : {"", "input 1 30"}) {
    const auto artefact = interop::looks_like_safetensors(bytes)
                              ? interop::read_safetensors(bytes, {architecture})
                              : interop::read_torch(bytes, {architecture});
    if (!artefact) {
      if (artefact.error().message.empty()) std::abort();
      continue;
    }
    if (artefact->model == nullptr) std::abort();
    const std::vector<float> rows(2 * artefact->model->inputs(), 0.5f);
    (void)model::all_scores(*artefact->model, rows, 2);
  }
  return 0;
}
