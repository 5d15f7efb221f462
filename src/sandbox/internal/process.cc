#include "sandbox/internal/process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace nidus::sandbox::internal {
namespace {

// The most that an unprivileged process may ask for.
constexpr int kPipeBytes = 1 << 20;

Error system_error(const char* what, int code) {
  return {Errc::io, std::string(what) + ": " + std::strerror(code)};
}

}  // namespace

Result<Process> Process::start(const std::filesystem::path& program,
                               const std::vector<std::string>& arguments) {
  int in[2], out[2];
  if (::pipe2(in, O_CLOEXEC) != 0) return system_error("cannot make a pipe", errno);
  if (::pipe2(out, O_CLOEXEC) != 0) {
    const int code = errno;
    ::close(in[0]);
    ::close(in[1]);
    return system_error("cannot make a pipe", code);
  }
  // A small pipe works too.
  ::fcntl(in[1], F_SETPIPE_SZ, kPipeBytes);
  ::fcntl(out[0], F_SETPIPE_SZ, kPipeBytes);
  ::fcntl(in[1], F_SETFL, O_NONBLOCK);
  ::fcntl(out[0], F_SETFL, O_NONBLOCK);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  // The two ends may have the numbers 0 and 1 themselves, if somebody closed those of this process.
  const int read_end = ::fcntl(in[0], F_DUPFD_CLOEXEC, 3);
  const int write_end = ::fcntl(out[1], F_DUPFD_CLOEXEC, 3);
  posix_spawn_file_actions_adddup2(&actions, read_end, 0);
  posix_spawn_file_actions_adddup2(&actions, write_end, 1);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  posix_spawn_file_actions_addchdir_np(&actions, "/");

  // Signals as a new program expects them, whatever this thread blocks or ignores.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t all, none;
  sigfillset(&all);
  sigemptyset(&none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setpgroup(&attributes, 0);  // Ctrl-C is for us; we tell it
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);

  // Nothing of our environment, in which there may be secrets, but where its libraries are.
  std::vector<std::string> kept;
  if (const char* const path = std::getenv("LD_LIBRARY_PATH"); path != nullptr)
    kept.push_back(std::string("LD_LIBRARY_PATH=") + path);
  std::vector<char*> environment;
  for (auto& variable : kept) environment.push_back(variable.data());
  environment.push_back(nullptr);

  std::string name = program.string();
  std::vector<std::string> words = arguments;
  std::vector<char*> argv{name.data()};
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  pid_t pid = -1;
  const int failed = read_end < 0 || write_end < 0 ? EMFILE
                                                   : ::posix_spawn(&pid, name.c_str(), &actions, &attributes,
                                                                   argv.data(), environment.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  for (const int fd : {in[0], out[1], read_end, write_end}) {
    if (fd >= 0) ::close(fd);
  }
  if (failed != 0) {
    ::close(in[1]);
    ::close(out[0]);
    return system_error("cannot start a process", failed);
  }
  return Process(pid, in[1], out[0]);
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      input_(std::exchange(other.input_, -1)),
      output_(std::exchange(other.output_, -1)),
      status_(other.status_) {}

Process& Process::operator=(Process&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(input_, other.input_);
  std::swap(output_, other.output_);
  std::swap(status_, other.status_);
  return *this;
}

Process::~Process() {
  close_input();
  if (pid_ > 0 && !status_) {
    kill();
    reap();
  }
  if (output_ >= 0) ::close(output_);
}

void Process::close_input() {
  if (input_ >= 0) ::close(std::exchange(input_, -1));
}

// Only reap() gives the number back to the system, so it is nobody else's as long as the object lives.
void Process::kill() const {
  if (pid_ > 0) ::kill(pid_, SIGKILL);
}

int Process::reap() {
  if (status_) return *status_;
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  status_ = status;
  return status;
}

}  // namespace nidus::sandbox::internal
