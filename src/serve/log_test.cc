#include "serve/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/testing.h"
#include "base/text.h"

namespace nidus::serve {
namespace {

namespace fs = std::filesystem;

std::vector<nlohmann::json> lines_of(const fs::path& file) {
  std::vector<nlohmann::json> out;
  const auto text = read_file(file);
  if (!text) return out;
  for (const auto line : split(*text, '\n')) {
    if (!line.empty()) out.push_back(nlohmann::json::parse(line));
  }
  return out;
}

TEST(Log, WritesOneJsonObjectALine) {
  const TemporaryFolder folder;
  auto log = Log::open({.file = folder / "log"});
  ASSERT_TRUE(log);
  (*log)->info("started", {{"port", 8080}, {"name", "a\"b\n"}, {"share", 0.5}, {"good", true}});
  (*log)->debug("not_wanted", {});
  (*log)->flush();
  const auto lines = lines_of(folder / "log");
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0]["event"], "started");
  EXPECT_EQ(lines[0]["level"], "info");
  EXPECT_EQ(lines[0]["port"], 8080);
  EXPECT_EQ(lines[0]["name"], "a\"b\n");
  EXPECT_EQ(lines[0]["good"], true);
  EXPECT_TRUE(lines[0].contains("time"));
}

TEST(Log, SetsLargeFilesAside) {
  const TemporaryFolder folder;
  auto log = Log::open({.file = folder / "log", .rotate_bytes = 1000, .keep = 2});
  ASSERT_TRUE(log);
  for (int i = 0; i < 100; ++i) {
    (*log)->info("line", {{"n", i}, {"text", std::string(50, 'x')}});
    (*log)->flush();
  }
  EXPECT_TRUE(fs::exists(folder / "log.1"));
  EXPECT_TRUE(fs::exists(folder / "log.2"));
  EXPECT_FALSE(fs::exists(folder / "log.3"));
  for (const char* name : {"log", "log.1", "log.2"}) EXPECT_LE(fs::file_size(folder / name), 1000u) << name;
  EXPECT_EQ(lines_of(folder / "log").back()["n"], 99);
}

TEST(Log, IsOpenedAgainWhenTheFileWasMovedAway) {
  const TemporaryFolder folder;
  auto log = Log::open({.file = folder / "log"});
  ASSERT_TRUE(log);
  (*log)->info("before", {});
  (*log)->flush();
  fs::rename(folder / "log", folder / "old");
  (*log)->reopen();
  (*log)->flush();
  (*log)->info("after", {});
  (*log)->flush();
  EXPECT_EQ(lines_of(folder / "old").size(), 1u);
  EXPECT_EQ(lines_of(folder / "log").size(), 1u);
}

TEST(Log, LosesLinesRatherThanTimeAndSaysSo) {
  const TemporaryFolder folder;
  auto log = Log::open({.file = folder / "log", .waiting_bytes_max = 2000});
  ASSERT_TRUE(log);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) (*log)->info("line", {{"text", std::string(100, 'x')}});
    });
  }
  for (auto& thread : threads) thread.join();
  (*log)->flush();
  (*log)->info("last", {});
  (*log)->flush();
  std::uint64_t written = 0, said = 0;
  for (const auto& line : lines_of(folder / "log")) {
    if (line["event"] == "log_lines_lost") {
      said += line["lines"].get<std::uint64_t>();
    } else {
      ++written;
    }
  }
  EXPECT_EQ(said, (*log)->lost());
  EXPECT_EQ(written + said, 8001u);
}

TEST(Log, SaysWhenItsFileCannotBeOpened) {
  const auto log = Log::open({.file = "/nowhere/log"});
  ASSERT_FALSE(log);
  EXPECT_EQ(log.error().code, Errc::io);
}

}  // namespace
}  // namespace nidus::serve
