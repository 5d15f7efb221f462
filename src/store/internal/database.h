#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace nidus::store {

// One prepared statement. Parameters and columns count from 0. Texts and blobs that are bound must live until
// reset() or the next bind of the same parameter; those that are read live until the next step().
class Statement {
 public:
  Statement() = default;
  Statement(sqlite3* connection, sqlite3_stmt* statement) : connection_(connection), statement_(statement) {}

  void bind(int at, std::int64_t number);
  void bind(int at, std::uint64_t number) { bind(at, static_cast<std::int64_t>(number)); }
  void bind(int at, int number) { bind(at, std::int64_t{number}); }
  void bind(int at, double number);  // NaN becomes NULL
  void bind(int at, std::string_view text);
  void bind(int at, const std::string& text) { bind(at, std::string_view(text)); }
  void bind(int at, std::span<const std::uint8_t> blob);
  template <class T>
  void bind(int at, const std::optional<T>& value) {
    if (value) {
      bind(at, *value);
    } else {
      bind_null(at);
    }
  }
  void bind_null(int at);

  // True if there is a row. A statement that failed or ended is reset by the next step.
  Result<bool> step();
  // For statements without rows: one step and reset.
  Result<void> run();
  void reset();

  bool is_null(int column) const;
  std::int64_t integer(int column) const;
  double real(int column) const;  // NULL is NaN
  std::string text(int column) const;
  std::span<const std::uint8_t> blob(int column) const;
  std::optional<std::int64_t> integer_if(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  sqlite3* connection_ = nullptr;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

enum class Access : std::uint8_t { create, write, read, frozen };  // frozen: on a disk that nobody can write

// One connection to a database. For one thread at a time.
class Connection {
 public:
  static Result<Connection> open(const std::filesystem::path& path, Access access);

  Result<Statement> prepare(std::string_view sql) const;
  Result<void> run(const char* sql) const;                  // any number of statements
  Result<std::int64_t> number(std::string_view sql) const;  // the first column of the first row

  std::int64_t last_id() const;
  std::int64_t changed() const;  // rows, by the last statement
  bool in_transaction() const;
  // Moves committed pages from the log to the database, as far as no reader needs them.
  Result<void> checkpoint(bool truncate) const;
  // A statement that runs past it ends with Errc::exhausted.
  void set_deadline(std::chrono::steady_clock::time_point deadline) { *deadline_ = deadline; }

  // How many pages the log held after the last commit of this connection.
  int log_pages() const { return *log_pages_; }

 private:
  struct Close {
    void operator()(sqlite3* connection) const;
  };
  // Known to hooks of SQLite, so they stay where they are when the object moves.
  std::unique_ptr<int> log_pages_ = std::make_unique<int>(0);
  std::unique_ptr<std::chrono::steady_clock::time_point> deadline_ =
      std::make_unique<std::chrono::steady_clock::time_point>(std::chrono::steady_clock::time_point::max());
  std::unique_ptr<sqlite3, Close> connection_;
};

// SQLite's result code as an Error with its own words.
Error error_of(sqlite3* connection, int code);

}  // namespace nidus::store
