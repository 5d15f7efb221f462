#include "model/readout.h"

#include <gmock/gmock.h>

#include <cmath>

#include "model/additive_trees.h"
#include "model/forest.h"
#include "model/testing.h"

namespace nidus::model {
namespace {

std::shared_ptr<const Model> forest(std::size_t width) {
  return std::make_shared<const Forest>(
      *Forest::make(*TreeSet::make(testing::draw_trees(3, 9, 4, 31, width, false).parts)));
}

std::shared_ptr<const Model> margins(std::size_t outputs) {
  auto drawn = testing::draw_trees(5, 9, 4, 31, 1, false);
  AdditiveTrees::Parts parts;
  std::vector<std::uint32_t> groups;
  for (std::uint32_t i = 0; i < 9; ++i) groups.push_back(i % static_cast<std::uint32_t>(outputs));
  parts.groups = groups;
  parts.base.assign(outputs, -1.5);
  return std::make_shared<const AdditiveTrees>(
      *AdditiveTrees::make(*TreeSet::make(std::move(drawn.parts)), parts));
}

const std::vector<float> kRows = testing::draw_rows(3, {0, 1, 2}, 50, 4, true);

TEST(Readout, PutsClassesInOurOrder) {
  const auto model = forest(3);
  const auto read = Readout::make(model, {2, 0, 1});
  ASSERT_TRUE(read);
  const auto before = all_scores(*model, std::span<const float>(kRows), 50);
  const auto after = all_scores(*read, std::span<const float>(kRows), 50);
  for (std::size_t row = 0; row < 50; ++row) {
    for (std::size_t k = 0; k < 3; ++k) ASSERT_EQ(after[row * 3 + k], before[row * 3 + (k + 2) % 3]);
  }
}

TEST(Readout, TurnsOneScoreRound) {
  const auto model = forest(1);
  const auto read = Readout::make(model, {1, 0});
  ASSERT_TRUE(read);
  const auto before = all_scores(*model, std::span<const float>(kRows), 50);
  const auto after = all_scores(*read, std::span<const float>(kRows), 50);
  for (std::size_t row = 0; row < 50; ++row) ASSERT_EQ(after[row], 1 - before[row]);
}

TEST(Readout, MakesMarginsNumbersBetweenZeroAndOne) {
  for (const std::size_t outputs : {1u, 3u}) {
    const auto model = margins(outputs);
    const auto read = Readout::make(
        model, outputs == 1 ? std::vector<std::uint32_t>{0, 1} : std::vector<std::uint32_t>{0, 1, 2});
    ASSERT_TRUE(read);
    EXPECT_EQ(read->scale(), Scale::probability);
    const auto before = all_scores(*model, std::span<const float>(kRows), 50);
    const auto after = all_scores(*read, std::span<const float>(kRows), 50);
    for (std::size_t row = 0; row < 50; ++row) {
      double sum = 0;
      for (std::size_t k = 0; k < outputs; ++k) sum += outputs == 1 ? 0 : std::exp(before[row * outputs + k]);
      for (std::size_t k = 0; k < outputs; ++k) {
        const double margin = before[row * outputs + k];
        ASSERT_NEAR(after[row * outputs + k],
                    outputs == 1 ? 1 / (1 + std::exp(-margin)) : std::exp(margin) / sum, 1e-15);
      }
    }
  }
}

TEST(Readout, RefusesAnOrderThatIsNone) {
  EXPECT_FALSE(Readout::make(forest(3), {0, 1}));
  EXPECT_FALSE(Readout::make(forest(3), {0, 1, 1}));
  EXPECT_FALSE(Readout::make(forest(1), {0}));
  EXPECT_TRUE(Readout::make(forest(1), {0, 1}));
}

}  // namespace
}  // namespace nidus::model
