#include "interop/internal/onnx_native.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "interop/internal/onnx_trees.h"
#include "model/boost.h"
#include "model/forest.h"
#include "model/preprocess.h"

namespace nidus::interop::internal::onnx {
namespace {

using model::TreeSet;

// The nodes from the input of the graph to the one that makes the scores.
struct Chain {
  std::vector<const Node*> before;
  const Node* trees = nullptr;
  std::size_t inputs = 0;
};

std::optional<Chain> find_chain(const Model& model, std::string_view value) {
  Chain chain;
  if (model.inputs.size() != 1 || model.inputs[0].element != Element::f32 || model.inputs[0].dims.size() != 2)
    return {};
  for (std::size_t steps = 0; steps < 8; ++steps) {
    if (value == model.inputs[0].name) {
      std::reverse(chain.before.begin(), chain.before.end());
      if (chain.trees == nullptr) return {};
      return chain;
    }
    const Node* maker = nullptr;
    for (const Node& node : model.nodes) {
      if (std::find(node.outputs.begin(), node.outputs.end(), value) != node.outputs.end()) maker = &node;
    }
    if (maker == nullptr || maker->inputs.empty()) return {};
    const bool classic = maker->domain == "ai.onnx.ml";
    if (chain.trees == nullptr && classic && maker->op == "TreeEnsembleClassifier" &&
        maker->outputs.size() > 1 && maker->outputs[1] == value) {
      chain.trees = maker;
    } else if (chain.trees != nullptr && classic && (maker->op == "Scaler" || maker->op == "Imputer")) {
      chain.before.push_back(maker);
    } else if (!(maker->op == "Identity" ||
                 (maker->op == "Cast" &&
                  maker->integer("to", 0) == static_cast<std::int64_t>(Element::f32)))) {
      return {};
    }
    value = maker->inputs[0];
  }
  return {};
}

// The steps of a preprocessor, if it can say as much: one filling in, then one scaling.
std::optional<std::vector<model::Step>> steps_of(const Chain& chain) {
  std::vector<model::Step> steps(chain.inputs);
  bool scaled = false, filled = false;
  for (const Node* node : chain.before) {
    if (node->op == "Scaler") {
      const auto offset = node->numbers("offset"), scale = node->numbers("scale");
      if (scaled || offset.empty() || scale.empty()) return {};
      for (std::size_t i = 0; i < steps.size(); ++i) {
        steps[i].shift = static_cast<float>(offset[offset.size() == 1 ? 0 : std::min(i, offset.size() - 1)]);
        steps[i].scale = static_cast<float>(scale[scale.size() == 1 ? 0 : std::min(i, scale.size() - 1)]);
      }
      if ((offset.size() != 1 && offset.size() != steps.size()) ||
          (scale.size() != 1 && scale.size() != steps.size())) {
        return {};
      }
      scaled = true;
    } else {
      const auto fill = node->numbers("imputed_value_floats");
      if (filled || scaled || !std::isnan(node->number("replaced_value_float", 0)) || fill.empty() ||
          (fill.size() != 1 && fill.size() != steps.size())) {
        return {};
      }
      for (std::size_t i = 0; i < steps.size(); ++i) {
        steps[i].fill_missing = true;
        steps[i].fill = static_cast<float>(fill[fill.size() == 1 ? 0 : i]);
      }
      filled = true;
    }
  }
  return steps;
}

using Made = std::optional<Result<std::shared_ptr<const model::Model>>>;

template <class Kind>
Made share(Result<Kind> made) {
  if (!made) return {};  // a program says it all the same
  return Result<std::shared_ptr<const model::Model>>(std::make_shared<const Kind>(std::move(*made)));
}

// Leaves hold shares of a forest when they are not below 0 and those of all trees add up to at most 1. ONNX
// has them divided by the number of trees, in float: what is a hair above 1 was 1.
Made forest_of(const Ensemble& ensemble) {
  const TreeSet& trees = *ensemble.trees;
  const std::size_t width = trees.width(), outputs = ensemble.outputs;
  const bool one_sum = std::count(ensemble.voted.begin(), ensemble.voted.end(), true) == 1;
  if (!ensemble.base.empty() || (width == 1) != one_sum || (one_sum && outputs != 2) ||
      (one_sum && !ensemble.voted[0])) {
    return {};
  }
  const double factor = ensemble.average ? 1 : static_cast<double>(trees.trees());
  constexpr double kHair = 1e-5;
  const std::size_t kept = outputs == 2 ? 1 : outputs, first = outputs == 2 && width == 2 ? 1 : 0;
  std::vector<double> shares;
  shares.reserve(trees.leaves() * kept);
  for (std::size_t leaf = 0; leaf < trees.leaves(); ++leaf) {
    for (std::size_t k = 0; k < kept; ++k) {
      const double share = trees.value(leaf, first + k) * factor;
      if (!(share >= 0 && share <= 1 + kHair)) return {};
      shares.push_back(std::min(share, 1.0));
    }
    double sum = 0;
    for (std::size_t k = 0; k < width; ++k) sum += trees.value(leaf, k) * factor;
    if (width > 1 && std::abs(sum - 1) > 1e-3) return {};
  }
  TreeSet::Parts parts = trees.parts();
  parts.width = kept;
  parts.leaves = {};
  parts.wide_leaves = std::move(shares);
  auto set = TreeSet::make(std::move(parts));
  if (!set) return {};
  return share(model::Forest::make(std::move(*set)));
}

Made boost_of(Ensemble& ensemble, std::string_view transform) {
  const std::size_t trees = ensemble.trees->trees();
  std::vector<float> base(ensemble.base.begin(), ensemble.base.end());
  if (ensemble.average || ensemble.trees->width() != 1 || ensemble.groups.size() != trees) return {};
  if (transform == "LOGISTIC") {
    if (ensemble.outputs != 2 || base.size() > 1) return {};
    const bool first = ensemble.voted[0], second = ensemble.voted[1];
    if (first == second || (second && !base.empty())) return {};
    base.resize(1, 0.0f);
    return share(model::Boost::make(std::move(*ensemble.trees), std::vector<std::uint32_t>(trees, 0),
                                    std::move(base)));
  }
  if (ensemble.outputs < 3 || (!base.empty() && base.size() != ensemble.outputs)) return {};
  base.resize(ensemble.outputs, 0.0f);
  return share(model::Boost::make(std::move(*ensemble.trees), ensemble.groups, std::move(base)));
}

}  // namespace

std::optional<Result<std::shared_ptr<const model::Model>>> read_native(const Model& model,
                                                                       std::string_view scores) {
  auto chain = find_chain(model, scores);
  if (!chain) return {};
  const auto columns = model.inputs[0].dims[1];
  if (columns < 1 || columns > static_cast<std::int64_t>(model::Node::kFeaturesMax)) return {};
  chain->inputs = static_cast<std::size_t>(columns);
  auto steps = steps_of(*chain);
  if (!steps) return {};
  auto ensemble = read_ensemble(*chain->trees, chain->inputs, false);
  if (!ensemble) return Result<std::shared_ptr<const model::Model>>(std::move(ensemble).error());
  if (ensemble->columns.size() != chain->inputs) return {};
  for (const auto& column : ensemble->columns) {
    if (!column.among.empty()) return {};
  }
  const auto transform = chain->trees->text("post_transform", "NONE");
  Made made;
  if (transform == "NONE") made = forest_of(*ensemble);
  if (transform == "LOGISTIC" || transform == "SOFTMAX") made = boost_of(*ensemble, transform);
  if (!made || chain->before.empty()) return made;
  auto before = model::Preprocessor::make(std::move(*steps));
  if (!before) return {};
  auto pipeline = model::Pipeline::make(std::move(*before), std::move(**made));
  return share(std::move(pipeline));
}

}  // namespace nidus::interop::internal::onnx
