#pragma once

// For tests only: the program itself, serving.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "base/testing.h"

namespace nidus {

// A running `nidus serve`.
class Running {
 public:
  Running(std::vector<std::string> words,
          const std::vector<std::pair<std::string, std::string>>& environment = {}) {
    int pipe[2];
    EXPECT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
    words.insert(words.begin(), {NIDUS_PROGRAM, "serve"});
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    child_ = ::fork();
    if (child_ == 0) {
      ::dup2(pipe[1], STDERR_FILENO);
      ::setenv("XDG_STATE_HOME", state_.path().c_str(), 1);
      for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
      ::execv(NIDUS_PROGRAM, arguments.data());
      ::_exit(127);
    }
    ::close(pipe[1]);
    errors_ = pipe[0];
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
    ::close(errors_);
  }

  // Waits until standard error has said this. False if it ended before, or took longer than half a minute.
  bool says(const std::string& text) {
    while (said_.find(text) == std::string::npos) {
      pollfd file{errors_, POLLIN, 0};
      char bytes[4096];
      if (::poll(&file, 1, 30000) <= 0) return false;
      const ssize_t n = ::read(errors_, bytes, sizeof(bytes));
      if (n <= 0) return false;
      said_.append(bytes, static_cast<std::size_t>(n));
    }
    return true;
  }
  const std::string& said() const { return said_; }

  std::uint16_t port() {
    if (!says("listening on http") || !says("\n")) return 0;
    const auto at = said_.find("listening on http");
    const auto colon = said_.find(':', said_.find("//", at));
    const auto last = said_.substr(colon + 1, said_.find('\n', colon) - colon - 1);
    return static_cast<std::uint16_t>(std::atoi(last.c_str()));
  }

  void signal(int number) const { ::kill(child_, number); }
  int wait() {
    int status = 0;
    ::waitpid(std::exchange(child_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  TemporaryFolder state_;  // what it keeps, unless it is told where
  pid_t child_ = -1;
  int errors_ = -1;
  std::string said_;
};

}  // namespace nidus
