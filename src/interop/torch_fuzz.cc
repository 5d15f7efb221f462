#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "interop/torch.h"
#include "model/model.h"

// Whatever the bytes: refused in words, or a model that can be asked.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace nidus;
  const auto bytes = std::as_bytes(std::span(data, size));
  std::string confirmed = "linear";
  for (const std::string_view words : {"", "input 1 30", "confirmed"}) {
    const std::string architecture(words == "confirmed" ? confirmed : words);
    const auto artefact = interop::looks_like_safetensors(bytes)
                              ? interop::read_safetensors(bytes, {architecture})
                              : interop::read_torch(bytes, {architecture});
    if (!artefact) {
      const std::string& message = artefact.error().message;
      if (message.empty()) std::abort();
      constexpr std::string_view kBefore = "(--layers): ";  // what a person is asked to confirm
      if (const auto at = message.find(kBefore); at != std::string::npos)
        confirmed = message.substr(at + kBefore.size());
      continue;
    }
    if (artefact->model == nullptr) std::abort();
    const std::vector<float> rows(2 * artefact->model->inputs(), 0.5f);
    (void)model::all_scores(*artefact->model, rows, 2);
  }
  return 0;
}
