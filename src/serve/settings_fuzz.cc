// Whatever the bytes: no crash, and what is accepted has ports that are ports and weights that are weights.
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "serve/settings.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto settings = nidus::serve::parse_settings({reinterpret_cast<const char*>(data), size});
  if (!settings) return 0;
  if (settings->server.port > 65535) std::abort();
  for (const auto& [name, weights] : settings->configurations) {
    for (const auto& [member, weight] : weights) {
      if (!(weight >= 0) || !std::isfinite(weight)) std::abort();
    }
  }
  for (const auto& detector : settings->detector_list) {
    if (detector.path.empty()) std::abort();
  }
  return 0;
}
