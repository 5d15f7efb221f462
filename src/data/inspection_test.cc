#include "data/inspection.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "base/testing.h"

namespace nidus::data {
namespace {

using testing::HasSubstr;

class InspectionTest : public testing::Test {
 protected:
  Inspection of(std::string_view text, std::size_t piece_bytes = 1u << 20) {
    EXPECT_TRUE(write_file(path_, text));
    TableOptions options;
    options.piece_bytes = piece_bytes;
    auto inspection = inspect_table(path_, options);
    EXPECT_TRUE(inspection) << inspection.error().message;
    return inspection ? std::move(*inspection) : Inspection{};
  }

  static const Finding* find(const Inspection& in, std::string_view key) {
    const auto found = std::find_if(in.findings.begin(), in.findings.end(),
                                    [&](const Finding& finding) { return finding.key == key; });
    return found == in.findings.end() ? nullptr : &*found;
  }

  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "table.csv";
};

TEST_F(InspectionTest, CountsWhatIsWrongAndNamesTheFirstLine) {
  const auto in =
      of("Timestamp,a,b,c,b,Label\n"
         "1,1,inf,5,inf,BENIGN\n"
         "2,2,3,5,3,dos\n"
         "3,2\n"
         "4,2,3,5,3,dos\n"
         "5,2,3,5,3,Benign\n"
         "Timestamp,a,b,c,b,Label\n"
         "6,,-inf,5,-inf,\n");
  EXPECT_EQ(in.report.rows, 5u);
  ASSERT_NE(find(in, "wrong_cells"), nullptr);
  EXPECT_EQ(find(in, "wrong_cells")->line, 4u);
  ASSERT_NE(find(in, "header_again"), nullptr);
  EXPECT_EQ(find(in, "header_again")->line, 7u);
  ASSERT_NE(find(in, "infinite_values"), nullptr);
  EXPECT_EQ(find(in, "infinite_values")->count, 4u);
  EXPECT_EQ(find(in, "infinite_values")->line, 2u);
  ASSERT_NE(find(in, "copies"), nullptr);
  EXPECT_EQ(find(in, "copies")->line, 5u);
  EXPECT_EQ(find(in, "copies")->what, "row that differs from an earlier one only in who and when");
  EXPECT_EQ(find(in, "wrong_cells")->what, "row with the wrong number of cells");
  EXPECT_EQ(find(in, "missing_values")->what, "missing value");
  EXPECT_EQ(find(in, "infinite_values")->what, "infinite values");
  ASSERT_NE(find(in, "contradictions"), nullptr);
  EXPECT_EQ(find(in, "contradictions")->line, 6u);
  EXPECT_EQ(find(in, "repeated_columns")->where, "b.1 = b");
  EXPECT_EQ(find(in, "constant_columns")->where, "c");
  EXPECT_EQ(find(in, "missing_values")->where, "a");
  EXPECT_EQ(find(in, "unlabelled")->count, 1u);
  EXPECT_THAT(find(in, "label_spellings")->where, HasSubstr("BENIGN"));
  EXPECT_EQ(in.labels.at("Label").at("dos"), 2u);
  EXPECT_EQ(in.columns[0].role, Role::time);
  EXPECT_EQ(in.columns[1].smallest, 1);
  EXPECT_EQ(in.columns[1].missing, 1u);
}

TEST_F(InspectionTest, ACleanTableHasNoFindings) {
  const auto in = of("a,b,label\n1,x,0\n2,y,1\n");
  EXPECT_TRUE(in.findings.empty());
  EXPECT_EQ(in.columns[1].kind, Kind::text);
  EXPECT_EQ(in.columns[1].different, 2u);
}

TEST_F(InspectionTest, TextAmongNumbersAndBytesThatAreNoTextAreFound) {
  std::string text = "a,b\n";
  for (int i = 0; i < 40; ++i) text += std::to_string(i) + ",Web Attack \x96 XSS\n";
  text += "many,x\n";
  const auto in = of(text);
  EXPECT_EQ(find(in, "text_among_numbers")->line, 42u);
  EXPECT_EQ(find(in, "text_among_numbers")->where, "a ('many')");
  EXPECT_EQ(find(in, "not_utf8")->count, 40u);
  EXPECT_EQ(find(in, "not_utf8")->line, 2u);
}

// Rows are compared with all before them, not with the first of those with the same features alone.
TEST_F(InspectionTest, CopiesOfRowsThatContradictAreCopies) {
  const auto in =
      of("id,a,label\n"
         "1,7,dos\n"
         "2,7,benign\n"  // contradicts
         "3,7,benign\n"  // a copy of the second
         "4,7,dos\n"     // of the first
         "5,7,worm\n"    // contradicts
         "6,7,benign\n"  // a copy
         "7,8,benign\n");
  ASSERT_NE(find(in, "copies"), nullptr);
  EXPECT_EQ(find(in, "copies")->count, 3u);
  EXPECT_EQ(find(in, "copies")->line, 4u);
  ASSERT_NE(find(in, "contradictions"), nullptr);
  EXPECT_EQ(find(in, "contradictions")->count, 2u);
  EXPECT_EQ(find(in, "contradictions")->line, 3u);
}

TEST_F(InspectionTest, PiecesChangeNothing) {
  std::string text = "a,b,label\n";
  for (int i = 0; i < 30000; ++i) {
    text += (i % 5000 == 4999 ? "x" : std::to_string(i % 900)) + "," + std::to_string(i % 7) + ",l\n";
    if (i % 9000 == 5) text += "1,2\n";
  }
  const auto whole = of(text), pieces = of(text, 1000);
  ASSERT_EQ(whole.findings.size(), pieces.findings.size());
  for (std::size_t i = 0; i < whole.findings.size(); ++i) {
    EXPECT_EQ(whole.findings[i].key, pieces.findings[i].key);
    EXPECT_EQ(whole.findings[i].count, pieces.findings[i].count) << whole.findings[i].key;
    EXPECT_EQ(whole.findings[i].line, pieces.findings[i].line);
  }
  EXPECT_EQ(whole.columns[0].numbers, 29994u);
  EXPECT_EQ(pieces.columns[0].texts, 6u);
}

}  // namespace
}  // namespace nidus::data
