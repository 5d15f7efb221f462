#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <vector>

#include "base/result.h"
#include "store/internal/database.h"
#include "store/store.h"

namespace nidus::store {

// A few connections that read, lent to one question at a time. Thread-safe. The questions are those of Store.
class Readers {
 public:
  Readers(std::filesystem::path path, Access access, std::size_t connections_max);

  Result<std::vector<Alert>> alerts(const AlertQuery& query, AlertCursor after, std::size_t limit);
  Result<Alert> alert(std::int64_t id);
  Result<std::vector<TriageStep>> triage_of(std::int64_t alert);
  Result<std::vector<AlertGroup>> group(const AlertQuery& query, GroupBy by, std::size_t limit);
  Result<std::vector<Verdict>> verdicts(const VerdictQuery& query, std::int64_t before, std::size_t limit);
  Result<std::vector<Bucket>> histogram(const VerdictQuery& query, std::int64_t width_us, std::size_t limit);
  Result<Job> job(const std::string& id);
  Result<std::vector<Job>> jobs(std::size_t limit);
  Result<std::vector<AuditEntry>> audit(std::int64_t before, std::size_t limit);
  Result<std::uint64_t> verify_audit();
  Result<std::vector<ApiKey>> keys();
  Result<std::vector<Activation>> activations(std::size_t limit);
  Result<std::int64_t> version();

 private:
  // Goes back to the others in the end.
  class Borrowed {
   public:
    Borrowed(Readers& readers, std::unique_ptr<Connection> connection)
        : readers_(&readers), connection_(std::move(connection)) {}
    Borrowed(Borrowed&&) noexcept = default;
    Borrowed& operator=(Borrowed&&) noexcept = default;
    ~Borrowed();
    const Connection* operator->() const { return connection_.get(); }

   private:
    Readers* readers_;
    std::unique_ptr<Connection> connection_;
  };
  Result<Borrowed> borrow();

  const std::filesystem::path path_;
  const Access access_;
  const std::size_t connections_max_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable returned_;
  std::vector<std::unique_ptr<Connection>> idle_;
  std::size_t made_ = 0;

  std::mutex version_mutex_;  // guards the connection that is asked for the version, always the same
  std::unique_ptr<Connection> version_connection_;
};

}  // namespace nidus::store
