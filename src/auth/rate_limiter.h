#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>

namespace nidus::auth {

// A bucket of tokens for each caller, filled at a steady pace up to `burst`; a request takes as many as it
// costs. Buckets live in a table of fixed size: where it is full, the fullest of eight makes room, which is
// the one that limits its caller least. Who has many addresses can so push others out, to whom that is a full
// bucket: nobody is ever refused for what another did.
//
// Thread-safe.
class RateLimiter {
 public:
  struct Options {
    double per_second = 0;  // 0: no limit
    double burst = 0;
    std::size_t buckets = 1 << 16;  // 24 bytes each
  };
  struct Answer {
    bool is_allowed = true;
    double left = 0;          // tokens
    double seconds_left = 0;  // until as many are there as were asked for; of a refusal
  };

  explicit RateLimiter(Options options);

  // A request that costs more than the burst waits for a full bucket and then takes all of it.
  Answer take(std::span<const std::uint8_t> caller, double cost, std::chrono::steady_clock::time_point now);
  const Options& options() const { return options_; }

 private:
  static constexpr std::size_t kWays = 8, kLocks = 64;
  struct Bucket {
    std::uint64_t caller = 0;  // 0: free
    double tokens = 0;
    std::int64_t at_ns = 0;  // when it held them
  };
  struct Set {
    std::array<Bucket, kWays> ways;
  };

  Options options_;
  std::uint64_t seed_;  // so that nobody can aim at another's bucket
  std::size_t sets_;
  std::unique_ptr<Set[]> table_;
  std::array<std::mutex, kLocks> locks_;  // set i is guarded by lock i % kLocks
};

}  // namespace nidus::auth
