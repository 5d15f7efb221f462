#include "data/column_memory.h"

#include <sys/mman.h>

namespace nidus::data::internal {

void* map_block(std::size_t bytes) {
  void* const block = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (block == MAP_FAILED) throw std::bad_alloc();
  // Only advice: whether it is taken changes nothing but the time.
  ::madvise(block, bytes, MADV_HUGEPAGE);
  return block;
}

void unmap_block(void* block, std::size_t bytes) { ::munmap(block, bytes); }

}  // namespace nidus::data::internal
