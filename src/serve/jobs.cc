#include "serve/jobs.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <random>
#include <utility>

#include "serve/internal/kept_verdicts.h"

namespace nidus::serve {
namespace {

std::int64_t now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// That nobody guesses.
std::string new_id() {
  std::random_device random;  // the system's generator
  std::string id;
  for (int i = 0; i < 4; ++i) id += fmt::format("{:08x}", random());
  return id;
}

}  // namespace

struct Jobs::Job {
  Job(Status status_, Spool capture_) : status(std::move(status_)), capture(std::move(capture_)) {}

  Status status;
  std::optional<Spool> capture;  // until it was judged
  std::shared_ptr<const ServedDetector> detector;
  std::shared_ptr<internal::CaptureAnswer> answer;
  std::shared_ptr<internal::KeptVerdicts> keeper;
  std::atomic<bool> stop = false;
};

std::string_view name_of(Jobs::State state) {
  switch (state) {
    case Jobs::State::waiting:
      return "waiting";
    case Jobs::State::running:
      return "running";
    case Jobs::State::done:
      return "done";
    case Jobs::State::failed:
      return "failed";
    case Jobs::State::cancelled:
      return "cancelled";
  }
  return "";
}

double Jobs::Status::share() const {
  if (state == State::done) return 1;
  if (bytes == 0) return 0;
  return std::min(1.0, static_cast<double>(progress.bytes_read) / static_cast<double>(bytes));
}

Jobs::~Jobs() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (auto& [id, job] : jobs_) job->stop = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Result<std::string> Jobs::add(std::string owner, Spool capture,
                              std::shared_ptr<const ServedDetector> detector,
                              const internal::AnswerWish& wish,
                              std::shared_ptr<internal::KeptVerdicts> keeper) {
  auto answer = internal::CaptureAnswer::make(wish, detector, uploads_.folder());
  if (!answer) return std::move(answer).error();
  Status status;
  status.id = new_id();
  status.owner = std::move(owner);
  status.detector = detector->name();
  status.version = detector->version();
  status.bytes = capture.size();
  status.created_us = status.changed_us = now_us();
  const std::string id = status.id;
  auto job = std::make_shared<Job>(std::move(status), std::move(capture));
  job->detector = std::move(detector);
  job->keeper = std::move(keeper);
  job->answer = std::make_shared<internal::CaptureAnswer>(std::move(*answer));
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= kWaitingMax)
      return Error{Errc::exhausted, fmt::format("{} jobs wait already", kWaitingMax)};
    jobs_.emplace(id, job);
    waiting_.push_back(std::move(job));
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  }
  wake_.notify_all();
  return id;
}

std::shared_ptr<Jobs::Job> Jobs::find(const std::string& id, const std::string& owner, bool all) const {
  const auto found = jobs_.find(id);
  if (found == jobs_.end() || (!all && found->second->status.owner != owner)) return nullptr;
  return found->second;
}

std::vector<Jobs::Status> Jobs::list(const std::string& owner, bool all) const {
  std::vector<Status> out;
  const std::lock_guard lock(mutex_);
  for (const auto& [id, job] : jobs_) {
    if (all || job->status.owner == owner) out.push_back(job->status);
  }
  std::sort(out.begin(), out.end(),
            [](const Status& a, const Status& b) { return a.created_us > b.created_us; });
  return out;
}

Result<Jobs::Status> Jobs::status(const std::string& id, const std::string& owner, bool all) const {
  const std::lock_guard lock(mutex_);
  const auto job = find(id, owner, all);
  if (!job) return Error{Errc::not_found, fmt::format("no job '{}'", id)};
  return job->status;
}

Result<Jobs::Status> Jobs::remove(const std::string& id, const std::string& owner, bool all) {
  const std::lock_guard lock(mutex_);
  const auto job = find(id, owner, all);
  if (!job) return Error{Errc::not_found, fmt::format("no job '{}'", id)};
  const Status before = job->status;
  job->stop = true;
  std::erase(waiting_, job);
  std::erase(ended_, id);
  jobs_.erase(id);
  return before;
}

Result<std::shared_ptr<const internal::CaptureAnswer>> Jobs::answer(const std::string& id,
                                                                    const std::string& owner,
                                                                    bool all) const {
  const std::lock_guard lock(mutex_);
  const auto job = find(id, owner, all);
  if (!job) return Error{Errc::not_found, fmt::format("no job '{}'", id)};
  if (job->status.state != State::done)
    return Error{Errc::invalid, fmt::format("the job is {}", name_of(job->status.state))};
  return std::shared_ptr<const internal::CaptureAnswer>(job->answer);
}

void Jobs::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return stopping_ || !waiting_.empty(); });
    if (stopping_) return;
    const auto job = std::move(waiting_.front());
    waiting_.pop_front();
    job->status.state = State::running;
    job->status.changed_us = now_us();
    lock.unlock();
    judge(*job);
    lock.lock();
    if (jobs_.find(job->status.id) == jobs_.end()) continue;  // removed meanwhile
    ended_.push_back(job->status.id);
    while (ended_.size() > kEndedMax) {
      jobs_.erase(ended_.front());
      ended_.pop_front();
    }
  }
}

void Jobs::judge(Job& job) {
  CaptureQuestion question = job.answer->question();
  question.progress = [&](const sandbox::CaptureProgress& progress) {
    const std::lock_guard lock(mutex_);
    job.status.progress = progress;
    return !job.stop;
  };
  std::vector<char> piece(std::size_t{1} << 18);
  std::uint64_t at = 0;
  const auto source = [&]() -> Result<std::span<const std::byte>> {
    const auto got = job.capture->read_at(at, piece);
    if (!got) return got.error();
    at += *got;
    return std::as_bytes(std::span(piece.data(), *got));
  };
  auto judged =
      uploads_.judge(*job.detector, question, source,
                     [&](const auto& subject, const auto& verdict, const auto* why) -> Result<void> {
                       if (job.stop) return Error{Errc::invalid, "stopped"};
                       if (job.keeper != nullptr) {
                         if (auto kept = job.keeper->add(subject, verdict); !kept) return kept;
                       }
                       return job.answer->add(subject, verdict, why);
                     });
  std::optional<Error> failed;
  if (!judged) {
    failed = std::move(judged).error();
  } else if (judged->statistics.decode.packets == 0) {
    failed = Error{Errc::corrupt, "No valid packets could be decoded"};
  } else if (auto done = job.answer->finish(*judged); !done) {
    failed = std::move(done).error();
  } else if (auto kept = job.keeper != nullptr ? job.keeper->finish() : Result<void>(); !kept) {
    failed = std::move(kept).error();
  }
  job.capture.reset();
  if (failed && failed->code == Errc::io) failed->message = "The system refused; the log says why";
  const std::lock_guard lock(mutex_);
  job.status.changed_us = now_us();
  job.status.state = !failed ? State::done : job.stop ? State::cancelled : State::failed;
  if (failed) job.status.error = *std::move(failed);
}

}  // namespace nidus::serve
