#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>
#include <vector>

#include "base/result.h"
#include "sandbox/internal/process.h"
#include "sandbox/sandbox.h"

namespace nidus::sandbox::internal {

// Children that are locked up and wait for a job, started ahead by a thread of its own.
class Pool {
 public:
  explicit Pool(Options options);
  ~Pool();

  // Starts the first child, which says whether this system filters system calls.
  Result<void> start();

  // One that waits, or else a new one.
  Result<Process> take();

  bool filters() const { return filters_; }
  const Options& options() const { return options_; }
  Counts counts() const;
  void count_end(bool crashed);

 private:
  Result<Process> spawn();
  void keep();

  Options options_;
  bool filters_ = false;
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable taken_;
  std::vector<Process> waiting_;
  bool stopping_ = false;
  Counts counts_;
  std::thread keeper_;
};

}  // namespace nidus::sandbox::internal
