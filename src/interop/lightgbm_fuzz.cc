#include "interop/lightgbm.h"

#include <cstdint>
#include <span>

#include "interop/fuzzing.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  nidus::interop::expect_finite_scores(
      nidus::interop::read_lightgbm({reinterpret_cast<const char*>(data), size}));
  return 0;
}
