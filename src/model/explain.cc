#include "model/explain.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "base/check.h"
#include "model/boost.h"
#include "model/ensemble.h"
#include "model/forest.h"
#include "model/internal/shap_tree.h"
#include "model/preprocess.h"

namespace nidus::model {
namespace {

using internal::ShapTree;

constexpr std::size_t kBlock = 64;

// The trees of one forest or of one set of boosted trees, and how a row gets there.
struct Part {
  double weight = 1;  // in the whole
  std::vector<const Preprocessor*> before;
  std::vector<std::uint32_t> players;  // by feature of the trees: the column of the whole model
  const Boost* boost = nullptr;        // null: a forest
  const TreeSet* set = nullptr;
  std::vector<ShapTree> trees;
  std::vector<double> base;    // by output: shares or margins when nothing is known
  std::vector<double> leaves;  // value by leaf number, where a leaf has one
};

double logistic(double margin) { return 1 / (1 + std::exp(-margin)); }

double dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// The link of boosted trees, from margins to scores, for one weighted sum of scores.
class Link {
 public:
  explicit Link(std::span<const double> weights)
      : weights_(weights), way_(weights.size()), at_(weights.size()), shares_(weights.size()) {}

  // The weighted sum of the scores.
  double score(std::span<const double> margins) {
    if (margins.size() == 1) return weights_[0] * logistic(margins[0]);
    softmax(margins);
    return dot(weights_, shares_);
  }

  // The mean slope of the weighted sum along each margin, on the straight way from `base` to `margins`: the
  // sum over g of slope g × (margins g - base g) is the difference of the weighted sums.
  void mean_slopes(std::span<const double> base, std::span<const double> margins, std::span<double> slopes) {
    const double change = score(margins) - score(base);
    const std::size_t groups = margins.size();
    if (groups == 1) {
      const double way = margins[0] - base[0];
      const double middle = logistic(base[0] + way / 2);
      slopes[0] = std::abs(way) > 1e-4 ? change / way : weights_[0] * middle * (1 - middle);
      return;
    }
    double longest = 0, square = 0;
    for (std::size_t g = 0; g < groups; ++g) {
      way_[g] = margins[g] - base[g];
      longest = std::max(longest, std::abs(way_[g]));
      square += way_[g] * way_[g];
      slopes[g] = 0;
    }
    // Simpson's rule, with steps that are short beside the width of the softmax's transitions, which is
    // about 1.
    const auto steps = 2 * static_cast<std::size_t>(std::clamp(4 * longest, 8.0, 200.0));
    for (std::size_t i = 0; i <= steps; ++i) {
      const double s = static_cast<double>(i) / static_cast<double>(steps);
      for (std::size_t g = 0; g < groups; ++g) at_[g] = base[g] + s * way_[g];
      softmax(at_);
      const double mean = dot(weights_, shares_);
      const double simpson = (i == 0 || i == steps ? 1.0
                              : i % 2 == 1         ? 4.0
                                                   : 2.0) /
                             (3 * static_cast<double>(steps));
      for (std::size_t g = 0; g < groups; ++g) slopes[g] += simpson * shares_[g] * (weights_[g] - mean);
    }
    // What the rule missed goes where the margins moved, so that the sum is exact.
    const double missed = change - dot(slopes, way_);
    if (square > 0) {
      for (std::size_t g = 0; g < groups; ++g) slopes[g] += missed * way_[g] / square;
    }
  }

 private:
  void softmax(std::span<const double> margins) {
    const double highest = *std::max_element(margins.begin(), margins.end());
    double sum = 0;
    for (std::size_t g = 0; g < margins.size(); ++g) sum += shares_[g] = std::exp(margins[g] - highest);
    for (double& share : shares_) share /= sum;
  }

  std::span<const double> weights_;
  std::vector<double> way_, at_, shares_;
};

Result<void> collect(const Model& model, Part so_far, std::vector<Part>& parts) {
  if (const auto* const pipeline = dynamic_cast<const Pipeline*>(&model)) {
    std::vector<std::uint32_t> players;
    for (std::size_t i = 0; i < pipeline->before().inputs(); ++i) {
      const Step& step = pipeline->before().steps()[i];
      players.insert(players.end(), step.encode == Step::Encode::one_hot ? step.categories : 1,
                     so_far.players[i]);
    }
    so_far.players = std::move(players);
    so_far.before.push_back(&pipeline->before());
    return collect(pipeline->model(), std::move(so_far), parts);
  }
  if (const auto* const ensemble = dynamic_cast<const Ensemble*>(&model)) {
    double sum = 0;
    for (const auto& member : ensemble->members()) sum += member.weight;
    for (const auto& member : ensemble->members()) {
      Part part = so_far;
      part.weight *= member.weight / sum;
      if (auto done = collect(*member.model, std::move(part), parts); !done) return done;
    }
    return {};
  }
  if (const auto* const forest = dynamic_cast<const Forest*>(&model)) {
    so_far.set = &forest->trees();
  } else if (const auto* const boost = dynamic_cast<const Boost*>(&model)) {
    so_far.set = &boost->trees();
    so_far.boost = boost;
  } else {
    return Error{Errc::unsupported, "only models made of trees can be explained"};
  }
  parts.push_back(std::move(so_far));
  return {};
}

// All parts with their trees.
Result<std::vector<Part>> parts_of(const Model& model, internal::ShapRules& rules) {
  Part whole;
  for (std::size_t i = 0; i < model.inputs(); ++i) whole.players.push_back(static_cast<std::uint32_t>(i));
  std::vector<Part> parts;
  if (auto done = collect(model, std::move(whole), parts); !done) return std::move(done).error();
  for (auto& part : parts) {
    auto trees = internal::shap_trees(*part.set, part.players, rules);
    if (!trees) return std::move(trees).error();
    part.trees = std::move(*trees);
  }
  return parts;
}

// By leaf number: the weighted sum of what a leaf holds.
std::vector<double> leaf_values(const TreeSet& set, std::span<const double> weights) {
  std::vector<double> out(set.leaves());
  for (std::size_t k = 0; k < weights.size(); ++k) {
    if (weights[k] == 0) continue;  // all but one, as a rule: and a row alone pays for them all by itself
    for (std::size_t i = 0; i < out.size(); ++i) out[i] += weights[k] * set.value(i, k);
  }
  return out;
}

constexpr double kOne[] = {1};

}  // namespace

struct Explainer::Impl {
  std::shared_ptr<const Model> model;
  Unit unit;
  internal::ShapRules rules;
  std::vector<Part> parts;
  std::size_t inputs_max = 0;  // of all rows on the way to the trees
};

std::size_t Explainer::inputs() const { return impl_->model->inputs(); }
std::size_t Explainer::outputs() const { return impl_->model->outputs(); }
Explainer::Unit Explainer::unit() const { return impl_->unit; }

Result<Explainer> Explainer::make(std::shared_ptr<const Model> model, Unit unit) {
  CHECK(model != nullptr);
  auto impl = std::make_shared<Impl>();
  auto parts = parts_of(*model, impl->rules);
  if (!parts) return std::move(parts).error();
  const std::size_t outputs = model->outputs();
  bool margins = false, shares = false;
  for (auto& part : *parts) {
    (part.boost != nullptr ? margins : shares) = true;
    for (const auto* before : part.before) impl->inputs_max = std::max(impl->inputs_max, before->outputs());
    part.base.assign(outputs, 0);
    if (part.set->width() == 1) part.leaves = leaf_values(*part.set, kOne);
    if (part.boost != nullptr) {
      for (std::size_t g = 0; g < outputs; ++g)
        part.base[g] = static_cast<double>(part.boost->base_margins()[g]);
      for (std::size_t i = 0; i < part.trees.size(); ++i)
        part.base[part.boost->groups()[i]] += mean_of(part.trees[i], part.leaves);
    } else {
      for (std::size_t k = 0; k < outputs; ++k) {
        std::vector<double> one(outputs);
        one[k] = 1;
        const auto values = leaf_values(*part.set, one);
        for (const auto& tree : part.trees) part.base[k] += mean_of(tree, values);
        part.base[k] /= static_cast<double>(part.trees.size());
      }
    }
  }
  if (unit == Unit::margin && margins && shares) {
    return Error{Errc::unsupported,
                 "an ensemble of a forest and boosted trees has no margin: explain its score instead"};
  }
  impl->model = std::move(model);
  impl->unit = unit;
  impl->parts = std::move(*parts);
  return Explainer(std::move(impl));
}

void Explainer::explain(std::span<const float> rows, std::size_t count, std::span<const double> weights,
                        std::span<double> contributions) const {
  const std::size_t inputs = this->inputs(), outputs = this->outputs(), width = inputs + 1;
  CHECK(weights.size() == outputs && rows.size() >= count * inputs && contributions.size() >= count * width);
  std::fill_n(contributions.begin(), count * width, 0.0);
  internal::ShapScratch scratch;
  std::vector<float> prepared[2], margins;
  for (auto& buffer : prepared) buffer.resize(std::min(kBlock, count) * impl_->inputs_max);
  Link link(weights);
  std::vector<double> row_margins(outputs);
  std::vector<double> scales;  // row × group
  std::vector<double> shares;  // by leaf number, of the forest at hand
  for (const Part& part : impl_->parts) {
    const bool single = !part.leaves.empty();  // else weights go into the leaves, once for all rows
    if (!single) shares = leaf_values(*part.set, weights);
    const std::vector<double>& values = single ? part.leaves : shares;
    const bool through_link =
        part.boost != nullptr && impl_->unit == Unit::score && part.boost->link() == Boost::Link::probability;
    const double base = through_link ? link.score(part.base) : dot(weights, part.base);
    for (const auto& tree : part.trees) scratch.make_room(tree);
    for (std::size_t first = 0; first < count; first += kBlock) {
      const std::size_t some = std::min(kBlock, count - first);
      const float* at = rows.data() + first * inputs;
      std::size_t have = inputs, buffer = 0;
      for (const auto* before : part.before) {
        before->apply(std::span(at, some * have), some, prepared[buffer]);
        at = prepared[buffer].data();
        have = before->outputs();
        buffer = 1 - buffer;
      }
      if (through_link) {
        margins.resize(some * outputs);
        scales.resize(some * outputs);
        part.boost->margins(std::span(at, some * have), some, margins);
        for (std::size_t row = 0; row < some; ++row) {
          std::copy_n(margins.begin() + static_cast<std::ptrdiff_t>(row * outputs), outputs,
                      row_margins.begin());
          const auto slopes = std::span(scales).subspan(row * outputs, outputs);
          link.mean_slopes(part.base, row_margins, slopes);
          for (double& slope : slopes) slope *= part.weight;
        }
      }
      double* const out = contributions.data() + first * width;
      for (std::size_t row = 0; row < some; ++row) out[row * width + inputs] += part.weight * base;
      for (std::size_t i = 0; i < part.trees.size(); ++i) {
        const ShapTree& tree = part.trees[i];
        if (tree.steps.empty()) continue;
        const std::size_t group = part.boost != nullptr ? part.boost->groups()[i] : 0;
        const double scale = part.weight * (single ? weights[group] : 1.0) /
                             (part.boost != nullptr ? 1.0 : static_cast<double>(part.trees.size()));
        if (!through_link && scale == 0) continue;
        set_leaves(tree, values, scratch);
        for (std::size_t row = 0; row < some; ++row) {
          const double here = through_link ? scales[row * outputs + group] : scale;
          explain_tree(tree, at + row * have, here, scratch, out + row * width);
        }
      }
    }
  }
}

void explain_attack_score(const Explainer& explainer, std::span<const float> rows, std::size_t count,
                          std::span<double> contributions) {
  CHECK(explainer.unit() == Explainer::Unit::score);
  std::vector<double> weights(explainer.outputs());
  weights[0] = weights.size() == 1 ? 1 : -1;
  explainer.explain(rows, count, weights, contributions);
  if (weights.size() == 1) return;
  const std::size_t width = explainer.inputs() + 1;
  for (std::size_t row = 0; row < count; ++row) contributions[row * width + width - 1] += 1;
}

Result<std::vector<double>> gain_importance(const Model& model) {
  internal::ShapRules rules;
  const auto parts = parts_of(model, rules);
  if (!parts) return parts.error();
  std::vector<double> whole(model.inputs());
  const auto add_shares = [](std::span<const double> gains, double weight, std::span<double> to) {
    double sum = 0;
    for (const double gain : gains) sum += gain;
    if (!(sum > 0)) return;
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += weight * gains[i] / sum;
  };
  std::vector<double> means, cover;
  for (const Part& part : *parts) {
    std::vector<double> gains(model.inputs());
    for (const ShapTree& tree : part.trees) {
      const std::size_t leaves = tree.leaves.size();
      cover.assign(tree.slots(), 0);
      // The trees of a forest drew equally many rows.
      if (!tree.steps.empty()) cover[leaves] = part.boost != nullptr ? tree.weight : 1;
      for (std::size_t i = 0; i < tree.steps.size(); ++i) {
        const auto& step = tree.steps[i];
        for (const int side : {0, 1}) cover[step.child[side]] = cover[leaves + i] * step.share[side];
      }
      means.assign(tree.slots(), 0);
      for (std::size_t k = 0; k < part.set->width(); ++k) {
        for (std::size_t i = 0; i < leaves; ++i) means[i] = part.set->value(tree.leaves[i], k);
        for (std::size_t i = tree.steps.size(); i-- > 0;) {
          const auto& step = tree.steps[i];
          const double left = means[step.child[0]], right = means[step.child[1]];
          means[leaves + i] = step.share[0] * left + step.share[1] * right;
          gains[step.player] +=
              cover[leaves + i] * step.share[0] * step.share[1] * (left - right) * (left - right);
        }
      }
    }
    add_shares(gains, part.weight, whole);
  }
  std::vector<double> out(whole.size());
  add_shares(whole, 1, out);
  return out;
}

}  // namespace nidus::model
