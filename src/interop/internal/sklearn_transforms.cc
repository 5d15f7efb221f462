#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

#include "interop/internal/sklearn_reader.h"
#include "model/columns.h"
#include "model/transform.h"

// Scalers, encoders, imputers and selections: one column or row at a time, in the arithmetic of
// sklearn/preprocessing.
namespace nidus::interop::internal {
namespace {

using model::Recoding;
using Made = Result<std::shared_ptr<const model::Transform>>;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// The artefact of a transformer of so many columns, once its transform is made.
Result<Artefact> finish(SklearnReader& reader, const PickleValue& object, std::size_t columns, Made made) {
  if (!made) return std::move(made).error().within(object.where());
  Artefact out = begin_artefact(object, Artefact::Kind::transform);
  if (out.columns.size() != columns) set_columns(out, object, columns);
  if (!reader.outline()) out.transform = std::move(*made);
  return out;
}

// A member that may be None, which stands for so many times `otherwise`.
Result<std::vector<double>> numbers_or(const PickleValue& object, const char* member, std::size_t count,
                                       double otherwise) {
  const PickleValue value = object.find(member);
  if (!value || value.is_none()) return std::vector<double>(count, otherwise);
  return numbers_of(object, member, count);
}

// x becomes (x - shift) / factor.
Result<Artefact> read_shift_and_divide(SklearnReader& reader, const PickleValue& object, const char* shift,
                                       const char* factor) {
  std::size_t count = features_of(object);
  for (const char* const member : {shift, factor}) {
    const PickleValue value = member == nullptr ? PickleValue() : object.find(member);
    if (count == 0 && value && !value.is_none()) {
      const auto numbers = numbers_of(value);
      if (!numbers) return Error(numbers.error());
      count = numbers->size();
    }
  }
  if (count == 0) return corrupt_at(object, object.describe() + " that was not fitted");
  model::Affine affine;
  if (shift == nullptr) {
    affine.shift.assign(count, 0.0);
  } else {
    auto shifts = numbers_or(object, shift, count, 0);
    if (!shifts) return std::move(shifts).error();
    affine.shift = std::move(*shifts);
  }
  auto factors = numbers_or(object, factor, count, 1);
  if (!factors) return std::move(factors).error();
  affine.factor = std::move(*factors);
  return finish(reader, object, count, model::make_affine(std::move(affine)));
}

Result<Artefact> read_standard_scaler(SklearnReader& reader, const PickleValue& object) {
  // mean_ is there even where it is not taken away.
  const bool centred = object.find("with_mean").boolean().value_or(true);
  const bool scaled = object.find("with_std").boolean().value_or(true);
  if (!centred && !scaled) return read_shift_and_divide(reader, object, nullptr, "scale_");
  return read_shift_and_divide(reader, object, centred ? "mean_" : nullptr, "scale_");
}

Result<Artefact> read_robust_scaler(SklearnReader& reader, const PickleValue& object) {
  return read_shift_and_divide(reader, object, "center_", "scale_");
}

Result<Artefact> read_max_abs_scaler(SklearnReader& reader, const PickleValue& object) {
  if (object.find("clip").boolean().value_or(false))
    return unsupported_at(object, "a MaxAbsScaler that clips");
  return read_shift_and_divide(reader, object, nullptr, "scale_");
}

Result<Artefact> read_min_max_scaler(SklearnReader& reader, const PickleValue& object) {
  auto factor = numbers_of(object, "scale_", 0);
  if (!factor) return std::move(factor).error();
  auto shift = numbers_of(object, "min_", factor->size());
  if (!shift) return std::move(shift).error();
  model::Affine affine;
  affine.form = model::Affine::Form::multiply_then_shift;
  affine.factor = std::move(*factor);
  affine.shift = std::move(*shift);
  const std::size_t count = affine.factor.size();
  if (object.find("clip").boolean().value_or(false)) {
    const auto range = numbers_of(object, "feature_range", 2);
    if (!range) return Error(range.error());
    affine.low.assign(count, (*range)[0]);
    affine.high.assign(count, (*range)[1]);
  }
  return finish(reader, object, count, model::make_affine(std::move(affine)));
}

Result<Artefact> read_normalizer(SklearnReader& reader, const PickleValue& object) {
  const auto norm = object.find("norm").text().value_or("");
  const std::size_t count = features_of(object);
  if (count == 0) return corrupt_at(object, object.describe() + " that does not tell its number of features");
  if (norm != "l1" && norm != "l2" && norm != "max")
    return unsupported_at(object, "a Normalizer of another norm");
  const auto which = norm == "l1"   ? model::RowNorm::l1
                     : norm == "l2" ? model::RowNorm::l2
                                    : model::RowNorm::max;
  // From 1.0 on a norm that is 0 within rounding counts as 0.
  const double least = since(object, 1, 0) ? 10 * std::numeric_limits<double>::epsilon() : 0;
  return finish(reader, object, count, model::make_unit_rows(count, which, least));
}

Result<Artefact> read_power_transformer(SklearnReader& reader, const PickleValue& object) {
  auto lambdas = numbers_of(object, "lambdas_", 0);
  if (!lambdas) return std::move(lambdas).error();
  const std::size_t count = lambdas->size();
  const auto method = object.find("method").text().value_or("");
  if (method != "yeo-johnson" && method != "box-cox")
    return unsupported_at(object, "powers of another method");
  model::Power power;
  power.box_cox = method == "box-cox";
  power.lambdas = std::move(*lambdas);
  auto made = model::make_power(std::move(power));
  const PickleValue scaler = object.find("_scaler");
  if (made && object.find("standardize").boolean().value_or(true) && class_of(scaler) == "StandardScaler") {
    auto after = read_standard_scaler(reader, scaler);
    if (!after) return after;
    if (!reader.outline()) made = model::chain({*made, after->transform});
  }
  return finish(reader, object, count, std::move(made));
}

Result<Artefact> read_quantile_transformer(SklearnReader& reader, const PickleValue& object) {
  auto shares = numbers_of(object, "references_", 0);
  if (!shares) return std::move(shares).error();
  const auto quantiles = numbers_of(object, "quantiles_", 0);
  if (!quantiles) return Error(quantiles.error());
  const std::size_t each = shares->size();
  if (each == 0 || quantiles->size() % each != 0)
    return corrupt_at(object, "quantiles_ that do not fit references_");
  model::Quantiles parts;
  parts.columns = quantiles->size() / each;
  parts.shares = std::move(*shares);
  parts.normal = object.find("output_distribution").text() == "normal";
  parts.quantiles.resize(quantiles->size());
  for (std::size_t i = 0; i < quantiles->size(); ++i) {
    parts.quantiles[i % parts.columns * each + i / parts.columns] = (*quantiles)[i];
  }
  const std::size_t columns = parts.columns;
  return finish(reader, object, columns, model::make_quantiles(std::move(parts)));
}

Result<Artefact> read_pca(SklearnReader& reader, const PickleValue& object) {
  auto mean = numbers_of(object, "mean_", 0);
  if (!mean) return std::move(mean).error();
  auto matrix = numbers_of(object, "components_", 0);
  if (!matrix) return std::move(matrix).error();
  model::Linear linear;
  const std::size_t count = mean->size();
  linear.mean = std::move(*mean);
  linear.matrix = std::move(*matrix);
  if (object.find("whiten").boolean().value_or(false)) {
    auto variance = numbers_of(object, "explained_variance_", count == 0 ? 0 : linear.matrix.size() / count);
    if (!variance) return std::move(variance).error();
    for (double& value : *variance) {
      value = std::max(std::sqrt(value), since(object, 1, 5) ? std::numeric_limits<double>::epsilon() : 0.0);
    }
    linear.scale = std::move(*variance);
  }
  return finish(reader, object, count, model::make_linear(std::move(linear)));
}

// --- what chooses columns

Result<Artefact> finish_selection(SklearnReader& reader, const PickleValue& object,
                                  const std::vector<bool>& kept) {
  std::vector<Recoding> columns;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (kept[i]) columns.push_back(Recoding::copy(static_cast<std::uint32_t>(i)));
  }
  return finish(reader, object, kept.size(), model::make_recodings(kept.size(), std::move(columns)));
}

Result<Artefact> read_variance_threshold(SklearnReader& reader, const PickleValue& object) {
  const auto variances = numbers_of(object, "variances_", 0);
  const auto threshold = object.find("threshold").number();
  if (!variances) return Error(variances.error());
  if (!threshold) return corrupt_at(object, "a VarianceThreshold without a threshold");
  std::vector<bool> kept;
  for (const double variance : *variances) kept.push_back(variance > *threshold);
  return finish_selection(reader, object, kept);
}

Result<Artefact> read_select_k_best(SklearnReader& reader, const PickleValue& object) {
  auto scores = numbers_of(object, "scores_", 0);
  if (!scores) return std::move(scores).error();
  const PickleValue k = object.find("k");
  std::vector<bool> kept(scores->size(), true);
  if (k.text() != "all") {
    const auto wanted = k.integer();
    if (!wanted || *wanted < 0) return corrupt_at(object, "a SelectKBest of " + k.describe());
    for (double& score : *scores) score = std::isnan(score) ? -std::numeric_limits<double>::max() : score;
    std::vector<std::size_t> order(scores->size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return (*scores)[a] < (*scores)[b]; });
    const std::size_t left_out = order.size() - std::min(order.size(), static_cast<std::size_t>(*wanted));
    for (std::size_t i = 0; i < left_out; ++i) kept[order[i]] = false;
  }
  return finish_selection(reader, object, kept);
}

Result<Artefact> read_function_transformer(SklearnReader& reader, const PickleValue& object) {
  if (!object.find("func").is_none()) {
    return unsupported_at(object, "a FunctionTransformer of " + object.find("func").describe());
  }
  const std::size_t count = features_of(object);
  if (count == 0)
    return unsupported_at(object, "a FunctionTransformer that does not tell its number of features");
  return finish_selection(reader, object, std::vector<bool>(count, true));
}

Result<Artefact> read_simple_imputer(SklearnReader& reader, const PickleValue& object) {
  const auto fill = numbers_of(object, "statistics_", 0);
  if (!fill)
    return Error{Errc::unsupported,
                 fill.error().message + " (of a SimpleImputer: only numbers are filled in)"};
  if (object.find("add_indicator").boolean().value_or(false)) {
    return unsupported_at(object, "a SimpleImputer that adds indicators");
  }
  const auto missing = object.find("missing_values").number();
  if (!missing) return unsupported_at(object, "a SimpleImputer of missing values other than numbers");
  const bool keep_empty = object.find("keep_empty_features").boolean().value_or(false);
  const bool constant = object.find("strategy").text() == "constant";
  std::vector<Recoding> columns;
  for (std::size_t i = 0; i < fill->size(); ++i) {
    const double value = (*fill)[i];
    // A column that was always missing is left out.
    if (std::isnan(value) && !keep_empty && !constant) continue;
    Recoding column = Recoding::copy(static_cast<std::uint32_t>(i));
    if (std::isnan(*missing)) {
      column.keep_missing = false;
      column.missing = value;
    } else {
      column.from = {*missing};
      column.to = {value};
    }
    columns.push_back(std::move(column));
  }
  return finish(reader, object, fill->size(), model::make_recodings(fill->size(), std::move(columns)));
}

// --- encoders

// The categories of one column: numbers, or texts, which a row has as their places in a vocabulary.
struct Categories {
  std::vector<double> numbers;  // as a row has them, NaN where a category is "missing"
  std::vector<std::string> vocabulary;
};

Result<std::vector<Categories>> categories_of(const PickleValue& object) {
  const auto columns = parts_of(object, "categories_");
  if (!columns) return Error(columns.error());
  std::vector<Categories> out;
  for (const PickleValue& column : *columns) {
    Categories one;
    if (auto numbers = numbers_of(column)) {
      one.numbers = std::move(*numbers);
    } else {
      auto texts = texts_of(column);
      if (!texts)
        return unsupported_at(object,
                              object.describe() + " of categories that are neither texts nor numbers");
      one.vocabulary = std::move(*texts);
      for (std::size_t i = 0; i < one.vocabulary.size(); ++i) one.numbers.push_back(static_cast<double>(i));
    }
    out.push_back(std::move(one));
  }
  return out;
}

void name_categories(Artefact& artefact, const std::vector<Categories>& categories) {
  for (std::size_t i = 0; i < categories.size(); ++i) {
    if (categories[i].vocabulary.empty()) continue;
    artefact.columns[i].kind = model::Column::Kind::categorical;
    artefact.columns[i].vocabulary = categories[i].vocabulary;
  }
}

// Sorted by the number, as a Recoding wants it; categories usually are.
void set_codes(Recoding& column, std::vector<std::pair<double, double>> codes) {
  std::sort(codes.begin(), codes.end());
  for (const auto& [from, to] : codes) {
    column.from.push_back(from);
    column.to.push_back(to);
  }
}

Result<Artefact> read_ordinal_encoder(SklearnReader& reader, const PickleValue& object) {
  const auto categories = categories_of(object);
  if (!categories) return Error(categories.error());
  if (const PickleValue rare = object.find("_infrequent_enabled"); rare.boolean().value_or(false)) {
    return unsupported_at(object, "an OrdinalEncoder that puts rare categories together");
  }
  const auto unknown = object.find("unknown_value").number();
  const auto missing = object.find("encoded_missing_value").number();
  std::vector<Recoding> columns;
  for (std::size_t i = 0; i < categories->size(); ++i) {
    Recoding column;
    column.input = static_cast<std::uint32_t>(i);
    column.keep_missing = column.keep_other = false;
    // What the encoder would refuse is missing to us.
    column.other = column.missing = unknown.value_or(kNan);
    std::vector<std::pair<double, double>> codes;
    const auto& numbers = (*categories)[i].numbers;
    for (std::size_t k = 0; k < numbers.size(); ++k) {
      if (std::isnan(numbers[k])) {
        column.missing = missing.value_or(kNan);
      } else {
        codes.emplace_back(numbers[k], static_cast<double>(k));
      }
    }
    set_codes(column, std::move(codes));
    columns.push_back(std::move(column));
  }
  auto out = finish(reader, object, categories->size(),
                    model::make_recodings(categories->size(), std::move(columns)));
  if (out) name_categories(*out, *categories);
  return out;
}

Result<Artefact> read_one_hot_encoder(SklearnReader& reader, const PickleValue& object) {
  const auto categories = categories_of(object);
  if (!categories) return Error(categories.error());
  if (object.find("_infrequent_enabled").boolean().value_or(false)) {
    return unsupported_at(object, "a OneHotEncoder that puts rare categories together");
  }
  const auto dropped = object.find("drop_idx_").array();
  std::vector<Recoding> columns;
  for (std::size_t i = 0; i < categories->size(); ++i) {
    const auto& numbers = (*categories)[i].numbers;
    std::optional<std::int64_t> drop;
    if (dropped && i < dropped->size()) {
      const auto all = dropped->numbers();
      drop = all ? std::optional(all->integer(i)) : dropped->item(i).integer();
    }
    for (std::size_t k = 0; k < numbers.size(); ++k) {
      if (drop && *drop == static_cast<std::int64_t>(k)) continue;
      Recoding column;
      column.input = static_cast<std::uint32_t>(i);
      column.keep_missing = column.keep_other = false;
      if (std::isnan(numbers[k])) {
        column.missing = 1;
      } else {
        column.from = {numbers[k]};
        column.to = {1};
      }
      columns.push_back(std::move(column));
    }
    if (columns.size() > model::Transform::kOutputsMax) break;
  }
  auto out = finish(reader, object, categories->size(),
                    model::make_recodings(categories->size(), std::move(columns)));
  if (out) name_categories(*out, *categories);
  return out;
}

// Of labels, not of rows: their names in order.
Result<Artefact> read_label_encoder(SklearnReader&, const PickleValue& object) {
  Artefact out = begin_artefact(object, Artefact::Kind::texts);
  auto labels = texts_of(object.find("classes_"));
  if (!labels) return std::move(labels).error();
  out.texts = std::move(*labels);
  return out;
}

constexpr SklearnClass kTransformsClasses[] = {
    {"StandardScaler", read_standard_scaler},
    {"RobustScaler", read_robust_scaler},
    {"MaxAbsScaler", read_max_abs_scaler},
    {"MinMaxScaler", read_min_max_scaler},
    {"Normalizer", read_normalizer},
    {"PowerTransformer", read_power_transformer},
    {"QuantileTransformer", read_quantile_transformer},
    {"PCA", read_pca},
    {"VarianceThreshold", read_variance_threshold},
    {"SelectKBest", read_select_k_best},
    {"FunctionTransformer", read_function_transformer},
    {"SimpleImputer", read_simple_imputer},
    {"OrdinalEncoder", read_ordinal_encoder},
    {"OneHotEncoder", read_one_hot_encoder},
    {"LabelEncoder", read_label_encoder},
    {"LabelBinarizer", read_label_encoder},
};

}  // namespace

SklearnFunction transformer(std::string_view name) {
  for (const auto& known : kTransformsClasses) {
    if (known.name == name) return known.read;
  }
  return nullptr;
}

}  // namespace nidus::interop::internal
