// Alerts, flows, keys and audit over real HTTP: a server on any free port, with the guard that a service has.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/testing.h"
#include "http/testing.h"
#include "serve/application.h"
#include "serve/testing.h"

namespace nidus::serve {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;
using Json = nlohmann::json;

store::Verdict attack(std::uint8_t source, std::int64_t time_us = 1'800'000'000'000'000) {
  store::Verdict verdict;
  verdict.time_us = time_us;
  verdict.attack = true;
  verdict.label = "dos";
  verdict.score = 0.9;
  verdict.detector = "forest 1";
  verdict.origin = "test";
  verdict.source = store::Address{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, source};
  verdict.target = store::Address{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 2};
  verdict.source_port = 4000;
  verdict.target_port = 80;
  verdict.protocol = 6;
  return verdict;
}

class StoreRoutesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    settings_.store.file = (folder_ / "nidus.db").string();
    settings_.log.file = (folder_ / "log").string();
  }
  void start() {
    Log::Options options;
    options.file = settings_.log.file;
    auto log = Log::open(options);
    ASSERT_TRUE(log) << log.error().message;
    app_ = std::make_unique<Application>(settings_, std::move(*log));
    auto opened = app_->open_store();
    ASSERT_TRUE(opened) << opened.error().message;
    std::vector<http::Route> routes = routes_of_alerts(*app_);
    for (auto* more : {routes_of_keys, routes_of_detectors}) {
      for (auto& route : more(*app_)) routes.push_back(std::move(route));
    }
    http::ServerOptions where;
    where.port = 0;
    auto server = http::Server::start(
        where, std::move(routes),
        [this](http::Request& request, const http::Route& route) { return (*app_->guard())(request, route); },
        [](const http::Request&, const http::Exchange&) {});
    ASSERT_TRUE(server) << server.error().message;
    server_.emplace(std::move(*server));
  }
  void TearDown() override {
    server_.reset();
    app_.reset();
  }
  void keep(std::vector<store::Verdict> verdicts) {
    ASSERT_TRUE(app_->store()->write({store::Keep{std::move(verdicts)}}));
  }
  http::TestAnswer ask(const std::string& method, const std::string& path, const std::string& body = "") {
    if (!server_) start();
    http::TestClient client(server_->port());
    std::string request = fmt::format("{} {} HTTP/1.1\r\nHost: localhost\r\n", method, path);
    if (!key_.empty()) request += fmt::format("Authorization: Bearer {}\r\n", key_);
    if (!body.empty())
      request += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", body.size());
    return client.ask(request + "\r\n" + body);
  }
  Json get(const std::string& path) {
    const auto answer = ask("GET", path);
    EXPECT_EQ(answer.status, 200) << answer.body;
    return Json::parse(answer.body, nullptr, false);
  }
  // What is wrong with a request.
  std::string problem(int status, const std::string& method, const std::string& path,
                      const std::string& body = "") {
    const auto answer = ask(method, path, body);
    EXPECT_EQ(answer.status, status) << path << ": " << answer.body;
    const Json json = Json::parse(answer.body, nullptr, false);
    EXPECT_TRUE(json.is_object() && json.contains("error")) << answer.body;
    return json.is_object() ? json.value("detail", "") : "";
  }

  TemporaryFolder folder_;
  Settings settings_;
  std::unique_ptr<Application> app_;
  std::optional<http::Server> server_;
  std::string key_;
};

TEST_F(StoreRoutesTest, AlertsAreListedShownAndGrouped) {
  start();
  EXPECT_THAT(get("/api/v1/alerts")["alerts"], IsEmpty());
  keep({attack(1), attack(1), attack(2)});
  const Json all = get("/api/v1/alerts");
  ASSERT_THAT(all["alerts"], SizeIs(2));
  EXPECT_TRUE(all["next"].is_null());
  EXPECT_THAT(get("/api/v1/alerts?source=192.0.2.1")["alerts"], SizeIs(1));
  EXPECT_EQ(get("/api/v1/alerts?source=192.0.2.0/24&count_min=2")["alerts"][0]["count"], 2);
  EXPECT_THAT(get("/api/v1/alerts?state=resolved")["alerts"], IsEmpty());
  const Json groups = get("/api/v1/alerts?group_by=target");
  EXPECT_EQ(groups["groups"][0]["target"], "10.0.0.2");
  EXPECT_EQ(groups["groups"][0]["verdicts"], 3);
  const auto id = all["alerts"][0]["id"].get<std::int64_t>();
  EXPECT_EQ(get(fmt::format("/api/v1/alerts/{}", id))["alert"]["label"], "dos");
  EXPECT_THAT(get(fmt::format("/api/v1/flows?alert={}", id))["flows"], Not(IsEmpty()));
}

TEST_F(StoreRoutesTest, PagesFollowEachOther) {
  start();
  std::vector<store::Verdict> many;
  for (int i = 0; i < 25; ++i) many.push_back(attack(static_cast<std::uint8_t>(i)));
  keep(many);
  for (const char* what : {"alerts", "flows"}) {
    std::size_t count = 0;
    std::string after;
    for (int page = 0; page < 10; ++page) {
      const Json json = get(fmt::format("/api/v1/{}?limit=10{}", what, after));
      count += json[what].size();
      if (json["next"].is_null()) break;
      after = "&after=" + json["next"].get<std::string>();
    }
    EXPECT_EQ(count, 25u) << what;
  }
}

TEST_F(StoreRoutesTest, AlertsAreTriagedOneByOneAndInBulk) {
  start();
  keep({attack(1), attack(2), attack(3)});
  const auto id = get("/api/v1/alerts")["alerts"][0]["id"].get<std::int64_t>();
  const auto path = fmt::format("/api/v1/alerts/{}", id);
  EXPECT_EQ(ask("PATCH", path, R"({"state":"escalated","comment":"looks real"})").status, 200);
  const Json shown = get(path);
  EXPECT_EQ(shown["alert"]["state"], "escalated");
  EXPECT_EQ(shown["triage"][0]["comment"], "looks real");
  EXPECT_EQ(shown["triage"][0]["author"], "anonymous");
  const auto bulk = ask("PATCH", "/api/v1/alerts",
                        R"({"query":{"state":"new","source":"192.0.2.0/24"},"state":"resolved"})");
  EXPECT_EQ(bulk.body, R"({"changed":2})");
  EXPECT_EQ(ask("PATCH", "/api/v1/alerts", fmt::format(R"({{"ids":[{}],"comment":"x"}})", id)).body,
            R"({"changed":1})");
  EXPECT_EQ(get("/api/v1/audit")["entries"].size(), 3u);
  EXPECT_EQ(get("/api/v1/audit")["entries"][2]["action"], "alert.triage escalated");
  EXPECT_TRUE(app_->store()->verify_audit());
}

TEST_F(StoreRoutesTest, WhatMakesNoSenseIsRefusedAndSaysWhy) {
  start();
  keep({attack(1)});
  EXPECT_THAT(problem(400, "GET", "/api/v1/alerts?state=nwe"), HasSubstr("did you mean 'new'"));
  EXPECT_THAT(problem(400, "GET", "/api/v1/alerts?source=10.0.0"), HasSubstr("source"));
  EXPECT_THAT(problem(400, "GET", "/api/v1/alerts?limit=0"), HasSubstr("limit"));
  EXPECT_THAT(problem(400, "GET", "/api/v1/alerts?limit=1001"), HasSubstr("limit"));
  EXPECT_THAT(problem(400, "GET", "/api/v1/alerts?after=x"), HasSubstr("after"));
  EXPECT_THAT(problem(400, "GET", "/api/v1/alerts?group_by=port"), HasSubstr("port"));
  EXPECT_THAT(problem(400, "GET", "/api/v1/alerts/first"), HasSubstr("number"));
  EXPECT_THAT(problem(404, "GET", "/api/v1/alerts/99"), HasSubstr("no alert"));
  EXPECT_THAT(problem(404, "PATCH", "/api/v1/alerts/99", R"({"state":"new"})"), HasSubstr("no such alert"));
  EXPECT_THAT(problem(400, "GET", "/api/v1/statistics?width_s=0"), HasSubstr("width_s"));
  EXPECT_THAT(problem(400, "GET", "/api/v1/export/alerts?format=xml"), HasSubstr("format"));
  for (const char* body :
       {"{", "[]", "{}", R"({"state":"gone"})", R"({"state":7})", R"({"state":"new","state":"new"})",
        R"({"state":"new","id":1})", R"({"comment":""})", R"({"state":"new"} x)"}) {
    EXPECT_NE(problem(400, "PATCH", "/api/v1/alerts/1", body), "") << body;
  }
  for (const char* body :
       {R"({"state":"new"})", R"({"ids":[],"state":"new"})", R"({"ids":[1.5],"state":"new"})",
        R"({"ids":["1"],"state":"new"})", R"({"query":{},"state":"new"})",
        R"({"query":{"lable":"dos"},"state":"new"})", R"({"query":{"label":null},"state":"new"})",
        R"({"ids":[1],"query":{"label":"dos"},"state":"new"})",
        R"({"query":{"label":"a","label":"b"},"state":"new"})"}) {
    EXPECT_NE(problem(400, "PATCH", "/api/v1/alerts", body), "") << body;
  }
  EXPECT_EQ(get("/api/v1/alerts/1")["alert"]["state"], "new");
}

TEST_F(StoreRoutesTest, AlertsAreExported) {
  start();
  std::vector<store::Verdict> many;
  for (int i = 0; i < 2500; ++i) {
    many.push_back(
        attack(static_cast<std::uint8_t>(i % 250), 1'800'000'000'000'000 + i / 250 * 3600'000'000LL));
  }
  keep(many);
  const auto eve = ask("GET", "/api/v1/export/alerts");
  EXPECT_EQ(eve.status, 200);
  EXPECT_TRUE(eve.whole);
  EXPECT_EQ(std::count(eve.body.begin(), eve.body.end(), '\n'), 2500);
  EXPECT_EQ(Json::parse(eve.body.substr(0, eve.body.find('\n')))["event_type"], "alert");
  const auto csv = ask("GET", "/api/v1/export/alerts?format=csv&source=192.0.2.7");
  EXPECT_THAT(csv.body, StartsWith("id,state,label,src_ip"));
  EXPECT_EQ(std::count(csv.body.begin(), csv.body.end(), '\n'), 11);
}

TEST_F(StoreRoutesTest, FlowsAndStatisticsAreThere) {
  start();
  keep({attack(1), attack(1, 1'800'003'600'000'000)});
  EXPECT_EQ(get("/api/v1/flows?attack=true")["flows"][0]["src_ip"], "192.0.2.1");
  const Json statistics = get("/api/v1/statistics");
  EXPECT_EQ(statistics["flows"].size(), 2u);
  EXPECT_EQ(statistics["flows"][0]["start"], "2027-01-15T08:00:00.000000Z");
  EXPECT_EQ(statistics["alerts"]["new"], 2);
  EXPECT_EQ(statistics["store"]["state"], "ok");
}

TEST_F(StoreRoutesTest, KeysAreMadeRotatedAndRevoked) {
  const auto made = ask("POST", "/api/v1/keys", R"({"name":"boss","scopes":"predict upload alerts admin"})");
  ASSERT_EQ(made.status, 201) << made.body;
  // From now on everybody needs one.
  EXPECT_NE(problem(401, "GET", "/api/v1/keys"), "");
  key_ = Json::parse(made.body)["key"];
  const auto analyst =
      Json::parse(ask("POST", "/api/v1/keys", R"({"name":"ann","scopes":"alerts","days":30})").body);
  EXPECT_EQ(analyst["record"]["scopes"], "alerts");
  const Json list = get("/api/v1/keys");
  EXPECT_THAT(list["keys"], SizeIs(2));
  EXPECT_THAT(list.dump(), Not(HasSubstr(key_.substr(20))));
  const std::string boss = key_;
  key_ = analyst["key"];
  EXPECT_EQ(ask("GET", "/api/v1/alerts").status, 200);
  EXPECT_NE(problem(403, "GET", "/api/v1/keys"), "");
  EXPECT_NE(problem(403, "POST", "/api/v1/keys", R"({"name":"x","scopes":"admin"})"), "");
  key_ = boss;
  const std::string id = analyst["record"]["id"];
  const auto rotated = ask("POST", "/api/v1/keys/" + id + "/rotate");
  ASSERT_EQ(rotated.status, 201) << rotated.body;
  EXPECT_EQ(Json::parse(rotated.body)["record"]["rotates"], id);
  EXPECT_EQ(ask("DELETE", "/api/v1/keys/" + id).status, 200);
  EXPECT_NE(problem(404, "DELETE", "/api/v1/keys/" + id), "");
  EXPECT_NE(problem(409, "POST", "/api/v1/keys/" + id + "/rotate"), "");
  key_ = analyst["key"];
  EXPECT_NE(problem(401, "GET", "/api/v1/alerts"), "");
  key_ = Json::parse(rotated.body)["key"];
  EXPECT_EQ(ask("GET", "/api/v1/alerts").status, 200);
}

TEST_F(StoreRoutesTest, AKeyIsAskedForProperly) {
  for (const char* body :
       {R"({"name":"x"})", R"({"name":"","scopes":"alerts"})", R"({"scopes":"alerts"})",
        R"({"name":"x","scopes":"everything"})", R"({"name":"x","scopes":"alerts","days":0})",
        R"({"name":"x","scopes":"alerts","days":"9"})", R"({"name":"x","scopes":["alerts"]})",
        R"({"name":"x","scopes":"alerts","owner":"y"})", "7"}) {
    EXPECT_NE(problem(400, "POST", "/api/v1/keys", body), "") << body;
  }
  EXPECT_THAT(get("/api/v1/keys")["keys"], IsEmpty());
}

TEST_F(StoreRoutesTest, WhoChangedADetectorIsInTheAuditAndTheHistory) {
  save_ensemble(folder_ / "pair");
  settings_.detector_list.push_back({.name = "pair", .path = folder_ / "pair"});
  start();
  ASSERT_TRUE(app_->detectors.reload(settings_));
  const std::string first = app_->detectors.state()->find("pair")->active->version();
  save_ensemble(folder_ / "second", 0.125f, 0.625f);
  const auto second = app_->detectors.add({.name = "pair", .path = folder_ / "second"});
  ASSERT_TRUE(second);
  const auto put =
      ask("PUT", "/api/v1/detectors/pair/canary", fmt::format(R"({{"version":"{}","percent":25}})", *second));
  ASSERT_EQ(put.status, 200) << put.body;
  EXPECT_EQ(problem(404, "POST", "/api/v1/detectors/pair/activate", R"({"version":"none"})").empty(), false);
  const auto history = app_->store()->activations(10);
  ASSERT_TRUE(history);
  ASSERT_EQ(history->size(), 2u);  // what failed changed nothing
  EXPECT_EQ((*history)[0].role, "canary");
  EXPECT_EQ((*history)[0].version, *second);
  EXPECT_EQ((*history)[0].share, 0.25);
  EXPECT_EQ((*history)[1].role, "active");
  EXPECT_EQ((*history)[1].version, first);
  const auto audit = app_->store()->audit(INT64_MAX, 10);
  ASSERT_TRUE(audit);
  ASSERT_EQ(audit->size(), 1u);
  EXPECT_EQ(audit->front().action, "detector.PUT canary");
  EXPECT_EQ(audit->front().object, "pair");
}

TEST_F(StoreRoutesTest, WithoutAStoreTheRoutesSaySo) {
  settings_.store.file.clear();
  for (const char* path :
       {"/api/v1/alerts", "/api/v1/flows", "/api/v1/keys", "/api/v1/audit", "/api/v1/export/alerts"}) {
    EXPECT_THAT(problem(503, "GET", path), HasSubstr("store.file")) << path;
  }
  EXPECT_FALSE(app_->keeps(attack(1)));
}

TEST_F(StoreRoutesTest, VerdictsAreKeptBeforeItIsSaid) {
  start();
  EXPECT_TRUE(app_->keeps(attack(1)));
  store::Verdict benign = attack(1);
  benign.attack = false;
  EXPECT_FALSE(app_->keeps(benign));
  EXPECT_TRUE(app_->store()->write({store::Keep{{attack(1)}}}));
  EXPECT_THAT(get("/api/v1/flows")["flows"], SizeIs(1));
}

TEST_F(StoreRoutesTest, AFullStoreSaysSoAndGoesOnReading) {
  settings_.store.free_mb = 10'000'000;
  start();
  const auto refused = app_->store()->write({store::Keep{{attack(1)}}});
  EXPECT_EQ(refused.error().code, Errc::exhausted);
  EXPECT_EQ(get("/api/v1/statistics")["store"]["state"], "full");
  EXPECT_THAT(app_->metrics.text(), HasSubstr("nidus_store_ok 0"));
}

}  // namespace
}  // namespace nidus::serve
