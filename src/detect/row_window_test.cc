#include "detect/row_window.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>
#include <vector>

namespace nidus::detect {
namespace {

using std::chrono::hours;
using std::chrono::nanoseconds;

// A row of two columns that are the same number, and the same again as the score.
void offer(RowWindow& window, double value) {
  const float row[] = {static_cast<float>(value), static_cast<float>(value)};
  const Verdict verdict{0, value, value};
  window.offer(std::span<const float>(row), std::span(&verdict, 1));
}

TEST(RowWindow, TakesAllUntilItIsFullAndThenOneInAnInterval) {
  RowWindow slow(2, hours(1));
  EXPECT_EQ(slow.capacity(), 4096u);
  for (int i = 0; i < 4096; ++i) offer(slow, i);
  EXPECT_EQ(slow.rows(), 4096u);
  for (int i = 0; i < 1000; ++i) offer(slow, -1);
  const auto after = slow.copy();
  EXPECT_EQ(std::count(after.scores.begin(), after.scores.end(), -1.0), 1);
  EXPECT_EQ(after.scores[0], -1.0);  // the oldest
  EXPECT_EQ(after.values[0], -1.0f);
  EXPECT_EQ(after.values[3], 1.0f);

  RowWindow quick(2, nanoseconds(0));
  for (int i = 0; i < 5000; ++i) offer(quick, i);
  const auto last = quick.copy();
  EXPECT_EQ(std::set<double>(last.scores.begin(), last.scores.end()).size(), 4096u);
  EXPECT_EQ(*std::min_element(last.scores.begin(), last.scores.end()), 904.0);
}

TEST(RowWindow, TakesSomeOfABatch) {
  RowWindow window(1);
  std::vector<double> rows(1000);
  std::vector<Verdict> verdicts(1000);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i] = static_cast<double>(i);
    verdicts[i].score = rows[i];
  }
  window.offer(std::span<const double>(rows), verdicts);
  EXPECT_GE(window.rows(), 60u);
  EXPECT_LE(window.rows(), 64u);
  const auto copied = window.copy();
  EXPECT_GT(copied.scores.back(), 900);
  window.offer(std::span<const double>(), {});
}

TEST(RowWindow, WideRowsTakeNoMoreMemory) {
  EXPECT_EQ(RowWindow(65536).capacity(), 128u);
  EXPECT_EQ(RowWindow(1024).capacity(), 2048u);
}

TEST(RowWindow, ManyThreadsOfferAndOneReads) {
  RowWindow window(2, nanoseconds(0));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&window, t] {
      for (int i = 0; i < 20'000; ++i) offer(window, t);
    });
  }
  for (int i = 0; i < 20; ++i) {
    for (const double score : window.copy().scores) EXPECT_TRUE(score >= 0 && score < 4);
  }
  for (auto& thread : threads) thread.join();
  // Of two that want the same moment one gives way.
  EXPECT_LE(window.taken(), 80'000u);
  EXPECT_GT(window.taken(), 40'000u);
  EXPECT_EQ(window.rows(), window.capacity());
}

}  // namespace
}  // namespace nidus::detect
