// What a service says of itself: the front page and health, which the clients of three services ask alike,
// metrics, and the description of the API.
#include <fmt/format.h>

#include <algorithm>

#include "base/json_writer.h"
#include "serve/application.h"
#include "serve/internal/answers.h"
#include "serve/internal/openapi.h"

namespace nidus::serve {
namespace {

using http::Method;
using http::Request;
using http::Responder;
using http::Response;

const char* const kEnsembleMembers[] = {"random_forest", "xgboost", "deep_mlp"};

void write_members(JsonWriter& json, std::string_view key, const Served* served) {
  json.key(key);
  json.begin_object();
  for (const char* name : kEnsembleMembers)
    json.field(name, served != nullptr && served->active->has_member(name));
  // Members that go by other names.
  for (std::size_t i = 0; served != nullptr && i < served->active->members().size(); ++i) {
    const auto& name = served->active->members()[i].name;
    if (std::find(std::begin(kEnsembleMembers), std::end(kEnsembleMembers), name) ==
        std::end(kEnsembleMembers))
      json.field(name, true);
  }
  json.end_object();
}

Response front_page(const Application& app) {
  const auto state = app.detectors.state();
  const auto& predict = state->roles[static_cast<std::size_t>(Role::predict)];
  std::string body;
  JsonWriter json(body);
  json.begin_object();
  json.field("service", "nidus: network intrusion detection");
  json.field("version", kServiceVersion);
  json.field("status", "running");
  write_members(json, "models", predict.get());
  json.field("model_ready", !state->all.empty());
  json.key("endpoints");
  json.begin_object();
  constexpr std::pair<const char*, const char*> kEndpoints[] = {
      {"health", "/health"},
      {"single_prediction", "/predict"},
      {"batch_prediction", "/predict/batch"},
      {"model_info", "/model/info"},
      {"metrics", "/metrics"},
      {"score", "/score"},
      {"batch_score", "/batch_score"},
      {"anomaly_model_info", "/model_info"},
      {"batch_predict", "/batch_predict"},
      {"detectors", "/api/v1/detectors"},
      {"predict", "/api/v1/predict"},
      {"inference", "/v2"},
      {"description", "/openapi.json"},
  };
  for (const auto& [name, path] : kEndpoints) json.field(name, path);
  json.end_object();
  json.end_object();
  return internal::json_response(std::move(body));
}

Response health(const Application& app, const Request& request) {
  const auto state = app.detectors.state();
  const auto at = [&](Role role) { return state->roles[static_cast<std::size_t>(role)]; };
  std::string members;
  JsonWriter json(members);
  json.begin_object();
  write_members(json, "models_loaded", at(Role::predict).get());
  json.field("model_ready", !state->all.empty());
  json.field("ml_loaded", at(Role::ml) != nullptr);
  json.field("dl_loaded", at(Role::dl) != nullptr);
  json.field("features_count", at(Role::predict) ? at(Role::predict)->active->inputs() : 0);
  json.field("version", kServiceVersion);
  json.field("timestamp", internal::epoch_seconds());
  if (state->all.empty()) {
    return http::problem(503, "No detector is loaded", request.id, std::string_view(members).substr(1));
  }
  json.field("status", app.settings()->server.status_word);
  json.end_object();
  return internal::json_response(std::move(members));
}

// What keeps the service from being ready, by name.
std::vector<std::pair<std::string, std::string>> obstacles(const Application& app) {
  std::vector<std::pair<std::string, std::string>> out;
  if (app.draining) out.emplace_back("draining", "the service is stopping");
  if (app.detectors.state()->all.empty()) out.emplace_back("detectors", "no detector is loaded");
  for (const auto& [name, ask] : app.readiness) {
    if (auto why = ask(); !why.empty()) out.emplace_back(name, std::move(why));
  }
  return out;
}

Response ready(const Application& app, const Request& request) {
  const auto why_not = obstacles(app);
  std::string body;
  JsonWriter json(body);
  json.begin_object();
  json.key("obstacles");
  json.begin_object();
  for (const auto& [name, why] : why_not) json.field(name, why);
  json.end_object();
  json.field("ready", why_not.empty());
  if (!why_not.empty())
    return http::problem(503, why_not.front().second, request.id, std::string_view(body).substr(1));
  json.end_object();
  return internal::json_response(std::move(body));
}

}  // namespace

std::vector<http::Route> routes_of_service(Application& app) {
  std::vector<http::Route> routes;
  routes.push_back(internal::get_route("/", [&app](const Request&) { return front_page(app); }));
  routes.push_back(
      internal::get_route("/health", [&app](const Request& request) { return health(app, request); }));
  // Whether the process turns, and whether it should be sent requests: Kubernetes asks for both.
  for (const char* path : {"/api/v1/health/live", "/livez"})
    routes.push_back(
        internal::get_route(path, [](const Request&) { return internal::json_response("{\"live\":true}"); }));
  for (const char* path : {"/api/v1/health/ready", "/readyz"})
    routes.push_back(
        internal::get_route(path, [&app](const Request& request) { return ready(app, request); }));
  http::Route metrics;
  metrics.pattern = "/metrics";
  metrics.handler = http::Handler([&app](const Request&, http::Responder responder) {
    const auto waiting = std::make_shared<http::Responder>(std::move(responder));
    const auto answer = [&app, waiting] {
      Response response;
      response.content_type = "text/plain; version=0.0.4; charset=utf-8";
      response.body = app.metrics.text();
      waiting->send(std::move(response));
    };
    // Drift is measured beside the connections; where even that is too much, the gauges stay as they were.
    const bool taken = app.drift.is_stale(*app.detectors.state()) && app.pool.post([&app, answer] {
      app.drift.refresh(*app.detectors.state());
      answer();
    });
    if (!taken) answer();
  });
  routes.push_back(std::move(metrics));
  routes.push_back(internal::get_route("/openapi.json", [](const Request&) {
    return internal::json_response(std::string(internal::openapi_document()));
  }));
  return routes;
}

}  // namespace nidus::serve
