#include "store/internal/schema.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace nidus::store {
namespace {

// Reading all of it takes a fraction of a second up to here.
constexpr std::uintmax_t kCheckedBytesMax = std::uintmax_t{64} << 20;

// Step N takes version N to N + 1. A step that was ever released is never changed; docs/formats/store.md
// describes the tables as they are after the last.
constexpr const char* kSteps[] = {
    // 0 to 1.
    R"sql(
CREATE TABLE verdicts(
  id INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, received_us INTEGER NOT NULL, attack INTEGER NOT NULL,
  label TEXT NOT NULL, score REAL, detector TEXT NOT NULL, origin TEXT NOT NULL,
  source BLOB NOT NULL, target BLOB NOT NULL, source_port INTEGER NOT NULL, target_port INTEGER NOT NULL,
  protocol INTEGER NOT NULL, flow TEXT NOT NULL, alert INTEGER);
CREATE INDEX verdicts_time ON verdicts(time_us);
CREATE INDEX verdicts_alert ON verdicts(alert) WHERE alert IS NOT NULL;

CREATE TABLE alerts(
  id INTEGER PRIMARY KEY AUTOINCREMENT, label TEXT NOT NULL, source BLOB NOT NULL, target BLOB NOT NULL,
  first_us INTEGER NOT NULL, last_us INTEGER NOT NULL, count INTEGER NOT NULL, state INTEGER NOT NULL,
  touched_us INTEGER NOT NULL, score_max REAL, detector TEXT NOT NULL, origin TEXT NOT NULL,
  source_port INTEGER NOT NULL, target_port INTEGER NOT NULL, protocol INTEGER NOT NULL, flow TEXT NOT NULL);
CREATE INDEX alerts_group ON alerts(label, source, target, last_us);
CREATE INDEX alerts_last ON alerts(last_us);
CREATE INDEX alerts_touched ON alerts(touched_us);

CREATE TABLE triage(
  id INTEGER PRIMARY KEY, alert INTEGER NOT NULL, time_us INTEGER NOT NULL, author TEXT NOT NULL,
  state INTEGER NOT NULL, comment TEXT NOT NULL);
CREATE INDEX triage_alert ON triage(alert);

CREATE TABLE jobs(
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, state INTEGER NOT NULL, progress REAL NOT NULL, owner TEXT NOT NULL,
  request TEXT NOT NULL, result TEXT NOT NULL, error TEXT NOT NULL, created_us INTEGER NOT NULL,
  changed_us INTEGER NOT NULL);
CREATE INDEX jobs_changed ON jobs(changed_us);

CREATE TABLE audit(
  id INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL,
  object TEXT NOT NULL, address TEXT NOT NULL, request_id TEXT NOT NULL, outcome TEXT NOT NULL,
  hash TEXT NOT NULL);
CREATE TRIGGER audit_stays BEFORE DELETE ON audit BEGIN SELECT raise(ABORT, 'the audit is not deleted from'); END;
CREATE TRIGGER audit_holds BEFORE UPDATE ON audit BEGIN SELECT raise(ABORT, 'the audit is not changed'); END;

CREATE TABLE keys(
  id TEXT PRIMARY KEY, digest TEXT NOT NULL, name TEXT NOT NULL, scopes INTEGER NOT NULL,
  created_us INTEGER NOT NULL, expires_us INTEGER, revoked_us INTEGER, used_us INTEGER);

CREATE TABLE activations(
  id INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, slot TEXT NOT NULL, detector TEXT NOT NULL,
  version TEXT NOT NULL, sha256 TEXT NOT NULL, role TEXT NOT NULL, share REAL NOT NULL, who TEXT NOT NULL);
)sql",
    // 1 to 2: keys know which one they replace.
    "ALTER TABLE keys ADD COLUMN rotates TEXT NOT NULL DEFAULT '';",
};
static_assert(std::size(kSteps) == kSchemaVersion);

Error system_error(const std::filesystem::path& path) {
  return {errno == ENOENT ? Errc::not_found : Errc::io, path.string() + ": " + std::strerror(errno)};
}

// A descriptor that is closed in the end.
struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

Result<void> create_database(const std::filesystem::path& path) {
  std::filesystem::path folder = path.parent_path();
  if (folder.empty()) folder = ".";
  const Descriptor lock{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (lock.fd < 0 || ::flock(lock.fd, LOCK_EX) != 0) return system_error(folder);
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored)) return {};

  // Beside it, and then renamed. What a creation that was killed left there is worth nothing.
  const std::filesystem::path beside = path.string() + ".new";
  for (const char* suffix : {"", "-journal", "-wal", "-shm"}) {
    std::filesystem::remove(beside.string() + suffix, ignored);
  }
  {
    // Addresses of people and digests of keys are nobody else's business; SQLite gives its log the same
    // rights.
    const Descriptor made{::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
    if (made.fd < 0) return system_error(beside);
  }
  {
    auto connection = Connection::open(beside, Access::create);
    if (!connection) return std::move(connection).error().within(beside.string());
    auto done = connection->run(
        "PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;"
        "PRAGMA synchronous = FULL;");
    if (done) done = migrate(*connection);
    // Closing would do it as well, but could not say that it failed.
    if (done) done = connection->checkpoint(true);
    if (!done) return std::move(done).error().within(beside.string());
  }
  if (::rename(beside.c_str(), path.c_str()) != 0) return system_error(path);
  if (::fsync(lock.fd) != 0) return system_error(folder);
  return {};
}

Result<std::int64_t> check_database(const Connection& connection, const std::filesystem::path& path) {
  const std::string name = path.string();
  const auto wrong = [&](Error error) {
    if (error.code != Errc::corrupt) return std::move(error).within(name);
    return Error{Errc::corrupt, name + ": " + error.message +
                                    "; it was not changed: restore it from a copy, or move it away to begin "
                                    "with an empty store"};
  };
  auto application = connection.number("PRAGMA application_id");
  if (!application) return wrong(std::move(application).error());
  auto version = connection.number("PRAGMA user_version");
  if (!version) return wrong(std::move(version).error());
  if (*application != kApplication) return wrong({Errc::corrupt, "this is no store of nidus"});
  if (*version < 1) return wrong({Errc::corrupt, "this store has no version"});
  if (*version > kSchemaVersion) {
    return Error{Errc::unsupported, fmt::format("{}: is of version {}, this program knows versions up to {}",
                                                name, *version, kSchemaVersion)};
  }
  std::error_code failed;
  const auto bytes = std::filesystem::file_size(path, failed);
  if (!failed && bytes <= kCheckedBytesMax) {
    auto check = connection.prepare("PRAGMA quick_check(1)");
    if (!check) return wrong(std::move(check).error());
    auto row = check->step();
    if (!row) return wrong(std::move(row).error());
    if (const auto verdict = *row ? check->text(0) : "no answer"; verdict != "ok") {
      return wrong({Errc::corrupt, "damaged: " + verdict});
    }
  }
  return *version;
}

Result<void> migrate(const Connection& connection) {
  if (auto begun = connection.run("BEGIN IMMEDIATE"); !begun) return begun;
  // Asked again under the lock: another process may have been faster.
  auto version = connection.number("PRAGMA user_version");
  Result<void> done;
  if (!version) {
    done = std::move(version).error();
  } else {
    for (auto step = *version; done && step < kSchemaVersion; ++step) done = connection.run(kSteps[step]);
  }
  if (done) {
    done = connection.run(fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}; COMMIT",
                                      kApplication, kSchemaVersion)
                              .c_str());
  }
  if (!done && connection.in_transaction()) (void)connection.run("ROLLBACK");
  return done;
}

}  // namespace nidus::store
