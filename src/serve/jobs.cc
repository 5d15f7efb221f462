#include "serve/jobs.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <random>
#include <utility>

#include "base/clock.h"
#include "serve/application.h"
#include "serve/internal/kept_verdicts.h"
#include "serve/internal/store_answers.h"

namespace nidus::serve {
namespace {

namespace fs = std::filesystem;
using internal::JobRecord;

// That nobody guesses.
std::string new_id() {
  std::random_device random;  // the system's generator
  std::string id;
  for (int i = 0; i < 4; ++i) id += fmt::format("{:08x}", random());
  return id;
}

bool has_ended(Jobs::State state) { return state != Jobs::State::waiting && state != Jobs::State::running; }

Jobs::Status status_of(const JobRecord& record) {
  Jobs::Status out;
  out.id = record.id;
  out.owner = record.owner;
  out.detector = record.detector;
  out.version = record.version;
  out.state = record.state;
  out.bytes = record.bytes;
  out.packets = record.packets;
  out.flows = record.flows;
  out.share = record.state == Jobs::State::done ? 1 : record.progress;
  out.created_us = record.created_us;
  out.changed_us = record.changed_us;
  out.error = record.error;
  return out;
}

Error not_there(const std::string& id) { return {Errc::not_found, fmt::format("no job '{}'", id)}; }

}  // namespace

struct Jobs::Job {
  JobRecord record;
  std::optional<Spool> capture;          // until it was judged; where it is kept, while it is
  std::shared_ptr<const Answer> answer;  // where it is not kept
  std::shared_ptr<const ServedDetector> detector;
  std::atomic<bool> stop = false;

  std::uint64_t bytes() const { return has_ended(record.state) ? record.answer_bytes : record.bytes; }
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

Result<void> Jobs::restore() {
  if (app_.store() == nullptr || app_.uploads.folder().empty()) return {};
  const auto settings = app_.settings();
  age_max_us_ = static_cast<std::int64_t>(settings->store.age_days * 86'400e6);
  const fs::path folder = app_.uploads.folder() / "jobs";
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) {
    app_.log().error("jobs_not_kept", {{"folder", folder.string()}, {"error", failed.message()}});
    return {};
  }
  // More than there can be, unless limits were changed.
  auto known = app_.store()->jobs(10'000);
  if (!known) return std::move(known).error();
  std::reverse(known->begin(), known->end());  // oldest first, which is the order in which they wait
  const std::lock_guard lock(mutex_);
  folder_ = folder;
  for (const auto& job : *known) {
    auto record = internal::from_job(job);
    if (!record) {
      app_.log().warning("job_not_restored", {{"error", std::string_view(record.error().message)}});
      continue;
    }
    take_up(std::move(*record));
  }
  std::sort(ended_.begin(), ended_.end(), [&](const auto& a, const auto& b) {
    return jobs_.at(a)->record.changed_us < jobs_.at(b)->record.changed_us;
  });
  while (ended_.size() > kEndedMax) forget_first();
  drop_strays();
  if (!waiting_.empty()) start_thread();
  return {};
}

// One that an earlier process left.
void Jobs::take_up(JobRecord record) {
  const std::string id = record.id;
  auto job = std::make_shared<Job>();
  const auto fails = [&](std::string why) {
    record.state = State::failed;
    record.error = std::move(why);
    record.changed_us = now_us();
    app_.store()->write({internal::to_job(record)}, [](const auto&) {});
  };
  std::error_code ignored;
  if (record.state == State::done && !fs::exists(answer_file(id), ignored)) {
    record.answer_bytes = 0;
    fails("Its answer is gone");
  }
  if (!has_ended(record.state)) {
    const auto served = app_.detectors.state()->find(record.detector);
    if (served) {
      for (const auto& version : served->versions) {
        if (version->version() == record.version) job->detector = version;
      }
      // Another version would see other flows where this one was in the middle.
      if (!job->detector && record.looked_at == 0) job->detector = served->active;
    }
    if (!fs::exists(capture_file(id), ignored)) {
      fails("Its capture is gone");
    } else if (record.starts >= kStartsMax) {
      fails(fmt::format("The service ended {} times while it was judged", record.starts));
    } else if (!job->detector) {
      fails("Its detector is not served any more");
    } else {
      record.version = job->detector->version();
      record.state = State::waiting;
      record.progress = 0;
    }
  }
  job->record = std::move(record);
  bytes_ += job->bytes();
  if (has_ended(job->record.state)) {
    ended_.push_back(id);
  } else {
    waiting_.push_back(job);
  }
  jobs_.emplace(id, std::move(job));
}

// Files that belong to no job: captures that were never whole, answers that were never done.
void Jobs::drop_strays() const {
  std::error_code failed;
  std::vector<fs::path> strays;
  for (const auto& entry : fs::directory_iterator(folder_, failed)) {
    const auto job = jobs_.find(entry.path().stem().string());
    const bool ended = job != jobs_.end() && has_ended(job->second->record.state);
    const bool done = job != jobs_.end() && job->second->record.state == State::done;
    const auto kind = entry.path().extension();
    const bool wanted = job != jobs_.end() && ((kind == ".capture" && !ended) || (kind == ".answer" && done));
    if (!wanted) strays.push_back(entry.path());
  }
  for (const auto& path : strays) fs::remove(path, failed);
}

void Jobs::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (auto& [id, job] : jobs_) job->stop = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Jobs::start_thread() {
  if (!thread_.joinable() && !stopping_) thread_ = std::thread([this] { run(); });
}

Result<Jobs::Draft> Jobs::draft() const {
  std::string id = new_id();
  if (!is_kept()) return Draft{std::move(id), Spool(app_.uploads.folder())};
  auto capture = Spool::at(capture_file(id));
  if (!capture) return std::move(capture).error();
  return Draft{std::move(id), std::move(*capture)};
}

Result<std::string> Jobs::add(std::string owner, Draft draft, std::shared_ptr<const ServedDetector> detector,
                              const internal::AnswerWish& wish) {
  // What cannot be answered is said now.
  if (auto possible = internal::CaptureAnswer::make(wish, detector, Spool()); !possible)
    return std::move(possible).error();
  auto job = std::make_shared<Job>();
  auto& record = job->record;
  record.id = draft.id;
  record.owner = std::move(owner);
  record.detector = detector->name();
  record.version = detector->version();
  record.wish = wish;
  record.bytes = draft.capture.size();
  record.created_us = record.changed_us = now_us();
  job->detector = std::move(detector);
  const std::uint64_t bytes_max = app_.settings()->uploads.jobs_mb * 1'000'000;
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= kWaitingMax)
      return Error{Errc::exhausted, fmt::format("{} jobs wait already", kWaitingMax)};
    while (!ended_.empty() && bytes_ + record.bytes > bytes_max) forget_first();
    if (bytes_ + record.bytes > bytes_max)
      return Error{Errc::exhausted, "captures that wait fill all the room that there is for jobs"};
    bytes_ += record.bytes;  // taken, so that others do not
  }
  Result<void> kept;
  if (is_kept()) {
    kept = draft.capture.keep();
    if (kept) {
      auto written = app_.store()->write({internal::to_job(record)});
      if (!written) {
        kept = std::move(written).error();
        forget(draft.id);
      }
    }
  }
  const std::lock_guard lock(mutex_);
  if (!kept) {
    bytes_ -= record.bytes;
    return std::move(kept).error();
  }
  if (!is_kept()) job->capture.emplace(std::move(draft.capture));
  jobs_.emplace(draft.id, job);
  waiting_.push_back(std::move(job));
  start_thread();
  wake_.notify_all();
  return draft.id;
}

std::shared_ptr<Jobs::Job> Jobs::find(const std::string& id, const std::string& owner, bool all) const {
  const auto found = jobs_.find(id);
  if (found == jobs_.end() || (!all && found->second->record.owner != owner)) return nullptr;
  return found->second;
}

std::vector<Jobs::Status> Jobs::list(const std::string& owner, bool all) {
  std::vector<Status> out;
  const std::lock_guard lock(mutex_);
  expire();
  for (const auto& [id, job] : jobs_) {
    if (all || job->record.owner == owner) out.push_back(status_of(job->record));
  }
  std::sort(out.begin(), out.end(),
            [](const Status& a, const Status& b) { return a.created_us > b.created_us; });
  return out;
}

Result<Jobs::Status> Jobs::status(const std::string& id, const std::string& owner, bool all) {
  const std::lock_guard lock(mutex_);
  expire();
  const auto job = find(id, owner, all);
  if (!job) return not_there(id);
  return status_of(job->record);
}

Result<Jobs::Status> Jobs::remove(const std::string& id, const std::string& owner, bool all) {
  Status before;
  {
    const std::lock_guard lock(mutex_);
    const auto job = find(id, owner, all);
    if (!job) return not_there(id);
    before = status_of(job->record);
    job->stop = true;
    bytes_ -= job->bytes();
    std::erase(waiting_, job);
    std::erase(ended_, id);
    jobs_.erase(id);
  }
  if (!is_kept()) return before;
  auto written = app_.store()->write({store::ForgetJob{id}});
  forget(id);
  if (!written) return std::move(written).error();
  return before;
}

Result<std::shared_ptr<const Jobs::Answer>> Jobs::answer(const std::string& id, const std::string& owner,
                                                         bool all) {
  const std::lock_guard lock(mutex_);
  expire();
  const auto job = find(id, owner, all);
  if (!job) return not_there(id);
  if (job->record.state != State::done)
    return Error{Errc::invalid, fmt::format("the job is {}", name_of(job->record.state))};
  if (job->answer) return job->answer;
  auto text = Spool::open(answer_file(id));
  if (!text) return std::move(text).error();
  return std::make_shared<const Answer>(Answer{job->record.wish.content_type(), std::move(*text)});
}

// Ended jobs that are older than what is kept. The store lets go of them by itself.
void Jobs::expire() {
  if (age_max_us_ <= 0) return;
  const auto oldest = now_us() - age_max_us_;
  while (!ended_.empty() && jobs_.at(ended_.front())->record.changed_us < oldest) forget_first();
}

void Jobs::forget_first() {
  const std::string id = std::move(ended_.front());
  ended_.pop_front();
  bytes_ -= jobs_.at(id)->bytes();
  jobs_.erase(id);
  if (is_kept()) forget(id);
}

// Its files, and its place in the store when the disk gets to it.
void Jobs::forget(const std::string& id) const {
  std::error_code ignored;
  fs::remove(capture_file(id), ignored);
  fs::remove(answer_file(id), ignored);
  app_.store()->write({store::ForgetJob{id}}, [](const auto&) {});
}

void Jobs::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait_for(lock, std::chrono::hours(1), [&] { return stopping_ || !waiting_.empty(); });
    if (stopping_) return;
    expire();
    if (waiting_.empty()) continue;
    const auto job = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    judge(*job);
    lock.lock();
    const std::string& id = job->record.id;
    if (jobs_.find(id) == jobs_.end()) {  // removed meanwhile
      if (is_kept()) forget(id);
      continue;
    }
    if (!has_ended(job->record.state)) return;  // stopped: the next process judges it
  }
}

void Jobs::judge(Job& job) {
  JobRecord record;
  {
    const std::lock_guard lock(mutex_);
    job.record.state = State::running;
    job.record.changed_us = now_us();
    ++job.record.starts;
    record = job.record;
  }
  Result<void> judged;
  if (is_kept()) {
    auto written = app_.store()->write({internal::to_job(record)});
    if (!written) judged = std::move(written).error();
  }
  if (judged) judged = judge_whole(job, record);
  job.capture.reset();
  bool is_left = false;
  {
    const std::lock_guard lock(mutex_);
    if (!judged) job.record.changed_us = now_us();
    if (judged) {
      job.record.state = State::done;
    } else if (stopping_ && job.stop && is_kept()) {
      job.record.state = State::waiting;  // for the next process
      --job.record.starts;
      is_left = true;
    } else {
      job.record.state = job.stop ? State::cancelled : State::failed;
      job.record.error =
          judged.error().code == Errc::io ? "The system refused; the log says why" : judged.error().message;
      job.record.answer_bytes = 0;
    }
    record = job.record;
    if (has_ended(record.state) && jobs_.find(record.id) != jobs_.end()) {
      bytes_ = bytes_ - record.bytes + record.answer_bytes;
      ended_.push_back(record.id);
      while (ended_.size() > kEndedMax) forget_first();
    }
  }
  if (!judged && judged.error().code == Errc::io)
    app_.log().error("job_failed", {{"job", std::string_view(record.id)},
                                    {"error", std::string_view(judged.error().message)}});
  if (!is_kept()) return;
  if (!judged) {
    if (auto written = app_.store()->write({internal::to_job(record)}); !written)
      app_.log().error("job_not_written", {{"error", std::string_view(written.error().message)}});
  }
  std::error_code ignored;
  if (!is_left) fs::remove(capture_file(record.id), ignored);
}

// From the capture to an answer that is kept, and a record that says so.
Result<void> Jobs::judge_whole(Job& job, const JobRecord& record) {
  if (is_kept()) {
    auto capture = Spool::open(capture_file(record.id));
    if (!capture) return std::move(capture).error();
    job.capture.emplace(std::move(*capture));
  }
  auto text = is_kept() ? Spool::at(answer_file(record.id)) : Result<Spool>(Spool(app_.uploads.folder()));
  if (!text) return std::move(text).error();
  auto answer = internal::CaptureAnswer::make(record.wish, job.detector, std::move(*text));
  if (!answer) return std::move(answer).error();

  const auto note = [&](std::uint64_t looked_at) -> store::Change {
    const std::lock_guard lock(mutex_);
    job.record.looked_at = looked_at;
    return internal::to_job(job.record);
  };
  internal::KeptVerdicts keeper(app_, *job.detector, record.looked_at,
                                is_kept() ? note : internal::KeptVerdicts::Note());
  CaptureQuestion question = answer->question();
  question.progress = [&](const sandbox::CaptureProgress& progress) {
    const std::lock_guard lock(mutex_);
    job.record.packets = progress.frames;
    job.record.flows = progress.flows;
    if (job.record.bytes > 0) {
      job.record.progress =
          std::min(1.0, static_cast<double>(progress.bytes_read) / static_cast<double>(job.record.bytes));
    }
    return !job.stop;
  };
  std::vector<char> piece(std::size_t{1} << 18);
  std::uint64_t at = 0, flows = 0;
  sandbox::ByteSource source;
  source.next = [&]() -> Result<std::span<const std::byte>> {
    const auto got = job.capture->read_at(at, piece);
    if (!got) return got.error();
    at += *got;
    return std::as_bytes(std::span(piece.data(), *got));
  };
  auto judged =
      app_.uploads.judge(*job.detector, question, source,
                         [&](const auto& subject, const auto& verdict, const auto* why) -> Result<void> {
                           if (job.stop) return Error{Errc::invalid, "stopped"};
                           ++flows;
                           if (auto kept = keeper.add(subject, verdict); !kept) return kept;
                           return answer->add(subject, verdict, why);
                         });
  if (!judged) return std::move(judged).error();
  if (judged->statistics.decode.packets == 0)
    return Error{Errc::corrupt, "No valid packets could be decoded"};
  if (auto done = answer->finish(*judged); !done) return done;

  auto made = std::make_shared<Answer>(Answer{record.wish.content_type(), std::move(*answer).take_text()});
  JobRecord done;
  {
    const std::lock_guard lock(mutex_);
    job.record.packets = judged->statistics.frames;
    job.record.flows = flows;
    job.record.answer_bytes = made->text.size();
    job.record.changed_us = now_us();  // as the store is told
    done = job.record;
  }
  if (!is_kept()) {
    if (auto kept = keeper.finish(); !kept) return kept;
    const std::lock_guard lock(mutex_);
    job.answer = std::move(made);
    return {};
  }
  if (auto kept = made->text.keep(); !kept) return kept;
  // The last verdicts and that it is done: both or neither.
  done.state = State::done;
  done.progress = 1;
  return keeper.finish({internal::to_job(done)});
}

}  // namespace nidus::serve
