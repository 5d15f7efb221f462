#include "data/labels.h"

#include <gmock/gmock.h>

#include <limits>

namespace nidus::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Table labelled(std::vector<std::string> cells) {
  Table table;
  table.add(Column::text("Label", cells));
  return table;
}

TEST(Labels, BenignComesFirstAndTheOthersByName) {
  const auto labels = read_labels(labelled({"PortScan", "BENIGN", "Bot", " Normal ", "Bot"}), "label");
  ASSERT_TRUE(labels);
  EXPECT_THAT(labels->classes, ElementsAre("benign", "Bot", "PortScan"));
  EXPECT_THAT(labels->codes, ElementsAre(2, 0, 1, 0, 1));
  EXPECT_THAT(labels->counts(), ElementsAre(2, 2, 1));
}

TEST(Labels, BinaryHasBothClassesEvenIfTheTableHasOne) {
  LabelOptions options;
  options.binary = true;
  const auto labels = read_labels(labelled({"neptune.", "normal.", ""}), "Label", options);
  ASSERT_TRUE(labels);
  EXPECT_THAT(labels->classes, ElementsAre("benign", "attack"));
  EXPECT_THAT(labels->codes, ElementsAre(1, 0, kUnlabelled));
  EXPECT_THAT(read_labels(labelled({"normal"}), "Label", options)->classes, ElementsAre("benign", "attack"));
}

TEST(Labels, AreMergedAndDroppedByTheMap) {
  LabelOptions options;
  options.merge = {
      {"ftp-patator", "brute force"}, {"SSH-Patator", "brute force"}, {"background", ""}, {"*", "other"}};
  const auto labels =
      read_labels(labelled({"FTP-Patator", "SSH-Patator", "Background", "Bot", "BENIGN"}), "Label", options);
  ASSERT_TRUE(labels);
  EXPECT_THAT(labels->classes, ElementsAre("benign", "brute force", "other"));
  EXPECT_THAT(labels->codes, ElementsAre(1, 1, kUnlabelled, 2, 0));
}

// As the logs of IoT-23 and CTU have them: the detail of benign rows is nothing, or a vendor.
TEST(Labels, OutOfTwoColumnsBenignIsWhatTheVerdictSays) {
  const auto verdict = Column::text(
      "label", std::vector<std::string>{"Benign", "benign", "Malicious", "Malicious", "Background", "Benign",
                                        "Malicious   PartOfAHorizontalPortScan", "Benign   -", "Malicious",
                                        "", "Malicious"});
  const auto detail =
      Column::text("detailed-label", std::vector<std::string>{"-", "Microsoft", "C&C", "(empty)", "(empty)",
                                                              "", "", "", "-", "C&C", "benign"});
  const auto labels = read_labels(whole_labels(verdict, detail));
  ASSERT_TRUE(labels);
  EXPECT_THAT(labels->classes,
              ElementsAre("benign", "Background", "C&C", "Malicious", "PartOfAHorizontalPortScan"));
  EXPECT_THAT(labels->codes, ElementsAre(0, 0, 2, 3, 1, 0, 4, 0, 3, kUnlabelled, 3));
}

TEST(Labels, ADetailWithoutAnyValueSaysNothing) {
  const auto verdict = Column::text("label", std::vector<std::string>{"Benign", "Malicious"});
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto labels = read_labels(whole_labels(verdict, Column::numeric("detailedlabel", {nan, nan})));
  ASSERT_TRUE(labels);
  EXPECT_THAT(labels->classes, ElementsAre("benign", "Malicious"));
}

TEST(Labels, WhatStandsBehindBenignDoesNotCount) {
  const auto labels = read_labels(labelled({"Benign   -", "Malicious   C&C", "Benign"}), "label");
  ASSERT_TRUE(labels);
  EXPECT_THAT(labels->codes, ElementsAre(0, 1, 0));
}

TEST(Labels, NumbersAreLabelsToo) {
  Table table;
  table.add(Column::numeric("label", {0, 1, 1}));
  const auto labels = read_labels(table, "label");
  ASSERT_TRUE(labels);
  EXPECT_THAT(labels->classes, ElementsAre("benign", "1"));
  EXPECT_THAT(labels->codes, ElementsAre(0, 1, 1));
}

TEST(Labels, RefusesWhatIsNoLabel) {
  EXPECT_EQ(read_labels(labelled({"x"}), "class").error().code, Errc::not_found);
  EXPECT_EQ(read_labels(labelled({"", ""}), "label").error().code, Errc::invalid);
  Table table;
  Numbers numbers;
  for (int i = 0; i < 5000; ++i) numbers.push_back(i);
  table.add(Column::numeric("time", numbers));
  const auto labels = read_labels(table, "time");
  ASSERT_FALSE(labels);
  EXPECT_EQ(labels.error().code, Errc::exhausted);
  EXPECT_THAT(labels.error().message, HasSubstr("is it the label?"));
}

}  // namespace
}  // namespace nidus::data
