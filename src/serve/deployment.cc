#include "serve/deployment.h"

#include <fmt/format.h>

#include <utility>

#include "base/json_writer.h"
#include "serve/json_reader.h"

namespace nidus::serve {
namespace {

constexpr double kFormat = 1;

// Members that every version of the format has; others are passed over.
bool read_version(JsonReader& json, Deployment::Version& version) {
  std::string_view key, text;
  if (!json.enter_object()) return false;
  while (json.next_key(key)) {
    if (key == "version") {
      if (!json.read_text(text)) return false;
      version.version = text;
    } else if (key == "path") {
      if (!json.read_text(text)) return false;
      version.path = text;
    } else if (!json.skip()) {
      return false;
    }
  }
  return !json.failed();
}

bool read_detector(JsonReader& json, Deployment::Detector& detector) {
  const std::pair<std::string_view, std::string*> texts[] = {
      {"name", &detector.name},         {"on_disk", &detector.on_disk}, {"active", &detector.active},
      {"previous", &detector.previous}, {"canary", &detector.canary},   {"shadow", &detector.shadow}};
  std::string_view key, text;
  if (!json.enter_object()) return false;
  while (json.next_key(key)) {
    if (key == "versions") {
      if (!json.enter_array()) return false;
      while (json.next_element()) {
        if (!read_version(json, detector.versions.emplace_back())) return false;
      }
    } else if (key == "canary_percent") {
      if (!json.read_number(detector.canary_percent)) return false;
    } else {
      std::string* to = nullptr;
      for (const auto& [name, member] : texts) {
        if (key == name) to = member;
      }
      if (to == nullptr) {
        if (!json.skip()) return false;
      } else if (json.read_text(text)) {
        *to = text;
      }
    }
    if (json.failed()) return false;
  }
  return !json.failed();
}

}  // namespace

std::string to_json(const Deployment& deployment) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  json.field("format", 1);
  json.key("detectors");
  json.begin_array();
  for (const auto& detector : deployment.detectors) {
    json.begin_object();
    json.field("name", detector.name);
    json.field("on_disk", detector.on_disk);
    json.field("active", detector.active);
    json.field("previous", detector.previous);
    json.field("canary", detector.canary);
    json.field("canary_percent", detector.canary_percent);
    json.field("shadow", detector.shadow);
    json.key("versions");
    json.begin_array();
    for (const auto& version : detector.versions) {
      json.begin_object();
      json.field("version", version.version);
      json.field("path", version.path.string());
      json.end_object();
    }
    json.end_array();
    json.end_object();
  }
  json.end_array();
  json.end_object();
  out += '\n';
  return out;
}

Result<Deployment> parse_deployment(std::string_view text) {
  Deployment out;
  JsonReader json(text);
  std::string_view key;
  double format = 0;
  bool good = json.peek() == JsonReader::Kind::object && json.enter_object();
  while (good && json.next_key(key)) {
    if (key == "format") {
      good = json.read_number(format);
    } else if (key == "detectors") {
      good = json.enter_array();
      while (good && json.next_element()) good = read_detector(json, out.detectors.emplace_back());
    } else {
      good = json.skip();
    }
  }
  if (!good || json.failed() || !json.finish())
    return Error{Errc::corrupt, "no deployment of ours: " + json.problem()};
  if (format != kFormat) return Error{Errc::unsupported, fmt::format("a deployment of format {}", format)};
  for (const auto& detector : out.detectors) {
    if (detector.name.empty() || detector.active.empty())
      return Error{Errc::corrupt, "a detector without a name, or without an active version"};
    if (!(detector.canary_percent >= 0 && detector.canary_percent <= 100))
      return Error{Errc::corrupt, fmt::format("{}: canary_percent is none", detector.name)};
  }
  return out;
}

}  // namespace nidus::serve
