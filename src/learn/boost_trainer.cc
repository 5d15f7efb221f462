#include "learn/boost_trainer.h"

#include <xgboost/c_api.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include "base/number.h"
#include "base/parallel.h"
#include "base/text.h"
#include "learn/internal/xgboost_json.h"

namespace nidus::learn {
namespace {

Error xgboost_error() {
  // The message comes with a C++ stack trace behind its first line.
  const std::string_view message = XGBGetLastError();
  std::string_view line = message.substr(0, message.find("\nStack trace"));
  return {Errc::unsupported, "libxgboost: " + std::string(trim(line))};
}

struct MatrixCloser {
  void operator()(void* handle) const { XGDMatrixFree(handle); }
};
struct BoosterCloser {
  void operator()(void* handle) const { XGBoosterFree(handle); }
};
using Matrix = std::unique_ptr<void, MatrixCloser>;
using Booster = std::unique_ptr<void, BoosterCloser>;

// Far beyond any feature, and small enough that libxgboost's own arithmetic on it stays finite.
constexpr float kLarge = 1e37f;

Result<Matrix> make_matrix(const Dataset& dataset, const BoostOptions& options, int threads) {
  std::vector<float> values = dataset.values;
  for (auto& value : values) value = std::clamp(value, -kLarge, kLarge);  // leaves NaN alone
  DMatrixHandle handle = nullptr;
  if (XGDMatrixCreateFromMat_omp(values.data(), dataset.rows(), dataset.inputs(),
                                 std::numeric_limits<float>::quiet_NaN(), &handle, threads) != 0) {
    return xgboost_error();
  }
  Matrix matrix(handle);
  const std::vector<float> labels(dataset.labels.begin(), dataset.labels.end());
  if (XGDMatrixSetFloatInfo(matrix.get(), "label", labels.data(), labels.size()) != 0) return xgboost_error();
  std::vector<float> weights = dataset.weights;
  if (options.balanced) {
    if (weights.empty()) weights.assign(dataset.rows(), 1.0f);
    std::vector<double> by_class(dataset.classes.size());
    double total = 0, present = 0;
    for (std::size_t i = 0; i < weights.size(); ++i)
      by_class[dataset.labels[i]] += static_cast<double>(weights[i]);
    for (const double weight : by_class) {
      total += weight;
      present += weight > 0 ? 1 : 0;
    }
    for (std::size_t i = 0; i < weights.size(); ++i) {
      weights[i] = static_cast<float>(static_cast<double>(weights[i]) * total /
                                      (present * by_class[dataset.labels[i]]));
    }
  }
  if (!weights.empty() &&
      XGDMatrixSetFloatInfo(matrix.get(), "weight", weights.data(), weights.size()) != 0) {
    return xgboost_error();
  }
  return matrix;
}

Result<void> check(const Dataset& training, const Dataset* validation, const BoostOptions& options) {
  if (training.rows() == 0) return Error{Errc::invalid, "no rows to learn from"};
  const auto counts = training.class_counts();
  if (std::count_if(counts.begin(), counts.end(), [](auto count) { return count > 0; }) < 2) {
    return Error{Errc::invalid, "the rows are all of one class: there is nothing to tell apart"};
  }
  if (training.inputs() == 0 || training.inputs() > model::Node::kFeaturesMax) {
    return Error{Errc::unsupported, std::to_string(training.inputs()) + " columns, boosted trees take 1 to " +
                                        std::to_string(model::Node::kFeaturesMax)};
  }
  for (const auto weight : training.weights) {
    if (!(weight >= 0) || !std::isfinite(weight)) {
      return Error{Errc::invalid, "the weight of a row is negative or not finite"};
    }
  }
  if (options.rounds == 0) return Error{Errc::invalid, "boosting takes at least one round"};
  if (options.max_depth == 0 || options.max_depth > 20)
    return Error{Errc::invalid, "depth lies between 1 and 20"};
  if (validation != nullptr && (validation->schema != training.schema ||
                                validation->classes != training.classes || validation->rows() == 0)) {
    return Error{Errc::invalid, "the validation rows have other columns or classes, or there are none"};
  }
  return {};
}

// "[7]\ttraining-logloss:0.123\tvalidation-logloss:0.2": the numbers in order.
std::vector<double> losses(std::string_view text) {
  std::vector<double> out;
  for (const auto part : split(text, '\t')) {
    const auto colon = part.rfind(':');
    if (colon == std::string_view::npos) continue;
    out.push_back(parse_number(part.substr(colon + 1)).value_or(std::numeric_limits<double>::quiet_NaN()));
  }
  return out;
}

}  // namespace

Result<FittedBoost> fit_boost(const Dataset& training, const Dataset* validation,
                              const BoostOptions& options) {
  if (auto good = check(training, validation, options); !good) return std::move(good).error();
  const auto threads = static_cast<int>(options.threads == 0 ? default_threads() : options.threads);
  auto train_matrix = make_matrix(training, options, threads);
  if (!train_matrix) return std::move(train_matrix).error();
  std::vector<DMatrixHandle> watched = {train_matrix->get()};
  std::vector<const char*> names = {"training"};
  Result<Matrix> validation_matrix = Matrix();
  if (validation != nullptr) {
    validation_matrix = make_matrix(*validation, options, threads);
    if (!validation_matrix) return std::move(validation_matrix).error();
    watched.push_back(validation_matrix->get());
    names.push_back("validation");
  }

  BoosterHandle handle = nullptr;
  if (XGBoosterCreate(watched.data(), watched.size(), &handle) != 0) return xgboost_error();
  const Booster booster(handle);
  const auto number = [](double value) {
    std::string text;
    append_number(text, value);
    return text;
  };
  const bool binary = training.classes.size() == 2;
  std::vector<std::pair<std::string, std::string>> parameters = {
      {"booster", "gbtree"},
      {"tree_method", "hist"},
      {"verbosity", "0"},
      {"base_score", "0.5"},
      {"objective", binary ? "binary:logistic" : "multi:softprob"},
      {"eval_metric", binary ? "logloss" : "mlogloss"},
      {"nthread", std::to_string(threads)},
      {"seed", std::to_string(options.seed % 2147483647)},
      {"max_depth", std::to_string(options.max_depth)},
      {"max_bin", std::to_string(options.bins)},
      {"eta", number(options.learning_rate)},
      {"min_child_weight", number(options.min_child_weight)},
      {"subsample", number(options.subsample)},
      {"colsample_bytree", number(options.columns_per_tree)},
      {"lambda", number(options.lambda)},
      {"gamma", number(options.gamma)},
  };
  if (binary) {
    parameters.emplace_back("scale_pos_weight", number(options.scale_positive));
  } else {
    parameters.emplace_back("num_class", std::to_string(training.classes.size()));
  }
  for (const auto& [name, value] : parameters) {
    if (XGBoosterSetParam(booster.get(), name.c_str(), value.c_str()) != 0) return xgboost_error();
  }

  std::vector<double> training_loss, validation_loss;
  std::size_t best = 0;
  for (std::size_t round = 0; round < options.rounds; ++round) {
    if (XGBoosterUpdateOneIter(booster.get(), static_cast<int>(round), watched.front()) != 0)
      return xgboost_error();
    const char* text = nullptr;
    if (XGBoosterEvalOneIter(booster.get(), static_cast<int>(round), watched.data(), names.data(),
                             watched.size(), &text) != 0) {
      return xgboost_error();
    }
    const auto values = losses(text);
    if (values.size() != watched.size()) {
      return Error{Errc::unsupported, "libxgboost: a report that cannot be read: " + std::string(text)};
    }
    training_loss.push_back(values[0]);
    if (values.size() > 1) validation_loss.push_back(values[1]);
    const auto& judged = validation != nullptr ? validation_loss : training_loss;
    if (validation == nullptr || options.early_stopping == 0 || judged.back() < judged[best]) best = round;
    if (options.progress &&
        !options.progress(static_cast<double>(round + 1) / static_cast<double>(options.rounds))) {
      return Error{Errc::exhausted, "training was stopped before it was done"};
    }
    if (round - best >= options.early_stopping && options.early_stopping > 0) break;
  }

  bst_ulong length = 0;
  const char* json = nullptr;
  if (XGBoosterSaveModelToBuffer(booster.get(), R"({"format": "json"})", &length, &json) != 0)
    return xgboost_error();
  auto converted = internal::from_xgboost_json(std::string_view(json, length), training.inputs(), best + 1);
  if (!converted) return std::move(converted).error();
  return FittedBoost{std::move(*converted), best + 1, std::move(training_loss), std::move(validation_loss)};
}

}  // namespace nidus::learn
