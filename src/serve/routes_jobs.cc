// Long captures: sent now, judged when there is time, asked for later.
#include <fmt/format.h>

#include <utility>

#include "base/json_writer.h"
#include "base/text.h"
#include "serve/application.h"
#include "serve/internal/answers.h"
#include "serve/internal/capture_answer.h"
#include "serve/internal/capture_request.h"
#include "serve/internal/store_answers.h"
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
  json.field("progress", job.share);
  json.field("detector", job.detector);
  json.field("version", job.version);
  json.field("bytes", job.bytes);
  json.field("packets", job.packets);
  json.field("flows", job.flows);
  json.field("created", iso8601(job.created_us));
  json.field("changed", iso8601(job.changed_us));
  if (!job.error.empty()) json.field("error", job.error);
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
  auto draft = app.jobs.draft();
  if (!draft) return exchange.refuse(internal::failure(app, draft.error(), request));
  for (const auto source = exchange.source();;) {
    auto piece = source.next();
    if (!piece) {
      if (!exchange.body_failed()) exchange.refuse(piece.error());
      return;
    }
    if (piece->empty()) break;
    auto kept = draft->capture.append({reinterpret_cast<const char*>(piece->data()), piece->size()});
    if (!kept) return exchange.refuse(kept.error());
  }
  const std::string owner = request.caller.name;
  const auto id = app.jobs.add(owner, std::move(*draft), *detector, *wish);
  if (!id && id.error().code == Errc::exhausted) {
    auto busy = http::problem(503, id.error().message, request.id);
    busy.headers.emplace_back("Retry-After", "10");
    return exchange.refuse(std::move(busy));
  }
  if (!id) return exchange.refuse(internal::store_failure(app, id.error(), request));
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
  exchange.send((*answer)->content_type, [&](const auto& give) { return (*answer)->text.read(give); });
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
  add.unpacks = true;
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

  http::Route one = job_route(http::Method::get, "/api/v1/jobs/{id}");
  one.handler = http::Handler([&app](const Request& request, http::Responder responder) {
    const auto job =
        app.jobs.status(std::string(request.parameter("id")), request.caller.name, sees_all(request));
    responder.send(job ? one_job(*job) : internal::failure(app, job.error(), request));
  });
  routes.push_back(std::move(one));

  http::Route ended = job_route(http::Method::remove, "/api/v1/jobs/{id}");
  ended.handler = http::StreamHandler([&app](const Request& request, BodyReader&, BodyWriter& out) {
    const auto job =
        app.jobs.remove(std::string(request.parameter("id")), request.caller.name, sees_all(request));
    out.send(job ? one_job(*job) : internal::store_failure(app, job.error(), request));
  });
  routes.push_back(std::move(ended));

  http::Route result = job_route(http::Method::get, "/api/v1/jobs/{id}/result");
  result.handler = http::StreamHandler([&app](const Request& request, BodyReader& in, BodyWriter& out) {
    send_result(app, request, in, out);
  });
  routes.push_back(std::move(result));
  return routes;
}

}  // namespace nidus::serve
