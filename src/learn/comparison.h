#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "learn/evaluation.h"
#include "learn/metrics.h"

namespace nidus {
class JsonWriter;
}

// Whether one of two detectors is better, or whether the rows just fell so. Both judged the same rows, which
// says far more than two intervals side by side.
namespace nidus::learn {

// Of the rows that exactly one of the two judged right, how many were A's? If neither is better they fall
// like coins (McNemar 1947).
struct McNemar {
  std::uint64_t only_a = 0;  // right by A alone
  std::uint64_t only_b = 0;
  double p_exact = 1;  // two-sided, binomial
  double p_mid = 1;    // mid-p: the exact one is too careful (Fagerland, Lydersen and Laake 2013)
};
McNemar mcnemar(std::uint64_t only_a, std::uint64_t only_b);

// Two areas under curves of the same rows (DeLong, DeLong and Clarke-Pearson 1988, by mid-ranks as Sun and Xu
// 2014 compute it). Rows count as independent.
struct DeLong {
  double a = 0, b = 0;    // the areas
  double difference = 0;  // a - b
  double standard_error = 0;
  Interval interval;  // 95 %, of the difference
  double z = 0;
  double p = 1;  // two-sided
};
// None with fewer than two rows of either side, for a NaN, or for spans of different lengths.
std::optional<DeLong> delong(std::span<const double> scores_a, std::span<const double> scores_b,
                             std::span<const std::uint8_t> positive);

// What to compare. The spans have one entry for each row; scores are attack scores.
struct Paired {
  std::span<const std::uint8_t> positive;
  std::span<const double> scores_a, scores_b;
  double threshold_a = 0.5, threshold_b = 0.5;
  std::span<const std::uint32_t> groups;  // as Scored::groups
  std::size_t bootstrap_replicates = 1000;
  std::uint64_t seed = 1;
  std::size_t threads = 1;
};

// Attack or not, by both.
struct Comparison {
  struct Difference {
    Figure figure;
    std::optional<double> a, b;
    // 95 % bootstrap interval of a - b: in each replicate both are measured on the same rows drawn.
    std::optional<Interval> interval;
  };

  std::uint64_t rows = 0, attacks = 0;
  double threshold_a = 0, threshold_b = 0;
  std::vector<Difference> differences;
  McNemar all, on_attacks, on_benign;  // on attacks the test is of recall, on benign rows of false alarms
  std::optional<DeLong> auc;
  Resampled resampled;

  // "A" and "B" stand for the two, and are explained by the names.
  std::string to_text(const std::string& name_a, const std::string& name_b) const;
  void to_json(JsonWriter& json) const;
};

// Errc::invalid when the sizes do not fit each other or a score is NaN.
Result<Comparison> compare(const Paired& paired);

}  // namespace nidus::learn
