#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/result.h"

namespace nidus::serve {

enum class LogLevel : std::uint8_t { debug, info, warning, error };
LogLevel log_level_of(std::string_view name);  // "warning"; info for a name that is none

// The log: one JSON object a line, with `time`, `level`, `event` and what else the event has. A thread of its
// own writes, so that a slow disk delays nobody; when lines come faster than they can be written, lines are
// lost and the next one says how many. A file that has grown too large is set aside as FILE.1, FILE.2, …
//
// Thread-safe.
class Log {
 public:
  struct Options {
    LogLevel level = LogLevel::info;
    std::filesystem::path file;  // empty: standard error
    std::uint64_t rotate_bytes = 100u << 20;
    std::size_t keep = 5;
    std::size_t waiting_bytes_max = 8u << 20;
  };
  using Value = std::variant<std::string_view, std::int64_t, std::uint64_t, double, bool>;
  using Fields = std::initializer_list<std::pair<std::string_view, Value>>;

  // Errc::io if the file cannot be opened.
  static Result<std::unique_ptr<Log>> open(Options options);
  ~Log();  // writes what waits

  bool wants(LogLevel level) const;
  void set_level(LogLevel level);
  // `event` is a word that machines look for: "detector_loaded".
  void write(LogLevel level, std::string_view event, Fields fields);
  void debug(std::string_view event, Fields fields) { write(LogLevel::debug, event, fields); }
  void info(std::string_view event, Fields fields) { write(LogLevel::info, event, fields); }
  void warning(std::string_view event, Fields fields) { write(LogLevel::warning, event, fields); }
  void error(std::string_view event, Fields fields) { write(LogLevel::error, event, fields); }

  // Opens the file again, for who moved it away.
  void reopen();
  std::uint64_t lost() const;  // lines so far
  // Waits until all that was written so far is with the system.
  void flush();

 private:
  struct Impl;
  explicit Log(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace nidus::serve
