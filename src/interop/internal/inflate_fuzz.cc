#include <cstdint>
#include <cstdlib>
#include <span>

#include "interop/internal/inflate.h"

// Whatever the bytes: refused, or unpacked to no more than was allowed.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kLimit = 1 << 22;
  const auto plain = nidus::interop::internal::inflate(std::as_bytes(std::span(data, size)), kLimit);
  if (plain && plain->size() > kLimit) std::abort();
  return 0;
}
