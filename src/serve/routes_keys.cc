// API keys and the audit: /api/v1/keys, /api/v1/audit.
#include <fmt/format.h>

#include <optional>

#include "auth/api_key.h"
#include "auth/guard.h"
#include "base/clock.h"
#include "base/json_writer.h"
#include "base/number.h"
#include "base/text.h"
#include "serve/application.h"
#include "serve/internal/answers.h"
#include "serve/internal/store_answers.h"
#include "serve/json_reader.h"

namespace nidus::serve {
namespace {

using http::Method;
using http::Request;
using http::Responder;
using http::Response;

constexpr std::int64_t kDayUs = 86'400LL * 1'000'000;

Response refuse_key(const Request& request, std::string_view why) {
  return http::problem(400, why, request.id);
}

void append_key(JsonWriter& json, const store::ApiKey& key) {
  json.begin_object();
  json.field("id", key.id);
  json.field("name", key.name);
  json.field("scopes", auth::scopes_text(key.scopes));
  json.field("live", auth::is_live(key, now_us()));
  json.field("created", iso8601(key.created_us));
  if (key.expires_us) json.field("expires", iso8601(*key.expires_us));
  if (key.revoked_us) json.field("revoked", iso8601(*key.revoked_us));
  if (key.used_us) json.field("used", iso8601(*key.used_us));
  if (!key.rotates.empty()) json.field("rotates", key.rotates);
  json.end_object();
}

Response list_keys(Application& app, const store::Store& store, const Request& request) {
  const auto keys = store.keys();
  if (!keys) return internal::store_failure(app, keys.error(), request);
  std::string body;
  JsonWriter json(body);
  json.begin_object();
  json.key("keys");
  json.begin_array();
  for (const auto& key : *keys) append_key(json, key);
  json.end_array();
  json.end_object();
  return internal::json_response(std::move(body));
}

struct WantedKey {
  std::string name;
  std::uint32_t scopes = 0;
  std::optional<std::int64_t> expires_us;
};

Error bad_key(std::string message) { return {Errc::invalid, std::move(message)}; }

// {"name": "sensor", "scopes": "predict alerts", "days": 90}
Result<WantedKey> read_wanted(std::string_view body) {
  WantedKey wanted;
  JsonReader json(body);
  if (json.peek() != JsonReader::Kind::object || !json.enter_object())
    return bad_key("expected a JSON object");
  bool has_name = false, has_scopes = false;
  for (std::string_view key; json.next_key(key);) {
    std::string_view text;
    if (key == "name" && !has_name) {
      if (json.peek() != JsonReader::Kind::text || !json.read_text(text))
        return bad_key("name: must be a text");
      wanted.name = text;
      has_name = true;
    } else if (key == "scopes" && !has_scopes) {
      if (json.peek() != JsonReader::Kind::text || !json.read_text(text)) {
        return bad_key("scopes: must be a text like \"predict alerts\"");
      }
      for (const auto word : split(text, ' ')) {
        if (word.empty()) continue;
        const auto scope = auth::scope_named(word);
        if (!scope)
          return bad_key(fmt::format("'{}' is none of the scopes predict, upload, alerts, admin", word));
        wanted.scopes |= *scope;
      }
      has_scopes = true;
    } else if (key == "days" && !wanted.expires_us) {
      double days = 0;
      if (json.peek() != JsonReader::Kind::number || !json.read_number(days) ||
          !(days > 0 && days <= 36'500)) {
        return bad_key("days: must be a number above 0, at most 36,500");
      }
      wanted.expires_us = now_us() + static_cast<std::int64_t>(days * static_cast<double>(kDayUs));
    } else {
      return bad_key(fmt::format("'{}' is unknown here, or there twice", key));
    }
  }
  if (!json.finish()) return bad_key(json.problem());
  if (wanted.scopes == 0) return bad_key("scopes: which? predict, upload, alerts, admin");
  return wanted;
}

// What is said once: the key itself.
Response shown(const auth::IssuedKey& issued) {
  std::string body;
  JsonWriter json(body);
  json.begin_object();
  json.field("key", issued.text);
  json.key("record");
  append_key(json, issued.record);
  json.end_object();
  auto response = internal::json_response(std::move(body));
  response.status = 201;
  response.headers.emplace_back("Cache-Control", "no-store");
  return response;
}

void keep_key(Application& app, const Request& request, Responder responder, auth::IssuedKey issued,
              const char* action) {
  std::vector<store::Change> changes;
  changes.emplace_back(store::NewKey{issued.record});
  const std::string object = "key " + issued.record.id;
  internal::change_store(app, request, std::move(responder), std::move(changes), action, object,
                         [&app, issued = std::move(issued)](const auto&) {
                           if (app.guard()) (void)app.guard()->reload();
                           return shown(issued);
                         });
}

void make_key(Application& app, const Request& request, Responder responder) {
  auto wanted = read_wanted(request.body);
  if (!wanted) return responder.send(refuse_key(request, wanted.error().message));
  // Nobody gives what he does not have.
  if ((wanted->scopes & ~request.caller.scopes) != 0) {
    return responder.send(
        http::problem(403, "A key cannot be given scopes that you do not have", request.id));
  }
  auto issued = auth::issue_key(std::move(wanted->name), wanted->scopes, now_us(), wanted->expires_us);
  if (!issued) return responder.send(internal::failure(app, issued.error(), request));
  keep_key(app, request, std::move(responder), std::move(*issued), "key.create");
}

void replace_key(Application& app, const Request& request, Responder responder) {
  if (!app.store())
    return responder.send(http::problem(503, "Nothing is kept here: set store.file", request.id));
  const auto keys = app.store()->keys();
  if (!keys) return responder.send(internal::store_failure(app, keys.error(), request));
  for (const auto& key : *keys) {
    if (key.id != request.parameter("id")) continue;
    if (!auth::is_live(key, now_us())) {
      return responder.send(http::problem(409, "That key is not live any more: create another", request.id));
    }
    if ((key.scopes & ~request.caller.scopes) != 0) {
      return responder.send(http::problem(403, "That key has scopes that you do not have", request.id));
    }
    auto issued = auth::rotate_key(key, now_us());
    if (!issued) return responder.send(internal::failure(app, issued.error(), request));
    return keep_key(app, request, std::move(responder), std::move(*issued), "key.rotate");
  }
  responder.send(http::problem(404, "There is no such key", request.id));
}

void revoke_key(Application& app, const Request& request, Responder responder) {
  const std::string id(request.parameter("id"));
  std::vector<store::Change> changes;
  changes.emplace_back(store::RevokeKey{id, now_us()});
  internal::change_store(app, request, std::move(responder), std::move(changes), "key.revoke", "key " + id,
                         [&app, &request](const store::Store::Numbers& numbers) {
                           if (app.guard()) (void)app.guard()->reload();
                           if (numbers[0] == 0) {
                             return http::problem(404, "There is no such key, or it was revoked before",
                                                  request.id);
                           }
                           return internal::json_response("{\"revoked\":true}");
                         });
}

Response list_audit(Application& app, const store::Store& store, const Request& request) {
  const auto limit = internal::limit_of(request);
  if (!limit) return refuse_key(request, limit.error().message);
  std::int64_t before = INT64_MAX;
  if (const auto text = request.query("after")) {
    const auto id = parse_integer(*text);
    if (!id) return refuse_key(request, "after: must be what `next` of the page before said");
    before = *id;
  }
  const auto entries = store.audit(before, *limit);
  if (!entries) return internal::store_failure(app, entries.error(), request);
  std::string body;
  JsonWriter json(body);
  json.begin_object();
  json.key("entries");
  json.begin_array();
  for (const auto& entry : *entries) {
    json.begin_object();
    json.field("id", entry.id);
    json.field("time", iso8601(entry.time_us));
    json.field("who", entry.who);
    json.field("action", entry.action);
    json.field("object", entry.object);
    json.field("address", entry.address);
    json.field("request_id", entry.request_id);
    json.field("outcome", entry.outcome);
    json.field("hash", entry.hash);
    json.end_object();
  }
  json.end_array();
  json.key("next");
  if (entries->size() == *limit) {
    json.value(std::to_string(entries->back().id));
  } else {
    json.null();
  }
  json.end_object();
  return internal::json_response(std::move(body));
}

http::Route key_route(Method method, std::string pattern, http::Handler handler) {
  http::Route route;
  route.method = method;
  route.pattern = std::move(pattern);
  route.scopes = kAdmin;
  route.cost = 5;
  route.handler = std::move(handler);
  return route;
}

http::Handler reading_keys(Application& app,
                           Response (*answer)(Application&, const store::Store&, const Request&)) {
  return [&app, answer](const Request& request, Responder responder) {
    internal::answer_from_store(
        app, request, std::move(responder),
        [&app, &request, answer](const auto& store) { return answer(app, store, request); });
  };
}

http::Handler writing(Application& app, void (*change)(Application&, const Request&, Responder)) {
  return [&app, change](const Request& request, Responder responder) {
    change(app, request, std::move(responder));
  };
}

}  // namespace

std::vector<http::Route> routes_of_keys(Application& app) {
  std::vector<http::Route> routes;
  routes.push_back(key_route(Method::get, "/api/v1/keys", reading_keys(app, list_keys)));
  http::Route created = key_route(Method::post, "/api/v1/keys", writing(app, make_key));
  created.body_bytes_max = 64 << 10;
  created.content_types = {"application/json"};
  routes.push_back(std::move(created));
  routes.push_back(key_route(Method::post, "/api/v1/keys/{id}/rotate", writing(app, replace_key)));
  routes.push_back(key_route(Method::remove, "/api/v1/keys/{id}", writing(app, revoke_key)));
  routes.push_back(key_route(Method::get, "/api/v1/audit", reading_keys(app, list_audit)));
  return routes;
}

}  // namespace nidus::serve
