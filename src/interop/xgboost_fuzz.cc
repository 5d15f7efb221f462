#include "interop/xgboost.h"

#include <cstdint>
#include <span>

#include "interop/fuzzing.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  nidus::interop::XgboostOptions options;
  if (size > 0 && data[size - 1] % 2 == 1) options.rounds = nidus::interop::XgboostOptions::Rounds::best;
  if (size > 1 && data[size - 2] % 4 == 1) options.missing = static_cast<float>(data[size - 2]);
  nidus::interop::expect_finite_scores(
      nidus::interop::read_xgboost(std::as_bytes(std::span(data, size)), options));
  return 0;
}
