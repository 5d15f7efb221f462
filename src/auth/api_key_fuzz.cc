#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "auth/api_key.h"

// Whatever the bytes: no crash, and a key is written in one way only.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto key = nidus::auth::parse_api_key(text);
  if (key && text != "nidus_live_" + std::string(key->id) + "_" + std::string(key->secret)) std::abort();
  return 0;
}
