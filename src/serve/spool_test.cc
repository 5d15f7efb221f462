#include "serve/spool.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <filesystem>

#include "base/testing.h"

namespace nidus::serve {
namespace {

std::string all(const Spool& spool) {
  std::string out;
  EXPECT_TRUE(spool.read([&](std::string_view piece) -> Result<void> {
    out += piece;
    return {};
  }));
  return out;
}

TEST(SpoolTest, ComesOutAsItWentInMemoryOrNot) {
  const TemporaryFolder folder;
  for (const std::size_t memory : {0, 1, 100, 1 << 20}) {
    Spool spool(folder.path(), {.memory_bytes = memory});
    std::string expected;
    for (int i = 0; i < 1000; ++i) {
      const std::string line = std::string(static_cast<std::size_t>(i % 50), 'x') + std::to_string(i) + "\n";
      ASSERT_TRUE(spool.append(line));
      expected += line;
    }
    EXPECT_EQ(spool.size(), expected.size());
    EXPECT_EQ(all(spool), expected);
    EXPECT_EQ(all(spool), expected);
    EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  }
  EXPECT_EQ(all(Spool()), "");
}

TEST(SpoolTest, LimitsAndFoldersThatAreNoneAreErrors) {
  const TemporaryFolder folder;
  Spool small(folder.path(), {.memory_bytes = 10, .bytes_max = 100});
  EXPECT_TRUE(small.append(std::string(100, 'x')));
  EXPECT_EQ(small.append("x").error().code, Errc::exhausted);
  Spool nowhere(folder / "nothing", {.memory_bytes = 10});
  EXPECT_TRUE(nowhere.append("short"));
  EXPECT_EQ(nowhere.append("too long for memory").error().code, Errc::io);
}

// The size that a file may have stands for that of the disk: the system says the like of both.
TEST(SpoolTest, AFullDiskIsNotTheCallersFault) {
  const TemporaryFolder folder;
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{1000, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  Spool spool(folder.path(), {.memory_bytes = 10});
  const auto fits = spool.append(std::string(500, 'x'));
  const auto full = spool.append(std::string(1000, 'x'));
  Spool limited(folder.path(), {.memory_bytes = 10, .bytes_max = 100});
  const auto too_long = limited.append(std::string(101, 'x'));
  ::setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_TRUE(fits);
  ASSERT_FALSE(full);
  EXPECT_TRUE(is_disk_full(full.error())) << full.error().message;
  EXPECT_TRUE(is_disk_full(Error(full.error()).within("a job")));
  ASSERT_FALSE(too_long);
  EXPECT_FALSE(is_disk_full(too_long.error())) << too_long.error().message;
}

TEST(SpoolTest, WhoeverTakesMayStop) {
  Spool spool({}, {.memory_bytes = 10});
  ASSERT_TRUE(spool.append(std::string(1000, 'x')));
  EXPECT_EQ(spool.read([](std::string_view) -> Result<void> {
                   return Error{Errc::io, "enough"};
                 })
                .error()
                .message,
            "enough");
}

}  // namespace
}  // namespace nidus::serve
