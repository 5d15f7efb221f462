#include "base/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace nidus {

std::size_t default_threads() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
    return static_cast<std::size_t>(std::max(1, CPU_COUNT(&allowed)));
  }
  return std::max(1u, std::thread::hardware_concurrency());
}

struct Workers::Impl {
  std::mutex mutex;  // guards everything below but `next`
  std::condition_variable wake, done;
  const std::function<void(std::size_t)>* body = nullptr;
  std::size_t count = 0;
  std::uint64_t generation = 0;
  std::size_t busy = 0;
  bool stopping = false;
  std::atomic<std::size_t> next{0};
  std::vector<std::thread> threads;

  void take_turns(const std::function<void(std::size_t)>& f, std::size_t n) {
    for (std::size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n;) f(i);
  }

  void live() {
    std::uint64_t seen = 0;
    std::unique_lock lock(mutex);
    for (;;) {
      wake.wait(lock, [&] { return stopping || generation != seen; });
      if (stopping) return;
      seen = generation;
      const auto* f = body;
      const std::size_t n = count;
      lock.unlock();
      take_turns(*f, n);
      lock.lock();
      if (--busy == 0) done.notify_one();
    }
  }
};

Workers::Workers(std::size_t threads) : impl_(std::make_unique<Impl>()) {
  if (threads == 0) threads = default_threads();
  for (std::size_t i = 1; i < threads; ++i) impl_->threads.emplace_back([this] { impl_->live(); });
}

Workers::~Workers() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->wake.notify_all();
  for (auto& thread : impl_->threads) thread.join();
}

std::size_t Workers::threads() const { return impl_->threads.size() + 1; }

void Workers::run(std::size_t count, const std::function<void(std::size_t)>& body) {
  if (impl_->threads.empty() || count <= 1) {
    for (std::size_t i = 0; i < count; ++i) body(i);
    return;
  }
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->body = &body;
    impl_->count = count;
    impl_->next.store(0, std::memory_order_relaxed);
    impl_->busy = impl_->threads.size();
    ++impl_->generation;
  }
  impl_->wake.notify_all();
  impl_->take_turns(body, count);
  std::unique_lock lock(impl_->mutex);
  impl_->done.wait(lock, [&] { return impl_->busy == 0; });
}

}  // namespace nidus
