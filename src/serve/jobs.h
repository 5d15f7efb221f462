#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "serve/internal/capture_answer.h"
#include "serve/internal/job_record.h"
#include "serve/spool.h"
#include "store/records.h"

namespace nidus::serve {

class Application;

// Captures that are judged one after the other, in the order in which they came, while nobody waits: whoever
// sent one asks how far it is, and takes the answer.
//
// Where there is a store and a folder for uploads, a job that was acknowledged outlives the process, however
// it ends: its capture and its answer are files in the folder `jobs` there, all else is in the store. One
// that was under way begins anew, and what it had put into the store is not put there twice. Else jobs last
// as long as the process.
//
// Thread-safe.
class Jobs {
 public:
  static constexpr std::size_t kWaitingMax = 32;
  // Beyond, the one that ended first is forgotten.
  static constexpr std::size_t kEndedMax = 64;
  // A job that was begun so often, and ended with the process each time, is not begun again.
  static constexpr std::uint64_t kStartsMax = 3;

  using State = store::JobState;

  // How a job stands. A value.
  struct Status {
    std::string id, owner, detector, version;
    State state = State::waiting;
    std::uint64_t bytes = 0;  // of the capture
    std::uint64_t packets = 0, flows = 0;
    double share = 0;  // done, from 0 to 1
    std::int64_t created_us = 0, changed_us = 0;
    std::string error;  // why it failed
  };

  // A job to be: where its capture is to be written.
  struct Draft {
    std::string id;
    Spool capture;
  };

  struct Answer {
    std::string content_type;
    Spool text;
  };

  // The application must outlive it, and its store, detectors and uploads be there until stop() returns.
  explicit Jobs(Application& app) : app_(app) {}
  ~Jobs() { stop(); }

  // Takes up what an earlier process left. Once, when store and detectors are there and before anything else.
  // Errors of the store and, if the folder cannot be made, Errc::io.
  Result<void> restore();
  // Stops the one that runs; it is begun anew by the next process, if that finds it.
  void stop();

  Result<Draft> draft() const;
  // The job is acknowledged: it is on disk where jobs are kept. Errc::exhausted if too many wait, or too much
  // is kept; Errc::unsupported as of CaptureAnswer::make; errors of the store. Answers the id.
  Result<std::string> add(std::string owner, Draft draft, std::shared_ptr<const ServedDetector> detector,
                          const internal::AnswerWish& wish);

  // Newest first; those of `owner` alone unless `all`.
  std::vector<Status> list(const std::string& owner, bool all);
  // Errc::not_found, also for those of others.
  Result<Status> status(const std::string& id, const std::string& owner, bool all);
  // Ends a job that waits or runs, and forgets one that has ended. Its status before. Waits for the disk.
  Result<Status> remove(const std::string& id, const std::string& owner, bool all);
  // What came out; Errc::invalid if it is not done.
  Result<std::shared_ptr<const Answer>> answer(const std::string& id, const std::string& owner, bool all);

 private:
  struct Job;
  std::shared_ptr<Job> find(const std::string& id, const std::string& owner, bool all) const;
  std::filesystem::path capture_file(const std::string& id) const { return folder_ / (id + ".capture"); }
  std::filesystem::path answer_file(const std::string& id) const { return folder_ / (id + ".answer"); }
  bool is_kept() const { return !folder_.empty(); }
  void take_up(internal::JobRecord record);
  void drop_strays() const;
  void start_thread();
  void expire();
  void forget_first();
  void forget(const std::string& id) const;
  void run();
  void judge(Job& job);
  Result<void> judge_whole(Job& job, const internal::JobRecord& record);

  Application& app_;
  std::filesystem::path folder_;  // of kept jobs; empty: they are not kept
  std::int64_t age_max_us_ = 0;   // of ended ones; 0: any
  mutable std::mutex mutex_;      // guards what follows, and the record of every job
  std::condition_variable wake_;
  std::map<std::string, std::shared_ptr<Job>> jobs_;
  std::deque<std::shared_ptr<Job>> waiting_;
  std::deque<std::string> ended_;
  std::uint64_t bytes_ = 0;  // of captures that wait and of answers
  bool stopping_ = false;
  std::thread thread_;  // started with the first job
};

std::string_view name_of(Jobs::State state);

}  // namespace nidus::serve
