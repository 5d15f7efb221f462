#include "data/internal/cell_index.h"

#include <gmock/gmock.h>

#include <string>

#include "base/random.h"
#include "data/internal/number_cell.h"

namespace nidus::data::internal {
namespace {

TEST(CellIndex, IsThatOfThePlainTwinForAnyText) {
  Random random(1);
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    const auto length = random.below(700), dense = 1 + random.below(12);
    for (std::uint64_t i = 0; i < length; ++i) {
      text += random.below(dense) == 0 ? (random.below(5) == 0 ? '\n' : ',')
                                       : static_cast<char>(random.below(256));
    }
    std::string padded = text;
    padded.append(kCellPadding, '\0');
    std::vector<std::uint32_t> ends, rows, plain_ends, plain_rows;
    const std::string_view view = std::string_view(padded).substr(0, text.size());
    const std::size_t count = index_cells(view, ',', ends, rows);
    ASSERT_EQ(count, index_cells_plainly(view, ',', plain_ends, plain_rows));
    ends.resize(count + 1);
    plain_ends.resize(count + 1);
    EXPECT_EQ(ends, plain_ends);
    EXPECT_EQ(rows, plain_rows);
  }
}

TEST(CellIndex, SmallExample) {
  std::string text = "a,bc\n\n,";
  text.append(kCellPadding, '\0');
  std::vector<std::uint32_t> ends, rows;
  ASSERT_EQ(index_cells(std::string_view(text).substr(0, 7), ',', ends, rows), 4u);
  ends.resize(5);
  EXPECT_THAT(ends, testing::ElementsAre(0xffffffffu, 1, 4, 5, 6));
  EXPECT_THAT(rows, testing::ElementsAre(2, 3));
}

}  // namespace
}  // namespace nidus::data::internal
