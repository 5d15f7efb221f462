// Whatever the bytes: no crash, and what is accepted is read the same again from what is written of it.
#include <cstdlib>
#include <string_view>

#include "serve/deployment.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto deployment = nidus::serve::parse_deployment({reinterpret_cast<const char*>(data), size});
  if (!deployment) return 0;
  const auto again = nidus::serve::parse_deployment(to_json(*deployment));
  if (!again || *again != *deployment) std::abort();
  return 0;
}
