// /api/v1 and /v2: rows in bulk in every form, and detectors that are changed while they serve.
#include <gmock/gmock.h>

#include <cmath>
#include <cstring>

#include "base/file.h"
#include "base/text.h"
#include "serve/testing.h"

namespace nidus::serve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class BulkTest : public ServiceTest {
 protected:
  static std::string floats(const std::vector<float>& numbers) {
    return {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(float)};
  }
  static std::vector<Json> lines(const std::string& text) {
    std::vector<Json> out;
    for (const auto line : split(text, '\n')) {
      if (!line.empty()) out.push_back(Json::parse(line));
    }
    return out;
  }
  static constexpr const char* kLines = "application/x-ndjson";
  static constexpr const char* kRaw = "application/octet-stream";
};

TEST_F(BulkTest, TheSameRowsGetTheSameVerdictsInEveryForm) {
  start_all();
  const Json whole = json(post("/api/v1/predict", R"({"rows":[{"dst_port":80,"fwd_pkts":1},[3,1]]})"));
  EXPECT_EQ(whole["detector"], "pair");
  EXPECT_EQ(whole["count"], 2);
  ASSERT_EQ(whole["verdicts"].size(), 2u);
  EXPECT_EQ(whole["verdicts"][0]["label"], "attack");
  EXPECT_EQ(whole["verdicts"][0]["score"], 0.90625);
  EXPECT_EQ(whole["verdicts"][1]["attack"], false);
  const auto by_line =
      lines(post("/api/v1/predict", "{\"features\":{\"dst_port\":80,\"fwd_pkts\":1}}\n\n[3,1]", kLines).body);
  ASSERT_EQ(by_line.size(), 2u);
  const auto by_table = post("/api/v1/predict", "fwd_pkts;dst_port;other\n1;80;x\n1;3;y\n", "text/csv",
                             "Accept: application/x-ndjson\r\n");
  const auto by_bytes =
      post("/api/v1/predict", floats({80, 1, 3, 1}), kRaw, "Accept: application/x-ndjson\r\n");
  const auto turned = post("/api/v1/predict?columns=fwd_pkts,dst_port", floats({1, 80, 1, 3}), kRaw,
                           "Accept: application/x-ndjson\r\n");
  for (const auto* answer : {&by_table, &by_bytes, &turned}) {
    const auto verdicts = lines(answer->body);
    ASSERT_EQ(verdicts.size(), 2u) << answer->body;
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(verdicts[i], whole["verdicts"][i]);
      EXPECT_EQ(by_line[i]["score"], whole["verdicts"][i]["score"]);
    }
  }
  EXPECT_EQ(post("/api/v1/predict", "dst_port,fwd_pkts\n80,1\n3,1\n", "text/csv").body,
            "row,attack,label,score,label_score\n0,1,attack,0.90625,0.90625\n1,0,benign,0.09375,0.09375\n");
  const auto raw = post("/api/v1/predict", floats({80, 1, 3, 1}), kRaw);
  ASSERT_EQ(raw.body.size(), 16u);
  float score = 0;
  std::uint32_t label = 0;
  std::memcpy(&score, raw.body.data(), 4);
  std::memcpy(&label, raw.body.data() + 4, 4);
  EXPECT_EQ(score, 0.90625f);
  EXPECT_EQ(label, 1u);
}

TEST_F(BulkTest, StreamsAreAnsweredWhileTheyAreRead) {
  start_all();
  std::string body;
  constexpr int kRows = 200000;
  for (int i = 0; i < kRows; ++i) body += fmt::format("[{},1]\n", i % 9);
  const auto answer = post("/api/v1/predict", body, kLines);
  ASSERT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.whole);
  const auto verdicts = lines(answer.body);
  ASSERT_EQ(verdicts.size(), static_cast<std::size_t>(kRows));
  for (int i = 0; i < kRows; ++i) {
    const auto& verdict = verdicts[static_cast<std::size_t>(i)];
    ASSERT_EQ(verdict["row"], i);
    ASSERT_EQ(verdict["attack"], i % 9 > 4) << i;
  }
  // A mistake late in the stream cuts the answer off, and its missing end shows.
  const auto cut = post("/api/v1/predict", body + "[1]\n", kLines);
  EXPECT_EQ(cut.status, 200);
  EXPECT_FALSE(cut.whole);
}

TEST_F(BulkTest, ReasonsAreGivenWhenAskedFor) {
  save_ensemble(folder / "pair");
  add("pair");
  settings.detector_list.push_back(
      {.name = "lab", .path = NIDUS_SOURCE_DIR "/share/detectors/flows-attacks"});
  start();
  Json row = Json::array();
  for (std::size_t i = json(get("/api/v1/detectors/lab"))["inputs"]; i-- > 0;) row.push_back(i % 7);
  const Json asked = {{"rows", {row}}};
  const Json answer = json(post("/api/v1/predict?detector=lab&explain=3", asked.dump()));
  const Json& explanation = answer["verdicts"][0]["explanation"];
  ASSERT_EQ(explanation["reasons"].size(), 3u);
  double sum = explanation["base"].get<double>() + explanation["rest"].get<double>();
  for (const auto& reason : explanation["reasons"]) sum += reason["contribution"].get<double>();
  EXPECT_NEAR(sum, answer["verdicts"][0]["score"].get<double>(), 1e-6);
  problem(post("/api/v1/predict?explain=x", R"({"rows":[[80,1]]})"), 400);
  problem(post("/api/v1/predict?explain=65", R"({"rows":[[80,1]]})"), 400);
  problem(post("/api/v1/predict?detector=lab&explain=1", "a,b\n80,1\n", "text/csv"), 406);
  EXPECT_TRUE(json(post("/api/v1/predict?explain=true", R"({"rows":[[80,1]]})"))["verdicts"][0].contains(
      "explanation"));
}

TEST_F(BulkTest, WhatMakesNoSenseIsRefused) {
  start_all();
  problem(post("/api/v1/predict?detector=nobody", R"({"rows":[[80,1]]})"), 404);
  problem(post("/api/v1/predict?configuration=nothing", R"({"rows":[[80,1]]})"), 404);
  problem(post("/api/v1/predict?columns=dst_port", floats({80, 1}), kRaw), 400);
  problem(post("/api/v1/predict?columns=dst_port,dst_port", floats({80, 1}), kRaw), 400);
  problem(post("/api/v1/predict", "{}", "application/json"), 400);
  problem(post("/api/v1/predict", R"({"rows":[]})"), 400);
  problem(post("/api/v1/predict", "", kLines), 400);
  problem(post("/api/v1/predict", "{\"rows\":[[1,2]]}", "application/json", "Accept: image/png\r\n"), 406);
  EXPECT_THAT(problem(post("/api/v1/predict", "[1,2]\n[1\n", kLines), 400)["error"].get<std::string>(),
              HasSubstr("row 1"));
  EXPECT_THAT(problem(post("/api/v1/predict", floats({80, 1}) + "x", kRaw), 400)["error"].get<std::string>(),
              HasSubstr("1 bytes are left over"));
  EXPECT_THAT(problem(post("/api/v1/predict", "dst_port,fwd_pkts\n80,1\n80,\"x\n", "text/csv"), 400)["error"]
                  .get<std::string>(),
              HasSubstr("line 3"));
  EXPECT_THAT(problem(post("/api/v1/predict", "dst_port,fwd_pkts\n80,many\n", "text/csv"), 400)["error"]
                  .get<std::string>(),
              HasSubstr("line 2: feature 'fwd_pkts' is 'many', expected a number"));
  EXPECT_THAT(problem(post("/api/v1/predict", "dst_port,fwd_pkts\n80,1e39\n", "text/csv"), 400)["error"]
                  .get<std::string>(),
              HasSubstr("line 2: feature 'fwd_pkts' is '1e39', larger than a float"));
}

TEST_F(BulkTest, DetectorsAreChangedThroughTheApi) {
  start_all();
  const auto change = [&](const std::string& method, const std::string& what, const std::string& body,
                          int status = 200) {
    return json(ask(method, "/api/v1/detectors/pair/" + what, body), status);
  };
  const Json all = json(get("/api/v1/detectors"));
  ASSERT_EQ(all["detectors"].size(), 3u);
  const std::string first = all["detectors"][0]["version"];
  EXPECT_THAT(all["detectors"][0]["roles"], ElementsAre("predict", "ml"));
  save_ensemble(folder / "pair", 0.125f, 0.625f);
  EXPECT_EQ(json(post("/predict", R"({"features":[80,1]})"))["confidence"], 0.90625);  // nobody has said so
  const Json reloaded = change("POST", "reload", "");
  const std::string second = reloaded["version"];
  EXPECT_NE(first, second);
  EXPECT_EQ(reloaded["previous"], first);
  EXPECT_EQ(json(post("/predict", R"({"features":[80,1]})"))["confidence"], (0.625 + 0.8125) / 2);
  EXPECT_EQ(change("POST", "rollback", "")["version"], first);
  EXPECT_EQ(change("PUT", "canary", "{\"version\":\"" + second + "\",\"percent\":100}")["canary"]["percent"],
            100);
  EXPECT_EQ(json(post("/predict", R"({"features":[80,1]})"))["detector_version"], second);
  EXPECT_TRUE(change("DELETE", "canary", "")["canary"].is_null());
  EXPECT_EQ(change("PUT", "shadow", "{\"version\":\"" + second + "\"}")["shadow"]["version"], second);
  EXPECT_EQ(json(post("/predict", R"({"features":[80,1]})"))["detector_version"], first);
  EXPECT_TRUE(change("DELETE", "shadow", "")["shadow"].is_null());
  EXPECT_EQ(change("POST", "activate", "{\"version\":\"" + second + "\"}")["version"], second);
  change("POST", "activate", "{\"version\":\"nothing\"}", 404);
  change("POST", "activate", "{\"version\":1}", 400);
  change("PUT", "canary", "{\"version\":\"" + first + "\"}", 400);
  change("PUT", "canary", "{\"version\":\"" + first + "\",\"percent\":0}", 400);
  problem(get("/api/v1/detectors/nobody"), 404);
  problem(post("/api/v1/detectors/nobody/rollback", ""), 404);
  // What cannot be loaded changes nothing.
  ASSERT_TRUE(write_file(folder / "pair" / "detector.json", "{"));
  problem(post("/api/v1/detectors/pair/reload", ""), 409);
  const Json after = json(get("/api/v1/detectors/pair"));
  EXPECT_EQ(after["version"], second);
  EXPECT_THAT(after["last_error"].get<std::string>(), HasSubstr("detector.json"));
  EXPECT_EQ(post("/predict", R"({"features":[80,1]})").status, 200);
}

TEST_F(BulkTest, SpeaksTheOpenInferenceProtocol) {
  start_all();
  EXPECT_THAT(json(get("/v2"))["extensions"], ElementsAre("binary_tensor_data"));
  EXPECT_EQ(json(get("/v2/health/ready"))["ready"], true);
  const Json about = json(get("/v2/models/pair"));
  EXPECT_EQ(about["inputs"][0]["shape"], Json::parse("[-1,2]"));
  const std::string version = about["versions"][0];
  EXPECT_EQ(json(get("/v2/models/pair/versions/" + version + "/ready"))["ready"], true);
  problem(get("/v2/models/pair/versions/9"), 404);
  problem(get("/v2/models/nobody"), 404);
  const Json answer = json(post(
      "/v2/models/pair/infer",
      R"({"id":"x","inputs":[{"name":"input","shape":[2,2],"datatype":"FP32","data":[[80,1],[3,1]]}]})"));
  EXPECT_EQ(answer["id"], "x");
  EXPECT_EQ(answer["model_version"], version);
  ASSERT_EQ(answer["outputs"].size(), 3u);
  EXPECT_EQ(answer["outputs"][0],
            Json::parse(R"({"name":"score","datatype":"FP64","shape":[2],"data":[0.90625,0.09375]})"));
  EXPECT_EQ(answer["outputs"][1]["data"], Json::parse("[1,0]"));
  EXPECT_EQ(answer["outputs"][2]["data"], Json::parse(R"(["attack","benign"])"));
  const Json classes = json(post(
      "/v2/models/kdd/versions/" + json(get("/v2/models/kdd"))["versions"][0].get<std::string>() + "/infer",
      R"({"inputs":[{"name":"duration","shape":[1],"datatype":"INT32","data":[9]},{"name":"protocol_type","shape":[1],"datatype":"BYTES","data":["tcp"]},
      {"name":"service","shape":[1],"datatype":"BYTES","data":["nothing known"]},{"name":"flag","shape":[1,1],"datatype":"BYTES","data":[["SF"]]},
      {"name":"src_bytes","shape":[1],"datatype":"FP64","data":[1]},{"name":"dst_bytes","shape":[1],"datatype":"FP64","data":[2]}],"outputs":[{"name":"probabilities"}]})"));
  EXPECT_EQ(classes["outputs"][0]["shape"], Json::parse("[1,6]"));
  EXPECT_EQ(classes["outputs"][0]["data"], Json::parse("[0.25,0.5,0.25,0,0,0]"));
}

TEST_F(BulkTest, TakesAndGivesBinaryTensors) {
  start_all();
  const std::string head =
      R"({"inputs":[{"name":"input","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":16}}],"outputs":[{"name":"label","parameters":{"binary_data":true}},{"name":"score"},{"name":"label_name","parameters":{"binary_data":true}}]})";
  const auto answer = post("/v2/models/pair/infer", head + floats({80, 1, 3, 1}), kRaw,
                           fmt::format("Inference-Header-Content-Length: {}\r\n", head.size()));
  ASSERT_EQ(answer.status, 200) << answer.body;
  const auto length = std::stoul(answer.headers.at("inference-header-content-length"));
  const Json body = Json::parse(answer.body.substr(0, length));
  EXPECT_EQ(body["outputs"][0]["parameters"]["binary_data_size"], 8);
  EXPECT_EQ(body["outputs"][1]["data"], Json::parse("[0.90625,0.09375]"));
  const std::string bytes = answer.body.substr(length);
  EXPECT_EQ(bytes, std::string("\1\0\0\0\0\0\0\0\6\0\0\0attack\6\0\0\0benign", 8 + 10 + 10));
  for (const auto& [json_part, tail] : {std::pair<std::string, std::string>{head, floats({80, 1, 3})},
                                        {head, floats({80, 1, 3, 1, 5})},
                                        {head, floats({80, 1, 3, std::nanf("")})}})
    problem(post("/v2/models/pair/infer", json_part + tail, kRaw,
                 fmt::format("Inference-Header-Content-Length: {}\r\n", json_part.size())),
            400);
  problem(post("/v2/models/pair/infer", head, kRaw, "Inference-Header-Content-Length: 99999\r\n"), 400);
  problem(post("/v2/models/pair/infer", head, kRaw, "Inference-Header-Content-Length: -1\r\n"), 400);
}

TEST_F(BulkTest, TensorsThatDoNotFitAreRefused) {
  start_all();
  const auto refused = [&](const std::string& inputs) {
    return problem(post("/v2/models/pair/infer", "{\"inputs\":" + inputs + "}"), 400)["error"]
        .get<std::string>();
  };
  EXPECT_THAT(refused(R"([{"name":"input","shape":[1,3],"datatype":"FP32","data":[1,2,3]}])"),
              HasSubstr("Expected 2 features, got 3"));
  EXPECT_THAT(refused(R"([{"name":"input","shape":[2,2],"datatype":"FP32","data":[1,2,3]}])"),
              HasSubstr("3 numbers, its shape needs 4"));
  EXPECT_THAT(refused(R"([{"name":"input","shape":[1,2],"datatype":"FP32","data":[1,2,3]}])"),
              HasSubstr("more data"));
  EXPECT_THAT(refused(R"([{"name":"input","shape":[1,2],"datatype":"FP32","data":[1,null]}])"),
              HasSubstr("element 1"));
  EXPECT_THAT(refused(R"([{"name":"input","shape":[1,2],"datatype":"FP32","data":[1,1e300]}])"),
              HasSubstr("larger than a float"));
  EXPECT_THAT(refused(R"([{"name":"input","shape":[0,2],"datatype":"FP32","data":[]}])"), HasSubstr("empty"));
  EXPECT_THAT(refused(R"([{"name":"input","shape":[999999,2],"datatype":"FP32","data":[]}])"),
              HasSubstr("more than 10000 rows"));
  EXPECT_THAT(refused(R"([{"name":"dst_port","shape":[1],"datatype":"FP32","data":[1]}])"),
              HasSubstr("fwd_pkts"));
  EXPECT_THAT(
      refused(
          R"([{"name":"a","shape":[1],"datatype":"FP32","data":[1]},{"name":"b","shape":[1],"datatype":"FP32","data":[1]}])"),
      HasSubstr("no column"));
  EXPECT_THAT(refused(R"([{"name":"input","shape":[1,2],"datatype":"FP16","data":[1,2]}])"),
              HasSubstr("FP16"));
  EXPECT_THAT(refused("[]"), HasSubstr("missing"));
}

}  // namespace
}  // namespace nidus::serve
