#include "store/internal/apply.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <span>

#include "base/digest.h"
#include "base/json_writer.h"
#include "store/internal/condition.h"

namespace nidus::store {
namespace {

// Labels whose new alerts are counted; detectors have at most 4,096.
constexpr std::size_t kLabelsCountedMax = 1 << 14;

std::span<const std::uint8_t> bytes_of(const Address* address) {
  return address != nullptr ? std::span<const std::uint8_t>(*address) : std::span<const std::uint8_t>();
}

const Address* if_known(const std::optional<Address>& address) { return address ? &*address : nullptr; }

static_assert(static_cast<int>(AlertState::resolved) == 4);  // as find_alert says

std::string group_of(const std::string& label, const Address* source, const Address* target) {
  std::string key = label;
  key += '\0';
  for (const Address* address : {source, target}) {
    key += address != nullptr ? '+' : '-';
    if (address != nullptr) key.append(reinterpret_cast<const char*>(address->data()), address->size());
  }
  return key;
}

}  // namespace

std::string audit_hash(std::string_view before, const AuditEntry& entry) {
  std::string line(before);
  line += '\n';
  JsonWriter json(line);
  json.begin_array();
  json.value(entry.id);
  json.value(entry.time_us);
  for (const auto* text :
       {&entry.who, &entry.action, &entry.object, &entry.address, &entry.request_id, &entry.outcome}) {
    json.value(std::string_view(*text));
  }
  json.end_array();
  return sha256_hex(std::as_bytes(std::span(line.data(), line.size())));
}

Result<void> Applier::prepare(const Connection& connection) {
  connection_ = &connection;
  struct Wanted {
    Statement* statement;
    const char* sql;
  };
  const Wanted all[] = {
      {&insert_verdict_,
       "INSERT INTO verdicts(time_us, received_us, attack, label, score, detector, origin, source, target, "
       "source_port, target_port, protocol, flow, alert) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"},
      {&find_alert_,
       "SELECT id, first_us, last_us, count, score_max FROM alerts WHERE label = ? AND source = ? AND target "
       "= ? "
       "AND last_us >= ? AND first_us <= ? AND state <> 4 ORDER BY last_us DESC LIMIT 1"},
      {&insert_alert_,
       "INSERT INTO alerts(label, source, target, first_us, last_us, count, state, touched_us, score_max, "
       "detector, origin, source_port, target_port, protocol, flow) "
       "VALUES(?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?)"},
      {&update_alert_, "UPDATE alerts SET first_us = ?, last_us = ?, count = ?, touched_us = ? WHERE id = ?"},
      {&update_sample_,
       "UPDATE alerts SET score_max = ?, detector = ?, origin = ?, source_port = ?, target_port = ?, "
       "protocol = ?, flow = ? WHERE id = ?"},
      {&put_job_,
       "INSERT INTO jobs(id, kind, state, progress, owner, request, result, error, created_us, changed_us) "
       "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(id) DO UPDATE SET kind = excluded.kind, "
       "state = excluded.state, progress = excluded.progress, owner = excluded.owner, "
       "request = excluded.request, result = excluded.result, error = excluded.error, "
       "created_us = excluded.created_us, changed_us = excluded.changed_us"},
      {&forget_job_, "DELETE FROM jobs WHERE id = ?"},
      {&last_audit_, "SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1"},
      {&insert_audit_,
       "INSERT INTO audit(id, time_us, who, action, object, address, request_id, outcome, hash) "
       "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)"},
      {&insert_key_,
       "INSERT INTO keys(id, digest, name, scopes, created_us, expires_us, revoked_us, used_us, rotates) "
       "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)"},
      {&revoke_key_, "UPDATE keys SET revoked_us = ? WHERE id = ? AND revoked_us IS NULL"},
      {&use_key_, "UPDATE keys SET used_us = ? WHERE id = ?"},
      {&insert_activation_,
       "INSERT INTO activations(time_us, slot, detector, version, sha256, role, share, who) "
       "VALUES(?, ?, ?, ?, ?, ?, ?, ?)"},
  };
  for (const auto& [statement, sql] : all) {
    auto prepared = connection.prepare(sql);
    if (!prepared) return std::move(prepared).error();
    *statement = std::move(*prepared);
  }
  return {};
}

Result<std::int64_t> Applier::apply(const Change& change, std::int64_t now_us) {
  struct Visitor {
    Applier& self;
    std::int64_t now_us;

    Result<std::int64_t> operator()(const Keep& keep) const {
      for (const auto& verdict : keep.verdicts) self.waiting_.push_back(&verdict);
      return static_cast<std::int64_t>(keep.verdicts.size());
    }
    Result<std::int64_t> operator()(const Triage& triage) const {
      // It means the alerts of the verdicts before it, too.
      if (auto flushed = self.flush(now_us); !flushed) return std::move(flushed).error();
      return self.triage(triage, now_us);
    }
    Result<std::int64_t> operator()(const Job& job) const { return self.put(job); }
    Result<std::int64_t> operator()(const AuditEntry& entry) const { return self.append(entry); }
    Result<std::int64_t> operator()(const NewKey& key) const { return self.add(key.key); }
    Result<std::int64_t> operator()(const RevokeKey& key) const {
      return self.stamp(self.revoke_key_, key.id, key.time_us);
    }
    Result<std::int64_t> operator()(const UseKey& key) const {
      return self.stamp(self.use_key_, key.id, key.time_us);
    }
    Result<std::int64_t> operator()(const Activation& activation) const { return self.add(activation); }
    Result<std::int64_t> operator()(const ForgetJob& job) const { return self.forget(job.id); }
  };
  return std::visit(Visitor{*this, now_us}, change);
}

Result<void> Applier::flush(std::int64_t now_us) {
  if (waiting_.empty()) return {};
  opened_.clear();
  by_group_.clear();
  std::vector<Place> places;
  places.reserve(waiting_.size());
  for (const auto* verdict : waiting_) {
    std::size_t open = SIZE_MAX;
    if (verdict->attack) {
      auto found = open_for(*verdict, now_us);
      if (!found) return std::move(found).error();
      open = *found;
    }
    places.push_back({verdict, open});
  }
  for (auto& open : opened_) {
    if (auto written = write_alert(open, now_us); !written) return written;
  }
  for (const auto& [verdict, open] : places) {
    auto written = write_verdict(*verdict, open == SIZE_MAX ? 0 : opened_[open].id, now_us);
    if (!written) return written;
  }
  waiting_.clear();
  return {};
}

// Counts an attack in the alert that it belongs to.
Result<std::size_t> Applier::open_for(const Verdict& verdict, std::int64_t now_us) {
  const Address* source = if_known(verdict.source);
  const Address* target = if_known(verdict.target);
  auto found = find(verdict, source, target);
  if (!found) return found;
  if (*found == SIZE_MAX) {
    // A flood of invented sources, or a scan of a network, must not bury every other alert: beyond the limit
    // the attacks of a label share one alert without addresses. Each verdict is still kept with its own.
    if (begun_.size() > kLabelsCountedMax) begun_.clear();
    Begun& begun = begun_[verdict.label];
    if (now_us - begun.since_us > options_.alert_window_us || now_us < begun.since_us) begun = {now_us, 0};
    if (begun.count >= options_.alerts_per_window_max) {
      source = target = nullptr;
      found = find(verdict, source, target);
      if (!found) return found;
    }
    if (*found == SIZE_MAX) {
      ++begun.count;
      Open open;
      open.first_us = open.last_us = verdict.time_us;
      open.score_max = -std::numeric_limits<double>::infinity();
      open.label = verdict.label;
      if (source != nullptr) open.source = *source;
      if (target != nullptr) open.target = *target;
      found = opened_.size();
      by_group_[group_of(verdict.label, source, target)].push_back(opened_.size());
      opened_.push_back(std::move(open));
    }
  }
  Open& open = opened_[*found];
  open.first_us = std::min(open.first_us, verdict.time_us);
  open.last_us = std::max(open.last_us, verdict.time_us);
  ++open.count;
  if (verdict.score > open.score_max || (open.id == 0 && open.sample == nullptr)) {
    open.score_max = verdict.score;
    open.sample = &verdict;
  }
  return found;
}

// The alert of this group that is near enough in time: of this flush, else of the database. SIZE_MAX: none.
Result<std::size_t> Applier::find(const Verdict& verdict, const Address* source, const Address* target) {
  const std::int64_t window = options_.alert_window_us;
  auto& members = by_group_[group_of(verdict.label, source, target)];
  for (const std::size_t at : members) {
    const Open& open = opened_[at];
    if (verdict.time_us >= open.first_us - window && verdict.time_us <= open.last_us + window) return at;
  }
  find_alert_.reset();
  find_alert_.bind(0, verdict.label);
  find_alert_.bind(1, bytes_of(source));
  find_alert_.bind(2, bytes_of(target));
  find_alert_.bind(3, verdict.time_us - window);
  find_alert_.bind(4, verdict.time_us + window);
  auto row = find_alert_.step();
  if (!row) return std::move(row).error();
  if (!*row) return SIZE_MAX;
  Open open;
  open.id = find_alert_.integer(0);
  open.first_us = find_alert_.integer(1);
  open.last_us = find_alert_.integer(2);
  open.count = static_cast<std::uint64_t>(find_alert_.integer(3));
  open.score_max = find_alert_.real(4);
  find_alert_.reset();
  // It may be here already, and have grown towards this verdict from another side.
  for (const std::size_t at : members) {
    if (opened_[at].id == open.id) return at;
  }
  members.push_back(opened_.size());
  opened_.push_back(std::move(open));
  return opened_.size() - 1;
}

Result<void> Applier::write_alert(Open& open, std::int64_t now_us) {
  if (open.id == 0) {
    const Verdict& sample = *open.sample;
    Statement& s = insert_alert_;
    s.bind(0, open.label);
    s.bind(1, bytes_of(if_known(open.source)));
    s.bind(2, bytes_of(if_known(open.target)));
    s.bind(3, open.first_us);
    s.bind(4, open.last_us);
    s.bind(5, open.count);
    s.bind(6, now_us);
    s.bind(7, open.score_max);
    s.bind(8, sample.detector);
    s.bind(9, sample.origin);
    s.bind(10, int{sample.source_port});
    s.bind(11, int{sample.target_port});
    s.bind(12, int{sample.protocol});
    s.bind(13, sample.flow);
    if (auto done = s.run(); !done) return done;
    open.id = connection_->last_id();
    return {};
  }
  update_alert_.bind(0, open.first_us);
  update_alert_.bind(1, open.last_us);
  update_alert_.bind(2, open.count);
  update_alert_.bind(3, now_us);
  update_alert_.bind(4, open.id);
  if (auto done = update_alert_.run(); !done || open.sample == nullptr) return done;
  Statement& s = update_sample_;
  s.bind(0, open.score_max);
  s.bind(1, open.sample->detector);
  s.bind(2, open.sample->origin);
  s.bind(3, int{open.sample->source_port});
  s.bind(4, int{open.sample->target_port});
  s.bind(5, int{open.sample->protocol});
  s.bind(6, open.sample->flow);
  s.bind(7, open.id);
  return s.run();
}

Result<void> Applier::write_verdict(const Verdict& verdict, std::int64_t alert, std::int64_t now_us) {
  Statement& s = insert_verdict_;
  s.bind(0, verdict.time_us);
  s.bind(1, now_us);
  s.bind(2, int{verdict.attack});
  s.bind(3, verdict.label);
  s.bind(4, verdict.score);
  s.bind(5, verdict.detector);
  s.bind(6, verdict.origin);
  s.bind(7, bytes_of(if_known(verdict.source)));
  s.bind(8, bytes_of(if_known(verdict.target)));
  s.bind(9, int{verdict.source_port});
  s.bind(10, int{verdict.target_port});
  s.bind(11, int{verdict.protocol});
  s.bind(12, verdict.flow);
  if (alert != 0) {
    s.bind(13, alert);
  } else {
    s.bind_null(13);
  }
  return s.run();
}

Result<std::int64_t> Applier::triage(const Triage& triage, std::int64_t now_us) {
  const Condition which = condition_of(triage.which);
  std::optional<std::int64_t> state;
  if (triage.state) state = static_cast<std::int64_t>(*triage.state);
  auto steps = connection_->prepare(
      "INSERT INTO triage(alert, time_us, author, state, comment) "
      "SELECT id, ?, ?, coalesce(?, state), ? FROM alerts" +
      which.sql());
  if (!steps) return std::move(steps).error();
  steps->bind(0, triage.time_us);
  steps->bind(1, triage.author);
  steps->bind(2, state);
  steps->bind(3, triage.comment);
  which.bind(*steps, 4);
  if (auto done = steps->run(); !done) return std::move(done).error();
  const auto count = connection_->changed();
  auto alerts =
      connection_->prepare("UPDATE alerts SET state = coalesce(?, state), touched_us = ?" + which.sql());
  if (!alerts) return std::move(alerts).error();
  alerts->bind(0, state);
  alerts->bind(1, now_us);
  which.bind(*alerts, 2);
  if (auto done = alerts->run(); !done) return std::move(done).error();
  return count;
}

Result<std::int64_t> Applier::put(const Job& job) {
  Statement& s = put_job_;
  s.bind(0, job.id);
  s.bind(1, job.kind);
  s.bind(2, static_cast<int>(job.state));
  s.bind(3, job.progress);
  s.bind(4, job.owner);
  s.bind(5, job.request);
  s.bind(6, job.result);
  s.bind(7, job.error);
  s.bind(8, job.created_us);
  s.bind(9, job.changed_us);
  if (auto done = s.run(); !done) return std::move(done).error();
  return 1;
}

Result<std::int64_t> Applier::forget(const std::string& job) {
  forget_job_.bind(0, job);
  if (auto done = forget_job_.run(); !done) return std::move(done).error();
  return connection_->changed();
}

Result<std::int64_t> Applier::append(const AuditEntry& entry) {
  auto row = last_audit_.step();
  if (!row) return std::move(row).error();
  AuditEntry whole = entry;
  whole.id = 1;
  std::string before;
  if (*row) {
    whole.id = last_audit_.integer(0) + 1;
    before = last_audit_.text(1);
  }
  last_audit_.reset();
  whole.hash = audit_hash(before, whole);
  Statement& s = insert_audit_;
  s.bind(0, whole.id);
  s.bind(1, whole.time_us);
  s.bind(2, whole.who);
  s.bind(3, whole.action);
  s.bind(4, whole.object);
  s.bind(5, whole.address);
  s.bind(6, whole.request_id);
  s.bind(7, whole.outcome);
  s.bind(8, whole.hash);
  if (auto done = s.run(); !done) return std::move(done).error();
  return whole.id;
}

Result<std::int64_t> Applier::add(const ApiKey& key) {
  Statement& s = insert_key_;
  s.bind(0, key.id);
  s.bind(1, key.digest);
  s.bind(2, key.name);
  s.bind(3, std::int64_t{key.scopes});
  s.bind(4, key.created_us);
  s.bind(5, key.expires_us);
  s.bind(6, key.revoked_us);
  s.bind(7, key.used_us);
  s.bind(8, key.rotates);
  if (auto done = s.run(); !done) return std::move(done).error();
  return 1;
}

Result<std::int64_t> Applier::stamp(Statement& statement, const std::string& id, std::int64_t time_us) {
  statement.bind(0, time_us);
  statement.bind(1, id);
  if (auto done = statement.run(); !done) return std::move(done).error();
  return connection_->changed();
}

Result<std::int64_t> Applier::add(const Activation& activation) {
  Statement& s = insert_activation_;
  s.bind(0, activation.time_us);
  s.bind(1, activation.slot);
  s.bind(2, activation.detector);
  s.bind(3, activation.version);
  s.bind(4, activation.sha256);
  s.bind(5, activation.role);
  s.bind(6, activation.share);
  s.bind(7, activation.who);
  if (auto done = s.run(); !done) return std::move(done).error();
  return connection_->last_id();
}

}  // namespace nidus::store
