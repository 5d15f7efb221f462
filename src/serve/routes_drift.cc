// /api/v1/drift: whether the rows that are judged still look as the detectors know them.
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json_writer.h"
#include "serve/application.h"
#include "serve/drift_reports.h"
#include "serve/internal/answers.h"

namespace nidus::serve {
namespace {

using http::Request;
using http::Responder;
using http::Response;

Response drift(Application& app, const Request& request) {
  const auto state = app.detectors.state();
  std::vector<std::shared_ptr<const Served>> asked = state->all;
  if (const auto name = request.query("detector")) {
    auto served = state->find(*name);
    if (!served) return http::problem(404, fmt::format("no detector '{}'", *name), request.id);
    asked = {std::move(served)};
  }
  std::string body;
  JsonWriter json(body);
  json.begin_object();
  json.key("detectors");
  json.begin_array();
  for (const auto& served : asked) {
    const auto report = app.drift.of(*served);
    json.begin_object();
    json.field("detector", served->name);
    json.field("version", served->active->version());
    json.key("report");
    if (*report) {
      (*report)->to_json(json);
    } else {
      json.null();
    }
    json.key("problem");
    *report ? json.null() : json.value(report->error().message);
    json.end_object();
  }
  json.end_array();
  json.end_object();
  return internal::json_response(std::move(body));
}

}  // namespace

std::vector<http::Route> routes_of_drift(Application& app) {
  http::Route route;
  route.pattern = "/api/v1/drift";
  route.scopes = kPredict;
  route.handler = http::Handler([&app](const Request& request, Responder responder) {
    const auto waiting = std::make_shared<Responder>(std::move(responder));
    const bool taken = app.pool.post([&app, &request, waiting] {
      if (!waiting->gone()) waiting->send(drift(app, request));
    });
    if (!taken) waiting->send(internal::too_busy(request));
  });
  return {std::move(route)};
}

}  // namespace nidus::serve
