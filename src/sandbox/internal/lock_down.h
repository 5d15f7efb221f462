#pragma once

#include <cstdint>

#include "base/result.h"

namespace nidus::sandbox::internal {

struct ProcessLimits {
  std::uint64_t memory_bytes = 0;  // of address space
  std::uint64_t cpu_seconds = 0;
};

// From here on this process gets no more than this, writes no files, opens none and leaves no core dump.
Result<void> limit_resources(const ProcessLimits& limits);

// From here on every thread of this process may read its standard input, write its standard output and error,
// take and return memory that is not executable, start threads, and end. Opening a file fails; any other
// system call kills it: no socket, no process, nothing of other processes. Errc::unsupported if the system
// has no such filters.
Result<void> filter_system_calls();

}  // namespace nidus::sandbox::internal
