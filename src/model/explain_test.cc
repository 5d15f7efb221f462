#include "model/explain.h"

#include <gmock/gmock.h>

#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "model/additive_trees.h"
#include "model/boost.h"
#include "model/calibration.h"
#include "model/ensemble.h"
#include "model/explained_model.h"
#include "model/forest.h"
#include "model/network.h"
#include "model/preprocess.h"
#include "model/readout.h"
#include "model/reconstruction.h"
#include "model/testing.h"
#include "model/transform.h"

namespace nidus::model {
namespace {

using ::testing::HasSubstr;

struct Covered {
  std::vector<float> thresholds, weights;
  TreeSet trees;
};

Covered draw_covered(std::uint64_t seed, std::size_t trees, std::size_t inputs, std::size_t nodes_max,
                     std::size_t width, bool missing_right) {
  auto drawn = testing::draw_trees(seed, trees, inputs, nodes_max, width, missing_right);
  auto weights = testing::draw_weights(seed, drawn.parts);
  drawn.parts.covers = TreeSet::pack_covers(drawn.parts.nodes.span(), drawn.parts.roots.span(), weights);
  auto set = TreeSet::make(std::move(drawn.parts));
  EXPECT_TRUE(set);
  return {std::move(drawn.thresholds), std::move(weights), std::move(*set)};
}

// What a tree says when only the players in `known` are: from the definition.
double say(const Covered& drawn, std::size_t tree, std::size_t at, const float* row, std::uint32_t known,
           std::span<const std::uint32_t> players, std::size_t output) {
  const auto& parts = drawn.trees.parts();
  const std::size_t root = parts.roots[tree];
  const Node node = parts.nodes[root + at];
  if (node.is_leaf()) return drawn.trees.value(node.leaf_number(), output);
  const auto below = [&](std::size_t child) { return say(drawn, tree, child, row, known, players, output); };
  if ((known >> players[node.feature()] & 1) != 0) {
    const float value = row[node.feature()];
    bool right = value > node.threshold();
    if (std::isnan(value) && !parts.missing_right.empty())
      right = (parts.missing_right[(root + at) / 64] >> ((root + at) % 64) & 1) != 0;
    return below(node.left() + (right ? 1 : 0));
  }
  const auto weight = [&](std::size_t i) { return static_cast<double>(drawn.weights[root + i]); };
  // Where no training row came by, the format has no shares and all goes right.
  const double share = weight(at) > 0 ? weight(node.left()) / weight(at) : 0;
  return share * below(node.left()) + (1 - share) * below(node.left() + 1);
}

// Shapley values by all subsets, and what the trees say with nothing known behind them.
std::vector<double> brute_force(const Covered& drawn, const float* row,
                                std::span<const std::uint32_t> players, std::size_t count,
                                std::size_t output) {
  std::vector<double> worth(std::size_t{1} << count);
  for (std::uint32_t known = 0; known < worth.size(); ++known) {
    for (std::size_t tree = 0; tree < drawn.trees.trees(); ++tree)
      worth[known] += say(drawn, tree, 0, row, known, players, output);
  }
  std::vector<double> out(count + 1);
  const auto factorial = [](std::size_t n) { return std::tgamma(static_cast<double>(n) + 1); };
  for (std::size_t i = 0; i < count; ++i) {
    for (std::uint32_t known = 0; known < worth.size(); ++known) {
      if ((known >> i & 1) != 0) continue;
      const auto size = static_cast<std::size_t>(std::popcount(known));
      out[i] += factorial(size) * factorial(count - 1 - size) / factorial(count) *
                (worth[known | 1u << i] - worth[known]);
    }
  }
  out[count] = worth[0];
  return out;
}

std::vector<double> explain(const Explainer& explainer, std::span<const float> rows, std::size_t count,
                            const std::vector<double>& weights) {
  std::vector<double> out(count * (explainer.inputs() + 1));
  explainer.explain(rows, count, weights, out);
  return out;
}

Explainer explainer_of(const Model& model, Explainer::Unit unit = Explainer::Unit::margin) {
  auto made = Explainer::make(std::shared_ptr<const Model>(&model, [](const Model*) {}), unit);
  EXPECT_TRUE(made) << made.error().message;
  return *made;
}

TEST(Explainer, AgreesWithAllSubsetsOnSmallTrees) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    // Few inputs and many nodes, so that columns split again and again on a path.
    const std::size_t inputs = 1 + seed % 6, width = seed % 4 == 0 ? 3 : 1, trees = 1 + seed % 3;
    const auto drawn = draw_covered(seed, trees, inputs, 3 + 4 * (seed % 8), width, seed % 2 == 0);
    const auto forest = *Forest::make(drawn.trees);
    const auto explainer = explainer_of(forest);
    const auto rows = testing::draw_rows(seed, drawn.thresholds, 9, inputs, true);
    std::vector<std::uint32_t> players(inputs);
    for (std::size_t i = 0; i < inputs; ++i) players[i] = static_cast<std::uint32_t>(i);
    for (std::size_t output = 0; output < width; ++output) {
      std::vector<double> one(width);
      one[output] = 1;
      const auto found = explain(explainer, rows, 9, one);
      for (std::size_t row = 0; row < 9; ++row) {
        const auto expected = brute_force(drawn, &rows[row * inputs], players, inputs, output);
        for (std::size_t i = 0; i <= inputs; ++i) {
          ASSERT_NEAR(found[row * (inputs + 1) + i], expected[i] / static_cast<double>(trees), 1e-7)
              << "seed " << seed << " row " << row << " column " << i;
        }
      }
    }
  }
}

// One-hot columns are one player.
TEST(Explainer, WhatPreprocessingMakesOfAColumnIsOnePlayer) {
  Step scale;
  scale.fill_missing = true;
  scale.shift = 1;
  scale.scale = 0.5f;
  Step hot;
  hot.encode = Step::Encode::one_hot;
  hot.categories = 3;
  const auto before = *Preprocessor::make({scale, hot, scale});
  const std::vector<std::uint32_t> players = {0, 1, 1, 1, 2};
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto drawn = draw_covered(seed, 1, 5, 31, 1, false);
    const auto pipeline = *Pipeline::make(before, std::make_shared<Forest>(*Forest::make(drawn.trees)));
    const std::vector<float> rows = {0.5f, 1, 3, -2, 2, 0.25f, 1, std::numeric_limits<float>::quiet_NaN(), 8};
    std::vector<float> inner(15);
    before.apply(rows, 3, inner);
    const auto found = explain(explainer_of(pipeline), rows, 3, {1});
    for (std::size_t row = 0; row < 3; ++row) {
      const auto expected = brute_force(drawn, &inner[row * 5], players, 3, 0);
      for (std::size_t i = 0; i <= 3; ++i) ASSERT_NEAR(found[row * 4 + i], expected[i], 1e-7) << seed;
    }
  }
}

double sum(std::span<const double> values) {
  double total = 0;
  for (const double value : values) total += value;
  return total;
}

// Deep, lopsided trees with up to 60 columns on a path: every number of points, and the general kernel.
TEST(Explainer, ContributionsAndBaseAddUpToWhatTheForestSays) {
  for (std::uint64_t seed = 1; seed <= 24; ++seed) {
    const std::size_t inputs = 3 * seed, width = seed % 5 == 0 ? 4 : 1, count = seed % 2 == 0 ? 1 : 130;
    const auto drawn = draw_covered(seed, 7, inputs, 1501, width, seed % 3 == 0);
    const auto forest = *Forest::make(drawn.trees);
    const auto rows = testing::draw_rows(seed, drawn.thresholds, count, inputs, true);
    const auto scores = all_scores(forest, rows, count);
    for (const auto unit : {Explainer::Unit::margin, Explainer::Unit::score}) {
      for (std::size_t output = 0; output < width; ++output) {
        std::vector<double> one(width);
        one[output] = 1;
        const auto found = explain(explainer_of(forest, unit), rows, count, one);
        for (std::size_t row = 0; row < count; ++row) {
          ASSERT_NEAR(sum(std::span(found).subspan(row * (inputs + 1), inputs + 1)),
                      scores[row * width + output], 1e-9)
              << seed;
        }
      }
    }
  }
}

Boost boost_of(const Covered& drawn, std::size_t groups) {
  std::vector<std::uint32_t> group(drawn.trees.trees());
  for (std::size_t i = 0; i < group.size(); ++i) group[i] = static_cast<std::uint32_t>(i % groups);
  std::vector<float> base(groups);
  for (std::size_t i = 0; i < groups; ++i) base[i] = 0.25f * static_cast<float>(i) - 0.5f;
  auto boost = Boost::make(drawn.trees, group, base);
  EXPECT_TRUE(boost);
  return *boost;
}

TEST(Explainer, ContributionsAndBaseAddUpToMarginsAndScoresOfBoostedTrees) {
  for (std::uint64_t seed = 1; seed <= 16; ++seed) {
    const std::size_t groups = seed % 2 == 0 ? 1 : 2 + seed % 4, inputs = 8, count = 70;
    const auto drawn = draw_covered(seed, 40, inputs, 61, 1, true);
    const auto boost = boost_of(drawn, groups);
    const auto rows = testing::draw_rows(seed, drawn.thresholds, count, inputs, true);
    std::vector<float> margins(count * groups);
    boost.margins(rows, count, margins);
    const auto scores = all_scores(boost, rows, count);
    for (std::size_t group = 0; group < groups; ++group) {
      std::vector<double> one(groups);
      one[group] = 1;
      const auto of_margin = explain(explainer_of(boost), rows, count, one);
      const auto of_score = explain(explainer_of(boost, Explainer::Unit::score), rows, count, one);
      for (std::size_t row = 0; row < count; ++row) {
        const auto part = [&](const auto& all) {
          return std::span(all).subspan(row * (inputs + 1), inputs + 1);
        };
        // The margin itself is a sum of floats.
        const auto margin = static_cast<double>(margins[row * groups + group]);
        ASSERT_NEAR(sum(part(of_margin)), margin, 1e-6 * std::max(1.0, std::abs(margin)));
        ASSERT_NEAR(sum(part(of_score)), scores[row * groups + group], 1e-6);
      }
    }
  }
}

// With one margin the contributions to the score are those to the margin, stretched.
TEST(Explainer, TheLinkKeepsTheProportionsOfOneMargin) {
  const auto drawn = draw_covered(3, 30, 6, 31, 1, true);
  const auto boost = boost_of(drawn, 1);
  const auto rows = testing::draw_rows(3, drawn.thresholds, 5, 6, true);
  const auto margin = explain(explainer_of(boost), rows, 5, {1});
  const auto score = explain(explainer_of(boost, Explainer::Unit::score), rows, 5, {1});
  for (std::size_t row = 0; row < 5; ++row) {
    const double factor = score[row * 7] / margin[row * 7];
    EXPECT_GT(factor, 0);
    for (std::size_t i = 1; i < 6; ++i) EXPECT_NEAR(score[row * 7 + i], factor * margin[row * 7 + i], 1e-12);
  }
}

TEST(Explainer, AnEnsembleOfForestAndBoostedTreesAddsUpToItsScore) {
  for (const std::size_t classes : {1u, 4u}) {
    const auto of_forest = draw_covered(5, 9, 7, 201, classes, false);
    const auto of_boost = draw_covered(6, 24, 7, 31, 1, true);
    const auto forest = std::make_shared<Forest>(*Forest::make(of_forest.trees));
    const auto boost = std::make_shared<Boost>(boost_of(of_boost, classes));
    const auto whole = *Ensemble::make({{forest, 1}, {boost, 3}});
    const auto rows = testing::draw_rows(7, of_forest.thresholds, 90, 7, true);
    const auto explainer = explainer_of(whole, Explainer::Unit::score);
    std::vector<double> found(90 * 8);
    explain_attack_score(explainer, rows, 90, found);
    const auto scores = all_scores(whole, rows, 90);
    for (std::size_t row = 0; row < 90; ++row) {
      // The shares of this forest do not add up to one, so its attack score is one minus the first.
      const double expected = classes == 1 ? scores[row] : 1 - scores[row * classes];
      ASSERT_NEAR(sum(std::span(found).subspan(row * 8, 8)), expected, 1e-6);
    }
    const auto refused =
        Explainer::make(std::shared_ptr<const Model>(&whole, [](const Model*) {}), Explainer::Unit::margin);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("explain its score instead"));
  }
}

TEST(Explainer, WhatACurveMakesOfAScoreAddsUpToo) {
  const Covered drawn = draw_covered(31, 12, 5, 31, 1, false);
  TreeSet trees = drawn.trees;
  const auto forest = std::make_shared<Forest>(std::move(*Forest::make(std::move(trees))));
  Calibration::Curve steps, sigmoid;
  steps.kind = Calibration::Curve::Kind::steps;
  steps.x = {0.2, 0.4, 0.5, 0.9};
  steps.y = {0.01, 0.02, 0.7, 0.95};
  sigmoid.kind = Calibration::Curve::Kind::sigmoid;
  sigmoid.a = -9;
  sigmoid.b = 4.5;
  for (const auto& curve : {steps, sigmoid}) {
    const auto model =
        std::make_shared<Calibration>(*Calibration::make(forest, {curve}, Calibration::Ending::none));
    const auto plain = Explainer::make(forest, Explainer::Unit::score);
    const auto curved = Explainer::make(model, Explainer::Unit::score);
    ASSERT_TRUE(plain && curved);
    EXPECT_EQ(*gain_importance(*model), *gain_importance(*forest));
    const std::size_t count = 70;
    const auto rows = testing::draw_rows(5, drawn.thresholds, count, 5, true);
    std::vector<double> before(count * 6), after(count * 6);
    explain_attack_score(*plain, rows, count, before);
    explain_attack_score(*curved, rows, count, after);
    const auto scores = all_scores(*model, std::span<const float>(rows), count);
    for (std::size_t row = 0; row < count; ++row) {
      double sum = 0;
      for (std::size_t i = 0; i < 6; ++i) sum += after[row * 6 + i];
      EXPECT_NEAR(sum, scores[row], 1e-6) << row;
      EXPECT_NEAR(after[row * 6 + 5], model->after(before[row * 6 + 5]), 1e-12);
      // One slope for all columns, and it never falls.
      for (std::size_t i = 0; i < 5; ++i) EXPECT_GE(after[row * 6 + i] * before[row * 6 + i], 0);
    }
  }
  EXPECT_FALSE(Explainer::make(
      std::make_shared<Calibration>(*Calibration::make(forest, {steps}, Calibration::Ending::none)),
      Explainer::Unit::margin));
}

TEST(Explainer, ARowIsExplainedTheSameAloneAndInABatch) {
  const auto drawn = draw_covered(8, 20, 12, 401, 1, true);
  const auto forest = *Forest::make(drawn.trees);
  const auto rows = testing::draw_rows(8, drawn.thresholds, 100, 12, true);
  const auto explainer = explainer_of(forest);
  const auto all = explain(explainer, rows, 100, {1});
  for (std::size_t row = 0; row < 100; ++row) {
    const auto alone = explain(explainer, std::span(rows).subspan(row * 12, 12), 1, {1});
    for (std::size_t i = 0; i < 13; ++i) ASSERT_EQ(alone[i], all[row * 13 + i]);
  }
}

// Leaves that several nodes share are explained as if each had its own.
TEST(Explainer, SharedLeavesAreExplainedAsBefore) {
  auto drawn = draw_covered(12, 40, 7, 301, 1, true);
  auto parts = drawn.trees.parts();
  std::vector<Node> nodes(parts.nodes.begin(), parts.nodes.end());
  std::vector<std::uint32_t> roots(parts.roots.begin(), parts.roots.end());
  std::vector<std::uint64_t> missing(parts.missing_right.begin(), parts.missing_right.end());
  TreeSet::share_leaves(nodes, roots, missing);
  ASSERT_LT(nodes.size(), parts.nodes.size());
  parts.nodes = std::move(nodes);
  parts.roots = std::move(roots);
  parts.missing_right = std::move(missing);
  const auto before = *Forest::make(drawn.trees);
  const auto after = *Forest::make(*TreeSet::make(std::move(parts)));
  const auto rows = testing::draw_rows(12, drawn.thresholds, 50, 7, true);
  EXPECT_EQ(explain(explainer_of(after), rows, 50, {1}), explain(explainer_of(before), rows, 50, {1}));
  EXPECT_EQ(*gain_importance(after), *gain_importance(before));
}

TEST(Explainer, RefusesWhatItCannotExplain) {
  const auto without = *Forest::make(*TreeSet::make(testing::draw_trees(1, 2, 3, 9, 1, false).parts));
  const auto make = [](const Model& model) {
    return Explainer::make(std::shared_ptr<const Model>(&model, [](const Model*) {}), Explainer::Unit::score);
  };
  EXPECT_EQ(make(without).error().code, Errc::unsupported);
  EXPECT_EQ(gain_importance(without).error().code, Errc::unsupported);

  // Node 3 is a child of both inner nodes, which a walk does not mind.
  TreeSet::Parts parts;
  parts.inputs = 1;
  parts.nodes = std::vector<Node>{Node::inner(1, 0, 1), Node::inner(2, 0, 3), Node::inner(3, 0, 3),
                                  Node::inner(4, 0, 5), Node::leaf(4, 0),     Node::leaf(5, 0),
                                  Node::leaf(6, 0)};
  parts.roots = std::vector<std::uint32_t>{0, 7};
  parts.leaves = std::vector<float>{0.5f};
  parts.covers = std::vector<float>{4, 0.5f, 0.5f, 0.5f, 0.5f};
  const auto twice = *Forest::make(*TreeSet::make(parts));
  EXPECT_THAT(make(twice).error().message, HasSubstr("node 3 has two parents"));
}

// On paper: of the 8 rows 6 go left at the root, whose mean is 0.25, and 2 go right, mean 1; the left side is
// split 3 to 3 into 0 and 0.5. Drops: 8 × (6/8 × 2/8) × 0.75² and 6 × (1/2 × 1/2) × 0.5².
// Trees with covers, behind a transform that swaps columns, with each link, read out in another order:
// contributions and base add up to the score, and columns that no tree asks get nothing.
TEST(Explainer, ModelsOfOtherProgramsAddUpToo) {
  using Link = AdditiveTrees::Link;
  for (const Link link : {Link::identity, Link::logistic, Link::softmax, Link::one_vs_all, Link::isolation}) {
    for (const bool wide_leaf : {false, true}) {
      SCOPED_TRACE(static_cast<int>(link) * 2 + (wide_leaf ? 1 : 0));
      const std::size_t outputs = link == Link::softmax || link == Link::one_vs_all ? 3 : 1;
      auto drawn = testing::draw_trees(11, 24, 3, 31, wide_leaf ? outputs : 1, true);
      testing::widen_leaves(drawn.parts);
      drawn.parts.covers = TreeSet::pack_covers(drawn.parts.nodes.span(), drawn.parts.roots.span(),
                                                testing::draw_weights(5, drawn.parts));
      AdditiveTrees::Parts parts;
      if (!wide_leaf) {
        std::vector<std::uint32_t> groups;
        for (std::uint32_t i = 0; i < 24; ++i) groups.push_back(i % static_cast<std::uint32_t>(outputs));
        parts.groups = groups;
      }
      parts.base.assign(outputs, -2);
      if (link == Link::isolation) parts.base.assign(outputs, 2);
      parts.link = link;
      parts.factor = 0.375;
      const auto trees = std::make_shared<const AdditiveTrees>(
          *AdditiveTrees::make(*TreeSet::make(std::move(drawn.parts)), parts));
      CutColumn swapped[3];
      for (std::size_t i = 0; i < 3; ++i) {
        swapped[i].input = 3 - i;  // column 0 is left out
        for (int cut = -20; cut <= 20; ++cut) swapped[i].cuts.push_back(0.25 * cut);
      }
      std::shared_ptr<const Model> model = std::make_shared<const TransformedModel>(
          *TransformedModel::make(*make_ranks(4, {std::begin(swapped), std::end(swapped)}), trees));
      if (link != Link::isolation) {
        const std::vector<std::uint32_t> order =
            outputs == 1 ? std::vector<std::uint32_t>{1, 0} : std::vector<std::uint32_t>{2, 0, 1};
        model = std::make_shared<const Readout>(*Readout::make(model, order));
      }
      const auto explainer = Explainer::make(model, Explainer::Unit::score);
      ASSERT_TRUE(explainer) << explainer.error().message;
      const std::size_t count = 90;
      const auto rows = testing::draw_rows(9, drawn.thresholds, count, 4, true);
      const auto scores = all_scores(*model, std::span<const float>(rows), count);
      std::vector<double> weights(outputs, 0.5), contributions(count * 5);
      weights[0] = -1;
      explainer->explain(rows, count, weights, contributions);
      for (std::size_t row = 0; row < count; ++row) {
        double sum = 0, wanted = 0;
        for (std::size_t i = 0; i < 5; ++i) sum += contributions[row * 5 + i];
        for (std::size_t k = 0; k < outputs; ++k) wanted += weights[k] * scores[row * outputs + k];
        ASSERT_NEAR(sum, wanted, 1e-9) << row;
        ASSERT_EQ(contributions[row * 5], 0);
      }
    }
  }
}

TEST(Explainer, AnAutoencoderIsExplainedByWhatEachColumnAddsToItsError) {
  Network::Parts parts;
  parts.input = {1, 3};
  layer::Dense dense;
  dense.inputs = dense.units = 3;
  dense.kernel = {1, 0, 0, 0, 0.5, 0, 0, 0, 0};
  parts.layers.push_back({dense});
  const auto network = std::make_shared<const Network>(*Network::make(std::move(parts)));
  const auto error = std::make_shared<const Reconstruction>(
      *Reconstruction::make(network, Reconstruction::Measure::squared));
  const auto scaled = *make_affine({Affine::Form::shift_then_divide, {0, 0, 1}, {1, 2, 1}, {}, {}});
  const auto model = std::make_shared<const TransformedModel>(*TransformedModel::make(scaled, error));
  const auto explainer = Explainer::make(model, Explainer::Unit::score);
  ASSERT_TRUE(explainer) << explainer.error().message;
  std::vector<double> contributions(4);
  explainer->explain(std::vector<float>{7, 4, 4}, 1, std::vector<double>{1}, contributions);
  EXPECT_THAT(contributions, ::testing::ElementsAre(0, 1.0 / 3, 3, 0));
  EXPECT_FALSE(gain_importance(*model));
}

TEST(Gain, IsTheDropOfTheSquaredDistance) {
  TreeSet::Parts parts;
  parts.inputs = 3;
  parts.nodes = std::vector<Node>{Node::inner(1, 2, 1), Node::inner(1, 0, 3), Node::leaf(2, 2),
                                  Node::leaf(3, 0), Node::leaf(4, 1)};
  parts.roots = std::vector<std::uint32_t>{0, 5};
  parts.leaves = std::vector<float>{0, 0.5f, 1};
  parts.covers =
      TreeSet::pack_covers(parts.nodes.span(), parts.roots.span(), std::vector<float>{8, 6, 2, 3, 3});
  const auto forest = *Forest::make(*TreeSet::make(parts));
  const double root = 8 * 0.1875 * 0.5625, left = 6 * 0.25 * 0.25;
  const auto gains = gain_importance(forest);
  ASSERT_TRUE(gains) << gains.error().message;
  EXPECT_NEAR((*gains)[0], left / (root + left), 1e-12);
  EXPECT_EQ((*gains)[1], 0);
  EXPECT_NEAR((*gains)[2], root / (root + left), 1e-12);
}

// What other programs say of their own models: tests/explain/fixtures.py made the files.
void expect_what_others_say(const std::string& name, double tolerance) {
  const auto others = testing::read_explained(std::string(NIDUS_SOURCE_DIR) + "/tests/explain/" + name);
  ASSERT_NE(others.model, nullptr) << name;
  const auto explainer = Explainer::make(others.model, Explainer::Unit::margin);
  ASSERT_TRUE(explainer) << explainer.error().message;
  const std::size_t outputs = others.model->outputs();
  ASSERT_GT(others.count, 0u);
  ASSERT_EQ(others.contributions.size(), outputs * others.count * (others.model->inputs() + 1));
  std::size_t at = 0;
  for (std::size_t output = 0; output < outputs; ++output) {
    std::vector<double> one(outputs);
    one[output] = 1;
    for (const double found : explain(*explainer, others.rows, others.count, one))
      ASSERT_NEAR(found, others.contributions[at++], tolerance) << name << " " << at;
  }
}

// XGBoost's contributions are floats.
TEST(Explainer, AgreesWithXgboostOnTwoClasses) { expect_what_others_say("xgboost_binary.txt", 2e-6); }
TEST(Explainer, AgreesWithXgboostOnThreeClasses) { expect_what_others_say("xgboost_classes.txt", 2e-6); }
TEST(Explainer, AgreesWithTheShapPackageOnAForest) { expect_what_others_say("shap_forest.txt", 1e-6); }

}  // namespace
}  // namespace nidus::model
