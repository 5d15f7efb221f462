#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <utility>

// Where the numbers of columns lie: an allocator for std::vector.
//
// A table is written once from end to end, so what its memory costs is what the kernel takes for handing it
// out, which page by page was a quarter of the time of reading a file. Large blocks are therefore mapped by
// themselves and ask for huge pages. They have no header in front, unlike those of malloc: blocks mapped one
// after the other and not written to in between lie side by side and share huge pages, even where each is
// smaller than one.
//
// Elements that resize() adds are not set to anything.
namespace nidus::data {

namespace internal {
void* map_block(std::size_t bytes);  // throws std::bad_alloc
void unmap_block(void* block, std::size_t bytes);
}  // namespace internal

template <class T>
class ColumnMemory {
 public:
  using value_type = T;

  ColumnMemory() = default;
  template <class U>
  explicit(false) ColumnMemory(const ColumnMemory<U>&) {}

  T* allocate(std::size_t count) {
    if (count < kMapped) return std::allocator<T>().allocate(count);
    if (count > static_cast<std::size_t>(-1) / 2 / sizeof(T)) throw std::bad_array_new_length();
    return static_cast<T*>(internal::map_block(count * sizeof(T)));
  }
  void deallocate(T* block, std::size_t count) {
    if (count < kMapped) {
      std::allocator<T>().deallocate(block, count);
    } else {
      internal::unmap_block(block, count * sizeof(T));
    }
  }

  template <class U, class... Arguments>
  void construct(U* at, Arguments&&... arguments) {
    if constexpr (sizeof...(Arguments) == 0) {
      ::new (static_cast<void*>(at)) U;
    } else {
      ::new (static_cast<void*>(at)) U(std::forward<Arguments>(arguments)...);
    }
  }

  bool operator==(const ColumnMemory&) const = default;

 private:
  static constexpr std::size_t kMapped = (std::size_t{64} << 10) / sizeof(T);
};

}  // namespace nidus::data
