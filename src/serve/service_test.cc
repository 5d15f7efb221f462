#include "serve/service.h"

#include <gmock/gmock.h>
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/file.h"
#include "base/random.h"
#include "serve/testing.h"

namespace nidus::serve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST_F(ServiceTest, FrontPageAndHealthAnswerTheClientsOfThreeServices) {
  start_all();
  const Json front = json(get("/"));
  EXPECT_EQ(front["status"], "running");
  EXPECT_EQ(front["models"], Json::parse(R"({"random_forest":true,"xgboost":true,"deep_mlp":false})"));
  EXPECT_EQ(front["model_ready"], true);
  for (const char* name : {"health", "single_prediction", "batch_prediction", "model_info", "metrics"})
    EXPECT_TRUE(front["endpoints"][name].is_string()) << name;
  const Json health = json(get("/health"));
  EXPECT_EQ(health["status"], "healthy");
  EXPECT_EQ(health["models_loaded"]["xgboost"], true);
  EXPECT_EQ(health["features_count"], 2);
  EXPECT_EQ(health["model_ready"], true);
  EXPECT_EQ(health["ml_loaded"], true);
  EXPECT_EQ(health["dl_loaded"], true);
  EXPECT_GT(health["timestamp"].get<double>(), 1.7e9);
  EXPECT_EQ(json(get("/livez"))["live"], true);
  EXPECT_EQ(json(get("/readyz"))["ready"], true);
}

TEST_F(ServiceTest, TheWordOfHealthCanBeSet) {
  settings.server.status_word = "ok";
  start_all();
  EXPECT_EQ(json(get("/health"))["status"], "ok");
}

TEST_F(ServiceTest, WithoutADetectorItIsAliveButNotReady) {
  start();
  EXPECT_EQ(get("/livez").status, 200);
  problem(get("/readyz"), 503);
  EXPECT_EQ(problem(get("/health"), 503)["model_ready"], false);
  for (const char* path : {"/predict", "/predict/batch", "/score", "/batch_score"})
    problem(post(path, R"({"features":[1,2]})"), 503);
  for (const char* path : {"/model/info", "/model_info"}) problem(get(path), 503);
}

TEST_F(ServiceTest, PredictAnswersAsTheEnsembleServiceDid) {
  start_all();
  const Json attack = json(post("/predict", R"({"features":{"dst_port":80,"fwd_pkts":1}})"));
  EXPECT_EQ(attack["prediction"], 1);
  EXPECT_EQ(attack["prediction_label"], "Attack");
  EXPECT_EQ(attack["confidence"], (0.875 + 0.9375) / 2);
  EXPECT_EQ(attack["attack_probability"], attack["confidence"]);
  EXPECT_EQ(attack["model_probabilities"], Json::parse(R"({"random_forest":0.875,"xgboost":0.9375})"));
  EXPECT_GE(attack["inference_time_ms"].get<double>(), 0);
  EXPECT_GT(attack["timestamp"].get<double>(), 1.7e9);
  const Json benign =
      json(post("/predict", R"({"features":{"Destination Port":"3","Total Fwd Packets":true,"x":[]}})"));
  EXPECT_EQ(benign["prediction"], 0);
  EXPECT_EQ(benign["prediction_label"], "Benign");
}

TEST_F(ServiceTest, PredictUsesTheConfigurationThatIsAskedFor) {
  settings.configurations["forest_only"] = {{"random_forest", 1.0}};
  start_all();
  const Json answer =
      json(post("/predict", R"({"features":{"dst_port":80,"fwd_pkts":1},"configuration":"forest_only"})"));
  EXPECT_EQ(answer["confidence"], 0.875);
  EXPECT_EQ(answer["model_probabilities"], Json::parse(R"({"random_forest":0.875})"));
  EXPECT_EQ(json(post("/predict", R"({"configuration":"forest_only","features":[3,1]})"))["confidence"],
            0.125);
  problem(post("/predict", R"({"features":{"dst_port":80,"fwd_pkts":1},"configuration":"trio"})"), 400);
}

TEST_F(ServiceTest, ClientsMistakesAreToldInAClearSentence) {
  start_all();
  const Json missing = problem(post("/predict", R"({"features":{"dst_port":80}})"), 400);
  EXPECT_THAT(missing["missing_features"], ElementsAre("fwd_pkts"));
  const std::pair<const char*, const char*> bad[] = {
      {"{}", "features"},
      {"[]", "JSON object"},
      {"", "JSON object"},
      {"{\"features\":", "malformed JSON"},
      {"{\"features\":{\"dst_port\":null,\"fwd_pkts\":1}}", "feature 'dst_port' is null"},
      {"{\"features\":{\"dst_port\":NaN,\"fwd_pkts\":1}}", "feature 'dst_port' is not finite"},
      {"{\"features\":{\"dst_port\":-Infinity,\"fwd_pkts\":1}}", "feature 'dst_port' is not finite"},
      {"{\"features\":{\"dst_port\":\"many\",\"fwd_pkts\":1}}", "feature 'dst_port' is 'many'"},
      {"{\"features\":{\"dst_port\":1e999,\"fwd_pkts\":1}}", "larger than a float"},
      {"{\"features\":{\"dst_port\":[1],\"fwd_pkts\":1}}", "is a list"},
      {"{\"features\":{\"dst_port\":1,\"dst_port\":2,\"fwd_pkts\":1}}", "there twice"},
      {"{\"features\":{\"dst_port\":1,\"fwd_pkts\":1},\"features\":{}}", "there twice"},
      {"{\"features\":{\"dst_port\":1,\"fwd_pkts\":1}} x", "malformed JSON"},
      {"{\"features\":7}", "expected an object"},
      {"{\"features\":{\"dst_port\":1,\"fwd_pkts\":1,\"x\":\"\xff\"}}", "malformed JSON"},
  };
  for (const auto& [body, word] : bad) {
    const auto answer = post("/predict", body);
    EXPECT_THAT(problem(answer, 400)["error"].get<std::string>(), HasSubstr(word)) << body;
  }
  const std::string deep = "{\"features\":" + std::string(100000, '[');
  EXPECT_THAT(problem(post("/predict", deep), 400)["error"].get<std::string>(), HasSubstr("is a list"));
  problem(post("/predict", "a=1", "application/x-www-form-urlencoded"), 415);
  problem(get("/predict"), 405);
  problem(get("/nowhere"), 404);
  EXPECT_EQ(post("/predict", R"({"features":{"dst_port":80,"fwd_pkts":1}})").status, 200);
}

TEST_F(ServiceTest, BatchesNameTheRowThatIsWrong) {
  settings.limits.rows_max = 3;
  start_all();
  const Json batch = json(post(
      "/predict/batch", R"({"flows":[{"dst_port":80,"fwd_pkts":1},[1,1],{"fwd_pkts":2,"dst_port":5}]})"));
  EXPECT_THAT(batch["predictions"], ElementsAre(1, 0, 1));
  EXPECT_EQ(batch["probabilities"].size(), 3u);
  EXPECT_EQ(batch["count"], 3);
  EXPECT_EQ(batch["attack_count"], 2);
  EXPECT_EQ(batch["benign_count"], 1);
  EXPECT_TRUE(batch["inference_time_ms"].is_number() && batch["avg_time_per_flow_ms"].is_number());
  const Json missing =
      problem(post("/predict/batch", R"({"flows":[{"dst_port":80,"fwd_pkts":1},{"fwd_pkts":1}]})"), 400);
  EXPECT_THAT(missing["error"].get<std::string>(), HasSubstr("row 1"));
  EXPECT_THAT(missing["missing_features"], ElementsAre("dst_port"));
  EXPECT_THAT(
      problem(post("/predict/batch", R"({"flows":[[1,2],[1,null]]})"), 400)["error"].get<std::string>(),
      HasSubstr("row 1: feature 'fwd_pkts' is null"));
  problem(post("/predict/batch", R"({"flows":[]})"), 400);
  problem(post("/predict/batch", R"({})"), 400);
  problem(post("/predict/batch", R"({"flows":{}})"), 400);
  problem(post("/predict/batch", R"({"flows":[[1,2],[1,2],[1,2],[1,2]]})"), 413);
}

TEST_F(ServiceTest, LargeBatchesAreJudgedBesideTheConnections) {
  start_all();
  std::string body = "{\"flows\":[";
  for (int i = 0; i < 10000; ++i)
    body += fmt::format("{}{{\"dst_port\":{},\"fwd_pkts\":1}}", i == 0 ? "" : ",", i % 10);
  const Json batch = json(post("/predict/batch", body + "]}"));
  ASSERT_EQ(batch["count"], 10000);
  for (std::size_t i = 0; i < 10000; ++i) ASSERT_EQ(batch["predictions"][i], i % 10 > 4 ? 1 : 0) << i;
}

TEST_F(ServiceTest, ScoreAnswersAsTheAnomalyServiceDid) {
  start_all();
  const Json odd = json(post("/score", R"({"features":[80,1]})"));
  EXPECT_EQ(odd["prediction"], -1);
  EXPECT_EQ(odd["is_anomaly"], true);
  EXPECT_EQ(odd["anomaly_score"], -0.75);
  EXPECT_TRUE(odd["latency_seconds"].is_number());
  EXPECT_EQ(json(post("/score", R"({"features":[1,1]})"))["prediction"], 1);
  EXPECT_EQ(problem(post("/score", R"({"features":[1,1,1]})"), 400)["detail"], "Expected 2 features, got 3");
  problem(post("/score", R"({"features":[1,"x"]})"), 422);
  problem(post("/score", R"({})"), 422);
  problem(post("/score", R"({"features":)"), 400);
  const Json batch = json(post("/batch_score", R"({"features":[[80,1],[1,1],[5,1]]})"));
  EXPECT_THAT(batch["predictions"], ElementsAre(-1, 1, -1));
  EXPECT_THAT(batch["predictions_binary"], ElementsAre(1, 0, 1));
  EXPECT_THAT(batch["anomaly_scores"], ElementsAre(-0.75, -0.25, -0.75));
  EXPECT_THAT(batch["anomaly_indices"], ElementsAre(0, 2));
  EXPECT_EQ(batch["results"][1], Json::parse(R"({"prediction":1,"is_anomaly":false,"anomaly_score":-0.25})"));
  EXPECT_EQ(batch["anomaly_count"], 2);
  EXPECT_NEAR(batch["anomaly_percentage"].get<double>(), 200.0 / 3, 1e-9);
  EXPECT_EQ(batch["total_samples"], 3);
  problem(post("/batch_score", R"({"features":[]})"), 400);
  EXPECT_THAT(problem(post("/batch_score", R"({"features":[[1,2],[1]]})"), 400)["detail"].get<std::string>(),
              HasSubstr("row 1: Expected 2 features, got 1"));
  problem(post("/batch_score", R"({"features":[[1,null]]})"), 422);
  const Json info = json(get("/model_info"));
  EXPECT_EQ(info["n_features"], 2);
  EXPECT_THAT(info["features"], ElementsAre("dst_port", "fwd_pkts"));
}

TEST_F(ServiceTest, ModelInfoIsTheDocumentOfTheFolderAsItStands) {
  save_ensemble(folder / "pair");
  add("pair");
  const std::string document = "{\"version\": \"9.9\", \"models\": {\"xgboost\": {\"auc\": 0.5}}}\n";
  ASSERT_TRUE(write_file(folder / "pair" / "model_metadata.json", document));
  start();
  EXPECT_EQ(get("/model/info").body, document);
}

TEST_F(ServiceTest, ModelInfoOfADetectorOfOursHasTheSameShape) {
  start_all();
  const Json info = json(get("/model/info"));
  EXPECT_EQ(info["deployment_config"]["ensemble_weights"]["xgboost"], 0.5);
  EXPECT_EQ(info["preprocessing"]["features_count"], 2);
  EXPECT_TRUE(info["models"].contains("random_forest"));
}

TEST_F(ServiceTest, MetricsHaveTheNamesThatDashboardsAskFor) {
  start_all();
  post("/predict", R"({"features":[80,1]})");
  post("/predict", R"({"features":[1,1]})");
  post("/predict", "{}");
  post("/predict/batch", R"({"flows":[[80,1],[1,1]]})");
  post("/batch_score", R"({"features":[[80,1],[1,1]]})");
  get("/health");
  const std::string text = get("/metrics").body;
  for (const char* line :
       {"predictions_total{prediction_type=\"Attack\"} 3\n",
        "predictions_total{prediction_type=\"Benign\"} 3\n", "prediction_latency_seconds_count 2\n",
        "http_requests_total{endpoint=\"/predict\"} 3\n",
        "inference_latency_seconds_count{endpoint=\"/predict\"} 3\n", "anomalies_detected_total 1\n",
        "normal_samples_total 1\n", "batch_prediction_sizes_count 2\n",
        "model_load_duration_seconds_count 3\n", "prediction_errors_total 1\n"})
    EXPECT_THAT(text, HasSubstr(line));
}

TEST_F(ServiceTest, FlatRecordsGoToTheDetectorWhoseColumnsTheyHave) {
  start_all();
  const std::string rest =
      R"("protocol_type":"tcp","service":"http","flag":"SF","src_bytes":181,"dst_bytes":5450,"land":0})";
  const Json dos = json(post("/predict", "{\"duration\":10," + rest));
  EXPECT_EQ(dos["predicted_class"], "DoS");
  EXPECT_EQ(dos["predicted_index"], 1);
  EXPECT_EQ(dos["is_anomaly"], true);
  EXPECT_EQ(dos["confidence"], 0.75);
  EXPECT_EQ(dos["probabilities"]["Normal"], 0.25);
  EXPECT_EQ(dos["probabilities"]["Access"], 0);
  EXPECT_EQ(json(post("/predict", "{\"duration\":0," + rest))["predicted_class"], "Normal");
  EXPECT_THAT(problem(post("/predict", "{" + rest), 400)["missing_features"], ElementsAre("duration"));
}

constexpr const char* kKddRows =
    "0,tcp,http,SF,181,5450,0,0,0,0,0,1,0,0,0,0,0,0,0,0,0,0,8,8,0,0,0,0,1,0,0,9,9,1,0,0.11,0,0,0,0,0,normal,"
    "20\n"
    "9,udp,ftp,S0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,8,8,0,0,0,0,1,0,0,9,9,1,0,0.11,0,0,0,0,0,neptune,21\n";

TEST_F(ServiceTest, TablesComeBackWithTheirColumnsAndTheVerdicts) {
  start_all();
  const std::string form =
      "--B\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nx\r\n--B\r\n"
      "Content-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\nContent-Type: text/csv\r\n\r\n" +
      std::string(kKddRows) + "\r\n--B--\r\n";
  const auto answer = post("/batch_predict", form, "multipart/form-data; boundary=B");
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_TRUE(answer.headers.at("content-type").starts_with("text/csv"));
  EXPECT_THAT(
      answer.headers.at("content-disposition"),
      testing::MatchesRegex("attachment; filename=\"anomaly_detection_results_[0-9]{8}_[0-9]{6}\\.csv\""));
  const auto lines = split(answer.body, '\n');
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_TRUE(lines[0].starts_with("duration,protocol_type,service,"));
  EXPECT_TRUE(lines[0].ends_with(
      ",label,difficulty,Predicted_Class,Predicted_Index,Is_Anomaly,Confidence,Prob_Normal,"
      "Prob_DoS,Prob_Probe,Prob_Privilege Escalation,Prob_Access,Prediction_Timestamp"));
  EXPECT_THAT(std::string(lines[1]), HasSubstr(",normal,20,Normal,0,False,0.75,0.75,0.25,0,0,0,20"));
  EXPECT_THAT(std::string(lines[2]), HasSubstr(",neptune,21,DoS,1,True,0.75,0.25,0.75,0,0,0,20"));
  // With a header, other columns, and nothing but the columns that are needed.
  const std::string table =
      "service,duration,flag,protocol_type,src_bytes,dst_bytes,mine\nhttp,1,SF,tcp,1,2,\"a,b\"\n";
  const auto plain = post("/batch_predict", table, "text/csv");
  ASSERT_EQ(plain.status, 200) << plain.body;
  EXPECT_THAT(plain.body, HasSubstr("http,1,SF,tcp,1,2,\"a,b\",Normal,0,False,"));
}

TEST_F(ServiceTest, TablesThatMakeNoSenseAreRefused) {
  start_all();
  const std::string type = "multipart/form-data; boundary=B";
  for (const char* form : {"", "--B", "--B--", "--B--\r\n", "x", "--B\r\n\r\n\r\n--B--\r\n",
                           "--B\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\nx\r\n--B--\r\n",
                           "--B\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n",
                           "--B\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n\r\n--B--\r\n"})
    problem(post("/batch_predict", form, type), 400);
  problem(post("/batch_predict", "x", "multipart/form-data"), 400);
  problem(post("/batch_predict", "a,b\n1,2\n", "text/csv"), 400);
  EXPECT_THAT(problem(post("/batch_predict", std::string(kKddRows) + "1,2,3\n", "text/csv"), 400)["error"]
                  .get<std::string>(),
              HasSubstr("line 3"));
  problem(post("/batch_predict", "{}", "application/json"), 415);
}

TEST_F(ServiceTest, RowsThatArriveTogetherAreNotMixedUp) {
  // A forest whose score is the row: one leaf for each port.
  detect::Manifest manifest = detect::binary_manifest();
  manifest.name = "echo";
  manifest.members = {{"model.nidus", "", 1}};
  constexpr std::uint32_t kLeaves = 256;
  model::TreeSet::Parts parts;
  parts.inputs = 2;
  parts.width = 1;
  std::vector<model::Node> nodes;
  std::vector<float> leaves;
  for (std::uint32_t i = 0; i + 1 < kLeaves; ++i) {
    nodes.push_back(model::Node::inner(static_cast<float>(i), 0, 2 * i + 1));
    nodes.push_back(model::Node::leaf(2 * i + 1, i));
    leaves.push_back(static_cast<float>(i) / kLeaves);
  }
  nodes.push_back(model::Node::leaf(2 * kLeaves - 2, kLeaves - 1));
  leaves.push_back(static_cast<float>(kLeaves - 1) / kLeaves);
  parts.nodes = std::move(nodes);
  parts.roots = std::vector<std::uint32_t>{0, 2 * kLeaves - 1};
  parts.leaves = std::move(leaves);
  auto trees = model::TreeSet::make(std::move(parts));
  ASSERT_TRUE(trees) << trees.error().message;
  const std::vector<std::shared_ptr<const model::Model>> members = {
      std::make_shared<model::Forest>(std::move(*model::Forest::make(std::move(*trees))))};
  ASSERT_TRUE(detect::Detector::save(manifest, members, folder / "echo"));
  add("echo");
  start();
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0}, right{0};
  for (std::uint64_t t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      Random random(t);
      auto one = client();
      for (int round = 0; round < 60; ++round) {
        // Many at once on one connection, some of them no rows at all, for either of two routes.
        std::string bytes;
        std::vector<std::pair<int, double>> expected;
        for (auto n = 1 + random.below(20); n-- > 0;) {
          const auto port = random.below(kLeaves);
          const double score = static_cast<double>(port) / kLeaves;
          switch (random.below(4)) {
            case 0:
              bytes += request("POST", "/predict", "{\"features\":{\"dst_port\":1}}");
              expected.emplace_back(400, 0);
              break;
            case 1:
              bytes += request("POST", "/score", fmt::format("{{\"features\":[{},1]}}", port));
              expected.emplace_back(200, -score);
              break;
            default:
              bytes += request("POST", "/predict",
                               fmt::format("{{\"features\":{{\"fwd_pkts\":1,\"dst_port\":{}}}}}", port));
              expected.emplace_back(200, score);
          }
        }
        one.send(bytes);
        for (const auto& [status, score] : expected) {
          const auto answer = one.receive();
          const auto body = Json::parse(answer.body, nullptr, false);
          const bool same =
              answer.status == status &&
              (status != 200 || body.value("confidence", body.value("anomaly_score", 9.0)) == score);
          ++(same ? right : wrong);
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(right, 1000);
}

TEST_F(ServiceTest, StrangersAreNotLetInByAccident) {
  settings.server.address = "0.0.0.0";
  const auto refused = Service::start(settings);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("--insecure"));
  settings.server.insecure = true;
  EXPECT_TRUE(Service::start(settings));
}

TEST_F(ServiceTest, ErrorsAreInTheLogUnderTheirId) {
  start_all();
  const Json body = problem(post("/predict", "{"), 400);
  service->stop(std::chrono::seconds(5));
  const auto log = read_file(folder / "log");
  ASSERT_TRUE(log);
  const std::string id = body.value("request_id", "");
  ASSERT_FALSE(id.empty());
  EXPECT_THAT(*log, HasSubstr(id));
}

}  // namespace
}  // namespace nidus::serve
