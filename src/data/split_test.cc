#include "data/split.h"

#include <gmock/gmock.h>

#include <map>
#include <set>

#include "base/random.h"
#include "data/labels.h"

namespace nidus::data {
namespace {

std::vector<std::uint32_t> drawn(std::size_t count, std::uint32_t below, std::uint64_t seed) {
  Random random(seed);
  std::vector<std::uint32_t> out(count);
  for (auto& value : out) value = static_cast<std::uint32_t>(random.below(below));
  return out;
}

TEST(Split, EveryClassIsSplitByTheShares) {
  std::vector<std::uint32_t> classes(1000, 0);
  for (std::size_t i = 0; i < 100; ++i) classes[i * 7] = 1;
  const auto split = stratified_split(classes, {.train = 0.5, .validation = 0.3, .test = 0.2, .seed = 9});
  ASSERT_TRUE(split);
  EXPECT_EQ(split->train.size(), 500u);
  EXPECT_EQ(split->validation.size(), 300u);
  EXPECT_EQ(split->test.size(), 200u);
  std::size_t rare = 0;
  for (const auto row : split->test) rare += classes[row];
  EXPECT_EQ(rare, 20u);
  EXPECT_TRUE(std::is_sorted(split->train.begin(), split->train.end()));
}

TEST(Split, IsTheSameForASeedAndAnotherForAnother) {
  const auto classes = drawn(500, 3, 1);
  const auto a = stratified_split(classes, {.seed = 4}), b = stratified_split(classes, {.seed = 4});
  const auto c = stratified_split(classes, {.seed = 5});
  EXPECT_EQ(a->train, b->train);
  EXPECT_NE(a->train, c->train);
}

TEST(Split, UnlabelledRowsAreNowhereAndEveryOtherRowOnce) {
  auto classes = drawn(300, 4, 2);
  for (std::size_t i = 0; i < 300; i += 10) classes[i] = kUnlabelled;
  const auto split = stratified_split(classes, {});
  std::set<std::size_t> seen;
  for (const auto& part : {split->train, split->validation, split->test}) {
    for (const auto row : part) {
      EXPECT_NE(classes[row], kUnlabelled);
      EXPECT_TRUE(seen.insert(row).second);
    }
  }
  EXPECT_EQ(seen.size(), 270u);
}

TEST(Split, RefusesSharesThatDoNotAddUp) {
  const std::vector<std::uint32_t> classes = {0, 1};
  EXPECT_FALSE(stratified_split(classes, {.train = 0.5, .validation = 0.1, .test = 0.1}));
  EXPECT_FALSE(stratified_split(classes, {.train = 1.2, .validation = -0.2, .test = 0}));
}

TEST(GroupedSplit, NoGroupIsEverOnTwoSides) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto classes = drawn(2000, 3, seed), groups = drawn(2000, 60, seed + 100);
    const auto split =
        grouped_split(classes, groups, {.train = 0.6, .validation = 0.2, .test = 0.2, .seed = seed});
    ASSERT_TRUE(split);
    std::map<std::uint32_t, int> side;
    int part_number = 0;
    for (const auto& part : {split->train, split->validation, split->test}) {
      for (const auto row : part) {
        const auto [found, added] = side.try_emplace(groups[row], part_number);
        EXPECT_EQ(found->second, part_number);
      }
      ++part_number;
    }
    EXPECT_NEAR(static_cast<double>(split->train.size()), 1200, 100);
    EXPECT_NEAR(static_cast<double>(split->test.size()), 400, 100);
  }
}

TEST(GroupedSplit, ARareClassGoesToEverySideThatCanHaveIt) {
  // Ten groups, of which three have the rare class.
  std::vector<std::uint32_t> classes, groups;
  for (std::uint32_t group = 0; group < 10; ++group) {
    for (int i = 0; i < 20; ++i) {
      groups.push_back(group);
      classes.push_back(group < 3 && i == 0 ? 1 : 0);
    }
  }
  const auto split =
      grouped_split(classes, groups, {.train = 0.4, .validation = 0.3, .test = 0.3, .seed = 3});
  ASSERT_TRUE(split);
  for (const auto& part : {split->train, split->validation, split->test}) {
    int rare = 0;
    for (const auto row : part) rare += static_cast<int>(classes[row]);
    EXPECT_EQ(rare, 1);
  }
}

// Rows of groups of these sizes, all of one class unless `classes` says otherwise.
std::size_t held_rows(const std::vector<std::size_t>& sizes, double share, std::uint64_t seed) {
  std::vector<std::uint32_t> groups;
  for (std::size_t group = 0; group < sizes.size(); ++group) {
    groups.insert(groups.end(), sizes[group], static_cast<std::uint32_t>(group));
  }
  const std::vector<std::uint32_t> classes(groups.size(), 0);
  const auto held = hold_out_groups(classes, groups, share, seed);
  EXPECT_TRUE(held);
  std::map<std::uint32_t, bool> side;
  for (std::size_t row = 0; row < groups.size(); ++row) {
    EXPECT_EQ(side.try_emplace(groups[row], (*held)[row]).first->second, (*held)[row]);
  }
  return static_cast<std::size_t>(std::count(held->begin(), held->end(), true));
}

TEST(HoldOutGroups, OfAFewTheNearestChoice) {
  // The days of CIC-IDS2017 as sampled, in hundreds.
  const std::vector<std::size_t> days = {18, 84, 204, 168};
  EXPECT_EQ(held_rows(days, 0.1, 1), 18u);
  EXPECT_EQ(held_rows(days, 0.2, 1), 102u);
  EXPECT_EQ(held_rows(days, 0.3, 1), 168u);
  EXPECT_EQ(held_rows(days, 0.4, 1), 186u);
  // Never none and never all.
  EXPECT_EQ(held_rows({900, 100}, 0.01, 1), 100u);
  EXPECT_EQ(held_rows({900, 100}, 0.99, 1), 900u);
}

TEST(HoldOutGroups, OfManyTheShareIsMet) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    std::vector<std::size_t> sizes = {5000};
    for (std::size_t i = 0; i < 40; ++i) sizes.push_back(1 + i);
    EXPECT_NEAR(static_cast<double>(held_rows(sizes, 0.1, seed)), 582, 30);
    EXPECT_GT(held_rows(sizes, 0.0001, seed), 0u);
    EXPECT_LT(held_rows(sizes, 0.9999, seed), 5820u);
  }
}

TEST(HoldOutGroups, TheSeedDecidesBetweenEqualsAndEveryClassIsOnBothSides) {
  // Ten groups, of which four have the rare class: any three are three tenths of the rows.
  std::vector<std::uint32_t> classes, groups;
  for (std::uint32_t group = 0; group < 10; ++group) {
    for (int i = 0; i < 20; ++i) {
      groups.push_back(group);
      classes.push_back(group < 4 && i == 0 ? 1 : 0);
    }
  }
  std::set<std::vector<bool>> choices;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const auto held = hold_out_groups(classes, groups, 0.3, seed);
    ASSERT_TRUE(held);
    int rare = 0;
    for (std::size_t row = 0; row < classes.size(); ++row) rare += (*held)[row] && classes[row] == 1 ? 1 : 0;
    EXPECT_EQ(rare, 1);
    EXPECT_EQ(std::count(held->begin(), held->end(), true), 60);
    choices.insert(*held);
    EXPECT_EQ(*held, *hold_out_groups(classes, groups, 0.3, seed));
  }
  EXPECT_GT(choices.size(), 2u);
}

TEST(HoldOutGroups, OneGroupCannotBeDivided) {
  const std::vector<std::uint32_t> classes(5, 0), groups(5, 7);
  EXPECT_EQ(hold_out_groups(classes, groups, 0.5, 1).error().code, Errc::invalid);
}

TEST(EqualRows, GroupsCopies) {
  Table table;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  table.add(Column::numeric("a", {1, 2, 1, nan, nan, 0, -0.0}));
  table.add(Column::text("b", std::vector<std::string>{"x", "x", "x", "", "", "y", "y"}));
  table.add(Column::numeric("id", {1, 2, 3, 4, 5, 6, 7}));
  const std::vector<std::size_t> columns = {0, 1};
  EXPECT_THAT(equal_rows(table, columns), testing::ElementsAre(0, 1, 0, 2, 2, 3, 3));
}

TEST(EqualRows, OnlyTheFirstOfEachIsKept) {
  Table table;
  table.add(Column::numeric("a", {1, 2, 1, 2, 3}));
  table.add(Column::numeric("b", {0, 0, 0, 1, 0}));
  const std::vector<std::size_t> both = {0, 1}, one = {0};
  EXPECT_THAT(distinct_rows(table, both), testing::ElementsAre(0, 1, 3, 4));
  EXPECT_THAT(distinct_rows(table, one), testing::ElementsAre(0, 1, 4));
}

TEST(TimeSplit, TheLatestRowsAreTheTest) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> times = {5, 1, 4, nan, 2, 3, 3, 9};
  const std::vector<std::uint32_t> classes = {0, 0, 0, 0, 0, 0, 0, kUnlabelled};
  // In order: 1, 2, 3, 3, 4, 5. Half would cut between the two threes.
  const auto split = time_split(classes, times, {.train = 0.5, .validation = 0, .test = 0.5});
  ASSERT_TRUE(split);
  EXPECT_THAT(split->train, testing::ElementsAre(1, 4, 5, 6));
  EXPECT_THAT(split->validation, testing::IsEmpty());
  EXPECT_THAT(split->test, testing::ElementsAre(0, 2));
}

TEST(Times, AreReadAsDataSetsWriteThem) {
  const auto column = Column::text(
      "Timestamp",
      std::vector<std::string>{"2017-07-07 11:59:50.315195", "7/7/2017 3:30", "07/07/2017 03:30:05 PM",
                               "2022-06-17T00:00:07.250000+0200", "02/03/2018 08:47:38", "yesterday",
                               "2017-13-40", "2017-07-07T12:00:00Z"});
  EXPECT_THAT(times_of(column),
              testing::ElementsAre(1499428790.315195, 1499398200, 1499441405, 1655416807.25, 1519980458,
                                   testing::IsNan(), testing::IsNan(), 1499428800));
  EXPECT_THAT(times_of(Column::numeric("ts", {1499428790.5, 1499428790500, 1499428790500000, 20.25})),
              testing::ElementsAre(1499428790.5, 1499428790.5, 1499428790.5, 20.25));
  EXPECT_THAT(times_of(Column::text("ts", std::vector<std::string>{"1499428790.5", "soon", "1499428790500"})),
              testing::ElementsAre(1499428790.5, testing::IsNan(), 1499428790.5));
}

TEST(Times, FallOnDays) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Days days = days_of(std::vector<double>{1499428790, nan, 1499385600, 1499385599.9, 1499428790});
  EXPECT_THAT(days.names, testing::ElementsAre("2017-07-07", "2017-07-06"));
  EXPECT_THAT(days.ids, testing::ElementsAre(0, kMissing, 0, 1, 0));
}

}  // namespace
}  // namespace nidus::data
