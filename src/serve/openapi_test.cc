// The service and its description, held against each other: every route is described and every description is
// a route; what the description shows by example is sent and answered as it says; what it forbids is refused.
#include <gmock/gmock.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <regex>
#include <set>
#include <thread>

#include "base/file.h"
#include "serve/application.h"
#include "serve/internal/openapi.h"
#include "serve/testing.h"

namespace nidus::serve {
namespace {

using Json = nlohmann::json;

// As much of JSON Schema as the description uses; a word that is not known fails, so that nothing is passed
// over.
class Schemas {
 public:
  explicit Schemas(const Json& document) : document_(document) {}

  // Why the value does not fit; empty if it does.
  std::string fault(const Json& schema, const Json& value, const std::string& at = "") const {
    if (const auto reference = schema.find("$ref"); reference != schema.end())
      return fault(resolve(*reference), value, at);
    for (const auto& [word, wanted] : schema.items()) {
      std::string wrong;
      if (word == "type") {
        bool fits = false;
        for (const auto& type : wanted.is_array() ? wanted : Json::array({wanted}))
          fits = fits || is(type, value);
        if (!fits) wrong = "is not of type " + wanted.dump();
      } else if (word == "const") {
        if (value != wanted) wrong = "is not " + wanted.dump();
      } else if (word == "enum") {
        if (std::find(wanted.begin(), wanted.end(), value) == wanted.end())
          wrong = "is none of " + wanted.dump();
      } else if (word == "required") {
        for (const auto& name : wanted) {
          if (value.is_object() && !value.contains(name)) wrong = "lacks " + name.dump();
        }
      } else if (word == "properties") {
        for (const auto& [name, inner] : wanted.items()) {
          if (wrong.empty() && value.is_object() && value.contains(name)) {
            if (auto inside = fault(inner, value[name], at + "/" + name); !inside.empty()) return inside;
          }
        }
      } else if (word == "additionalProperties") {
        if (!value.is_object()) continue;
        for (const auto& [name, inner] : value.items()) {
          if (schema.contains("properties") && schema["properties"].contains(name)) continue;
          if (wanted == false) wrong = "must not have " + name;
          if (wanted.is_object()) {
            if (auto inside = fault(wanted, inner, at + "/" + name); !inside.empty()) return inside;
          }
        }
      } else if (word == "items") {
        for (std::size_t i = 0; value.is_array() && i < value.size(); ++i) {
          if (auto inside = fault(wanted, value[i], at + "/" + std::to_string(i)); !inside.empty())
            return inside;
        }
      } else if (word == "oneOf") {
        std::size_t fitting = 0;
        std::string last;
        for (const auto& choice : wanted) {
          const auto inside = fault(choice, value, at);
          fitting += inside.empty() ? 1 : 0;
          if (!inside.empty()) last = inside;
        }
        if (fitting != 1) wrong = "fits " + std::to_string(fitting) + " of the choices; " + last;
      } else if (word == "minimum" || word == "maximum" || word == "exclusiveMinimum" ||
                 word == "exclusiveMaximum") {
        if (!value.is_number()) continue;
        const double number = value.get<double>(), limit = wanted.get<double>();
        const bool fits = word == "minimum"            ? number >= limit
                          : word == "maximum"          ? number <= limit
                          : word == "exclusiveMinimum" ? number > limit
                                                       : number < limit;
        if (!fits) wrong = "is beyond " + word;
      } else if (word == "minItems" || word == "maxItems") {
        if (value.is_array() && (word == "minItems") == (value.size() < wanted.get<std::size_t>()) &&
            value.size() != wanted.get<std::size_t>())
          wrong = "has too many or too few";
      } else if (word == "minProperties" || word == "maxProperties") {
        if (value.is_object() && (word == "minProperties" ? value.size() < wanted.get<std::size_t>()
                                                          : value.size() > wanted.get<std::size_t>()))
          wrong = "has too many or too few members";
      } else if (word == "minLength") {
        if (value.is_string() && value.get<std::string>().size() < wanted.get<std::size_t>())
          wrong = "is too short";
      } else if (word == "maxLength") {
        if (value.is_string() && value.get<std::string>().size() > wanted.get<std::size_t>())
          wrong = "is too long";
      } else if (word == "pattern") {
        if (value.is_string() &&
            !std::regex_search(value.get<std::string>(), std::regex(wanted.get<std::string>())))
          wrong = "does not fit the pattern " + wanted.dump();
      } else if (word != "description" && word != "format" && word != "contentMediaType" &&
                 word != "contentEncoding" && word != "examples" && word != "title" && word != "default") {
        wrong = "has a schema with the word '" + word + "', which this test does not know";
      }
      if (!wrong.empty()) return (at.empty() ? "/" : at) + " " + wrong;
    }
    return "";
  }

  const Json& resolve(const std::string& reference) const {
    EXPECT_TRUE(reference.starts_with("#/")) << reference;
    const Json::json_pointer pointer(reference.substr(1));
    EXPECT_TRUE(document_.contains(pointer)) << reference;
    static const Json nothing;
    return document_.contains(pointer) ? document_.at(pointer) : nothing;
  }
  const Json& resolved(const Json& object) const {
    return object.contains("$ref") ? resolve(object["$ref"]) : object;
  }

 private:
  static bool is(const std::string& type, const Json& value) {
    if (type == "object") return value.is_object();
    if (type == "array") return value.is_array();
    if (type == "string") return value.is_string();
    if (type == "boolean") return value.is_boolean();
    if (type == "null") return value.is_null();
    if (type == "integer")
      return value.is_number_integer() ||
             (value.is_number() && value.get<double>() == std::floor(value.get<double>()));
    return type == "number" && value.is_number();
  }

  const Json& document_;
};

class OpenapiTest : public ServiceTest {
 protected:
  void SetUp() override {
    ServiceTest::SetUp();
    document = Json::parse(internal::openapi_document());
    const auto read = read_file(NIDUS_SOURCE_DIR "/share/sample/sample.pcap");
    ASSERT_TRUE(read);
    capture = read->substr(0, 100'000);
  }

  // A service that keeps things and reads uploads, with a version, an alert, a key and a job to ask about.
  void start_whole() {
    settings.store.file = (folder / "nidus.db").string();
    settings.uploads.folder = (folder / "kept").string();
    std::filesystem::create_directory(folder / "kept");
    settings.uploads.program = NIDUS_SERVE_PROGRAM;
    settings.auth.required = "never";  // keys are made here, and nobody shows them
    start_all();
    load_another_version();
    ASSERT_EQ(post("/detect/ml", capture, "application/octet-stream").status, 200);
    alert = json(get("/api/v1/alerts"))["alerts"][0]["id"].dump();
  }

  // What {id} is in a path of this kind: something that is there, and new if it will be gone.
  std::string id_for(const std::string& path) {
    if (path.find("/alerts/") != std::string::npos) return alert;
    if (path.find("/keys/") != std::string::npos) {
      return json(post("/api/v1/keys", R"({"name":"one","scopes":"predict"})"), 201)["record"]["id"];
    }
    const std::string job = json(post("/api/v1/jobs", capture, "application/octet-stream"), 202)["id"];
    for (int i = 0; i < 1200 && json(get("/api/v1/jobs/" + job))["state"] != "done"; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return job;
  }

  // A good body of a type that has no text: a capture, or a detector. Nothing if there is none for the type.
  std::optional<std::string> binary_body(const std::string& path, std::string& type) {
    std::string content = capture;
    if (path == "/api/v1/detectors") {
      const std::string archive = folder / "pair.tar";
      const std::string command = "tar -C '" + folder.path().string() + "' -c" +
                                  (type == "application/gzip" ? "z" : "") + "f '" + archive + "' pair";
      EXPECT_EQ(std::system(command.c_str()), 0);
      const auto read = read_file(type == "multipart/form-data" || type == "application/octet-stream"
                                      ? NIDUS_SOURCE_DIR "/tests/interop/lightgbm/4.7.0-binary/model.txt"
                                      : archive);
      EXPECT_TRUE(read);
      content = *read;
    }
    if (type != "multipart/form-data") return content;
    type += "; boundary=b";
    return "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"model.txt\"\r\n\r\n" + content +
           "\r\n--b--\r\n";
  }

  // Parameters that an operation must have.
  static std::string query_for(const std::string& what) {
    return what == "POST /api/v1/detectors" ? "?name=lab&features=a,b,c,d,e" : "";
  }

  // Another version of the detector `pair`, loaded but not active: activated, and rolled back from.
  void load_another_version() {
    first = json(get("/api/v1/detectors/pair"))["version"];
    save_ensemble(folder / "pair", 0.25f);
    ASSERT_EQ(post("/api/v1/detectors/pair/reload", "").status, 200);
    ASSERT_EQ(post("/api/v1/detectors/pair/rollback", "").status, 200);
    const Json detector = json(get("/api/v1/detectors/pair"));
    for (const auto& version : detector["versions"]) {
      if (version["version"] != first) other = version["version"];
    }
    ASSERT_FALSE(other.empty());
  }

  // What a path needs: {name} is the detector with the columns of the examples.
  std::string filled(std::string text) const {
    for (const auto& [name, value] : {std::pair<std::string, std::string>{"{name}", "pair"},
                                      {"{model}", "pair"},
                                      {"{version}", first},
                                      {"{other}", other},
                                      {"{id}", id}}) {
      for (auto at = text.find(name); at != std::string::npos; at = text.find(name))
        text.replace(at, name.size(), value);
    }
    return text;
  }

  void expect_described(const Json& operation, const http::TestAnswer& answer, const std::string& what) {
    const Schemas schemas(document);
    const auto& responses = operation["responses"];
    const std::string status = std::to_string(answer.status);
    ASSERT_TRUE(responses.contains(status)) << what << " answers " << status << ": " << answer.body;
    const Json& response = schemas.resolved(responses[status]);
    if (!response.contains("content")) {
      EXPECT_EQ(answer.body, "") << what;
      return;
    }
    std::string type = answer.headers.at("content-type");
    type = type.substr(0, type.find(';'));
    ASSERT_TRUE(response["content"].contains(type)) << what << " " << status << " " << type;
    if (type.find("json") == std::string::npos || type.find("ndjson") != std::string::npos) return;
    const Json body = Json::parse(answer.body, nullptr, false);
    ASSERT_FALSE(body.is_discarded()) << what << ": " << answer.body;
    EXPECT_EQ(schemas.fault(response["content"][type]["schema"], body), "") << what << ": " << answer.body;
  }

  static std::string upper(std::string text) {
    for (char& c : text) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
    return text;
  }

  Json document;
  std::string capture;  // the beginning of one
  std::string first, other, alert, id;
};

TEST_F(OpenapiTest, IsServedAndItsReferencesLeadSomewhere) {
  start_all();
  EXPECT_EQ(json(get("/openapi.json")), document);
  EXPECT_EQ(document["openapi"], "3.1.0");
  const Schemas schemas(document);
  const std::string text = document.dump();
  const std::regex reference("\"\\$ref\":\"([^\"]+)\"");
  for (auto at = std::sregex_iterator(text.begin(), text.end(), reference); at != std::sregex_iterator();
       ++at)
    EXPECT_FALSE(schemas.resolve((*at)[1]).is_null()) << (*at)[1];
}

TEST_F(OpenapiTest, DescribesEveryRouteAndNothingElse) {
  auto log = Log::open({.file = folder / "log"});
  Application app(settings, std::move(*log));
  std::set<std::string> served, described;
  for (auto* area :
       {routes_of_service, routes_of_ensemble, routes_of_anomalies, routes_of_records, routes_of_detectors,
        routes_of_drift, routes_of_captures, routes_of_jobs, routes_of_uploads, routes_of_predict,
        routes_of_inference, routes_of_alerts, routes_of_keys}) {
    for (const auto& route : area(app))
      served.insert(std::string(http::name_of(route.method)) + " " + route.pattern);
  }
  for (const auto& [path, methods] : document["paths"].items()) {
    for (const auto& [method, operation] : methods.items()) described.insert(upper(method) + " " + path);
  }
  EXPECT_EQ(served, described);
}

TEST_F(OpenapiTest, WhatItShowsByExampleIsAnsweredAsItSays) {
  start_whole();
  std::size_t sent = 0;
  for (const auto& [path, methods] : document["paths"].items()) {
    for (const auto& [method, operation] : methods.items()) {
      const std::string what = upper(method) + " " + path;
      const auto fits = [&](const http::TestAnswer& answer, const std::string& how) {
        EXPECT_TRUE(answer.status >= 200 && answer.status < 300) << what << how << ": " << answer.body;
        expect_described(operation, answer, what + how);
        ++sent;
      };
      if (path.find("{id}") != std::string::npos) id = id_for(path);
      if (!operation.contains("requestBody")) {
        // Rolling back needs a version to go back to.
        if (path.ends_with("/rollback")) {
          ASSERT_EQ(post("/api/v1/detectors/pair/activate", "{\"version\":\"" + other + "\"}").status, 200);
        }
        // What the settings list cannot be removed; what an upload above made can.
        if (what == "DELETE /api/v1/detectors/{name}") {
          const auto listed = ask("DELETE", filled(path));
          problem(listed, 409);
          expect_described(operation, listed, what);
          fits(ask("DELETE", "/api/v1/detectors/lab"), "");
          continue;
        }
        fits(ask(upper(method), filled(path)), "");
        continue;
      }
      for (const auto& [named_type, media] : operation["requestBody"]["content"].items()) {
        const Json examples = media.value("examples", Json::object());
        std::string type = named_type;
        // Other areas show each kind of body where it differs; captures are no text.
        if (examples.empty() && operation["tags"][0] != "captures") continue;
        if (examples.empty()) {
          const bool is_text = type.find("json") != std::string::npos || type.starts_with("text/");
          EXPECT_FALSE(is_text) << what << " shows no example of " << type;
          if (is_text) continue;
          const auto body = binary_body(path, type);
          if (body) fits(ask(upper(method), filled(path) + query_for(what), *body, type), " " + named_type);
          continue;
        }
        for (const auto& [name, example] : examples.items()) {
          const Json& value = example["value"];
          if (type == "application/json") {
            EXPECT_EQ(Schemas(document).fault(media["schema"], value), "") << what << " " << name;
          }
          fits(ask(upper(method), filled(path),
                   filled(value.is_string() ? value.get<std::string>() : value.dump()), type),
               " " + name);
          if (path.ends_with("/activate")) {
            ASSERT_EQ(post("/api/v1/detectors/pair/rollback", "").status, 200);
          }
          if (path.ends_with("/canary") || path.ends_with("/shadow")) {
            ASSERT_EQ(ask("DELETE", filled(path)).status, 200);
          }
        }
      }
    }
  }
  EXPECT_GT(sent, 90u);
}

TEST_F(OpenapiTest, WhatItForbidsIsRefused) {
  start_whole();
  std::size_t refused = 0;
  for (const auto& [path, methods] : document["paths"].items()) {
    id = path.find("/alerts/") != std::string::npos ? alert : "none";
    // A method that it does not name.
    if (!methods.contains("patch")) {
      problem(ask("PATCH", filled(path), "{}"), 405);
      ++refused;
    }
    for (const auto& [method, operation] : methods.items()) {
      if (!operation.contains("requestBody")) continue;
      const std::string what = upper(method) + " " + path;
      const auto& content = operation["requestBody"]["content"];
      const auto refuse = [&](const std::string& body, const std::string& type, const std::string& why) {
        const auto answer = ask(upper(method), filled(path), body, type);
        EXPECT_GE(answer.status, 400) << what << " takes " << why << ": " << body << " → " << answer.body;
        EXPECT_LT(answer.status, 500) << what << " " << why << ": " << answer.body;
        problem(answer, answer.status);
        expect_described(operation, answer, what + " " + why);
        ++refused;
      };
      refuse("x", "text/plain", "a content type that is not named");
      if (!content.contains("application/json")) continue;
      const std::string json_type = "application/json";
      for (const char* body : {"{", "[1", "\"", "{\"a\":}", "nul", "{} {}"})
        refuse(body, json_type, "no JSON");
      for (const char* body : {"[]", "1", "\"a\"", "null", "true"}) refuse(body, json_type, "no object");
      const Schemas schemas(document);
      const Json& schema = schemas.resolved(content["application/json"]["schema"]);
      for (const auto& [name, example] : content["application/json"]["examples"].items()) {
        Json value = Json::parse(filled(example["value"].dump()));
        // Each member that must be there, left out; each member, with a value of another type.
        const Json all_required = schema.value("required", Json::array());
        for (const auto& required : all_required) {
          Json without = value;
          without.erase(required.get<std::string>());
          refuse(without.dump(), json_type, "a body without " + required.dump());
        }
        for (const auto& [member, content_of] : schema["properties"].items()) {
          if (!value.contains(member)) continue;
          for (const Json& wrong :
               {Json(), Json(true), Json("text"), Json(-1.5), Json::array({Json::object()})}) {
            Json changed = value;
            changed[member] = wrong;
            if (schemas.fault(schema, changed).empty()) continue;
            refuse(changed.dump(), json_type, "another type of " + member);
          }
        }
        if (schema.value("additionalProperties", Json(true)) == false) {
          Json more = value;
          more["unknown"] = 1;
          refuse(more.dump(), json_type, "a member that is not named");
        }
      }
    }
  }
  EXPECT_GT(refused, 150u);
  EXPECT_EQ(get("/health").status, 200);
}

}  // namespace
}  // namespace nidus::serve
