#include "flow/internal/remainders.h"

#include <algorithm>

#include "flow/internal/update.h"

namespace nidus::flow {
namespace {

constexpr std::size_t kNowhere = SIZE_MAX;

}  // namespace

std::size_t Remainders::find(const net::FiveTuple& tuple) const {
  if (table_.empty()) return kNowhere;
  const net::FiveTuple back = reversed(tuple);
  const std::size_t mask = table_.size() - 1;
  for (std::size_t at = hash_of(tuple, seed_) & mask; table_[at] != kFree; at = (at + 1) & mask) {
    const net::FiveTuple& there = ring_[table_[at]].remainder.tuple;
    if (there == tuple || there == back) return at;
  }
  return kNowhere;
}

void Remainders::place(std::uint32_t entry) {
  const std::size_t mask = table_.size() - 1;
  std::size_t at = hash_of(ring_[entry].remainder.tuple, seed_) & mask;
  while (table_[at] != kFree) at = (at + 1) & mask;
  table_[at] = entry;
}

// Deleting from linear probing: whoever follows and could have stood here moves up (Knuth, TAOCP 3, 6.4 R).
void Remainders::erase(std::size_t at) {
  ring_[table_[at]].live = false;
  --count_;
  const std::size_t mask = table_.size() - 1;
  std::size_t hole = at;
  for (std::size_t i = (at + 1) & mask; table_[i] != kFree; i = (i + 1) & mask) {
    const std::size_t home = hash_of(ring_[table_[i]].remainder.tuple, seed_) & mask;
    if (((i - home) & mask) >= ((i - hole) & mask)) {
      table_[hole] = table_[i];
      hole = i;
    }
  }
  table_[hole] = kFree;
}

void Remainders::grow() {
  table_.assign(std::max<std::size_t>(64, table_.size() * 2), kFree);
  for (std::uint32_t i = 0; i < ring_.size(); ++i) {
    if (ring_[i].live) place(i);
  }
}

void Remainders::put(const Remainder& remainder) {
  if (capacity_ == 0) {
    ++dropped_;
    return;
  }
  if (const std::size_t at = find(remainder.tuple); at != kNowhere) erase(at);
  if (ring_.size() < capacity_) {
    next_ = ring_.size();
    ring_.emplace_back();
  } else {
    if (ring_[next_].live) {
      erase(find(ring_[next_].remainder.tuple));
      ++dropped_;
    }
  }
  ring_[next_] = {remainder, true};
  ++count_;
  if (table_.size() < 2 * count_ + 2) {
    grow();
  } else {
    place(static_cast<std::uint32_t>(next_));
  }
  next_ = (next_ + 1) % capacity_;
}

bool Remainders::take(const net::FiveTuple& tuple, Remainder& out) {
  const std::size_t at = find(tuple);
  if (at == kNowhere) return false;
  out = ring_[table_[at]].remainder;
  erase(at);
  return true;
}

}  // namespace nidus::flow
