#include "http/internal/stream_pool.h"

#include "base/check.h"

namespace nidus::http::internal {

bool StreamPool::reserve() {
  if (taken_.fetch_add(1) < threads_max_) return true;
  taken_.fetch_sub(1);
  return false;
}

void StreamPool::release() { taken_.fetch_sub(1); }

void StreamPool::run(std::function<void()> task) {
  const std::lock_guard lock(mutex_);
  CHECK(!stopping_);
  tasks_.push_back(std::move(task));
  if (idle_ < tasks_.size() && threads_.size() < threads_max_) threads_.emplace_back([this] { work(); });
  work_arrived_.notify_one();
}

void StreamPool::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    work_arrived_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
    --idle_;
    if (tasks_.empty()) return;
    const std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    taken_.fetch_sub(1);
    lock.lock();
  }
}

void StreamPool::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    work_arrived_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace nidus::http::internal
