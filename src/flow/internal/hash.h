#pragma once

#include <cstdint>
#include <cstring>

#include "net/packet.h"

namespace nidus::flow {

// Both ends of a five-tuple as words; the same pair of words whichever way the packet goes.
struct EndpointWords {
  std::uint64_t source, destination;
};

inline std::uint64_t fold(std::uint64_t x) {
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93u;
  return x ^ (x >> 32);
}

inline EndpointWords endpoint_words(const net::FiveTuple& tuple, std::uint64_t seed) {
  std::uint64_t words[4];
  std::memcpy(words, tuple.source.bytes.data(), 16);
  std::memcpy(words + 2, tuple.destination.bytes.data(), 16);
  // An IPv4 address is the first four bytes: the ports fit behind it. IPv6 takes one more round each.
  if (tuple.version == net::IpVersion::v6) {
    words[0] = fold(words[0] ^ seed) ^ words[1];
    words[2] = fold(words[2] ^ seed) ^ words[3];
    words[0] = fold(words[0] + seed);
    words[2] = fold(words[2] + seed);
  }
  return {words[0] ^ (std::uint64_t{tuple.source_port} << 32),
          words[2] ^ (std::uint64_t{tuple.destination_port} << 32)};
}

// Seeded hash of the unordered five-tuple. Not cryptographic; the seed is random in a sensor and the full
// tuple decides in any case, so chosen collisions cost time, never correctness.
inline std::uint64_t hash_of(const net::FiveTuple& tuple, std::uint64_t seed) {
  const auto [a, b] = endpoint_words(tuple, seed);
  const std::uint64_t both = fold(a + seed) + fold(b + seed);
  return fold(both ^ (std::uint64_t{tuple.protocol} << 48) ^ (std::uint64_t{tuple.vlan} << 16) ^ seed);
}

// Which of 16 shards: without a seed, so that the same flows share a shard in every run.
inline std::uint32_t shard_of(const net::FiveTuple& tuple) {
  return static_cast<std::uint32_t>(hash_of(tuple, 0x9e3779b97f4a7c15u) >> 60);
}

}  // namespace nidus::flow
