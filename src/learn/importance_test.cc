#include "learn/importance.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <limits>
#include <memory>

#include "base/random.h"
#include "learn/dataset.h"
#include "learn/forest_trainer.h"
#include "model/forest.h"

namespace nidus::learn {
namespace {

using ::testing::ElementsAre;

constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();

// Column 0 says everything, column 1 half of it, column 2 nothing.
Dataset telling(std::size_t rows, std::uint64_t seed) {
  Random random(seed);
  Dataset out;
  out.classes = {"benign", "attack"};
  for (const char* name : {"all", "some", "none"})
    out.schema.push_back({name, model::Column::Kind::numeric, {}, {}});
  for (std::size_t row = 0; row < rows; ++row) {
    const auto attack = static_cast<std::uint32_t>(random.below(2));
    const auto noise = [&] { return static_cast<float>(random.unit()); };
    out.values.insert(out.values.end(),
                      {static_cast<float>(attack) * 2 + noise(),
                       random.below(2) == 0 ? static_cast<float>(attack) : noise(), noise()});
    out.labels.push_back(attack);
  }
  return out;
}

class ImportanceTest : public ::testing::Test {
 protected:
  ImportanceTest() {
    ForestOptions options;
    options.trees = 20;
    options.features_per_split = 2;
    model_ = std::make_shared<model::Forest>(std::move(fit_forest(telling(400, 1), options)->forest));
    for (const auto label : rows_.labels) is_attack_.push_back(static_cast<std::uint8_t>(label));
  }

  Result<Importance> measure(std::size_t threads, bool labelled = true, Progress progress = {}) const {
    const auto explainer = *model::Explainer::make(model_, model::Explainer::Unit::score);
    ImportanceOptions options;
    options.threads = threads;
    options.progress = std::move(progress);
    return measure_importance(
        *model_, explainer, rows_.values,
        labelled ? std::span<const std::uint8_t>(is_attack_) : std::span<const std::uint8_t>(), options);
  }

  Dataset rows_ = telling(300, 2);
  std::vector<std::uint8_t> is_attack_;
  std::shared_ptr<const model::Model> model_;
};

TEST_F(ImportanceTest, FollowsWhatTheColumnsTell) {
  const auto found = measure(1);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_THAT(found->order(), ElementsAre(0, 1, 2));
  EXPECT_NEAR(found->gain[0] + found->gain[1] + found->gain[2], 1, 1e-9);
  EXPECT_GT(found->gain[0], found->gain[1]);
  EXPECT_GT(found->gain[1], found->gain[2]);
  EXPECT_GT(found->permutation[0], 0.1);
  EXPECT_NEAR(found->permutation[2], 0, 0.02);
  // Shapley values of a row add up to its score less the base, so their magnitudes to no less.
  EXPECT_GT(found->contribution[0], 0.2);
}

TEST_F(ImportanceTest, IsTheSameForAnyNumberOfThreads) {
  const auto one = measure(1), three = measure(3);
  EXPECT_EQ(one->contribution, three->contribution);
  EXPECT_EQ(one->permutation, three->permutation);
}

TEST_F(ImportanceTest, WithoutLabelsOrOfOneSideNothingIsPermuted) {
  EXPECT_TRUE(measure(1, false)->permutation.empty());
  is_attack_.assign(is_attack_.size(), 1);
  EXPECT_TRUE(measure(1)->permutation.empty());
}

TEST_F(ImportanceTest, StopsWhenToldTo) {
  const auto stopped = measure(1, true, [](double done) { return done < 0.6; });
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, Errc::exhausted);
}

TEST(ChooseRows, AreTheSameForASeedAndInOrder) {
  EXPECT_EQ(choose_rows(5, 0, 1).size(), 5u);
  EXPECT_THAT(choose_rows(3, 3, 1), ElementsAre(0, 1, 2));
  const auto some = choose_rows(1000, 10, 7);
  EXPECT_EQ(some.size(), 10u);
  EXPECT_TRUE(std::is_sorted(some.begin(), some.end()));
  EXPECT_EQ(std::adjacent_find(some.begin(), some.end()), some.end());
  EXPECT_EQ(choose_rows(1000, 10, 7), some);
  EXPECT_NE(choose_rows(1000, 10, 8), some);
}

TEST(WorstMistakes, AreTheFarthestFromTheThresholdOfEachLabel) {
  // Labels: 0 web (benign), 1 mail (benign), 2 scan, 3 flood.
  const std::vector<std::uint32_t> labels = {0, 0, 0, 1, 2, 2, 2, 2, 3, 3};
  const std::vector<std::uint8_t> attack = {0, 0, 0, 0, 1, 1, 1, 1, 1, 1};
  const std::vector<double> scores = {0.6, 0.9, 0.1, 0.2, 0.4, 0.1, 0.1, 0.1, 0.49, 0.5};
  const std::vector<float> rows = {1, 2, 3, 4, 5, 6, kMissing, kMissing, 9, 10};
  Judgements judged;
  judged.rows = rows;
  judged.scores = scores;
  judged.is_attack = attack;
  judged.labels = labels;
  const auto found = worst_mistakes(judged, 2);
  ASSERT_EQ(found.size(), 3u);  // of mail there are none
  EXPECT_EQ(found[0].label, 0u);
  EXPECT_FALSE(found[0].is_attack);
  EXPECT_EQ(found[0].rows, 3u);
  EXPECT_EQ(found[0].wrong, 2u);
  ASSERT_EQ(found[0].worst.size(), 2u);
  EXPECT_EQ(found[0].worst[0].row, 1u);
  EXPECT_EQ(found[0].worst[1].row, 0u);
  // Scan, with four misses, before flood with one; the two rows without a value are one mistake.
  EXPECT_EQ(found[1].label, 2u);
  EXPECT_EQ(found[1].wrong, 4u);
  ASSERT_EQ(found[1].worst.size(), 2u);
  EXPECT_EQ(found[1].worst[0].row, 5u);
  EXPECT_EQ(found[1].worst[0].alike, 0u);
  EXPECT_EQ(found[1].worst[1].row, 6u);
  EXPECT_EQ(found[1].worst[1].alike, 1u);
  EXPECT_EQ(found[2].label, 3u);
  EXPECT_EQ(found[2].wrong, 1u);  // at the threshold is an attack
}

TEST(WorstMistakes, OfNoRowsAreNone) { EXPECT_TRUE(worst_mistakes({}, 3).empty()); }

}  // namespace
}  // namespace nidus::learn
