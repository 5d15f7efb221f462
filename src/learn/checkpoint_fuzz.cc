// Whatever the bytes of a checkpoint: no crash, what was read of it is what its first bytes say, and a tree
// in it is read or refused.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "learn/checkpoint.h"
#include "learn/internal/tree_grower.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace nidus::learn;
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto content = parse_checkpoint(bytes);
  if (!content) return 0;
  if (content->bytes > size) std::abort();
  const auto again = parse_checkpoint(bytes.first(content->bytes));
  if (!again || again->records.size() != content->records.size() || again->bytes != content->bytes)
    std::abort();
  for (const auto& record : content->records) {
    for (const std::size_t width : {1u, 3u}) {
      const auto tree = internal::tree_from_bytes(record.bytes, width);
      if (tree && internal::to_bytes(*tree) != record.bytes) std::abort();
    }
    for (const std::size_t trees : {1u, 3u}) {
      const auto round = internal::round_from_bytes(record.bytes, trees);
      if (round && internal::round_to_bytes(*round) != record.bytes) std::abort();
    }
  }
  return 0;
}
