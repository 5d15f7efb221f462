// nidus keys and nidus alerts as a person uses them, on a store that the service shares.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "auth/api_key.h"
#include "base/testing.h"
#include "store/store.h"

namespace nidus {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;
using Json = nlohmann::json;

class StoreProgramTest : public ::testing::Test {
 protected:
  struct Outcome {
    int status = -1;
    std::string out;  // what it said as well, if `words` ask for that
  };
  Outcome run(const std::string& words) const {
    const std::string line = "NIDUS_STORE_FILE='" + file_ + "' " NIDUS_PROGRAM " " + words;
    Outcome outcome;
    std::FILE* pipe = ::popen(line.c_str(), "r");
    if (pipe == nullptr) return outcome;
    char bytes[4096];
    for (std::size_t count; (count = std::fread(bytes, 1, sizeof bytes, pipe)) > 0;)
      outcome.out.append(bytes, count);
    const int status = ::pclose(pipe);
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return outcome;
  }
  void keep(int count) const {
    store::Keep keep;
    for (int i = 0; i < count; ++i) {
      store::Verdict verdict;
      verdict.time_us = 1'800'000'000'000'000;
      verdict.attack = true;
      verdict.label = "dos";
      verdict.score = 0.9;
      verdict.detector = "forest 1";
      verdict.origin = "test";
      verdict.source =
          store::Address{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, static_cast<std::uint8_t>(i)};
      verdict.protocol = 6;
      keep.verdicts.push_back(verdict);
    }
    auto store = store::Store::open(file_);
    ASSERT_TRUE(store) << store.error().message;
    ASSERT_TRUE(store->write({std::move(keep)}));
  }

  TemporaryFolder folder_;
  std::string file_ = (folder_ / "state" / "nidus.db").string();
};

TEST_F(StoreProgramTest, KeysAreMadeListedRotatedAndRevoked) {
  EXPECT_NE(run("keys list 2>/dev/null").status, 0);
  const auto made = run("keys create sensor --scopes predict,upload --days 30 2>/dev/null");
  ASSERT_EQ(made.status, 0);
  const auto text = made.out.substr(0, made.out.size() - 1);
  const auto key = auth::parse_api_key(text);
  ASSERT_TRUE(key) << made.out;
  const std::string id(key->id);
  const auto rotated = Json::parse(run("keys rotate " + id + " --json 2>/dev/null").out);
  EXPECT_EQ(rotated["rotates"], id);
  EXPECT_EQ(rotated["scopes"], "predict upload");
  EXPECT_EQ(run("keys revoke " + id + " 2>/dev/null").status, 0);
  EXPECT_NE(run("keys revoke " + id + " 2>/dev/null").status, 0);
  const auto list = Json::parse(run("keys list --json").out);
  ASSERT_THAT(list, SizeIs(2));
  EXPECT_EQ(list[0]["live"], false);
  EXPECT_EQ(list[1]["live"], true);
  EXPECT_THAT(run("keys list").out, Not(HasSubstr(std::string(key->secret))));
  auto store = store::Store::open(file_);
  EXPECT_EQ(*store->verify_audit(), 3u);
}

TEST_F(StoreProgramTest, KeysAreAskedForProperly) {
  EXPECT_THAT(run("keys creat x 2>&1").out, HasSubstr("did you mean 'create'"));
  EXPECT_EQ(run("keys create x 2>/dev/null").status, 2);
  EXPECT_THAT(run("keys create x --scopes everything 2>&1").out, HasSubstr("everything"));
  EXPECT_EQ(run("keys rotate 2>/dev/null").status, 2);
  EXPECT_THAT(run("keys revoke aaaaaaaa 2>&1").out, HasSubstr("no key"));
}

TEST_F(StoreProgramTest, AlertsAreListedShownTriagedAndExported) {
  ASSERT_EQ(run("keys create x --scopes alerts >/dev/null 2>&1").status, 0);
  EXPECT_THAT(Json::parse(run("alerts list --json").out), IsEmpty());
  keep(3);
  EXPECT_THAT(Json::parse(run("alerts list --json").out), SizeIs(3));
  EXPECT_THAT(Json::parse(run("alerts list --json --source 192.0.2.1").out), SizeIs(1));
  EXPECT_THAT(run("alerts list").out, HasSubstr("192.0.2.2"));
  EXPECT_EQ(run("alerts triage 1 2 --state resolved --comment patched 2>/dev/null").status, 0);
  EXPECT_EQ(run("alerts triage 9 --state resolved 2>/dev/null").status, 3);
  EXPECT_THAT(run("alerts show 1").out, HasSubstr("resolved: patched"));
  EXPECT_THAT(Json::parse(run("alerts list --json --state new").out), SizeIs(1));
  EXPECT_THAT(run("alerts export --format csv").out, StartsWith("id,state,label"));
  const auto eve = run("alerts export").out;
  EXPECT_EQ(Json::parse(eve.substr(0, eve.find('\n')))["event_type"], "alert");
  EXPECT_EQ(run("alerts show 99 2>/dev/null").status, 3);
  EXPECT_EQ(run("alerts show first 2>/dev/null").status, 2);
  EXPECT_EQ(run("alerts list --state nwe 2>/dev/null").status, 2);
}

}  // namespace
}  // namespace nidus
