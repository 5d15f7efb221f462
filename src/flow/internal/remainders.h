#pragma once

#include <cstdint>
#include <vector>

#include "flow/internal/hash.h"
#include "net/packet.h"

namespace nidus::flow {

// What a flow that a timeout cut leaves for its continuation.
struct Remainder {
  net::FiveTuple tuple;  // forward
  std::int64_t last_us = 0;
  std::int64_t connection_start_us = 0;
  bool closed = false;  // the TCP connection was torn down
};

// The latest remainders, by unordered five-tuple: a ring, the oldest dropped when full, and a table of
// positions into it with linear probing.
class Remainders {
 public:
  Remainders(std::size_t capacity, std::uint64_t seed) : capacity_(capacity), seed_(seed) {}

  bool empty() const { return count_ == 0; }
  std::uint64_t dropped() const { return dropped_; }
  std::size_t bytes() const {
    return ring_.capacity() * sizeof(Entry) + table_.capacity() * sizeof(std::uint32_t);
  }

  void put(const Remainder& remainder);

  // Takes out the remainder of this five-tuple, in either direction; false if there is none.
  bool take(const net::FiveTuple& tuple, Remainder& out);

 private:
  struct Entry {
    Remainder remainder;
    bool live = false;
  };
  static constexpr std::uint32_t kFree = UINT32_MAX;

  std::size_t find(const net::FiveTuple& tuple) const;  // position in table_, or npos
  void erase(std::size_t at);
  void place(std::uint32_t entry);
  void grow();

  std::size_t capacity_;
  std::uint64_t seed_;
  std::uint64_t dropped_ = 0;
  std::size_t count_ = 0;
  std::size_t next_ = 0;  // where the next entry goes in the ring
  std::vector<Entry> ring_;
  std::vector<std::uint32_t> table_;  // a power of two, at most half full
};

}  // namespace nidus::flow
