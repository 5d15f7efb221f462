#include <algorithm>
#include <string>
#include <utility>

#include "interop/internal/sklearn_reader.h"
#include "model/columns.h"
#include "model/transform.h"

// Estimators made of estimators.
namespace nidus::interop::internal {
namespace {

using model::Recoding;
using TransformPointer = std::shared_ptr<const model::Transform>;

bool is_nothing(const PickleValue& part) { return part.is_none() || part.text() == "passthrough"; }

// One after the other; in the outline only what the first takes and the last says.
Result<Artefact> read_pipeline(SklearnReader& reader, const PickleValue& object) {
  const auto steps = parts_of(object, "steps");
  if (!steps) return Error(steps.error());
  std::vector<TransformPointer> before;
  std::optional<Artefact> first, last;
  std::string parts;
  for (const PickleValue& step : *steps) {
    const PickleValue part = step[1];
    if (step.type() != PickleType::tuple && step.type() != PickleType::list) {
      return corrupt_at(object, "a step of a Pipeline that is " + step.describe());
    }
    if (is_nothing(part)) continue;
    if (last && last->kind == Artefact::Kind::model)
      return corrupt_at(object, "a Pipeline with a step behind its model");
    auto artefact = reader.read_estimator(part);
    if (!artefact) return artefact;
    if (artefact->kind != Artefact::Kind::model && artefact->kind != Artefact::Kind::transform) {
      return unsupported_at(part, part.describe() + " in a Pipeline");
    }
    const std::string_view name = part.name();
    parts += (parts.empty() ? "" : ", ") + std::string(name.substr(name.rfind('.') + 1));
    if (!first) first = *artefact;
    if (artefact->kind == Artefact::Kind::transform) before.push_back(artefact->transform);
    last = std::move(*artefact);
  }
  if (!last) return unsupported_at(object, "a Pipeline without steps");
  Artefact out = begin_artefact(object, last->kind);
  out.origin += " of " + parts;
  out.columns = first->columns;
  out.classes = last->classes;
  out.threshold = last->threshold;
  out.notes = last->notes;
  if (reader.outline()) return out;
  TransformPointer chained;
  if (!before.empty()) {
    auto made = model::chain(std::move(before));
    if (!made) return std::move(made).error().within(object.where());
    chained = std::move(*made);
  }
  if (last->kind == Artefact::Kind::transform) {
    out.transform = std::move(chained);
  } else if (chained == nullptr) {
    out.model = last->model;
  } else {
    auto made = model::TransformedModel::make(std::move(chained), last->model);
    if (!made) return std::move(made).error().within(object.where());
    out.model = std::make_shared<model::TransformedModel>(std::move(*made));
  }
  return out;
}

// --- columns of a ColumnTransformer: numbers, names, masks, slices

Result<std::vector<std::uint32_t>> chosen_columns(const PickleValue& object, PickleValue which,
                                                  const model::Schema& schema) {
  if (which.type() == PickleType::object && which.find("data")) which = which.find("data");
  std::vector<std::uint32_t> out;
  const auto count = static_cast<std::int64_t>(schema.size());
  const auto take = [&](std::int64_t i) {
    if (i < 0) i += count;
    const bool good = i >= 0 && i < count;
    if (good) out.push_back(static_cast<std::uint32_t>(i));
    return good;
  };
  const auto take_name = [&](std::string_view name) {
    const auto at =
        std::find_if(schema.begin(), schema.end(), [&](const auto& column) { return column.name == name; });
    return at != schema.end() && take(at - schema.begin());
  };
  const auto bad = [&] {
    return corrupt_at(object, "a ColumnTransformer of columns that are not there: " + which.describe());
  };
  if (which.type() == PickleType::object && which.name() == "builtins.slice") {
    const PickleValue range = which.args();
    const auto begin = range[0].integer().value_or(0), end = range[1].integer().value_or(count);
    const auto step = range[2].integer().value_or(1);
    if (step <= 0 || range[0].text() || range[1].text()) {
      return unsupported_at(object, "a ColumnTransformer of a slice by names or backwards");
    }
    const auto bounded = [&](std::int64_t i) {
      return std::clamp<std::int64_t>(i < 0 ? i + count : i, 0, count);
    };
    for (std::int64_t i = bounded(begin); i < bounded(end); i += step) take(i);
    return out;
  }
  if (const auto one = which.integer(); one && which.type() != PickleType::boolean) {
    if (!take(*one)) return bad();
    return out;
  }
  if (const auto name = which.text()) {
    if (!take_name(*name)) return bad();
    return out;
  }
  const auto array = which.array();
  const bool sequence = which.type() == PickleType::list || which.type() == PickleType::tuple;
  if (!array && !sequence) return bad();
  const std::size_t size = array ? array->size() : which.size();
  const auto all = array ? array->numbers() : std::nullopt;
  const bool mask = array ? array->dtype().kind == PickleDtype::Kind::boolean
                          : size > 0 && which[0].type() == PickleType::boolean;
  if (size > schema.size() && mask) return bad();
  for (std::size_t i = 0; i < size; ++i) {
    const PickleValue item = array ? array->item(i) : which[i];
    const auto number = all ? std::optional(all->integer(i)) : item.integer();
    const auto name = array && !all ? array->text(i)
                      : item.text() ? std::optional(std::string(*item.text()))
                                    : std::nullopt;
    bool good = true;
    if (mask) {
      if (number.value_or(0) != 0) good = take(static_cast<std::int64_t>(i));
    } else if (number) {
      good = take(*number);
    } else {
      good = name && take_name(*name);
    }
    if (!good || out.size() > 2 * schema.size()) return bad();
  }
  return out;
}

// A function that changes nothing: none, or what histogram gradient boosting puts there, which refuses what
// are no numbers.
bool only_checks(const PickleValue& function) {
  if (function.is_none()) return true;
  return function.name() == "functools.partial" &&
         function.args()[0].name() == "sklearn.utils.validation.check_array";
}

Result<Artefact> read_column_transformer(SklearnReader& reader, const PickleValue& object) {
  Artefact out = begin_artefact(object, Artefact::Kind::transform);
  const auto branches = parts_of(object, "transformers_");
  if (!branches) return Error(branches.error());
  const std::size_t count = out.columns.size();
  if (count == 0)
    return unsupported_at(object, "a ColumnTransformer that does not tell its number of features");
  std::vector<TransformPointer> parts;
  for (const PickleValue& branch : *branches) {
    const PickleValue part = branch[1];
    if (branch.type() != PickleType::tuple || branch.size() != 3) {
      return corrupt_at(object, "a ColumnTransformer of " + branch.describe());
    }
    if (part.text() == "drop") continue;
    const auto chosen = chosen_columns(object, branch[2], out.columns);
    if (!chosen) return Error(chosen.error());
    if (chosen->empty()) continue;
    std::vector<Recoding> copies;
    for (const auto column : *chosen) copies.push_back(Recoding::copy(column));
    auto selected = model::make_recodings(count, std::move(copies));
    if (!selected) return std::move(selected).error().within(object.where());
    const bool identity = class_of(part) == "FunctionTransformer" && only_checks(part.find("func"));
    if (is_nothing(part) || identity) {
      parts.push_back(std::move(*selected));
      continue;
    }
    auto inner = reader.read_estimator(part);
    if (!inner) return inner;
    if (inner->kind != Artefact::Kind::transform)
      return unsupported_at(part, part.describe() + " in a ColumnTransformer");
    for (std::size_t i = 0; i < inner->columns.size() && i < chosen->size(); ++i) {
      auto& column = out.columns[(*chosen)[i]];
      if (inner->columns[i].vocabulary.empty()) continue;
      if (!column.vocabulary.empty() && column.vocabulary != inner->columns[i].vocabulary) {
        return unsupported_at(object, "a ColumnTransformer of a column with two sets of categories");
      }
      column.kind = inner->columns[i].kind;
      column.vocabulary = inner->columns[i].vocabulary;
    }
    if (reader.outline()) continue;
    auto chained = model::chain({std::move(*selected), inner->transform});
    if (!chained) return std::move(chained).error().within(part.where());
    parts.push_back(std::move(*chained));
  }
  if (reader.outline()) return out;
  auto made = model::side_by_side(std::move(parts));
  if (!made) return std::move(made).error().within(object.where());
  out.transform = std::move(*made);
  return out;
}

Result<Artefact> read_feature_union(SklearnReader& reader, const PickleValue& object) {
  const auto branches = parts_of(object, "transformer_list");
  if (!branches) return Error(branches.error());
  if (const PickleValue weights = object.find("transformer_weights"); weights && !weights.is_none()) {
    return unsupported_at(object, "a FeatureUnion with weights");
  }
  Artefact out = begin_artefact(object, Artefact::Kind::transform);
  std::vector<TransformPointer> parts;
  for (const PickleValue& branch : *branches) {
    if (branch[1].text() == "drop") continue;
    auto inner = reader.read_estimator(branch[1]);
    if (!inner) return inner;
    if (inner->kind != Artefact::Kind::transform) {
      return unsupported_at(object, branch[1].describe() + " in a FeatureUnion");
    }
    if (parts.empty()) out.columns = inner->columns;
    parts.push_back(inner->transform);
  }
  if (reader.outline()) return out;
  auto made = model::side_by_side(std::move(parts));
  if (!made) return std::move(made).error().within(object.where());
  out.transform = std::move(*made);
  return out;
}

constexpr SklearnClass kComposedClasses[] = {
    {"Pipeline", read_pipeline},
    {"ColumnTransformer", read_column_transformer},
    {"FeatureUnion", read_feature_union},
};

}  // namespace

SklearnFunction composed_estimator(std::string_view name) {
  for (const auto& known : kComposedClasses) {
    if (known.name == name) return known.read;
  }
  return nullptr;
}

}  // namespace nidus::interop::internal
