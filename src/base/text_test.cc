#include "base/text.h"

#include <gtest/gtest.h>

namespace nidus {
namespace {

TEST(Text, TrimsBlanksAroundNamesOnly) {
  EXPECT_EQ(trim("  Flow Duration\r\n"), "Flow Duration");
  EXPECT_EQ(trim(" \t "), "");
}

TEST(Text, SplitKeepsEmptyParts) {
  EXPECT_EQ(split("a,,b,", ','), (std::vector<std::string_view>{"a", "", "b", ""}));
}

TEST(Text, SuggestsOnlyWhatIsClose) {
  const std::vector<std::string> verbs = {"flows", "train", "detect"};
  EXPECT_EQ(closest("detetc", verbs), "detect");
  EXPECT_EQ(closest("Flow", verbs), "flows");
  EXPECT_EQ(closest("serve", verbs), std::nullopt);
  EXPECT_EQ(did_you_mean("trian", verbs), ", did you mean 'train'?");
  EXPECT_EQ(did_you_mean("xyz", verbs), "");
  const std::vector<std::string> letters{"a", "b"};
  EXPECT_EQ(did_you_mean("c", letters), "");
}

TEST(Text, GroupsThousands) {
  EXPECT_EQ(with_thousands(0), "0");
  EXPECT_EQ(with_thousands(999), "999");
  EXPECT_EQ(with_thousands(1000), "1,000");
  EXPECT_EQ(with_thousands(1234567), "1,234,567");
}

TEST(Text, WritesMomentsAsUtc) {
  EXPECT_EQ(iso8601(0), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(iso8601(951'782'400'000'000), "2000-02-29T00:00:00.000000Z");
  EXPECT_EQ(iso8601(1'795'261'289'123'456), "2026-11-21T11:41:29.123456Z");
  EXPECT_EQ(iso8601(-1), "1969-12-31T23:59:59.999999Z");
}

TEST(Text, CellsAreQuotedWhereTheyMustBe) {
  const auto cell = [](std::string_view text, char separator = ',', bool always = false) {
    std::string out = "|";
    append_csv_cell(out, text, separator, always);
    return out;
  };
  EXPECT_EQ(cell("plain text"), "|plain text");
  EXPECT_EQ(cell(""), "|");
  EXPECT_EQ(cell("a,b"), "|\"a,b\"");
  EXPECT_EQ(cell("a,b", ';'), "|a,b");
  EXPECT_EQ(cell("say \"no\""), "|\"say \"\"no\"\"\"");
  EXPECT_EQ(cell("two\nlines"), "|\"two\nlines\"");
  EXPECT_EQ(cell(" edge"), "|\" edge\"");
  EXPECT_EQ(cell("any", ',', true), "|\"any\"");
}

}  // namespace
}  // namespace nidus
