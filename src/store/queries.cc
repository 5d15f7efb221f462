// What is read from the store, each question on a connection of its own.

#include <fmt/format.h>

#include <algorithm>

#include "store/internal/apply.h"
#include "store/internal/condition.h"
#include "store/internal/readers.h"
#include "store/store.h"

namespace nidus::store {
namespace {

constexpr std::string_view kAlertColumns =
    "id, label, source, target, first_us, last_us, count, state, touched_us, score_max, detector, origin, "
    "source_port, target_port, protocol, flow";
constexpr std::string_view kVerdictColumns =
    "id, time_us, attack, label, score, detector, origin, source, target, source_port, target_port, "
    "protocol, "
    "flow, alert";
constexpr std::string_view kJobColumns =
    "id, kind, state, progress, owner, request, result, error, created_us, changed_us";

std::optional<Address> address_at(const Statement& row, int column) {
  const auto bytes = row.blob(column);
  Address address;
  if (bytes.size() != address.size()) return std::nullopt;
  std::copy(bytes.begin(), bytes.end(), address.begin());
  return address;
}

// A database that was written by others may say anything.
template <class E>
E enum_at(const Statement& row, int column, E last) {
  return static_cast<E>(std::clamp<std::int64_t>(row.integer(column), 0, static_cast<std::int64_t>(last)));
}

Alert alert_at(const Statement& row) {
  Alert alert;
  alert.id = row.integer(0);
  alert.label = row.text(1);
  alert.source = address_at(row, 2);
  alert.target = address_at(row, 3);
  alert.first_us = row.integer(4);
  alert.last_us = row.integer(5);
  alert.count = static_cast<std::uint64_t>(row.integer(6));
  alert.state = enum_at(row, 7, AlertState::resolved);
  alert.touched_us = row.integer(8);
  alert.score_max = row.real(9);
  alert.detector = row.text(10);
  alert.origin = row.text(11);
  alert.source_port = static_cast<std::uint16_t>(row.integer(12));
  alert.target_port = static_cast<std::uint16_t>(row.integer(13));
  alert.protocol = static_cast<std::uint8_t>(row.integer(14));
  alert.flow = row.text(15);
  return alert;
}

Verdict verdict_at(const Statement& row) {
  Verdict verdict;
  verdict.id = row.integer(0);
  verdict.time_us = row.integer(1);
  verdict.attack = row.integer(2) != 0;
  verdict.label = row.text(3);
  verdict.score = row.real(4);
  verdict.detector = row.text(5);
  verdict.origin = row.text(6);
  verdict.source = address_at(row, 7);
  verdict.target = address_at(row, 8);
  verdict.source_port = static_cast<std::uint16_t>(row.integer(9));
  verdict.target_port = static_cast<std::uint16_t>(row.integer(10));
  verdict.protocol = static_cast<std::uint8_t>(row.integer(11));
  verdict.flow = row.text(12);
  verdict.alert = row.integer(13);
  return verdict;
}

Job job_at(const Statement& row) {
  Job job;
  job.id = row.text(0);
  job.kind = row.text(1);
  job.state = enum_at(row, 2, JobState::cancelled);
  job.progress = row.real(3);
  job.owner = row.text(4);
  job.request = row.text(5);
  job.result = row.text(6);
  job.error = row.text(7);
  job.created_us = row.integer(8);
  job.changed_us = row.integer(9);
  return job;
}

AuditEntry audit_at(const Statement& row) {
  return {row.integer(0), row.integer(1), row.text(2), row.text(3), row.text(4),
          row.text(5),    row.text(6),    row.text(7), row.text(8)};
}

constexpr std::string_view kAuditColumns =
    "id, time_us, who, action, object, address, request_id, outcome, hash";

// All rows of a statement that has its parameters.
template <class Make>
auto rows_of(Statement& statement, Make make) -> Result<std::vector<decltype(make(statement))>> {
  std::vector<decltype(make(statement))> rows;
  for (;;) {
    auto row = statement.step();
    if (!row) return std::move(row).error();
    if (!*row) return rows;
    rows.push_back(make(statement));
  }
}

std::int64_t whole(std::size_t limit) {
  return static_cast<std::int64_t>(std::min<std::size_t>(limit, INT64_MAX));
}

template <class Query>
void require_addresses(Condition& condition, const Query& query) {
  if (query.source) condition.require("source BETWEEN ? AND ?", query.source->first, query.source->last);
  if (query.target) condition.require("target BETWEEN ? AND ?", query.target->first, query.target->last);
  if (query.either) {
    condition.require("(source BETWEEN ? AND ? OR target BETWEEN ? AND ?)", query.either->first,
                      query.either->last, query.either->first, query.either->last);
  }
}

std::string column_of(GroupBy by) {
  switch (by) {
    case GroupBy::label:
      return "label";
    case GroupBy::source:
      return "source";
    case GroupBy::target:
      return "target";
    case GroupBy::state:
      return "state";
    case GroupBy::detector:
      return "detector";
  }
  CHECK(false);
}

}  // namespace

Condition condition_of(const AlertQuery& query) {
  Condition condition;
  if (!query.ids.empty()) {
    std::string list;
    for (const auto id : query.ids) list += fmt::format("{}{}", list.empty() ? "" : ",", id);
    condition.require("id IN (" + list + ")");
  }
  if (query.from_us) condition.require("last_us >= ?", *query.from_us);
  if (query.to_us) condition.require("first_us < ?", *query.to_us);
  if (!query.states.empty()) {
    std::string list;
    for (const auto state : query.states) list += fmt::format("{}{}", list.empty() ? "" : ",", int(state));
    condition.require("state IN (" + list + ")");
  }
  if (!query.label.empty()) condition.require("label = ?", query.label);
  if (!query.detector.empty()) condition.require("detector = ?", query.detector);
  require_addresses(condition, query);
  if (query.score_min) condition.require("score_max >= ?", *query.score_min);
  if (query.count_min) condition.require("count >= ?", whole(*query.count_min));
  return condition;
}

Condition condition_of(const VerdictQuery& query) {
  Condition condition;
  if (query.from_us) condition.require("time_us >= ?", *query.from_us);
  if (query.to_us) condition.require("time_us < ?", *query.to_us);
  if (query.attack) condition.require("attack = ?", std::int64_t{*query.attack});
  if (!query.label.empty()) condition.require("label = ?", query.label);
  if (!query.detector.empty()) condition.require("detector = ?", query.detector);
  require_addresses(condition, query);
  if (query.alert) condition.require("alert = ?", *query.alert);
  return condition;
}

Result<std::vector<Alert>> Readers::alerts(const AlertQuery& query, AlertCursor after, std::size_t limit) {
  auto reader = borrow();
  if (!reader) return std::move(reader).error();
  Condition condition = condition_of(query);
  condition.require("(last_us, id) < (?, ?)", after.last_us, after.id);
  auto statement = (*reader)->prepare(fmt::format(
      "SELECT {} FROM alerts{} ORDER BY last_us DESC, id DESC LIMIT ?", kAlertColumns, condition.sql()));
  if (!statement) return std::move(statement).error();
  statement->bind(condition.bind(*statement, 0), whole(limit));
  return rows_of(*statement, alert_at);
}

Result<Alert> Readers::alert(std::int64_t id) {
  AlertQuery query;
  query.ids = {id};
  auto found = alerts(query, {}, 1);
  if (!found) return std::move(found).error();
  if (found->empty()) return Error{Errc::not_found, fmt::format("there is no alert {}", id)};
  return std::move(found->front());
}

Result<std::vector<TriageStep>> Readers::triage_of(std::int64_t alert) {
  auto reader = borrow();
  if (!reader) return std::move(reader).error();
  auto statement =
      (*reader)->prepare("SELECT time_us, author, state, comment FROM triage WHERE alert = ? ORDER BY id");
  if (!statement) return std::move(statement).error();
  statement->bind(0, alert);
  return rows_of(*statement, [](const Statement& row) {
    return TriageStep{row.integer(0), row.text(1), enum_at(row, 2, AlertState::resolved), row.text(3)};
  });
}

Result<std::vector<AlertGroup>> Readers::group(const AlertQuery& query, GroupBy by, std::size_t limit) {
  auto reader = borrow();
  if (!reader) return std::move(reader).error();
  const Condition condition = condition_of(query);
  auto statement = (*reader)->prepare(fmt::format(
      "SELECT {0}, count(*), sum(count), min(first_us), max(last_us), max(score_max) FROM alerts{1} "
      "GROUP BY {0} ORDER BY 3 DESC, 1 LIMIT ?",
      column_of(by), condition.sql()));
  if (!statement) return std::move(statement).error();
  statement->bind(condition.bind(*statement, 0), whole(limit));
  return rows_of(*statement, [by](const Statement& row) {
    AlertGroup group;
    switch (by) {
      case GroupBy::label:
      case GroupBy::detector:
        group.text = row.text(0);
        break;
      case GroupBy::source:
      case GroupBy::target:
        group.address = address_at(row, 0);
        break;
      case GroupBy::state:
        group.state = enum_at(row, 0, AlertState::resolved);
        break;
    }
    group.alerts = static_cast<std::uint64_t>(row.integer(1));
    group.verdicts = static_cast<std::uint64_t>(row.integer(2));
    group.first_us = row.integer(3);
    group.last_us = row.integer(4);
    group.score_max = row.real(5);
    return group;
  });
}

Result<std::vector<Verdict>> Readers::verdicts(const VerdictQuery& query, std::int64_t before,
                                               std::size_t limit) {
  auto reader = borrow();
  if (!reader) return std::move(reader).error();
  Condition condition = condition_of(query);
  condition.require("id < ?", before);
  auto statement = (*reader)->prepare(
      fmt::format("SELECT {} FROM verdicts{} ORDER BY id DESC LIMIT ?", kVerdictColumns, condition.sql()));
  if (!statement) return std::move(statement).error();
  statement->bind(condition.bind(*statement, 0), whole(limit));
  return rows_of(*statement, verdict_at);
}

Result<std::vector<Bucket>> Readers::histogram(const VerdictQuery& query, std::int64_t width_us,
                                               std::size_t limit) {
  if (width_us <= 0) return Error{Errc::invalid, "the width of a bucket must be above zero"};
  auto reader = borrow();
  if (!reader) return std::move(reader).error();
  const Condition condition = condition_of(query);
  // Rounded towards the past, before 1970 too.
  auto statement =
      (*reader)->prepare(fmt::format("SELECT t - ((t % w) + w) % w AS start, label, count(*) "
                                     "FROM (SELECT time_us AS t, label FROM verdicts{}), (SELECT ? AS w) "
                                     "GROUP BY start, label ORDER BY start, label LIMIT ?",
                                     condition.sql()));
  if (!statement) return std::move(statement).error();
  const int next = condition.bind(*statement, 0);
  statement->bind(next, width_us);
  statement->bind(next + 1, whole(limit) + 1);
  auto buckets = rows_of(*statement, [](const Statement& row) {
    return Bucket{row.integer(0), row.text(1), static_cast<std::uint64_t>(row.integer(2))};
  });
  if (buckets && buckets->size() > limit) {
    return Error{Errc::exhausted, fmt::format("there are more than {} buckets: ask for wider ones", limit)};
  }
  return buckets;
}

Result<Job> Readers::job(const std::string& id) {
  auto reader = borrow();
  if (!reader) return std::move(reader).error();
  auto statement = (*reader)->prepare(fmt::format("SELECT {} FROM jobs WHERE id = ?", kJobColumns));
  if (!statement) return std::move(statement).error();
  statement->bind(0, id);
  auto found = rows_of(*statement, job_at);
  if (!found) return std::move(found).error();
  if (found->empty()) return Error{Errc::not_found, "there is no such job"};
  return std::move(found->front());
}

Result<std::vector<Job>> Readers::jobs(std::size_t limit) {
  auto reader = borrow();
  if (!reader) return std::move(reader).error();
  auto statement = (*reader)->prepare(
      fmt::format("SELECT {} FROM jobs ORDER BY created_us DESC, id LIMIT ?", kJobColumns));
  if (!statement) return std::move(statement).error();
  statement->bind(0, whole(limit));
  return rows_of(*statement, job_at);
}

Result<std::vector<AuditEntry>> Readers::audit(std::int64_t before, std::size_t limit) {
  auto reader = borrow();
  if (!reader) return std::move(reader).error();
  auto statement = (*reader)->prepare(
      fmt::format("SELECT {} FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?", kAuditColumns));
  if (!statement) return std::move(statement).error();
  statement->bind(0, before);
  statement->bind(1, whole(limit));
  return rows_of(*statement, audit_at);
}

Result<std::uint64_t> Readers::verify_audit() {
  auto reader = borrow();
  if (!reader) return std::move(reader).error();
  auto statement = (*reader)->prepare(fmt::format("SELECT {} FROM audit ORDER BY id", kAuditColumns));
  if (!statement) return std::move(statement).error();
  std::string before;
  for (std::int64_t expected = 1;; ++expected) {
    auto row = statement->step();
    if (!row) return std::move(row).error();
    if (!*row) return static_cast<std::uint64_t>(expected - 1);
    const AuditEntry entry = audit_at(*statement);
    if (entry.id != expected) {
      return Error{Errc::corrupt, fmt::format("audit entry {} is missing", expected)};
    }
    if (entry.hash != audit_hash(before, entry)) {
      return Error{Errc::corrupt, fmt::format("audit entry {} is not what was written", entry.id)};
    }
    before = entry.hash;
  }
}

Result<std::vector<ApiKey>> Readers::keys() {
  auto reader = borrow();
  if (!reader) return std::move(reader).error();
  auto statement = (*reader)->prepare(
      "SELECT id, digest, name, scopes, created_us, expires_us, revoked_us, used_us, rotates FROM keys "
      "ORDER BY created_us, id");
  if (!statement) return std::move(statement).error();
  return rows_of(*statement, [](const Statement& row) {
    return ApiKey{
        row.text(0),    row.text(1),       row.text(2),       static_cast<std::uint32_t>(row.integer(3)),
        row.integer(4), row.integer_if(5), row.integer_if(6), row.integer_if(7),
        row.text(8)};
  });
}

Result<std::vector<Activation>> Readers::activations(std::size_t limit) {
  auto reader = borrow();
  if (!reader) return std::move(reader).error();
  auto statement = (*reader)->prepare(
      "SELECT id, time_us, slot, detector, version, sha256, role, share, who FROM activations "
      "ORDER BY id DESC LIMIT ?");
  if (!statement) return std::move(statement).error();
  statement->bind(0, whole(limit));
  return rows_of(*statement, [](const Statement& row) {
    return Activation{row.integer(0), row.integer(1), row.text(2), row.text(3), row.text(4),
                      row.text(5),    row.text(6),    row.real(7), row.text(8)};
  });
}

}  // namespace nidus::store
