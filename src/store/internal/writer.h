#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "store/internal/apply.h"
#include "store/internal/database.h"
#include "store/store.h"

namespace nidus::store {

// Of a clock that nobody sets and that goes on while the machine sleeps.
std::int64_t boot_microseconds();

// The thread that writes: takes all that waits, puts it into one transaction, commits, and only then says so.
// Between transactions it looks after age, size and the log.
class Writer {
 public:
  // `connection` must be open for writing and of the present version.
  static Result<std::unique_ptr<Writer>> start(Connection connection, const std::filesystem::path& path,
                                               const StoreOptions& options);
  ~Writer();  // commits what waits

  void write(std::vector<Change> changes, Store::Done done);
  StoreCounts counts() const;

 private:
  struct Unit {
    std::vector<Change> changes;
    Store::Done done;
    std::size_t bytes = 0;
    bool verdicts_only = false;  // cannot fail alone, so it needs no savepoint
    bool bulk = false;           // what is refused when there is little room
    Store::Numbers numbers;
    Result<void> outcome;
  };

  Writer(Connection connection, std::filesystem::path path, const StoreOptions& options);
  void run();
  void commit(std::vector<Unit>& units);
  Result<void> apply_all(std::vector<Unit*>& units);
  Result<void> apply_alone(Unit& unit);
  void roll_back();

  // In retention.cc. Age, size and disk; true if there is more to delete at once.
  bool maintain();
  Result<std::int64_t> remove_old(std::int64_t before_us);
  Result<std::int64_t> remove(const char* which, std::int64_t before_us);
  std::int64_t retention_now();
  bool over_size() const { return used_bytes_ > options_.bytes_max / 10 * 9; }
  void measure();
  void measure_disk();
  void keep_log_short();

  std::int64_t now() const;
  void set_state(StoreState state, std::string reason);
  // The code of an Error turned into the state of the store.
  void note_failure(const Error& error);

  Connection connection_;
  std::filesystem::path path_;
  StoreOptions options_;
  Applier applier_;
  std::uint64_t used_bytes_ = 0;                       // of the database, as last measured
  std::int64_t started_us_ = 0, started_boot_us_ = 0;  // the moment of opening by two clocks
  bool jumped_ = false;

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  std::vector<Unit> waiting_;
  std::uint64_t waiting_bytes_ = 0, committing_ = 0;
  bool stop_ = false;
  StoreCounts counts_;

  std::thread thread_;
};

}  // namespace nidus::store
