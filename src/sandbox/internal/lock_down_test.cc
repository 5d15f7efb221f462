#include "sandbox/internal/lock_down.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

namespace nidus::sandbox::internal {
namespace {

using testing::ExitedWithCode;
using testing::KilledBySignal;

// In a process of its own, since there is no way back.
void lock_down() {
  if (!limit_resources({std::uint64_t{1} << 30, 60})) ::_exit(2);
  if (!filter_system_calls()) ::_exit(3);
}

class LockDownTest : public testing::Test {
 protected:
  void SetUp() override {
    EXPECT_EXIT(
        {
          lock_down();
          ::_exit(0);
        },
        ExitedWithCode(0), "");
    if (HasFailure()) GTEST_SKIP() << "this system does not filter system calls";
  }
};
using LockDownDeathTest = LockDownTest;

TEST_F(LockDownDeathTest, WhatACaptureNeedsGoesOn) {
  EXPECT_EXIT(
      {
        lock_down();
        std::vector<std::string> memory;
        for (int i = 0; i < 100; ++i) memory.emplace_back(1 << 20, 'x');
        std::size_t sum = 0;
        std::thread thread([&] {
          for (const auto& piece : memory) sum += piece.size();
        });
        thread.join();
        ::_exit(sum == 100u << 20 ? 0 : 1);
      },
      ExitedWithCode(0), "");
}

TEST_F(LockDownDeathTest, EverythingElseEndsTheProcess) {
#define ENDS(statement)            \
  EXPECT_EXIT(                     \
      {                            \
        lock_down();               \
        if (statement) ::_exit(4); \
        ::_exit(0);                \
      },                           \
      KilledBySignal(SIGSYS), "")  \
      << #statement
  ENDS(::socket(AF_INET, SOCK_STREAM, 0) >= 0);
  ENDS(::fork() >= 0);
  ENDS(::execl("/bin/true", "true", nullptr) == 0);
  ENDS(::kill(::getppid(), 0) == 0);
  ENDS(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0);
  ENDS(::unlink("/tmp/nidus-sandbox-test") == 0);
  ENDS(::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == nullptr);
  ENDS(::write(7, "x", 1) == 1);
#undef ENDS
}

TEST_F(LockDownDeathTest, NoFileIsOpened) {
  EXPECT_EXIT(
      {
        lock_down();
        const bool refused = ::open("/etc/passwd", O_RDONLY) < 0 && errno == EACCES &&
                             ::open("/tmp/nidus-sandbox-test", O_WRONLY | O_CREAT, 0600) < 0;
        ::_exit(refused ? 0 : 1);
      },
      ExitedWithCode(0), "");
}

TEST_F(LockDownDeathTest, MemoryHasALimit) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_EXIT(
      {
        lock_down();
        void* const memory =
            ::mmap(nullptr, std::size_t{2} << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ::_exit(memory == MAP_FAILED ? 0 : 1);
      },
      ExitedWithCode(0), "");
#endif
}

}  // namespace
}  // namespace nidus::sandbox::internal
