#include "learn/baselines.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/random.h"
#include "learn/anomaly_fixture.h"
#include "learn/preprocess_learner.h"

namespace nidus::learn {
namespace {

using ::testing::HasSubstr;

Dataset rows_of(std::size_t inputs, std::vector<double> values) {
  return testing::Block{values.size() / inputs, inputs, std::move(values)}.dataset();
}

Dataset even_rows(std::size_t rows, std::size_t inputs, std::uint64_t seed) {
  Random random(seed);
  std::vector<double> values;
  for (std::size_t i = 0; i < rows * inputs; ++i) values.push_back(random.unit());
  return rows_of(inputs, std::move(values));
}

TEST(MahalanobisTrainer, SaysWhatScikitLearnSays) {
  auto fixture = testing::anomaly_fixture();
  const auto fitted = fit_mahalanobis(fixture["table"].dataset());
  ASSERT_TRUE(fitted) << fitted.error().message;
  EXPECT_NEAR(fitted->shrinkage, fixture["shrinkage"].values.at(0), 1e-9);
  const auto& expected = fixture["mahalanobis"].values;
  ASSERT_EQ(expected.size(), 40u);
  const Dataset odd = fixture["odd"].dataset();
  const auto scores = model::all_scores(fitted->model, odd.values, 40);
  for (std::size_t i = 0; i < 40; ++i) EXPECT_NEAR(scores[i], expected[i], 1e-6 * (1 + expected[i])) << i;
  // A column that never varied and now does is far.
  EXPECT_GT(scores[1], 5 * scores[3]);

  std::vector<double> shares(odd.values.size());
  fitted->model.shares(odd.values, 40, shares);
  for (std::size_t row = 0; row < 40; ++row) {
    double sum = 0;
    for (std::size_t i = 0; i < 5; ++i) sum += shares[row * 5 + i];
    EXPECT_NEAR(sum, scores[row], 1e-9 * (1 + scores[row]));
  }
}

TEST(MahalanobisTrainer, TheSameForAnyNumberOfThreads) {
  const Dataset rows = even_rows(5000, 12, 1);
  const auto one = fit_mahalanobis(rows, 1), four = fit_mahalanobis(rows, 4);
  ASSERT_TRUE(one && four);
  EXPECT_EQ(model::all_scores(one->model, rows.values, 5000),
            model::all_scores(four->model, rows.values, 5000));
}

TEST(MahalanobisTrainer, SingularAndOddRows) {
  // More columns than rows, and two that say the same.
  Dataset few = even_rows(10, 30, 2);
  for (std::size_t row = 0; row < 10; ++row) few.values[row * 30 + 1] = few.values[row * 30];
  const auto fitted = fit_mahalanobis(few);
  ASSERT_TRUE(fitted) << fitted.error().message;
  for (const double score : model::all_scores(fitted->model, few.values, 10))
    EXPECT_TRUE(std::isfinite(score) && score >= 0) << score;
  // Of two columns that follow from each other exactly, and large numbers beside small ones.
  Dataset line = rows_of(2, {1, 1e9, 2, 2e9, 3, 3e9, 4, 4e9, 5, 5e9});
  const auto on_line = fit_mahalanobis(line);
  ASSERT_TRUE(on_line) << on_line.error().message;
  const std::vector<float> ask = {3, 3e9f, 3, 5e9f};
  const auto scores = model::all_scores(on_line->model, ask, 2);
  EXPECT_GT(scores[1], scores[0] + 1);

  EXPECT_THAT(fit_mahalanobis(even_rows(1, 3, 1)).error().message, HasSubstr("two rows"));
  EXPECT_THAT(fit_mahalanobis(rows_of(2, {1, 2, 1, 2, 1, 2})).error().message, HasSubstr("no column varies"));
  Dataset missing = even_rows(5, 2, 1);
  missing.values[3] = std::nanf("");
  EXPECT_THAT(fit_mahalanobis(missing).error().message, HasSubstr("'x1', row 1"));
  EXPECT_EQ(fit_mahalanobis(even_rows(2, 2049, 1)).error().code, Errc::unsupported);
}

TEST(HistogramTrainer, CountsByHand) {
  // Nine rows: 0 eight times, and 7, whose logarithm is that of 8: two bins meet at e^(log(8) / 2) - 1.
  Dataset rows = rows_of(1, {0, 0, 0, 0, 0, 0, 0, 0, 7});
  HistogramOptions options;
  options.bins = 2;
  const auto fitted = fit_histogram(rows, options);
  ASSERT_TRUE(fitted) << fitted.error().message;
  // Four bins and one for what is missing; one row more in each.
  const auto share = [](double count) { return -std::log((count + 1) / (9 + 4 + 1)); };
  const std::vector<float> ask = {-1, 0, 1.8f, 1.9f, 7, 7.5f, std::nanf(""), INFINITY};
  const auto scores = model::all_scores(*fitted, ask, 8);
  const double expected[] = {share(0), share(8), share(8), share(1), share(1), share(0), share(0), share(0)};
  for (std::size_t i = 0; i < 8; ++i) EXPECT_NEAR(scores[i], expected[i], 1e-12) << i;
}

TEST(HistogramTrainer, CategoriesHaveABinEachAndTheUnknownIsRare) {
  Dataset rows = rows_of(2, {0, 1, 0, 2, 0, 3, 1, 4});
  rows.schema[0].kind = model::Column::Kind::categorical;
  rows.schema[0].vocabulary = {"tcp", "udp", "icmp"};
  const auto fitted = fit_histogram(rows);
  ASSERT_TRUE(fitted) << fitted.error().message;
  const std::vector<float> ask = {0, 1, 1, 1, 2, 1, std::nanf(""), 1};
  const auto scores = model::all_scores(*fitted, ask, 4);
  EXPECT_LT(scores[0], scores[1]);
  EXPECT_LT(scores[1], scores[2]);
  EXPECT_EQ(scores[2], scores[3]);
  std::vector<double> shares(8);
  fitted->shares(std::span<const float>(ask), 4, shares);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(shares[2 * i] + shares[2 * i + 1], scores[i], 1e-12);
}

TEST(HistogramTrainer, OddRows) {
  EXPECT_FALSE(fit_histogram(rows_of(2, {})));
  const auto constant = fit_histogram(rows_of(1, {5, 5, 5}));
  ASSERT_TRUE(constant) << constant.error().message;
  const std::vector<float> ask = {5, 6};
  const auto scores = model::all_scores(*constant, ask, 2);
  EXPECT_LT(scores[0], scores[1]);
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  EXPECT_TRUE(fit_histogram(rows_of(1, {nan, nan})));
  EXPECT_TRUE(fit_histogram(rows_of(1, {inf, -inf, 1, 3e38})));
  HistogramOptions none;
  none.bins = 0;
  EXPECT_FALSE(fit_histogram(rows_of(1, {1, 2}), none));
}

TEST(NeighboursTrainer, IsTheDistanceToTheKthNearest) {
  const Dataset rows = even_rows(700, 3, 9);
  NeighboursOptions options;
  options.nearest = 4;
  const auto fitted = fit_neighbours(rows, options);
  ASSERT_TRUE(fitted) << fitted.error().message;
  const Dataset ask = even_rows(21, 3, 10);
  const auto scores = model::all_scores(*fitted, ask.values, 21);
  std::vector<double> shares(63);
  fitted->shares(std::span<const float>(ask.values), 21, shares);
  for (std::size_t i = 0; i < 21; ++i) {
    std::vector<double> distances;
    for (std::size_t row = 0; row < 700; ++row) {
      double square = 0;
      for (std::size_t c = 0; c < 3; ++c) {
        const double off = static_cast<double>(ask.at(i, c)) - static_cast<double>(rows.at(row, c));
        square += off * off;
      }
      distances.push_back(std::sqrt(square));
    }
    std::sort(distances.begin(), distances.end());
    EXPECT_NEAR(scores[i], distances[3], 1e-6);
    EXPECT_NEAR(shares[3 * i] + shares[3 * i + 1] + shares[3 * i + 2], scores[i], 1e-6);
  }
}

TEST(NeighboursTrainer, KeepsASampleAndRefusesWhatIsNone) {
  NeighboursOptions options;
  options.sample = 50;
  const auto kept = fit_neighbours(even_rows(500, 2, 1), options);
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->parts().sample.size(), 100u);
  const auto again = fit_neighbours(even_rows(500, 2, 1), options);
  EXPECT_TRUE(std::equal(kept->parts().sample.begin(), kept->parts().sample.end(),
                         again->parts().sample.begin(), again->parts().sample.end()));
  EXPECT_FALSE(fit_neighbours(even_rows(4, 2, 1)));
  Dataset missing = even_rows(10, 2, 1);
  missing.values[0] = std::nanf("");
  EXPECT_FALSE(fit_neighbours(missing));
  EXPECT_TRUE(std::isnan(model::all_scores(*kept, std::span<const float>(missing.values), 1)[0]));
}

TEST(Preprocess, LogarithmsAreScaled) {
  PreprocessOptions options;
  options.scaling = PreprocessOptions::Scaling::standard;
  options.log = options.fill_missing = true;
  const double e = std::exp(1.0);
  Dataset rows = rows_of(1, {0, e - 1, e * e - 1, 1 - e});  // 0, 1, 2, -1
  const auto steps = learn_preprocessor(rows, options);
  ASSERT_TRUE(steps);
  const Dataset scaled = preprocess(*steps, rows);
  const double deviation = std::sqrt(1.25);
  const double expected[] = {-0.5, 0.5, 1.5, -1.5};
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(scaled.at(i, 0), expected[i] / deviation, 1e-6);
  Dataset missing = rows_of(1, {std::numeric_limits<double>::quiet_NaN()});
  EXPECT_NEAR(preprocess(*steps, missing).at(0, 0), 0.5 / deviation, 1e-6);  // the median is e - 1
}

}  // namespace
}  // namespace nidus::learn
