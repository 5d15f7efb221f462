#include "serve/internal/store_answers.h"

#include <fmt/format.h>

#include <memory>

#include "base/clock.h"
#include "base/number.h"
#include "serve/internal/answers.h"

namespace nidus::serve::internal {
namespace {

http::Response no_store(const http::Request& request) {
  return http::problem(503, "Nothing is kept here: store.off is set, or store.file could not be made",
                       request.id);
}

}  // namespace

http::Response store_failure(Application& app, const Error& error, const http::Request& request) {
  switch (error.code) {
    case Errc::invalid:
    case Errc::not_found:
    case Errc::unsupported:
      return failure(app, error, request);
    case Errc::corrupt:
    case Errc::io:
    case Errc::exhausted:
      break;
  }
  return not_kept(app, error, request.id);
}

http::Response not_kept(Application& app, const Error& error, std::string_view request_id) {
  app.log().error("store_failed", {{"id", request_id}, {"error", std::string_view(error.message)}});
  auto response =
      http::problem(error.code == Errc::exhausted ? 507 : 503,
                    error.code == Errc::exhausted ? "The store has no room, or the question asks for too much"
                                                  : "The store cannot be used; the log says why",
                    request_id);
  response.headers.emplace_back("Retry-After", "5");
  return response;
}

store::AuditEntry audit_entry(const http::Request& request, std::string action, std::string object) {
  store::AuditEntry entry;
  entry.time_us = now_us();
  entry.who = request.caller.name.empty() ? "anonymous" : request.caller.name;
  entry.action = std::move(action);
  entry.object = std::move(object);
  entry.address = request.peer.address_text();
  entry.request_id = request.id;
  entry.outcome = "ok";
  return entry;
}

void answer_from_store(Application& app, const http::Request& request, http::Responder responder,
                       std::function<http::Response(const store::Store&)> answer) {
  if (!app.store()) return responder.send(no_store(request));
  // A function of the standard library can be copied, a responder cannot.
  const auto waiting = std::make_shared<http::Responder>(std::move(responder));
  const bool taken = app.pool.post([&app, waiting, answer = std::move(answer)] {
    if (!waiting->gone()) waiting->send(answer(*app.store()));
  });
  if (!taken) waiting->send(too_busy(request));
}

void change_store(Application& app, const http::Request& request, http::Responder responder,
                  std::vector<store::Change> changes, std::string action, std::string object,
                  std::function<http::Response(const store::Store::Numbers&)> answer) {
  if (!app.store()) return responder.send(no_store(request));
  changes.emplace_back(audit_entry(request, std::move(action), std::move(object)));
  const auto waiting = std::make_shared<http::Responder>(std::move(responder));
  app.store()->write(std::move(changes), [&app, &request, waiting,
                                          answer = std::move(answer)](Result<store::Store::Numbers> done) {
    waiting->send(done ? answer(*done) : store_failure(app, done.error(), request));
  });
}

Result<std::size_t> limit_of(const http::Request& request) {
  const auto text = request.query("limit");
  if (!text) return std::size_t{100};
  const auto limit = parse_integer(*text);
  if (!limit || *limit < 1 || *limit > 1000) return Error{Errc::invalid, "limit: must be from 1 to 1000"};
  return static_cast<std::size_t>(*limit);
}

}  // namespace nidus::serve::internal
