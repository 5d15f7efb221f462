#include "store/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <set>

#include "base/testing.h"
#include "store/testing.h"

namespace nidus::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::int64_t kSecond = 1'000'000, kHour = 3600 * kSecond;
const Address kMallory = v4(192, 0, 2, 7), kEve = v4(198, 51, 100, 9);

class StoreTest : public ::testing::Test {
 protected:
  void open() {
    store_.reset();
    auto opened = Store::open(path_, options_);
    ASSERT_TRUE(opened) << opened.error().message;
    store_ = std::make_unique<Store>(std::move(*opened));
  }
  Error refusal() {
    auto opened = Store::open(path_, options_);
    EXPECT_FALSE(opened);
    return opened ? Error{} : opened.error();
  }
  // The number of a single change.
  std::int64_t write(Change change) {
    if (!store_) open();
    auto done = store_->write({std::move(change)});
    EXPECT_TRUE(done) << done.error().message;
    return done ? done->at(0) : -1;
  }
  void keep(std::vector<Verdict> verdicts) { write(Keep{std::move(verdicts)}); }
  std::vector<Alert> alerts(const AlertQuery& query = {}) {
    auto found = store_->alerts(query, {}, 1000);
    EXPECT_TRUE(found) << found.error().message;
    return found ? *found : std::vector<Alert>();
  }
  std::vector<Verdict> verdicts(const VerdictQuery& query = {}) {
    auto found = store_->verdicts(query, INT64_MAX, 100'000);
    EXPECT_TRUE(found) << found.error().message;
    return found ? *found : std::vector<Verdict>();
  }
  std::vector<std::uint64_t> counts(const AlertQuery& query = {}) {
    std::vector<std::uint64_t> numbers;
    for (const auto& alert : alerts(query)) numbers.push_back(alert.count);
    return numbers;
  }
  static ApiKey key(const std::string& id) {
    ApiKey key;
    key.id = id;
    key.digest = std::string(64, 'a');
    key.name = "test";
    key.scopes = 3;
    key.created_us = 5;
    return key;
  }

  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "store.db";
  StoreOptions options_;
  std::unique_ptr<Store> store_;
};

TEST_F(StoreTest, VerdictsAreThereAfterOpeningAgain) {
  Verdict one = attack(kMallory, 7, 0.75);
  one.flow = R"({"bytes":12})";
  keep({one});
  open();
  ASSERT_THAT(verdicts(), SizeIs(1));
  const Verdict kept = verdicts()[0];
  EXPECT_EQ(kept.time_us, 7);
  EXPECT_TRUE(kept.attack);
  EXPECT_EQ(kept.label, "dos");
  EXPECT_EQ(kept.score, 0.75);
  EXPECT_EQ(kept.detector, "forest 1");
  EXPECT_EQ(kept.origin, "test");
  EXPECT_EQ(kept.source, kMallory);
  EXPECT_EQ(kept.target, v4(10, 0, 0, 2));
  EXPECT_EQ(kept.source_port, 4000);
  EXPECT_EQ(kept.target_port, 80);
  EXPECT_EQ(kept.protocol, 6);
  EXPECT_EQ(kept.flow, R"({"bytes":12})");
  EXPECT_EQ(kept.alert, alerts().at(0).id);
}

TEST_F(StoreTest, ThePolicySaysWhatIsKept) {
  Verdict benign = attack(kMallory);
  benign.attack = false;
  Verdict nowhere = attack(kMallory);
  nowhere.source.reset();
  nowhere.target.reset();
  const std::vector<Verdict> all = {attack(kMallory), benign, nowhere};
  const auto kept = [&](KeepPolicy policy, bool without_addresses) {
    store_.reset();
    path_ = folder_ / ("store" + std::to_string(int(policy)) + std::to_string(without_addresses) + ".db");
    options_.keep = policy;
    options_.keep_without_addresses = without_addresses;
    open();
    keep(all);
    return verdicts().size();
  };
  EXPECT_EQ(kept(KeepPolicy::none, true), 0u);
  EXPECT_EQ(kept(KeepPolicy::attacks, false), 1u);
  EXPECT_EQ(kept(KeepPolicy::attacks, true), 2u);
  EXPECT_EQ(kept(KeepPolicy::all, false), 2u);
  EXPECT_EQ(kept(KeepPolicy::all, true), 3u);
}

TEST_F(StoreTest, AttacksOfOneLabelSourceAndTargetAreOneAlert) {
  Verdict scan = attack(kMallory);
  scan.label = "scan";
  Verdict elsewhere = attack(kMallory);
  elsewhere.target = v4(10, 0, 0, 3);
  keep({attack(kMallory, 0), attack(kMallory, kSecond), attack(kEve), scan, elsewhere});
  EXPECT_THAT(counts(), ElementsAre(2, 1, 1, 1));
  keep({attack(kMallory, 2 * kSecond)});
  EXPECT_THAT(counts(), ElementsAre(3, 1, 1, 1));
}

TEST_F(StoreTest, AnAlertEndsWithItsWindow) {
  const auto window = options_.alert_window_us;
  keep({attack(kMallory, 0), attack(kMallory, window), attack(kMallory, 2 * window + 1)});
  EXPECT_THAT(counts(), ElementsAre(1, 2));
  keep({attack(kMallory, 3 * window + 1)});
  EXPECT_THAT(counts(), ElementsAre(2, 2));
  keep({attack(kMallory, 4 * window + 2)});
  EXPECT_THAT(counts(), ElementsAre(1, 2, 2));
}

TEST_F(StoreTest, AVerdictFromThePastStretchesItsAlert) {
  keep({attack(kMallory, 1000 * kSecond)});
  keep({attack(kMallory, 900 * kSecond)});
  ASSERT_THAT(alerts(), SizeIs(1));
  EXPECT_EQ(alerts()[0].first_us, 900 * kSecond);
  EXPECT_EQ(alerts()[0].last_us, 1000 * kSecond);
}

TEST_F(StoreTest, AnAlertShowsTheVerdictWithTheHighestScore) {
  Verdict worse = attack(kMallory, 1, 0.99);
  worse.source_port = 5555;
  worse.flow = R"({"n":2})";
  keep({attack(kMallory, 0, 0.6), worse, attack(kMallory, 2, 0.7)});
  keep({attack(kMallory, 3, 0.8)});
  const Alert alert = alerts().at(0);
  EXPECT_EQ(alert.count, 4u);
  EXPECT_EQ(alert.score_max, 0.99);
  EXPECT_EQ(alert.source_port, 5555);
  EXPECT_EQ(alert.flow, R"({"n":2})");
  Verdict worst = attack(kMallory, 4, 1.0);
  worst.target_port = 443;
  keep({worst});
  EXPECT_EQ(alerts().at(0).target_port, 443);
}

TEST_F(StoreTest, BenignVerdictsMakeNoAlert) {
  options_.keep = KeepPolicy::all;
  Verdict benign = attack(kMallory);
  benign.attack = false;
  keep({benign});
  EXPECT_THAT(verdicts(), SizeIs(1));
  EXPECT_EQ(verdicts()[0].alert, 0);
  EXPECT_THAT(alerts(), IsEmpty());
}

TEST_F(StoreTest, InventedSourcesShareOneAlertBeyondTheLimit) {
  std::vector<Verdict> flood;
  for (int i = 0; i < 10'500; ++i) {
    flood.push_back(attack(v4(20, 0, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i))));
  }
  keep(flood);
  AlertQuery many;
  many.count_min = 2;
  ASSERT_THAT(alerts(many), SizeIs(1));
  EXPECT_EQ(alerts(many)[0].count, 500u);
  EXPECT_FALSE(alerts(many)[0].source);
  EXPECT_EQ(store_->group({}, GroupBy::label, 10)->at(0).alerts, 10'001u);
  keep({flood.back()});
  EXPECT_EQ(alerts(many)[0].count, 501u);
  EXPECT_EQ(verdicts()[0].source, flood.back().source);
}

TEST_F(StoreTest, PeopleTriageAlerts) {
  keep({attack(kMallory), attack(kEve)});
  const auto id = alerts().at(0).id;
  AlertQuery one;
  one.ids = {id};
  EXPECT_EQ(write(Triage{one, AlertState::acknowledged, "looking", "ann", 10}), 1);
  EXPECT_EQ(write(Triage{one, std::nullopt, "asked the owner", "ben", 20}), 1);
  EXPECT_EQ(store_->alert(id)->state, AlertState::acknowledged);
  const auto steps = *store_->triage_of(id);
  ASSERT_THAT(steps, SizeIs(2));
  EXPECT_EQ(steps[0].author, "ann");
  EXPECT_EQ(steps[0].time_us, 10);
  EXPECT_EQ(steps[1].comment, "asked the owner");
  EXPECT_EQ(steps[1].state, AlertState::acknowledged);
  EXPECT_EQ(write(Triage{{}, AlertState::resolved, "", "ann", 30}), 2);
  EXPECT_EQ(store_->alert(999).error().code, Errc::not_found);
}

TEST_F(StoreTest, AfterAnAlertWasResolvedAnotherBegins) {
  keep({attack(kMallory, 0)});
  write(Triage{{}, AlertState::false_positive, "", "ann", 0});
  keep({attack(kMallory, 1)});
  EXPECT_THAT(counts(), ElementsAre(2));
  write(Triage{{}, AlertState::resolved, "", "ann", 0});
  keep({attack(kMallory, 2)});
  EXPECT_THAT(counts(), ElementsAre(1, 2));
}

TEST_F(StoreTest, TriageMeansTheVerdictsWrittenBeforeIt) {
  open();
  ASSERT_TRUE(store_->write(
      {Keep{{attack(kMallory)}}, Triage{{}, AlertState::resolved, "", "ann", 0}, Keep{{attack(kMallory)}}}));
  EXPECT_THAT(counts(), ElementsAre(1, 1));
}

TEST_F(StoreTest, AlertsAreFoundByWhatTheyAre) {
  Verdict scan = attack(kEve, kHour, 0.6);
  scan.label = "scan";
  Verdict six = attack(kMallory, 2 * kHour, 0.95);
  six.source = Address{0x20, 0x01, 0x0d, 0xb8};
  keep({attack(kMallory, 0), attack(kMallory, 1), scan, six});
  AlertQuery query;
  query.label = "scan";
  EXPECT_THAT(counts(query), ElementsAre(1));
  query = {};
  query.from_us = kHour;
  EXPECT_THAT(alerts(query), SizeIs(2));
  query.to_us = 2 * kHour;
  EXPECT_THAT(alerts(query), SizeIs(1));
  query = {};
  query.source = AddressRange{v4(192, 0, 2, 0), v4(192, 0, 2, 255)};
  EXPECT_THAT(counts(query), ElementsAre(2));
  query = {};
  query.either = AddressRange{v4(10, 0, 0, 2), v4(10, 0, 0, 2)};
  EXPECT_THAT(alerts(query), SizeIs(3));
  query = {};
  query.score_min = 0.92;
  EXPECT_THAT(alerts(query), SizeIs(1));
  query = {};
  query.count_min = 2;
  EXPECT_THAT(alerts(query), SizeIs(1));
  query = {};
  query.states = {AlertState::escalated, AlertState::resolved};
  EXPECT_THAT(alerts(query), IsEmpty());
  query.states.push_back(AlertState::fresh);
  EXPECT_THAT(alerts(query), SizeIs(3));
  query = {};
  query.label = "' OR 1=1 --";
  EXPECT_THAT(alerts(query), IsEmpty());
}

TEST_F(StoreTest, PagesOfAlertsMeetWithoutGapOrOverlap) {
  std::vector<Verdict> all;
  for (int i = 0; i < 25; ++i) all.push_back(attack(v4(20, 0, 0, static_cast<std::uint8_t>(i)), i / 3));
  keep(all);
  std::vector<std::int64_t> ids;
  AlertCursor after;
  for (;;) {
    auto page = *store_->alerts({}, after, 4);
    if (page.empty()) break;
    for (const auto& alert : page) ids.push_back(alert.id);
    after = {page.back().last_us, page.back().id};
  }
  EXPECT_THAT(ids, SizeIs(25));
  EXPECT_EQ(std::set(ids.begin(), ids.end()).size(), 25u);
}

TEST_F(StoreTest, AlertsAreGroupedByWhatTheyHaveInCommon) {
  keep({attack(kMallory, 0, 0.7), attack(kMallory, 1), attack(kEve, 2)});
  const auto by_source = *store_->group({}, GroupBy::source, 10);
  ASSERT_THAT(by_source, SizeIs(2));
  EXPECT_EQ(by_source[0].address, kMallory);
  EXPECT_EQ(by_source[0].verdicts, 2u);
  EXPECT_EQ(by_source[0].score_max, 0.9);
  const auto by_target = *store_->group({}, GroupBy::target, 10);
  ASSERT_THAT(by_target, SizeIs(1));
  EXPECT_EQ(by_target[0].alerts, 2u);
  EXPECT_EQ(by_target[0].verdicts, 3u);
  EXPECT_EQ(by_target[0].first_us, 0);
  EXPECT_EQ(by_target[0].last_us, 2);
  write(Triage{{}, AlertState::escalated, "", "ann", 0});
  EXPECT_EQ(store_->group({}, GroupBy::state, 10)->at(0).state, AlertState::escalated);
  EXPECT_EQ(store_->group({}, GroupBy::detector, 10)->at(0).text, "forest 1");
}

TEST_F(StoreTest, VerdictsAreCountedByTimeAndLabel) {
  Verdict scan = attack(kEve, 15);
  scan.label = "scan";
  keep({attack(kMallory, -1), attack(kMallory, 0), attack(kMallory, 9), attack(kMallory, 10), scan});
  const auto buckets = *store_->histogram({}, 10, 100);
  ASSERT_THAT(buckets, SizeIs(4));
  EXPECT_EQ(buckets[0].start_us, -10);
  EXPECT_EQ(buckets[1].start_us, 0);
  EXPECT_EQ(buckets[1].verdicts, 2u);
  EXPECT_EQ(buckets[3].label, "scan");
  VerdictQuery late;
  late.from_us = 10;
  EXPECT_THAT(*store_->histogram(late, 10, 100), SizeIs(2));
  EXPECT_EQ(store_->histogram({}, 10, 3).error().code, Errc::exhausted);
  EXPECT_EQ(store_->histogram({}, 0, 3).error().code, Errc::invalid);
}

TEST_F(StoreTest, AJobReplacesItsFormerSelf) {
  Job job;
  job.id = "j1";
  job.kind = "score";
  job.created_us = 1;
  write(job);
  job.state = JobState::running;
  job.progress = 0.5;
  job.result = "{}";
  write(job);
  EXPECT_EQ(store_->job("j1")->progress, 0.5);
  EXPECT_EQ(store_->job("j1")->state, JobState::running);
  EXPECT_EQ(store_->job("j2").error().code, Errc::not_found);
  job.id = "j2";
  job.created_us = 2;
  write(job);
  EXPECT_EQ(store_->jobs(10)->front().id, "j2");
  EXPECT_THAT(*store_->jobs(1), SizeIs(1));
  write(ForgetJob{"j1"});
  write(ForgetJob{"j1"});
  EXPECT_EQ(store_->job("j1").error().code, Errc::not_found);
  EXPECT_THAT(*store_->jobs(10), SizeIs(1));
}

TEST_F(StoreTest, TheAuditIsAChain) {
  EXPECT_EQ(write(AuditEntry{0, 10, "ann", "key.create", "k1", "127.0.0.1", "r1", "ok", ""}), 1);
  EXPECT_EQ(write(AuditEntry{0, 20, "ann", "key.revoke", "k1", "127.0.0.1", "r2", "ok", ""}), 2);
  const auto entries = *store_->audit(INT64_MAX, 10);
  ASSERT_THAT(entries, SizeIs(2));
  EXPECT_EQ(entries[0].id, 2);
  EXPECT_EQ(entries[1].who, "ann");
  // printf '\n[1,10,"ann","key.create","k1","127.0.0.1","r1","ok"]' | sha256sum
  EXPECT_EQ(entries[1].hash, "852f23e5e7769439086b487c3e7f3cff12796d1ea84dbae66c0defa1aea90034");
  EXPECT_EQ(*store_->verify_audit(), 2u);
}

TEST_F(StoreTest, WhoChangesTheAuditIsFound) {
  for (int i = 0; i < 5; ++i) write(AuditEntry{0, i, "ann", "triage", "a", "", "", "ok", ""});
  EXPECT_NE(run_sql(path_, "UPDATE audit SET who = 'ben' WHERE id = 3"), SQLITE_OK);
  EXPECT_NE(run_sql(path_, "DELETE FROM audit"), SQLITE_OK);
  EXPECT_EQ(*store_->verify_audit(), 5u);
  ASSERT_EQ(run_sql(path_, "DROP TRIGGER audit_holds; UPDATE audit SET who = 'ben' WHERE id = 3"), SQLITE_OK);
  EXPECT_EQ(store_->verify_audit().error().code, Errc::corrupt);
  EXPECT_THAT(store_->verify_audit().error().message, HasSubstr("entry 3"));
  ASSERT_EQ(run_sql(path_, "DROP TRIGGER audit_stays; DELETE FROM audit WHERE id = 2"), SQLITE_OK);
  EXPECT_THAT(store_->verify_audit().error().message, HasSubstr("entry 2 is missing"));
}

TEST_F(StoreTest, KeysAreAddedUsedAndRevoked) {
  write(NewKey{key("k1")});
  EXPECT_EQ(write(UseKey{"k1", 8}), 1);
  EXPECT_EQ(write(RevokeKey{"k1", 9}), 1);
  EXPECT_EQ(write(RevokeKey{"k1", 10}), 0);
  EXPECT_EQ(write(RevokeKey{"k2", 10}), 0);
  const auto keys = *store_->keys();
  ASSERT_THAT(keys, SizeIs(1));
  EXPECT_EQ(keys[0].scopes, 3u);
  EXPECT_EQ(keys[0].used_us, 8);
  EXPECT_EQ(keys[0].revoked_us, 9);
  EXPECT_FALSE(keys[0].expires_us);
}

TEST_F(StoreTest, AWriteIsDoneWholeOrNotAtAll) {
  write(NewKey{key("k1")});
  auto both = store_->write({NewKey{key("k2")}, Keep{{attack(kMallory)}}, NewKey{key("k1")}});
  ASSERT_FALSE(both);
  EXPECT_EQ(both.error().code, Errc::invalid);
  EXPECT_THAT(*store_->keys(), SizeIs(1));
  EXPECT_THAT(verdicts(), IsEmpty());
  EXPECT_EQ(store_->counts().state, StoreState::ok);
}

TEST_F(StoreTest, OneBadWriteDoesNotSpoilItsNeighbours) {
  open();
  write(NewKey{key("k1")});
  std::vector<std::future<bool>> answers;
  for (int i = 0; i < 200; ++i) {
    auto promise = std::make_shared<std::promise<bool>>();
    answers.push_back(promise->get_future());
    std::vector<Change> changes = {Keep{{attack(kMallory, i)}}};
    if (i % 10 == 0) changes.emplace_back(NewKey{key("k1")});
    store_->write(std::move(changes), [promise](const auto& done) { promise->set_value(bool(done)); });
  }
  for (int i = 0; i < 200; ++i) EXPECT_EQ(answers[static_cast<std::size_t>(i)].get(), i % 10 != 0) << i;
  EXPECT_THAT(verdicts(), SizeIs(180));
  EXPECT_THAT(counts(), ElementsAre(180));
}

TEST_F(StoreTest, WritesThatWaitShareACommit) {
  open();
  std::vector<std::future<void>> answers;
  for (int i = 0; i < 5000; ++i) {
    auto promise = std::make_shared<std::promise<void>>();
    answers.push_back(promise->get_future());
    store_->write({Keep{{attack(kMallory, i)}}}, [promise](const auto& done) {
      EXPECT_TRUE(done);
      promise->set_value();
    });
  }
  for (auto& answer : answers) answer.get();
  EXPECT_EQ(store_->counts().writes, 5000u);
  EXPECT_LT(store_->counts().commits, 2500u);
  EXPECT_EQ(store_->counts().waiting, 0u);
  EXPECT_THAT(counts(), ElementsAre(5000));
}

TEST_F(StoreTest, WhatWaitsIsCommittedWhenTheStoreIsClosed) {
  open();
  std::atomic<int> done = 0;
  for (int i = 0; i < 100; ++i) store_->write({Keep{{attack(kMallory, i)}}}, [&](const auto&) { ++done; });
  store_.reset();
  EXPECT_EQ(done, 100);
  open();
  EXPECT_THAT(verdicts(), SizeIs(100));
}

TEST_F(StoreTest, WhatWaitsIsLimited) {
  options_.waiting_bytes_max = 2000;
  open();
  Verdict large = attack(kMallory);
  large.flow = std::string(3000, 'x');
  auto done = store_->write({Keep{{large}}});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::exhausted);
  EXPECT_EQ(store_->counts().refused_behind, 1u);
  keep({attack(kMallory)});
}

TEST_F(StoreTest, OthersSeeThatSomethingChanged) {
  open();
  auto reader_options = options_;
  reader_options.read_only = true;
  auto reader = Store::open(path_, reader_options);
  ASSERT_TRUE(reader) << reader.error().message;
  const auto before = *reader->version();
  EXPECT_EQ(*reader->version(), before);
  write(NewKey{key("k1")});
  EXPECT_NE(*reader->version(), before);
  EXPECT_THAT(*reader->keys(), SizeIs(1));
  EXPECT_EQ(reader->counts().state, StoreState::read_only);
  EXPECT_EQ(reader->write({NewKey{key("k2")}}).error().code, Errc::io);
}

TEST_F(StoreTest, ActivationsAreRemembered) {
  EXPECT_EQ(write(Activation{0, 5, "default", "forest", "1", "ab", "active", 1, "ann"}), 1);
  EXPECT_EQ(write(Activation{0, 6, "default", "forest", "2", "cd", "canary", 0.1, "ben"}), 2);
  const auto all = *store_->activations(10);
  ASSERT_THAT(all, SizeIs(2));
  EXPECT_EQ(all[0].version, "2");
  EXPECT_EQ(all[0].share, 0.1);
  EXPECT_EQ(all[1].who, "ann");
}

TEST_F(StoreTest, OnlyItsOwnerMayReadTheFile) {
  open();
  using std::filesystem::perms;
  const auto rights = std::filesystem::status(path_).permissions();
  EXPECT_EQ(rights & (perms::group_all | perms::others_all), perms::none);
}

}  // namespace
}  // namespace nidus::store
