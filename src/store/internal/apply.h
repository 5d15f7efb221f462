#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "store/internal/database.h"
#include "store/records.h"

namespace nidus::store {

// Puts changes into the open transaction of a connection.
//
// Verdicts are not written one by one: they wait for flush(), which finds the alert of each label, source and
// target once, however many verdicts of a flood it is to count, and writes alerts and verdicts then.
class Applier {
 public:
  struct Options {
    std::int64_t alert_window_us = 0;
    std::size_t alerts_per_window_max = 0;
  };

  explicit Applier(Options options) : options_(options) {}
  // Before anything else. The connection must outlive the applier.
  Result<void> prepare(const Connection& connection);

  // The number that belongs to the change. `change` must live until flush() or forget().
  Result<std::int64_t> apply(const Change& change, std::int64_t now_us);
  Result<void> flush(std::int64_t now_us);
  // After a transaction was rolled back.
  void forget() { waiting_.clear(); }

 private:
  // An alert as it will be written by flush().
  struct Open {
    std::int64_t id = 0;  // 0: not written yet
    std::int64_t first_us = 0, last_us = 0;
    std::uint64_t count = 0;
    double score_max = 0;
    const Verdict* sample = nullptr;  // null: that of the database is still the best
    std::string label;
    std::optional<Address> source, target;
  };
  // How many alerts of a label began in the present window.
  struct Begun {
    std::int64_t since_us = 0;
    std::size_t count = 0;
  };
  struct Place {
    const Verdict* verdict;
    std::size_t open;  // into opened_; SIZE_MAX if it belongs to no alert
  };

  Result<std::size_t> open_for(const Verdict& verdict, std::int64_t now_us);
  Result<std::size_t> find(const Verdict& verdict, const Address* source, const Address* target);
  Result<void> write_alert(Open& open, std::int64_t now_us);
  Result<void> write_verdict(const Verdict& verdict, std::int64_t alert, std::int64_t now_us);

  Result<std::int64_t> triage(const Triage& triage, std::int64_t now_us);
  Result<std::int64_t> put(const Job& job);
  Result<std::int64_t> append(const AuditEntry& entry);
  Result<std::int64_t> add(const ApiKey& key);
  Result<std::int64_t> forget(const std::string& job);
  Result<std::int64_t> stamp(Statement& statement, const std::string& id, std::int64_t time_us);
  Result<std::int64_t> add(const Activation& activation);

  const Connection* connection_ = nullptr;
  Options options_;
  std::vector<const Verdict*> waiting_;
  std::vector<Open> opened_;                                            // of one flush
  std::unordered_map<std::string, std::vector<std::size_t>> by_group_;  // of one flush
  std::map<std::string, Begun, std::less<>> begun_;

  Statement insert_verdict_, find_alert_, insert_alert_, update_alert_, update_sample_;
  Statement put_job_, forget_job_, last_audit_, insert_audit_, insert_key_, revoke_key_, use_key_,
      insert_activation_;
};

// What the hash of an audit entry is of, but for the hash before it: docs/formats/store.md.
std::string audit_hash(std::string_view before, const AuditEntry& entry);

}  // namespace nidus::store
