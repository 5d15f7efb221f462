#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace nidus::sandbox::internal {

// A child process and the two pipes to it: its standard input, which we write, and its standard output, which
// we read. Nothing else of ours is open in it. Both ends here do not block.
//
// One thread may write to input() while another does the rest.
class Process {
 public:
  // Errc::io if the system refuses.
  static Result<Process> start(const std::filesystem::path& program,
                               const std::vector<std::string>& arguments);

  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;
  ~Process();  // kills and reaps

  int input() const { return input_; }
  int output() const { return output_; }
  void close_input();

  void kill() const;
  // Waits for its end. waitpid()'s status.
  int reap();

 private:
  Process(pid_t pid, int input, int output) : pid_(pid), input_(input), output_(output) {}

  pid_t pid_ = -1;  // -1: none, or reaped
  int input_ = -1, output_ = -1;
  std::optional<int> status_;
};

}  // namespace nidus::sandbox::internal
