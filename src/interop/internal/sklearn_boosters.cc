#include <cmath>
#include <string>
#include <utility>

#include "interop/internal/sklearn_reader.h"
#include "interop/lightgbm.h"
#include "interop/xgboost.h"

// The Python classes of XGBoost and LightGBM hold the model as their library writes it, and beside it what
// that does not tell: the names of the classes and the number that stands for a missing value.
namespace nidus::interop::internal {
namespace {

std::vector<std::string> labels_of(const PickleValue& wrapper, std::initializer_list<const char*> members) {
  for (const char* const member : members) {
    if (auto labels = texts_of(wrapper.find(member)); labels && labels->size() > 1) return std::move(*labels);
  }
  for (const char* const encoder : {"_le", "le_"}) {
    if (auto labels = texts_of(wrapper.find(encoder).find("classes_")); labels && labels->size() > 1) {
      return std::move(*labels);
    }
  }
  return {};
}

void complete(Artefact& artefact, const PickleValue& object) {
  const std::string_view name = object.name();
  artefact.origin += ", in " + std::string(name.substr(name.rfind('.') + 1));
  if (artefact.columns.empty()) set_columns(artefact, object, artefact.model->inputs());
  // Labels that are numbers from 0 on are not always written, only how many there are.
  const auto count = object.find("n_classes_").integer();
  if (artefact.classes.empty() &&
      count == static_cast<std::int64_t>(std::max<std::size_t>(artefact.model->outputs(), 2))) {
    for (std::int64_t i = 0; i < *count; ++i) artefact.classes.push_back(std::to_string(i));
  }
}

Result<Artefact> read_xgboost_object(SklearnReader& reader, const PickleValue& object) {
  const bool is_booster = object.name().substr(object.name().rfind('.') + 1) == "Booster";
  const PickleValue booster = is_booster ? object : object.find("_Booster");
  const auto bytes = booster.find("handle").bytes();
  if (!bytes) return corrupt_at(object, object.describe() + " without a booster: it was not fitted");
  if (auto good = reader.charge(object, bytes->size()); !good) return std::move(good).error();
  XgboostOptions options;
  if (!is_booster) {
    options.rounds = XgboostOptions::Rounds::best;
    const auto missing = object.find("missing").number();
    if (missing && !std::isnan(*missing)) options.missing = static_cast<float>(*missing);
    options.classes = labels_of(object, {"classes_", "_classes"});
  }
  auto artefact = read_xgboost(*bytes, options);
  if (!artefact && !options.classes.empty() && artefact.error().code == Errc::invalid) {
    options.classes.clear();
    artefact = read_xgboost(*bytes, options);
  }
  if (!artefact) return std::move(artefact).error().within(object.where());
  complete(*artefact, object);
  if (reader.outline()) artefact->model = nullptr;
  return artefact;
}

Result<Artefact> read_lightgbm_object(SklearnReader& reader, const PickleValue& object) {
  const bool is_booster = object.name().substr(object.name().rfind('.') + 1) == "Booster";
  const PickleValue booster = is_booster ? object : object.find("_Booster");
  auto text = booster.find("_handle").text();
  if (!text) text = booster.find("handle").text();
  if (!text) return corrupt_at(object, object.describe() + " without a booster: it was not fitted");
  if (auto good = reader.charge(object, text->size()); !good) return std::move(good).error();
  auto artefact = read_lightgbm(*text);
  if (!artefact) return std::move(artefact).error().within(object.where());
  complete(*artefact, object);
  auto labels = labels_of(object, {"_classes", "classes_"});
  const std::size_t outputs = artefact->model == nullptr ? 0 : artefact->model->outputs();
  if (labels.size() == (outputs == 1 ? 2 : outputs)) artefact->classes = std::move(labels);
  const auto best = booster.find("best_iteration").integer();
  if (best && *best > 0) {
    artefact->notes.push_back("trained with early stopping, best round " + std::to_string(*best) +
                              "; all rounds are used");
  }
  if (reader.outline()) artefact->model = nullptr;
  return artefact;
}

}  // namespace

SklearnFunction booster(std::string_view name) {
  const std::string_view last = name.substr(name.rfind('.') + 1);
  if (name.substr(0, 8) == "xgboost." &&
      (last == "Booster" || last == "XGBClassifier" || last == "XGBRFClassifier"))
    return read_xgboost_object;
  if (name.substr(0, 9) == "lightgbm." && (last == "Booster" || last == "LGBMClassifier"))
    return read_lightgbm_object;
  return nullptr;
}

}  // namespace nidus::interop::internal
