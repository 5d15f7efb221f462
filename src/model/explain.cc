#include "model/explain.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"
#include "model/additive_trees.h"
#include "model/boost.h"
#include "model/calibration.h"
#include "model/ensemble.h"
#include "model/forest.h"
#include "model/internal/explain_fusion.h"
#include "model/internal/shap_tree.h"
#include "model/preprocess.h"
#include "model/readout.h"
#include "model/shares.h"
#include "model/transform.h"

namespace nidus::model {
namespace {

using internal::ShapTree;

constexpr std::size_t kBlock = 64;

// What becomes of the sums of trees before they are scores.
enum class Squash : std::uint8_t { none, logistic, softmax, isolation };  // logistic: of each sum by itself

// One set of trees, or one sum over columns as of an autoencoder, or one fusion, and how a row gets there.
struct Part {
  double weight = 1;  // in the whole
  std::vector<std::variant<const Preprocessor*, const Transform*>> before;
  bool wide = false;                   // some of it computes in double
  std::vector<std::uint32_t> players;  // by feature of the trees: the column of the whole model
  std::vector<std::uint32_t> order;    // by output of the whole: that of the part
  bool turned = false;                 // the score is one minus that of the part
  bool margins_are_squashed = false;   // by a readout in front

  // One of these: a forest has neither.
  const Boost* boost = nullptr;
  const AdditiveTrees* additive = nullptr;
  const ColumnShares* summed = nullptr;
  bool summed_is_wide = false;
  std::shared_ptr<const internal::FusionExplainer> fusion;

  const TreeSet* set = nullptr;
  Squash squash = Squash::none;
  double factor = 1;  // of the sums, before they are squashed
  std::vector<ShapTree> trees;
  std::vector<double> base;    // by output of the part: shares or sums when nothing is known
  std::vector<double> leaves;  // where trees have an output each: value by leaf number

  bool is_trees() const { return set != nullptr; }
  bool is_forest() const { return is_trees() && boost == nullptr && additive == nullptr; }
  std::span<const std::uint32_t> groups() const {
    return boost != nullptr      ? boost->groups()
           : additive != nullptr ? additive->parts().groups.span()
                                 : std::span<const std::uint32_t>();
  }
  double divisor() const { return is_forest() ? static_cast<double>(trees.size()) : 1; }
};

double logistic(double margin) { return 1 / (1 + std::exp(-margin)); }

double dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// From the sums of trees to scores, for one weighted sum of scores.
class Link {
 public:
  Link(std::span<const double> weights, Squash squash, double factor)
      : weights_(weights),
        squash_(squash),
        factor_(factor),
        way_(weights.size()),
        at_(weights.size()),
        shares_(weights.size()) {}

  // The weighted sum of the scores.
  double score(std::span<const double> sums) {
    if (squash_ == Squash::softmax) {
      softmax(sums);
      return dot(weights_, shares_);
    }
    double out = 0;
    for (std::size_t g = 0; g < sums.size(); ++g) out += weights_[g] * alone(sums[g]);
    return out;
  }

  // The mean slope of the weighted sum along each sum, on the straight way from `base` to `sums`: the sum
  // over g of slope g × (sums g - base g) is the difference of the weighted sums.
  void mean_slopes(std::span<const double> base, std::span<const double> sums, std::span<double> slopes) {
    const std::size_t groups = sums.size();
    if (squash_ != Squash::softmax) {
      for (std::size_t g = 0; g < groups; ++g) {
        const double way = sums[g] - base[g];
        slopes[g] = weights_[g] * (std::abs(factor_ * way) > 1e-4 ? (alone(sums[g]) - alone(base[g])) / way
                                                                  : slope_alone(base[g] + way / 2));
      }
      return;
    }
    const double change = score(sums) - score(base);
    double longest = 0, square = 0;
    for (std::size_t g = 0; g < groups; ++g) {
      way_[g] = sums[g] - base[g];
      longest = std::max(longest, std::abs(factor_ * way_[g]));
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
      for (std::size_t g = 0; g < groups; ++g)
        slopes[g] += simpson * factor_ * shares_[g] * (weights_[g] - mean);
    }
    // What the rule missed goes where the sums moved, so that all adds up exactly.
    const double missed = change - dot(slopes, way_);
    if (square > 0) {
      for (std::size_t g = 0; g < groups; ++g) slopes[g] += missed * way_[g] / square;
    }
  }

 private:
  double alone(double sum) const {
    return squash_ == Squash::isolation ? std::exp2(-factor_ * sum) : logistic(factor_ * sum);
  }
  double slope_alone(double sum) const {
    const double value = alone(sum);
    return squash_ == Squash::isolation ? -factor_ * std::numbers::ln2 * value
                                        : factor_ * value * (1 - value);
  }
  void softmax(std::span<const double> sums) {
    const double highest = factor_ * (factor_ < 0 ? *std::min_element(sums.begin(), sums.end())
                                                  : *std::max_element(sums.begin(), sums.end()));
    double all = 0;
    for (std::size_t g = 0; g < sums.size(); ++g) all += shares_[g] = std::exp(factor_ * sums[g] - highest);
    for (double& share : shares_) share /= all;
  }

  std::span<const double> weights_;
  Squash squash_;
  double factor_;
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
    so_far.before.emplace_back(&pipeline->before());
    return collect(pipeline->model(), std::move(so_far), parts);
  }
  if (const auto* const transformed = dynamic_cast<const TransformedModel*>(&model)) {
    auto players = transformed->before().sources();
    if (players.empty()) {
      return Error{Errc::unsupported,
                   transformed->before().describe() +
                       ": mixes columns, so that what is said of the mixtures cannot be said of them"};
    }
    for (auto& player : players) player = so_far.players[player];
    so_far.players = std::move(players);
    so_far.before.emplace_back(&transformed->before());
    so_far.wide = true;
    return collect(transformed->model(), std::move(so_far), parts);
  }
  if (const auto* const readout = dynamic_cast<const Readout*>(&model)) {
    if (readout->outputs() == 1) {
      so_far.turned = so_far.turned != (readout->order()[0] == 1);
    } else {
      for (auto& output : so_far.order) output = readout->order()[output];
    }
    so_far.margins_are_squashed = readout->model().scale() == Scale::margin;
    return collect(readout->model(), std::move(so_far), parts);
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
  const Squash by_readout = !so_far.margins_are_squashed ? Squash::none
                            : so_far.order.size() == 1   ? Squash::logistic
                                                         : Squash::softmax;
  if (const auto* const forest = dynamic_cast<const Forest*>(&model)) {
    so_far.set = &forest->trees();
  } else if (const auto* const boost = dynamic_cast<const Boost*>(&model)) {
    so_far.set = &boost->trees();
    so_far.boost = boost;
    so_far.squash = boost->scale() == Scale::margin ? by_readout
                    : boost->outputs() == 1         ? Squash::logistic
                                                    : Squash::softmax;
  } else if (const auto* const additive = dynamic_cast<const AdditiveTrees*>(&model)) {
    so_far.set = &additive->trees();
    so_far.additive = additive;
    so_far.factor = additive->parts().factor;
    switch (additive->parts().link) {
      case AdditiveTrees::Link::identity:
        so_far.squash = by_readout;
        so_far.factor = 1;
        break;
      case AdditiveTrees::Link::logistic:
      case AdditiveTrees::Link::one_vs_all:
        so_far.squash = Squash::logistic;
        break;
      case AdditiveTrees::Link::softmax:
        so_far.squash = Squash::softmax;
        break;
      case AdditiveTrees::Link::isolation:
        so_far.squash = Squash::isolation;
        break;
    }
  } else if (const auto* const summed = dynamic_cast<const ColumnShares*>(&model)) {
    so_far.summed = summed;
    so_far.summed_is_wide = model.is_wide();
  } else if (const auto* const fusion = dynamic_cast<const Fusion*>(&model)) {
    auto inner = internal::FusionExplainer::make(*fusion);
    if (!inner) return std::move(inner).error();
    so_far.fusion = std::make_shared<const internal::FusionExplainer>(std::move(*inner));
  } else {
    return Error{
        Errc::unsupported,
        "reasons can be told of trees, of sums over columns and of errors of autoencoders, not of a " +
            model.describe()};
  }
  parts.push_back(std::move(so_far));
  return {};
}

// All parts with their trees.
Result<std::vector<Part>> parts_of(const Model& model, internal::ShapRules& rules) {
  Part whole;
  for (std::size_t i = 0; i < model.inputs(); ++i) whole.players.push_back(static_cast<std::uint32_t>(i));
  for (std::size_t i = 0; i < model.outputs(); ++i) whole.order.push_back(static_cast<std::uint32_t>(i));
  std::vector<Part> parts;
  if (auto done = collect(model, std::move(whole), parts); !done) return std::move(done).error();
  for (auto& part : parts) {
    if (part.set == nullptr) continue;
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

std::vector<double> unit_vector(std::size_t size, std::size_t at) {
  std::vector<double> out(size);
  out[at] = 1;
  return out;
}

}  // namespace

struct Explainer::Impl {
  std::shared_ptr<const Model> model;
  Unit unit;
  internal::ShapRules rules;
  std::vector<Part> parts;
  // The curve behind it all, if there is one; the parts are of the model in front of it.
  const Calibration* curve = nullptr;
};

std::size_t Explainer::inputs() const { return impl_->model->inputs(); }
std::size_t Explainer::outputs() const { return impl_->model->outputs(); }
Explainer::Unit Explainer::unit() const { return impl_->unit; }

Result<Explainer> Explainer::make(std::shared_ptr<const Model> model, Unit unit) {
  CHECK(model != nullptr);
  auto impl = std::make_shared<Impl>();
  const auto* const curve = dynamic_cast<const Calibration*>(model.get());
  if (curve != nullptr && curve->outputs() == 1 && unit == Unit::score) impl->curve = curve;
  auto parts = parts_of(impl->curve != nullptr ? curve->inner() : *model, impl->rules);
  if (!parts) return std::move(parts).error();
  const std::size_t outputs = model->outputs();
  bool margins = false, shares = false;
  for (auto& part : *parts) {
    (part.squash != Squash::none ? margins : shares) = true;
    part.base.assign(outputs, 0);
    if (!part.is_trees()) continue;
    for (std::size_t g = 0; g < outputs; ++g) {
      if (part.boost != nullptr) part.base[g] = static_cast<double>(part.boost->base_margins()[g]);
      if (part.additive != nullptr) part.base[g] = part.additive->parts().base[g];
    }
    const bool each_its_own = part.set->width() == 1 && !part.is_forest();
    if (each_its_own) {
      part.leaves = leaf_values(*part.set, kOne);
      for (std::size_t i = 0; i < part.trees.size(); ++i)
        part.base[part.groups().empty() ? 0 : part.groups()[i]] += mean_of(part.trees[i], part.leaves);
      continue;
    }
    for (std::size_t k = 0; k < outputs; ++k) {
      const auto values = leaf_values(*part.set, unit_vector(outputs, k));
      double sum = 0;
      for (const auto& tree : part.trees) sum += mean_of(tree, values);
      part.base[k] += sum / part.divisor();
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

namespace {

// Rows on their way through what stands before a part.
class Way {
 public:
  // At most kBlock of them; valid until the next call.
  std::span<const float> through(const Part& part, std::span<const float> rows, std::size_t count) {
    if (part.wide) {
      const auto wide = through_wide(part, rows, count);
      narrow_[0].assign(wide.begin(), wide.end());
      return narrow_[0];
    }
    std::size_t buffer = 0;
    for (const auto& before : part.before) {
      const Preprocessor& step = *std::get<const Preprocessor*>(before);
      narrow_[buffer].resize(count * step.outputs());
      step.apply(rows, count, narrow_[buffer]);
      rows = narrow_[buffer];
      buffer = 1 - buffer;
    }
    return rows;
  }

  std::span<const double> through_wide(const Part& part, std::span<const float> rows, std::size_t count) {
    wide_[0].assign(rows.begin(), rows.end());
    for (const auto& before : part.before) {
      if (const auto* const* transform = std::get_if<const Transform*>(&before)) {
        wide_[1].resize(count * (*transform)->outputs());
        (*transform)->apply(wide_[0], count, wide_[1]);
      } else {
        const Preprocessor& step = *std::get<const Preprocessor*>(before);
        const std::vector<float> in(wide_[0].begin(), wide_[0].end());
        std::vector<float> out(count * step.outputs());
        step.apply(in, count, out);
        wide_[1].assign(out.begin(), out.end());
      }
      wide_[0].swap(wide_[1]);
    }
    return wide_[0];
  }

 private:
  std::vector<float> narrow_[2];
  std::vector<double> wide_[2];
};

// Carries contributions to a score through a curve, with its mean slope from the base to the score.
void follow(const Calibration& curve, std::size_t inputs, std::span<double> contributions) {
  const double base = contributions[inputs];
  double way = 0;
  for (std::size_t i = 0; i < inputs; ++i) way += contributions[i];
  const double from = curve.after(base), to = curve.after(base + way);
  // Hostile leaves may add up to no number; then nothing can be said of the columns.
  const double slope = way == 0 || !std::isfinite(way) ? 0 : (to - from) / way;
  for (std::size_t i = 0; i < inputs; ++i) contributions[i] = slope == 0 ? 0 : contributions[i] * slope;
  contributions[inputs] = from;
}

// The sums of the trees of a part before they are squashed.
void sums_of(const Part& part, std::span<const float> rows, std::size_t count, std::vector<float>& singles,
             std::span<double> sums) {
  if (part.additive != nullptr) return part.additive->sums(rows, count, sums);
  singles.resize(sums.size());
  part.boost->margins(rows, count, singles);
  std::copy(singles.begin(), singles.end(), sums.begin());
}

}  // namespace

void Explainer::explain(std::span<const float> rows, std::size_t count, std::span<const double> weights,
                        std::span<double> contributions) const {
  const std::size_t inputs = this->inputs(), outputs = this->outputs(), width = inputs + 1;
  CHECK(weights.size() == outputs && rows.size() >= count * inputs && contributions.size() >= count * width);
  std::fill_n(contributions.begin(), count * width, 0.0);
  const double weight = weights[0];  // of what is behind a curve
  if (impl_->curve != nullptr) weights = kOne;
  internal::ShapScratch scratch;
  Way way;
  std::vector<float> singles;
  std::vector<double> sums, slopes, shares, own(outputs);
  std::vector<std::vector<double>> by_output;  // where a tree adds to several outputs that are squashed
  for (const Part& part : impl_->parts) {
    // Weights of the part's own outputs, and what its turning round adds.
    double turned = 0;
    for (std::size_t k = 0; k < outputs; ++k) own[part.order[k]] = weights[k];
    if (part.turned) {
      turned = own[0];
      own[0] = -own[0];
    }
    if (!part.is_trees()) {
      for (std::size_t first = 0; first < count; first += kBlock) {
        const std::size_t some = std::min(kBlock, count - first);
        const auto from = way.through_wide(part, rows.subspan(first * inputs, some * inputs), some);
        const std::size_t have = part.players.size();
        shares.resize(some * (have + 1));
        singles.assign(from.begin(), from.end());
        if (part.fusion != nullptr) {
          part.fusion->explain(singles, some, own, shares);
        } else if (part.summed_is_wide) {
          part.summed->shares(from, some, shares);
        } else {
          part.summed->shares(std::span<const float>(singles), some, shares);
        }
        const std::size_t stride = part.fusion != nullptr ? have + 1 : have;
        const double by = part.weight * (part.fusion != nullptr ? 1 : own[0]);
        for (std::size_t row = 0; row < some; ++row) {
          double* const out = contributions.data() + (first + row) * width;
          for (std::size_t i = 0; i < have; ++i) out[part.players[i]] += by * shares[row * stride + i];
          out[inputs] += part.weight * turned;
          if (part.fusion != nullptr) out[inputs] += by * shares[row * stride + have];
        }
      }
      continue;
    }
    const bool single = !part.leaves.empty();
    const bool through_link = part.squash != Squash::none && impl_->unit == Unit::score;
    // Without a link weights go into the leaves, once for all rows.
    by_output.clear();
    if (!single && through_link) {
      for (std::size_t k = 0; k < outputs; ++k)
        by_output.push_back(leaf_values(*part.set, unit_vector(outputs, k)));
    } else if (!single) {
      by_output.push_back(leaf_values(*part.set, own));
    }
    Link link(own, part.squash, part.factor);
    const double base = (through_link ? link.score(part.base) : dot(own, part.base)) + turned;
    for (const auto& tree : part.trees) scratch.make_room(tree);
    for (std::size_t first = 0; first < count; first += kBlock) {
      const std::size_t some = std::min(kBlock, count - first);
      const auto at = way.through(part, rows.subspan(first * inputs, some * inputs), some);
      const std::size_t have = at.size() / some;
      if (through_link) {
        sums.resize(some * outputs);
        slopes.resize(some * outputs);
        sums_of(part, at, some, singles, sums);
        for (std::size_t row = 0; row < some; ++row) {
          const auto of_row = std::span(slopes).subspan(row * outputs, outputs);
          link.mean_slopes(part.base, std::span(sums).subspan(row * outputs, outputs), of_row);
          for (double& slope : of_row) slope *= part.weight;
        }
      }
      double* const out = contributions.data() + first * width;
      for (std::size_t row = 0; row < some; ++row) out[row * width + inputs] += part.weight * base;
      for (std::size_t i = 0; i < part.trees.size(); ++i) {
        const ShapTree& tree = part.trees[i];
        if (tree.steps.empty()) continue;
        const std::size_t group = single && !part.groups().empty() ? part.groups()[i] : 0;
        for (std::size_t k = 0; k < std::max<std::size_t>(by_output.size(), 1); ++k) {
          const std::size_t output = single ? group : k;
          const double scale = part.weight * (single ? own[group] : 1.0) / part.divisor();
          if (!through_link && scale == 0) continue;
          set_leaves(tree, single ? part.leaves : by_output[k], scratch);
          for (std::size_t row = 0; row < some; ++row) {
            const double here = through_link ? slopes[row * outputs + output] : scale;
            explain_tree(tree, at.data() + row * have, here, scratch, out + row * width);
          }
        }
      }
    }
  }
  if (impl_->curve == nullptr) return;
  for (std::size_t row = 0; row < count; ++row) {
    const auto out = contributions.subspan(row * width, width);
    follow(*impl_->curve, inputs, out);
    for (double& part : out) part *= weight;
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
  // A curve behind it all takes no impurity away.
  if (const auto* const curve = dynamic_cast<const Calibration*>(&model))
    return gain_importance(curve->inner());
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
    if (!part.is_trees()) return Error{Errc::unsupported, "only trees have splits to gain by"};
    std::vector<double> gains(model.inputs());
    for (const ShapTree& tree : part.trees) {
      const std::size_t leaves = tree.leaves.size();
      cover.assign(tree.slots(), 0);
      // The trees of a forest drew equally many rows.
      if (!tree.steps.empty()) cover[leaves] = part.is_forest() ? 1 : tree.weight;
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
