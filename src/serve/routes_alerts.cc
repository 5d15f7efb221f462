// Alerts and what people do with them, the flows behind them, and how many there are: /api/v1/alerts,
// /api/v1/flows, /api/v1/statistics.
#include <fmt/format.h>

#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/json_writer.h"
#include "base/number.h"
#include "base/text.h"
#include "serve/alert_text.h"
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

constexpr std::size_t kCommentBytesMax = 4000, kIdsMax = 10'000, kBucketsMax = 10'000, kExportPage = 1000;

Ask asker(const Request& request) {
  return [&request](std::string_view name) { return request.query(name); };
}

Response refuse_question(const Request& request, std::string_view why) {
  return http::problem(400, why, request.id);
}

Response list_groups(Application& app, const store::Store& store, const Request& request,
                     const store::AlertQuery& query, const std::string& by_name, std::size_t limit) {
  const auto by = group_named(by_name);
  if (!by) return refuse_question(request, by.error().message);
  const auto groups = store.group(query, *by, limit);
  if (!groups) return internal::store_failure(app, groups.error(), request);
  std::string body;
  JsonWriter json(body);
  json.begin_object();
  json.field("by", by_name);
  json.key("groups");
  json.begin_array();
  for (const auto& group : *groups) {
    json.begin_object();
    switch (*by) {
      case store::GroupBy::label:
      case store::GroupBy::detector:
        json.field(by_name, group.text);
        break;
      case store::GroupBy::source:
      case store::GroupBy::target:
        json.field(by_name, address_text(group.address));
        break;
      case store::GroupBy::state:
        json.field(by_name, name_of(group.state));
        break;
    }
    json.field("alerts", group.alerts);
    json.field("verdicts", group.verdicts);
    json.field("first", iso8601(group.first_us));
    json.field("last", iso8601(group.last_us));
    json.field("score", group.score_max);
    json.end_object();
  }
  json.end_array();
  json.end_object();
  return internal::json_response(std::move(body));
}

Response list_alerts(Application& app, const store::Store& store, const Request& request) {
  const auto query = alert_query(asker(request));
  if (!query) return refuse_question(request, query.error().message);
  const auto limit = internal::limit_of(request);
  if (!limit) return refuse_question(request, limit.error().message);
  if (const auto by = request.query("group_by")) return list_groups(app, store, request, *query, *by, *limit);
  store::AlertCursor after;
  if (const auto text = request.query("after")) {
    const auto cursor = cursor_of(*text);
    if (!cursor) return refuse_question(request, cursor.error().message);
    after = *cursor;
  }
  const auto page = store.alerts(*query, after, *limit);
  if (!page) return internal::store_failure(app, page.error(), request);
  std::string body;
  JsonWriter json(body);
  json.begin_object();
  json.key("alerts");
  json.begin_array();
  for (const auto& alert : *page) append_alert(json, alert);
  json.end_array();
  json.key("next");
  if (page->size() == *limit) {
    json.value(cursor_text({page->back().last_us, page->back().id}));
  } else {
    json.null();
  }
  json.end_object();
  return internal::json_response(std::move(body));
}

// The number in the path; nothing if it is none.
std::optional<std::int64_t> id_of(const Request& request) { return parse_integer(request.parameter("id")); }

Response show_alert(Application& app, const store::Store& store, const Request& request) {
  const auto id = id_of(request);
  if (!id) return refuse_question(request, "An alert is called by its number");
  const auto alert = store.alert(*id);
  if (!alert) return internal::store_failure(app, alert.error(), request);
  const auto steps = store.triage_of(*id);
  if (!steps) return internal::store_failure(app, steps.error(), request);
  std::string body;
  JsonWriter json(body);
  json.begin_object();
  json.key("alert");
  append_alert(json, *alert);
  json.key("triage");
  json.begin_array();
  for (const auto& step : *steps) {
    json.begin_object();
    json.field("time", iso8601(step.time_us));
    json.field("author", step.author);
    json.field("state", name_of(step.state));
    json.field("comment", step.comment);
    json.end_object();
  }
  json.end_array();
  json.end_object();
  return internal::json_response(std::move(body));
}

// A member of a query in a body, as the text that the same question has in an address.
std::optional<std::string> question_text(JsonReader& json) {
  switch (json.peek()) {
    case JsonReader::Kind::text: {
      std::string_view text;
      if (!json.read_text(text)) return std::nullopt;
      return std::string(text);
    }
    case JsonReader::Kind::number: {
      std::string_view raw;
      if (!json.skip_as(raw)) return std::nullopt;
      return std::string(raw);
    }
    case JsonReader::Kind::object:
    case JsonReader::Kind::array:
    case JsonReader::Kind::truth:
    case JsonReader::Kind::null:
    case JsonReader::Kind::not_finite:
    case JsonReader::Kind::none:
      break;
  }
  return std::nullopt;
}

Error bad_triage(std::string message) { return {Errc::invalid, std::move(message)}; }

Result<store::AlertQuery> read_query(JsonReader& json) {
  if (!json.enter_object()) return bad_triage("query: must be an object");
  std::vector<std::pair<std::string, std::string>> asked;
  for (std::string_view key; json.next_key(key);) {
    if (auto known = known_question(key, true); !known) return std::move(known).error();
    std::string name(key);
    for (const auto& [before, text] : asked) {
      if (before == name) return bad_triage("query: '" + name + "' twice");
    }
    auto text = question_text(json);
    if (!text) return bad_triage("query: '" + name + "' must be a text or a number");
    asked.emplace_back(std::move(name), std::move(*text));
  }
  if (asked.empty()) return bad_triage("query: must ask for something: all alerts at once are never meant");
  return alert_query([&](std::string_view name) -> std::optional<std::string> {
    for (const auto& [known, text] : asked) {
      if (known == name) return text;
    }
    return std::nullopt;
  });
}

Result<std::vector<std::int64_t>> read_ids(JsonReader& json) {
  std::vector<std::int64_t> ids;
  if (!json.enter_array()) return bad_triage("ids: must be a list of numbers");
  while (json.next_element()) {
    double number = 0;
    if (json.peek() != JsonReader::Kind::number || !json.read_number(number) ||
        !(number >= 1 && number < 1e15) || number != static_cast<double>(static_cast<std::int64_t>(number))) {
      return bad_triage("ids: must be a list of numbers of alerts");
    }
    if (ids.size() == kIdsMax) return bad_triage(fmt::format("ids: at most {}", kIdsMax));
    ids.push_back(static_cast<std::int64_t>(number));
  }
  if (ids.empty()) return bad_triage("ids: is empty");
  return ids;
}

// {"state": …, "comment": …}, and of a bulk {"ids": […]} or {"query": {…}}.
Result<store::Triage> read_triage(std::string_view body, bool is_bulk) {
  store::Triage triage;
  bool has_query = false, has_ids = false, has_comment = false;
  JsonReader json(body);
  if (json.peek() != JsonReader::Kind::object || !json.enter_object())
    return bad_triage("expected a JSON object");
  for (std::string_view key; json.next_key(key);) {
    if (key == "state" && !triage.state) {
      std::string_view text;
      if (json.peek() != JsonReader::Kind::text || !json.read_text(text))
        return bad_triage("state: must be a text");
      auto state = state_named(text);
      if (!state) return std::move(state).error();
      triage.state = *state;
    } else if (key == "comment" && !has_comment) {
      std::string_view text;
      if (json.peek() != JsonReader::Kind::text || !json.read_text(text))
        return bad_triage("comment: must be a text");
      if (text.size() > kCommentBytesMax) return bad_triage("comment: at most 4,000 bytes");
      triage.comment = text;
      has_comment = true;
    } else if (is_bulk && key == "ids" && !has_ids && !has_query) {
      auto ids = read_ids(json);
      if (!ids) return json.failed() ? bad_triage(json.problem()) : std::move(ids).error();
      triage.which.ids = std::move(*ids);
      has_ids = true;
    } else if (is_bulk && key == "query" && !has_query && !has_ids) {
      auto query = read_query(json);
      if (!query) return json.failed() ? bad_triage(json.problem()) : std::move(query).error();
      triage.which = std::move(*query);
      has_query = true;
    } else {
      return bad_triage(fmt::format("'{}' is unknown here, or there twice", key));
    }
  }
  if (!json.finish()) return bad_triage(json.problem());
  if (is_bulk && !has_ids && !has_query) return bad_triage("which alerts? Give 'ids' or 'query'");
  if (!triage.state && triage.comment.empty())
    return bad_triage("what is to be done? Give 'state' or 'comment'");
  return triage;
}

void triage(Application& app, const Request& request, Responder responder, bool is_bulk) {
  auto read = read_triage(request.body, is_bulk);
  if (!read) return responder.send(refuse_question(request, read.error().message));
  std::string object = "query";
  if (!is_bulk) {
    const auto id = id_of(request);
    if (!id) return responder.send(refuse_question(request, "An alert is called by its number"));
    read->which.ids = {*id};
    object = fmt::format("alert {}", *id);
  } else if (!read->which.ids.empty()) {
    object = fmt::format("{} alerts", read->which.ids.size());
  }
  read->author = request.caller.name.empty() ? "anonymous" : request.caller.name;
  read->time_us = now_us();
  const auto action =
      fmt::format("alert.triage {}", read->state ? name_of(*read->state) : std::string_view("comment"));
  std::vector<store::Change> changes;
  changes.emplace_back(std::move(*read));
  internal::change_store(app, request, std::move(responder), std::move(changes), action, std::move(object),
                         [&request, is_bulk](const store::Store::Numbers& numbers) {
                           if (!is_bulk && numbers[0] == 0)
                             return http::problem(404, "There is no such alert", request.id);
                           return internal::json_response(fmt::format("{{\"changed\":{}}}", numbers[0]));
                         });
}

// All alerts that a query means, page by page, so that neither memory nor the store's log grows with a slow
// reader.
void export_alerts(Application& app, const Request& request, http::BodyWriter& writer) {
  const auto refuse_now = [&](std::string_view why) { writer.send(refuse_question(request, why)); };
  if (!app.store())
    return writer.send(http::problem(503, "Nothing is kept here: set store.file", request.id));
  const auto query = alert_query(asker(request));
  if (!query) return refuse_now(query.error().message);
  const std::string format = request.query("format").value_or("eve");
  if (format != "eve" && format != "csv" && format != "ndjson") {
    return refuse_now("format: must be eve, csv or ndjson");
  }
  store::AlertCursor after;
  bool begun = false;
  for (;;) {
    const auto page = app.store()->alerts(*query, after, kExportPage);
    if (!page) {
      // What was sent so far ends without its last chunk, so that the client knows that it is not whole.
      if (!begun) writer.send(internal::store_failure(app, page.error(), request));
      return;
    }
    std::string bytes;
    if (!begun) {
      Response head;
      head.content_type = format == "csv" ? "text/csv; charset=utf-8" : "application/x-ndjson";
      head.headers.emplace_back("Content-Disposition", fmt::format("attachment; filename=\"alerts.{}\"",
                                                                   format == "csv" ? "csv" : "ndjson"));
      if (!writer.begin(std::move(head))) return;
      begun = true;
      if (format == "csv") bytes = kAlertCsvHeader;
    }
    for (const auto& alert : *page) {
      if (format == "csv") {
        append_alert_csv(bytes, alert);
      } else if (format == "eve") {
        append_alert_eve(bytes, alert);
      } else {
        JsonWriter json(bytes);
        append_alert(json, alert);
        bytes += '\n';
      }
    }
    if (!bytes.empty() && !writer.write(bytes)) return;
    if (page->size() < kExportPage) break;
    after = {page->back().last_us, page->back().id};
  }
  (void)writer.end();
}

Response list_flows(Application& app, const store::Store& store, const Request& request) {
  const auto query = verdict_query(asker(request));
  if (!query) return refuse_question(request, query.error().message);
  const auto limit = internal::limit_of(request);
  if (!limit) return refuse_question(request, limit.error().message);
  std::int64_t before = INT64_MAX;
  if (const auto text = request.query("after")) {
    const auto id = parse_integer(*text);
    if (!id) return refuse_question(request, "after: must be what `next` of the page before said");
    before = *id;
  }
  const auto page = store.verdicts(*query, before, *limit);
  if (!page) return internal::store_failure(app, page.error(), request);
  std::string body;
  JsonWriter json(body);
  json.begin_object();
  json.key("flows");
  json.begin_array();
  for (const auto& verdict : *page) append_verdict(json, verdict);
  json.end_array();
  json.key("next");
  if (page->size() == *limit) {
    json.value(std::to_string(page->back().id));
  } else {
    json.null();
  }
  json.end_object();
  return internal::json_response(std::move(body));
}

Response statistics(Application& app, const store::Store& store, const Request& request) {
  auto query = verdict_query(asker(request));
  if (!query) return refuse_question(request, query.error().message);
  std::int64_t width_s = 3600;
  if (const auto text = request.query("width_s")) {
    const auto width = parse_integer(*text);
    if (!width || *width < 1 || *width > 366 * 86'400) {
      return refuse_question(request, "width_s: must be a whole number of seconds, at most a year");
    }
    width_s = *width;
  }
  const auto buckets = store.histogram(*query, width_s * 1'000'000, kBucketsMax);
  if (!buckets) return internal::store_failure(app, buckets.error(), request);
  const auto states = store.group({}, store::GroupBy::state, 10);
  if (!states) return internal::store_failure(app, states.error(), request);
  const auto counts = store.counts();
  std::string body;
  JsonWriter json(body);
  json.begin_object();
  json.field("width_s", width_s);
  json.key("flows");
  json.begin_array();
  for (const auto& bucket : *buckets) {
    json.begin_object();
    json.field("start", iso8601(bucket.start_us));
    json.field("label", bucket.label);
    json.field("count", bucket.verdicts);
    json.end_object();
  }
  json.end_array();
  json.key("alerts");
  json.begin_object();
  for (const auto& group : *states) json.field(name_of(group.state), group.alerts);
  json.end_object();
  json.key("store");
  json.begin_object();
  json.field("state", store::name(counts.state));
  json.field("bytes", counts.bytes);
  json.field("waiting", counts.waiting);
  json.end_object();
  json.end_object();
  return internal::json_response(std::move(body));
}

http::Route alert_route(Method method, std::string pattern, http::Handler handler, double cost = 5) {
  http::Route route;
  route.method = method;
  route.pattern = std::move(pattern);
  route.scopes = kAlerts;
  route.cost = cost;
  route.handler = std::move(handler);
  if (method == Method::patch) {
    route.body_bytes_max = 1 << 20;
    route.content_types = {"application/json"};
  }
  return route;
}

http::Handler reading(Application& app,
                      Response (*answer)(Application&, const store::Store&, const Request&)) {
  return [&app, answer](const Request& request, Responder responder) {
    internal::answer_from_store(
        app, request, std::move(responder),
        [&app, &request, answer](const auto& store) { return answer(app, store, request); });
  };
}

}  // namespace

std::vector<http::Route> routes_of_alerts(Application& app) {
  std::vector<http::Route> routes;
  routes.push_back(alert_route(Method::get, "/api/v1/alerts", reading(app, list_alerts)));
  routes.push_back(
      alert_route(Method::patch, "/api/v1/alerts", [&app](const Request& request, Responder responder) {
        triage(app, request, std::move(responder), true);
      }));
  routes.push_back(alert_route(Method::get, "/api/v1/alerts/{id}", reading(app, show_alert)));
  routes.push_back(
      alert_route(Method::patch, "/api/v1/alerts/{id}", [&app](const Request& request, Responder responder) {
        triage(app, request, std::move(responder), false);
      }));
  http::Route exported = alert_route(Method::get, "/api/v1/export/alerts", {}, 100);
  exported.handler =
      http::StreamHandler([&app](const Request& request, http::BodyReader&, http::BodyWriter& writer) {
        export_alerts(app, request, writer);
      });
  routes.push_back(std::move(exported));
  routes.push_back(alert_route(Method::get, "/api/v1/flows", reading(app, list_flows)));
  routes.push_back(alert_route(Method::get, "/api/v1/statistics", reading(app, statistics), 20));
  return routes;
}

}  // namespace nidus::serve
