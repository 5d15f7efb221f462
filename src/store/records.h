#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

// What the store holds, as plain values. Times are microseconds since 1970, UTC. Texts are UTF-8.
namespace nidus::store {

// In network order; an IPv4 address as IPv4-mapped IPv6, so that both sort and compare alike.
using Address = std::array<std::uint8_t, 16>;

struct AddressRange {
  Address first{}, last{};  // both belong to it
};

// What a detector said of one flow.
struct Verdict {
  std::int64_t id = 0;       // given by the store, ascending in the order of receipt
  std::int64_t time_us = 0;  // of the flow: its last packet, or the moment it was asked about
  bool attack = false;
  std::string label;
  double score = 0;
  std::string detector;                   // "name version"
  std::string origin;                     // what was asked: "predict", "capture", "stream"
  std::optional<Address> source, target;  // not known of rows that are only features
  std::uint16_t source_port = 0, target_port = 0;
  std::uint8_t protocol = 0;
  std::string flow;        // what else is to be kept: a JSON object, or empty
  std::int64_t alert = 0;  // the alert that it was counted in; 0: none. Given by the store
};

enum class AlertState : std::uint8_t { fresh, acknowledged, escalated, false_positive, resolved };

// Attacks of one label from one source against one target, none later than the window after the one before
// it.
struct Alert {
  std::int64_t id = 0;
  std::string label;
  std::optional<Address> source, target;
  std::int64_t first_us = 0, last_us = 0;
  std::uint64_t count = 0;
  AlertState state = AlertState::fresh;
  std::int64_t touched_us = 0;  // when a verdict or a person last changed it
  // Of the verdict with the highest score, the first of equals.
  double score_max = 0;
  std::string detector, origin;
  std::uint16_t source_port = 0, target_port = 0;
  std::uint8_t protocol = 0;
  std::string flow;
};

// One step of a person's work on an alert.
struct TriageStep {
  std::int64_t time_us = 0;
  std::string author;
  AlertState state = AlertState::fresh;  // after it
  std::string comment;
};

enum class JobState : std::uint8_t { waiting, running, done, failed, cancelled };

struct Job {
  std::string id, kind;
  JobState state = JobState::waiting;
  double progress = 0;          // 0 to 1
  std::string owner;            // whose request made it
  std::string request, result;  // JSON, or empty
  std::string error;            // why it failed
  std::int64_t created_us = 0, changed_us = 0;
};

// What somebody did, or was refused. Entries are chained by their hashes and never change.
struct AuditEntry {
  std::int64_t id = 0;  // 1, 2, 3 …
  std::int64_t time_us = 0;
  std::string who, action, object, address, request_id, outcome;
  std::string hash;  // 64 hexadecimal digits; docs/formats/store.md says of what. Given by the store
};

struct ApiKey {
  std::string id;      // public part
  std::string digest;  // of the secret, which is not kept: 64 hexadecimal digits
  std::string name;
  std::uint32_t scopes = 0;
  std::int64_t created_us = 0;
  std::optional<std::int64_t> expires_us, revoked_us, used_us;
  std::string rotates;  // the key that it replaces, or empty
};

// A detector that began to serve, or ceased to.
struct Activation {
  std::int64_t id = 0;
  std::int64_t time_us = 0;
  std::string slot;  // which of the served detectors
  std::string detector, version, sha256;
  std::string role;  // "active", "canary", "shadow", "off"
  double share = 1;  // of flows that it judges
  std::string who;
};

// What an alert must be to be meant. What is left out is not asked.
struct AlertQuery {
  std::vector<std::int64_t> ids;
  std::optional<std::int64_t> from_us, to_us;  // some of it in [from, to)
  std::vector<AlertState> states;
  std::string label, detector;
  std::optional<AddressRange> source, target, either;
  std::optional<double> score_min;
  std::optional<std::uint64_t> count_min;
};

struct VerdictQuery {
  std::optional<std::int64_t> from_us, to_us;  // [from, to)
  std::optional<bool> attack;
  std::string label, detector;
  std::optional<AddressRange> source, target, either;
  std::optional<std::int64_t> alert;
};

// Where a page of alerts ended; the next begins after it. The newest come first.
struct AlertCursor {
  std::int64_t last_us = INT64_MAX, id = INT64_MAX;
};

enum class GroupBy : std::uint8_t { label, source, target, state, detector };

// Alerts that have `by` in common.
struct AlertGroup {
  std::string text;                // label or detector
  std::optional<Address> address;  // source or target
  AlertState state = AlertState::fresh;
  std::uint64_t alerts = 0, verdicts = 0;
  std::int64_t first_us = 0, last_us = 0;
  double score_max = 0;
};

// Kept verdicts of one label in [start, start + width).
struct Bucket {
  std::int64_t start_us = 0;
  std::string label;
  std::uint64_t verdicts = 0;
};

// ---- Changes: what can be written. Each yields a number, see Store::write.

// Verdicts that the policy takes are kept, and attacks among them counted in alerts. The number: how many.
struct Keep {
  std::vector<Verdict> verdicts;
};

// The number: how many alerts were meant.
struct Triage {
  AlertQuery which;
  std::optional<AlertState> state;  // left as it is without
  std::string comment;
  std::string author;
  std::int64_t time_us = 0;
};

struct NewKey {
  ApiKey key;
};

// 1, or 0 if there is no such key or it was revoked before.
struct RevokeKey {
  std::string id;
  std::int64_t time_us = 0;
};

struct UseKey {
  std::string id;
  std::int64_t time_us = 0;
};

// 1, or 0 if there is no such job.
struct ForgetJob {
  std::string id;
};

// A Job replaces the one with the same id. The number of an AuditEntry and an Activation: its id.
using Change = std::variant<Keep, Triage, Job, AuditEntry, NewKey, RevokeKey, UseKey, Activation, ForgetJob>;

}  // namespace nidus::store
