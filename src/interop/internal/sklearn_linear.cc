#include <cmath>
#include <string>
#include <utility>

#include "base/text.h"
#include "interop/internal/sklearn_reader.h"
#include "model/calibration.h"
#include "model/network.h"

// Weighted sums: linear models are one dense layer in double, a multi-layer perceptron is several.
namespace nidus::interop::internal {
namespace {

using model::Activation;
using model::Network;
namespace layer = model::layer;

Result<Artefact> finish(SklearnReader& reader, const PickleValue& object, Artefact out,
                        Network::Parts parts) {
  if (reader.outline()) return out;
  auto network = Network::make(std::move(parts));
  if (!network) return std::move(network).error().within(object.where());
  out.model = std::make_shared<Network>(std::move(*network));
  return out;
}

Network::Parts network_of(std::size_t inputs, model::Scale scale) {
  Network::Parts parts;
  parts.input = {1, inputs};
  parts.precision = Network::Precision::wide;
  parts.scale = scale;
  return parts;
}

// What is done with the sums of a linear model.
enum class Ending : std::uint8_t {
  margin,
  logistic,  // of one sum, or of each of several, made to add up to 1
  softmax,   // with two classes of minus the sum and the sum
};

Result<Artefact> read_linear(SklearnReader& reader, const PickleValue& object, Ending ending) {
  auto begun = begin_classifier(object);
  if (!begun) return begun;
  Artefact& out = *begun;
  const std::size_t rows = out.classes.size() == 2 ? 1 : out.classes.size();
  const auto weights = numbers_of(object, "coef_", 0);
  if (!weights) return Error(weights.error());
  if (weights->empty() || weights->size() % rows != 0) {
    return corrupt_at(object, "coef_ of " + std::to_string(weights->size()) + " weights for " +
                                  std::to_string(out.classes.size()) + " classes");
  }
  const std::size_t inputs = weights->size() / rows;
  if (out.columns.size() != inputs) set_columns(out, object, inputs);
  auto bias = numbers_of(object, "intercept_", 0);
  if (!bias) return std::move(bias).error();
  if (bias->size() == 1) bias->assign(rows, bias->front());
  if (bias->size() != rows) return corrupt_at(object, "intercept_ of another length than coef_");
  if (reader.margins()) ending = Ending::margin;
  // One class against the rest: margins first, then each its own probability.
  const bool against_rest = ending == Ending::logistic && rows > 1;
  if (against_rest) ending = Ending::margin;
  Network::Parts parts =
      network_of(inputs, ending == Ending::margin ? model::Scale::margin : model::Scale::probability);
  layer::Dense dense;
  dense.inputs = inputs;
  dense.units = rows;
  dense.kernel.resize(inputs * rows);
  // The softmax of minus the sum and the sum is the logistic function of twice the sum.
  const double factor = ending == Ending::softmax && rows == 1 ? 2 : 1;
  for (std::size_t i = 0; i < inputs; ++i) {
    for (std::size_t k = 0; k < rows; ++k) dense.kernel[i * rows + k] = factor * (*weights)[k * inputs + i];
  }
  for (double& value : *bias) value *= factor;
  dense.bias = std::move(*bias);
  parts.layers.emplace_back(std::move(dense));
  if (ending != Ending::margin) {
    const auto kind = rows == 1 ? Activation::Kind::sigmoid : Activation::Kind::softmax;
    parts.layers.emplace_back(layer::Activate{Activation::of(kind)});
  } else if (rows == 1) {
    out.threshold = 0.0;
  }
  auto made = finish(reader, object, std::move(out), std::move(parts));
  if (!made || !against_rest || reader.outline()) return made;
  std::vector<model::Calibration::Curve> curves(rows);
  for (auto& curve : curves) curve.kind = model::Calibration::Curve::Kind::sigmoid;
  auto whole =
      model::Calibration::make(made->model, std::move(curves), model::Calibration::Ending::normalise);
  if (!whole) return std::move(whole).error().within(object.where());
  made->model = std::make_shared<model::Calibration>(std::move(*whole));
  return made;
}

Result<Artefact> read_logistic_regression(SklearnReader& reader, const PickleValue& object) {
  const auto option = object.find("multi_class").text();
  const auto solver = object.find("solver").text().value_or("");
  const bool two = object.find("classes_").array() && object.find("classes_").array()->size() == 2;
  bool one_against_rest = solver == "liblinear" || two;
  if (option == "ovr" || option == "warn") one_against_rest = true;
  if (option == "multinomial") one_against_rest = false;
  return read_linear(reader, object, one_against_rest ? Ending::logistic : Ending::softmax);
}

Result<Artefact> read_linear_svc(SklearnReader& reader, const PickleValue& object) {
  return read_linear(reader, object, Ending::margin);
}

Result<Artefact> read_sgd(SklearnReader& reader, const PickleValue& object) {
  const auto loss = object.find("loss").text().value_or("");
  const bool logistic = loss == "log" || loss == "log_loss";
  return read_linear(reader, object, logistic ? Ending::logistic : Ending::margin);
}

Result<Artefact> read_perceptron(SklearnReader& reader, const PickleValue& object) {
  auto begun = begin_classifier(object);
  if (!begun) return begun;
  Artefact& out = *begun;
  const std::size_t outputs = out.classes.size() == 2 ? 1 : out.classes.size();
  const auto kernels = parts_of(object, "coefs_"), biases = parts_of(object, "intercepts_");
  if (!kernels) return Error(kernels.error());
  if (!biases) return Error(biases.error());
  if (kernels->empty() || kernels->size() != biases->size()) {
    return corrupt_at(object, object.describe() + " of " + std::to_string(kernels->size()) + " layers and " +
                                  std::to_string(biases->size()) + " intercepts");
  }
  const auto name = object.find("activation").text().value_or("");
  Activation hidden;
  if (name == "relu") {
    hidden = Activation::relu();
  } else if (name == "tanh") {
    hidden = Activation::of(Activation::Kind::tanh);
  } else if (name == "logistic") {
    hidden = Activation::of(Activation::Kind::sigmoid);
  } else if (name != "identity") {
    return unsupported_at(object, object.describe() + " of another activation");
  }
  const auto last = object.find("out_activation_").text().value_or("");
  if (last != (outputs == 1 ? "logistic" : "softmax")) {
    return unsupported_at(object, object.describe() + " of several labels at once");
  }
  std::size_t inputs = out.columns.size();
  const auto first = (*kernels)[0].array();
  if (first && first->shape().size() == 2 && first->shape()[0] != inputs) {
    inputs = first->shape()[0];
    set_columns(out, object, inputs);
  }
  Network::Parts parts = network_of(inputs, model::Scale::probability);
  std::size_t before = inputs;
  for (std::size_t i = 0; i < kernels->size(); ++i) {
    const auto array = (*kernels)[i].array();
    if (!array || array->shape().size() != 2 || array->shape()[0] != before) {
      return corrupt_at(
          object, "layer " + std::to_string(i) + " of " + object.describe() + " does not fit the one before");
    }
    if (auto good = reader.charge(object, array->size() * 8); !good) return std::move(good).error();
    auto kernel = numbers_of((*kernels)[i]), bias = numbers_of((*biases)[i]);
    if (!kernel) return std::move(kernel).error();
    if (!bias) return std::move(bias).error();
    layer::Dense dense;
    dense.inputs = before;
    dense.units = array->shape()[1];
    dense.kernel = std::move(*kernel);
    dense.bias = std::move(*bias);
    before = dense.units;
    parts.layers.emplace_back(std::move(dense));
    const bool is_last = i + 1 == kernels->size();
    if (is_last) {
      const auto kind = outputs == 1 ? Activation::Kind::sigmoid : Activation::Kind::softmax;
      parts.layers.emplace_back(layer::Activate{Activation::of(kind)});
    } else if (hidden.kind != Activation::Kind::linear) {
      parts.layers.emplace_back(layer::Activate{hidden});
    }
  }
  if (before != outputs)
    return corrupt_at(object, object.describe() + " with " + std::to_string(before) + " outputs");
  return finish(reader, object, std::move(out), std::move(parts));
}

constexpr SklearnClass kLinearClasses[] = {
    {"LogisticRegression", read_logistic_regression},
    {"LogisticRegressionCV", read_logistic_regression},
    {"LinearSVC", read_linear_svc},
    {"RidgeClassifier", read_linear_svc},
    {"Perceptron", read_linear_svc},
    {"PassiveAggressiveClassifier", read_linear_svc},
    {"SGDClassifier", read_sgd},
    {"MLPClassifier", read_perceptron},
};

}  // namespace

SklearnFunction linear_estimator(std::string_view name) {
  for (const auto& known : kLinearClasses) {
    if (known.name == name) return known.read;
  }
  return nullptr;
}

}  // namespace nidus::interop::internal
