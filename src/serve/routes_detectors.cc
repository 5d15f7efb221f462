// /api/v1/detectors: what is served, and which version of it. Changing something takes the time to load it,
// so these routes have threads of their own.
#include <fmt/format.h>

#include <optional>

#include "base/clock.h"
#include "base/json_writer.h"
#include "serve/application.h"
#include "serve/internal/answers.h"
#include "serve/internal/detector_json.h"
#include "serve/internal/store_answers.h"
#include "serve/json_reader.h"

namespace nidus::serve {
namespace {

using http::BodyReader;
using http::BodyWriter;
using http::Method;
using http::Request;
using http::Responder;
using http::Response;

constexpr std::size_t kBodyMax = 4096;

// What the small bodies of these routes may say.
struct Wish {
  std::string version;
  std::optional<double> percent;
};

Result<Wish> read_wish(BodyReader& body) {
  std::string text;
  for (;;) {
    auto bytes = body.read();
    if (!bytes) return std::move(bytes).error();
    if (bytes->empty()) break;
    text.append(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  }
  Wish wish;
  if (text.empty()) return wish;
  JsonReader json(text);
  const auto wrong = [&](const std::string& what) { return Error{Errc::invalid, what}; };
  if (json.peek() != JsonReader::Kind::object || !json.enter_object()) return wrong("expected a JSON object");
  std::string_view key;
  while (json.next_key(key)) {
    if (key == "version") {
      std::string_view version;
      if (json.peek() != JsonReader::Kind::text) return wrong("'version' must be a text");
      if (!json.read_text(version)) break;
      wish.version = version;
    } else if (key == "percent") {
      double percent = 0;
      if (json.peek() != JsonReader::Kind::number) return wrong("'percent' must be a number");
      if (!json.read_number(percent)) break;
      wish.percent = percent;
    } else {
      return wrong(fmt::format("no member '{}': there are 'version' and 'percent'", key.substr(0, 60)));
    }
  }
  if (json.failed() || !json.finish()) return wrong("malformed JSON: " + json.problem());
  return wish;
}

Response shown(const Application& app, const Request& request) {
  const auto state = app.detectors.state();
  const auto served = state->find(request.parameter("name"));
  if (!served) {
    return http::problem(404, fmt::format("no detector '{}'", request.parameter("name")), request.id);
  }
  std::string body;
  JsonWriter json(body);
  internal::write_detector(json, *served, *state, true);
  return internal::json_response(std::move(body));
}

// Which version is what now, for the history, and who wanted it, for the audit. On disk when this returns.
Result<void> record(Application& app, const Request& request, const std::string& name, const char* what) {
  const auto served = app.detectors.state()->find(name);
  if (!app.store() || !served) return {};
  std::vector<store::Change> changes;
  changes.emplace_back(internal::audit_entry(
      request, fmt::format("detector.{} {}", http::name_of(request.method), what), name));
  const auto now = [&](const Served::Version& version, const char* role, double share) {
    if (!version) return;
    store::Activation activation;
    activation.time_us = now_us();
    activation.slot = name;
    activation.detector = version->manifest().name;
    activation.version = version->version();
    activation.role = role;
    activation.share = share;
    activation.who = request.caller.name;
    changes.emplace_back(std::move(activation));
  };
  now(served->active, "active", 1 - served->canary_percent / 100);
  now(served->canary, "canary", served->canary_percent / 100);
  now(served->shadow, "shadow", 0);
  auto written = app.store()->write(std::move(changes));
  if (!written) return std::move(written).error();
  return {};
}

using Deed = std::function<Result<void>(const std::string& name, const Wish& wish)>;

void log_change(Application& app, const Request& request, const char* what, const std::string& name,
                const std::string& version, bool done) {
  app.log().info("detector_change", {{"id", request.id},
                                     {"detector", std::string_view(name)},
                                     {"what", what},
                                     {"version", std::string_view(version)},
                                     {"caller", std::string_view(request.caller.name)},
                                     {"address", request.peer.address_text()},
                                     {"done", done}});
}

http::Route changing(Application& app, Method method, const char* what, Deed deed) {
  http::Route route;
  route.method = method;
  route.pattern = fmt::format("/api/v1/detectors/{{name}}/{}", what);
  route.body_bytes_max = kBodyMax;
  if (method != Method::remove) route.content_types = {"application/json"};
  route.scopes = kAdmin;
  route.cost = 10;
  route.handler = http::StreamHandler(
      [&app, what, deed = std::move(deed)](const Request& request, BodyReader& body, BodyWriter& writer) {
        const auto wish = read_wish(body);
        if (!wish) return writer.send(internal::failure(app, wish.error(), request));
        const std::string name(request.parameter("name"));
        const auto done = deed(name, *wish);
        log_change(app, request, what, name, wish->version, done.has_value());
        if (!done) {
          auto error = done.error();
          // A detector that cannot be read is not the client's mistake, nor ours: it conflicts with the wish.
          if (error.code == Errc::corrupt || error.code == Errc::io)
            return writer.send(http::problem(409, error.message, request.id));
          return writer.send(internal::failure(app, error, request));
        }
        if (auto written = record(app, request, name, what); !written)
          return writer.send(internal::store_failure(app, written.error(), request));
        writer.send(shown(app, request));
      });
  return route;
}

http::Route removal(Application& app) {
  http::Route route;
  route.method = Method::remove;
  route.pattern = "/api/v1/detectors/{name}";
  route.scopes = kAdmin;
  route.cost = 10;
  route.handler = http::StreamHandler([&app](const Request& request, BodyReader&, BodyWriter& writer) {
    const std::string name(request.parameter("name"));
    const auto done = app.detectors.remove(name);
    log_change(app, request, "remove", name, "", done.has_value());
    if (!done && done.error().code == Errc::invalid)
      return writer.send(http::problem(409, done.error().message, request.id));
    if (!done) return writer.send(internal::failure(app, done.error(), request));
    if (app.store()) {
      auto written = app.store()->write({internal::audit_entry(request, "detector.remove", name)});
      if (!written) return writer.send(internal::store_failure(app, written.error(), request));
    }
    Response response;
    response.status = 204;
    writer.send(std::move(response));
  });
  return route;
}

}  // namespace

std::vector<http::Route> routes_of_detectors(Application& app) {
  std::vector<http::Route> routes;
  http::Route route;
  route.pattern = "/api/v1/detectors";
  route.scopes = kPredict;
  route.handler = http::Handler([&app](const Request&, Responder responder) {
    const auto state = app.detectors.state();
    std::string body;
    JsonWriter json(body);
    json.begin_object();
    json.key("detectors");
    json.begin_array();
    for (const auto& served : state->all) internal::write_detector(json, *served, *state, false);
    json.end_array();
    json.end_object();
    responder.send(internal::json_response(std::move(body)));
  });
  routes.push_back(route);
  route.pattern = "/api/v1/detectors/{name}";
  route.handler = http::Handler(
      [&app](const Request& request, Responder responder) { responder.send(shown(app, request)); });
  routes.push_back(route);

  routes.push_back(removal(app));
  Detectors& detectors = app.detectors;
  routes.push_back(changing(app, Method::post, "activate", [&](const std::string& name, const Wish& wish) {
    return detectors.activate(name, wish.version);
  }));
  routes.push_back(changing(app, Method::post, "rollback",
                            [&](const std::string& name, const Wish&) { return detectors.roll_back(name); }));
  routes.push_back(
      changing(app, Method::post, "reload", [&](const std::string& name, const Wish&) -> Result<void> {
        auto done = detectors.reload(name);
        if (!done) return std::move(done).error();
        return {};
      }));
  routes.push_back(
      changing(app, Method::put, "canary", [&](const std::string& name, const Wish& wish) -> Result<void> {
        if (wish.version.empty() || !wish.percent)
          return Error{Errc::invalid, "a canary needs a version and a percent"};
        return detectors.set_canary(name, wish.version, *wish.percent);
      }));
  routes.push_back(changing(app, Method::remove, "canary", [&](const std::string& name, const Wish&) {
    return detectors.set_canary(name, "", 0);
  }));
  routes.push_back(
      changing(app, Method::put, "shadow", [&](const std::string& name, const Wish& wish) -> Result<void> {
        if (wish.version.empty()) return Error{Errc::invalid, "a shadow needs a version"};
        return detectors.set_shadow(name, wish.version);
      }));
  routes.push_back(changing(app, Method::remove, "shadow", [&](const std::string& name, const Wish&) {
    return detectors.set_shadow(name, "");
  }));
  return routes;
}

}  // namespace nidus::serve
