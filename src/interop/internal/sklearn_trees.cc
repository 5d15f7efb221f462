#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "interop/internal/sklearn_reader.h"
#include "interop/internal/sklearn_tree_set.h"
#include "model/additive_trees.h"
#include "model/forest.h"

// Decision trees and what is made of many. The arrays are those of sklearn/tree/_tree.pyx, read by the names
// of their fields, which have had several layouts.
namespace nidus::interop::internal {
namespace {

using model::AdditiveTrees;

// How the nodes of a Tree split, with its features renumbered by `features` if there are any.
auto splits(const SklearnTree& tree, const std::vector<std::uint32_t>& features) {
  return [&tree, &features](std::size_t i) {
    TreeGatherer::Split out;
    out.weight = static_cast<float>(tree.weight.real(i));
    const std::int64_t left = tree.left.integer(i);
    out.is_leaf = left == -1;
    if (out.is_leaf) return out;
    out.left = static_cast<std::size_t>(left);
    out.right = static_cast<std::size_t>(tree.right.integer(i));
    out.feature = static_cast<std::size_t>(tree.feature.integer(i));
    if (!features.empty()) {
      out.feature =
          out.feature < features.size() ? features[out.feature] : std::numeric_limits<std::size_t>::max();
    }
    out.threshold = rounded_down(tree.threshold.real(i));
    out.missing_right = !tree.missing_left || tree.missing_left->integer(i) == 0;
    return out;
  };
}

const std::vector<std::uint32_t> kAllFeatures;

// The class shares of node i. Writers up to 1.3 keep weighted counts; shares that already add up to 1 stay as
// they are, so that they keep their bits.
void shares(const SklearnTree& tree, std::size_t i, std::span<double> out) {
  double sum = 0;
  for (std::size_t k = 0; k < tree.width; ++k) sum += tree.values.real(i * tree.width + k);
  const bool as_they_are = std::abs(sum - 1) <= 1e-9;
  const double by = as_they_are || sum == 0 ? 1 : sum;
  const auto share = [&](std::size_t k) { return tree.values.real(i * tree.width + k) / by; };
  if (out.size() == 1) {
    out[0] = share(1);
    return;
  }
  for (std::size_t k = 0; k < tree.width; ++k) out[k] = share(k);
}

Result<void> one_output(const PickleValue& object) {
  const auto outputs = object.find("n_outputs_").integer();
  if (outputs && *outputs != 1) {
    return unsupported_at(object,
                          object.describe() + " of " + std::to_string(*outputs) + " outputs; one is done");
  }
  return {};
}

std::string counted_trees(std::size_t count) {
  return with_thousands(count) + (count == 1 ? " tree" : " trees");
}

Result<Artefact> forest_of(SklearnReader& reader, const PickleValue& object,
                           const std::vector<PickleValue>& trees) {
  if (auto one = one_output(object); !one) return std::move(one).error();
  auto begun = begin_classifier(object);
  if (!begun) return begun;
  Artefact& out = *begun;
  const std::size_t inputs = out.columns.size(), width = out.classes.size();
  if (inputs == 0)
    return corrupt_at(object, object.describe() + " that does not tell its number of features");
  if (trees.empty()) return corrupt_at(object, object.describe() + " without trees");
  out.origin += ", " + counted_trees(trees.size());
  if (reader.outline()) return out;
  TreeGatherer gatherer(inputs, width == 2 ? 1 : width);
  for (const PickleValue& estimator : trees) {
    const auto tree = SklearnTree::read(reader, estimator);
    if (!tree) return Error(tree.error());
    if (tree->width != width) {
      return corrupt_at(tree->value, "a tree of " + std::to_string(tree->width) + " classes in a forest of " +
                                         std::to_string(width));
    }
    auto added =
        gatherer.add(tree->count, splits(*tree, kAllFeatures),
                     [&](std::size_t i, std::size_t, std::span<double> leaf) { shares(*tree, i, leaf); });
    if (!added) return std::move(added).error().within(tree->value.where());
  }
  auto set = gatherer.finish();
  if (!set) return std::move(set).error().within(object.where());
  auto forest = model::Forest::make(std::move(*set));
  if (!forest) return std::move(forest).error().within(object.where());
  out.model = std::make_shared<model::Forest>(std::move(*forest));
  return out;
}

Result<Artefact> read_forest(SklearnReader& reader, const PickleValue& object) {
  const auto trees = parts_of(object, "estimators_");
  if (!trees) return Error(trees.error());
  return forest_of(reader, object, *trees);
}

Result<Artefact> read_tree(SklearnReader& reader, const PickleValue& object) {
  return forest_of(reader, object, {object});
}

// --- isolation forest

Result<Artefact> read_isolation_forest(SklearnReader& reader, const PickleValue& object) {
  Artefact out = begin_artefact(object, Artefact::Kind::model);
  out.classes = {"normal", "anomaly"};
  const std::size_t inputs = out.columns.size();
  const auto trees = parts_of(object, "estimators_");
  if (!trees) return Error(trees.error());
  const auto features = parts_of(object, "estimators_features_");
  if (!features) return Error(features.error());
  const auto offset = object.find("offset_").number();
  auto samples = object.find("_max_samples").number();
  if (!samples) samples = object.find("max_samples_").number();
  if (!offset || !samples || inputs == 0 || trees->empty() || features->size() != trees->size()) {
    return corrupt_at(object,
                      object.describe() + " without trees, offset_ or max_samples_: it was not fitted");
  }
  if (!(*samples >= 2) || !std::isfinite(*offset)) {
    return unsupported_at(object, object.describe() + " of trees of " + std::to_string(*samples) + " rows");
  }
  out.threshold = -*offset;
  out.origin += ", " + counted_trees(trees->size());
  if (reader.outline()) return out;
  TreeGatherer gatherer(inputs, 1);
  for (std::size_t t = 0; t < trees->size(); ++t) {
    const auto tree = SklearnTree::read(reader, (*trees)[t]);
    if (!tree) return Error(tree.error());
    const auto columns = numbers_of((*features)[t]);
    if (!columns) return Error(columns.error()).within("estimators_features_");
    if (auto good = reader.charge(object, columns->size() * 8); !good) return std::move(good).error();
    std::vector<std::uint32_t> map;
    for (const double column : *columns) {
      if (!(column >= 0 && column < static_cast<double>(inputs))) {
        return corrupt_at(object, "estimators_features_: a column that is none of " + std::to_string(inputs));
      }
      map.push_back(static_cast<std::uint32_t>(column));
    }
    auto added = gatherer.add(tree->count, splits(*tree, map),
                              [&](std::size_t i, std::size_t level, std::span<double> leaf) {
                                const double rows = std::max<double>(tree->samples.real(i), 0);
                                leaf[0] = static_cast<double>(level) + model::mean_search_path(rows);
                              });
    if (!added) return std::move(added).error().within(tree->value.where());
  }
  auto set = gatherer.finish();
  if (!set) return std::move(set).error().within(object.where());
  AdditiveTrees::Parts parts;
  parts.base = {0};
  parts.link = AdditiveTrees::Link::isolation;
  parts.factor = 1 / (static_cast<double>(trees->size()) * model::mean_search_path(*samples));
  parts.kind = "isolation forest";
  auto model = AdditiveTrees::make(std::move(*set), std::move(parts));
  if (!model) return std::move(model).error().within(object.where());
  out.model = std::make_shared<AdditiveTrees>(std::move(*model));
  return out;
}

// --- gradient boosting

// What gradient boosting begins with: the log-odds or logs of the classes' shares in training.
Result<std::vector<double>> initial_scores(const PickleValue& object, std::size_t outputs, bool exponential) {
  const PickleValue init = object.find("init_");
  if (init.text() == "zero") return std::vector<double>(outputs, 0.0);
  if (class_of(init) != "DummyClassifier") {
    return unsupported_at(object, object.describe() + " that begins with " + init.describe());
  }
  const std::size_t classes = outputs == 1 ? 2 : outputs;
  const auto strategy = init.find("strategy").text();
  if (strategy && *strategy != "prior") {
    return unsupported_at(init,
                          "a DummyClassifier of the strategy '" + std::string(strategy->substr(0, 20)) + "'");
  }
  auto shares = numbers_of(init, "class_prior_", classes);
  if (!shares) return shares;
  const bool newer = since(object, 1, 4);
  const double epsilon = newer ? std::numeric_limits<double>::epsilon()
                               : static_cast<double>(std::numeric_limits<float>::epsilon());
  for (double& share : *shares) {
    if (!(share >= 0 && share <= 1)) return corrupt_at(init, "a class with a share that is none");
    share = std::clamp(share, epsilon, 1 - epsilon);
  }
  if (outputs == 1) {
    const double odds = std::log((*shares)[1] / (1 - (*shares)[1]));
    return std::vector<double>{exponential ? 0.5 * odds : odds};
  }
  double mean = 0;
  for (double& share : *shares) mean += share = std::log(share);
  mean /= static_cast<double>(classes);
  if (newer) {
    for (double& share : *shares) share -= mean;
  }
  return shares;
}

Result<Artefact> read_gradient_boosting(SklearnReader& reader, const PickleValue& object) {
  auto begun = begin_classifier(object);
  if (!begun) return begun;
  Artefact& out = *begun;
  const std::size_t inputs = out.columns.size(), outputs = out.classes.size() == 2 ? 1 : out.classes.size();
  const auto trees = parts_of(object, "estimators_");
  if (!trees) return Error(trees.error());
  const auto rate = object.find("learning_rate").number();
  if (inputs == 0 || trees->empty() || trees->size() % outputs != 0 || !rate || !std::isfinite(*rate)) {
    return corrupt_at(object, object.describe() + " without trees for each class, or a learning_rate");
  }
  const auto loss = object.find("loss").text().value_or("");
  const bool exponential = loss == "exponential";
  if (!exponential && loss != "deviance" && loss != "log_loss" && loss != "auto") {
    return unsupported_at(object,
                          object.describe() + " of the loss '" + std::string(loss.substr(0, 20)) + "'");
  }
  auto base = initial_scores(object, outputs, exponential);
  if (!base) return std::move(base).error();
  out.origin += ", " + counted_trees(trees->size());
  if (reader.outline()) return out;
  TreeGatherer gatherer(inputs, 1);
  std::vector<std::uint32_t> groups;
  for (std::size_t t = 0; t < trees->size(); ++t) {
    const auto tree = SklearnTree::read(reader, (*trees)[t]);
    if (!tree) return Error(tree.error());
    if (tree->width != 1) return corrupt_at(tree->value, "a tree of classes where one of numbers is wanted");
    auto added = gatherer.add(
        tree->count, splits(*tree, kAllFeatures),
        [&](std::size_t i, std::size_t, std::span<double> leaf) { leaf[0] = *rate * tree->values.real(i); });
    if (!added) return std::move(added).error().within(tree->value.where());
    groups.push_back(static_cast<std::uint32_t>(t % outputs));
  }
  auto set = gatherer.finish();
  if (!set) return std::move(set).error().within(object.where());
  AdditiveTrees::Parts parts;
  parts.groups = std::move(groups);
  parts.base = std::move(*base);
  parts.link = reader.margins() ? AdditiveTrees::Link::identity
               : outputs == 1   ? AdditiveTrees::Link::logistic
                                : AdditiveTrees::Link::softmax;
  parts.factor = exponential ? 2 : 1;
  parts.kind = "gradient boosting";
  auto model = AdditiveTrees::make(std::move(*set), std::move(parts));
  if (!model) return std::move(model).error().within(object.where());
  out.model = std::make_shared<AdditiveTrees>(std::move(*model));
  return out;
}

// --- AdaBoost

// What a tree says of the class in leaf i, in the terms of AdaBoost: the weight of the tree for the class
// that it would choose and less for the others (SAMME), or the logs of the shares without their mean
// (SAMME.R); Zhu, Zou, Rosset and Hastie, 2009. Of two classes what speaks for the second.
void boosted_leaf(std::vector<double>& shares, double weight, bool real, bool symmetric,
                  std::span<double> leaf) {
  const auto classes = static_cast<double>(shares.size());
  if (real) {
    double mean = 0;
    for (double& share : shares) {
      share = std::log(std::max(share, std::numeric_limits<double>::epsilon()));
      mean += share;
    }
    mean *= 1 / classes;
    for (double& share : shares) share = (classes - 1) * (share - mean);
  } else {
    const auto chosen = std::max_element(shares.begin(), shares.end()) - shares.begin();
    std::fill(shares.begin(), shares.end(), symmetric ? -1 / (classes - 1) * weight : 0.0);
    shares[static_cast<std::size_t>(chosen)] = weight;
  }
  if (leaf.size() == 1) {
    leaf[0] = shares[1] - shares[0];
  } else {
    std::copy(shares.begin(), shares.end(), leaf.begin());
  }
}

Result<Artefact> read_ada_boost(SklearnReader& reader, const PickleValue& object) {
  auto begun = begin_classifier(object);
  if (!begun) return begun;
  Artefact& out = *begun;
  const auto trees = parts_of(object, "estimators_");
  if (!trees) return Error(trees.error());
  const std::size_t inputs = out.columns.size(), width = out.classes.size();
  if (inputs == 0 || trees->empty()) return corrupt_at(object, object.describe() + " without estimators");
  const auto weights = numbers_of(object, "estimator_weights_", 0);
  if (!weights) return Error(weights.error());
  if (weights->size() < trees->size()) return corrupt_at(object, "fewer weights than estimators");
  const bool real = object.find("algorithm").text() == "SAMME.R";
  // From 1.3 on what speaks for a class speaks against the others.
  const bool symmetric = since(object, 1, 3);
  double all = 0;
  for (const double weight : *weights) all += weight;
  out.origin += ", " + counted_trees(trees->size());
  if (!(all > 0) || !std::isfinite(all))
    return corrupt_at(object, "weights of estimators that do not add up");
  if (reader.outline()) return out;
  TreeGatherer gatherer(inputs, width == 2 ? 1 : width);
  for (std::size_t t = 0; t < trees->size(); ++t) {
    if (class_of((*trees)[t]).substr(0, 12) != "DecisionTree" &&
        class_of((*trees)[t]) != "ExtraTreeClassifier") {
      return unsupported_at(object, "AdaBoost of " + (*trees)[t].describe() + "; trees are done");
    }
    const auto tree = SklearnTree::read(reader, (*trees)[t]);
    if (!tree) return Error(tree.error());
    if (tree->width != width) return unsupported_at(object, "AdaBoost of trees that know fewer classes");
    std::vector<double> of_leaf(width);
    auto added = gatherer.add(tree->count, splits(*tree, kAllFeatures),
                              [&](std::size_t i, std::size_t, std::span<double> leaf) {
                                shares(*tree, i, of_leaf);
                                boosted_leaf(of_leaf, (*weights)[t], real, symmetric, leaf);
                                if (reader.margins()) {
                                  for (double& value : leaf) value /= all;
                                }
                              });
    if (!added) return std::move(added).error().within(tree->value.where());
  }
  auto set = gatherer.finish();
  if (!set) return std::move(set).error().within(object.where());
  AdditiveTrees::Parts parts;
  parts.base.assign(width == 2 ? 1 : width, 0.0);
  parts.kind = "AdaBoost";
  if (!reader.margins()) {
    parts.link = width == 2 ? AdditiveTrees::Link::logistic : AdditiveTrees::Link::softmax;
    parts.factor = 1 / all / (width == 2 ? 1 : static_cast<double>(width - 1));
  }
  auto model = AdditiveTrees::make(std::move(*set), std::move(parts));
  if (!model) return std::move(model).error().within(object.where());
  out.model = std::make_shared<AdditiveTrees>(std::move(*model));
  return out;
}

Result<Artefact> read_regressor(SklearnReader&, const PickleValue& object) {
  Artefact out = begin_artefact(object, Artefact::Kind::other);
  out.notes.push_back(std::string(class_of(object)) + " estimates numbers; it judges no rows");
  return out;
}

constexpr SklearnClass kTreesClasses[] = {
    {"RandomForestClassifier", read_forest},
    {"ExtraTreesClassifier", read_forest},
    {"DecisionTreeClassifier", read_tree},
    {"ExtraTreeClassifier", read_tree},
    {"IsolationForest", read_isolation_forest},
    {"GradientBoostingClassifier", read_gradient_boosting},
    {"AdaBoostClassifier", read_ada_boost},
    {"RandomForestRegressor", read_regressor},
    {"ExtraTreesRegressor", read_regressor},
    {"DecisionTreeRegressor", read_regressor},
    {"ExtraTreeRegressor", read_regressor},
    {"GradientBoostingRegressor", read_regressor},
    {"HistGradientBoostingRegressor", read_regressor},
    {"AdaBoostRegressor", read_regressor},
};

}  // namespace

SklearnFunction tree_estimator(std::string_view name) {
  for (const auto& known : kTreesClasses) {
    if (known.name == name) return known.read;
  }
  return nullptr;
}

}  // namespace nidus::interop::internal
