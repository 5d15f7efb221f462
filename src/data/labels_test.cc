#include "data/labels.h"

#include <gmock/gmock.h>

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
