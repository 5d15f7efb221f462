#include "serve/internal/answers.h"

#include <chrono>
#include <utility>

#include "base/json_writer.h"
#include "serve/spool.h"

namespace nidus::serve::internal {

double epoch_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

int status_of(Errc code) {
  switch (code) {
    case Errc::invalid:
    case Errc::corrupt:
      return 400;
    case Errc::not_found:
      return 404;
    case Errc::unsupported:
      return 422;
    case Errc::exhausted:
      return 413;
    case Errc::io:
      break;
  }
  return 500;
}

http::Response failure(Application& app, const Error& error, const http::Request& request) {
  if (is_disk_full(error)) {
    app.log().error("disk_full", {{"id", request.id}, {"error", std::string_view(error.message)}});
    auto response = http::problem(507, "There is no room on the disk of the service", request.id);
    response.headers.emplace_back("Retry-After", "60");
    return response;
  }
  const int status = status_of(error.code);
  if (status != 500) return http::problem(status, error.message, request.id);
  app.log().error("request_failed", {{"id", request.id}, {"error", std::string_view(error.message)}});
  return http::problem(status, "The system refused; the log says why", request.id);
}

http::Response row_failure(Application& app, const RowFault& fault, const http::Request& request,
                           int status) {
  app.prediction_errors.add();
  if (fault.missing.empty()) return http::problem(status, fault.detail, request.id);
  std::string extras = "\"missing_features\":";
  JsonWriter json(extras);
  json.begin_array();
  for (const auto& name : fault.missing) json.value(name);
  json.end_array();
  return http::problem(status, fault.detail, request.id, extras);
}

http::Response no_detector(const http::Request& request) {
  return http::problem(503, "No detector is loaded for this", request.id, "\"model_ready\":false");
}

http::Response too_busy(const http::Request& request) {
  auto response = http::problem(503, "Too many batches wait already; try again", request.id);
  response.headers.emplace_back("Retry-After", "1");
  return response;
}

http::Route get_route(std::string pattern, std::function<http::Response(const http::Request&)> answer) {
  http::Route route;
  route.pattern = std::move(pattern);
  route.handler =
      http::Handler([answer = std::move(answer)](const http::Request& request, http::Responder responder) {
        responder.send(answer(request));
      });
  return route;
}

}  // namespace nidus::serve::internal
