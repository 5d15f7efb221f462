#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/records.h"

namespace nidus::store {

// Which verdicts are kept. Alerts are made of attacks that are kept.
enum class KeepPolicy : std::uint8_t { none, attacks, all };

struct StoreOptions {
  KeepPolicy keep = KeepPolicy::attacks;
  // Verdicts without any address too. Nobody can follow them up, and a service is asked for very many.
  bool keep_without_addresses = false;

  // An attack is counted in the alert of its label, source and target if it is no further in time from it;
  // else, or if that alert was resolved, it begins another.
  std::int64_t alert_window_us = 600'000'000;

  // Verdicts, alerts and finished jobs that were received or touched longer ago are deleted; 0: never. Keys,
  // activations and the audit stay.
  std::int64_t age_max_us = 90LL * 86'400 * 1'000'000;
  // Of the database. Beyond nine tenths of it the oldest verdicts, then the oldest alerts are deleted; if
  // that is not enough, verdicts and jobs are refused.
  std::uint64_t bytes_max = std::uint64_t{4} << 30;
  // With less free on its disk, verdicts and jobs are refused; what people do (triage, keys, audit) is not.
  std::uint64_t free_bytes_min = std::uint64_t{64} << 20;
  // Changes that wait for the disk, in memory. Beyond it they are refused.
  std::uint64_t waiting_bytes_max = std::uint64_t{64} << 20;

  bool read_only = false;                   // reads beside another process that writes
  std::size_t readers_max = 4;              // connections; further readers wait for one
  std::int64_t maintenance_us = 1'000'000;  // how often age, size and disk are looked at
  // Now, in microseconds since 1970; the system's clock if null. Asked from any thread.
  std::function<std::int64_t()> clock;
};

enum class StoreState : std::uint8_t {
  ok,
  full,       // the size or the disk's reserve is used up: verdicts and jobs are refused
  failing,    // the disk refuses to be written: read-only, broken
  corrupt,    // the database contradicts itself: nothing is written any more
  read_only,  // opened so, or on a disk that is
};
std::string_view name(StoreState state);

struct StoreCounts {
  StoreState state = StoreState::ok;
  std::string reason;                              // why it is not ok, for a person
  std::uint64_t bytes = 0, bytes_free_inside = 0;  // of the database; free pages of it
  std::uint64_t waiting = 0, waiting_bytes = 0;    // writes that are not committed yet
  std::uint64_t commits = 0, writes = 0;           // ever; writes by commits is how well they are grouped
  std::uint64_t verdicts = 0;                      // kept, ever
  std::uint64_t refused_full = 0, refused_behind = 0, failed = 0;  // writes
  std::uint64_t expired = 0;                                       // rows deleted for age or size
  std::uint64_t clock_jumps =
      0;  // the system's clock ran ahead by more than an hour; see docs/formats/store.md
};

// What the service must not forget, in one SQLite database (docs/formats/store.md).
//
// One thread writes, and puts all that waits for it into one transaction, so that the wait for the disk is
// shared. A write is acknowledged after the disk has it, never before: what was acknowledged survives
// `kill -9` and loss of power. Reading never waits for writing. Other processes may read and write the same
// database at the same time, as `nidus keys` does.
//
// A database that cannot be understood is an error and stays as it is; it is never begun anew.
//
// Thread-safe.
class Store {
 public:
  // Makes the file if there is none, and brings an older version up to date. Errc::corrupt if it is damaged
  // or not ours, Errc::unsupported if it is of a later version, Errc::io. A disk that cannot be written gives
  // a store in state read_only.
  static Result<Store> open(const std::filesystem::path& path, StoreOptions options = {});

  Store(Store&&) noexcept;
  Store& operator=(Store&&) noexcept;
  ~Store();  // commits what waits

  // For each change its number, as records.h says.
  using Numbers = std::vector<std::int64_t>;
  using Done = std::function<void(Result<Numbers>)>;

  // Makes all changes or none, and says so when they are on disk. `done` is called once, on the thread that
  // writes, and must not block; or before write() returns, if there is nothing to be written or it is
  // refused. Writes take effect in the order of the calls. Errc::exhausted when full or behind, Errc::io when
  // failing, Errc::corrupt.
  void write(std::vector<Change> changes, Done done);
  // The same, and waits for it. Not on the thread that writes.
  Result<Numbers> write(std::vector<Change> changes);
  // Whether the policy takes it: what a write of others costs can be saved.
  bool keeps(const Verdict& verdict) const;

  // Newest first.
  Result<std::vector<Alert>> alerts(const AlertQuery& query, AlertCursor after, std::size_t limit) const;
  Result<Alert> alert(std::int64_t id) const;                           // Errc::not_found
  Result<std::vector<TriageStep>> triage_of(std::int64_t alert) const;  // oldest first
  // The groups with most verdicts.
  Result<std::vector<AlertGroup>> group(const AlertQuery& query, GroupBy by, std::size_t limit) const;

  // Newest first by receipt, with ids below `before`.
  Result<std::vector<Verdict>> verdicts(const VerdictQuery& query, std::int64_t before,
                                        std::size_t limit) const;
  // Kept verdicts by time and label. Errc::exhausted if there are more than `limit` buckets.
  Result<std::vector<Bucket>> histogram(const VerdictQuery& query, std::int64_t width_us,
                                        std::size_t limit) const;

  Result<Job> job(const std::string& id) const;                                         // Errc::not_found
  Result<std::vector<Job>> jobs(std::size_t limit) const;                               // newest first
  Result<std::vector<AuditEntry>> audit(std::int64_t before, std::size_t limit) const;  // newest first
  // Recomputes the chain. How many entries there are; Errc::corrupt names the first that was tampered with.
  Result<std::uint64_t> verify_audit() const;
  Result<std::vector<ApiKey>> keys() const;                              // oldest first
  Result<std::vector<Activation>> activations(std::size_t limit) const;  // newest first

  // Changes whenever anybody's commit may have changed an answer, other processes' included.
  Result<std::int64_t> version() const;
  StoreCounts counts() const;

 private:
  struct Impl;
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace nidus::store
