#include <string>
#include <utility>

#include "interop/internal/sklearn_reader.h"
#include "model/calibration.h"
#include "model/ensemble.h"
#include "model/kernel_machine.h"
#include "model/naive_bayes.h"

// Calibration, stacking and votes; and the two models that are neither trees nor sums: naive Bayes and
// support vector machines.
namespace nidus::interop::internal {
namespace {

using model::Calibration;
using Curve = model::Calibration::Curve;

Result<Curve> curve_of(const PickleValue& calibrator) {
  Curve out;
  const std::string_view name = class_of(calibrator);
  if (name == "_SigmoidCalibration") {
    const auto a = calibrator.find("a_").number(), b = calibrator.find("b_").number();
    if (!a || !b) return corrupt_at(calibrator, "a curve without a_ or b_");
    out.kind = Curve::Kind::sigmoid;
    out.a = *a;
    out.b = *b;
    return out;
  }
  if (name != "IsotonicRegression")
    return unsupported_at(calibrator, "a calibration by " + calibrator.describe());
  const bool newer = static_cast<bool>(calibrator.find("X_thresholds_"));
  auto x = numbers_of(calibrator, newer ? "X_thresholds_" : "_necessary_X_", 0);
  if (!x) return std::move(x).error();
  auto y = numbers_of(calibrator, newer ? "y_thresholds_" : "_necessary_y_", x->size());
  if (!y) return std::move(y).error();
  if (calibrator.find("out_of_bounds").text() != "clip") {
    return unsupported_at(calibrator, "an IsotonicRegression that does not clip");
  }
  out.kind = Curve::Kind::steps;
  out.x = std::move(*x);
  out.y = std::move(*y);
  return out;
}

// A model's mean of several.
Result<std::shared_ptr<const model::Model>> mean_of(const PickleValue& object,
                                                    std::vector<model::Ensemble::Member> members) {
  if (members.size() == 1) return members.front().model;
  auto made = model::Ensemble::make(std::move(members));
  if (!made) return std::move(made).error().within(object.where());
  return std::shared_ptr<const model::Model>(std::make_shared<model::Ensemble>(std::move(*made)));
}

Result<std::shared_ptr<const model::Model>> calibrated(const PickleValue& object,
                                                       std::shared_ptr<const model::Model> inner,
                                                       std::vector<Curve> curves,
                                                       Calibration::Ending ending) {
  auto made = Calibration::make(std::move(inner), std::move(curves), ending);
  if (!made) return std::move(made).error().within(object.where());
  return std::shared_ptr<const model::Model>(std::make_shared<Calibration>(std::move(*made)));
}

Result<Artefact> read_calibrated(SklearnReader& reader, const PickleValue& object) {
  auto begun = begin_classifier(object);
  if (!begun) return begun;
  Artefact& out = *begun;
  const bool two = out.classes.size() == 2;
  const auto parts = parts_of(object, "calibrated_classifiers_");
  if (!parts) return Error(parts.error());
  if (parts->empty())
    return corrupt_at(object, object.describe() + " without classifiers: it was not fitted");
  std::vector<model::Ensemble::Member> members;
  for (const PickleValue& part : *parts) {
    PickleValue estimator = part.find("estimator");
    if (!estimator) estimator = part.find("base_estimator");
    Result<Artefact> inner = Error{};
    {
      // The curves are of margins, where the estimator has some.
      const SklearnReader::Margins margins(reader, true);
      inner = reader.read_estimator(estimator);
    }
    if (!inner) return inner;
    if (inner->kind != Artefact::Kind::model || inner->classes.size() != out.classes.size()) {
      return unsupported_at(part, "the calibration of " + estimator.describe());
    }
    if (out.columns.empty()) out.columns = inner->columns;
    const auto calibrators = parts_of(part, part.find("calibrators") ? "calibrators" : "calibrators_");
    if (!calibrators) return Error(calibrators.error());
    if (calibrators->size() != (two ? 1 : out.classes.size())) {
      return unsupported_at(part, "a calibration of " + std::to_string(calibrators->size()) + " curves");
    }
    std::vector<Curve> curves;
    for (const PickleValue& calibrator : *calibrators) {
      auto curve = curve_of(calibrator);
      if (!curve) return std::move(curve).error();
      curves.push_back(std::move(*curve));
    }
    if (reader.outline()) continue;
    auto made = calibrated(part, inner->model, std::move(curves),
                           two ? Calibration::Ending::none : Calibration::Ending::normalise);
    if (!made) return std::move(made).error();
    members.push_back({std::move(*made), 1.0});
  }
  if (reader.outline()) return out;
  auto mean = mean_of(object, std::move(members));
  if (!mean) return std::move(mean).error();
  out.model = std::move(*mean);
  return out;
}

Result<Artefact> read_stacking(SklearnReader& reader, const PickleValue& object) {
  auto begun = begin_classifier(object);
  if (!begun) return begun;
  Artefact& out = *begun;
  const auto members = parts_of(object, "estimators_"), methods = parts_of(object, "stack_method_");
  if (!members) return Error(members.error());
  if (!methods) return Error(methods.error());
  if (members->size() != methods->size())
    return corrupt_at(object, "a stack of other methods than estimators");
  std::vector<std::shared_ptr<const model::Model>> parts;
  for (std::size_t i = 0; i < members->size(); ++i) {
    const auto method = (*methods)[i].text().value_or("");
    if (method != "predict_proba" && method != "decision_function") {
      return unsupported_at(object, "a stack of what estimators predict, without probabilities");
    }
    const SklearnReader::Margins margins(reader, method == "decision_function");
    auto member = reader.read_estimator((*members)[i]);
    if (!member) return member;
    if (member->kind != Artefact::Kind::model)
      return unsupported_at(object, (*members)[i].describe() + " in a stack");
    if (out.columns.empty()) out.columns = member->columns;
    parts.push_back(member->model);
  }
  const SklearnReader::Margins margins(reader, false);
  auto last = reader.read_estimator(object.find("final_estimator_"));
  if (!last) return last;
  if (last->kind != Artefact::Kind::model || last->classes.size() != out.classes.size()) {
    return unsupported_at(object, "a stack that ends with " + object.find("final_estimator_").describe());
  }
  out.threshold = last->threshold;
  if (reader.outline()) return out;
  auto made =
      model::Stack::make(std::move(parts), object.find("passthrough").boolean().value_or(false), last->model);
  if (!made) return std::move(made).error().within(object.where());
  out.model = std::make_shared<model::Stack>(std::move(*made));
  return out;
}

Result<Artefact> read_voting(SklearnReader& reader, const PickleValue& object) {
  auto begun = begin_classifier(object);
  if (!begun) return begun;
  Artefact& out = *begun;
  const auto members = parts_of(object, "estimators_");
  if (!members) return Error(members.error());
  const PickleValue said = object.find("weights");
  std::vector<double> weights(members->size(), 1.0);
  if (said && !said.is_none()) {
    // Estimators that were dropped have weights and are not there.
    auto all = numbers_of(object, "weights", members->size());
    if (!all) return std::move(all).error();
    weights = std::move(*all);
  }
  const bool hard = object.find("voting").text() != "soft";
  const SklearnReader::Margins margins(reader, false);
  std::vector<model::Ensemble::Member> parts;
  for (std::size_t i = 0; i < members->size(); ++i) {
    auto member = reader.read_estimator((*members)[i]);
    if (!member) return member;
    if (member->kind != Artefact::Kind::model || member->classes.size() != out.classes.size()) {
      return unsupported_at(object, (*members)[i].describe() + " in a VotingClassifier");
    }
    if (out.columns.empty()) out.columns = member->columns;
    if (reader.outline()) continue;
    if (!hard) {
      parts.push_back({member->model, weights[i]});
      continue;
    }
    // A margin above 0 is a probability above one half.
    std::vector<Curve> curves;
    if (member->model->scale() == model::Scale::margin && member->model->outputs() == 1) {
      curves.resize(1);
      curves[0].kind = Curve::Kind::sigmoid;
    }
    auto vote = calibrated(object, member->model, std::move(curves), Calibration::Ending::vote);
    if (!vote) return std::move(vote).error();
    parts.push_back({std::move(*vote), weights[i]});
  }
  if (hard) out.notes.push_back("votes by majority: scores are shares of votes");
  if (reader.outline()) return out;
  auto mean = mean_of(object, std::move(parts));
  if (!mean) return std::move(mean).error();
  out.model = std::move(*mean);
  return out;
}

Result<Artefact> read_naive_bayes(SklearnReader& reader, const PickleValue& object) {
  auto begun = begin_classifier(object);
  if (!begun) return begun;
  Artefact& out = *begun;
  auto priors = numbers_of(object, "class_prior_", out.classes.size());
  if (!priors) return std::move(priors).error();
  auto means = numbers_of(object, "theta_", 0);
  if (!means) return std::move(means).error();
  auto variances = numbers_of(object, object.find("var_") ? "var_" : "sigma_", means->size());
  if (!variances) return std::move(variances).error();
  const std::size_t inputs = means->size() / out.classes.size();
  if (out.columns.size() != inputs) set_columns(out, object, inputs);
  auto made = model::NaiveBayes::make({std::move(*priors), std::move(*means), std::move(*variances)});
  if (!made) return std::move(made).error().within(object.where());
  if (!reader.outline()) out.model = std::make_shared<model::NaiveBayes>(std::move(*made));
  return out;
}

Result<Artefact> read_svc(SklearnReader& reader, const PickleValue& object) {
  using Kernel = model::KernelMachine::Kernel;
  auto begun = begin_classifier(object);
  if (!begun) return begun;
  Artefact& out = *begun;
  model::KernelMachine::Parts parts;
  const auto kernel = object.find("kernel").text().value_or("");
  if (kernel == "rbf") {
    parts.kernel = Kernel::rbf;
  } else if (kernel == "linear") {
    parts.kernel = Kernel::linear;
  } else if (kernel == "poly") {
    parts.kernel = Kernel::poly;
  } else if (kernel == "sigmoid") {
    parts.kernel = Kernel::sigmoid;
  } else {
    return unsupported_at(object, object.describe() + " with a kernel of its own");
  }
  if (object.find("_sparse").boolean().value_or(false)) {
    return unsupported_at(object, object.describe() + " of sparse rows");
  }
  parts.gamma = object.find("_gamma").number().value_or(1);
  parts.constant = object.find("coef0").number().value_or(0);
  const auto degree = object.find("degree").integer().value_or(3);
  if (degree < 0 || degree > 1000) return unsupported_at(object, "a polynomial of another degree");
  parts.degree = static_cast<std::uint32_t>(degree);
  const auto shape = object.find("support_vectors_").array();
  if (!shape || shape->shape().size() != 2)
    return corrupt_at(object, object.describe() + " without support vectors");
  parts.inputs = shape->shape()[1];
  if (out.columns.size() != parts.inputs) set_columns(out, object, parts.inputs);
  if (auto good = reader.charge(object, shape->size() * 8); !good) return std::move(good).error();
  const auto counts =
      numbers_of(object, object.find("_n_support") ? "_n_support" : "n_support_", out.classes.size());
  if (!counts) return Error(counts.error());
  for (const double count : *counts) {
    if (!(count >= 0 && count <= 1e9))
      return corrupt_at(object, "a class with a number of support vectors that is none");
    parts.counts.push_back(static_cast<std::uint32_t>(count));
  }
  const auto take = [&](const char* member, std::vector<double>& into) -> Result<void> {
    auto values = numbers_of(object, member, 0);
    if (!values) return std::move(values).error();
    into = std::move(*values);
    return {};
  };
  if (auto good = take("support_vectors_", parts.vectors); !good) return std::move(good).error();
  if (auto good = take("_dual_coef_", parts.coefficients); !good) return std::move(good).error();
  if (auto good = take("_intercept_", parts.intercepts); !good) return std::move(good).error();
  // Up to 0.24 the names had no line in front.
  for (const char* const member : {"_probA", "probA_"}) {
    if (object.find(member) && !reader.margins()) {
      if (auto good = take(member, parts.curve_a); !good) return std::move(good).error();
    }
  }
  for (const char* const member : {"_probB", "probB_"}) {
    if (object.find(member) && !reader.margins()) {
      if (auto good = take(member, parts.curve_b); !good) return std::move(good).error();
    }
  }
  if (parts.curve_a.empty()) {
    out.threshold = out.classes.size() == 2 ? std::optional(0.0) : std::nullopt;
  }
  auto made = model::KernelMachine::make(std::move(parts));
  if (!made) return std::move(made).error().within(object.where());
  if (!reader.outline()) out.model = std::make_shared<model::KernelMachine>(std::move(*made));
  return out;
}

constexpr SklearnClass kCalibratedClasses[] = {
    {"CalibratedClassifierCV", read_calibrated},
    {"StackingClassifier", read_stacking},
    {"VotingClassifier", read_voting},
    {"GaussianNB", read_naive_bayes},
    {"SVC", read_svc},
    {"NuSVC", read_svc},
};

}  // namespace

SklearnFunction calibrated_estimator(std::string_view name) {
  for (const auto& known : kCalibratedClasses) {
    if (known.name == name) return known.read;
  }
  return nullptr;
}

}  // namespace nidus::interop::internal
