// Age, size and free space of the database: what the writer does between transactions.

#include <fmt/format.h>
#include <sys/statvfs.h>
#include <time.h>

#include <algorithm>

#include "store/internal/schema.h"
#include "store/internal/writer.h"

namespace nidus::store {
namespace {

// Rows deleted in one transaction: what writes have to wait for at most.
constexpr std::int64_t kRowsPerStep = 5'000;
// A clock that was set by less is not worth a thought.
constexpr std::int64_t kClockToleranceUs = 3'600'000'000;

// The oldest of each table, which is to say those that were received or touched first. Verdicts are asked for
// in the order of receipt: a clock that was set back hides old rows behind a newer one for a while, and none
// is deleted too early.
constexpr const char* kOldVerdicts =
    "DELETE FROM verdicts WHERE id IN (SELECT id FROM verdicts ORDER BY id LIMIT ?2) AND received_us < ?1";
constexpr const char* kOldSteps =
    "DELETE FROM triage WHERE alert IN "
    "(SELECT id FROM alerts WHERE touched_us < ?1 ORDER BY touched_us, id LIMIT ?2)";
constexpr const char* kOldAlerts =
    "DELETE FROM alerts WHERE id IN "
    "(SELECT id FROM alerts WHERE touched_us < ?1 ORDER BY touched_us, id LIMIT ?2)";
constexpr const char* kOldJobs =
    "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE changed_us < ?1 AND state >= 2 "
    "ORDER BY changed_us LIMIT ?2)";

}  // namespace

std::int64_t boot_microseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
}

// The clock, but no further ahead than time can have passed since the store was opened: a clock that is set a
// year ahead by mistake must not delete a year.
std::int64_t Writer::retention_now() {
  const auto wall = now();
  const auto likely = started_us_ + (boot_microseconds() - started_boot_us_);
  const bool ahead = wall > likely + kClockToleranceUs;
  if (ahead && !jumped_) {
    const std::lock_guard lock(mutex_);
    ++counts_.clock_jumps;
  }
  jumped_ = ahead;
  return std::min(wall, likely);
}

Result<std::int64_t> Writer::remove(const char* which, std::int64_t before_us) {
  auto statement = connection_.prepare(which);
  if (!statement) return std::move(statement).error();
  statement->bind(0, before_us);
  statement->bind(1, kRowsPerStep);
  if (auto done = statement->run(); !done) return std::move(done).error();
  return connection_.changed();
}

// One step of deleting what is older; how many rows.
Result<std::int64_t> Writer::remove_old(std::int64_t before_us) {
  auto rows = remove(kOldVerdicts, before_us);
  if (!rows || *rows > 0) return rows;
  if (auto done = connection_.run("BEGIN IMMEDIATE"); !done) return std::move(done).error();
  rows = remove(kOldSteps, before_us);
  if (rows) rows = remove(kOldAlerts, before_us);
  auto ended = connection_.run(rows ? "COMMIT" : "ROLLBACK");
  if (!ended) {
    roll_back();
    return std::move(ended).error();
  }
  if (!rows || *rows > 0) return rows;
  return remove(kOldJobs, before_us);
}

bool Writer::maintain() {
  measure();
  StoreState state;
  {
    const std::lock_guard lock(mutex_);
    state = counts_.state;
  }
  if (state == StoreState::corrupt) return false;
  if (state == StoreState::failing) {
    // Written as it is: whether the disk can be written again.
    auto probe = connection_.run(fmt::format("PRAGMA user_version = {}", kSchemaVersion).c_str());
    if (!probe) return false;
    set_state(StoreState::ok, {});
  }
  std::int64_t before_us = INT64_MIN;
  if (options_.age_max_us > 0) before_us = retention_now() - options_.age_max_us;
  if (over_size()) before_us = INT64_MAX;
  if (before_us == INT64_MIN) return false;
  auto rows = remove_old(before_us);
  if (!rows) {
    note_failure(rows.error());
    return false;
  }
  if (*rows == 0) return false;
  {
    const std::lock_guard lock(mutex_);
    counts_.expired += static_cast<std::uint64_t>(*rows);
  }
  keep_log_short();
  measure();
  return true;
}

void Writer::measure() {
  const auto pages = connection_.number("PRAGMA page_count");
  const auto free = connection_.number("PRAGMA freelist_count");
  const auto page_bytes = connection_.number("PRAGMA page_size");
  if (!pages || !free || !page_bytes) {
    note_failure(!pages ? pages.error() : !free ? free.error() : page_bytes.error());
    return;
  }
  used_bytes_ = static_cast<std::uint64_t>((*pages - *free) * *page_bytes);
  {
    const std::lock_guard lock(mutex_);
    counts_.bytes = static_cast<std::uint64_t>(*pages * *page_bytes);
    counts_.bytes_free_inside = static_cast<std::uint64_t>(*free * *page_bytes);
  }
  // Room of deleted rows goes back to the disk, little by little.
  if (*free > 1024 && *free > *pages / 4) (void)connection_.run("PRAGMA incremental_vacuum(256)");
  measure_disk();
}

// Full, or no longer full.
void Writer::measure_disk() {
  std::string reason;
  struct statvfs disk {};
  if (used_bytes_ > options_.bytes_max) {
    reason = fmt::format("{}: has reached its limit of {} bytes", path_.string(), options_.bytes_max);
  } else if (::statvfs(path_.c_str(), &disk) == 0) {
    const auto free = std::uint64_t{disk.f_bavail} * disk.f_frsize;
    if (free < options_.free_bytes_min) {
      reason = fmt::format("{}: only {} bytes are free on its disk, and {} are to stay free", path_.string(),
                           free, options_.free_bytes_min);
    }
  }
  const std::lock_guard lock(mutex_);
  if (!reason.empty() && counts_.state == StoreState::ok) {
    counts_.state = StoreState::full;
    counts_.reason = std::move(reason);
  } else if (reason.empty() && counts_.state == StoreState::full) {
    counts_.state = StoreState::ok;
    counts_.reason.clear();
  }
}

}  // namespace nidus::store
