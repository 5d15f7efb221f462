// kill -9 at any instant loses nothing that was acknowledged, and leaves nothing half done.
//
// A child writes from several threads and reports each acknowledgement through a pipe, which is whole or not
// there, as writes to pipes are. The parent kills it at a random instant, reads what was reported, opens the
// store and compares. NIDUS_KILLS sets how often (200), NIDUS_SEED the instants.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "base/testing.h"
#include "store/store.h"
#include "store/testing.h"

namespace nidus::store {
namespace {

constexpr int kThreads = 3;

// One acknowledged write.
struct Report {
  std::uint32_t thread = 0, sequence = 0;
};

std::string mark(std::uint32_t round, std::uint32_t thread, std::uint32_t sequence) {
  return std::to_string(round) + "/" + std::to_string(thread) + "/" + std::to_string(sequence);
}

std::uint64_t number_from(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

// A unit of four: three verdicts of one mark, and an audit entry.
std::vector<Change> unit(std::uint32_t round, std::uint32_t thread, std::uint32_t sequence) {
  Keep keep;
  for (int i = 0; i < 3; ++i) {
    keep.verdicts.push_back(attack(v4(10, 1, 0, static_cast<std::uint8_t>(sequence % 5))));
    keep.verdicts.back().flow = mark(round, thread, sequence);
  }
  std::vector<Change> changes = {std::move(keep)};
  if (sequence % 2 == 0) {
    changes.emplace_back(AuditEntry{0, 1, "test", "write", mark(round, thread, sequence), "", "", "ok", ""});
  }
  return changes;
}

[[noreturn]] void child(const std::filesystem::path& path, std::uint32_t round, int pipe) {
  auto opened = Store::open(path);
  if (!opened) {
    std::fprintf(stderr, "%s\n", opened.error().message.c_str());
    ::_exit(1);
  }
  std::vector<std::thread> threads;
  for (std::uint32_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&store = *opened, round, thread, pipe] {
      std::atomic<int> under_way = 0;
      for (std::uint32_t sequence = 0;; ++sequence) {
        while (under_way > 8) std::this_thread::yield();
        ++under_way;
        store.write(unit(round, thread, sequence), [=, &under_way](const Result<Store::Numbers>& done) {
          const Report report{thread, sequence};
          if (!done || ::write(pipe, &report, sizeof report) != sizeof report) ::_exit(2);
          --under_way;
        });
      }
    });
  }
  for (auto& thread : threads) thread.join();
  ::_exit(3);
}

TEST(KillTest, NothingAcknowledgedIsLost) {
  const auto kills = number_from("NIDUS_KILLS", 200);
  const auto seed = number_from("NIDUS_SEED", std::random_device()());
  RecordProperty("seed", std::to_string(seed));
  SCOPED_TRACE("NIDUS_SEED=" + std::to_string(seed));
  Random random(seed);
  std::uint64_t acknowledged = 0, without = 0;
  std::unique_ptr<TemporaryFolder> folder;
  std::set<std::string> expected;
  for (std::uint32_t round = 0; round < kills; ++round) {
    // Every eighth begins without a file, so that its making is killed too.
    if (round % 8 == 0) {
      folder = std::make_unique<TemporaryFolder>();
      expected.clear();
    }
    const auto path = *folder / "store.db";
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t process = ::fork();
    ASSERT_GE(process, 0);
    if (process == 0) {
      ::close(ends[0]);
      child(path, round, ends[1]);
    }
    ::close(ends[1]);
    // Half of them soon after the start, where the store is opened; the others while it writes.
    const auto wait_us = random.below(random.below(2) == 0 ? 6'000 : 60'000);
    ::usleep(static_cast<useconds_t>(wait_us));
    ::kill(process, SIGKILL);
    std::uint64_t reported = 0;
    Report report;
    while (::read(ends[0], &report, sizeof report) == sizeof report) {
      expected.insert(mark(round, report.thread, report.sequence));
      ++reported;
    }
    ::close(ends[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(process, &status, 0), process);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself with " << WEXITSTATUS(status);
    acknowledged += reported;
    without += reported == 0;

    auto store = Store::open(path);
    ASSERT_TRUE(store) << "round " << round << ": " << store.error().message;
    const auto verdicts = store->verdicts({}, INT64_MAX, SIZE_MAX);
    ASSERT_TRUE(verdicts) << verdicts.error().message;
    std::map<std::string, int> found;
    for (const auto& verdict : *verdicts) ++found[verdict.flow];
    for (const auto& [mark, count] : found) ASSERT_EQ(count, 3) << "half of " << mark;
    for (const auto& mark : expected)
      ASSERT_TRUE(found.contains(mark)) << "round " << round << " lost " << mark;
    std::uint64_t counted = 0;
    const auto alerts = *store->alerts({}, {}, SIZE_MAX);
    for (const auto& alert : alerts) counted += alert.count;
    ASSERT_EQ(counted, verdicts->size());
    const auto audited = store->verify_audit();
    ASSERT_TRUE(audited) << audited.error().message;
    std::uint64_t even = 0;
    for (const auto& [mark, count] : found) even += (mark.back() - '0') % 2 == 0;
    ASSERT_EQ(*audited, even);
  }
  // The test itself must have tested something.
  EXPECT_GT(acknowledged, kills);
  EXPECT_LT(without, kills);
}

}  // namespace
}  // namespace nidus::store
