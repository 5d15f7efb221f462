// Verdicts on rows, which name no flow, in the store: as the settings ask, and before anybody is told.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "serve/testing.h"

namespace nidus::serve {
namespace {

using testing::SizeIs;

class KeptRowsTest : public ServiceTest {
 protected:
  void SetUp() override {
    ServiceTest::SetUp();
    settings.store.file = (folder / "nidus.db").string();
    settings.store.keep_without_addresses = true;
  }
  Json flows() { return json(get("/api/v1/flows?limit=1000"))["flows"]; }

  static constexpr const char* kAttack = R"({"features":{"dst_port":80,"fwd_pkts":1}})";
  static constexpr const char* kBenign = R"({"features":{"dst_port":3,"fwd_pkts":1}})";
  static constexpr const char* kThree =
      R"({"flows":[{"dst_port":80,"fwd_pkts":1},{"dst_port":3,"fwd_pkts":1},{"dst_port":81,"fwd_pkts":1}]})";
};

TEST_F(KeptRowsTest, AttacksAreThereOnceTheyWereTold) {
  start_all();
  EXPECT_EQ(json(post("/predict", kAttack))["prediction"], 1);
  const Json kept = flows();
  ASSERT_THAT(kept, SizeIs(1));
  EXPECT_EQ(kept[0]["origin"], "predict");
  EXPECT_EQ(kept[0]["score"], (0.875 + 0.9375) / 2);
  EXPECT_EQ(json(post("/predict", kBenign))["prediction"], 0);
  EXPECT_THAT(flows(), SizeIs(1));
}

TEST_F(KeptRowsTest, EveryWayToSendRowsIsOne) {
  start_all();
  json(post("/predict/batch", kThree));
  EXPECT_THAT(flows(), SizeIs(2));
  json(post("/api/v1/predict", kThree));
  EXPECT_THAT(flows(), SizeIs(4));
  EXPECT_EQ(post("/api/v1/predict", "{\"dst_port\":80,\"fwd_pkts\":1}\n", "application/x-ndjson").status,
            200);
  EXPECT_THAT(flows(), SizeIs(5));
  const float row[2] = {80, 1};
  EXPECT_EQ(post("/api/v1/predict?detector=pair", {reinterpret_cast<const char*>(row), sizeof row},
                 "application/octet-stream")
                .status,
            200);
  EXPECT_THAT(flows(), SizeIs(6));
  json(post("/v2/models/pair/infer",
            R"({"inputs":[{"name":"input","shape":[1,2],"datatype":"FP64","data":[80,1]}]})"));
  EXPECT_THAT(flows(), SizeIs(7));
  json(post("/score", R"({"features":[80,1]})"));
  EXPECT_THAT(flows(), SizeIs(8));
}

TEST_F(KeptRowsTest, AllOfThemOrNoneIfThatIsAskedFor) {
  settings.store.keep = "all";
  start_all();
  json(post("/predict/batch", kThree));
  json(post("/predict", kBenign));
  EXPECT_THAT(flows(), SizeIs(4));
}

TEST_F(KeptRowsTest, WithoutTheSettingNoneIsKept) {
  settings.store.keep_without_addresses = false;
  start_all();
  json(post("/predict", kAttack));
  json(post("/predict/batch", kThree));
  EXPECT_THAT(flows(), SizeIs(0));
}

TEST_F(KeptRowsTest, WhatCannotBeKeptIsNotTold) {
  settings.store.free_mb = 10'000'000;  // no disk has that much
  start_all();
  const auto answer = post("/predict", kAttack);
  EXPECT_EQ(problem(answer, 507)["request_id"], answer.headers.at("x-request-id"));
  problem(post("/predict/batch", kThree), 507);
  problem(post("/api/v1/predict", kThree), 507);
  EXPECT_EQ(json(post("/predict", kBenign))["prediction"], 0);  // there is nothing to be kept of it
}

}  // namespace
}  // namespace nidus::serve
