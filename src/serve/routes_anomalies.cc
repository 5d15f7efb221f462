// The anomaly service's routes: /score, /batch_score, /model_info.
#include <fmt/format.h>

#include <optional>

#include "base/json_writer.h"
#include "serve/application.h"
#include "serve/internal/answers.h"
#include "serve/internal/batch_rows.h"
#include "serve/internal/single_rows.h"

namespace nidus::serve {
namespace {

using http::Request;
using http::Responder;
using http::Response;

// A request that is JSON but not what was asked for, as FastAPI answers it.
constexpr int kUnprocessable = 422;

// As scikit-learn's score_samples: the lower, the more anomalous.
double sample_score(const detect::Verdict& verdict) { return -verdict.score; }
int sign(const detect::Verdict& verdict) { return verdict.is_attack() ? -1 : 1; }

void count(Application& app, std::size_t anomalies, std::size_t rows) {
  if (anomalies != 0) app.anomalies.add(anomalies);
  if (anomalies != rows) app.normal.add(rows - anomalies);
}

Response scored(Application& app, const Served& served, const Judged& judged, std::size_t row,
                double seconds) {
  const auto& verdict = judged.scores.verdicts[row];
  count(app, verdict.is_attack() ? 1 : 0, 1);
  Response response;
  response.body.reserve(256);
  JsonWriter json(response.body);
  json.begin_object();
  json.field("prediction", sign(verdict));
  json.field("is_anomaly", verdict.is_attack());
  json.field("anomaly_score", sample_score(verdict));
  json.field("latency_seconds", seconds);
  json.field("detector", served.name);
  json.field("detector_version", judged.judge_of(served, row).version());
  json.end_object();
  return response;
}

void score(Application& app, const Request& request, Responder responder) {
  const auto served = app.detectors.serving(Role::score);
  if (!served) return responder.send(internal::no_detector(request));
  const auto refuse = [&](const RowFault& fault, int status) {
    responder.send(internal::row_failure(app, fault, request, status));
  };
  JsonReader json(request.body);
  if (json.peek() != JsonReader::Kind::object || !json.enter_object()) {
    const bool is_json = json.skip() && json.finish();
    return refuse({"expected a JSON object with 'features'", {}}, is_json ? kUnprocessable : 400);
  }
  std::optional<internal::SingleRow> row;
  RowFault fault;
  std::string_view key;
  while (json.next_key(key)) {
    if (key == "features") {
      if (row) return refuse({"'features' is there twice", {}}, 400);
      row.emplace(app, served, Wanted{});
      if (!internal::reader_of(served->active->names()).read(json, row->row(), fault)) {
        // The wrong number of features is a bad request, a feature that is none fails validation.
        const bool is_length = fault.detail.starts_with("Expected ") || !fault.missing.empty();
        return refuse(fault, json.failed() || is_length ? 400 : kUnprocessable);
      }
    } else if (!json.skip()) {
      break;
    }
  }
  if (json.failed() || !json.finish()) return refuse({"malformed JSON: " + json.problem(), {}}, 400);
  if (!row) return refuse({"'features' is missing", {}}, kUnprocessable);
  row->judge(std::move(responder), scored);
}

void batch_score(Application& app, const Request& request, Responder responder) {
  const auto served = app.detectors.serving(Role::score);
  if (!served) return responder.send(internal::no_detector(request));
  internal::judge_batch(
      app, served, request, std::move(responder),
      [rows_max = app.settings()->limits.rows_max](std::string_view body, const ServedDetector& detector,
                                                   internal::BatchRows& batch, internal::BatchFault& fault) {
        if (internal::read_batch(body, "features", detector, rows_max, batch, fault)) return true;
        const std::string& detail = fault.row.detail;
        const bool is_malformed = detail.find("malformed JSON") != std::string::npos;
        const bool is_length = detail.find("Expected ") != std::string::npos || !fault.row.missing.empty();
        const bool is_empty = detail == "an empty batch";
        if (fault.status == 400 && !is_malformed && !is_length && !is_empty) fault.status = kUnprocessable;
        return false;
      },
      [&app](const Served& by, const internal::BatchRows& batch) {
        const auto& verdicts = batch.judged.scores.verdicts;
        std::size_t anomalies = 0;
        for (std::size_t i = 0; i < batch.count; ++i) anomalies += verdicts[i].is_attack() ? 1 : 0;
        count(app, anomalies, batch.count);
        Response response;
        response.body.reserve(batch.count * 100 + 256);
        JsonWriter json(response.body);
        const auto list = [&](const char* name, auto&& value) {
          json.key(name);
          json.begin_array();
          for (std::size_t i = 0; i < batch.count; ++i) value(i);
          json.end_array();
        };
        json.begin_object();
        list("predictions", [&](std::size_t i) { json.value(sign(verdicts[i])); });
        list("predictions_binary", [&](std::size_t i) { json.value(verdicts[i].is_attack() ? 1 : 0); });
        list("anomaly_scores", [&](std::size_t i) { json.value(sample_score(verdicts[i])); });
        list("anomaly_indices", [&](std::size_t i) {
          if (verdicts[i].is_attack()) json.value(i);
        });
        list("results", [&](std::size_t i) {
          json.begin_object();
          json.field("prediction", sign(verdicts[i]));
          json.field("is_anomaly", verdicts[i].is_attack());
          json.field("anomaly_score", sample_score(verdicts[i]));
          json.end_object();
        });
        json.field("anomaly_count", anomalies);
        json.field("anomaly_percentage",
                   100 * static_cast<double>(anomalies) / static_cast<double>(batch.count));
        json.field("total_samples", batch.count);
        json.field("latency_seconds", batch.seconds);
        json.field("detector", by.name);
        json.field("detector_version", by.active->version());
        json.end_object();
        return response;
      });
}

Response model_info(const Served& served) {
  const ServedDetector& detector = *served.active;
  const auto& manifest = detector.manifest();
  std::string body;
  JsonWriter json(body);
  json.begin_object();
  const auto scale = detector.detector().model().scale();
  json.field("model_type", scale == model::Scale::anomaly ? "IsolationForest"
                           : scale == model::Scale::error ? "Autoencoder"
                                                          : "Classifier");
  json.field("description", detector.detector().model().describe());
  json.field("n_features", detector.inputs());
  json.key("features");
  json.begin_array();
  for (const auto& column : manifest.schema) json.value(column.name);
  json.end_array();
  json.key("feature_names");
  json.begin_array();
  for (const auto& column : manifest.schema) json.value(column.name);
  json.end_array();
  json.field("version", manifest.version);
  json.field("threshold", -manifest.threshold.value);
  json.field("detector", served.name);
  json.field("detector_version", detector.version());
  json.end_object();
  return internal::json_response(std::move(body));
}

}  // namespace

std::vector<http::Route> routes_of_anomalies(Application& app) {
  std::vector<http::Route> routes;
  http::Route route;
  route.method = http::Method::post;
  route.content_types = {"application/json"};
  route.scopes = kPredict;

  route.pattern = "/score";
  route.body_bytes_max = 1 << 20;
  route.handler = http::Handler(
      [&app](const Request& request, Responder responder) { score(app, request, std::move(responder)); });
  routes.push_back(route);

  route.pattern = "/batch_score";
  route.body_bytes_max = app.settings()->limits.body_mb * 1'000'000;
  route.cost = 10;
  route.handler = http::Handler([&app](const Request& request, Responder responder) {
    batch_score(app, request, std::move(responder));
  });
  routes.push_back(route);

  route = {};
  route.pattern = "/model_info";
  route.scopes = kPredict;
  route.handler = http::Handler([&app](const Request& request, Responder responder) {
    const auto served = app.detectors.serving(Role::score);
    responder.send(served ? model_info(*served) : internal::no_detector(request));
  });
  routes.push_back(route);
  return routes;
}

}  // namespace nidus::serve
