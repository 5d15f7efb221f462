#include "store/internal/writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/clock.h"

namespace nidus::store {
namespace {

// Of one transaction: enough to share the wait for the disk, little enough not to add to it.
constexpr std::size_t kTransactionBytes = std::size_t{8} << 20;
// New alerts of one label within the window; see Applier::open_for.
constexpr std::size_t kAlertsPerWindowMax = 10'000;
// Pages are 4 KiB. SQLite's own habit is 1,000.
constexpr int kLogPages = 1'000, kLogPagesMax = 16'384;
// What deletions and people's work may need beyond the limit of size.
constexpr std::uint64_t kSlackBytes = std::uint64_t{16} << 20;

std::size_t bytes_of(const Change& change) {
  struct Visitor {
    std::size_t operator()(const Keep& keep) const {
      std::size_t bytes = 0;
      for (const auto& v : keep.verdicts) {
        bytes += sizeof v + v.label.size() + v.detector.size() + v.origin.size() + v.flow.size();
      }
      return bytes;
    }
    std::size_t operator()(const Job& job) const {
      return job.request.size() + job.result.size() + job.error.size();
    }
    std::size_t operator()(const Triage& triage) const {
      return triage.comment.size() + triage.which.ids.size() * sizeof(std::int64_t);
    }
    std::size_t operator()(const AuditEntry& entry) const {
      return entry.who.size() + entry.object.size() + entry.outcome.size();
    }
    std::size_t operator()(const NewKey& key) const { return key.key.name.size(); }
    std::size_t operator()(const RevokeKey&) const { return 0; }
    std::size_t operator()(const UseKey&) const { return 0; }
    std::size_t operator()(const Activation&) const { return 0; }
    std::size_t operator()(const ForgetJob&) const { return 0; }
  };
  return sizeof change + std::visit(Visitor{}, change);
}

}  // namespace

Result<std::unique_ptr<Writer>> Writer::start(Connection connection, const std::filesystem::path& path,
                                              const StoreOptions& options) {
  auto set = connection.run(
      "PRAGMA synchronous = FULL; PRAGMA cache_size = -16000; PRAGMA temp_store = MEMORY;"
      "PRAGMA journal_size_limit = 67108864");
  if (!set) return std::move(set).error();
  // The last word on size, should the first ones fail. It holds for this connection.
  const auto pages = (options.bytes_max + kSlackBytes) / 4096;
  if (auto limited = connection.number(fmt::format("PRAGMA max_page_count = {}", pages)); !limited) {
    return std::move(limited).error();
  }
  std::unique_ptr<Writer> made(new Writer(std::move(connection), path, options));
  if (auto prepared = made->applier_.prepare(made->connection_); !prepared)
    return std::move(prepared).error();
  made->measure();
  made->thread_ = std::thread([writer = made.get()] { writer->run(); });
  return made;
}

Writer::Writer(Connection connection, std::filesystem::path path, const StoreOptions& options)
    : connection_(std::move(connection)),
      path_(std::move(path)),
      options_(options),
      applier_({options.alert_window_us, kAlertsPerWindowMax}),
      started_us_(now()),
      started_boot_us_(boot_microseconds()) {}

Writer::~Writer() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Writer::write(std::vector<Change> changes, Store::Done done) {
  Unit unit{std::move(changes), std::move(done), 0, true, false, {}, {}};
  for (const auto& change : unit.changes) {
    unit.bytes += bytes_of(change);
    const bool verdicts = std::holds_alternative<Keep>(change);
    unit.verdicts_only = unit.verdicts_only && verdicts;
    unit.bulk = unit.bulk || verdicts || std::holds_alternative<Job>(change);
  }
  Error refusal;
  bool was_empty = false;
  {
    const std::lock_guard lock(mutex_);
    if (counts_.state == StoreState::corrupt) {
      ++counts_.failed;
      refusal = {Errc::corrupt, counts_.reason};
    } else if (counts_.state == StoreState::full && unit.bulk) {
      ++counts_.refused_full;
      refusal = {Errc::exhausted, counts_.reason};
    } else if (waiting_bytes_ + unit.bytes > options_.waiting_bytes_max) {
      ++counts_.refused_behind;
      refusal = {Errc::exhausted, "the store is behind: the disk is slower than what is to be kept"};
    } else {
      waiting_bytes_ += unit.bytes;
      was_empty = waiting_.empty();
      waiting_.push_back(std::move(unit));
    }
  }
  if (!refusal.message.empty()) {
    unit.done(std::move(refusal));
  } else if (was_empty) {
    wake_.notify_one();
  }
}

StoreCounts Writer::counts() const {
  const std::lock_guard lock(mutex_);
  StoreCounts counts = counts_;
  counts.waiting = waiting_.size() + committing_;
  counts.waiting_bytes = waiting_bytes_;
  return counts;
}

void Writer::run() {
  const auto interval = std::chrono::microseconds(options_.maintenance_us);
  auto due = std::chrono::steady_clock::now() + interval;
  std::vector<Unit> units;
  bool more = false;  // to delete
  for (;;) {
    std::uint64_t bytes = 0;
    {
      std::unique_lock lock(mutex_);
      if (!more) wake_.wait_until(lock, due, [this] { return stop_ || !waiting_.empty(); });
      if (stop_ && waiting_.empty()) break;
      std::size_t count = 0;
      while (count < waiting_.size() && (count == 0 || bytes + waiting_[count].bytes <= kTransactionBytes)) {
        bytes += waiting_[count++].bytes;
      }
      if (count == waiting_.size()) {
        units.swap(waiting_);
      } else {
        const auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(count);
        std::move(waiting_.begin(), end, std::back_inserter(units));
        waiting_.erase(waiting_.begin(), end);
      }
      committing_ = units.size();
    }
    if (!units.empty()) {
      commit(units);
      {
        const std::lock_guard lock(mutex_);
        waiting_bytes_ -= bytes;
        committing_ = 0;
      }
      for (auto& unit : units) {
        if (unit.outcome) {
          unit.done(std::move(unit.numbers));
        } else {
          unit.done(std::move(unit.outcome).error());
        }
      }
      units.clear();
      keep_log_short();
    }
    if (more || over_size() || std::chrono::steady_clock::now() >= due) {
      more = maintain();
      due = std::chrono::steady_clock::now() + interval;
    }
  }
  (void)connection_.checkpoint(true);
}

void Writer::commit(std::vector<Unit>& units) {
  measure_disk();
  std::vector<Unit*> taken;
  StoreState state;
  std::string reason;
  {
    const std::lock_guard lock(mutex_);
    state = counts_.state;
    reason = counts_.reason;
  }
  std::uint64_t full = 0;
  for (auto& unit : units) {
    if (state == StoreState::full && unit.bulk) {
      unit.outcome = Error{Errc::exhausted, reason};
      ++full;
    } else if (state == StoreState::corrupt) {
      unit.outcome = Error{Errc::corrupt, reason};
    } else {
      taken.push_back(&unit);
    }
  }
  Result<void> done;
  if (!taken.empty()) {
    done = apply_all(taken);
    if (!done) {
      note_failure(done.error());
      // What people do may still fit where a batch did not.
      const bool again = done.error().code == Errc::exhausted;
      for (auto* unit : taken) {
        std::vector<Unit*> alone = {unit};
        unit->outcome = again && !unit->bulk ? apply_all(alone) : done;
      }
    }
  }
  const std::lock_guard lock(mutex_);
  counts_.refused_full += full;
  for (const auto* unit : taken) {
    if (!unit->outcome) {
      ++(unit->outcome.error().code == Errc::exhausted ? counts_.refused_full : counts_.failed);
      continue;
    }
    ++counts_.writes;
    for (const auto& change : unit->changes) {
      if (const auto* keep = std::get_if<Keep>(&change)) counts_.verdicts += keep->verdicts.size();
    }
  }
  if (!taken.empty() && done) {
    ++counts_.commits;
    if (counts_.state == StoreState::failing) {
      counts_.state = StoreState::ok;
      counts_.reason.clear();
    }
  }
}

// One transaction. An error that concerns one unit alone is its outcome; any other undoes all.
Result<void> Writer::apply_all(std::vector<Unit*>& units) {
  if (auto begun = connection_.run("BEGIN IMMEDIATE"); !begun) return begun;
  const auto now_us = now();
  Result<void> done;
  for (auto* unit : units) {
    unit->numbers.clear();
    unit->outcome = {};
    if (unit->verdicts_only) {
      for (const auto& change : unit->changes) {
        unit->numbers.push_back(*applier_.apply(change, now_us));  // only notes them
      }
      continue;
    }
    done = applier_.flush(now_us);
    if (done) done = apply_alone(*unit);
    if (!done) break;
  }
  if (done) done = applier_.flush(now_us);
  if (done) done = connection_.run("COMMIT");
  if (!done) roll_back();
  return done;
}

// Between savepoints. An error of this unit alone stands in its outcome; what is returned concerns all.
Result<void> Writer::apply_alone(Unit& unit) {
  if (auto saved = connection_.run("SAVEPOINT unit"); !saved) return saved;
  const auto now_us = now();
  Result<void> done;
  for (const auto& change : unit.changes) {
    auto number = applier_.apply(change, now_us);
    if (!number) {
      done = std::move(number).error();
      break;
    }
    unit.numbers.push_back(*number);
  }
  if (done) done = applier_.flush(now_us);
  if (!done) {
    applier_.forget();
    // Anything but a change that makes no sense (a key that is there already) is the disk's or the file's.
    if (done.error().code != Errc::invalid || !connection_.in_transaction()) return done;
    unit.outcome = std::move(done);
    if (auto back = connection_.run("ROLLBACK TO unit"); !back) return back;
  }
  return connection_.run("RELEASE unit");
}

void Writer::roll_back() {
  applier_.forget();
  // SQLite has rolled back by itself after most errors.
  if (connection_.in_transaction()) (void)connection_.run("ROLLBACK");
}

std::int64_t Writer::now() const {
  if (options_.clock) return options_.clock();
  return now_us();
}

void Writer::set_state(StoreState state, std::string reason) {
  const std::lock_guard lock(mutex_);
  if (counts_.state == StoreState::corrupt) return;  // for good
  counts_.state = state;
  counts_.reason = std::move(reason);
}

void Writer::note_failure(const Error& error) {
  switch (error.code) {
    case Errc::exhausted:
      set_state(StoreState::full, path_.string() + ": " + error.message);
      break;
    case Errc::corrupt:
      set_state(StoreState::corrupt, path_.string() + ": " + error.message);
      break;
    case Errc::invalid:
    case Errc::not_found:
    case Errc::unsupported:
    case Errc::io:
      set_state(StoreState::failing, path_.string() + ": " + error.message);
      break;
  }
}

void Writer::keep_log_short() {
  if (connection_.log_pages() < kLogPages) return;
  if (auto done = connection_.checkpoint(connection_.log_pages() >= kLogPagesMax); !done) {
    note_failure(done.error());
  }
}

}  // namespace nidus::store
