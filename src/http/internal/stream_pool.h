#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace nidus::http::internal {

// Threads for handlers that may block. A thread is made when it is first needed, and kept. Thread-safe.
class StreamPool {
 public:
  explicit StreamPool(std::size_t threads_max) : threads_max_(threads_max) {}
  ~StreamPool() { stop(); }
  StreamPool(const StreamPool&) = delete;
  StreamPool& operator=(const StreamPool&) = delete;

  // Takes a place for a task to come; false if all are taken.
  bool reserve();
  // Gives a reserved place back without a task.
  void release();
  // Runs the task, in a reserved place. It must not throw.
  void run(std::function<void()> task);
  std::size_t running() const { return taken_.load(std::memory_order_relaxed); }

  // Waits for all tasks. None may be run afterwards.
  void stop();

 private:
  void work();

  const std::size_t threads_max_;
  std::atomic<std::size_t> taken_ = 0;
  std::mutex mutex_;  // guards what follows
  std::condition_variable work_arrived_;
  std::deque<std::function<void()>> tasks_;
  std::vector<std::thread> threads_;
  std::size_t idle_ = 0;
  bool stopping_ = false;
};

}  // namespace nidus::http::internal
