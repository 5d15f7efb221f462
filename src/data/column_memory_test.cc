#include "data/column_memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace nidus::data {
namespace {

// Small blocks come from the heap and large ones from the kernel; a vector goes from one to the other.
TEST(ColumnMemory, KeepsWhatAVectorHoldsWhileItGrowsAndShrinks) {
  std::vector<double, ColumnMemory<double>> cells;
  for (int i = 0; i < 300000; ++i) cells.push_back(i);
  const auto copy = cells;
  cells.resize(10);
  cells.shrink_to_fit();
  for (int i = 0; i < 300000; ++i) ASSERT_EQ(copy[static_cast<std::size_t>(i)], i);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(cells[static_cast<std::size_t>(i)], i);
}

TEST(ColumnMemory, ValuesGivenToResizeAreSet) {
  std::vector<double, ColumnMemory<double>> cells;
  cells.resize(100000, 7.0);
  EXPECT_EQ(cells.front() + cells.back(), 14.0);
}

TEST(ColumnMemory, MoreThanThereIsIsRefused) {
  std::vector<double, ColumnMemory<double>> cells;
  EXPECT_THROW(cells.reserve(std::size_t{1} << 58), std::bad_alloc);
  EXPECT_THROW(ColumnMemory<double>().allocate(static_cast<std::size_t>(-1)), std::bad_alloc);
}

}  // namespace
}  // namespace nidus::data
