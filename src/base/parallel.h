#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace nidus {

// The number of threads used when the user names none: the processors this process may run on.
std::size_t default_threads();

// A fixed set of threads that run the indices of a loop. One caller at a time. With one thread everything
// runs in the caller, without any synchronisation.
class Workers {
 public:
  // `threads` includes the caller; 0 means default_threads().
  explicit Workers(std::size_t threads);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  std::size_t threads() const;

  // Calls body(i) for every i in [0, count), in any order and concurrently; returns when all are done. The
  // body must not throw and must not call run().
  void run(std::size_t count, const std::function<void(std::size_t)>& body);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nidus
