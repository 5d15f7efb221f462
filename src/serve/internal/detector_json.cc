#include "serve/internal/detector_json.h"

#include "base/text.h"

namespace nidus::serve::internal {
namespace {

void write_version(JsonWriter& json, const Served& served, const ServedDetector& version) {
  json.begin_object();
  json.field("version", version.version());
  json.field("manifest_version", version.manifest().version);
  json.field("state", served.active.get() == &version   ? "active"
                      : served.canary.get() == &version ? "canary"
                      : served.shadow.get() == &version ? "shadow"
                                                        : "loaded");
  json.field("loaded_at", iso8601(version.loaded_us()));
  json.field("load_seconds", version.load_seconds());
  json.field("inputs", version.inputs());
  json.field("description", version.detector().model().describe());
  json.key("notes");
  json.begin_array();
  for (const auto& note : version.notes()) json.value(note);
  json.end_array();
  json.end_object();
}

}  // namespace

void write_detector(JsonWriter& json, const Served& served, const Detectors::State& state, bool columns) {
  constexpr const char* kRoleNames[] = {"predict", "score", "records", "ml", "dl"};
  static_assert(std::size(kRoleNames) == kRoles);
  const ServedDetector& active = *served.active;
  const auto& manifest = active.manifest();
  json.begin_object();
  json.field("name", served.name);
  json.field("version", active.version());
  json.field("manifest_version", manifest.version);
  json.field("kind", detect::name(manifest.kind));
  json.field("inputs", active.inputs());
  json.key("labels");
  json.begin_array();
  for (const auto& label : manifest.labels) json.value(label);
  json.end_array();
  json.field("threshold", manifest.threshold.value);
  json.key("members");
  json.begin_array();
  for (const auto& member : active.members()) {
    json.begin_object();
    json.field("name", member.name);
    json.field("weight", member.weight);
    json.field("description", member.model->describe());
    json.end_object();
  }
  json.end_array();
  json.key("configurations");
  json.begin_array();
  for (const auto& configuration : active.configurations()) json.value(configuration.name);
  json.end_array();
  json.key("roles");
  json.begin_array();
  for (std::size_t i = 0; i < kRoles; ++i) {
    if (state.roles[i] && state.roles[i]->name == served.name) json.value(kRoleNames[i]);
  }
  json.end_array();
  json.field("explains", active.explains());
  json.key("previous");
  served.previous ? json.value(served.previous->version()) : json.null();
  json.key("canary");
  if (served.canary) {
    json.begin_object();
    json.field("version", served.canary->version());
    json.field("percent", served.canary_percent);
    json.end_object();
  } else {
    json.null();
  }
  json.key("shadow");
  if (served.shadow) {
    const auto& counts = *served.shadow_counts;
    json.begin_object();
    json.field("version", served.shadow->version());
    json.field("rows", counts.rows.value());
    json.field("raised", counts.raised.value());
    json.field("dropped", counts.dropped_alarms.value());
    json.field("other_label", counts.other_label.value());
    json.field("not_scored", counts.not_scored.value());
    json.end_object();
  } else {
    json.null();
  }
  json.key("last_error");
  served.last_error.empty() ? json.null() : json.value(served.last_error);
  if (columns) {
    json.field("path", active.path().string());
    json.field("metered_as", manifest.meter ? manifest.meter_description : std::string("tables only"));
    json.key("columns");
    json.begin_array();
    for (const auto& column : manifest.schema) {
      json.begin_object();
      json.field("name", column.name);
      json.field("kind", column.kind == model::Column::Kind::categorical ? "categorical" : "numeric");
      if (!column.unit.empty()) json.field("unit", column.unit);
      if (!column.vocabulary.empty()) {
        json.key("vocabulary");
        json.begin_array();
        for (const auto& word : column.vocabulary) json.value(word);
        json.end_array();
      }
      json.end_object();
    }
    json.end_array();
    json.key("versions");
    json.begin_array();
    for (const auto& version : served.versions) write_version(json, served, *version);
    json.end_array();
  }
  json.end_object();
}

}  // namespace nidus::serve::internal
