// Long captures: sent now, judged when there is time, asked for later.
#include <fmt/format.h>

#include <utility>

#include "base/json_writer.h"
#include "base/text.h"
#include "serve/application.h"
#include "serve/internal/answers.h"
#include "serve/internal/capture_answer.h"
#include "serve/internal/capture_request.h"
#include "serve/internal/kept_verdicts.h"
#include "serve/jobs.h"

namespace nidus::serve {
namespace {

using http::BodyReader;
using http::BodyWriter;
using http::Request;

void write_job(JsonWriter& json, const Jobs::Status& job) {
  json.begin_object();
  json.field("id", job.id);
  json.field("state", name_of(job.state));
  json.field("progress", job.share());
  json.field("detector", job.detector);
  json.field("version", job.version);
  json.field("bytes", job.bytes);
  json.field("packets", job.progress.frames);
  json.field("flows", job.progress.flows);
  json.field("created", iso8601(job.created_us));
  json.field("changed", iso8601(job.changed_us));
  if (!job.error.message.empty()) json.field("error", job.error.message);
  json.end_object();
}

http::Response one_job(const Jobs::Status& job, int status = 200) {
  http::Response response;
  response.status = status;
  JsonWriter json(response.body);
  write_job(json, job);
  return response;
}

bool sees_all(const Request& request) { return (request.caller.scopes & kAdmin) != 0; }

void add_job(Application& app, const Request& request, BodyReader& reader, BodyWriter& writer) {
  internal::CaptureRequest exchange(app, request, reader, writer);
  auto detector = internal::detector_for_captures(app, request.query("detector"));
  if (!detector) {
    return exchange.refuse(detector.error().message.empty()
                               ? internal::no_detector(request)
                               : internal::failure(app, detector.error(), request));
  }
  const auto wish = internal::AnswerWish::of(request);
  if (!wish) return exchange.refuse(internal::failure(app, wish.error(), request));
  if (!exchange.open(false)) return;
  Spool capture(app.uploads.folder());
  for (const auto source = exchange.source();;) {
    auto piece = source();
    if (!piece) {
      if (!exchange.body_failed()) exchange.refuse(piece.error());
      return;
    }
    if (piece->empty()) break;
    auto kept = capture.append({reinterpret_cast<const char*>(piece->data()), piece->size()});
    if (!kept) return exchange.refuse(kept.error());
  }
  const std::string owner = request.caller.name;
  const auto id = app.jobs.add(owner, std::move(capture), *detector, *wish,
                               std::make_shared<internal::KeptVerdicts>(app, **detector));
  if (!id && id.error().code == Errc::exhausted) {
    auto busy = http::problem(503, id.error().message, request.id);
    busy.headers.emplace_back("Retry-After", "10");
    return exchange.refuse(std::move(busy));
  }
  if (!id) return exchange.refuse(internal::failure(app, id.error(), request));
  const auto status = app.jobs.status(*id, owner, true);
  if (!status) return exchange.refuse(internal::failure(app, status.error(), request));
  auto response = one_job(*status, 202);
  response.headers.emplace_back("Location", "/api/v1/jobs/" + *id);
  exchange.send(std::move(response));
}

void send_result(Application& app, const Request& request, BodyReader& reader, BodyWriter& writer) {
  internal::CaptureRequest exchange(app, request, reader, writer);
  const auto answer =
      app.jobs.answer(std::string(request.parameter("id")), request.caller.name, sees_all(request));
  if (!answer && answer.error().code == Errc::invalid)
    return exchange.refuse(http::problem(409, answer.error().message, request.id));
  if (!answer) return exchange.refuse(internal::failure(app, answer.error(), request));
  exchange.send((*answer)->content_type(), [&](const auto& give) { return (*answer)->text().read(give); });
}

http::Route job_route(http::Method method, std::string pattern) {
  http::Route out;
  out.method = method;
  out.pattern = std::move(pattern);
  out.scopes = kUpload;
  return out;
}

}  // namespace

std::vector<http::Route> routes_of_jobs(Application& app) {
  std::vector<http::Route> routes;
  http::Route add = job_route(http::Method::post, "/api/v1/jobs");
  add.body_bytes_max = app.settings()->limits.upload_mb * 1'000'000 + (1u << 16);
  add.content_types = internal::capture_content_types(false);
  add.cost = 20;
  add.handler = http::StreamHandler(
      [&app](const Request& request, BodyReader& in, BodyWriter& out) { add_job(app, request, in, out); });
  routes.push_back(std::move(add));

  http::Route list = job_route(http::Method::get, "/api/v1/jobs");
  list.handler = http::Handler([&app](const Request& request, http::Responder responder) {
    http::Response response;
    JsonWriter json(response.body);
    json.begin_object();
    json.key("jobs");
    json.begin_array();
    for (const auto& job : app.jobs.list(request.caller.name, sees_all(request))) write_job(json, job);
    json.end_array();
    json.end_object();
    responder.send(std::move(response));
  });
  routes.push_back(std::move(list));

  for (const auto method : {http::Method::get, http::Method::remove}) {
    http::Route one = job_route(method, "/api/v1/jobs/{id}");
    one.handler = http::Handler([&app, method](const Request& request, http::Responder responder) {
      const std::string id(request.parameter("id"));
      const bool all = sees_all(request);
      const auto job = method == http::Method::get ? app.jobs.status(id, request.caller.name, all)
                                                   : app.jobs.remove(id, request.caller.name, all);
      responder.send(job ? one_job(*job) : internal::failure(app, job.error(), request));
    });
    routes.push_back(std::move(one));
  }

  http::Route result = job_route(http::Method::get, "/api/v1/jobs/{id}/result");
  result.handler = http::StreamHandler([&app](const Request& request, BodyReader& in, BodyWriter& out) {
    send_result(app, request, in, out);
  });
  routes.push_back(std::move(result));
  return routes;
}

}  // namespace nidus::serve
