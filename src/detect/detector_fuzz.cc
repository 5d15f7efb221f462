// Whatever the bytes of a manifest: no crash, and one that is read says the same when it is written and read
// again.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "detect/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace nidus::detect;
  const auto manifest = parse_manifest({reinterpret_cast<const char*>(data), size});
  if (!manifest) return 0;
  const std::string once = to_json(*manifest);
  const auto again = parse_manifest(once);
  if (!again || to_json(*again) != once) std::abort();
  return 0;
}
