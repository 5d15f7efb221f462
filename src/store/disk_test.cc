// Files and disks that are not as they should be: damaged, of another version, full, read-only, failing; and
// clocks that are set.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "base/file.h"
#include "base/testing.h"
#include "store/store.h"
#include "store/testing.h"

namespace nidus::store {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::int64_t kDayUs = 86'400LL * 1'000'000;
const Address kMallory = v4(192, 0, 2, 7);

class DiskTest : public ::testing::Test {
 protected:
  Store open() {
    auto opened = Store::open(path_, options_);
    EXPECT_TRUE(opened) << opened.error().message;
    if (!opened) std::abort();
    return std::move(*opened);
  }
  Error refusal() {
    auto opened = Store::open(path_, options_);
    EXPECT_FALSE(opened);
    return opened ? Error{} : opened.error();
  }
  std::string bytes() { return *read_file(path_); }
  static std::vector<Verdict> some(int count, std::size_t bytes = 0) {
    std::vector<Verdict> verdicts;
    for (int i = 0; i < count; ++i) {
      verdicts.push_back(attack(kMallory, i));
      verdicts.back().flow = std::string(bytes, 'x');
    }
    return verdicts;
  }
  static std::size_t count(const Store& store) { return store.verdicts({}, INT64_MAX, 1'000'000)->size(); }
  // Looks until it is so: what a thread of the store does by itself.
  template <class Condition>
  static bool comes_true(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "store.db";
  StoreOptions options_;
};

TEST_F(DiskTest, AFileOfAnotherProgramIsRefusedAndStaysAsItIs) {
  for (const std::string& text :
       {std::string("not a database"), std::string(5000, 'x'), std::string(1, '\0')}) {
    ASSERT_TRUE(write_file(path_, text));
    EXPECT_EQ(refusal().code, Errc::corrupt);
    EXPECT_EQ(bytes(), text);
  }
  std::filesystem::remove(path_);
  ASSERT_EQ(run_sql(path_, "CREATE TABLE t(a)"), SQLITE_OK);
  const auto theirs = bytes();
  EXPECT_THAT(refusal().message, HasSubstr("no store of nidus"));
  EXPECT_EQ(bytes(), theirs);
}

TEST_F(DiskTest, AnEmptyFileIsNoStore) {
  ASSERT_TRUE(write_file(path_, ""));
  EXPECT_EQ(refusal().code, Errc::corrupt);
  EXPECT_EQ(bytes(), "");
}

TEST_F(DiskTest, ALostDatabaseIsNotBegunAnewBesideItsLog) {
  open();
  std::filesystem::remove(path_);
  ASSERT_TRUE(write_file(path_.string() + "-wal", "log"));
  EXPECT_THAT(refusal().message, HasSubstr("is missing"));
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(DiskTest, DamageIsFoundWhenTheStoreIsOpened) {
  ASSERT_TRUE(open().write({Keep{some(2000)}}));
  const std::string whole = bytes();
  std::string cut = whole.substr(0, whole.size() / 2 / 4096 * 4096);
  ASSERT_TRUE(write_file(path_, cut));
  EXPECT_EQ(refusal().code, Errc::corrupt);
  EXPECT_EQ(bytes(), cut);
  std::string damaged = whole;
  for (std::size_t i = 8 * 4096; i < 12 * 4096; ++i) damaged[i] = 'x';
  ASSERT_TRUE(write_file(path_, damaged));
  EXPECT_EQ(refusal().code, Errc::corrupt);
  EXPECT_EQ(bytes(), damaged);
  ASSERT_TRUE(write_file(path_, whole));
  EXPECT_EQ(count(open()), 2000u);
}

TEST_F(DiskTest, DamageThatAppearsLaterStopsWritingAndIsNamed) {
  options_.bytes_max = std::uint64_t{1} << 40;
  auto store = open();
  ASSERT_TRUE(store.write({Keep{some(2000)}}));
  // Behind its back, as a failing disk would.
  sqlite3* raw = nullptr;
  ASSERT_EQ(sqlite3_open(path_.c_str(), &raw), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(raw, "PRAGMA wal_checkpoint(TRUNCATE)", nullptr, nullptr, nullptr), SQLITE_OK);
  const int file = ::open(path_.c_str(), O_WRONLY);
  const auto size = static_cast<off_t>(std::filesystem::file_size(path_));
  const std::string rubbish(4096, '\x5a');
  for (off_t at = 4096; at < size; at += 4096)
    ASSERT_EQ(::pwrite(file, rubbish.data(), rubbish.size(), at), 4096);
  ::close(file);
  // Makes the store look at the file again instead of its memory of it.
  ASSERT_EQ(sqlite3_exec(raw, "PRAGMA user_version = 2", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(raw);
  auto done = store.write({Keep{some(1)}});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::corrupt);
  EXPECT_EQ(store.counts().state, StoreState::corrupt);
  EXPECT_EQ(store.write({Keep{some(1)}}).error().code, Errc::corrupt);
}

// The tables as version one had them, with a row in each.
constexpr const char* kVersionOne = R"sql(
PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;
CREATE TABLE verdicts(
  id INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, received_us INTEGER NOT NULL, attack INTEGER NOT NULL,
  label TEXT NOT NULL, score REAL, detector TEXT NOT NULL, origin TEXT NOT NULL,
  source BLOB NOT NULL, target BLOB NOT NULL, source_port INTEGER NOT NULL, target_port INTEGER NOT NULL,
  protocol INTEGER NOT NULL, flow TEXT NOT NULL, alert INTEGER);
CREATE INDEX verdicts_time ON verdicts(time_us);
CREATE INDEX verdicts_alert ON verdicts(alert) WHERE alert IS NOT NULL;
CREATE TABLE alerts(
  id INTEGER PRIMARY KEY AUTOINCREMENT, label TEXT NOT NULL, source BLOB NOT NULL, target BLOB NOT NULL,
  first_us INTEGER NOT NULL, last_us INTEGER NOT NULL, count INTEGER NOT NULL, state INTEGER NOT NULL,
  touched_us INTEGER NOT NULL, score_max REAL, detector TEXT NOT NULL, origin TEXT NOT NULL,
  source_port INTEGER NOT NULL, target_port INTEGER NOT NULL, protocol INTEGER NOT NULL, flow TEXT NOT NULL);
CREATE INDEX alerts_group ON alerts(label, source, target, last_us);
CREATE INDEX alerts_last ON alerts(last_us);
CREATE INDEX alerts_touched ON alerts(touched_us);
CREATE TABLE triage(
  id INTEGER PRIMARY KEY, alert INTEGER NOT NULL, time_us INTEGER NOT NULL, author TEXT NOT NULL,
  state INTEGER NOT NULL, comment TEXT NOT NULL);
CREATE INDEX triage_alert ON triage(alert);
CREATE TABLE jobs(
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, state INTEGER NOT NULL, progress REAL NOT NULL, owner TEXT NOT NULL,
  request TEXT NOT NULL, result TEXT NOT NULL, error TEXT NOT NULL, created_us INTEGER NOT NULL,
  changed_us INTEGER NOT NULL);
CREATE INDEX jobs_changed ON jobs(changed_us);
CREATE TABLE audit(
  id INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL,
  object TEXT NOT NULL, address TEXT NOT NULL, request_id TEXT NOT NULL, outcome TEXT NOT NULL,
  hash TEXT NOT NULL);
CREATE TRIGGER audit_stays BEFORE DELETE ON audit BEGIN SELECT raise(ABORT, 'the audit is not deleted from'); END;
CREATE TRIGGER audit_holds BEFORE UPDATE ON audit BEGIN SELECT raise(ABORT, 'the audit is not changed'); END;
CREATE TABLE keys(
  id TEXT PRIMARY KEY, digest TEXT NOT NULL, name TEXT NOT NULL, scopes INTEGER NOT NULL,
  created_us INTEGER NOT NULL, expires_us INTEGER, revoked_us INTEGER, used_us INTEGER);
CREATE TABLE activations(
  id INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, slot TEXT NOT NULL, detector TEXT NOT NULL,
  version TEXT NOT NULL, sha256 TEXT NOT NULL, role TEXT NOT NULL, share REAL NOT NULL, who TEXT NOT NULL);
INSERT INTO verdicts VALUES(1, 5, 9, 1, 'dos', 0.9, 'forest 1', 'predict', x'00000000000000000000ffffc0000207',
  x'00000000000000000000ffff0a000002', 4000, 80, 6, '', 1);
INSERT INTO alerts VALUES(1, 'dos', x'00000000000000000000ffffc0000207', x'00000000000000000000ffff0a000002', 5, 5, 1,
  1, 9000000000000000, 0.9, 'forest 1', 'predict', 4000, 80, 6, '');
INSERT INTO triage VALUES(1, 1, 7, 'ann', 1, 'looking');
INSERT INTO audit VALUES(1, 10, 'ann', 'key.create', 'k1', '127.0.0.1', 'r1', 'ok',
  '852f23e5e7769439086b487c3e7f3cff12796d1ea84dbae66c0defa1aea90034');
INSERT INTO keys VALUES('k1', 'd1', 'sensor', 3, 5, NULL, NULL, NULL);
PRAGMA application_id = 0x6e696473; PRAGMA user_version = 1;
)sql";

TEST_F(DiskTest, AStoreOfVersionOneIsBroughtUpToDate) {
  options_.age_max_us = 0;
  ASSERT_EQ(run_sql(path_, kVersionOne), SQLITE_OK);
  auto store = open();
  const auto keys = *store.keys();
  ASSERT_THAT(keys, SizeIs(1));
  EXPECT_EQ(keys[0].name, "sensor");
  EXPECT_EQ(keys[0].rotates, "");
  EXPECT_EQ(store.alert(1)->source, kMallory);
  EXPECT_EQ(store.alert(1)->state, AlertState::acknowledged);
  EXPECT_EQ(count(store), 1u);
  EXPECT_EQ(store.triage_of(1)->at(0).comment, "looking");
  EXPECT_EQ(*store.verify_audit(), 1u);
  ApiKey next = keys[0];
  next.id = "k2";
  next.rotates = "k1";
  ASSERT_TRUE(store.write({NewKey{next}, Keep{{attack(kMallory, 6)}}}));
  EXPECT_EQ(store.keys()->at(1).rotates, "k1");
  EXPECT_EQ(store.alert(1)->count, 2u);
}

TEST_F(DiskTest, AnOldStoreThatMayNotBeWrittenIsRefused) {
  ASSERT_EQ(run_sql(path_, kVersionOne), SQLITE_OK);
  options_.read_only = true;
  EXPECT_EQ(refusal().code, Errc::unsupported);
}

TEST_F(DiskTest, AStoreOfALaterVersionIsRefused) {
  open();
  ASSERT_EQ(run_sql(path_, "PRAGMA user_version = 3"), SQLITE_OK);
  EXPECT_EQ(refusal().code, Errc::unsupported);
  EXPECT_THAT(refusal().message, HasSubstr("version 3"));
}

TEST_F(DiskTest, NoFolderNoStore) {
  path_ = folder_ / "missing" / "store.db";
  EXPECT_EQ(refusal().code, Errc::not_found);
  path_ = folder_ / "store.db";
  options_.read_only = true;
  EXPECT_EQ(refusal().code, Errc::not_found);
}

TEST_F(DiskTest, ANameIsOnlyAName) {
  path_ = folder_ / "a b?mode=memory&x=%41#.db";
  ASSERT_TRUE(open().write({Keep{some(3)}}));
  EXPECT_EQ(count(open()), 3u);
  options_.read_only = true;
  EXPECT_EQ(count(open()), 3u);
}

TEST_F(DiskTest, WithoutTheReserveVerdictsAreRefusedAndPeopleAreNot) {
  options_.free_bytes_min = std::uint64_t{1} << 60;
  auto store = open();
  EXPECT_EQ(store.counts().state, StoreState::full);
  EXPECT_THAT(store.counts().reason, HasSubstr("bytes are free"));
  auto done = store.write({Keep{some(1)}});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::exhausted);
  EXPECT_EQ(store.counts().refused_full, 1u);
  EXPECT_TRUE(store.write({AuditEntry{0, 1, "ann", "look", "", "", "", "ok", ""}}));
  EXPECT_TRUE(store.write({Triage{{}, AlertState::resolved, "", "ann", 1}}));
  EXPECT_EQ(count(store), 0u);
}

TEST_F(DiskTest, AtItsSizeTheStoreDeletesTheOldest) {
  options_.bytes_max = std::uint64_t{2} << 20;
  options_.maintenance_us = 1000;
  auto store = open();
  std::int64_t written = 0;
  for (int i = 0; i < 60; ++i) {
    auto done = store.write({Keep{some(100, 1000)}});
    if (done) written += 100;
    // It may be refused at the moment when all is used up, and goes on when there is room.
    if (!done) {
      EXPECT_EQ(done.error().code, Errc::exhausted);
      EXPECT_TRUE(comes_true([&] { return store.counts().state == StoreState::ok; }));
    }
  }
  EXPECT_TRUE(comes_true([&] {
    const auto counts = store.counts();
    return counts.bytes - counts.bytes_free_inside < options_.bytes_max;
  }));
  EXPECT_GT(store.counts().expired, 0u);
  EXPECT_LT(count(store), static_cast<std::size_t>(written));
  // The newest are there, and the alert still knows how many it counted.
  const auto newest = store.verdicts({}, INT64_MAX, 1)->at(0);
  EXPECT_GE(newest.id, 1);
  EXPECT_LT(std::filesystem::file_size(path_), options_.bytes_max + (std::uint64_t{16} << 20));
}

TEST_F(DiskTest, WhatIsTooOldIsDeleted) {
  std::int64_t now = 1000 * kDayUs;
  options_.clock = [&now] { return now; };
  options_.maintenance_us = 1000;
  {
    auto store = open();
    Job job;
    job.id = "done";
    job.state = JobState::done;
    job.changed_us = now;
    ASSERT_TRUE(store.write({Keep{some(3)}, job, AuditEntry{0, now, "ann", "a", "", "", "", "ok", ""},
                             Triage{{}, AlertState::acknowledged, "", "ann", now}}));
    job.id = "running";
    job.state = JobState::running;
    ASSERT_TRUE(store.write({job}));
  }
  now += 60 * kDayUs;
  ASSERT_TRUE(open().write({Keep{{attack(v4(20, 0, 0, 1), 9)}}}));
  now += 60 * kDayUs;
  auto store = open();
  EXPECT_TRUE(comes_true([&] { return store.jobs(10)->size() == 1; }));
  EXPECT_EQ(count(store), 1u);
  const auto left = *store.alerts({}, {}, 10);
  ASSERT_THAT(left, SizeIs(1));
  EXPECT_EQ(left[0].source, v4(20, 0, 0, 1));
  EXPECT_THAT(*store.triage_of(1), IsEmpty());
  EXPECT_EQ(*store.verify_audit(), 1u);
}

TEST_F(DiskTest, AClockThatIsSetAYearAheadDeletesNothing) {
  std::atomic<std::int64_t> now = 1000 * kDayUs;
  options_.clock = [&now] { return now.load(); };
  options_.maintenance_us = 1000;
  auto store = open();
  ASSERT_TRUE(store.write({Keep{some(3)}}));
  now = 1365 * kDayUs;
  EXPECT_TRUE(comes_true([&] { return store.counts().clock_jumps == 1; }));
  ASSERT_TRUE(store.write({Keep{some(3)}}));
  now = 1000 * kDayUs;
  ASSERT_TRUE(store.write({Keep{some(3)}}));
  now = 500 * kDayUs;
  ASSERT_TRUE(store.write({Keep{some(3)}}));
  EXPECT_EQ(count(store), 12u);
  EXPECT_EQ(store.counts().expired, 0u);
}

// Whichever of the operations on the disk fails, and however: a write is acknowledged only if it is there
// afterwards, reading goes on, and when the disk is mended so is the store.
TEST_F(DiskTest, WhateverFailsOnTheDiskNothingAcknowledgedIsLost) {
  FaultyDisk disk;
  options_.maintenance_us = 1000;
  int round = 0;
  for (const int code : {SQLITE_FULL, SQLITE_IOERR_WRITE, SQLITE_IOERR_FSYNC, SQLITE_READONLY}) {
    for (std::int64_t after = 1;; ++after) {
      path_ = folder_ / ("store" + std::to_string(round++) + ".db");
      std::int64_t acknowledged = 0;
      bool failed = false;
      {
        auto store = open();
        ASSERT_TRUE(store.write({Keep{some(50)}}));
        acknowledged = 50;
        disk.fail(code, after);
        for (int i = 0; i < 4; ++i) {
          auto done = store.write({Keep{some(50, 100)}});
          if (done) acknowledged += 50;
          if (!done) {
            EXPECT_NE(done.error().message, "");
            EXPECT_GE(count(store), static_cast<std::size_t>(acknowledged));
          }
        }
        failed = disk.has_failed() || disk.change() != SQLITE_OK;
        disk.mend();
        EXPECT_TRUE(comes_true([&] { return store.counts().state == StoreState::ok; }))
            << store.counts().reason;
        ASSERT_TRUE(store.write({Keep{some(50)}}));
        acknowledged += 50;
        EXPECT_GE(count(store), static_cast<std::size_t>(acknowledged));
      }
      auto store = open();
      EXPECT_GE(count(store), static_cast<std::size_t>(acknowledged)) << "operation " << after;
      const auto alerts = *store.alerts({}, {}, 10);
      ASSERT_THAT(alerts, SizeIs(1));
      EXPECT_EQ(alerts[0].count, count(store));
      if (!failed || after > 60) break;
    }
  }
  EXPECT_GT(round, 20);
}

TEST_F(DiskTest, AStoreIsMadeWholeOrNotAtAll) {
  FaultyDisk disk;
  for (std::int64_t after = 1;; ++after) {
    disk.fail(SQLITE_IOERR_WRITE, after);
    const bool opened = Store::open(path_, options_).has_value();
    const bool failed = disk.has_failed();
    disk.mend();
    if (!failed) {
      EXPECT_TRUE(opened);
      break;
    }
    ASSERT_EQ(count(open()), 0u);
    for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path_.string() + suffix);
  }
}

// A disk of one megabyte, as far as this user may mount one.
class SmallDisk : public DiskTest {
 protected:
  void SetUp() override {
    if (::mount("tmpfs", folder_.path().c_str(), "tmpfs", 0, "size=1m") != 0) {
      GTEST_SKIP() << "mounting a disk needs root; the faulty disk above stands in for it";
    }
    mounted_ = true;
  }
  void TearDown() override {
    if (mounted_) ::umount2(folder_.path().c_str(), MNT_DETACH);
  }
  bool mounted_ = false;
};

TEST_F(SmallDisk, AFullDiskRefusesAndRecovers) {
  options_.free_bytes_min = 0;
  options_.maintenance_us = 1000;
  auto store = open();
  std::size_t acknowledged = 0;
  Error refused;
  for (int i = 0; i < 1000; ++i) {
    auto done = store.write({Keep{some(20, 500)}});
    if (!done) {
      refused = done.error();
      break;
    }
    acknowledged += 20;
  }
  EXPECT_EQ(refused.code, Errc::exhausted);
  EXPECT_GT(acknowledged, 0u);
  EXPECT_EQ(count(store), acknowledged);
  EXPECT_GT(store.counts().refused_full, 0u);
  // The disk grows: the store goes on by itself.
  ASSERT_EQ(::mount("tmpfs", folder_.path().c_str(), "tmpfs", MS_REMOUNT, "size=8m"), 0);
  EXPECT_TRUE(comes_true([&] { return store.write({Keep{some(20)}}).has_value(); }));
  EXPECT_EQ(count(store), acknowledged + 20);
}

TEST_F(SmallDisk, NoRoomForAnEmptyStoreIsAnError) {
  ASSERT_EQ(::mount("tmpfs", folder_.path().c_str(), "tmpfs", MS_REMOUNT, "size=16k"), 0);
  const auto error = refusal();
  EXPECT_TRUE(error.code == Errc::exhausted || error.code == Errc::io) << error.message;
  EXPECT_FALSE(std::filesystem::exists(path_));
  ASSERT_EQ(::mount("tmpfs", folder_.path().c_str(), "tmpfs", MS_REMOUNT, "size=4m"), 0);
  options_.free_bytes_min = 0;
  EXPECT_TRUE(open().write({Keep{some(1)}}));
}

TEST_F(SmallDisk, AReadOnlyDiskIsRead) {
  options_.free_bytes_min = 0;
  ASSERT_TRUE(open().write({Keep{some(5)}}));
  ASSERT_EQ(::mount("tmpfs", folder_.path().c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, "size=1m"), 0);
  auto store = open();
  EXPECT_EQ(store.counts().state, StoreState::read_only);
  EXPECT_EQ(count(store), 5u);
  EXPECT_EQ(store.write({Keep{some(1)}}).error().code, Errc::io);
}

}  // namespace
}  // namespace nidus::store
