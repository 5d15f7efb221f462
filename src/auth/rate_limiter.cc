#include "auth/rate_limiter.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <random>

#include "base/random.h"

namespace nidus::auth {

RateLimiter::RateLimiter(Options options)
    : options_(options),
      sets_(std::bit_ceil(std::max<std::size_t>(options.buckets / kWays, 1))),
      table_(std::make_unique<Set[]>(options.per_second > 0 ? sets_ : 1)) {
  std::random_device device;
  seed_ = std::uint64_t{device()} << 32 | device();
}

RateLimiter::Answer RateLimiter::take(std::span<const std::uint8_t> caller, double cost,
                                      std::chrono::steady_clock::time_point now) {
  if (options_.per_second <= 0) return {true, options_.burst, 0};
  std::uint64_t hash = seed_ ^ caller.size();
  for (std::size_t i = 0; i < caller.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, caller.data() + i, std::min<std::size_t>(8, caller.size() - i));
    hash = Random::mix(hash ^ word) + seed_;
  }
  if (hash == 0) hash = 1;
  const auto now_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now.time_since_epoch()).count();
  const std::size_t at = Random::mix(hash) & (sets_ - 1);
  const auto filled = [&](const Bucket& bucket) {
    const double seconds = static_cast<double>(std::max<std::int64_t>(now_ns - bucket.at_ns, 0)) * 1e-9;
    return std::min(options_.burst, bucket.tokens + seconds * options_.per_second);
  };

  const std::lock_guard lock(locks_[at % kLocks]);
  Bucket* mine = nullptr;
  Bucket* fullest = nullptr;
  double most = -1;
  for (auto& bucket : table_[at].ways) {
    if (bucket.caller == hash) {
      mine = &bucket;
      break;
    }
    const double tokens = bucket.caller == 0 ? options_.burst + 1 : filled(bucket);
    if (tokens > most) {
      most = tokens;
      fullest = &bucket;
    }
  }
  if (mine == nullptr) {
    mine = fullest;
    *mine = {hash, options_.burst, now_ns};
  }
  const double wanted = std::min(cost, options_.burst);
  mine->tokens = filled(*mine);
  mine->at_ns = std::max(mine->at_ns, now_ns);
  if (mine->tokens < wanted) {
    return {false, mine->tokens, (wanted - mine->tokens) / options_.per_second};
  }
  mine->tokens -= wanted;
  return {true, mine->tokens, 0};
}

}  // namespace nidus::auth
