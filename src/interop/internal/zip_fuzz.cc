#include <cstdint>
#include <cstdlib>
#include <span>

#include "interop/internal/zip.h"

// Whatever the bytes: no crash, and members that lie inside them.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using nidus::interop::internal::Zip;
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto zip = Zip::open(bytes);
  if (!zip) return 0;
  for (const auto& member : zip->members()) {
    if (!member.packed.empty() &&
        (&member.packed.front() < &bytes.front() || &member.packed.back() > &bytes.back()))
      std::abort();
    const auto contents = Zip::read(member, 1 << 24);
    if (contents && contents->bytes().size() != member.size) std::abort();
    if (zip->find(member.name) == nullptr) std::abort();
  }
  return 0;
}
