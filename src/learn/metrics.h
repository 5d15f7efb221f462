#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

// Figures that say how good scores and verdicts are. A rate over nothing, such as the recall of a class
// without rows, has no value.
namespace nidus::learn {

// How often rows of one class were taken for another.
class Confusion {
 public:
  explicit Confusion(std::size_t classes) : classes_(classes), counts_(classes * classes) {}

  void add(std::size_t truth, std::size_t said) { ++counts_[truth * classes_ + said]; }

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

// In the following `positive[i]` tells whether row i is an attack, and a higher score means attack. Scores
// must not be NaN. Equal scores count as tied: no curve depends on the order of rows.

// The chance that an attack scores above a benign row, ties counting half (Mann-Whitney). None with one class
// only.
std::optional<double> roc_auc(std::span<const double> scores, std::span<const std::uint8_t> positive);

// Average precision: the sum over thresholds of precision × gained recall, without interpolation.
std::optional<double> average_precision(std::span<const double> scores,
                                        std::span<const std::uint8_t> positive);

// The recall at the most permissive threshold whose false-positive rate is at most `rate`.
struct RecallAtRate {
  double rate = 0;
  double recall = 0;
  double threshold = 0;  // attack when score >= threshold; infinite if not even one score can be an attack
  double realised_rate = 0;  // <= rate
  // False when fewer than ten false positives are allowed at this rate: too few benign rows to quote it.
  bool resolvable = false;
};
std::optional<RecallAtRate> recall_at(double rate, std::span<const double> scores,
                                      std::span<const std::uint8_t> positive);

// The mean squared difference between score and truth.
std::optional<double> brier(std::span<const double> scores, std::span<const std::uint8_t> positive);

// Where a proportion lies with 95 % confidence (Wilson 1927), for z = 1.96.
struct Interval {
  double low = 0;
  double high = 1;
};
Interval wilson(std::uint64_t successes, std::uint64_t trials, double z = 1.959963984540054);

}  // namespace nidus::learn
