#include "sandbox/internal/lock_down.h"

#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace nidus::sandbox::internal {
namespace {

// Sanitizers reserve terabytes of address space.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kLimitsMemory = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
constexpr bool kLimitsMemory = false;
#else
constexpr bool kLimitsMemory = true;
#endif
#else
constexpr bool kLimitsMemory = true;
#endif

bool limit(__rlimit_resource_t what, std::uint64_t soft, std::uint64_t hard) {
  const rlimit both{soft, hard};
  return ::setrlimit(what, &both) == 0;
}
bool limit(__rlimit_resource_t what, std::uint64_t most) { return limit(what, most, most); }

struct Rules {
  scmp_filter_ctx context = nullptr;
  int failed = 0;

  template <class... Conditions>
  void allow(int call, Conditions... conditions) {
    if (failed == 0)
      failed = seccomp_rule_add(context, SCMP_ACT_ALLOW, call, sizeof...(conditions), conditions...);
  }
  void refuse(int call, int with) {
    if (failed == 0) failed = seccomp_rule_add(context, SCMP_ACT_ERRNO(static_cast<unsigned>(with)), call, 0);
  }
};

}  // namespace

Result<void> limit_resources(const ProcessLimits& limits) {
  const bool done = (!kLimitsMemory || limit(RLIMIT_AS, limits.memory_bytes)) &&
                    // At the first SIGXCPU, which says why; at the second SIGKILL, which is not to be missed.
                    limit(RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 1) && limit(RLIMIT_FSIZE, 0) &&
                    limit(RLIMIT_CORE, 0) && limit(RLIMIT_NOFILE, 3) && limit(RLIMIT_MSGQUEUE, 0) &&
                    ::prctl(PR_SET_DUMPABLE, 0) == 0 && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
  if (!done) return Error{Errc::io, std::string("cannot limit this process: ") + std::strerror(errno)};
  return {};
}

Result<void> filter_system_calls() {
  Rules rules;
  rules.context = seccomp_init(SCMP_ACT_KILL_PROCESS);
  if (rules.context == nullptr) return Error{Errc::unsupported, "cannot make a filter of system calls"};

  rules.allow(SCMP_SYS(read), SCMP_A0(SCMP_CMP_EQ, 0));
  for (const unsigned out : {1u, 2u}) rules.allow(SCMP_SYS(write), SCMP_A0(SCMP_CMP_EQ, out));

  // Memory of our own, never to be run.
  rules.allow(SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
              SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS));
  rules.allow(SCMP_SYS(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
  for (const int call : {SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(brk), SCMP_SYS(madvise)})
    rules.allow(call);

  // The C library's allocator looks at a file of /proc when it gives memory back, and does without.
  rules.refuse(SCMP_SYS(openat), EACCES);

  // Threads of this process, which inherit the filter. What clone3 is to do lies in memory, where no filter
  // can look; the library then asks with clone.
  rules.refuse(SCMP_SYS(clone3), ENOSYS);
  rules.allow(SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
  for (const int call :
       {SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(gettid), SCMP_SYS(futex), SCMP_SYS(sched_yield),
        SCMP_SYS(sched_getaffinity), SCMP_SYS(sigaltstack), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask),
        SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall)}) {
    rules.allow(call);
  }

  for (const int call : {SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(getrandom), SCMP_SYS(exit),
                         SCMP_SYS(exit_group)}) {
    rules.allow(call);
  }

  int failed = rules.failed;
  if (failed == 0) failed = seccomp_load(rules.context);
  seccomp_release(rules.context);
  if (failed != 0) {
    return Error{Errc::unsupported,
                 std::string("this system does not filter system calls: ") + std::strerror(-failed)};
  }
  return {};
}

}  // namespace nidus::sandbox::internal
