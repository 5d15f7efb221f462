#pragma once

// For tests only: a service with small detectors, and a client that speaks real HTTP to it.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/testing.h"
#include "detect/testing_detector.h"
#include "http/testing.h"
#include "model/forest.h"
#include "serve/service.h"

namespace nidus::serve {

// One tree over `inputs` columns: column 0 <= 4 goes to the first leaf, all else to the second.
inline std::shared_ptr<const model::Model> one_split(std::size_t inputs, std::vector<float> low,
                                                     const std::vector<float>& high) {
  model::TreeSet::Parts parts;
  parts.inputs = inputs;
  parts.width = low.size();
  parts.nodes =
      std::vector<model::Node>{model::Node::inner(4, 0, 1), model::Node::leaf(1, 0), model::Node::leaf(2, 1)};
  parts.roots = std::vector<std::uint32_t>{0, 3};
  parts.covers = std::vector<float>{100, 0.25f};
  low.insert(low.end(), high.begin(), high.end());
  parts.leaves = std::move(low);
  auto trees = model::TreeSet::make(std::move(parts));
  return std::make_shared<model::Forest>(std::move(*model::Forest::make(std::move(*trees))));
}

// Two members over dst_port and fwd_pkts: up to port 4 they say `low`, above `high`.
inline void save_ensemble(const std::filesystem::path& folder, float low = 0.125f, float high = 0.875f,
                          const std::string& name = "pair") {
  detect::Manifest manifest = detect::binary_manifest();
  manifest.name = name;
  manifest.members = {{"random_forest.nidus", "", 0.5}, {"xgboost.nidus", "", 0.5}};
  manifest.golden = {{{1, 1}, 0, ""}, {{80, 1}, 0, ""}};
  const std::vector<std::shared_ptr<const model::Model>> members = {
      one_split(2, {low}, {high}), one_split(2, {low / 2}, {high / 2 + 0.5f})};
  const auto saved = detect::Detector::save(manifest, members, folder);
  ASSERT_TRUE(saved) << saved.error().message;
}

// For anomalies, over the same columns.
inline void save_anomalies(const std::filesystem::path& folder) {
  detect::Manifest manifest = detect::binary_manifest();
  manifest.name = "odd";
  manifest.kind = detect::Manifest::Kind::anomaly;
  manifest.labels = {"benign", "anomaly"};
  manifest.members = {{"model.nidus", "", 1}};
  const std::vector<std::shared_ptr<const model::Model>> members = {one_split(2, {0.25f}, {0.75f})};
  const auto saved = detect::Detector::save(manifest, members, folder);
  ASSERT_TRUE(saved) << saved.error().message;
}

// For records of NSL-KDD, of which it looks at the duration alone: short ones are normal, others neptune.
inline void save_records(const std::filesystem::path& folder) {
  detect::Manifest manifest = detect::binary_manifest();
  manifest.name = "kdd";
  manifest.meter.reset();
  manifest.meter_description.clear();
  manifest.kind = detect::Manifest::Kind::classes;
  manifest.labels = {"benign", "neptune", "smurf", "ipsweep", "rootkit", "phf"};
  manifest.schema = {{"duration", model::Column::Kind::numeric, {}, ""},
                     {"protocol_type", model::Column::Kind::categorical, {"icmp", "tcp", "udp"}, ""},
                     {"service", model::Column::Kind::categorical, {"ftp", "http"}, ""},
                     {"flag", model::Column::Kind::categorical, {"S0", "SF"}, ""},
                     {"src_bytes", model::Column::Kind::numeric, {}, ""},
                     {"dst_bytes", model::Column::Kind::numeric, {}, ""}};
  manifest.members = {{"model.nidus", "", 1}};
  const std::vector<std::shared_ptr<const model::Model>> members = {
      one_split(6, {0.75f, 0.125f, 0.125f, 0, 0, 0}, {0.25f, 0.5f, 0.25f, 0, 0, 0})};
  const auto saved = detect::Detector::save(manifest, members, folder);
  ASSERT_TRUE(saved) << saved.error().message;
}

// A service on a port of its own. A test that needs other settings changes them before start().
class ServiceTest : public testing::Test {
 protected:
  using Json = nlohmann::json;

  void SetUp() override {
    settings.server.port = 0;
    settings.server.threads = 2;
    settings.log.file = (folder / "log").string();
    settings.detectors.watch = false;
  }

  void add(const std::string& name) {
    settings.detector_list.push_back({.name = name, .path = folder / name});
  }

  // All three detectors, and a start.
  void start_all() {
    save_ensemble(folder / "pair");
    save_anomalies(folder / "odd");
    save_records(folder / "kdd");
    for (const char* name : {"pair", "odd", "kdd"}) add(name);
    start();
  }

  void start() {
    auto started = Service::start(settings);
    ASSERT_TRUE(started) << started.error().message;
    service = std::move(*started);
  }

  http::TestClient client() const { return http::TestClient(service->port()); }

  static std::string request(const std::string& method, const std::string& path, const std::string& body = "",
                             const std::string& type = "application/json", const std::string& more = "") {
    std::string out = method + " " + path + " HTTP/1.1\r\nHost: test\r\n" + more;
    if (!body.empty() || method == "POST") out += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    if (!body.empty()) out += "Content-Type: " + type + "\r\n";
    return out + "\r\n" + body;
  }

  http::TestAnswer ask(const std::string& method, const std::string& path, const std::string& body = "",
                       const std::string& type = "application/json", const std::string& more = "") const {
    auto one = client();
    return one.ask(request(method, path, body, type, more));
  }
  http::TestAnswer get(const std::string& path) const { return ask("GET", path); }
  http::TestAnswer post(const std::string& path, const std::string& body,
                        const std::string& type = "application/json", const std::string& more = "") const {
    return ask("POST", path, body, type, more);
  }

  // The body of an answer that must have this status.
  static Json json(const http::TestAnswer& answer, int status = 200) {
    EXPECT_EQ(answer.status, status) << answer.body;
    const auto parsed = Json::parse(answer.body, nullptr, false);
    EXPECT_FALSE(parsed.is_discarded()) << answer.body;
    return parsed;
  }

  // What every error is: one problem, that old clients understand as well.
  static Json problem(const http::TestAnswer& answer, int status) {
    const Json body = json(answer, status);
    const auto type = answer.headers.find("content-type");
    EXPECT_TRUE(type != answer.headers.end() && type->second.starts_with("application/problem+json"))
        << answer.body;
    EXPECT_EQ(body.value("status", 0), status);
    EXPECT_FALSE(body.value("error", "").empty()) << answer.body;
    EXPECT_EQ(body.value("error", ""), body.value("detail", "-"));
    return body;
  }

  TemporaryFolder folder;
  Settings settings;
  std::unique_ptr<Service> service;
};

}  // namespace nidus::serve
