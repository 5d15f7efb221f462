#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

#include "base/check.h"

namespace nidus::flow {

// Up to `capacity` objects in one stretch of address space. The kernel gives memory page by page when an
// object is first used, so an idle meter is small and a full one has a known size. Freed objects are reused,
// the last freed first. Objects are plain data and start as zero bytes or as what their last user left.
template <class T>
class Pool {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  static constexpr std::uint32_t kNone = UINT32_MAX;

  explicit Pool(std::size_t capacity) : capacity_(capacity) {
    if (capacity == 0) return;
    void* memory = ::mmap(nullptr, capacity * sizeof(T), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    items_ = static_cast<T*>(memory);
    // Beyond the first few thousand flows every look-up would miss the TLB. The beginning keeps small pages,
    // so that a small capture costs little memory.
    constexpr std::size_t kHugePage = std::size_t{2} << 20;
    const auto begin = (reinterpret_cast<std::uintptr_t>(memory) + 2 * kHugePage - 1) & ~(kHugePage - 1);
    const auto end = reinterpret_cast<std::uintptr_t>(memory) + capacity * sizeof(T);
    if (end > begin + kHugePage) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() {
    if (items_ != nullptr) ::munmap(items_, capacity_ * sizeof(T));
  }

  bool full() const { return live_ == capacity_; }
  std::size_t live() const { return live_; }
  std::size_t bytes() const { return touched_ * sizeof(T); }

  // Precondition: not full. `free_link` names the member that chains free objects.
  template <std::uint32_t T::*free_link>
  std::uint32_t take() {
    CHECK(!full());
    ++live_;
    if (free_ != kNone) return std::exchange(free_, items_[free_].*free_link);
    return static_cast<std::uint32_t>(touched_++);
  }

  template <std::uint32_t T::*free_link>
  void give_back(std::uint32_t at) {
    items_[at].*free_link = free_;
    free_ = at;
    --live_;
  }

  T& operator[](std::uint32_t at) { return items_[at]; }
  const T& operator[](std::uint32_t at) const { return items_[at]; }

 private:
  T* items_ = nullptr;
  std::size_t capacity_;
  std::size_t touched_ = 0;
  std::size_t live_ = 0;
  std::uint32_t free_ = kNone;
};

// A doubly linked list through members of pooled objects; front is the oldest.
struct List {
  std::uint32_t front = UINT32_MAX;
  std::uint32_t back = UINT32_MAX;

  bool empty() const { return front == UINT32_MAX; }

  template <class T>
  void push_back(Pool<T>& pool, std::uint32_t at, std::uint32_t T::*previous, std::uint32_t T::*next) {
    pool[at].*previous = back;
    pool[at].*next = UINT32_MAX;
    if (back == UINT32_MAX) {
      front = at;
    } else {
      pool[back].*next = at;
    }
    back = at;
  }

  template <class T>
  void remove(Pool<T>& pool, std::uint32_t at, std::uint32_t T::*previous, std::uint32_t T::*next) {
    const std::uint32_t before = pool[at].*previous;
    const std::uint32_t after = pool[at].*next;
    if (before == UINT32_MAX) {
      front = after;
    } else {
      pool[before].*next = after;
    }
    if (after == UINT32_MAX) {
      back = before;
    } else {
      pool[after].*previous = before;
    }
  }
};

}  // namespace nidus::flow
