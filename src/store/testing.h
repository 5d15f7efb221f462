#pragma once

#include <sqlite3.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>

#include "store/store.h"

// For tests only.
namespace nidus::store {

inline Address v4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
  return {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d};
}

// An attack on 10.0.0.2:80 over TCP.
inline Verdict attack(Address source, std::int64_t time_us = 0, double score = 0.9) {
  Verdict verdict;
  verdict.time_us = time_us;
  verdict.attack = true;
  verdict.label = "dos";
  verdict.score = score;
  verdict.detector = "forest 1";
  verdict.origin = "test";
  verdict.source = source;
  verdict.target = v4(10, 0, 0, 2);
  verdict.source_port = 4000;
  verdict.target_port = 80;
  verdict.protocol = 6;
  return verdict;
}

// Runs SQL on a database behind the back of its store.
inline int run_sql(const std::filesystem::path& path, const std::string& sql) {
  sqlite3* connection = nullptr;
  int code = sqlite3_open(path.c_str(), &connection);
  if (code == SQLITE_OK) code = sqlite3_exec(connection, sql.c_str(), nullptr, nullptr, nullptr);
  sqlite3_close(connection);
  return code;
}

// While it lives, every database of this process lies on a disk that can be told to fail: the system's, with
// one layer between (https://www.sqlite.org/vfs.html).
class FaultyDisk {
 public:
  FaultyDisk();
  FaultyDisk(const FaultyDisk&) = delete;
  FaultyDisk& operator=(const FaultyDisk&) = delete;
  ~FaultyDisk();

  // The `after`th write, truncation or sync from now fails with `code`, and so do all that follow.
  void fail(int code, std::int64_t after = 1) {
    code_ = code;
    left_ = after;
  }
  void mend() { left_ = -1; }
  bool has_failed() const { return left_ == 0; }

  // The outcome of the next operation that changes the disk.
  int change() {
    auto left = left_.load();
    while (left > 0 && !left_.compare_exchange_weak(left, left - 1)) {
    }
    return left == 0 || left == 1 ? code_.load() : SQLITE_OK;
  }

 private:
  std::atomic<int> code_{SQLITE_OK};
  std::atomic<std::int64_t> left_{-1};  // negative: never
};

}  // namespace nidus::store
