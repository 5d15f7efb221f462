#include "store/internal/database.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <limits>

namespace nidus::store {
namespace {

// Another process that writes holds its lock for the time of one transaction.
constexpr int kBusyMilliseconds = 10'000;
// While readers are in the way of emptying the log, writes wait.
constexpr int kTruncateMilliseconds = 50;
// Steps of SQLite's machine between two looks at the clock: under a millisecond.
constexpr int kStepsBetweenLooks = 20'000;

Errc errc_of(int code) {
  switch (code & 0xff) {
    case SQLITE_FULL:
    case SQLITE_TOOBIG:
    case SQLITE_INTERRUPT:
    case SQLITE_NOMEM:
      return Errc::exhausted;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
      return Errc::corrupt;
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
      return Errc::invalid;
    default:
      return Errc::io;
  }
}

}  // namespace

Error error_of(sqlite3* connection, int code) {
  std::string message = connection != nullptr ? sqlite3_errmsg(connection) : sqlite3_errstr(code);
  // What the message leaves out: which of the dozens of I/O errors.
  const int extended = connection != nullptr ? sqlite3_extended_errcode(connection) : code;
  if ((code & 0xff) == SQLITE_INTERRUPT) message = "the question takes too long: ask for less";
  if ((code & 0xff) == SQLITE_IOERR) message += fmt::format(" ({})", extended);
  return {errc_of(code), std::move(message)};
}

void Statement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
void Connection::Close::operator()(sqlite3* connection) const { sqlite3_close_v2(connection); }

void Statement::bind(int at, std::int64_t number) {
  CHECK(sqlite3_bind_int64(statement_.get(), at + 1, number) == SQLITE_OK);
}

void Statement::bind(int at, double number) {
  CHECK(sqlite3_bind_double(statement_.get(), at + 1, number) == SQLITE_OK);
}

void Statement::bind(int at, std::string_view text) {
  // A null pointer would be NULL, and an empty view may have one. What is beyond a gigabyte is refused by
  // step.
  const char* data = text.data() != nullptr ? text.data() : "";
  const int code =
      sqlite3_bind_text64(statement_.get(), at + 1, data, text.size(), SQLITE_STATIC, SQLITE_UTF8);
  CHECK(code == SQLITE_OK || code == SQLITE_TOOBIG);
}

void Statement::bind(int at, std::span<const std::uint8_t> blob) {
  static constexpr std::uint8_t kNothing = 0;
  const auto* data = blob.empty() ? &kNothing : blob.data();
  CHECK(sqlite3_bind_blob64(statement_.get(), at + 1, data, blob.size(), SQLITE_STATIC) == SQLITE_OK);
}

void Statement::bind_null(int at) { CHECK(sqlite3_bind_null(statement_.get(), at + 1) == SQLITE_OK); }

Result<bool> Statement::step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  Error error = error_of(connection_, code);
  sqlite3_reset(statement_.get());
  return error;
}

Result<void> Statement::run() {
  auto row = step();
  if (!row) return std::move(row).error();
  reset();
  return {};
}

void Statement::reset() { sqlite3_reset(statement_.get()); }

bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }

double Statement::real(int column) const {
  return is_null(column) ? std::numeric_limits<double>::quiet_NaN()
                         : sqlite3_column_double(statement_.get(), column);
}

std::string Statement::text(int column) const {
  const auto* text = sqlite3_column_text(statement_.get(), column);
  if (text == nullptr) return {};
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return {reinterpret_cast<const char*>(text), static_cast<std::size_t>(size)};
}

std::span<const std::uint8_t> Statement::blob(int column) const {
  const auto* data = static_cast<const std::uint8_t*>(sqlite3_column_blob(statement_.get(), column));
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return {data, data != nullptr ? static_cast<std::size_t>(size) : 0};
}

std::optional<std::int64_t> Statement::integer_if(int column) const {
  if (is_null(column)) return std::nullopt;
  return integer(column);
}

Result<Connection> Connection::open(const std::filesystem::path& path, Access access) {
  Connection made;
  // A URI only where a parameter is needed: a name with a question mark or percent sign stays what it is.
  std::string name = path.string();
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  switch (access) {
    case Access::create:
      flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
      break;
    case Access::write:
      flags |= SQLITE_OPEN_READWRITE;
      break;
    case Access::read:
      flags |= SQLITE_OPEN_READONLY;
      break;
    case Access::frozen: {
      flags |= SQLITE_OPEN_READONLY | SQLITE_OPEN_URI;
      std::string uri = "file:";
      for (const char c : name) {
        if (c == '?' || c == '#' || c == '%') {
          uri += fmt::format("%{:02x}", static_cast<unsigned char>(c));
        } else {
          uri += c;
        }
      }
      name = uri + "?immutable=1";
      break;
    }
  }
  sqlite3* connection = nullptr;
  const int code = sqlite3_open_v2(name.c_str(), &connection, flags, nullptr);
  made.connection_.reset(connection);
  if (code != SQLITE_OK) return error_of(connection, code);
  sqlite3_busy_timeout(connection, kBusyMilliseconds);
  // Nothing in a database may run code when it is read: it may come from somebody else.
  sqlite3_db_config(connection, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(connection, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  // The writer looks after the log itself, when nobody waits for it.
  sqlite3_wal_hook(
      connection,
      [](void* pages, sqlite3*, const char*, int count) {
        *static_cast<int*>(pages) = count;
        return SQLITE_OK;
      },
      made.log_pages_.get());
  sqlite3_progress_handler(
      connection, kStepsBetweenLooks,
      [](void* deadline) {
        const auto& limit = *static_cast<std::chrono::steady_clock::time_point*>(deadline);
        return int{limit != std::chrono::steady_clock::time_point::max() &&
                   std::chrono::steady_clock::now() > limit};
      },
      made.deadline_.get());
  return made;
}

Result<Statement> Connection::prepare(std::string_view sql) const {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(connection_.get(), sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return error_of(connection_.get(), code);
  return Statement(connection_.get(), statement);
}

Result<void> Connection::run(const char* sql) const {
  const int code = sqlite3_exec(connection_.get(), sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return error_of(connection_.get(), code);
  return {};
}

Result<std::int64_t> Connection::number(std::string_view sql) const {
  auto statement = prepare(sql);
  if (!statement) return std::move(statement).error();
  auto row = statement->step();
  if (!row) return std::move(row).error();
  return *row ? statement->integer(0) : 0;
}

std::int64_t Connection::last_id() const { return sqlite3_last_insert_rowid(connection_.get()); }
std::int64_t Connection::changed() const { return sqlite3_changes64(connection_.get()); }
bool Connection::in_transaction() const { return sqlite3_get_autocommit(connection_.get()) == 0; }

Result<void> Connection::checkpoint(bool truncate) const {
  int log = 0, done = 0;
  const int mode = truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE;
  if (truncate) sqlite3_busy_timeout(connection_.get(), kTruncateMilliseconds);
  const int code = sqlite3_wal_checkpoint_v2(connection_.get(), nullptr, mode, &log, &done);
  if (truncate) sqlite3_busy_timeout(connection_.get(), kBusyMilliseconds);
  // Busy: readers still need pages of the log. The next time, then.
  if (code != SQLITE_OK && (code & 0xff) != SQLITE_BUSY) return error_of(connection_.get(), code);
  if (code == SQLITE_OK && log == done) *log_pages_ = 0;
  return {};
}

}  // namespace nidus::store
