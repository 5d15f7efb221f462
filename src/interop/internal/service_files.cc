#include "interop/internal/service_files.h"

#include <cmath>
#include <string_view>

#include "base/json_writer.h"
#include "base/text.h"
#include "interop/internal/json.h"

namespace nidus::interop::internal {
namespace {

constexpr std::size_t kWeightsMax = 64;

bool has_word(std::string_view where, std::string_view word) {
  return to_lower(where).find(word) != std::string::npos;
}

// The numbers of a model as one JSON object.
std::string figures_json(const JsonValue& model) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  for (const auto& [key, value] : model.members()) {
    if (const auto number = value.number(); number && std::isfinite(*number)) json.field(key, *number);
  }
  json.end_object();
  return out;
}

}  // namespace

Result<bool> ServiceFiles::read(const std::string& name, std::span<const std::byte> bytes) {
  const auto document = JsonDocument::read_text(bytes);
  if (!document) return false;  // the reader of models says what is wrong with it
  const JsonValue root = document->root();
  if (root.is_array()) {
    const auto texts = root.texts();
    if (!texts || texts->empty() || !(has_word(name, "feature") || has_word(name, "column"))) return false;
    features = *texts;
    features_where = name;
    return true;
  }
  if (!root.is_object() || root.find("learner")) return false;

  const auto config = root.find("deployment_config"), models = root.find("models");
  const auto line = root.find("threshold");
  if (!(config && config->is_object()) && !(models && models->is_object()) && !(line && line->number()))
    return false;
  if (config || models) where = name;
  if (const auto text = root.find("version"); text && text->is_text()) version = *text->text();
  if (const auto text = root.find("dataset"); text && text->is_text()) dataset = *text->text();
  for (const auto& value : {line, root.find("deployment_config", "decision_threshold")}) {
    if (!value) continue;
    const auto number = value->number();
    if (!number || !std::isfinite(*number)) return Error{Errc::corrupt, "its threshold is no finite number"};
    threshold = number;
    threshold_where = name;
  }
  for (const char* const key : {"feature_columns", "feature_names", "features"}) {
    const auto list = root.find(key);
    const auto texts = list ? list->texts() : std::nullopt;
    if (!texts || texts->empty()) continue;
    features = *texts;
    features_where = name;
    break;
  }
  if (const auto list = root.find("deployment_config", "ensemble_weights")) {
    for (const auto& [key, value] : list->members()) {
      const auto weight = value.number();
      if (!weight || !std::isfinite(*weight) || *weight < 0)
        return Error{Errc::corrupt, "ensemble_weights: that of '" + key + "' is no weight"};
      if (weights.size() == kWeightsMax) return Error{Errc::exhausted, "ensemble_weights: too many"};
      weights.emplace_back(key, *weight);
    }
  }
  if (models) {
    for (const auto& [key, model] : models->members()) {
      if (const auto file = model.find("file"); file && file->is_text()) files[key] = *file->text();
      figures[key + ", as its makers say"] = figures_json(model);
    }
  }
  return true;
}

}  // namespace nidus::interop::internal
