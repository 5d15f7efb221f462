#include "learn/boost_trainer.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "base/random.h"
#include "model/model.h"

namespace nidus::learn {
namespace {

using ::testing::HasSubstr;

Dataset drawn(std::size_t rows, std::uint64_t seed, std::uint32_t classes, bool missing) {
  Random random(seed);
  Dataset out;
  out.schema.resize(5);
  for (std::size_t i = 0; i < 5; ++i) out.schema[i].name = "x" + std::to_string(i);
  for (std::uint32_t i = 0; i < classes; ++i) out.classes.push_back("c" + std::to_string(i));
  for (std::size_t row = 0; row < rows; ++row) {
    double sum = 0;
    for (int i = 0; i < 5; ++i) {
      const double value = static_cast<double>(random.below(50)) / 7;
      sum += i < 2 ? value : 0;
      const bool hole = missing && random.below(6) == 0;
      out.values.push_back(hole ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(value));
    }
    out.labels.push_back(std::min(classes - 1, static_cast<std::uint32_t>(sum * classes / 14)));
  }
  return out;
}

// Boosting as its paper has it, in the plainest way: every cut between two values of a node is tried, with
// doubles. Only for values of which few are different, so that each has a bin of its own.
class Reference {
 public:
  Reference(const Dataset& data, const BoostOptions& options) : data_(data), options_(options) {
    groups_ = data.classes.size() == 2 ? 1 : data.classes.size();
    std::vector<double> by_class(data.classes.size());
    for (std::size_t row = 0; row < data.rows(); ++row) by_class[data.labels[row]] += weight(row);
    const double all = std::accumulate(by_class.begin(), by_class.end(), 0.0);
    for (std::size_t row = 0; row < data.rows(); ++row) {
      for (std::size_t group = 0; group < groups_; ++group) {
        const double share = by_class[groups_ == 1 ? 1 : group] / all;
        margins.push_back(groups_ == 1 ? std::log(share / (1 - share)) : std::log(share));
      }
    }
    for (std::size_t round = 0; round < options.rounds; ++round) {
      const std::vector<double> before = margins;
      for (group_ = 0; group_ < groups_; ++group_) {
        find_derivatives(before);
        std::vector<std::size_t> rows(data.rows());
        std::iota(rows.begin(), rows.end(), 0u);
        grow(rows, 0);
      }
    }
  }

  std::vector<double> margins;

 private:
  struct Sum {
    double g = 0, h = 0;
  };
  struct Split {
    double gain = 1e-6;
    std::size_t input = 0;
    float cut = 0;  // the highest value on the left
    bool missing_right = false;
  };

  double weight(std::size_t row) const {
    const double own = data_.weights.empty() ? 1.0 : static_cast<double>(data_.weights[row]);
    return groups_ == 1 && data_.labels[row] == 1 ? own * options_.scale_positive : own;
  }
  void find_derivatives(const std::vector<double>& before) {
    derivatives_.clear();
    for (std::size_t row = 0; row < data_.rows(); ++row) {
      double powers = 0;
      for (std::size_t i = 0; i < groups_; ++i) powers += std::exp(before[row * groups_ + i]);
      const double own = std::exp(before[row * groups_ + group_]);
      const double p = groups_ == 1 ? own / (1 + own) : own / powers;
      const bool mine = data_.labels[row] == (groups_ == 1 ? 1 : group_);
      derivatives_.push_back(
          {weight(row) * (p - (mine ? 1 : 0)), weight(row) * p * (1 - p) * (groups_ == 1 ? 1 : 2)});
    }
  }
  template <class Take>
  Sum sum(const std::vector<std::size_t>& rows, const Take& take) const {
    Sum out;
    for (const auto row : rows) {
      if (!take(row)) continue;
      out.g += derivatives_[row].g;
      out.h += derivatives_[row].h;
    }
    return out;
  }
  double part(const Sum& sum) const { return sum.g * sum.g / (sum.h + options_.lambda); }
  bool goes_left(std::size_t row, const Split& split) const {
    const float x = data_.at(row, split.input);
    return std::isnan(x) ? !split.missing_right : x <= split.cut;
  }

  Split best_of(const std::vector<std::size_t>& rows) const {
    Split best;
    const Sum all = sum(rows, [](std::size_t) { return true; });
    for (std::size_t input = 0; input < data_.inputs(); ++input) {
      std::set<float> cuts;
      for (const auto row : rows) {
        if (!std::isnan(data_.at(row, input))) cuts.insert(data_.at(row, input));
      }
      for (const float cut : cuts) {
        for (const bool missing_right : {true, false}) {
          Split tried{0, input, cut, missing_right};
          const Sum left = sum(rows, [&](std::size_t row) { return goes_left(row, tried); });
          const Sum right = sum(rows, [&](std::size_t row) { return !goes_left(row, tried); });
          if (left.h < options_.min_child_weight || right.h < options_.min_child_weight) continue;
          tried.gain = part(left) + part(right) - part(all);
          if (tried.gain > best.gain) best = tried;
        }
      }
    }
    return best;
  }
  // True if the node is a leaf.
  bool grow(const std::vector<std::size_t>& rows, std::size_t depth) {
    const std::vector<double> saved = margins;
    Split split;
    if (depth < options_.max_depth) split = best_of(rows);
    if (split.gain > 1e-6) {
      std::vector<std::size_t> sides[2];
      for (const auto row : rows) sides[goes_left(row, split) ? 0 : 1].push_back(row);
      const bool left_is_leaf = grow(sides[0], depth + 1), right_is_leaf = grow(sides[1], depth + 1);
      if (!left_is_leaf || !right_is_leaf || split.gain >= options_.gamma) return false;
      margins = saved;
    }
    const Sum all = sum(rows, [](std::size_t) { return true; });
    for (const auto row : rows)
      margins[row * groups_ + group_] -= options_.learning_rate * all.g / (all.h + options_.lambda);
    return true;
  }

  const Dataset& data_;
  const BoostOptions& options_;
  std::size_t groups_ = 1, group_ = 0;
  std::vector<Sum> derivatives_;
};

void expect_as_reference(std::uint32_t classes, bool missing, const BoostOptions& options) {
  Dataset data = drawn(500, classes + (missing ? 10 : 0), classes, missing);
  Random random(5);
  // Labels that are wrong at times, and weights that are all different: else many splits are equally good.
  for (auto& label : data.labels)
    label = random.below(8) == 0 ? static_cast<std::uint32_t>(random.below(classes)) : label;
  for (std::size_t row = 0; row < data.rows(); ++row)
    data.weights.push_back(static_cast<float>(0.5 + random.unit()));
  const auto ours = fit_boost(data, nullptr, options);
  ASSERT_TRUE(ours) << ours.error().message;
  std::vector<float> margins(data.rows() * ours->model.outputs());
  ours->model.margins(data.values, data.rows(), margins);
  const Reference reference(data, options);
  ASSERT_EQ(reference.margins.size(), margins.size());
  for (std::size_t i = 0; i < margins.size(); ++i) ASSERT_NEAR(margins[i], reference.margins[i], 1e-4) << i;
}

TEST(Boost, GrowsTheTreesOfThePaper) {
  BoostOptions options;
  options.rounds = 3;
  options.max_depth = 4;
  for (const bool missing : {false, true}) {
    expect_as_reference(2, missing, options);
    expect_as_reference(3, missing, options);
  }
}

TEST(Boost, PenaltiesAndWeightsAreThoseOfThePaper) {
  BoostOptions options;
  options.rounds = 3;
  options.max_depth = 5;
  options.learning_rate = 0.15;
  options.min_child_weight = 4;
  options.lambda = 2.5;
  options.gamma = 1.5;
  options.scale_positive = 3;
  expect_as_reference(2, true, options);
  expect_as_reference(3, true, options);
}

TEST(Boost, LearnsAndKeepsTheBestRound) {
  const Dataset training = drawn(2000, 1, 2, false), validation = drawn(500, 2, 2, false);
  BoostOptions options;
  options.rounds = 60;
  options.early_stopping = 5;
  options.threads = 1;
  const auto fitted = fit_boost(training, &validation, options);
  ASSERT_TRUE(fitted) << fitted.error().message;
  EXPECT_EQ(fitted->model.trees().trees(), fitted->rounds);
  ASSERT_GE(fitted->validation_loss.size(), fitted->rounds);
  EXPECT_LT(fitted->validation_loss[fitted->rounds - 1], 0.1);
  for (const double loss : fitted->validation_loss)
    EXPECT_GE(loss, fitted->validation_loss[fitted->rounds - 1]);
}

TEST(Boost, TheSameSeedGivesTheSameScores) {
  const Dataset training = drawn(800, 1, 3, true);
  BoostOptions options;
  options.rounds = 10;
  options.subsample = 0.7;
  options.threads = 1;
  const auto a = fit_boost(training, nullptr, options), b = fit_boost(training, nullptr, options);
  ASSERT_TRUE(a);
  ASSERT_TRUE(b);
  EXPECT_EQ(model::all_scores(a->model, training.values, 800),
            model::all_scores(b->model, training.values, 800));
  EXPECT_EQ(a->model.outputs(), 3u);
}

// As XGBoost has it: what was never met goes with the next lower value that was.
TEST(Boost, WhatLiesBetweenTwoValuesIsTakenForTheLowerOne) {
  Dataset data = drawn(900, 4, 2, false);
  for (float& value : data.values) value = std::round(value * 7) * 2;
  BoostOptions options;
  options.rounds = 10;
  const auto fitted = fit_boost(data, nullptr, options);
  ASSERT_TRUE(fitted) << fitted.error().message;
  std::vector<float> between = data.values;
  for (float& value : between) value += 1.9f;
  EXPECT_EQ(model::all_scores(fitted->model, between, data.rows()),
            model::all_scores(fitted->model, data.values, data.rows()));
}

TEST(Boost, TheModelIsTheSameForAnyNumberOfThreads) {
  const Dataset training = drawn(60'000, 4, 3, true);
  BoostOptions options;
  options.rounds = 4;
  options.subsample = 0.6;
  options.columns_per_tree = 0.7;
  options.threads = 1;
  const auto one = fit_boost(training, nullptr, options);
  options.threads = 3;
  const auto three = fit_boost(training, nullptr, options);
  ASSERT_TRUE(one);
  ASSERT_TRUE(three);
  const auto a = one->model.trees().parts().nodes.span(), b = three->model.trees().parts().nodes.span();
  EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end()));
  EXPECT_EQ(model::all_scores(one->model, training.values, training.rows()),
            model::all_scores(three->model, training.values, training.rows()));
}

// What is missing tells the classes apart, and nothing else does: minus infinity is not missing.
TEST(Boost, WhatIsMissingIsASideOfItsOwn) {
  Random random(1);
  Dataset data;
  data.schema.resize(1);
  data.classes = {"benign", "attack"};
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (std::size_t row = 0; row < 400; ++row) {
    const bool missing = random.below(2) == 0;
    data.values.push_back(missing                ? std::numeric_limits<float>::quiet_NaN()
                          : random.below(3) == 0 ? -kInfinity
                                                 : static_cast<float>(random.below(9)));
    data.labels.push_back(missing ? 1 : 0);
  }
  BoostOptions options;
  options.rounds = 20;
  const auto fitted = fit_boost(data, nullptr, options);
  ASSERT_TRUE(fitted) << fitted.error().message;
  const auto scores = model::attack_scores(fitted->model, data.values, data.rows());
  for (std::size_t row = 0; row < data.rows(); ++row)
    EXPECT_EQ(scores[row] > 0.5, data.labels[row] == 1) << row;
}

TEST(Boost, WhateverIsAskedForMarginsStayFinite) {
  const Dataset data = drawn(400, 1, 2, true);
  BoostOptions options;
  options.rounds = 5;
  options.learning_rate = 1e300;
  options.lambda = 0;
  options.min_child_weight = 0;
  const auto fitted = fit_boost(data, nullptr, options);
  ASSERT_TRUE(fitted) << fitted.error().message;
  std::vector<float> margins(data.rows());
  fitted->model.margins(data.values, data.rows(), margins);
  for (const float margin : margins) EXPECT_TRUE(std::isfinite(margin));
}

TEST(Boost, ColumnsWithoutAnythingToSplitAreLeaves) {
  Dataset data = drawn(60, 1, 2, false);
  std::fill(data.values.begin(), data.values.end(), std::numeric_limits<float>::quiet_NaN());
  BoostOptions options;
  options.rounds = 2;
  options.lambda = 0;
  options.min_child_weight = 0;
  const auto fitted = fit_boost(data, nullptr, options);
  ASSERT_TRUE(fitted) << fitted.error().message;
  EXPECT_EQ(fitted->model.trees().nodes(), 2u);
  for (const double score : model::attack_scores(fitted->model, data.values, data.rows()))
    EXPECT_TRUE(std::isfinite(score));
}

TEST(Boost, InfinitiesAreTaken) {
  Dataset training = drawn(300, 1, 2, false);
  training.values[0] = std::numeric_limits<float>::infinity();
  training.values[6] = -std::numeric_limits<float>::infinity();
  BoostOptions options;
  options.rounds = 3;
  options.threads = 1;
  EXPECT_TRUE(fit_boost(training, nullptr, options));
}

TEST(Boost, RefusesWhatCannotBeLearnt) {
  Dataset data = drawn(50, 1, 2, false);
  std::fill(data.labels.begin(), data.labels.end(), 0u);
  EXPECT_THAT(fit_boost(data, nullptr).error().message, HasSubstr("all of one class"));
  data = drawn(50, 1, 2, false);
  Dataset other = drawn(50, 1, 2, false);
  other.schema[0].name = "else";
  EXPECT_THAT(fit_boost(data, &other).error().message, HasSubstr("other columns"));
  BoostOptions options;
  options.gamma = -1;
  EXPECT_THAT(fit_boost(data, nullptr, options).error().message, HasSubstr("gamma"));
  options.gamma = 0;
  options.subsample = 0;
  EXPECT_THAT(fit_boost(data, nullptr, options).error().message, HasSubstr("share of rows"));
}

}  // namespace
}  // namespace nidus::learn
