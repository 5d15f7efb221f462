#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <unordered_map>

#include "base/random.h"
#include "http/internal/response_head.h"
#include "http/internal/router.h"
#include "http/internal/stream_pool.h"
#include "http/internal/tls.h"
#include "http/server.h"

namespace nidus::http::internal {

// Seeded, since who connects chooses the addresses.
struct AddressHash {
  std::size_t operator()(const std::array<std::uint8_t, 16>& address) const {
    std::uint64_t hash = seed;
    for (const std::uint8_t byte : address) hash = Random::mix(hash ^ byte);
    return static_cast<std::size_t>(hash);
  }
  std::uint64_t seed = std::uint64_t{std::random_device{}()} << 32 | std::random_device{}();
};

// How many connections each client has. Thread-safe.
class AddressTable {
 public:
  using Address = std::array<std::uint8_t, 16>;

  bool enter(const Address& address, std::size_t most) {
    const std::lock_guard lock(mutex_);
    std::size_t& count = counts_[client_of(address)];
    if (count >= most) return false;
    ++count;
    return true;
  }

  void leave(const Address& address) {
    const std::lock_guard lock(mutex_);
    const auto found = counts_.find(client_of(address));
    if (--found->second == 0) counts_.erase(found);
  }

 private:
  // Whoever has an IPv6 address has 2^64 of them.
  static Address client_of(Address address) {
    constexpr Address kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (!std::equal(kMapped.begin(), kMapped.begin() + 12, address.begin()))
      std::fill(address.begin() + 8, address.end(), std::uint8_t{0});
    return address;
  }

  std::mutex mutex_;
  std::unordered_map<Address, std::size_t, AddressHash> counts_;
};

// What all threads of a server have in common. Const members are what they say; the others guard themselves.
struct Shared {
  Shared(ServerOptions server_options, Router server_router, Guard server_guard, Observer server_observer)
      : options(std::move(server_options)),
        router(std::move(server_router)),
        guard(std::move(server_guard)),
        observer(std::move(server_observer)),
        head(options.tls.has_value(), options.headers),
        streams(options.stream_threads) {}

  const ServerOptions options;
  const Router router;
  const Guard guard;
  const Observer observer;
  const ResponseHead head;
  StreamPool streams;
  AddressTable addresses;

  std::atomic<std::uint64_t> accepted = 0, refused = 0, timed_out = 0, malformed = 0, requests_in_flight = 0;
  std::atomic<std::uint64_t> body_bytes = 0;  // held; see ServerOptions::body_bytes_in_flight_max
  std::atomic<bool> draining = false;

  // Takes a share of what bodies may occupy; false if there is none left.
  bool reserve_body(std::uint64_t bytes) {
    if (body_bytes.fetch_add(bytes) + bytes <= options.body_bytes_in_flight_max) return true;
    body_bytes.fetch_sub(bytes);
    return false;
  }

  void release_body(std::uint64_t bytes) { body_bytes.fetch_sub(bytes); }

  // How long a client may keep us waiting that has moved so many bytes.
  std::chrono::nanoseconds time_allowed(std::uint64_t bytes) const {
    if (options.bytes_per_second_min == 0) return std::chrono::hours(24 * 365);
    return options.grace + std::chrono::seconds(bytes / options.bytes_per_second_min);
  }

  std::shared_ptr<const TlsContext> tls() const {
    const std::lock_guard lock(tls_mutex);
    return tls_context;
  }
  mutable std::mutex tls_mutex;
  std::shared_ptr<const TlsContext> tls_context;  // guarded by tls_mutex

  // Open connections; who waits for the last is told.
  std::mutex connections_mutex;
  std::condition_variable connections_changed;
  std::atomic<std::uint64_t> connections = 0;
  void connection_closed() {
    const std::lock_guard lock(connections_mutex);
    if (connections.fetch_sub(1) == 1) connections_changed.notify_all();
  }
};

}  // namespace nidus::http::internal
