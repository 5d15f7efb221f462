#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"

// Figures that say how good scores and verdicts are. A rate over nothing, such as the recall of a class
// without rows, has no value.
namespace nidus::learn {

// How often rows of one class were taken for another.
class Confusion {
 public:
  explicit Confusion(std::size_t classes) : classes_(classes), counts_(classes * classes) {}

  void add(std::size_t truth, std::size_t said, std::uint64_t rows = 1) {
    counts_[truth * classes_ + said] += rows;
  }

  std::size_t classes() const { return classes_; }
  std::uint64_t count(std::size_t truth, std::size_t said) const { return counts_[truth * classes_ + said]; }
  std::uint64_t support(std::size_t cls) const;    // rows of the class
  std::uint64_t predicted(std::size_t cls) const;  // rows taken for the class
  std::uint64_t total() const;

  std::optional<double> accuracy() const;
  // The mean recall of the classes that have rows.
  std::optional<double> balanced_accuracy() const;
  std::optional<double> recall(std::size_t cls) const;
  std::optional<double> precision(std::size_t cls) const;  // none if nothing was taken for the class
  // 2TP / (2TP + FP + FN); none for a class neither in the rows nor said.
  std::optional<double> f1(std::size_t cls) const;
  // The mean over the classes that have an F1.
  std::optional<double> macro_f1() const;
  // Matthews' correlation for any number of classes (Gorodkin 2004); 0 if all rows or all answers are of one
  // class.
  std::optional<double> mcc() const;

 private:
  std::size_t classes_;
  std::vector<std::uint64_t> counts_;
};

// In the following `positive[i]` tells whether row i is an attack, and a higher score means attack. Equal
// scores count as tied: no figure depends on the order of rows. `weights` says how much each row counts,
// finite and not negative; empty is 1 for all. A figure has no value when the spans differ in length, when a
// score is NaN or a weight is none, and when the rows that count do not give one: who wants to know which of
// these asks check_scores() first.

// Errc::invalid names the first row whose score is NaN or whose weight is NaN, infinite or negative, or says
// that the lengths differ.
Result<void> check_scores(std::span<const double> scores, std::span<const std::uint8_t> positive,
                          std::span<const double> weights = {});

// The chance that an attack scores above a benign row, ties counting half (Mann-Whitney). None with one class
// only.
std::optional<double> roc_auc(std::span<const double> scores, std::span<const std::uint8_t> positive,
                              std::span<const double> weights = {});

// Average precision: the sum over thresholds of precision × gained recall, without interpolation.
std::optional<double> average_precision(std::span<const double> scores,
                                        std::span<const std::uint8_t> positive,
                                        std::span<const double> weights = {});

// Fewer false positives than this do not make a rate: with ten the 95 % interval already reaches from half of
// it to nearly twice.
inline constexpr double kFalsePositivesLeast = 10;

// The recall at the most permissive threshold whose false-positive rate is at most `rate`.
struct RecallAtRate {
  double rate = 0;
  double recall = 0;
  double threshold = 0;  // attack when score >= threshold; infinite if not even one score can be an attack
  double realised_rate = 0;  // <= rate
  // False when fewer than kFalsePositivesLeast are allowed at this rate: too few benign rows to quote it.
  bool resolvable = false;
  std::uint64_t negatives_needed = 0;  // benign rows from which on it is resolvable
};
std::optional<RecallAtRate> recall_at(double rate, std::span<const double> scores,
                                      std::span<const std::uint8_t> positive,
                                      std::span<const double> weights = {});

// The points of both curves, from (no alarm) to (all alarms): how many of each side score `threshold` or
// more. Corners only; where there are more than a screen can show, those that lie too close to the one before
// are left out, in recall, in rate or in the logarithm of the rate, so that there are a few thousand at most.
// Empty under the conditions under which there is no roc_auc().
struct CurvePoint {
  double threshold = 0;  // infinite at the first
  std::uint64_t hits = 0;
  std::uint64_t false_alarms = 0;
};
std::vector<CurvePoint> curve(std::span<const double> scores, std::span<const std::uint8_t> positive);

// The mean squared difference between score and truth (Brier 1950).
std::optional<double> brier(std::span<const double> scores, std::span<const std::uint8_t> positive,
                            std::span<const double> weights = {});

// Whether scores are probabilities: of the rows that score about x, is a share of x attacks? Bins of equal
// width over [0, 1], each (low, high], the first with 0. None when a score lies outside.
inline constexpr std::size_t kCalibrationBins = 15;
struct Calibration {
  struct Bin {
    double weight = 0;      // rows, or their weights
    double mean_score = 0;  // of the bin; 0 when empty
    double attack_share = 0;
  };
  std::vector<Bin> bins;
  // Expected and maximum calibration error: the mean, weighted by rows, and the largest of
  // |attack_share - mean_score| over the bins (Naeini et al. 2015, Guo et al. 2017).
  double expected_error = 0;
  double maximum_error = 0;
};
std::optional<Calibration> calibration(std::span<const double> scores, std::span<const std::uint8_t> positive,
                                       std::span<const double> weights = {},
                                       std::size_t bins = kCalibrationBins);

// What a recall and a false-positive rate mean where attacks are as rare as `base_rate` of all flows: Bayes'
// rule (Axelsson 2000). Both rates are taken to be there what they are here.
struct AtBaseRate {
  double base_rate = 0;
  double precision = 0;  // the share of alerts that are attacks; none raised: not a number
  double alerts_a_day = 0;
  double false_alerts_a_day = 0;
};
AtBaseRate at_base_rate(double base_rate, double recall, double false_positive_rate, double flows_a_day);

// Where a proportion lies with 95 % confidence (Wilson 1927), for z = 1.96.
struct Interval {
  double low = 0;
  double high = 1;
};
Interval wilson(std::uint64_t successes, std::uint64_t trials, double z = 1.959963984540054);

}  // namespace nidus::learn
