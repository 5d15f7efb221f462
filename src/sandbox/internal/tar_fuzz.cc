// Whatever the bytes: no crash, and members that lie inside the archive under names without folders.
#include <cstdint>
#include <cstdlib>

#include "sandbox/internal/tar.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace nidus::sandbox::internal;
  const auto bytes = std::as_bytes(std::span(data, size));
  (void)is_tar(bytes);
  if (const auto members = read_tar(bytes)) {
    for (const auto& member : *members) {
      if (member.name.empty() || member.name.find('/') != std::string::npos) std::abort();
      if (member.bytes.empty()) continue;
      if (&member.bytes.front() < &bytes.front() || &member.bytes.back() > &bytes.back()) std::abort();
    }
  }
  (void)gunzip(bytes, 1u << 20);
  return 0;
}
