#include "interop/catboost.h"

#include <cstdint>
#include <span>

#include "interop/fuzzing.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  nidus::interop::expect_finite_scores(nidus::interop::read_catboost(std::as_bytes(std::span(data, size))));
  return 0;
}
