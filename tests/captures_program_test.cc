// Captures and detectors uploaded to a real service over real HTTP, read by real children of the program.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "base/digest.h"
#include "base/file.h"
#include "base/testing.h"
#include "detect/testing.h"
#include "http/testing.h"
#include "serve/service.h"

namespace nidus::serve {
namespace {

namespace fs = std::filesystem;
using http::TestAnswer;
using http::TestClient;
using Json = nlohmann::json;
using testing::AnyOf;
using testing::HasSubstr;

std::string encoded(std::string_view bytes) {
  return base64({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}

std::string gzip(const std::string& text) {
  std::string out(compressBound(static_cast<uLong>(text.size())) + 64, '\0');
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

class CapturesTest : public testing::Test {
 protected:
  static constexpr const char* kPcap = "application/vnd.tcpdump.pcap";

  Settings settings() const {
    Settings settings;
    settings.server.port = 0;
    settings.log.file = (folder_ / "log.jsonl").string();
    settings.uploads.folder = folder_.path().string();
    settings.uploads.program = NIDUS_SERVE_PROGRAM;
    DetectorSettings detector;
    detector.name = "flows";
    detector.path = kDetector;
    settings.detector_list.push_back(std::move(detector));
    settings.detectors.ml = "flows";
    return settings;
  }
  void start(Settings settings) {
    auto started = Service::start(std::move(settings));
    ASSERT_TRUE(started) << started.error().message;
    service_ = std::move(*started);
  }
  void start() { start(settings()); }

  TestAnswer post(const std::string& target, const std::string& type, const std::string& body) const {
    TestClient client(service_->port());
    return client.ask(
        fmt::format("POST {} HTTP/1.1\r\nHost: x\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n", target,
                    type, body.size()) +
        body);
  }
  TestAnswer get(const std::string& target) const {
    TestClient client(service_->port());
    return client.ask("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n");
  }
  Json good(const TestAnswer& answer) const {
    EXPECT_EQ(answer.status, 200) << answer.body;
    EXPECT_TRUE(answer.whole);
    return Json::parse(answer.body, nullptr, false);
  }
  // The sentence of a refusal.
  std::string refused(const TestAnswer& answer, int status) const {
    EXPECT_EQ(answer.status, status) << answer.body;
    const Json problem = Json::parse(answer.body, nullptr, false);
    EXPECT_TRUE(problem.is_object()) << answer.body;
    if (!problem.is_object()) return "";
    EXPECT_EQ(problem.value("detail", ""), problem.value("error", ""));
    return problem.value("detail", "");
  }
  static std::string sample() {
    const auto read = read_file(fs::path(NIDUS_SOURCE_DIR) / "share/sample/sample.pcap");
    EXPECT_TRUE(read);
    return read ? *read : "";
  }
  static std::string first_packets(int count) {
    const std::string whole = sample();
    std::size_t at = 24;
    for (; count > 0 && at + 16 <= whole.size(); --count) {
      std::uint32_t bytes;
      std::memcpy(&bytes, whole.data() + at + 8, 4);
      at += 16 + bytes;
    }
    return whole.substr(0, at);
  }
  // What the program says of a capture on the command line.
  std::string of_program(const std::string& capture, const std::string& words) const {
    std::ofstream(folder_ / "upload", std::ios::binary) << capture;
    const std::string command = "cd '" + folder_.path().string() +
                                "' && '" NIDUS_PROGRAM "' detect upload -d '" + kDetector.string() + "' " +
                                words + " > out.txt 2> /dev/null";
    EXPECT_EQ(std::system(command.c_str()), 0);
    const auto read = read_file(folder_ / "out.txt");
    return read ? *read : "";
  }

  static inline const fs::path kDetector = fs::path(NIDUS_SOURCE_DIR) / "share/detectors/flows-attacks";
  TemporaryFolder folder_;
  std::unique_ptr<Service> service_;
};

TEST_F(CapturesTest, AllWaysToSendACaptureGiveTheSameAnswer) {
  start();
  const std::string capture = sample();
  const Json raw = good(post("/detect/ml", kPcap, capture));
  EXPECT_EQ(raw["detector"], "ML_IDS");
  EXPECT_EQ(raw["complete"], true);
  const Json summary = raw["summary"];
  EXPECT_GT(summary["attack_flows"], 100);
  EXPECT_EQ(summary["total_flows"].get<int>(),
            summary["attack_flows"].get<int>() + summary["benign_flows"].get<int>());
  std::size_t listed = 0;
  for (const auto& [name, list] : raw["detailed_results"].items()) {
    EXPECT_TRUE(name.ends_with("_flows")) << name;
    EXPECT_EQ(list["count"], list["flows"].size());
    listed += list["flows"].size();
    for (const auto& flow : list["flows"]) {
      for (const char* const key : {"index", "src_ip", "dst_ip", "src_port", "dst_port", "protocol", "attack",
                                    "attack_type", "score"})
        ASSERT_TRUE(flow.contains(key)) << key;
      ASSERT_EQ(flow["attack_type"].get<std::string>() + "_flows", name);
    }
  }
  EXPECT_EQ(summary["attack_flows"], listed);

  EXPECT_EQ(good(post("/detect/ml", "application/json",
                      Json{{"filename", "sample.pcap"}, {"content", encoded(capture)}}.dump())),
            raw);
  EXPECT_EQ(good(post("/detect/ml", "multipart/form-data; boundary=b",
                      "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"s.pcap\"\r\n\r\n" +
                          capture + "\r\n--b--\r\n")),
            raw);
  EXPECT_EQ(good(post("/detect/ml", "application/gzip", gzip(capture))), raw);

  // In chunks, one of which is a byte.
  TestClient client(service_->port());
  ASSERT_TRUE(
      client.send(fmt::format("POST /detect/ml HTTP/1.1\r\nHost: x\r\nContent-Type: {}\r\n"
                              "Transfer-Encoding: chunked\r\n\r\n1\r\n",
                              kPcap)));
  const std::string rest = capture.substr(1);
  ASSERT_TRUE(
      client.send(capture.substr(0, 1) + fmt::format("\r\n{:x}\r\n", rest.size()) + rest + "\r\n0\r\n\r\n"));
  EXPECT_EQ(good(client.receive()), raw);
}

TEST_F(CapturesTest, PacketsInJsonAreJudgedAsTheirCaptureIs) {
  start();
  const std::string capture = sample();
  Json packets = Json::array(), plain = Json::array();
  for (std::size_t at = 24; at + 16 <= capture.size();) {
    const auto word = [&](std::size_t i) {
      std::uint32_t value;
      std::memcpy(&value, capture.data() + at + i, 4);
      return value;
    };
    const std::string data = encoded(std::string_view(capture).substr(at + 16, word(8)));
    packets.push_back({{"data", data},
                       {"timestamp", Json::parse(fmt::format("{}.{:06}", word(0), word(4)))},
                       {"length", word(12)}});
    plain.push_back(data);
    at += 16 + word(8);
  }
  const Json raw = good(post("/detect/ml", kPcap, capture));
  const Json given = good(post("/detect/ml/packets", "application/json", Json{{"packets", packets}}.dump()));
  EXPECT_EQ(given["timestamps"], "given");
  EXPECT_EQ(given["summary"], raw["summary"]);
  EXPECT_EQ(given["detailed_results"], raw["detailed_results"]);

  // Its features are made of times, and there is no other detector.
  const auto absent = post("/detect/ml/packets", "application/json", Json{{"packets", plain}}.dump());
  EXPECT_THAT(refused(absent, 422), HasSubstr("No packet has a timestamp"));
  EXPECT_EQ(Json::parse(absent.body)["timestamps"], "absent");
}

// What a client of the capture service's second route sees, of the detector for anomalies that we bring
// along.
TEST_F(CapturesTest, TheBundledDetectorForAnomaliesAnswersTheSecondRoute) {
  auto both = settings();
  DetectorSettings odd;
  odd.name = "odd";
  odd.path = fs::path(NIDUS_SOURCE_DIR) / "share/detectors/flows-anomaly";
  both.detector_list.push_back(std::move(odd));
  start(std::move(both));
  EXPECT_EQ(good(get("/health"))["dl_loaded"], true);
  const Json body = {{"content", encoded(sample())}, {"filename", "sample.pcap"}};
  const Json answer = good(post("/detect/dl", "application/json", body.dump()));
  EXPECT_EQ(answer["detector"], "DL_IDS");
  EXPECT_EQ(answer["status"], 200);
  EXPECT_EQ(answer["detector_name"], "odd");
  const Json& summary = answer["summary"];
  const Json& flows = answer["detailed_results"]["anomaly_flows"];
  // Most of the sample is attacks, but not all.
  EXPECT_GT(summary["anomaly_flows"].get<int>(), 1000);
  EXPECT_GT(summary["benign_flows"].get<int>(), 100);
  EXPECT_EQ(summary["total_flows"].get<int>(),
            summary["anomaly_flows"].get<int>() + summary["benign_flows"].get<int>());
  ASSERT_EQ(flows.size(), summary["anomaly_flows"].get<std::size_t>());
  for (const char* member : {"index", "src_port", "dst_port", "protocol", "reconstruction_error"})
    EXPECT_TRUE(flows[0][member].is_number()) << member;
  for (const char* member : {"src_ip", "dst_ip"}) EXPECT_TRUE(flows[0][member].is_string()) << member;
}

TEST_F(CapturesTest, VerdictsAreThoseOfTheCommandLine) {
  start();
  const std::string capture = sample();
  for (const char* const format : {"csv", "eve"}) {
    const auto answer = post(fmt::format("/api/v1/detect?format={}", format), kPcap, capture);
    EXPECT_EQ(answer.status, 200);
    EXPECT_TRUE(answer.whole);
    EXPECT_TRUE(answer.body == of_program(capture, std::string("--format ") + format)) << format;
  }
  const std::string few = first_packets(1500);
  const auto lines = post("/api/v1/detect?explain=2", "application/octet-stream", few);
  ASSERT_EQ(lines.status, 200);
  const std::size_t last = lines.body.rfind("{\"summary\"");
  ASSERT_NE(last, std::string::npos);
  EXPECT_TRUE(lines.body.substr(0, last) == of_program(few, "--format ndjson --explain --reasons 2"));
  const Json summary = Json::parse(lines.body.substr(last))["summary"];
  EXPECT_EQ(summary["complete"], true);
  EXPECT_EQ(summary["packets"], 1500);
  EXPECT_EQ(good(post("/api/v1/detect?format=summary", kPcap, few))["flows"], summary["flows"]);
  EXPECT_THAT(refused(post("/api/v1/detect?format=xml", kPcap, capture), 400), HasSubstr("format is to be"));
  EXPECT_THAT(refused(post("/api/v1/detect?detector=none", kPcap, capture), 404),
              HasSubstr("no detector 'none'"));
}

TEST_F(CapturesTest, WhatIsWrongIsSaidAndTheServerGoesOn) {
  start();
  const std::string json = "application/json";
  EXPECT_EQ(refused(post("/detect/ml", json, "{}"), 400), "No JSON data provided");
  EXPECT_EQ(refused(post("/detect/ml", json, "{\"filename\":\"x\"}"), 400), "No content provided");
  EXPECT_EQ(refused(post("/detect/ml/packets", json, "{\"content\":\"x\"}"), 400), "No packets provided");
  EXPECT_EQ(refused(post("/detect/ml/packets", json, "{\"packets\":[\"****\"]}"), 400),
            "No valid packets could be decoded");
  EXPECT_THAT(refused(post("/detect/ml", json, "{\"content\":\"Zm9v"), 400), HasSubstr("not JSON"));
  EXPECT_THAT(refused(post("/detect/ml", json, "{\"content\":\"Zm9\"}"), 400), HasSubstr("not base64"));
  EXPECT_THAT(refused(post("/detect/ml", json, Json{{"content", encoded("no capture")}}.dump()), 400),
              HasSubstr("neither pcap nor pcapng"));
  EXPECT_THAT(refused(post("/detect/ml", kPcap, "no capture"), 400), HasSubstr("neither pcap nor pcapng"));
  EXPECT_THAT(refused(post("/detect/ml", kPcap, ""), 400), HasSubstr("empty"));
  EXPECT_THAT(refused(post("/detect/ml", kPcap, sample().substr(0, 24)), 400), HasSubstr("No valid packets"));
  EXPECT_EQ(post("/detect/ml", "text/plain", "x").status, 415);
  EXPECT_EQ(post("/detect/ml", "multipart/form-data", "x").status, 400);
  refused(post("/detect/dl", kPcap, sample()), 503);  // nobody is there for anomalies
  // Frames that are no packets: the link type says Ethernet, the bytes are something else.
  detect::CaptureBuilder odd;
  for (int i = 0; i < 10; ++i) odd.at(i).raw("this is no frame of Ethernet at all");
  EXPECT_THAT(refused(post("/detect/ml", kPcap, odd.bytes()), 400), HasSubstr("No valid packets"));
  EXPECT_THAT(refused(post("/detect/ml/packets", json, "{\"linktype\":147,\"packets\":[\"Zm9v\"]}"), 422),
              HasSubstr("timestamp"));
  EXPECT_THAT(refused(post("/detect/ml/packets", json,
                           "{\"linktype\":147,\"packets\":[{\"data\":\"Zm9v\",\"timestamp\":1}]}"),
                      400),
              HasSubstr("No valid packets"));

  // One that breaks off gives its first part and says so.
  const std::string whole = sample();
  const Json part = good(post("/detect/ml", kPcap, whole.substr(0, whole.size() / 2)));
  EXPECT_EQ(part["complete"], false);
  EXPECT_THAT(part["fault"].get<std::string>(), HasSubstr("the capture: byte"));
  const auto csv = post("/api/v1/detect?format=csv", kPcap, whole.substr(0, whole.size() / 2));
  EXPECT_EQ(csv.status, 200);
  EXPECT_FALSE(csv.whole);

  // Clients that hang up in the middle.
  for (int i = 0; i < 5; ++i) {
    TestClient client(service_->port());
    client.send(
        fmt::format("POST /detect/ml HTTP/1.1\r\nHost: x\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n",
                    kPcap, whole.size()) +
        whole.substr(0, whole.size() / 3));
    i % 2 == 0 ? client.reset() : client.close();
  }
  good(post("/detect/ml", kPcap, whole));
  EXPECT_THAT(get("/metrics").body, HasSubstr("nidus_sandbox_crashed_total 0\n"));
}

TEST_F(CapturesTest, LimitsAre413) {
  Settings small = settings();
  small.limits.upload_mb = 1;
  small.uploads.packets_max = 1000;
  small.uploads.flows_max = 100;
  small.uploads.inflated_ratio = 50;
  start(small);
  EXPECT_EQ(post("/detect/ml", kPcap, sample()).status, 413);  // 2.5 MB
  detect::CaptureBuilder flows, packets;
  for (int i = 0; i < 3000; ++i) {
    flows.at(i).tcp("10.0.0.1", static_cast<std::uint16_t>(i), "10.0.0.2", 80, "S");
    packets.at(i).udp("10.0.0.1", 1, "10.0.0.2", 2, 10);
  }
  EXPECT_THAT(refused(post("/detect/ml", kPcap, flows.bytes()), 413), HasSubstr("the limit"));
  EXPECT_THAT(refused(post("/detect/ml", kPcap, packets.bytes()), 413), HasSubstr("more than 1000 packets"));
  const std::string bomb = gzip(packets.bytes() + std::string(30 << 20, '\0'));
  EXPECT_LT(bomb.size(), 200'000u);
  EXPECT_THAT(refused(post("/detect/ml", kPcap, bomb), 413), HasSubstr("the limit"));
  EXPECT_EQ(get("/health").status, 200);
}

TEST_F(CapturesTest, AChildThatLoopsOrCrashesEndsOneUpload) {
  Settings broken = settings();
  broken.uploads.warm = 0;
  broken.uploads.patience_s = 0.3;
  const fs::path script = folder_ / "child.sh";
  const auto child = [&](const std::string& lines) {
    std::ofstream(script) << "#!/bin/sh\nprintf '\\001\\000\\000\\000\\001\\000\\000\\000\\001'\n"
                          << lines << "\n";
    fs::permissions(script, fs::perms::owner_all);
  };
  child("exec sleep 100");
  broken.uploads.program = script.string();
  start(broken);
  EXPECT_THAT(refused(post("/detect/ml", kPcap, sample()), 413), HasSubstr("no progress"));
  child("kill -SEGV $$");
  const std::string crash = refused(post("/detect/ml", kPcap, sample()), 500);
  EXPECT_EQ(crash.find("signal"), std::string::npos) << crash;
  child("yes nonsense");
  refused(post("/detect/ml", kPcap, sample()), 500);
  EXPECT_EQ(get("/health").status, 200);
  EXPECT_THAT(get("/metrics").body, HasSubstr("nidus_sandbox_crashed_total 2\n"));
}

TEST_F(CapturesTest, WithoutASandboxNothingIsUploaded) {
  Settings none = settings();
  none.uploads.program = "/nowhere/at/all";
  start(none);
  EXPECT_THAT(refused(post("/detect/ml", kPcap, sample()), 503), HasSubstr("takes no uploads"));
  EXPECT_EQ(get("/health").status, 200);
}

TEST_F(CapturesTest, ManyUploadsAtOnceGetTheirOwnAnswers) {
  start();
  const std::string capture = sample();
  const Json raw = good(post("/detect/ml", kPcap, capture));
  std::vector<std::thread> clients;
  std::atomic<int> same = 0;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&, i] {
      if (i % 2 == 0) {
        const auto answer = post("/detect/ml", kPcap, capture);
        same += answer.status == 200 && Json::parse(answer.body, nullptr, false) == raw;
      } else {
        same += post("/detect/ml", kPcap, "no capture " + std::to_string(i)).status == 400;
      }
    });
  }
  for (auto& client : clients) client.join();
  EXPECT_EQ(same, 8);
}

TEST_F(CapturesTest, AnUploadedDetectorIsServedWhenItIsActivated) {
  start();
  ASSERT_EQ(std::system(("tar -C '" + kDetector.parent_path().string() + "' -czf '" +
                         (folder_ / "d.tgz").string() + "' flows-attacks")
                            .c_str()),
            0);
  const auto archive = read_file(folder_ / "d.tgz");
  ASSERT_TRUE(archive);
  auto answer = post("/api/v1/detectors?name=uploaded", "application/gzip", *archive);
  EXPECT_EQ(answer.status, 201) << answer.body;
  EXPECT_EQ(Json::parse(answer.body)["name"], "uploaded");
  const Json summary = good(post("/api/v1/detect?detector=uploaded&format=summary", kPcap, sample()));
  EXPECT_EQ(summary["flows"], good(post("/api/v1/detect?format=summary", kPcap, sample()))["flows"]);

  // Under a name that is served already it waits to be activated.
  const auto model = read_file(fs::path(NIDUS_SOURCE_DIR) / "tests/interop/lightgbm/4.7.0-binary/model.txt");
  ASSERT_TRUE(model);
  const std::string form =
      "--b\r\nContent-Disposition: form-data; name=\"files\"; filename=\"../../model.txt\"\r\n\r\n" + *model +
      "\r\n--b--\r\n";
  const std::string target =
      "/api/v1/detectors?name=uploaded&features=a,b,c,d,e&classes=quiet,loud&benign=quiet";
  answer = post(target, "multipart/form-data; boundary=b", form);
  EXPECT_EQ(answer.status, 201) << answer.body;
  EXPECT_EQ(Json::parse(answer.body)["active"], false);
  EXPECT_EQ(good(post("/api/v1/detect?detector=uploaded&format=summary", kPcap, sample()))["flows"],
            summary["flows"]);

  EXPECT_THAT(refused(post("/api/v1/detectors?name=../x", "application/gzip", *archive), 400),
              HasSubstr("name is to be"));
  EXPECT_THAT(refused(post("/api/v1/detectors", "application/gzip", *archive), 400),
              HasSubstr("name is to be"));
  EXPECT_THAT(refused(post("/api/v1/detectors?name=x", "application/gzip", archive->substr(0, 1000)), 422),
              HasSubstr("no model"));
  EXPECT_THAT(refused(post("/api/v1/detectors?name=x", "application/octet-stream", "import os"), 422),
              HasSubstr(""));
}

TEST_F(CapturesTest, AttacksAreKeptAsAlertsBeforeTheAnswer) {
  Settings kept = settings();
  kept.store.file = (folder_ / "store.db").string();
  kept.store.age_days = 0;  // the sample may be older
  start(kept);
  const auto answer = good(post("/detect/ml", kPcap, sample()));
  const std::uint64_t attacks = answer["summary"]["attack_flows"];
  ASSERT_GT(attacks, 0u);
  std::uint64_t counted = 0;
  const Json first = good(get("/api/v1/alerts?limit=1000"));
  for (const auto& alert : first["alerts"]) {
    counted += alert["count"].get<std::uint64_t>();
    EXPECT_EQ(alert["origin"], "capture");
  }
  EXPECT_EQ(counted, attacks);
  EXPECT_EQ(good(get("/api/v1/flows?limit=1"))["flows"].size(), 1u);
}

TEST_F(CapturesTest, AJobIsJudgedWhileNobodyWaits) {
  start();
  const std::string capture = sample();
  const auto whole = post("/api/v1/detect?format=csv", kPcap, capture);
  const auto added = post("/api/v1/jobs?format=csv", kPcap, capture);
  ASSERT_EQ(added.status, 202) << added.body;
  const std::string id = Json::parse(added.body)["id"], path = "/api/v1/jobs/" + id;
  EXPECT_EQ(added.headers.at("location"), path);
  Json job;
  for (int i = 0; i < 600; ++i) {
    job = good(get(path));
    if (job["state"] != "waiting" && job["state"] != "running") break;
    EXPECT_LE(job["progress"], 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_EQ(job["state"], "done") << job;
  EXPECT_EQ(job["progress"], 1);
  EXPECT_EQ(job["bytes"], capture.size());
  EXPECT_TRUE(get(path + "/result").body == whole.body);
  EXPECT_EQ(good(get("/api/v1/jobs"))["jobs"].size(), 1u);

  // One that is none fails when its turn comes; one that is taken back is gone.
  const std::string none = Json::parse(post("/api/v1/jobs", kPcap, "no capture").body)["id"];
  for (int i = 0; i < 600; ++i) {
    job = good(get("/api/v1/jobs/" + none));
    if (job["state"] == "failed") break;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_THAT(job["error"].get<std::string>(), HasSubstr("neither pcap nor pcapng"));
  EXPECT_THAT(refused(get("/api/v1/jobs/" + none + "/result"), 409), HasSubstr("failed"));
  TestClient client(service_->port());
  EXPECT_EQ(client.ask("DELETE " + path + " HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
  EXPECT_EQ(get(path).status, 404);
  EXPECT_EQ(get(path + "/result").status, 404);
  EXPECT_EQ(get("/api/v1/jobs/nothing").status, 404);
}

}  // namespace
}  // namespace nidus::serve
