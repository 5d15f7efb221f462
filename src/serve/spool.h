#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace nidus::serve {

struct SpoolLimits {
  std::size_t memory_bytes = std::size_t{1} << 20;
  std::uint64_t bytes_max = std::uint64_t{8} << 30;
};

// Text that is written first and sent later: in memory as long as it is short, then in a file without a name,
// which goes with the object or the process. One made by at() is in a file with a name from the start, and
// stays there if it is kept.
//
// Not thread-safe.
class Spool {
 public:
  explicit Spool(std::filesystem::path folder = {},
                 SpoolLimits limits = {});  // no folder: that of temporary files
  Spool(Spool&& other) noexcept;
  Spool& operator=(Spool&&) = delete;
  ~Spool();

  // In this file, which is made, or emptied. It goes with the object unless keep() is called. Errc::io.
  static Result<Spool> at(const std::filesystem::path& file, SpoolLimits limits = {});
  // What is in a file that was kept. It stays. Errc::not_found, Errc::io.
  static Result<Spool> open(const std::filesystem::path& file);

  // Of one made by at(): all of it is on disk when this returns, and stays there. Errors as of append().
  Result<void> keep();

  // Errc::exhausted beyond the limit or when the disk is full; Errc::io if
  // there can be no file.
  Result<void> append(std::string_view text);
  std::uint64_t size() const { return filed_ + held_.size(); }

  // From `at` on, as much as there is and fits; nothing behind the end.
  Result<std::size_t> read_at(std::uint64_t at, std::span<char> into) const;
  // Everything, front to back, in pieces. The first error of `take` ends it and
  // is passed on.
  Result<void> read(const std::function<Result<void>(std::string_view)>& take) const;

 private:
  Result<void> file();

  std::filesystem::path folder_;
  std::filesystem::path named_;  // the file that is to go with the object
  SpoolLimits limits_;
  std::string held_;         // behind what is in the file
  std::uint64_t filed_ = 0;  // bytes in the file
  int fd_ = -1;
};

// Whether an error of a spool says that its disk is full: ours to mend, not the caller's, unlike an answer
// that is longer than its limit.
bool is_disk_full(const Error& error);

}  // namespace nidus::serve
