#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <new>
#include <utility>
#include <vector>

// Memory in pages of 2 MiB where the system has them. A forest of a million nodes fills two thousand pages
// of 4 KiB: each costs a fault when the model is loaded, and more of them than the processor can keep
// addresses of are walked through when it is used.
namespace nidus::model::internal {

template <class T>
struct HugePages {
  using value_type = T;
  HugePages() = default;
  template <class Other>
  HugePages(const HugePages<Other>&) {}  // NOLINT: implicit as allocators are

  static constexpr std::size_t kPage = std::size_t{2} << 20;

  T* allocate(std::size_t count) {
    const std::size_t bytes = count * sizeof(T);
    if (bytes < kPage) return static_cast<T*>(::operator new(bytes));
    const std::size_t whole = (bytes + kPage - 1) / kPage * kPage;
    void* const there = std::aligned_alloc(kPage, whole);
    if (there == nullptr) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
    ::madvise(there, whole, MADV_HUGEPAGE);  // a wish: what comes of it is seen in the time alone
#endif
    return static_cast<T*>(there);
  }
  void deallocate(T* there, std::size_t count) {
    if (count * sizeof(T) < kPage) return ::operator delete(there);
    std::free(there);
  }
  // A vector of numbers that is given a size holds anything until it is written.
  template <class Made>
  void construct(Made* there) {
    ::new (static_cast<void*>(there)) Made;
  }
  template <class Made, class... From>
  void construct(Made* there, From&&... from) {
    ::new (static_cast<void*>(there)) Made(std::forward<From>(from)...);
  }
  bool operator==(const HugePages&) const { return true; }
};

template <class T>
using HugeVector = std::vector<T, HugePages<T>>;

}  // namespace nidus::model::internal
