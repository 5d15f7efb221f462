// The Open Inference Protocol, version 2, with binary tensors: what clients of KServe and Triton speak.
#include <fmt/format.h>

#include <cstring>
#include <optional>

#include "base/json_writer.h"
#include "base/number.h"
#include "serve/application.h"
#include "serve/internal/answers.h"
#include "serve/internal/inference_request.h"
#include "serve/internal/kept_verdicts.h"
#include "serve/internal/store_answers.h"

namespace nidus::serve {
namespace {

using http::Request;
using http::Responder;
using http::Response;

// The detector of a path, in the version that the path may name.
struct Asked {
  std::shared_ptr<const Served> served;
  std::shared_ptr<const ServedDetector> version;  // null: whatever is active, and its canary
};

std::optional<Asked> find(const Application& app, const Request& request) {
  Asked asked;
  asked.served = app.detectors.state()->find(request.parameter("model"));
  if (!asked.served) return std::nullopt;
  const std::string_view wanted = request.parameter("version");
  if (wanted.empty()) return asked;
  for (const auto& version : asked.served->versions) {
    if (version->version() == wanted) asked.version = version;
  }
  return asked.version ? std::optional(asked) : std::nullopt;
}

Response not_found(const Request& request) {
  return http::problem(404, "no model of this name and version", request.id);
}

void write_tensor(JsonWriter& json, std::string_view name, std::string_view type,
                  std::initializer_list<std::int64_t> shape) {
  json.begin_object();
  json.field("name", name);
  json.field("datatype", type);
  json.key("shape");
  json.begin_array();
  for (const auto length : shape) json.value(length);
  json.end_array();
  json.end_object();
}

Response metadata(const Served& served, const ServedDetector& version) {
  std::string body;
  JsonWriter json(body);
  json.begin_object();
  json.field("name", served.name);
  json.key("versions");
  json.begin_array();
  for (const auto& loaded : served.versions) json.value(loaded->version());
  json.end_array();
  json.field("platform", "nidus");
  json.key("inputs");
  json.begin_array();
  write_tensor(json, "input", version.detector().model().is_wide() ? "FP64" : "FP32",
               {-1, static_cast<std::int64_t>(version.inputs())});
  json.end_array();
  json.key("outputs");
  json.begin_array();
  write_tensor(json, "score", "FP64", {-1});
  write_tensor(json, "label", "INT32", {-1});
  write_tensor(json, "label_name", "BYTES", {-1});
  if (version.outputs() > 1)
    write_tensor(json, "probabilities", "FP64", {-1, static_cast<std::int64_t>(version.outputs())});
  json.end_array();
  json.key("parameters");
  json.begin_object();
  json.key("columns");
  json.begin_array();
  for (const auto& column : version.manifest().schema) json.value(column.name);
  json.end_array();
  json.key("labels");
  json.begin_array();
  for (const auto& label : version.manifest().labels) json.value(label);
  json.end_array();
  json.end_object();
  json.end_object();
  return internal::json_response(std::move(body));
}

// One output: how it is written as JSON and as bytes.
class Outputs {
 public:
  Outputs(const Served& served, const Judged& judged, std::size_t count)
      : served_(served), judged_(judged), count_(count) {}

  // False if there is none of that name.
  bool write(std::string_view name, bool binary, JsonWriter& json, std::string& bytes) const {
    const auto& verdicts = judged_.scores.verdicts;
    const std::size_t outputs = served_.active->outputs();
    if (name == "score") {
      numbers(name, "FP64", 1, binary, json, bytes, [&](std::size_t i) { return verdicts[i].score; });
    } else if (name == "label") {
      numbers(name, "INT32", 1, binary, json, bytes,
              [&](std::size_t i) { return static_cast<std::int32_t>(verdicts[i].label); });
    } else if (name == "probabilities" && outputs > 1) {
      numbers(name, "FP64", outputs, binary, json, bytes,
              [&](std::size_t i) { return judged_.scores.outputs[i]; });
    } else if (name == "label_name") {
      const std::size_t before = bytes.size();
      begin(name, "BYTES", 1, json);
      if (!binary) {
        json.key("data");
        json.begin_array();
      }
      for (std::size_t i = 0; i < count_; ++i) {
        const auto& text = judged_.judge_of(served_, i).manifest().labels[verdicts[i].label];
        if (!binary) {
          json.value(text);
          continue;
        }
        const auto length = static_cast<std::uint32_t>(text.size());
        char prefix[4];
        std::memcpy(prefix, &length, 4);
        bytes.append(prefix, 4);
        bytes += text;
      }
      if (!binary) json.end_array();
      end(binary, bytes.size() - before, json);
    } else {
      return false;
    }
    return true;
  }

 private:
  void begin(std::string_view name, std::string_view type, std::size_t each, JsonWriter& json) const {
    json.begin_object();
    json.field("name", name);
    json.field("datatype", type);
    json.key("shape");
    json.begin_array();
    json.value(count_);
    if (each != 1) json.value(each);
    json.end_array();
  }

  static void end(bool binary, std::size_t bytes, JsonWriter& json) {
    if (binary) {
      json.key("parameters");
      json.begin_object();
      json.field("binary_data_size", bytes);
      json.end_object();
    }
    json.end_object();
  }

  template <class Value>
  void numbers(std::string_view name, std::string_view type, std::size_t each, bool binary, JsonWriter& json,
               std::string& bytes, Value&& value) const {
    const std::size_t before = bytes.size();
    begin(name, type, each, json);
    if (!binary) {
      json.key("data");
      json.begin_array();
    }
    for (std::size_t i = 0; i < count_ * each; ++i) {
      const auto number = value(i);
      if (!binary) {
        json.value(number);
        continue;
      }
      char raw[sizeof(number)];
      std::memcpy(raw, &number, sizeof(number));
      bytes.append(raw, sizeof(number));
    }
    if (!binary) json.end_array();
    end(binary, bytes.size() - before, json);
  }

  const Served& served_;
  const Judged& judged_;
  std::size_t count_;
};

Response infer(Application& app, const Request& request) {
  const auto asked = find(app, request);
  if (!asked) return not_found(request);
  auto served = asked->served;
  if (asked->version && asked->version != served->active) {
    // A version that was asked for by name answers alone.
    auto alone = std::make_shared<Served>();
    alone->name = served->name;
    alone->active = asked->version;
    served = std::move(alone);
  }
  std::string_view json_part = request.body, binary;
  if (const auto length = request.header("Inference-Header-Content-Length"); !length.empty()) {
    const auto bytes = parse_integer(length);
    if (!bytes || *bytes < 0 || static_cast<std::uint64_t>(*bytes) > request.body.size())
      return http::problem(400, "Inference-Header-Content-Length is not a length within the body",
                           request.id);
    json_part = request.body.substr(0, static_cast<std::size_t>(*bytes));
    binary = request.body.substr(static_cast<std::size_t>(*bytes));
  }
  internal::InferenceRequest wanted;
  RowFault fault;
  if (!internal::read_inference(json_part, binary, *served->active->names(), app.settings()->limits.rows_max,
                                wanted, fault))
    return internal::row_failure(app, fault, request);
  Judged judged;
  app.judge.judge(served, std::span<const double>(wanted.rows), wanted.count, {}, judged);
  if (auto kept = internal::keep_rows(app, *served, judged, wanted.count); !kept)
    return internal::store_failure(app, kept.error(), request);
  if (wanted.outputs.empty()) {
    for (const char* name : {"score", "label", "label_name", "probabilities"}) {
      if (name != std::string_view("probabilities") || served->active->outputs() > 1)
        wanted.outputs.push_back({name, wanted.binary_outputs});
    }
  }
  Response response;
  std::string bytes;
  JsonWriter json(response.body);
  json.begin_object();
  json.field("model_name", served->name);
  json.field("model_version", served->active->version());
  if (!wanted.id.empty()) json.field("id", wanted.id);
  json.key("outputs");
  json.begin_array();
  const Outputs outputs(*served, judged, wanted.count);
  bool any_binary = false;
  for (const auto& output : wanted.outputs) {
    if (!outputs.write(output.name, output.binary, json, bytes)) {
      return http::problem(400,
                           fmt::format("no output '{}': there are score, label, label_name and, with several "
                                       "classes, probabilities",
                                       output.name.substr(0, 60)),
                           request.id);
    }
    any_binary = any_binary || output.binary;
  }
  json.end_array();
  json.end_object();
  if (any_binary) {
    response.content_type = "application/octet-stream";
    response.headers.emplace_back("Inference-Header-Content-Length", std::to_string(response.body.size()));
    response.body += bytes;
  }
  return response;
}

}  // namespace

std::vector<http::Route> routes_of_inference(Application& app) {
  std::vector<http::Route> routes;
  routes.push_back(internal::get_route("/v2", [](const Request&) {
    std::string body;
    JsonWriter json(body);
    json.begin_object();
    json.field("name", kServiceName);
    json.field("version", kServiceVersion);
    json.key("extensions");
    json.begin_array();
    json.value("binary_tensor_data");
    json.end_array();
    json.end_object();
    return internal::json_response(std::move(body));
  }));
  routes.push_back(internal::get_route(
      "/v2/health/live", [](const Request&) { return internal::json_response("{\"live\":true}"); }));
  routes.push_back(internal::get_route("/v2/health/ready", [&app](const Request& request) {
    if (app.draining || app.detectors.state()->all.empty()) return internal::no_detector(request);
    return internal::json_response("{\"ready\":true}");
  }));
  for (const char* base : {"/v2/models/{model}", "/v2/models/{model}/versions/{version}"}) {
    auto about = internal::get_route(base, [&app](const Request& request) {
      const auto asked = find(app, request);
      return asked ? metadata(*asked->served, asked->version ? *asked->version : *asked->served->active)
                   : not_found(request);
    });
    about.scopes = kPredict;
    routes.push_back(std::move(about));
    auto ready = internal::get_route(std::string(base) + "/ready", [&app](const Request& request) {
      const auto asked = find(app, request);
      if (!asked) return not_found(request);
      std::string body;
      JsonWriter json(body);
      json.begin_object();
      json.field("name", asked->served->name);
      json.field("ready", true);
      json.end_object();
      return internal::json_response(std::move(body));
    });
    ready.scopes = kPredict;
    routes.push_back(std::move(ready));
    http::Route route;
    route.method = http::Method::post;
    route.pattern = std::string(base) + "/infer";
    route.body_bytes_max = app.settings()->limits.body_mb * 1'000'000;
    route.content_types = {"application/json", "application/octet-stream"};
    route.scopes = kPredict;
    route.cost = 10;
    route.handler = http::Handler([&app](const Request& request, Responder responder) {
      constexpr std::size_t kSmallBytes = 32 << 10;
      if (request.body.size() <= kSmallBytes && !internal::keeps_rows(app))
        return responder.send(infer(app, request));
      const auto waiting = std::make_shared<Responder>(std::move(responder));
      const bool taken = app.pool.post([&app, &request, waiting] {
        if (!waiting->gone()) waiting->send(infer(app, request));
      });
      if (!taken) waiting->send(internal::too_busy(request));
    });
    routes.push_back(std::move(route));
  }
  return routes;
}

}  // namespace nidus::serve
