#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "serve/internal/capture_answer.h"
#include "serve/spool.h"
#include "serve/uploads.h"

namespace nidus::serve {

namespace internal {
class KeptVerdicts;
}

// Captures that are judged one after the other, in the order in which they came, while nobody waits: whoever
// sent one asks how far it is, and takes the answer. Jobs, their captures and answers last as long as the
// process.
//
// Thread-safe.
class Jobs {
 public:
  static constexpr std::size_t kWaitingMax = 32;
  // Beyond, the one that ended first is forgotten.
  static constexpr std::size_t kEndedMax = 64;

  enum class State : std::uint8_t { waiting, running, done, failed, cancelled };

  // How a job stands. A value.
  struct Status {
    std::string id, owner, detector, version;
    State state = State::waiting;
    std::uint64_t bytes = 0;  // of the capture
    sandbox::CaptureProgress progress;
    std::int64_t created_us = 0, changed_us = 0;
    Error error;  // why it failed

    double share() const;  // done, from 0 to 1
  };

  explicit Jobs(Uploads& uploads) : uploads_(uploads) {}
  ~Jobs();  // stops the one that runs

  // `keeper` gets every verdict; null: nothing is kept. Errc::exhausted if too many wait. Answers the id.
  Result<std::string> add(std::string owner, Spool capture, std::shared_ptr<const ServedDetector> detector,
                          const internal::AnswerWish& wish, std::shared_ptr<internal::KeptVerdicts> keeper);

  // Newest first; those of `owner` alone unless `all`.
  std::vector<Status> list(const std::string& owner, bool all) const;
  // Errc::not_found, also for those of others.
  Result<Status> status(const std::string& id, const std::string& owner, bool all) const;
  // Ends a job that waits or runs, and forgets one that has ended. Its status before.
  Result<Status> remove(const std::string& id, const std::string& owner, bool all);
  // What came out; Errc::invalid if it is not done.
  Result<std::shared_ptr<const internal::CaptureAnswer>> answer(const std::string& id,
                                                                const std::string& owner, bool all) const;

 private:
  struct Job;
  std::shared_ptr<Job> find(const std::string& id, const std::string& owner, bool all) const;
  void run();
  void judge(Job& job);

  Uploads& uploads_;
  mutable std::mutex mutex_;  // guards what follows, and the status of every job
  std::condition_variable wake_;
  std::map<std::string, std::shared_ptr<Job>> jobs_;
  std::deque<std::shared_ptr<Job>> waiting_;
  std::deque<std::string> ended_;
  bool stopping_ = false;
  std::thread thread_;  // started with the first job
};

std::string_view name_of(Jobs::State state);

}  // namespace nidus::serve
