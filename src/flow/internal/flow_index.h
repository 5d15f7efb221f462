#pragma once

#include <immintrin.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "base/check.h"

namespace nidus::flow {

// Finds the slot of a flow by hash: buckets of one cache line, eight 16-bit tags compared at once, eight
// slots. What does not fit goes to the next bucket; each bucket counts how many entries wanted it and went
// on, so a search ends early and deleting leaves no tombstones. Knows nothing of tuples: the caller compares
// them.
class FlowIndex {
 public:
  explicit FlowIndex(std::uint64_t seed) : seed_(seed), buckets_(kFirstBuckets) {}

  std::uint64_t seed() const { return seed_; }
  std::size_t bytes() const { return buckets_.size() * sizeof(Bucket); }
  void prefetch(std::uint64_t hash) const { __builtin_prefetch(&buckets_[home(hash)]); }

  // Calls same(slot) for every slot that may be the one, until it returns true.
  template <class Same>
  std::uint32_t find(std::uint64_t hash, Same same) const {
    const std::uint16_t tag = tag_of(hash);
    for (std::size_t at = home(hash);; at = next(at)) {
      const Bucket& bucket = buckets_[at];
      for (unsigned mask = matches(bucket, tag); mask != 0; mask &= mask - 1) {
        const std::uint32_t slot = bucket.slot[__builtin_ctz(mask)];
        if (same(slot)) return slot;
      }
      if (bucket.passed == 0) return kNone;
    }
  }

  // The first slot with this tag in the home bucket: where a search will most likely end. For prefetching.
  std::uint32_t guess(std::uint64_t hash) const {
    const Bucket& bucket = buckets_[home(hash)];
    const unsigned mask = matches(bucket, tag_of(hash));
    return mask == 0 ? kNone : bucket.slot[__builtin_ctz(mask)];
  }

  // `hash_of_slot` recomputes the hash of a stored slot when the index grows.
  template <class HashOfSlot>
  void insert(std::uint64_t hash, std::uint32_t slot, HashOfSlot hash_of_slot) {
    if (size_ + 1 > buckets_.size() * kSlots * 3 / 4) grow(hash_of_slot);
    place(hash, slot);
    ++size_;
  }

  // Precondition: it is there.
  void erase(std::uint64_t hash, std::uint32_t slot) {
    Bucket* bucket = &at_slot(hash, slot, [](Bucket& passed) { --passed.passed; });
    for (unsigned i = 0; i < kSlots; ++i) {
      if (bucket->tag[i] != 0 && bucket->slot[i] == slot) {
        bucket->tag[i] = 0;
        --size_;
        return;
      }
    }
  }

  void replace(std::uint64_t hash, std::uint32_t slot, std::uint32_t with) {
    Bucket& bucket = at_slot(hash, slot, [](Bucket&) {});
    for (unsigned i = 0; i < kSlots; ++i) {
      if (bucket.tag[i] != 0 && bucket.slot[i] == slot) bucket.slot[i] = with;
    }
  }

  static constexpr std::uint32_t kNone = UINT32_MAX;

 private:
  static constexpr unsigned kSlots = 8;
  static constexpr std::size_t kFirstBuckets = 64;

  struct alignas(64) Bucket {
    std::uint16_t tag[kSlots] = {};  // 0 = free
    std::uint32_t slot[kSlots] = {};
    std::uint32_t passed = 0;
  };

  static std::uint16_t tag_of(std::uint64_t hash) {
    const auto tag = static_cast<std::uint16_t>(hash >> 48);
    return tag == 0 ? 1 : tag;
  }
  std::size_t home(std::uint64_t hash) const { return hash & (buckets_.size() - 1); }
  std::size_t next(std::size_t at) const { return (at + 1) & (buckets_.size() - 1); }

  static unsigned matches(const Bucket& bucket, std::uint16_t tag) {
    const __m128i tags = _mm_load_si128(reinterpret_cast<const __m128i*>(bucket.tag));
    const __m128i same = _mm_cmpeq_epi16(tags, _mm_set1_epi16(static_cast<short>(tag)));
    return static_cast<unsigned>(_mm_movemask_epi8(_mm_packs_epi16(same, _mm_setzero_si128())));
  }

  template <class Passing>
  Bucket& at_slot(std::uint64_t hash, std::uint32_t slot, Passing passing) {
    std::size_t at = home(hash);
    for (std::size_t steps = 0; steps < buckets_.size(); ++steps, at = next(at)) {
      Bucket& bucket = buckets_[at];
      for (unsigned mask = matches(bucket, tag_of(hash)); mask != 0; mask &= mask - 1) {
        if (bucket.slot[__builtin_ctz(mask)] == slot) return bucket;
      }
      passing(bucket);
    }
    CHECK(false && "slot is not in the index");
    return buckets_[0];
  }

  void place(std::uint64_t hash, std::uint32_t slot) {
    for (std::size_t at = home(hash);; at = next(at)) {
      Bucket& bucket = buckets_[at];
      const unsigned free = matches(bucket, 0);
      if (free != 0) {
        const int i = __builtin_ctz(free);
        bucket.tag[i] = tag_of(hash);
        bucket.slot[i] = slot;
        return;
      }
      ++bucket.passed;
    }
  }

  template <class HashOfSlot>
  void grow(HashOfSlot hash_of_slot) {
    std::vector<Bucket> old(buckets_.size() * 2);
    old.swap(buckets_);
    for (const Bucket& bucket : old) {
      for (unsigned i = 0; i < kSlots; ++i) {
        if (bucket.tag[i] != 0) place(hash_of_slot(bucket.slot[i]), bucket.slot[i]);
      }
    }
  }

  std::uint64_t seed_;
  std::size_t size_ = 0;
  std::vector<Bucket> buckets_;
};

}  // namespace nidus::flow
